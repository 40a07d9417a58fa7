//! Whatever OTLP says comes back: checked against the generated OTLP types, which the crate itself does not use.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use endspan_model::{Payload, Span, SpanType, Status, Timestamp};
use endspan_otlp::decode::{decode_json, decode_protobuf};
use endspan_otlp::encode::{Encoder, encode_request};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{self as otlp, ResourceSpans, ScopeSpans};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use prost::Message;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "(?s).{0,12}",
        Just(r#"{"role": "user", "parts": [{"type": "text", "content": "a, b: \"c\""}]}"#.to_owned()),
        Just(r#"[{"a":1,"b":[]},-0.0]"#.to_owned()),
        Just("{ \"odd\":  1 }".to_owned()),
        Just("[]".to_owned()),
        Just("\u{0}\u{7f}\u{2028}".to_owned()),
    ]
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z$.]{0,6}",
        Just("$otlp".to_owned()),
        Just("input.value".to_owned()),
        Just("gen_ai.output.messages".to_owned()),
        Just("llm.input_messages.0.message.content".to_owned()),
        Just("gen_ai.request.model".to_owned()),
    ]
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        Just(None),
        text().prop_map(|text| Some(Value::StringValue(text))),
        any::<bool>().prop_map(|value| Some(Value::BoolValue(value))),
        any::<i64>().prop_map(|value| Some(Value::IntValue(value))),
        any::<f64>()
            .prop_filter("NaN is never equal", |v| !v.is_nan())
            .prop_map(|v| Some(Value::DoubleValue(v))),
        prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(1.0), Just(-0.0)]
            .prop_map(|value| Some(Value::DoubleValue(value))),
        vec(any::<u8>(), 0..8).prop_map(|bytes| Some(Value::BytesValue(bytes))),
    ]
    .prop_map(|value| AnyValue { value });
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4)
                .prop_map(|values| AnyValue { value: Some(Value::ArrayValue(ArrayValue { values })) }),
            vec((key(), inner), 0..4).prop_map(|pairs| AnyValue {
                value: Some(Value::KvlistValue(KeyValueList {
                    values: pairs.into_iter().map(|(key, value)| pair(key, value)).collect(),
                })),
            }),
        ]
    })
}

fn pair(key: String, value: AnyValue) -> KeyValue {
    KeyValue { key, value: Some(value), key_strindex: 0 }
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    btree_map(key(), any_value(), 0..5)
        .prop_map(|map| map.into_iter().map(|(key, value)| pair(key, value)).collect())
}

prop_compose! {
    fn event()(time_unix_nano in any::<u64>(), name in text(), attributes in attributes(), dropped in any::<u32>()) -> Event {
        Event { time_unix_nano, name, attributes, dropped_attributes_count: dropped }
    }
}

prop_compose! {
    fn link()(
        trace_id in vec(any::<u8>(), 16), span_id in vec(any::<u8>(), 8), trace_state in text(),
        attributes in attributes(), dropped in any::<u32>(), flags in any::<u32>(),
    ) -> Link {
        Link { trace_id, span_id, trace_state, attributes, dropped_attributes_count: dropped, flags }
    }
}

prop_compose! {
    fn span()(
        trace_id in vec(1..=255_u8, 16), parent in prop_oneof![Just(vec![]), vec(1..=255_u8, 8)],
        trace_state in text(), flags in any::<u32>(), name in text(), kind in 0..7_i32,
        start in prop_oneof![Just(0_u64), any::<u64>()], end in prop_oneof![Just(0_u64), 1..=u64::MAX],
        attributes in attributes(), events in vec(event(), 0..3), links in vec(link(), 0..3),
        dropped in any::<(u32, u32, u32)>(),
        status in prop::option::of((text(), 0..5_i32)),
    ) -> otlp::Span {
        otlp::Span {
            trace_id, parent_span_id: parent, trace_state, flags, name, kind,
            start_time_unix_nano: if start == 0 && end == 0 { 7 } else { start }, end_time_unix_nano: end,
            attributes, events, links,
            dropped_attributes_count: dropped.0, dropped_events_count: dropped.1, dropped_links_count: dropped.2,
            status: status.map(|(message, code)| otlp::Status { message, code }),
            ..otlp::Span::default()
        }
    }
}

prop_compose! {
    fn scope_spans()(
        scope in prop::option::of((text(), text(), attributes(), any::<u32>())),
        schema_url in text(), spans in vec(span(), 1..4),
    ) -> ScopeSpans {
        ScopeSpans {
            scope: scope.map(|(name, version, attributes, dropped)| InstrumentationScope {
                name, version, attributes, dropped_attributes_count: dropped,
            }),
            schema_url, spans,
        }
    }
}

