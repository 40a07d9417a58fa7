//! One bad span costs one span, and what the field sends by mistake is read or refused with a reason.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use endspan_model::{Span, Status};
use endspan_otlp::decode::{DecodeError, DecodedRequest, decode_json, decode_protobuf};
use endspan_otlp::response::{Encoding, PartialSuccess, encode_status};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::{self as otlp, ResourceSpans, ScopeSpans};
use prost::Message;

const TRACE: &str = "5b8efff798038103d269b633813fc60c";

fn json(body: &str) -> DecodedRequest {
    decode_json(body.as_bytes()).unwrap()
}

fn one(body: &str) -> Span {
    let request = json(body);
    assert_eq!(request.rejected, []);
    let [span] = <[Span; 1]>::try_from(request.spans).unwrap();
    span
}

fn with_spans(spans: &str) -> String {
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#)
}

#[test]
fn snake_case_keys_and_nulls_are_read() {
    let span = one(&format!(
        r#"{{"resource_spans":[{{"resource":null,"schema_url":null,"scope_spans":[{{"scope":{{"name":"s"}},"spans":[{{
        "trace_id":"{TRACE}","span_id":"EEE19B7EC3C1B174","parent_span_id":"","name":"n","kind":"SPAN_KIND_CLIENT",
        "start_time_unix_nano":1544712660000000001,"end_time_unix_nano":"1544712661000000002","attributes":null,
        "dropped_attributes_count":"2","events":null,"links":[],"trace_state":null,
        "status":{{"code":"STATUS_CODE_ERROR","message":"bad"}}}}]}}]}}]}}"#
    ));
    assert_eq!((span.trace_id.as_str(), span.id.as_str()), (TRACE, "eee19b7ec3c1b174"));
    assert_eq!(span.parent_id, None);
    assert_eq!(span.start_time.unix_nanos(), 1_544_712_660_000_000_001);
    assert_eq!(span.end_time.unwrap().unix_nanos(), 1_544_712_661_000_000_002);
    assert_eq!(span.status, Some(Status::Error));
    assert_eq!(
        span.otel.unwrap().as_str(),
        r#"{"kind":3,"status_message":"bad","dropped_attributes_count":2,"scope":{"name":"s"}}"#
    );
}

#[test]
fn ids_may_be_hex_base64_or_shaped_like_uuids() {
    for trace in [TRACE, "W47/95gDgQPSabYzgT/GDA==", "5b8efff7-9803-8103-d269-b633813fc60c"] {
        for id in ["eee19b7ec3c1b174", "7uGbfsPBsXQ=", "7uGbfsPBsXQ"] {
            let span = one(&with_spans(&format!(
                r#"{{"traceId":"{trace}","spanId":"{id}","startTimeUnixNano":"1","endTimeUnixNano":"2"}}"#
            )));
            assert_eq!((span.trace_id.as_str(), span.id.as_str()), (TRACE, "eee19b7ec3c1b174"));
        }
    }
}

#[test]
fn attribute_values_may_be_of_any_form() {
    let span = one(&with_spans(&format!(
        r#"{{"traceId":"{TRACE}","spanId":"eee19b7ec3c1b174","startTimeUnixNano":"1","attributes":[
        {{"key":"a","value":{{"intValue":"7"}}}},{{"key":"b","value":{{"int_value":7}}}},{{"key":"c","value":{{"doubleValue":7}}}},
        {{"key":"d","value":{{"doubleValue":"NaN"}}}},{{"key":"e","value":{{"arrayValue":{{"values":[{{"boolValue":true}},null,{{}}]}}}}}},
        {{"key":"f","value":{{"kvlistValue":{{"values":[{{"key":"x","value":{{"bytesValue":"AQI="}}}}]}}}}}},{{"key":"g","value":"plain"}},
        {{"key":"h","value":null}},{{"key":"i"}},{{"key":"j","value":{{"stringValue":"[1, 2]"}}}}]}}"#
    )));
    assert_eq!(
        span.metadata.unwrap().as_str(),
        r#"{"a":7,"b":7,"c":7.0,"d":{"$otlp":"double","value":"NaN"},"e":[true,null,null],"f":{"x":{"$otlp":"bytes","value":"AQI="}},"g":"plain","h":null,"i":null,"j":[1,2]}"#
    );
    assert_eq!(span.end_time, None, "a span without end is running");
}

