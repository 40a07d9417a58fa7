//! The OTLP exporter on the wire, read by OpenTelemetry's own messages.

use std::io::Read as _;

use endspan::exporter::otlp::{Compression, OtlpBuilder};
use endspan::model::Span;
use endspan::{Environment, OtlpExporter, SpanType, Status, Tracer};
use endspan_testkit::{FakeBackend, Reply, Request};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use opentelemetry_proto::tonic::trace::v1 as otlp;
use prost::Message as _;
use serde_json::json;

use crate::{PATIENCE, assert_conserved, builder, make_spans, nothing, sgp};

fn backend() -> FakeBackend {
    let backend = FakeBackend::start();
    backend.always(Reply::status(200));
    backend
}

fn exporter(backend: &FakeBackend) -> OtlpBuilder {
    OtlpExporter::builder().environment(nothing()).endpoint(format!("{}/v1/traces", backend.url()))
}

fn decoded(request: &Request) -> ExportTraceServiceRequest {
    let mut body = request.body.clone();
    if request.header("content-encoding") == Some("gzip") {
        body.clear();
        flate2::read::GzDecoder::new(request.body.as_slice()).read_to_end(&mut body).unwrap();
    }
    ExportTraceServiceRequest::decode(body.as_slice()).unwrap()
}

fn spans(backend: &FakeBackend) -> Vec<otlp::Span> {
    let requests = backend.requests();
    let resources = requests.iter().flat_map(|request| decoded(request).resource_spans);
    resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
}

fn attribute(span: &otlp::Span, key: &str) -> Option<any_value::Value> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    found.value.clone().and_then(|AnyValue { value }| value)
}

fn text(span: &otlp::Span, key: &str) -> Option<String> {
    match attribute(span, key) {
        Some(any_value::Value::StringValue(text)) => Some(text),
        _ => None,
    }
}