prop_compose! {
    fn request()(groups in vec((prop::option::of((attributes(), any::<u32>())), text(), vec(scope_spans(), 1..3)), 1..3))
    -> ExportTraceServiceRequest {
        let mut id = 0_u64;
        let mut resource_spans: Vec<ResourceSpans> = groups
            .into_iter()
            .map(|(resource, schema_url, scope_spans)| ResourceSpans {
                resource: resource.map(|(attributes, dropped)| Resource {
                    attributes, dropped_attributes_count: dropped,
                    entity_refs: vec![EntityRef { r#type: "service".into(), id_keys: vec!["a".into()], ..EntityRef::default() }],
                }),
                schema_url, scope_spans,
            })
            .collect();
        for span in resource_spans.iter_mut().flat_map(|r| &mut r.scope_spans).flat_map(|s| &mut s.spans) {
            id += 1;
            span.span_id = id.to_be_bytes().to_vec();
        }
        ExportTraceServiceRequest { resource_spans }
    }
}

/// Every span with its surroundings, in one order, so that grouping and order of attributes do not matter.
type Flat = Vec<(Vec<u8>, (Resource, String), (InstrumentationScope, String), otlp::Span)>;

fn flatten(request: ExportTraceServiceRequest) -> Flat {
    let sorted = |mut attributes: Vec<KeyValue>| {
        attributes.sort_by(|a, b| a.key.cmp(&b.key));
        attributes
    };
    let mut flat = Vec::new();
    for resource_spans in request.resource_spans {
        // A missing message and an empty one say the same.
        let resource = (resource_spans.resource.unwrap_or_default(), resource_spans.schema_url);
        for scope_spans in resource_spans.scope_spans {
            let scope = (scope_spans.scope.unwrap_or_default(), scope_spans.schema_url);
            for mut span in scope_spans.spans {
                span.attributes = sorted(span.attributes);
                span.status = Some(span.status.unwrap_or_default());
                flat.push((span.span_id.clone(), resource.clone(), scope.clone(), span));
            }
        }
    }
    flat.sort_by(|a, b| a.0.cmp(&b.0));
    flat
}

fn decoded(body: &[u8]) -> Vec<Span> {
    let request = decode_protobuf(body).unwrap();
    assert_eq!(request.rejected, []);
    for span in &request.spans {
        for payload in [&span.input, &span.output, &span.metadata, &span.otel].into_iter().flatten() {
            let checked = Payload::parse(payload.bytes().clone()).unwrap();
            assert_eq!(&checked, payload, "payloads hold what a payload promises");
        }
    }
    request.spans
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn protobuf_comes_back(request in request()) {
        let spans = decoded(&request.encode_to_vec());
        let back = ExportTraceServiceRequest::decode(&*encode_request(&spans)).unwrap();
        prop_assert_eq!(flatten(back), flatten(request));
    }

    #[test]
    fn json_says_what_protobuf_says(request in request()) {
        let spans = decoded(&request.encode_to_vec());
        let json = Encoder::new().encode_json(&spans);
        let from_json = decode_json(&json).unwrap();
        prop_assert_eq!(from_json.rejected, []);
        let back = ExportTraceServiceRequest::decode(&*encode_request(&from_json.spans)).unwrap();
        prop_assert_eq!(flatten(back), flatten(request));
    }

    #[test]
    fn damaged_bytes_never_panic(request in request(), at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()) {
        let mut body = request.encode_to_vec();
        let index = at.index(body.len());
        body[index] = byte;
        if let Ok(request) = decode_protobuf(&body) {
            encode_request(&request.spans);
        }
        body.truncate(cut.index(body.len()));
        let _ = decode_protobuf(&body);
        let _ = decode_json(&body);
    }

    #[test]
    fn other_spans_come_back_under_their_own_ids(span in foreign_span(), json: bool) {
        let spans = if json {
            decode_json(&Encoder::new().encode_json(std::slice::from_ref(&span))).unwrap().spans
        } else {
            decoded(&encode_request(std::slice::from_ref(&span)))
        };
        let [mut back] = <[Span; 1]>::try_from(spans).unwrap();
        prop_assert!(back.otel.is_some());
        // Once more: a mapped span is mapped again in the same way.
        let [mut again] = <[Span; 1]>::try_from(decoded(&encode_request(std::slice::from_ref(&back)))).unwrap();
        back.otel = None;
        again.otel = None;
        prop_assert_eq!(&back, &span);
        prop_assert_eq!(&again, &span);
    }
}

fn payload() -> impl Strategy<Value = Option<Payload>> {
    prop::option::of(prop_oneof![
        Just(r#"{"messages":[{"role":"user","content":"hi"}],"n":1.10}"#),
        Just(r#"[{"a":null},{"b":"\u0000"}]"#),
        Just("{}"),
        Just("\"text\""),
        Just("12345678901234567890123"),
        Just(r#"{"__error__":{"type":"ValueError","message":"boom"},"usage":{"input_tokens":3}}"#),
    ])
    .prop_map(|text| text.map(|text| Payload::parse(text.to_owned()).unwrap()))
}

prop_compose! {
    fn foreign_span()(
        ids in (text(), text(), prop::option::of(text())), name in text(),
        start in 1..4_000_000_000_000_000_000_i64, length in prop::option::of(0..1_000_000_000_i64),
        status in prop::sample::select(vec![None, Some(Status::Success), Some(Status::Error), Some(Status::Canceled)]),
        span_type in prop::option::of(prop::sample::select(SpanType::ALL.to_vec())),
        payloads in (payload(), payload(), payload(), payload()),
        texts in (prop::option::of(text()), prop::option::of(text()), prop::option::of(text()), prop::option::of(text())),
        observed in any::<bool>(),
    ) -> Span {
        let time = |nanos: i64| Timestamp::from_unix_nanos(i128::from(nanos)).unwrap();
        let mut span = Span::new(ids.0, ids.1, name, time(start));
        span.parent_id = ids.2.map(Into::into);
        span.end_time = length.map(|length| time(start + length));
        span.status = status;
        span.span_type = span_type;
        (span.input, span.output, span.metadata, span.expected) = payloads;
        (span.task_id, span.group_id, span.application_variant_id, span.application_interaction_id) = texts;
        if observed {
            span.obs_trace_id = Some("0123456789abcdef0123456789abcdef".to_owned());
            span.obs_span_id = Some("0123456789abcdef".to_owned());
        }
        span
    }
}
