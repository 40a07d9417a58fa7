//! The mapping from an Agentex span to an SGP item (`sdk-behaviour` 8.1, rows 25 and 48 to 63).

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use endspan_model::{Payload, Span, SpanType, Status, Timestamp};
use endspan_wire::sgp::{self, AgentTags};
use serde_json::{Value, json};

fn span() -> Span {
    let mut span = Span::new("t", "s", "n", Timestamp::from_unix_micros(1_704_103_200_100_000).unwrap());
    span.end_time = Timestamp::from_unix_micros(1_704_103_201_000_000);
    span
}

fn payload(text: &str) -> Option<Payload> {
    Some(Payload::parse(text.to_owned()).unwrap())
}

fn with_data(data: &str) -> Span {
    Span { metadata: payload(data), ..span() }
}

fn tags() -> AgentTags {
    AgentTags { acp_type: Some("async".into()), ..AgentTags::default() }
}

fn text(span: &Span, tags: &AgentTags) -> String {
    let before = span.clone();
    let mut out = b"kept".to_vec();
    sgp::encode_item(&mut out, span, Some(tags));
    assert_eq!(*span, before);
    String::from_utf8(out).unwrap().strip_prefix("kept").unwrap().to_owned()
}

fn item(span: &Span) -> Value {
    serde_json::from_str(&text(span, &tags())).unwrap()
}

#[test]
fn key_order_and_times_are_those_of_the_reference() {
    let mut span = span();
    span.parent_id = Some("p".into());
    span.group_id = Some("g".into());
    assert_eq!(
        text(&span, &tags()),
        r#"{"name":"n","id":"s","trace_id":"t","start_timestamp":"2024-01-01T10:00:00.100000+00:00","input":{},"output":{},"metadata":{"__source__":"agentex","__acp_type__":"async"},"status":"SUCCESS","type":"STANDALONE","end_timestamp":"2024-01-01T10:00:01+00:00","parent_id":"p","group_id":"g"}"#
    );
}

