//! Who is measured: each makes one trace of ten spans in the way its users do.

use std::borrow::Cow;

use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, SpanData, SpanExporter,
};
use serde_json::Value;

/// What a child span is given.
pub enum Payload<'a> {
    /// Nothing.
    None,
    /// JSON text that the caller gives away.
    Moved(String, String),
    /// A tree that the caller keeps.
    Value(&'a Value),
}

/// One tracing library, set up with its background worker.
pub trait Subject {
    /// Makes a root span with nine children, which take their payloads from the iterator.
    fn trace(&mut self, payloads: &mut dyn FnMut() -> Payload<'static>);
    /// Waits until the worker has taken everything; outside the clock.
    fn flush(&mut self);
}

fn text(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// OpenTelemetry with its batch processor and an exporter that drops what it gets.
pub struct OpenTelemetry {
    provider: SdkTracerProvider,
    tracer: opentelemetry_sdk::trace::SdkTracer,
}

#[derive(Debug)]
struct Discard;

impl SpanExporter for Discard {
    async fn export(&self, _: Vec<SpanData>) -> opentelemetry_sdk::error::OTelSdkResult {
        Ok(())
    }
}

impl OpenTelemetry {
    pub fn new() -> Self {
        let config = BatchConfigBuilder::default().with_max_queue_size(16_384).build();
        let processor = BatchSpanProcessor::builder(Discard).with_batch_config(config).build();
        let provider = SdkTracerProvider::builder().with_span_processor(processor).build();
        let tracer = provider.tracer("bench");
        Self { provider, tracer }
    }
}

impl Subject for OpenTelemetry {
    fn trace(&mut self, payloads: &mut dyn FnMut() -> Payload<'static>) {
        let root = self.tracer.start("root");
        let context = opentelemetry::Context::new().with_span(root);
        for _ in 0..9 {
            let mut span = self.tracer.start_with_context("child", &context);
            match payloads() {
                Payload::None => {}
                Payload::Moved(input, output) => {
                    span.set_attribute(KeyValue::new("input", input));
                    span.set_attribute(KeyValue::new("output", output));
                }
                Payload::Value(value) => {
                    span.set_attribute(KeyValue::new("input", text(value)));
                    span.set_attribute(KeyValue::new("output", text(value)));
                }
            }
            span.end();
        }
        context.span().end();
    }

    fn flush(&mut self) {
        let _ = self.provider.force_flush();
    }
}

/// fastrace with a reporter that drops what it gets.
pub struct Fastrace;

struct DiscardReport;

impl fastrace::collector::Reporter for DiscardReport {
    fn report(&mut self, _: Vec<fastrace::collector::SpanRecord>) {}
}

impl Fastrace {
    pub fn new() -> Self {
        fastrace::set_reporter(DiscardReport, fastrace::collector::Config::default());
        Self
    }
}

impl Subject for Fastrace {
    fn trace(&mut self, payloads: &mut dyn FnMut() -> Payload<'static>) {
        use fastrace::prelude::*;
        let root = Span::root("root", SpanContext::random());
        for _ in 0..9 {
            let span = Span::enter_with_parent("child", &root);
            let _span = match payloads() {
                Payload::None => span,
                Payload::Moved(input, output) => span.with_properties(|| both(input, output)),
                Payload::Value(value) => span.with_properties(|| both(text(value), text(value))),
            };
        }
    }

    fn flush(&mut self) {
        fastrace::flush();
    }
}

fn both(input: String, output: String) -> [(Cow<'static, str>, Cow<'static, str>); 2] {
    [("input".into(), input.into()), ("output".into(), output.into())]
}

/// endspan with an exporter that drops what it gets.
pub struct Endspan {
    tracer: endspan::Tracer,
    _spool: Option<tempfile::TempDir>,
}

struct DiscardBatch;

impl endspan::exporter::Exporter for DiscardBatch {
    fn name(&self) -> &str {
        "discard"
    }

    fn export(&self, _: endspan::exporter::Batch) -> endspan::exporter::Export {
        Box::pin(async { endspan::lane::Outcome::Delivered })
    }
}

impl Endspan {
    pub fn new(spool: bool) -> Self {
        let directory = spool.then(|| tempfile::tempdir().ok()).flatten();
        let builder = endspan::Tracer::builder().exporter(DiscardBatch);
        let builder = match &directory {
            Some(directory) => builder.spool_directory(directory.path()),
            None => builder.spool(false),
        };
        let tracer = builder.build();
        assert_eq!(tracer.stats().spooling, spool, "the spool is as the row says");
        Self { tracer, _spool: directory }
    }
}

impl Subject for Endspan {
    fn trace(&mut self, payloads: &mut dyn FnMut() -> Payload<'static>) {
        use endspan::PayloadSource;
        let trace = self.tracer.new_trace();
        let root = trace.span("root").start();
        for _ in 0..9 {
            let mut span = root.child("child").start();
            match payloads() {
                Payload::None => {}
                Payload::Moved(input, output) => {
                    span.set_input(PayloadSource::json(input));
                    span.set_output(PayloadSource::json(output));
                }
                Payload::Value(value) => {
                    span.set_input(value);
                    span.set_output(value);
                }
            }
            span.end();
        }
        root.end();
    }

    fn flush(&mut self) {
        self.tracer.flush(std::time::Duration::from_secs(10));
    }
}

impl Drop for Endspan {
    fn drop(&mut self) {
        let report = self.tracer.shutdown();
        assert!(report.is_complete(), "spans were lost on the way: {report}");
    }
}

/// The floor: two clock readings, random ids, one push into a bounded queue that a thread empties.
pub struct BareQueue {
    queue: std::sync::Arc<crossbeam_queue::ArrayQueue<BareSpan>>,
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    seed: u64,
}

pub struct BareSpan {
    _ids: [u64; 4],
    _times: [std::time::SystemTime; 2],
    _payload: Option<(String, String)>,
    _padding: [u64; 8],
}

impl BareQueue {
    pub fn new() -> Self {
        let queue = std::sync::Arc::new(crossbeam_queue::ArrayQueue::new(16_384));
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (consumer, stopped) = (queue.clone(), stop.clone());
        std::thread::spawn(move || {
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                while consumer.pop().is_some() {}
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        Self { queue, stop, seed: 0x9E37_79B9_7F4A_7C15 }
    }

    fn id(&mut self) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }

    fn push(&mut self, payload: Payload<'_>) {
        let begin = std::time::SystemTime::now();
        let ids = [self.id(), self.id(), self.id(), self.id()];
        let payload = match payload {
            Payload::None => None,
            Payload::Moved(input, output) => Some((input, output)),
            Payload::Value(value) => Some((text(value), text(value))),
        };
        let times = [begin, std::time::SystemTime::now()];
        let span = BareSpan { _ids: ids, _times: times, _payload: payload, _padding: [0; 8] };
        assert!(self.queue.push(span).is_ok(), "the bursts fit the queue");
    }
}

impl Subject for BareQueue {
    fn trace(&mut self, payloads: &mut dyn FnMut() -> Payload<'static>) {
        for _ in 0..9 {
            self.push(payloads());
        }
        self.push(Payload::None);
    }

    fn flush(&mut self) {
        while !self.queue.is_empty() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}

impl Drop for BareQueue {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}
