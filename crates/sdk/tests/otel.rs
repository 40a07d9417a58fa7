//! The instruments and the ids of OpenTelemetry. The host's providers are global, so that this is a program of its own.
#![cfg(feature = "otel")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests outside of #[test] functions too")]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use endspan::exporter::{Batch, Export, Exporter};
use endspan::lane::{Failure, LaneConfig, Outcome, StartMode};
use endspan::{Environment, Timestamp, Tracer};
use opentelemetry::trace::{TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
use opentelemetry_sdk::metrics::{
    InMemoryMetricExporter, InMemoryMetricExporterBuilder, PeriodicReader, SdkMeterProvider, Temporality,
};
use opentelemetry_sdk::trace::SdkTracerProvider;

struct Script(Mutex<Vec<Outcome>>, std::sync::Arc<Mutex<Vec<Batch>>>);

impl Exporter for Script {
    fn name(&self) -> &str {
        "sgp"
    }

    fn export(&self, batch: Batch) -> Export {
        self.1.lock().unwrap().push(batch);
        let outcome = self.0.lock().unwrap().pop().unwrap_or(Outcome::Delivered);
        Box::pin(std::future::ready(outcome))
    }
}

/// Returns every counter with its attributes.
fn counters(exporter: &InMemoryMetricExporter) -> BTreeMap<String, u64> {
    let mut counters = BTreeMap::new();
    for resource in exporter.get_finished_metrics().unwrap() {
        for metric in resource.scope_metrics().flat_map(|scope| scope.metrics()) {
            let mut note = |attributes: Vec<String>, value: u64| {
                let mut attributes = attributes;
                attributes.sort();
                counters.insert(format!("{}{{{}}}", metric.name(), attributes.join(",")), value);
            };
            let text = |attribute: &opentelemetry::KeyValue| format!("{}={}", attribute.key, attribute.value);
            match metric.data() {
                AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                    for point in sum.data_points() {
                        note(point.attributes().map(text).collect(), point.value());
                    }
                }
                AggregatedMetrics::U64(MetricData::Histogram(histogram)) => {
                    for point in histogram.data_points() {
                        note(point.attributes().map(text).collect(), point.max().unwrap_or_default());
                    }
                }
                AggregatedMetrics::U64(MetricData::Gauge(gauge)) => {
                    for point in gauge.data_points() {
                        note(point.attributes().map(text).collect(), point.value());
                    }
                }
                AggregatedMetrics::F64(MetricData::Histogram(histogram)) => {
                    for point in histogram.data_points() {
                        note(point.attributes().map(text).collect(), point.max().unwrap_or_default() as u64);
                    }
                }
                _ => {}
            }
        }
    }
    counters
}

/// Switched off, nothing is recorded. (What 200 spans cost their caller is measured in `bench`: 40 us.)
fn row_99_switched_off(exporter: &InMemoryMetricExporter, provider: &SdkMeterProvider) {
    let environment = Environment::fixed([("AGENTEX_TRACING_METRICS", "0")]);
    let script = Script(Mutex::default(), std::sync::Arc::default());
    let tracer = Tracer::builder().environment(environment).spool(false).exporter(script).build();
    for _ in 0..200 {
        tracer.trace("t").span("n").start().end();
    }
    assert_eq!(tracer.shutdown().delivered(), 200);
    provider.force_flush().unwrap();
    assert_eq!(counters(exporter), BTreeMap::new());
}

/// A start is counted as one, three that wait are seen together, and the lag is that of the oldest.
fn rows_100_to_102_what_is_read(exporter: &InMemoryMetricExporter, provider: &SdkMeterProvider) {
    let script = Script(Mutex::default(), std::sync::Arc::default());
    let tracer = Tracer::builder()
        .environment(Environment::fixed([("AGENTEX_TRACING_SKIP_SPAN_START", "0")]))
        .spool(false)
        .every_start()
        .linger(Duration::from_secs(30))
        .exporter(Starts(script))
        .build();
    let trace = tracer.trace("t");
    let before =
        |millis: i64| Timestamp::from_unix_micros(Timestamp::now().unix_micros() - 1000 * millis).unwrap();
    let spans: Vec<_> =
        [1000, 500, 0].map(|millis| trace.span("n").start_time(before(millis)).start()).into();
    assert_eq!(tracer.flush(Duration::from_secs(30)).delivered(), 3);
    provider.force_flush().unwrap();
    let counters = counters(exporter);
    assert_eq!(counters.get("agentex.tracing.span_events.enqueued{event_type=start}"), Some(&3));
    assert_eq!(counters.get("agentex.tracing.span_events.enqueued{event_type=end}"), None);
    assert_eq!(counters["agentex.tracing.queue.depth{}"], 3, "{counters:#?}");
    assert!((1000..31_000).contains(&counters["agentex.tracing.queue.lag{}"]), "{counters:#?}");
    drop(spans);
    assert!(tracer.shutdown().is_conserved());
    provider.force_flush().unwrap();
}

