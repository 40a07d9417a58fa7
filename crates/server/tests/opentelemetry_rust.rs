//! opentelemetry-rust's own exporters: everything that a span can hold arrives, over HTTP and gRPC.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails panics")]

use std::net::SocketAddr;
use std::sync::Arc;

use endspan_model::{Span, Status as ModelStatus};
use endspan_server::{Config, Server};
use endspan_store::memory::MemoryStore;
use endspan_store::{ListQuery, SpanStore};
use opentelemetry::trace::{
    Link, Span as _, SpanContext, SpanKind, Status, TraceContextExt, Tracer, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{
    Compression, Protocol, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData, SpanExporter as _};
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// Spans that use what the API offers.
fn spans() -> (Vec<SpanData>, Resource) {
    let memory = InMemorySpanExporter::default();
    let resource =
        Resource::builder_empty().with_attribute(KeyValue::new("service.name", "conformance")).build();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(memory.clone())
        .with_resource(resource.clone())
        .build();
    let tracer = provider.tracer("conformance.scope");
    let mut root = tracer.span_builder("root").with_kind(SpanKind::Server).start(&tracer);
    root.set_attribute(KeyValue::new("text", "with \"quotes\" and Umläute"));
    root.set_attribute(KeyValue::new("json", r#"{"a": [1, 2.50]}"#));
    root.set_attribute(KeyValue::new("large", i64::MAX));
    root.set_attribute(KeyValue::new("whole", 1.0));
    root.add_event("happened", vec![KeyValue::new("what", "this")]);
    let link = Link::new(SpanContext::clone(root.span_context()), vec![KeyValue::new("why", "so")], 0);
    let parent = Context::new().with_remote_span_context(root.span_context().clone());
    root.end();
    let mut child = tracer.span_builder("child").with_links(vec![link]).start_with_context(&tracer, &parent);
    child.set_status(Status::error("boom"));
    child.end();
    (memory.get_finished_spans().unwrap(), resource)
}

/// Exports the spans to a server and returns what its store holds then.
async fn exported(make: impl FnOnce(SocketAddr, SocketAddr) -> SpanExporter) -> (Vec<SpanData>, Vec<Span>) {
    let store = Arc::new(MemoryStore::new());
    let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let config = Config { listen: free, grpc_listen: Some(free), ..Config::default() };
    let server = Server::bind(config, store.clone()).await.unwrap();
    let (address, grpc_address) = (server.addr(), server.grpc_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    let (sent, resource) = spans();
    let mut exporter = make(address, grpc_address);
    exporter.set_resource(&resource);
    exporter.export(sent.clone()).await.unwrap();
    drop(exporter);
    stop.send(()).unwrap();
    let stored = store.list_spans(None, &ListQuery { limit: 10, ..ListQuery::default() }).await.unwrap();
    running.await.unwrap().unwrap();
    (sent, stored.into_iter().map(|stored| stored.span).collect())
}

fn assert_all_came(sent: &[SpanData], stored: &[Span]) {
    assert_eq!((sent.len(), stored.len()), (2, 2));
    let find = |name: &str| stored.iter().find(|span| span.name == name).unwrap();
    for data in sent {
        let span = find(&data.name);
        assert_eq!(span.trace_id.as_str(), data.span_context.trace_id().to_string());
        assert_eq!(span.id.as_str(), data.span_context.span_id().to_string());
        let start = data.start_time.duration_since(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(span.start_time.unix_nanos(), start.as_nanos() as i128);
    }
    let (root, child) = (find("root"), find("child"));
    assert_eq!(child.parent_id.as_ref(), Some(&root.id));
    assert_eq!(child.status, Some(ModelStatus::Error));
    assert_eq!(
        root.metadata.as_ref().unwrap().to_value(),
        json!({"text": "with \"quotes\" and Umläute", "json": {"a": [1, 2.5]}, "large": i64::MAX, "whole": 1.0})
    );
    let otel = |span: &Span| -> Value { span.otel.as_ref().unwrap().to_value() };
    assert_eq!(otel(root)["kind"], 2);
    assert_eq!(otel(root)["events"][0]["name"], "happened");
    assert_eq!(otel(root)["scope"]["name"], "conformance.scope");
    assert_eq!(otel(root)["resource"]["attributes"], json!({"service.name": "conformance"}));
    assert_eq!(otel(child)["status_message"], "boom");
    assert_eq!(otel(child)["links"][0]["span_id"], root.id.as_str());
    assert_eq!(otel(child)["links"][0]["attributes"], json!({"why": "so"}));
}

#[tokio::test]
async fn the_http_exporter_is_understood() {
    // The exporter's HTTP client asks for a provider when another crate of the build has switched TLS on without one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    for compression in [None, Some(Compression::Gzip)] {
        let (sent, stored) = exported(|address, _| {
            let mut builder = SpanExporter::builder()
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(format!("http://{address}/v1/traces"));
            if let Some(compression) = compression {
                builder = builder.with_compression(compression);
            }
            builder.build().unwrap()
        })
        .await;
        assert_all_came(&sent, &stored);
    }
}

#[tokio::test]
async fn the_grpc_exporter_is_understood() {
    for compression in [None, Some(Compression::Gzip)] {
        let (sent, stored) = exported(|_, address| {
            let mut builder = SpanExporter::builder().with_tonic().with_endpoint(format!("http://{address}"));
            if let Some(compression) = compression {
                builder = builder.with_compression(compression);
            }
            builder.build().unwrap()
        })
        .await;
        assert_all_came(&sent, &stored);
    }
}
