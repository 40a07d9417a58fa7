//! What a finished span costs its caller, and how fast spans go through the pipeline.
//!
//! ```text
//! cargo bench -p endspan --bench hot_path
//! ```
//!
//! Bursts that fit the queue, drained between; the median burst counts. The destination is a function that counts.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use endspan::exporter::{Batch, Export, Exporter};
use endspan::lane::Outcome;
use endspan::{Environment, Payload, PayloadSource, Trace, Tracer, TracerBuilder};
use serde_json::{Value, json};

/// Counts what arrives and delivers it.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Exporter for Count {
    fn name(&self) -> &str {
        "count"
    }

    fn export(&self, batch: Batch) -> Export {
        self.0.fetch_add(batch.spans.len(), Ordering::Relaxed);
        Box::pin(std::future::ready(Outcome::Delivered))
    }
}

fn builder() -> TracerBuilder {
    Tracer::builder().environment(Environment::fixed([]))
}

fn chat(bytes: usize) -> Value {
    let content =
        "the quick brown fox jumps over the lazy dog, again and \"again\".\n".repeat(bytes / 60 + 1);
    json!({"model": "some-model", "messages": [
        {"role": "system", "content": "You are helpful."},
        {"role": "user", "content": content.get(..bytes.saturating_sub(120)).unwrap_or_default()}
    ], "temperature": 0.2})
}

fn measure(name: &str, tracer: &Tracer, burst: usize, mut span: impl FnMut(&Trace)) {
    let trace = tracer.trace("0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000");
    let mut times = Vec::new();
    for _ in 0..60 {
        let began = Instant::now();
        for _ in 0..burst {
            span(&trace);
        }
        times.push(began.elapsed().as_nanos() as f64 / burst as f64);
        tracer.flush(Duration::from_secs(60));
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
    println!("{name:<44} {:>8.0} ns  (10 % {:.0}, 90 % {:.0})", at(0.5), at(0.1), at(0.9));
}

fn hot_path(label: &str, tracer: &Tracer) {
    let small = chat(300);
    let large = chat(10_000);
    let payload = |value: &Value| Payload::from_value(value).unwrap_or_else(|_| Payload::empty_object());
    let (small_text, large_text) = (payload(&small), payload(&large));
    measure(&format!("{label}: no payload"), tracer, 5000, |trace| trace.span("llm call").start().end());
    let moved = |text: &Payload| PayloadSource::json(Bytes::clone(text.bytes()));
    measure(&format!("{label}: 300 B of JSON moved in"), tracer, 5000, |trace| {
        let mut span = trace.span("llm call").start();
        span.set_output(moved(&small_text));
        span.end();
    });
    measure(&format!("{label}: 10 kB of JSON moved in"), tracer, 500, |trace| {
        let mut span = trace.span("llm call").start();
        span.set_output(moved(&large_text));
        span.end();
    });
    measure(&format!("{label}: 300 B Value, snapshot"), tracer, 5000, |trace| {
        let mut span = trace.span("llm call").start();
        span.set_output(black_box(&small));
        span.end();
    });
    measure(&format!("{label}: 10 kB Value, snapshot"), tracer, 500, |trace| {
        let mut span = trace.span("llm call").start();
        span.set_output(black_box(&large));
        span.end();
    });
}

fn pipeline(label: &str, tracer: &Tracer, count: &Count, payload: &Value, spans: usize) {
    let trace = tracer.trace("0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000");
    let mut rates = Vec::new();
    let cpu = cpu_seconds();
    for _ in 0..5 {
        let before = count.0.load(Ordering::Relaxed);
        let began = Instant::now();
        for _ in 0..spans {
            let mut span = trace.span("llm call").start();
            span.set_output(black_box(payload));
            span.end();
        }
        let report = tracer.flush(Duration::from_secs(60));
        let arrived = count.0.load(Ordering::Relaxed) - before;
        rates.push(arrived as f64 / began.elapsed().as_secs_f64());
        if arrived != spans {
            println!("  {report}");
        }
    }
    rates.sort_by(f64::total_cmp);
    let median = rates.get(rates.len() / 2).copied().unwrap_or_default();
    let cpu = (cpu_seconds() - cpu) / (5 * spans) as f64 * 100_000.0;
    println!("{label:<44} {median:>8.0} spans/s through the pipeline, {cpu:.3} CPU-s for 100,000");
}

/// Returns the processor time that this process used, on Linux.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn main() {
    // `hot_path -- profile`: only the cheapest span with a spool, for profilers.
    let profile = std::env::args().any(|argument| argument == "profile");
    let directory = std::env::temp_dir().join(format!("endspan-bench-{}", std::process::id()));
    if profile {
        let tracer = builder().spool_directory(&directory).exporter(Count::default()).build();
        for _ in 0..20 {
            measure("profile", &tracer, 5000, |trace| trace.span("llm call").start().end());
        }
        tracer.shutdown();
        drop(std::fs::remove_dir_all(&directory));
        return;
    }
    let count = Count::default();
    let memory = builder().spool(false).exporter(count.clone()).build();
    hot_path("memory", &memory);
    pipeline("memory, 300 B Value", &memory, &count, &chat(300), 100_000);
    pipeline("memory, 10 kB Value", &memory, &count, &chat(10_000), 4000);
    memory.shutdown();
    let count = Count::default();
    let spool = builder().spool_directory(&directory).exporter(count.clone()).build();
    hot_path("spool", &spool);
    pipeline("spool, 300 B Value", &spool, &count, &chat(300), 200_000);
    pipeline("spool, 10 kB Value", &spool, &count, &chat(10_000), 20_000);
    spool.shutdown();
    drop(std::fs::remove_dir_all(&directory));
}
