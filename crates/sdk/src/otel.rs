//! OpenTelemetry: the reference's instruments, and the ids of its contexts. Providers are the host's; none is installed.

use std::time::Duration;

use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry::{Context, KeyValue, global};

use crate::metrics::Exported;
use crate::settings::{self, Environment};
use crate::tracer::ObservabilityIds;

/// The reference's instruments by name, unit and attributes (`sdk-behaviour` section 10), and gauges beside them.
pub(crate) struct Instruments {
    enqueued: Counter<u64>,
    dropped: Counter<u64>,
    depth: Histogram<u64>,
    lag: Histogram<f64>,
    items: Histogram<u64>,
    size: Histogram<u64>,
    drain_duration: Histogram<f64>,
    batches: Counter<u64>,
    spans: Counter<u64>,
    batch_failures: Counter<u64>,
    span_failures: Counter<u64>,
    retries: Counter<u64>,
    shutdown_timeouts: Counter<u64>,
    shutdown_remaining: Histogram<u64>,
    pending: Gauge<u64>,
    pending_bytes: Gauge<u64>,
    in_flight: Gauge<u64>,
    spool_bytes: Gauge<u64>,
}

impl Instruments {
    pub(crate) fn new() -> Self {
        let meter = global::meter("agentex.tracing");
        let counter = |name: &'static str| counter(&meter, name);
        let histogram = |name: &'static str| meter.u64_histogram(name).with_unit("1").build();
        let millis = |name: &'static str| meter.f64_histogram(name).with_unit("ms").build();
        let gauge = |name: &'static str, unit| meter.u64_gauge(name).with_unit(unit).build();
        Self {
            enqueued: counter("agentex.tracing.span_events.enqueued"),
            dropped: counter("agentex.tracing.span_events.dropped"),
            depth: histogram("agentex.tracing.queue.depth"),
            lag: millis("agentex.tracing.queue.lag"),
            items: histogram("agentex.tracing.batch.items"),
            size: histogram("agentex.tracing.batch.size"),
            drain_duration: millis("agentex.tracing.batch.drain_duration"),
            batches: counter("agentex.tracing.export.batches"),
            spans: counter("agentex.tracing.export.spans"),
            batch_failures: counter("agentex.tracing.export.batch_failures"),
            span_failures: counter("agentex.tracing.export.span_failures"),
            retries: counter("endspan.export.retries"),
            shutdown_timeouts: counter("agentex.tracing.shutdown.timeouts"),
            shutdown_remaining: histogram("agentex.tracing.shutdown.remaining_items"),
            pending: gauge("endspan.queue.pending", "1"),
            pending_bytes: gauge("endspan.queue.pending_bytes", "By"),
            in_flight: gauge("endspan.export.in_flight", "1"),
            spool_bytes: gauge("endspan.spool.bytes", "By"),
        }
    }

    pub(crate) fn read(&self, starts: u64, ends: u64, depth: u64, lag: Duration) {
        for (event_type, count) in [("start", starts), ("end", ends)] {
            if count > 0 {
                self.enqueued.add(count, &[KeyValue::new("event_type", event_type)]);
            }
        }
        self.depth.record(depth, &[]);
        self.items.record(starts + ends, &[]);
        if !lag.is_zero() {
            self.lag.record(lag.as_secs_f64() * 1000.0, &[]);
        }
    }

    pub(crate) fn dropped(&self, exporter: &str, reason: &'static str, count: u64) {
        let attributes = [KeyValue::new("reason", reason), KeyValue::new("processor", exporter.to_owned())];
        self.dropped.add(count, &attributes);
    }

    pub(crate) fn exported(&self, exported: &Exported<'_>) {
        let phase = exported.phase.as_str();
        self.size.record(exported.spans, &[KeyValue::new("phase", phase)]);
        self.drain_duration.record(exported.took.as_secs_f64() * 1000.0, &[KeyValue::new("phase", phase)]);
        let processor = KeyValue::new("processor", exported.exporter.to_owned());
        let event_type = KeyValue::new("event_type", phase);
        if exported.delivered > 0 {
            let attributes = [processor.clone(), event_type.clone()];
            self.batches.add(1, &attributes);
            self.spans.add(exported.delivered, &attributes);
        }
        let Some(failure) = exported.failure else { return };
        let attributes = [
            processor,
            event_type,
            KeyValue::new("http_code", failure.http_code),
            KeyValue::new("error_class", failure.error_class),
        ];
        if exported.given_up > 0 {
            self.batch_failures.add(1, &attributes);
            self.span_failures.add(exported.given_up, &attributes);
        } else {
            self.retries.add(1, &attributes);
        }
    }

    pub(crate) fn shutdown_timed_out(&self, remaining: u64) {
        self.shutdown_timeouts.add(1, &[]);
        self.shutdown_remaining.record(remaining, &[]);
    }

    pub(crate) fn gauges(&self, exporter: &str, pending: u64, bytes: u64, in_flight: u64) {
        let processor = [KeyValue::new("processor", exporter.to_owned())];
        self.pending.record(pending, &processor);
        self.pending_bytes.record(bytes, &processor);
        self.in_flight.record(in_flight, &processor);
    }

    pub(crate) fn spool(&self, bytes: u64) {
        self.spool_bytes.record(bytes, &[]);
    }
}

fn counter(meter: &Meter, name: &'static str) -> Counter<u64> {
    meter.u64_counter(name).with_unit("1").build()
}

/// Returns a reader of OpenTelemetry's current span if `SGP_OBS_MODE` asks for it (`sdk-behaviour` section 5). There is no
/// other tracer to read in Rust, so that `dd_only`, and everything unknown, reads nothing.
pub(crate) fn observability_ids(environment: &Environment) -> Option<ObservabilityIds> {
    let mode = environment.text(settings::SGP_OBS_MODE).unwrap_or_default();
    if !matches!(mode.trim().to_lowercase().as_str(), "lgtm" | "dual") {
        return None;
    }
    Some(Box::new(|| {
        let context = Context::current();
        let span = context.span();
        let span = span.span_context();
        span.is_valid().then(|| (span.trace_id().to_string(), span.span_id().to_string()))
    }))
}