#[test]
fn row_25_an_error_that_is_no_object_is_no_error() {
    for error in ["\"text\"", "null", "[]", "5"] {
        let item = item(&with_data(&format!(r#"{{"__error__":{error}}}"#)));
        assert_eq!(item["status"], "SUCCESS");
        assert_eq!(item["metadata"].get("error"), None);
    }
}

#[test]
fn row_48_an_end_alone_has_both_times() {
    let item = item(&span());
    assert!(item["start_timestamp"].is_string() && item["end_timestamp"].is_string());
}

#[test]
fn rows_49_to_51_tags_are_added_behind_the_users_keys() {
    assert_eq!(item(&span())["metadata"], json!({"__source__": "agentex", "__acp_type__": "async"}));
    let all = AgentTags {
        acp_type: Some("sync".into()),
        agent_name: Some("a \"b\"".into()),
        agent_id: Some("7".into()),
    };
    let text = text(&with_data(r#"{"z":1.10,"a":[{"x":2}]}"#), &all);
    let metadata = r#""metadata":{"z":1.10,"a":[{"x":2}],"__source__":"agentex","__acp_type__":"sync","__agent_name__":"a \"b\"","__agent_id__":"7"},"#;
    assert!(text.contains(metadata), "{text}");
}

#[test]
fn without_tags_the_metadata_is_the_spans_own() {
    let metadata_of = |span: &Span| {
        let mut out = Vec::new();
        sgp::encode_item(&mut out, span, None);
        serde_json::from_slice::<Value>(&out).unwrap()["metadata"].clone()
    };
    assert_eq!(metadata_of(&span()), json!({}));
    assert_eq!(metadata_of(&with_data(r#"{"__source__":"mine"}"#)), json!({"__source__": "mine"}));
}

#[test]
fn tags_replace_what_stands_under_their_keys() {
    let text = text(&with_data(r#"{"__source__":{"old":1},"b":2,"__acp_type__":"x","b":3}"#), &tags());
    let metadata = r#""metadata":{"__source__":"agentex","b":3,"__acp_type__":"async"},"#;
    assert!(text.contains(metadata), "{text}");
}

#[test]
fn rows_52_and_53_the_type_is_named_in_data() {
    let type_of = |data: &str| item(&with_data(data))["type"].clone();
    assert_eq!(type_of(r#"{"__span_type__":"AGENT_WORKFLOW"}"#), "AGENT_WORKFLOW");
    assert_eq!(item(&span())["type"], "STANDALONE");
    for data in
        [r#"[{"__span_type__":"COMPLETION"}]"#, r#"{"__span_type__":"LLM"}"#, r#"{"__span_type__":5}"#]
    {
        assert_eq!(type_of(data), "STANDALONE", "{data}");
    }
    let own = Span { span_type: Some(SpanType::Reranking), ..with_data(r#"{"__span_type__":"COMPLETION"}"#) };
    assert_eq!(item(&own)["type"], "RERANKING");
}

#[test]
fn row_54_absent_input_and_output_are_empty_objects() {
    assert_eq!((&item(&span())["input"], &item(&span())["output"]), (&json!({}), &json!({})));
    let nulls = Span { input: payload("null"), output: payload("null"), metadata: payload("null"), ..span() };
    assert_eq!(item(&nulls)["output"], json!({}));
    assert_eq!(item(&nulls)["metadata"]["__source__"], "agentex");
}

#[test]
fn row_55_an_error_is_spread_over_the_metadata() {
    let item = item(&with_data(r#"{"k":1,"__error__":{"type":"ValueError","message":"boom"}}"#));
    assert_eq!(item["status"], "ERROR");
    assert_eq!(
        item["metadata"].to_string(),
        r#"{"k":1,"__error__":{"type":"ValueError","message":"boom"},"__source__":"agentex","__acp_type__":"async","error":true,"error_type":"ValueError","error_message":"boom","error_category":"unknown"}"#
    );
    let item = self::item(&with_data(
        r#"{"error":"user's","__error__":{"type":"E","message":"","category":"platform"}}"#,
    ));
    assert_eq!(item["metadata"]["error"], true);
    assert_eq!(item["metadata"]["error_message"], Value::Null);
    assert_eq!(item["metadata"]["error_category"], "platform");
}

#[test]
fn rows_56_and_57_no_parent_and_no_task_are_sent() {
    let item = item(&Span { task_id: Some("T".into()), ..span() });
    assert!(!text(&Span { task_id: Some("T".into()), ..span() }, &tags()).contains("task_id"));
    for key in ["parent_id", "group_id", "expected", "obs_trace_id"] {
        assert_eq!(item.get(key), None);
    }
}

#[test]
fn row_61_a_malformed_error_is_not_lost() {
    for error in ["{}", r#"{"type":5}"#, r#"{"message":["x"]}"#] {
        let item = item(&with_data(&format!(r#"{{"__error__":{error}}}"#)));
        assert_eq!(item["status"], "ERROR", "{error}");
        assert_eq!(item["metadata"]["error"], true);
        assert_eq!(item["metadata"]["error_type"], Value::Null);
        assert_eq!(item["metadata"]["error_message"], Value::Null);
        assert_eq!(item["metadata"]["error_category"], "unknown");
        assert_eq!(item["metadata"]["__error__"].to_string(), error);
    }
}

#[test]
fn row_62_the_source_span_stays_as_it_is() {
    // `text` compares the span before and after.
    item(&with_data(r#"{"__error__":{"type":"E","message":"m"}}"#));
}

#[test]
fn arrays_and_scalars_are_wrapped() {
    let odd = Span {
        input: payload(r#"[{"a":1}]"#),
        output: payload(r#""text""#),
        metadata: payload(r#"[{"d":1}]"#),
        expected: payload("[]"),
        ..span()
    };
    let item = item(&odd);
    assert_eq!(item["input"], json!({"items": [{"a": 1}]}));
    assert_eq!(item["output"], json!({"value": "text"}));
    assert_eq!(item["expected"], json!({"items": []}));
    let metadata = json!({"items": [{"d": 1}], "__source__": "agentex", "__acp_type__": "async"});
    assert_eq!(item["metadata"], metadata);
}

#[test]
fn an_unfinished_span_has_no_status_unless_it_says_so() {
    let running = Span { end_time: None, ..span() };
    assert_eq!(item(&running).get("status"), None);
    assert_eq!(item(&running).get("end_timestamp"), None);
    let cancelled = Span { status: Some(Status::Canceled), ..running };
    assert_eq!(item(&cancelled)["status"], "CANCELED");
}

#[test]
fn observability_ids_are_lifted_in_both_spellings() {
    let (trace, hex) = ("0123456789abcdef0123456789abcdef", "0123456789abcdef");
    for (trace_key, span_key) in [("obs.trace_id", "obs.span_id"), ("obs_trace_id", "obs_span_id")] {
        let item = item(&with_data(&format!(r#"{{"{trace_key}":"{trace}","{span_key}":"{hex}"}}"#)));
        assert_eq!((&item["obs_trace_id"], &item["obs_span_id"]), (&trace.into(), &hex.into()));
        assert_eq!(item["metadata"][trace_key], trace);
    }
    for data in [
        format!(r#"{{"obs.span_id":"{hex}"}}"#),
        format!(r#"{{"obs.trace_id":"{}","obs.span_id":"{hex}"}}"#, trace.to_uppercase()),
        format!(r#"{{"obs.trace_id":5,"obs.span_id":"{hex}"}}"#),
        format!(r#"{{"obs.trace_id":"{}"}}"#, "0".repeat(32)),
    ] {
        let item = item(&with_data(&data));
        assert_eq!((item.get("obs_trace_id"), item.get("obs_span_id")), (None, None), "{data}");
    }
    let without_span =
        item(&with_data(&format!(r#"{{"obs.trace_id":"{trace}","obs.span_id":"{:016}"}}"#, 0)));
    assert_eq!((&without_span["obs_trace_id"], without_span.get("obs_span_id")), (&trace.into(), None));
}

#[test]
fn what_is_sent_is_taken_by_the_other_side() {
    let rich = Span {
        input: payload(r#"[{"a":"é"}]"#),
        parent_id: Some("p".into()),
        ..with_data(r#"{"__error__":{"type":"E","message":"m"},"obs_trace_id":"x"}"#)
    };
    let mut one = Vec::new();
    sgp::encode_item(&mut one, &rich, Some(&tags()));
    let body = sgp::encode_batch(&[one.clone(), one]);
    let spans = sgp::decode_batch(&body.into()).unwrap();
    assert_eq!(spans.len(), 2);
    let span = spans[1].as_ref().unwrap();
    assert_eq!((span.id.as_str(), span.status), ("s", Some(Status::Error)));
    assert_eq!((span.start_time, span.end_time), (rich.start_time, rich.end_time));
}
