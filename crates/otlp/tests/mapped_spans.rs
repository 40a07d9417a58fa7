//! What the spans of other APIs look like to an OTLP backend.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use endspan_model::{Payload, Span, SpanType, Timestamp};
use endspan_otlp::encode::Encoder;
use serde_json::{Value, json};

fn payload(value: Value) -> Option<Payload> {
    Some(Payload::from_value(&value).unwrap())
}

#[test]
fn an_agentex_model_call_says_what_it_is_in_every_tongue() {
    let mut span = Span::new(
        "01234567-89ab-cdef-0123-456789abcdef",
        "fedcba98-7654-3210-fedc-ba9876543210",
        "generate",
        Timestamp::from_unix_nanos(1_700_000_000_000_000_001).unwrap(),
    );
    span.parent_id = Some("1122334455667788".into());
    span.end_time = Timestamp::from_unix_nanos(1_700_000_001_000_000_000);
    span.span_type = Some(SpanType::Completion);
    span.group_id = Some("conversation-7".into());
    span.task_id = Some("task-1".into());
    span.input = payload(json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}));
    span.output = payload(json!({"usage": {"prompt_tokens": 9, "completion_tokens": 2}}));
    span.metadata = payload(json!({
        "__agent_name__": "weather", "__error__": {"type": "ValueError", "message": "boom"},
    }));
    let encoder = Encoder::new().with_resource_attribute("service.name", "my-agent");
    let request: Value = serde_json::from_slice(&encoder.encode_json(&[span])).unwrap();
    let mut text = format!("{request:#}");
    text = text.replace(env!("CARGO_PKG_VERSION"), "[version]");
    insta::assert_snapshot!(text);
}