#[test]
fn a_bad_span_costs_one_span() {
    let good = |id: u8| {
        format!(r#"{{"traceId":"{TRACE}","spanId":"00000000000000{id:02x}","startTimeUnixNano":"1"}}"#)
    };
    let spans = [
        good(1),
        r#"{"traceId":"zz","spanId":"1"}"#.to_owned(),
        good(2),
        "null".to_owned(),
        r#"{"name":7}"#.to_owned(),
        format!(r#"{{"traceId":"{TRACE}","spanId":"0000000000000000","startTimeUnixNano":"1"}}"#),
        format!(r#"{{"traceId":"{TRACE}","spanId":"0000000000000009"}}"#),
        good(3),
    ];
    let request = json(&with_spans(&spans.join(",")));
    let ids: Vec<&str> = request.spans.iter().map(|span| span.id.as_str()).collect();
    assert_eq!(ids, ["0000000000000001", "0000000000000002", "0000000000000003"]);
    let partial = PartialSuccess::from_rejected(&request.rejected);
    assert_eq!(partial.rejected_spans, 5);
    insta::assert_snapshot!(partial.error_message.replace("; ", "\n"), @r#"
    span 1: span: traceId: cannot be "zz": neither hex nor base64
    span 3: span: is null
    span 4: span: name: cannot be the number 7
    span 5: span_id: must be 8 bytes and not all zero, got 8 bytes
    span 6: start_time_unix_nano: missing
    "#);
}

#[test]
fn a_bad_span_costs_one_span_in_protobuf_too() {
    let span = |id: u8| otlp::Span {
        trace_id: vec![1; 16],
        span_id: vec![id; 8],
        start_time_unix_nano: 1,
        ..otlp::Span::default()
    };
    let mut spans = vec![span(1), otlp::Span { trace_id: vec![1; 5], ..span(2) }, span(3)];
    spans[0].name = "x".repeat(200);
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    };
    let mut body = request.encode_to_vec();
    let at = body.iter().rposition(|byte| *byte == b'x').unwrap();
    body[at] = 0xff;
    let decoded = decode_protobuf(&body).unwrap();
    assert_eq!(decoded.spans.len(), 2);
    assert_eq!(decoded.rejected[0].index, 1);
    // Text that is not UTF-8 costs its bad bytes only, and says so.
    assert!(decoded.spans[0].name.ends_with("x\u{fffd}"));
    assert!(decoded.spans[0].otel.as_ref().unwrap().as_str().contains(r#""utf8_repaired":true"#));
    assert!(ExportTraceServiceRequest::decode(&*body).is_err(), "the generated decoder loses the request");
}

#[test]
fn names_and_conversations_keep_to_the_limits() {
    let span = |name: &str, session: &str| {
        format!(
            r#"{{"traceId":"{TRACE}","spanId":"0000000000000001","startTimeUnixNano":"1","name":"{name}",
            "attributes":[{{"key":"session.id","value":{{"stringValue":"{session}"}}}}]}}"#
        )
    };
    let request = json(&with_spans(&span(&"n".repeat(16 * 1024 + 1), "")));
    assert_eq!(request.rejected[0].error.to_string(), "name: longer than 16384 bytes");
    assert_eq!(one(&with_spans(&span("n", "chat-1"))).group_id.as_deref(), Some("chat-1"));
    let long = one(&with_spans(&span("n", &"c".repeat(257))));
    assert_eq!(long.group_id, None);
    assert!(long.metadata.unwrap().as_str().contains(&"c".repeat(257)));
}

#[test]
fn data_without_spans_is_an_error_with_a_reason() {
    for empty in ["{}", r#"{"resourceSpans":[]}"#, r#"{"resourceSpans":null}"#] {
        assert_eq!(json(empty).spans, []);
    }
    assert_eq!(decode_protobuf(b"").unwrap().spans, []);
    for (body, hint) in [
        (r#"{"resourceLogs":[{}]}"#, r#"only unknown keys ["resourceLogs"]"#),
        (r#"{"ResourceSpans":[{}]}"#, r#"only unknown keys ["ResourceSpans"]"#),
        (r#"{"resourceSpans":[{"scopespans":[{"spans":[]}]}]}"#, r#"only unknown keys ["scopespans"]"#),
    ] {
        let error = decode_json(body.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), format!("body: {} bytes hold no span, {hint}", body.len()));
    }
    assert!(matches!(decode_json(b"[]"), Err(DecodeError::Json(_))));
    assert!(matches!(decode_json(b"{"), Err(DecodeError::Json(_))));
    assert!(matches!(decode_json(b"{} {}"), Err(DecodeError::Json(_))));
    assert!(matches!(decode_protobuf(b"{}"), Err(DecodeError::Wire(_))));
    let error = decode_protobuf(&[0x10, 1]).unwrap_err();
    assert_eq!(error.to_string(), "body: 2 bytes hold no span, only unknown fields [2]");
    let no_spans = ExportTraceServiceRequest { resource_spans: vec![ResourceSpans::default()] };
    assert!(matches!(decode_protobuf(&no_spans.encode_to_vec()), Err(DecodeError::NoSpans { .. })));
}

#[test]
fn answers_are_those_of_the_protocol() {
    let partial = PartialSuccess::from_reasons((0..10).map(|at| (at, "no".to_owned())));
    let response = ExportTraceServiceResponse::decode(&*partial.encode(Encoding::Protobuf)).unwrap();
    assert_eq!(
        response.partial_success,
        Some(ExportTracePartialSuccess { rejected_spans: 10, error_message: partial.error_message.clone() })
    );
    assert!(partial.error_message.ends_with("span 7: no; and 2 more"));
    let text = String::from_utf8(PartialSuccess::from_reasons([(3, "no".to_owned())]).encode(Encoding::Json));
    assert_eq!(text.unwrap(), r#"{"partialSuccess":{"rejectedSpans":"1","errorMessage":"span 3: no"}}"#);
    assert_eq!(PartialSuccess::default().encode(Encoding::Json), b"{}");
    assert_eq!(PartialSuccess::default().encode(Encoding::Protobuf), b"");
    assert_eq!(encode_status(3, "no", Encoding::Json), br#"{"code":3,"message":"no"}"#);
    assert_eq!(encode_status(3, "no", Encoding::Protobuf), b"\x08\x03\x12\x02no");
    assert_eq!(Encoding::from_content_type("Application/JSON; charset=utf-8"), Some(Encoding::Json));
    assert_eq!(Encoding::from_content_type("text/plain"), None);
}
