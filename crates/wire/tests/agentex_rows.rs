//! The rows of `agentex-api` section 12 that a body decides, by number.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use bytes::Bytes;
use endspan_model::{Span, SpanType, Status};
use endspan_wire::{DecodeError, DecodeErrorKind, agentex};

fn decode(body: &str) -> Result<Span, DecodeError> {
    agentex::decode_create(&Bytes::copy_from_slice(body.as_bytes()))
}

fn shown(span: &Span) -> String {
    let mut out = Vec::new();
    agentex::encode_span(&mut out, span);
    String::from_utf8(out).unwrap()
}

/// Decodes a body with the three required fields and these more, and shows the span as an answer.
fn answer(more: &str) -> String {
    shown(&decode(&with(more)).unwrap())
}

fn with(more: &str) -> String {
    format!(r#"{{"id":"a1","trace_id":"t","name":"n","start_time":"2024-01-01T10:00:00Z"{more}}}"#)
}

/// Returns the path, what was expected and what was found of a body that must be refused.
#[track_caller]
fn refused(body: &str) -> (String, &'static str, DecodeErrorKind) {
    let error = decode(body).unwrap_err();
    (error.path, error.expected, error.kind)
}

#[track_caller]
fn assert_refused(body: &str, path: &str, kind: DecodeErrorKind) {
    let (found_path, _, found_kind) = refused(body);
    assert_eq!((found_path.as_str(), found_kind), (path, kind), "{body}");
}

fn wrong_type(found: &'static str) -> DecodeErrorKind {
    DecodeErrorKind::WrongType { found }
}

#[test]
fn row_1_three_fields_give_ten_keys_in_order_and_a_new_uuid() {
    let span = decode(r#"{"trace_id":"t","name":"n","start_time":"2024-01-01T10:00:00Z"}"#).unwrap();
    let id = span.id.as_str();
    assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'), "{id}");
    assert_eq!(
        shown(&span),
        format!(
            r#"{{"id":"{id}","trace_id":"t","task_id":null,"parent_id":null,"name":"n","start_time":"2024-01-01T10:00:00Z","end_time":null,"input":null,"output":null,"data":null}}"#
        )
    );
}

#[test]
fn row_2_all_fields_are_echoed() {
    let body = r#"{"id":"a1","trace_id":"t","task_id":"T","parent_id":"p","name":"n \"q\" é","start_time":"2024-01-01T10:00:00.100000Z","end_time":"2024-01-01T10:00:05Z","input":{"a":1},"output":[{"b":[2]}],"data":{"c":null}}"#;
    assert_eq!(shown(&decode(body).unwrap()), body);
}

#[test]
fn row_5_a_null_id_becomes_a_new_one() {
    let body = r#"{"id":null,"trace_id":"t","name":"n","start_time":0}"#;
    let (one, two) = (decode(body).unwrap(), decode(body).unwrap());
    assert_ne!(one.id, two.id);
}

#[test]
fn rows_6_and_9_empty_texts_are_texts() {
    let span = decode(r#"{"id":"","trace_id":"","name":"","start_time":0}"#).unwrap();
    assert_eq!((span.id.as_str(), span.trace_id.as_str(), span.name.as_str()), ("", "", ""));
}

#[test]
fn rows_7_and_8_required_fields_are_named() {
    assert_refused(r#"{"name":"n"}"#, "trace_id", DecodeErrorKind::Missing);
    assert_refused(r#"{"name":"n","trace_id":"t"}"#, "start_time", DecodeErrorKind::Missing);
    assert_refused(r#"{"trace_id":"t","start_time":0}"#, "name", DecodeErrorKind::Missing);
    assert_refused(r#"{"trace_id":null,"name":"n","start_time":0}"#, "trace_id", wrong_type("null"));
    assert_refused(r#"{"trace_id":"t","name":5,"start_time":0}"#, "name", wrong_type("a number"));
    for field in ["id", "trace_id", "task_id", "parent_id"] {
        for (value, found) in
            [("5", "a number"), ("true", "a boolean"), ("{}", "an object"), ("[]", "an array")]
        {
            // The last one of a repeated key counts.
            assert_refused(&with(&format!(r#","{field}":{value}"#)), field, wrong_type(found));
        }
    }
}

#[test]
fn row_10_unknown_fields_are_ignored_whatever_they_hold() {
    let plain = answer("");
    for more in [
        r#","metadata":{"x":"\ud800"}"#,
        r#","":NaN,"Name":5"#,
        r#","x":1e999"#,
        &format!(r#","deep":{}{}"#, "[".repeat(5000), "]".repeat(5000)),
    ] {
        assert_eq!(answer(more), plain);
    }
}

#[test]
fn row_11_a_body_that_is_no_object_is_refused_as_a_whole() {
    for (body, found) in [
        ("null", "null"),
        ("[]", "an array"),
        ("[{}]", "an array"),
        ("5", "a number"),
        ("true", "a boolean"),
        ("\"null\"", "null"),
        ("\"\\\"{}\\\"\"", "a string"),
    ] {
        assert_refused(body, "body", wrong_type(found));
    }
    for body in ["", " \n", "\u{feff}"] {
        assert_refused(body, "body", DecodeErrorKind::Missing);
    }
}

#[test]
fn row_11_malformed_json_says_where() {
    for (body, path, offset) in [
        ("{", "body", 1),
        ("nope", "body", 0),
        (r#"{"name":"n",}"#, "body", 12),
        (r#"{"name":n}"#, "name", 8),
        (r#"{"input":{"a":[1,}]}}"#, "input", 17),
        (r#"{"unknown":'x'}"#, "body", 11),
        (r#"{"name":"n"} x"#, "body", 13),
        (r#"{"name" "n"}"#, "body", 8),
        ("{\"name\":\"a\u{0}b\"}", "name", 10),
        (r#"{"name":"\x"}"#, "name", 9),
    ] {
        assert_refused(body, path, DecodeErrorKind::Syntax { offset });
    }
}

#[test]
fn a_byte_order_mark_is_passed_over_and_other_encodings_are_refused() {
    assert_eq!(shown(&decode(&format!("\u{feff} {}", with(""))).unwrap()), answer(""));
    let utf_16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let error = agentex::decode_create(&utf_16.into()).unwrap_err();
    assert_eq!((error.path.as_str(), error.kind), ("body", DecodeErrorKind::NotUtf8));
}

#[test]
fn bytes_that_are_no_utf_8_cost_the_field_that_holds_them() {
    for (field, before) in [("name", r#""name":""#), ("input", r#""input":{"a":""#), ("id", r#""id":""#)] {
        let mut body = format!(r#"{{"trace_id":"t","name":"n","start_time":0,{before}"#).into_bytes();
        body.push(0xFF);
        body.extend_from_slice(if field == "input" { br#""}}"# } else { br#""}"# });
        let error = agentex::decode_create(&body.into()).unwrap_err();
        assert_eq!((error.path.as_str(), error.kind), (field, DecodeErrorKind::NotUtf8));
    }
    let ignored = b"{\"trace_id\":\"t\",\"name\":\"n\",\"start_time\":0,\"other\":\"\xFF\"}";
    assert!(agentex::decode_create(&Bytes::from_static(ignored)).is_ok());
}

#[test]
fn row_13_a_json_string_that_holds_an_object_is_that_object() {
    let quoted = serde_json::to_string(&with(r#","input":{"é":"\n"}"#)).unwrap();
    assert_eq!(shown(&decode(&quoted).unwrap()), answer(r#","input":{"é":"\n"}"#));
    assert_refused(r#""{\"name\":""#, "name", DecodeErrorKind::Syntax { offset: 8 });
    assert_refused("\"{}\" x", "body", DecodeErrorKind::Syntax { offset: 5 });
}

#[test]
fn row_14_payloads_are_objects_or_arrays_of_objects() {
    for field in ["input", "output", "data"] {
        for (value, found) in [
            (r#""s""#, "a string"),
            (r#"["s"]"#, "an array with elements that are not objects"),
            (r#"[{},[]]"#, "an array with elements that are not objects"),
            ("5", "a number"),
            ("NaN", "a number"),
            ("false", "a boolean"),
        ] {
            assert_refused(&with(&format!(r#","{field}":{value}"#)), field, wrong_type(found));
        }
    }
    let message = decode(&with(r#","input":["s"]"#)).unwrap_err().to_string();
    assert_eq!(
        message,
        "input: expected an object or an array of objects, found an array with elements that are not objects"
    );
}

#[test]
fn row_15_empty_containers_come_back() {
    let answer = answer(r#","input":[],"data":{},"output":[{"x":1}]"#);
    assert!(answer.ends_with(r#""input":[],"output":[{"x":1}],"data":{}}"#), "{answer}");
}

#[test]
fn row_16_an_end_before_the_start_is_accepted() {
    assert!(answer(r#","end_time":"2023-01-01""#).contains(r#""end_time":"2023-01-01T00:00:00Z""#));
}

#[test]
fn rows_19_to_22_times_in_every_form_come_back_in_utc() {
    for (given, expected) in [
        (r#""2024-01-01T00:00:05.123456789+05:30""#, "2023-12-31T18:30:05.123456Z"),
        (r#""2024-01-01""#, "2024-01-01T00:00:00Z"),
        ("1704103200", "2024-01-01T10:00:00Z"),
        (r#""1704103200""#, "2024-01-01T10:00:00Z"),
        ("1704103200000", "2024-01-01T10:00:00Z"),
        ("1704103200.5", "2024-01-01T10:00:00.500000Z"),
        (r#""2024-01-01T10:00\u003a00""#, "2024-01-01T10:00:00Z"),
        (r#""9999-12-31T23:59:59.999999Z""#, "9999-12-31T23:59:59.999999"),
        (r#""0001-01-01T00:00:00Z""#, "0001-01-01T00:00:00"),
    ] {
        let answer = answer(&format!(r#","end_time":{given},"start_time":{given}"#));
        let expected = format!(r#""start_time":"{expected}","end_time":"{expected}""#);
        assert!(answer.contains(&expected), "{given}: {answer}");
    }
}

#[test]
fn rows_23_and_44_what_is_no_time_is_refused() {
    for (value, kind) in [
        (r#""bad""#, DecodeErrorKind::BadTime),
        (r#""2024-01-01T24:00:00Z""#, DecodeErrorKind::BadTime),
        ("null", wrong_type("null")),
        ("true", wrong_type("a boolean")),
        ("{}", wrong_type("an object")),
        ("1e400", DecodeErrorKind::BadTime),
        ("NaN", wrong_type("a number")),
    ] {
        assert_refused(&with(&format!(r#","start_time":{value}"#)), "start_time", kind);
    }
    let error = agentex::decode_patch(&Bytes::from_static(br#"{"end_time":"x"}"#)).unwrap_err();
    assert_eq!((error.path.as_str(), error.kind), ("end_time", DecodeErrorKind::BadTime));
}

#[test]
fn row_25_nul_in_a_name_or_id_is_refused_by_name() {
    for field in ["id", "trace_id", "task_id", "parent_id", "name"] {
        assert_refused(&with(&format!(r#","{field}":"a\u0000b""#)), field, DecodeErrorKind::Nul);
        assert_refused(&with(&format!(r#","{field}":"\udc00""#)), field, DecodeErrorKind::LoneSurrogate);
    }
}

#[test]
fn rows_26_to_28_odd_characters_and_numbers_in_payloads() {
    assert!(answer(r#","input":{"a":"x\u0000y"}"#).contains(r#""input":{"a":"x\u0000y"}"#));
    for field in ["input", "output", "data"] {
        for (value, kind) in [
            (r#"{"a":NaN}"#, DecodeErrorKind::NotFinite),
            (r#"[{"a":[-Infinity]}]"#, DecodeErrorKind::NotFinite),
            (r#"{"a":1e999}"#, DecodeErrorKind::NumberOverflow),
            (r#"{"a":"\ud800"}"#, DecodeErrorKind::LoneSurrogate),
            (r#"{"\udfff":1}"#, DecodeErrorKind::LoneSurrogate),
            (&format!("{{\"a\":{}{}}}", "[".repeat(512), "]".repeat(512)), DecodeErrorKind::TooDeep),
        ] {
            assert_refused(&with(&format!(r#","{field}":{value}"#)), field, kind);
        }
    }
}

#[test]
fn rows_29_and_30_numbers_and_key_order_stay() {
    let input = r#"{"z":123456789012345678901234567890,"a":-0.0,"m":1.10}"#;
    assert!(answer(&format!(r#","input":{input}"#)).contains(&format!(r#""input":{input},"#)));
    let spaced = answer(",\"input\": { \"a b\" : [ 1 , \"c d\" ] }\n");
    assert!(spaced.contains(r#""input":{"a b":[1,"c d"]},"#), "{spaced}");
}

#[test]
fn a_repeated_key_counts_with_its_last_value() {
    let span = decode(&with(r#","name":5,"name":"last","\u006eame":"escaped""#)).unwrap();
    assert_eq!(span.name, "escaped");
}

#[test]
fn ids_are_bounded_in_characters_and_bytes() {
    let long = |text: &str, count: usize| with(&format!(r#","id":"{}""#, text.repeat(count)));
    assert!(decode(&long("x", 256)).is_ok());
    assert_refused(&long("x", 257), "id", DecodeErrorKind::TooManyCharacters { characters: 257 });
    assert_refused(&long("é", 200), "id", DecodeErrorKind::TooManyBytes { bytes: 400 });
}

#[test]
fn status_and_type_are_read_from_data() {
    let span = decode(&with(r#","data":{"__span_type__":"COMPLETION","__error__":{"type":"E"}}"#)).unwrap();
    assert_eq!((span.status, span.span_type), (Some(Status::Error), Some(SpanType::Completion)));
    for data in [
        r#"{"__span_type__":"LLM","__error__":"text"}"#,
        r#"{"x":{"__span_type__":"COMPLETION","__error__":{}}}"#,
        r#"[{"__span_type__":"COMPLETION","__error__":{}}]"#,
        r#"{"__span_type__":null,"__error__":null}"#,
    ] {
        let span = decode(&with(&format!(r#","data":{data}"#))).unwrap();
        assert_eq!((span.status, span.span_type), (None, None), "{data}");
    }
}

#[test]
fn rows_33_34_and_42_a_patch_ignores_nulls_and_the_id() {
    let decode = |body: &str| agentex::decode_patch(&Bytes::copy_from_slice(body.as_bytes())).unwrap();
    let nothing = endspan_model::SpanPatch::default();
    assert_eq!(decode("{}"), nothing);
    assert_eq!(decode(r#"{"id":"other","name":null,"data":null,"end_time":null,"input":null}"#), nothing);
    let patch = decode(r#"{"id":7,"name":"","trace_id":"","input":{"b":2},"data":{"x":1}}"#);
    assert_eq!(patch.name.as_deref(), Some(""));
    assert_eq!(patch.trace_id.unwrap().as_str(), "");
    assert_eq!(patch.input.unwrap().as_str(), r#"{"b":2}"#);
    assert_eq!(patch.merge_metadata.unwrap().as_str(), r#"{"x":1}"#);
    assert_eq!(patch.metadata, None);
}

#[test]
fn payloads_are_slices_of_the_body() {
    let body = Bytes::from(with(r#","input":{"a":1},"output":[{}]"#));
    let span = agentex::decode_create(&body).unwrap();
    for payload in [span.input.unwrap(), span.output.unwrap()] {
        let (start, end) = (body.as_ptr() as usize, body.as_ptr() as usize + body.len());
        let at = payload.as_bytes().as_ptr() as usize;
        assert!((start..end).contains(&at));
    }
}

#[test]
fn one_bad_item_costs_one_item_and_is_named() {
    let good = with("");
    for (start, end, prefix) in
        [("{\"other\":[1],\"items\":[", "]}", "items"), ("[", "]", ""), (" [ ", " ] ", "")]
    {
        let body = format!(r#"{start}{good},{{"name":"n"}},5,{},{good}{end}"#, with(r#","input":{"a":NaN}"#));
        let results = agentex::decode_batch(&body.into()).unwrap();
        let paths: Vec<_> =
            results.iter().map(|result| result.as_ref().map_err(|error| error.path.clone()).err()).collect();
        let path = |rest: &str| Some(format!("{prefix}{rest}"));
        assert_eq!(paths, [None, path("[1].trace_id"), path("[2]"), path("[3].input"), None]);
    }
}

#[test]
fn a_batch_that_is_no_batch_is_refused_as_a_whole() {
    for (body, path, kind) in [
        ("", "body", DecodeErrorKind::Missing),
        ("5", "body", wrong_type("a number")),
        ("{}", "items", DecodeErrorKind::Missing),
        (r#"{"items":null}"#, "items", wrong_type("null")),
        (r#"{"items":{}}"#, "items", wrong_type("an object")),
        (r#"{"items":[{},]}"#, "items[1]", DecodeErrorKind::Syntax { offset: 13 }),
        (r#"{"items":[{"name":}]}"#, "items[0].name", DecodeErrorKind::Syntax { offset: 18 }),
        (r#"{"items":[{}"#, "items[0]", DecodeErrorKind::Syntax { offset: 12 }),
        (r#"[{}] 1"#, "body", DecodeErrorKind::Syntax { offset: 5 }),
    ] {
        let error = agentex::decode_batch(&Bytes::copy_from_slice(body.as_bytes())).unwrap_err();
        assert_eq!((error.path.as_str(), error.kind), (path, kind), "{body}");
    }
    assert_eq!(agentex::decode_batch(&Bytes::from_static(b"[]")).unwrap(), []);
    assert_eq!(agentex::decode_batch(&Bytes::from_static(br#"{"items":[],"items":[ ]}"#)).unwrap(), []);
}

#[test]
fn a_batch_holds_at_most_1000_items() {
    let body = |count: usize| format!("[{}]", vec![with(""); count].join(","));
    assert_eq!(agentex::decode_batch(&body(1000).into()).unwrap().len(), 1000);
    let error = agentex::decode_batch(&body(1001).into()).unwrap_err();
    assert_eq!((error.path.as_str(), error.kind), ("body", DecodeErrorKind::TooManyItems));
    let error = agentex::decode_batch(&format!("{{\"items\":{}}}", body(1001)).into()).unwrap_err();
    assert_eq!((error.path.as_str(), error.kind), ("items", DecodeErrorKind::TooManyItems));
}

#[test]
fn the_answer_to_a_batch_tells_each_outcome() {
    use endspan_model::DropReason;
    use endspan_wire::agentex::{BatchAnswer, BatchOutcome};
    let rejected = BatchOutcome::from(decode(r#"{"name":"n"}"#).unwrap_err());
    let outcomes =
        [(Some("a"), &BatchOutcome::Stored), (None, &rejected), (Some("\"c\""), &BatchOutcome::Superseded)];
    let text = agentex::encode_batch_answer(outcomes, false);
    assert_eq!(
        String::from_utf8(text.clone()).unwrap(),
        concat!(
            r#"{"stored":1,"superseded":1,"rejected":1,"items":[{"index":0,"outcome":"stored","id":"a"},"#,
            r#"{"index":1,"outcome":"rejected","id":null,"reason":"malformed","field":"trace_id","#,
            r#""message":"trace_id: expected a string, but it is missing"},"#,
            r#"{"index":2,"outcome":"superseded","id":"\"c\""}]}"#
        )
    );
    let full = agentex::decode_batch_answer(&text).unwrap();
    let expected = BatchAnswer {
        stored: 1,
        superseded: 1,
        rejected: 1,
        outcomes: vec![(0, BatchOutcome::Stored), (1, rejected.clone()), (2, BatchOutcome::Superseded)],
    };
    assert_eq!(full, expected);
    let minimal = agentex::decode_batch_answer(&agentex::encode_batch_answer(outcomes, true)).unwrap();
    assert_eq!(minimal, BatchAnswer { outcomes: vec![(1, rejected)], ..expected });
    let unknown =
        br#"{"stored":0,"superseded":0,"rejected":1,"items":[{"index":0,"outcome":"odd","reason":"x"}]}"#;
    let outcome = &agentex::decode_batch_answer(unknown).unwrap().outcomes[0].1;
    assert!(matches!(outcome, BatchOutcome::Rejected { reason: DropReason::Rejected, .. }));
    assert!(agentex::decode_batch_answer(br#"{"detail":"Method Not Allowed"}"#).is_err());
}

#[test]
fn sdk_row_41_a_post_body_has_ten_keys_and_offset_times() {
    let span = decode(&with("")).unwrap();
    let mut out = Vec::new();
    agentex::encode_create(&mut out, &span);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"name":"n","start_time":"2024-01-01T10:00:00+00:00","trace_id":"t","id":"a1","data":null,"end_time":null,"input":null,"output":null,"parent_id":null,"task_id":null}"#
    );
    let all = r#","parent_id":"p","task_id":"T","end_time":"2024-01-01T10:00:05.000001Z","input":{"a":1},"output":[{}],"data":{"d":1}"#;
    let mut out = Vec::new();
    agentex::encode_create(&mut out, &decode(&with(all)).unwrap());
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"name":"n","start_time":"2024-01-01T10:00:00+00:00","trace_id":"t","id":"a1","data":{"d":1},"end_time":"2024-01-01T10:00:05.000001+00:00","input":{"a":1},"output":[{}],"parent_id":"p","task_id":"T"}"#
    );
}

#[test]
fn sdk_row_42_a_patch_body_has_no_id_and_no_nulls_and_times_in_z() {
    let mut out = Vec::new();
    agentex::encode_patch(&mut out, &decode(&with("")).unwrap());
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"name":"n","start_time":"2024-01-01T10:00:00Z","trace_id":"t"}"#
    );
    let all = r#","parent_id":"p","task_id":"T","end_time":"2024-01-01T10:00:05.000001Z","input":{"a":1},"output":[{}],"data":{"d":1}"#;
    let mut out = Vec::new();
    agentex::encode_patch(&mut out, &decode(&with(all)).unwrap());
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"name":"n","start_time":"2024-01-01T10:00:00Z","trace_id":"t","data":{"d":1},"end_time":"2024-01-01T10:00:05.000001Z","input":{"a":1},"output":[{}],"parent_id":"p","task_id":"T"}"#
    );
}

#[test]
fn payloads_that_the_api_refuses_are_wrapped_when_sent() {
    let mut span = decode(&with("")).unwrap();
    for (payload, expected) in [
        (r#"["a",1]"#, r#"{"items":["a",1]}"#),
        (r#""text""#, r#"{"value":"text"}"#),
        ("5", r#"{"value":5}"#),
        ("null", "null"),
        ("[]", "[]"),
    ] {
        span.input = Some(endspan_model::Payload::parse(payload).unwrap());
        let mut out = Vec::new();
        agentex::encode_create(&mut out, &span);
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains(&format!(r#""input":{expected},"#)), "{out}");
    }
}