/// A shutdown that runs out of time counts, what it leaves and gives up too, and what ends behind it.
fn rows_94_and_95_ends_without_delivery(exporter: &InMemoryMetricExporter, provider: &SdkMeterProvider) {
    let directory = tempfile::tempdir().unwrap();
    for spool in [false, true] {
        exporter.reset();
        let tracer = Tracer::builder()
            .environment(Environment::fixed([]))
            .spool(spool)
            .spool_directory(directory.path())
            .exporter(Never)
            .build();
        for _ in 0..3 {
            tracer.trace("t").span("n").start().end();
        }
        tracer.flush(Duration::ZERO);
        provider.force_flush().unwrap();
        // Gauges say what waits, as it was when they were last told.
        let gauges = counters(exporter);
        for gauge in ["endspan.queue.pending", "endspan.queue.pending_bytes", "endspan.export.in_flight"] {
            assert!(gauges.contains_key(&format!("{gauge}{{processor=never}}")), "{gauge}: {gauges:#?}");
        }
        assert_eq!(gauges["endspan.queue.pending{processor=never}"], 3, "{gauges:#?}");
        assert!(gauges["endspan.queue.pending_bytes{processor=never}"] > 3 * 72, "{gauges:#?}");
        assert_eq!(gauges["endspan.spool.bytes{}"] > 0, spool, "{gauges:#?}");
        let report = tracer.shutdown_within(Duration::ZERO);
        assert!(report.is_conserved() && report.timed_out, "{report}");
        for _ in 0..2 {
            tracer.trace("t").span("late").start().end();
        }
        provider.force_flush().unwrap();
        let counters = counters(exporter);
        let dropped = |reason: &str| {
            let name = format!("agentex.tracing.span_events.dropped{{processor=never,reason={reason}}}");
            counters.get(&name).copied().unwrap_or_default()
        };
        assert_eq!(counters["agentex.tracing.shutdown.timeouts{}"], 1, "{counters:#?}");
        assert_eq!(counters["agentex.tracing.shutdown.remaining_items{}"], 3, "{counters:#?}");
        assert_eq!(dropped("shutdown_timeout"), if spool { 0 } else { 3 }, "{counters:#?}");
        assert_eq!(dropped("shutdown"), 2, "{counters:#?}");
        assert_eq!(report.spooled(), if spool { 3 } else { 0 }, "{report}");
    }
    exporter.reset();
}

/// A destination that never answers.
struct Never;

impl Exporter for Never {
    fn name(&self) -> &str {
        "never"
    }

    fn export(&self, _: Batch) -> Export {
        Box::pin(std::future::pending())
    }
}

/// A destination that wants every start.
struct Starts(Script);

impl Exporter for Starts {
    fn name(&self) -> &str {
        "sgp"
    }

    fn lane(&self, settings: LaneConfig) -> LaneConfig {
        LaneConfig { start_mode: StartMode::Every, ..settings }
    }

    fn export(&self, batch: Batch) -> Export {
        self.0.export(batch)
    }
}

#[test]
fn rows_27_to_30_59_and_99_to_106() {
    let exporter = InMemoryMetricExporterBuilder::new().with_temporality(Temporality::Delta).build();
    let reader = PeriodicReader::builder(exporter.clone()).with_interval(Duration::from_secs(3600)).build();
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    opentelemetry::global::set_meter_provider(provider.clone());

    row_99_switched_off(&exporter, &provider);
    rows_100_to_102_what_is_read(&exporter, &provider);
    rows_94_and_95_ends_without_delivery(&exporter, &provider);

    let refused = vec![Outcome::Rejected(Failure::of_status(401)); 9];
    let batches = std::sync::Arc::default();
    let script = Script(Mutex::new(refused), std::sync::Arc::clone(&batches));
    let environment = Environment::fixed([("SGP_OBS_MODE", " LGTM ")]);
    let tracer = Tracer::builder().environment(environment).spool(false).exporter(script).build();
    for _ in 0..5 {
        tracer.trace("t").span("n").start().end();
    }
    let report = tracer.flush(Duration::from_secs(30));
    assert_eq!((report.dropped(), report.delivered()), (5, 0), "{report}");

    let traces = SdkTracerProvider::builder().build();
    let outer = traces.tracer("host").start("outer");
    let context = opentelemetry::Context::current_with_span(outer);
    let expected = context.span().span_context().trace_id().to_string();
    {
        let _attached = context.attach();
        tracer.trace("t").span("observed").start().end();
    }
    tracer.trace("t").span("unobserved").start().end();
    let report = tracer.shutdown();
    assert!(report.is_conserved());
    assert_eq!((report.dropped(), report.delivered()), (5, 2), "{report}");

    provider.force_flush().unwrap();
    let counters = counters(&exporter);
    let count =
        |name: &str| counters.get(name).copied().unwrap_or_else(|| panic!("{name} is not in {counters:#?}"));
    assert_eq!(count("agentex.tracing.span_events.enqueued{event_type=end}"), 7);
    assert_eq!(count("agentex.tracing.export.spans{event_type=end,processor=sgp}"), 2);
    let failed = "{error_class=authentication,event_type=end,http_code=401,processor=sgp}";
    assert_eq!(count(&format!("agentex.tracing.export.span_failures{failed}")), 5);
    assert_eq!(count("agentex.tracing.span_events.dropped{processor=sgp,reason=rejected}"), 5);
    assert_eq!(count("agentex.tracing.batch.size{phase=end}"), 5);
    assert!(count("agentex.tracing.queue.depth{}") >= 1);

    let batches = batches.lock().unwrap();
    let data = |name: &str| {
        let entry = batches.iter().flat_map(|batch| &batch.spans).find(|entry| entry.span.name == name);
        entry.unwrap().span.metadata.clone()
    };
    assert_eq!(data("observed").unwrap().get_str("obs.trace_id"), Some(expected));
    assert_eq!(data("observed").unwrap().get_str("obs.span_id").unwrap().len(), 16);
    assert_eq!(data("unobserved"), None);
}
