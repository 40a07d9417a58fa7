//! Decoding against prost's own decoding of the same bytes, encoding, and the normal form of 1,000 model calls.
//!
//!     cargo bench -p endspan-otlp
//!
//! Times are those that the thread spent on the processor, so that a busy machine does not spoil them.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark that fails may panic")]

use std::hint::black_box;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use endspan_model::Span;
use endspan_otlp::decode::{decode_json, decode_protobuf};
use endspan_otlp::encode::Encoder;
use endspan_otlp::normal::{Detail, normalize_with};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{self as otlp, ResourceSpans, ScopeSpans};
use prost::Message;
use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds on the processor.
struct ThreadTime;

impl ThreadTime {
    fn now() -> u64 {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }
}

impl Measurement for ThreadTime {
    type Intermediate = u64;
    type Value = u64;

    fn start(&self) -> u64 {
        Self::now()
    }

    fn end(&self, start: u64) -> u64 {
        Self::now() - start
    }

    fn add(&self, a: &u64, b: &u64) -> u64 {
        a + b
    }

    fn zero(&self) -> u64 {
        0
    }

    fn to_f64(&self, value: &u64) -> f64 {
        *value as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    pair(key, Value::StringValue(value.into()))
}

fn number(key: &str, value: i64) -> KeyValue {
    pair(key, Value::IntValue(value))
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), key_strindex: 0 }
}

fn span(index: u64, name: &str, attributes: Vec<KeyValue>) -> otlp::Span {
    otlp::Span {
        trace_id: vec![7; 16],
        span_id: (index + 1).to_be_bytes().to_vec(),
        parent_span_id: if index == 0 { vec![] } else { vec![0, 0, 0, 0, 0, 0, 0, 1] },
        name: name.to_owned(),
        kind: 3,
        start_time_unix_nano: 1_700_000_000_000_000_000 + index,
        end_time_unix_nano: 1_700_000_001_000_000_000 + index,
        attributes,
        flags: 256,
        status: Some(otlp::Status::default()),
        ..otlp::Span::default()
    }
}

fn request(spans: Vec<otlp::Span>) -> Vec<u8> {
    let resource = vec![
        text("service.name", "bench"),
        text("telemetry.sdk.language", "python"),
        text("telemetry.sdk.name", "opentelemetry"),
        text("telemetry.sdk.version", "1.45.2"),
    ];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes: resource, ..Resource::default() }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope { name: "bench".into(), ..InstrumentationScope::default() }),
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
    .encode_to_vec()
}

/// A span as any instrumented web service sends it.
fn small(index: u64) -> otlp::Span {
    let attributes = vec![
        text("http.request.method", "GET"),
        text("url.full", "https://example.com/api/items?page=3"),
        number("http.response.status_code", 200),
        text("server.address", "example.com"),
        number("server.port", 443),
    ];
    span(index, "GET", attributes)
}

/// A model call with a conversation of `turns` messages of about 400 bytes.
fn model_call(index: u64, turns: usize) -> otlp::Span {
    let sentence = "The weather in Zürich is \"fine\", and the agent says so at some length. ".repeat(5);
    let messages: Vec<serde_json::Value> = (0..turns)
        .map(|turn| {
            let role = if turn % 2 == 0 { "user" } else { "assistant" };
            serde_json::json!({"role": role, "parts": [{"type": "text", "content": sentence}]})
        })
        .collect();
    let answer = serde_json::json!([
        {"role": "assistant", "parts": [{"type": "text", "content": sentence}], "finish_reason": "stop"}
    ]);
    let attributes = vec![
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.provider.name", "openai"),
        text("gen_ai.request.model", "gpt-4o"),
        text("gen_ai.response.model", "gpt-4o-2024-08-06"),
        text("gen_ai.response.id", format!("chatcmpl-{index}")),
        number("gen_ai.usage.input_tokens", 1200),
        number("gen_ai.usage.output_tokens", 90),
        number("gen_ai.usage.cache_read.input_tokens", 1024),
        text("gen_ai.conversation.id", "conversation-7"),
        text("gen_ai.input.messages", serde_json::to_string(&messages).unwrap()),
        text("gen_ai.output.messages", answer.to_string()),
    ];
    span(index, "chat gpt-4o", attributes)
}

fn bodies() -> [(&'static str, Vec<u8>); 3] {
    [
        ("512 small spans", request((0..512).map(small).collect())),
        ("512 model calls of 2 kB", request((0..512).map(|index| model_call(index, 4)).collect())),
        ("64 model calls of 20 kB", request((0..64).map(|index| model_call(index, 50)).collect())),
    ]
}

fn decode(criterion: &mut Criterion<ThreadTime>) {
    for (name, body) in bodies() {
        let mut group = criterion.benchmark_group(format!("decode {name}"));
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function("prost", |bencher| {
            bencher.iter(|| ExportTraceServiceRequest::decode(black_box(&*body)).unwrap());
        });
        group.bench_function("endspan protobuf", |bencher| {
            bencher.iter(|| decode_protobuf(black_box(&body)).unwrap());
        });
        let json = Encoder::new().encode_json(&decode_protobuf(&body).unwrap().spans);
        group.bench_function("endspan json", |bencher| {
            bencher.iter(|| decode_json(black_box(&json)).unwrap());
        });
        group.finish();
    }
}

fn encode(criterion: &mut Criterion<ThreadTime>) {
    for (name, body) in bodies() {
        let spans = decode_protobuf(&body).unwrap().spans;
        let mut group = criterion.benchmark_group(format!("encode {name}"));
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function("protobuf", |bencher| {
            bencher.iter(|| Encoder::new().encode_protobuf(black_box(&spans)));
        });
        group.finish();
    }
}

fn normalize(criterion: &mut Criterion<ThreadTime>) {
    let mut group = criterion.benchmark_group("normalize 1000 model calls");
    for (name, turns) in [("2 kB", 4), ("8 kB", 18)] {
        let body = request((0..1000).map(|index| model_call(index, turns)).collect());
        let spans: Vec<Span> = decode_protobuf(&body).unwrap().spans;
        for (detail_name, detail) in [("summary", Detail::Summary), ("full", Detail::Full)] {
            group.bench_function(format!("{name} {detail_name}"), |bencher| {
                bencher.iter_batched(
                    || (),
                    |()| spans.iter().map(|span| normalize_with(span, detail)).collect::<Vec<_>>(),
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ThreadTime).sample_size(30).measurement_time(std::time::Duration::from_secs(3));
    targets = decode, encode, normalize
}
criterion_main!(benches);