#[test]
fn a_model_call_is_what_opentelemetry_expects() {
    let backend = backend();
    let exporter =
        exporter(&backend).header("x-api-key", "key").resource_attribute("service.name", "agent").build();
    let tracer = builder().exporter(exporter).build();
    let trace = tracer.trace("conversation 7").group_id("session");
    let turn = trace.span("turn").span_type(SpanType::AgentWorkflow).start();
    let mut call = turn.child("ask").span_type(SpanType::Completion).start();
    call.set_input(&json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "why?"}]}));
    call.set_output(&json!({"role": "assistant", "content": "because"}));
    call.set_data(
        &json!({"obs.trace_id": "0af7651916cd43dd8448eb211c80319c", "obs.span_id": "b7ad6b7169203331"}),
    );
    call.record_usage(&json!({"input_tokens": 120, "output_tokens": 30}), None);
    call.record_error_as("RateLimited", "slow down");
    let (call_id, turn_id) = (call.id().to_owned(), turn.id().to_owned());
    call.end();
    turn.end();
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!(report.delivered(), 2);

    let requests = backend.requests();
    assert_eq!(backend.lines(), ["POST /v1/traces"]);
    for (name, value) in
        [("content-type", "application/x-protobuf"), ("content-encoding", "gzip"), ("x-api-key", "key")]
    {
        assert_eq!(requests[0].header(name), Some(value));
    }
    let resource = decoded(&requests[0]).resource_spans[0].resource.clone().unwrap();
    let says = |key: &str, value: &str| {
        let value = Some(any_value::Value::StringValue(value.to_owned()));
        resource.attributes.iter().any(|one| one.key == key && one.value.clone().unwrap().value == value)
    };
    assert!(says("telemetry.sdk.name", "endspan") && says("service.name", "agent"));

    let spans = spans(&backend);
    let [call, turn] = ["ask", "turn"].map(|name| spans.iter().find(|span| span.name == name).unwrap());
    assert_eq!((call.trace_id.len(), call.span_id.len()), (16, 8));
    assert_eq!((&call.trace_id, &call.parent_span_id), (&turn.trace_id, &turn.span_id));
    assert!(turn.parent_span_id.is_empty());
    assert!(call.end_time_unix_nano >= call.start_time_unix_nano && call.start_time_unix_nano > 0);
    assert_eq!(
        call.status.as_ref().map(|status| (status.code, status.message.as_str())),
        Some((2, "slow down"))
    );
    assert_eq!(call.events[0].name, "exception");
    for (key, value) in [
        ("endspan.trace_id", "conversation 7"),
        ("endspan.span_id", &call_id),
        ("endspan.parent_id", &turn_id),
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.request.model", "gpt-4o"),
        ("gen_ai.conversation.id", "session"),
        ("error.type", "RateLimited"),
        ("openinference.span.kind", "LLM"),
        ("obs_trace_id", "0af7651916cd43dd8448eb211c80319c"),
        ("obs_span_id", "b7ad6b7169203331"),
        ("input.value", r#"{"model":"gpt-4o","messages":[{"role":"user","content":"why?"}]}"#),
    ] {
        assert_eq!(text(call, key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(attribute(call, "gen_ai.usage.input_tokens"), Some(any_value::Value::IntValue(120)));
    assert_eq!(attribute(call, "gen_ai.usage.output_tokens"), Some(any_value::Value::IntValue(30)));
}

#[test]
fn what_was_sent_reads_back_as_the_spans_that_were_made() {
    for (json, compression) in [(false, Compression::None), (true, Compression::Gzip)] {
        let backend = backend();
        let tracer =
            builder().exporter(exporter(&backend).json(json).compression(compression).build()).build();
        make_spans(&tracer, "t", 300);
        let mut span =
            tracer.trace("0af7651916cd43dd8448eb211c80319c").span("ä").id("b7ad6b7169203331").start();
        span.set_status(Status::Canceled);
        span.end();
        assert_eq!(tracer.shutdown().delivered(), 301);
        let read: Vec<Span> = backend
            .requests()
            .iter()
            .flat_map(|request| {
                let mut body = Vec::new();
                if compression == Compression::Gzip {
                    flate2::read::GzDecoder::new(request.body.as_slice()).read_to_end(&mut body).unwrap();
                } else {
                    body.clone_from(&request.body);
                }
                let decode = if json {
                    endspan_otlp::decode::decode_json
                } else {
                    endspan_otlp::decode::decode_protobuf
                };
                decode(&body).unwrap().spans
            })
            .collect();
        assert_eq!(read.len(), 301);
        let work = read.iter().find(|span| span.name == "work").unwrap();
        assert_eq!((work.trace_id.as_str(), work.id.as_str().len()), ("t", 36));
        assert!(work.input.as_ref().unwrap().get("index").is_some());
        let own = read.iter().find(|span| span.name == "ä").unwrap();
        assert_eq!((own.id.as_str(), own.status), ("b7ad6b7169203331", Some(Status::Canceled)));
    }
}

#[test]
fn the_rejected_of_a_partial_success_are_dropped_and_counted() {
    let backend = backend();
    let partial = json!({"partialSuccess": {"rejectedSpans": "2", "errorMessage": "too old"}});
    backend.script([Reply::Body(200, partial)]);
    let tracer = builder().linger(PATIENCE).exporter(exporter(&backend).build()).build();
    make_spans(&tracer, "t", 5);
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!((report.delivered(), report.dropped()), (3, 2), "{report}");
    assert_eq!(backend.requests().len(), 1, "a partial success is not sent again");
}

#[test]
fn what_otlp_calls_retryable_is_tried_again_and_nothing_else() {
    for status in [429, 502, 503, 504] {
        let backend = backend();
        backend.script([Reply::retry_after(status, "0")]);
        let tracer = builder().exporter(exporter(&backend).build()).build();
        make_spans(&tracer, "t", 1);
        let report = tracer.flush(PATIENCE);
        assert_eq!((report.delivered(), backend.requests().len()), (1, 2), "{status}: {report}");
        assert_conserved(&tracer.shutdown());
    }
    for status in [400, 422, 500, 501] {
        let backend = backend();
        backend.script([Reply::status(status)]);
        let tracer = builder().exporter(exporter(&backend).build()).build();
        make_spans(&tracer, "t", 1);
        let report = tracer.shutdown();
        assert_conserved(&report);
        assert_eq!((report.dropped(), backend.requests().len()), (1, 1), "{status}: {report}");
    }
}

#[test]
fn a_broken_connection_and_a_refused_key_lose_nothing() {
    let backend = backend();
    backend.script([Reply::Reset, Reply::status(401)]);
    let tracer = builder().exporter(exporter(&backend).build()).build();
    make_spans(&tracer, "t", 3);
    assert!(backend.wait_for_requests(2, PATIENCE));
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!(report.delivered(), 3, "{report}");
}

#[test]
fn a_bad_span_stands_alone_in_the_end() {
    let backend = backend();
    let tracer = builder().linger(PATIENCE).exporter(exporter(&backend).build()).build();
    // All, the left half, the right half.
    backend.script([Reply::status(400), Reply::status(400), Reply::status(200)]);
    make_spans(&tracer, "t", 2);
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!((report.delivered(), report.dropped()), (1, 1), "{report}");
}

#[test]
fn requests_stay_within_their_bytes_and_shrink_on_413() {
    let backend = backend();
    let exporter = exporter(&backend).compression(Compression::None).build();
    let tracer = builder().batch_bytes(64 * 1024).linger(PATIENCE).exporter(exporter).build();
    let trace = tracer.trace("t");
    for _ in 0..40 {
        trace.span("large").input(&json!({"text": "x".repeat(10_000)})).start().end();
    }
    let report = tracer.flush(PATIENCE);
    assert_eq!(report.delivered(), 40);
    assert!(backend.requests().iter().all(|request| request.body.len() < 80 * 1024));
    backend.script([Reply::status(413)]);
    for _ in 0..6 {
        trace.span("large").input(&json!({"text": "x".repeat(10_000)})).start().end();
    }
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!((report.delivered(), report.dropped()), (46, 0), "{report}");
}

#[test]
fn large_batches_are_encoded_elsewhere_and_arrive() {
    let backend = backend();
    let tracer = builder().linger(PATIENCE).exporter(exporter(&backend).build()).build();
    let trace = tracer.trace("t");
    for _ in 0..100 {
        trace.span("large").input(&json!({"text": "x".repeat(20_000)})).start().end();
    }
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!((report.delivered(), spans(&backend).len()), (100, 100));
    let bytes: usize = backend.requests().iter().map(|request| request.body.len()).sum();
    assert!(bytes < 200_000, "gzip: {bytes}");
}

#[test]
fn a_hanging_collector_does_not_delay_sgp() {
    let (collector, other) = (FakeBackend::start(), FakeBackend::start());
    collector.always(Reply::Hang);
    let tracer = builder().exporter(exporter(&collector).build()).exporter(sgp(&other)).build();
    make_spans(&tracer, "t", 10);
    assert!(other.wait_for_spans(10, PATIENCE));
    let report = tracer.shutdown_within(std::time::Duration::from_millis(200));
    assert_conserved(&report);
}

#[test]
fn the_environment_alone_is_enough() {
    let backend = backend();
    let url = backend.url();
    let environment = Environment::fixed([
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20key"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("OTEL_SERVICE_NAME", "named"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=loses,deployment.environment=test"),
    ]);
    let exporter = OtlpExporter::builder().environment(environment).build();
    let tracer: Tracer = builder().exporter(exporter).build();
    make_spans(&tracer, "t", 1);
    assert_eq!(tracer.shutdown().delivered(), 1);
    let request = &backend.requests()[0];
    assert_eq!((request.path.as_str(), request.header("authorization")), ("/v1/traces", Some("Bearer key")));
    assert_eq!(request.header("content-encoding"), None);
    let resource = decoded(request).resource_spans[0].resource.clone().unwrap();
    let names: Vec<_> = resource
        .attributes
        .iter()
        .filter(|one| one.key == "service.name")
        .filter_map(|one| one.value.clone()?.value)
        .collect();
    assert_eq!(names, [any_value::Value::StringValue("named".to_owned())]);
}
