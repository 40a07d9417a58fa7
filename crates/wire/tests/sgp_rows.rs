//! The rows of `sgp-api` section 10 that a body decides, by number.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use bytes::Bytes;
use endspan_model::{AccountId, Payload, Span, SpanType, Status};
use endspan_wire::sgp::{Identity, IdentityKind};
use endspan_wire::{DecodeError, DecodeErrorKind, agentex, sgp};

fn decode(body: &str) -> Result<Span, DecodeError> {
    sgp::decode_create(&Bytes::copy_from_slice(body.as_bytes()))
}

fn with(more: &str) -> String {
    format!(r#"{{"id":"a1","trace_id":"t","name":"n","start_timestamp":"2024-01-01T10:00:00+00:00"{more}}}"#)
}

fn shown(span: &Span) -> String {
    let mut out = Vec::new();
    sgp::encode_span(&mut out, &AccountId::new("acct"), span, None);
    String::from_utf8(out).unwrap()
}

#[track_caller]
fn assert_refused(body: &str, path: &str, kind: DecodeErrorKind) {
    let error = decode(body).unwrap_err();
    assert_eq!((error.path.as_str(), error.kind), (path, kind), "{body}");
}

fn wrong_type(found: &'static str) -> DecodeErrorKind {
    DecodeErrorKind::WrongType { found }
}

#[test]
fn row_1_three_fields_give_a_span_with_a_uuid() {
    let span = decode(r#"{"name":"n","start_timestamp":"2024-01-01T10:00:00Z","trace_id":"t"}"#).unwrap();
    let id = span.id.as_str();
    assert_eq!(id.len(), 36);
    assert_eq!(
        shown(&span),
        format!(
            r#"{{"id":"{id}","account_id":"acct","name":"n","start_timestamp":"2024-01-01T10:00:00Z","trace_id":"t","end_timestamp":null,"parent_id":null,"group_id":null,"input":null,"output":null,"metadata":null,"expected":null,"status":null,"type":"STANDALONE","application_variant_id":null,"application_interaction_id":null,"obs_trace_id":null,"obs_span_id":null,"created_by":null,"object":"span"}}"#
        )
    );
}

#[test]
fn every_field_comes_back() {
    let hex = "0123456789abcdef";
    let body = with(&format!(
        r#","end_timestamp":"2024-01-01T10:00:01.5Z","parent_id":"p","group_id":"g","input":{{"a":1}},"output":{{"usage":{{"prompt_tokens":7,"completion_tokens":3}}}},"metadata":{{"m":[1]}},"expected":{{"e":null}},"status":"CANCELED","type":"COMPLETION","application_variant_id":"v","application_interaction_id":"i","obs_trace_id":"{hex}{hex}","obs_span_id":"{hex}""#
    ));
    let span = decode(&body).unwrap();
    let mut out = Vec::new();
    let identity = Identity { id: "u".into(), kind: IdentityKind::ServiceAccount };
    sgp::encode_span(&mut out, &AccountId::new("acct"), &span, Some(&identity));
    assert_eq!(
        String::from_utf8(out).unwrap(),
        format!(
            r#"{{"id":"a1","account_id":"acct","name":"n","start_timestamp":"2024-01-01T10:00:00Z","trace_id":"t","end_timestamp":"2024-01-01T10:00:01.500000Z","parent_id":"p","group_id":"g","input":{{"a":1}},"output":{{"usage":{{"prompt_tokens":7,"completion_tokens":3}}}},"metadata":{{"m":[1]}},"expected":{{"e":null}},"status":"CANCELED","type":"COMPLETION","application_variant_id":"v","application_interaction_id":"i","obs_trace_id":"{hex}{hex}","obs_span_id":"{hex}","created_by":{{"id":"u","type":"service_account","object":"identity"}},"input_tokens":7,"output_tokens":3,"object":"span"}}"#
        )
    );
}

#[test]
fn rows_2_and_3_characters_are_422_and_bytes_are_400() {
    for field in ["id", "trace_id", "parent_id", "group_id", "application_variant_id"] {
        let body = |text: &str, count: usize| with(&format!(r#","{field}":"{}""#, text.repeat(count)));
        assert!(decode(&body("x", 256)).is_ok());
        let characters = decode(&body("x", 257)).unwrap_err();
        assert_eq!(characters.kind, DecodeErrorKind::TooManyCharacters { characters: 257 });
        assert!(!characters.kind.is_bad_request());
        let bytes = decode(&body("é", 200)).unwrap_err();
        assert_eq!(
            (bytes.path.as_str(), &bytes.kind),
            (field, &DecodeErrorKind::TooManyBytes { bytes: 400 })
        );
        assert!(bytes.kind.is_bad_request());
    }
}

#[test]
fn row_4_an_end_before_the_start_is_refused() {
    let kind = DecodeErrorKind::EndBeforeStart;
    assert_refused(&with(r#","end_timestamp":"2024-01-01T09:59:59.999999999Z""#), "end_timestamp", kind);
    assert!(decode(&with(r#","end_timestamp":"2024-01-01T10:00:00Z""#)).is_ok());
}

#[test]
fn row_5_payloads_are_objects_only() {
    for field in ["input", "output", "metadata", "expected"] {
        for (value, found) in
            [("[]", "an array"), (r#"[{"a":1}]"#, "an array"), (r#""s""#, "a string"), ("1", "a number")]
        {
            assert_refused(&with(&format!(r#","{field}":{value}"#)), field, wrong_type(found));
        }
        assert!(decode(&with(&format!(r#","{field}":null"#))).is_ok());
    }
}

#[test]
fn row_6_status_and_type_are_closed_lists() {
    let unknown = |name: &str| DecodeErrorKind::UnknownName { name: name.into() };
    assert_refused(&with(r#","status":"BAD""#), "status", unknown("BAD"));
    assert_refused(&with(r#","status":"success""#), "status", unknown("success"));
    assert_refused(&with(r#","type":"LLM""#), "type", unknown("LLM"));
    assert_refused(&with(r#","type":5"#), "type", wrong_type("a number"));
    assert_refused(&with(&format!(r#","type":"{}""#, "x".repeat(99))), "type", unknown(&"x".repeat(40)));
    for span_type in SpanType::ALL {
        let span = decode(&with(&format!(r#","type":"{span_type}""#))).unwrap();
        assert_eq!(span.span_type, Some(span_type));
    }
    let message = decode(&with(r#","status":"BAD""#)).unwrap_err().to_string();
    assert_eq!(message, r#"status: expected SUCCESS, ERROR or CANCELED, found "BAD""#);
}

#[test]
fn rows_7_and_8_observability_ids() {
    let hex = "0123456789abcdef";
    let companion = DecodeErrorKind::WithoutCompanion { companion: "obs_trace_id" };
    assert_refused(&with(&format!(r#","obs_span_id":"{hex}""#)), "obs_span_id", companion);
    for bad in [format!("{hex}{hex}").to_uppercase(), format!("{hex}{}", &hex[1..]), format!("{hex}{hex}0")] {
        assert_refused(
            &with(&format!(r#","obs_trace_id":"{bad}""#)),
            "obs_trace_id",
            DecodeErrorKind::BadHex,
        );
    }
    let both = with(&format!(r#","obs_trace_id":"{hex}{hex}","obs_span_id":"{hex}x""#));
    assert_refused(&both, "obs_span_id", DecodeErrorKind::BadHex);
}

#[test]
fn row_10_nul_and_no_unicode_in_names_and_payloads_become_replacement_characters() {
    let mut bytes = br#"{"id":"a1","trace_id":"t","name":"a\u0000b\ud800","start_timestamp":0,
        "input":{"x":"\u0000\udc00\ud83d\ude00"},"metadata":{"y":"?"}}"#
        .to_vec();
    let at = bytes.iter().rposition(|byte| *byte == b'?').unwrap();
    bytes[at] = 0xFF;
    let span = sgp::decode_create(&bytes.into()).unwrap();
    assert_eq!(span.name, "a\u{FFFD}b\u{FFFD}");
    assert_eq!(span.input.unwrap().as_str(), "{\"x\":\"\u{FFFD}\u{FFFD}\\ud83d\\ude00\"}");
    assert_eq!(span.metadata.unwrap().as_str(), "{\"y\":\"\u{FFFD}\"}");
}

#[test]
fn row_11_nul_and_no_unicode_in_ids_are_400() {
    for field in ["id", "trace_id", "parent_id", "group_id"] {
        for (text, kind) in [(r"a\u0000", DecodeErrorKind::Nul), (r"\ud800", DecodeErrorKind::LoneSurrogate)]
        {
            let error = decode(&with(&format!(r#","{field}":"{text}""#))).unwrap_err();
            assert!(error.kind.is_bad_request());
            assert_eq!((error.path.as_str(), error.kind), (field, kind));
        }
        let mut body = with(&format!(r#","{field}":"?""#)).into_bytes();
        let at = body.iter().rposition(|byte| *byte == b'?').unwrap();
        body[at] = 0xC3;
        let error = sgp::decode_create(&body.into()).unwrap_err();
        assert_eq!((error.path.as_str(), error.kind), (field, DecodeErrorKind::NotUtf8));
    }
}

#[test]
fn rows_14_and_15_a_batch_holds_at_most_1000_items() {
    let body = |count: usize| Bytes::from(format!("{{\"items\":[{}]}}", vec![with(""); count].join(",")));
    assert_eq!(sgp::decode_batch(&body(1000)).unwrap().len(), 1000);
    assert_eq!(sgp::decode_batch(&body(1001)).unwrap_err().kind, DecodeErrorKind::TooManyItems);
    assert_eq!(sgp::decode_batch(&Bytes::from_static(b"{\"items\":[]}")).unwrap(), []);
    let bare = sgp::decode_batch(&Bytes::from_static(b"[]")).unwrap_err();
    assert_eq!((bare.path.as_str(), bare.kind), ("body", wrong_type("an array")));
}

#[test]
fn row_16_the_bad_item_of_a_batch_is_named() {
    let body = format!(r#"{{"items":[{},{}]}}"#, with(""), with(r#","end_timestamp":"2023-01-01""#));
    let results = sgp::decode_batch(&body.into()).unwrap();
    assert!(results[0].is_ok());
    assert_eq!(
        results[1].as_ref().unwrap_err().to_string(),
        "items[1].end_timestamp: expected a time not before start_timestamp, found an earlier time"
    );
}

#[test]
fn row_18_items_without_id_get_one_each() {
    let item = r#"{"name":"n","start_timestamp":0,"trace_id":"t"}"#;
    let results = sgp::decode_batch(&format!(r#"{{"items":[{item},{item}]}}"#).into()).unwrap();
    let ids: Vec<_> = results.into_iter().map(|result| result.unwrap().id).collect();
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn row_27_lists_have_items_and_object() {
    let account = AccountId::default();
    assert_eq!(sgp::encode_list(&account, [], None), b"{\"items\":[],\"object\":\"list\"}");
    let span = decode(&with("")).unwrap();
    let list: serde_json::Value =
        serde_json::from_slice(&sgp::encode_list(&account, [&span, &span], None)).unwrap();
    assert_eq!(list["items"][1]["id"], "a1");
    assert_eq!(list["object"], "list");
}

#[test]
fn row_31_a_patch_takes_five_fields() {
    let body = br#"{"name":"x","status":"ERROR","output":{"o":1},"metadata":{"m":1},"end_timestamp":5,
        "trace_id":7,"input":[],"id":null,"start_timestamp":"never"}"#;
    let patch = sgp::decode_patch(&Bytes::from_static(body)).unwrap();
    assert_eq!(patch.name.as_deref(), Some("x"));
    assert_eq!(patch.status, Some(Status::Error));
    assert_eq!(patch.end_time.unwrap().unix_micros(), 5_000_000);
    assert_eq!(patch.metadata.unwrap().as_str(), r#"{"m":1}"#);
    assert_eq!(
        (patch.merge_metadata, patch.trace_id, patch.input, patch.start_time),
        (None, None, None, None)
    );
    let error = sgp::decode_patch(&Bytes::from_static(br#"{"output":[]}"#)).unwrap_err();
    assert_eq!((error.path.as_str(), error.kind), ("output", wrong_type("an array")));
}

#[test]
fn required_fields_are_named() {
    for (body, path) in [
        (r#"{"start_timestamp":0,"trace_id":"t"}"#, "name"),
        (r#"{"name":"n","trace_id":"t"}"#, "start_timestamp"),
        (r#"{"name":"n","start_timestamp":0}"#, "trace_id"),
    ] {
        assert_refused(body, path, DecodeErrorKind::Missing);
    }
    assert_refused(&with(r#","name":null"#), "name", wrong_type("null"));
}

#[test]
fn spans_of_the_other_api_read_as_sgp_spans() {
    let read = |more: &str| {
        let body = format!(r#"{{"id":"a","trace_id":"t","name":"n","start_time":0{more}}}"#);
        let span = agentex::decode_create(&body.into()).unwrap();
        serde_json::from_str::<serde_json::Value>(&shown(&span)).unwrap()
    };
    let running = read("");
    assert_eq!((&running["status"], &running["type"]), (&serde_json::Value::Null, &"STANDALONE".into()));
    assert_eq!(read(r#","end_time":1"#)["status"], "SUCCESS");
    let failed = read(r#","data":{"__error__":{"type":"E","message":"m"},"__span_type__":"TRACER"}"#);
    assert_eq!((&failed["status"], &failed["type"]), (&"ERROR".into(), &"TRACER".into()));
    let list = read(r#","input":[{"a":1}],"output":[]"#);
    assert_eq!(list["input"], serde_json::json!({"items": [{"a": 1}]}));
    assert_eq!(list["output"], serde_json::json!({"items": []}));
}

#[test]
fn tokens_come_from_the_aggregate_else_from_the_output() {
    let usage = |metadata: &str, output: &str| {
        let mut span = decode(&with("")).unwrap();
        span.metadata = Some(Payload::parse(metadata.to_owned()).unwrap());
        span.output = Some(Payload::parse(output.to_owned()).unwrap());
        let usage = sgp::token_usage(&span);
        (usage.input_tokens, usage.output_tokens)
    };
    let output = r#"{"usage":{"input_tokens":1,"output_tokens":2}}"#;
    assert_eq!(usage("{}", output), (Some(1), Some(2)));
    assert_eq!(usage(r#"{"usage":{"completion_tokens":5}}"#, output), (None, Some(5)));
    assert_eq!(usage(r#"{"usage":{"total_tokens":5}}"#, output), (Some(1), Some(2)));
    assert_eq!(usage(r#"{"usage":{"input_tokens":-5,"prompt_tokens":9}}"#, "[]"), (Some(9), None));
    assert_eq!(usage(r#"{"usage":{"input_tokens":1.5,"output_tokens":"7"}}"#, "[1]"), (None, None));
    assert_eq!(usage(r#"{"x":{"usage":{"input_tokens":1}}}"#, r#"{"usage":[1]}"#), (None, None));
    assert!(!shown(&decode(&with("")).unwrap()).contains("tokens"));
}
