//! Measures the embedded store alone, without HTTP: ingest by batch size, disk, reads.
//!
//! `cargo run --release -p endspan-bench --bin store` prints the table of `bench/README.md`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use endspan_bench::made::to_span;
use endspan_bench::process::directory_bytes;
use endspan_bench::statistics::{median, percentile, print_table};
use endspan_bench::workload::{Ev, Gen, Set, Span as Made, events, raw_bytes};
use endspan_model::{AccountId, Span, SpanId, TraceId};
use endspan_store::{SpanStore, WriteOperation, WriteRequest};
use endspan_store_embedded::{EmbeddedStore, Options};

/// Measures the embedded store alone.
#[derive(Parser)]
struct Arguments {
    /// Where the store keeps its files; each run uses a fresh directory below it.
    #[arg(long, default_value = "bench/out")]
    data: PathBuf,
    /// How often each case runs; the table shows medians.
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    std::fs::create_dir_all(&arguments.data)?;
    let mut rows = Vec::new();
    for (name, set) in [("small", Set::Small), ("llm", Set::Llm)] {
        let made = Gen::new(set).all();
        let raw = raw_bytes(&made);
        let spans = in_end_order(&made)?;
        for batch in [1000, 100, 32, 1] {
            let mut columns = [const { Vec::new() }; 6];
            for _ in 0..arguments.runs {
                let directory = tempfile::tempdir_in(&arguments.data)?;
                let found = case(directory.path(), &spans, batch, raw).await?;
                for (column, value) in columns.iter_mut().zip(found) {
                    column.push(value);
                }
            }
            let [rate, cpu, disk, settled, by_id, by_trace] = columns.each_mut().map(|column| median(column));
            rows.push(vec![
                name.to_owned(),
                batch.to_string(),
                format!("{rate:.0}"),
                format!("{cpu:.2}"),
                format!("{disk:.3}"),
                format!("{settled:.3}"),
                format!("{by_id:.2}"),
                format!("{by_trace:.2}"),
            ]);
        }
    }
    let header = [
        "set",
        "spans a write",
        "spans/s",
        "CPU s per 100,000",
        "disk of raw",
        "disk compacted and closed",
        "by id, p99 ms",
        "trace of 20, p99 ms",
    ];
    print_table(&header, &rows);
    Ok(())
}

/// Writes all spans with four writers that each wait for their answer, then reads.
async fn case(directory: &std::path::Path, spans: &[Span], batch: usize, raw: usize) -> Result<[f64; 6]> {
    // Single writes are a fraction of the set: the rate shows just as well.
    let spans = if batch == 1 { &spans[..spans.len() / 10] } else { spans };
    let raw = raw as f64 * if batch == 1 { 0.1 } else { 1.0 };
    let account = AccountId::default();
    let store = Arc::new(EmbeddedStore::open(directory, Options::default())?);
    let requests: Vec<WriteRequest> = spans
        .chunks(batch)
        .map(|chunk| WriteRequest {
            account: account.clone(),
            operations: chunk.iter().cloned().map(WriteOperation::Upsert).collect(),
            all_or_nothing: false,
            check_parents: true,
        })
        .collect();
    let queue = Arc::new(std::sync::Mutex::new(requests.into_iter()));
    let (cpu, begin) = (cpu_seconds(), Instant::now());
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (store, queue) = (store.clone(), queue.clone());
            tokio::spawn(async move {
                loop {
                    let Some(request) = queue.lock().ok().and_then(|mut queue| queue.next()) else {
                        return anyhow::Ok(());
                    };
                    ensure!(store.write(request).await?.is_success(), "a span was rejected");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await??;
    }
    let (wall, cpu) = (begin.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let disk = directory_bytes(directory) as f64 / raw;
    store.maintain().await?;
    let by_id = latencies(
        spans,
        |span| span.id.as_str().to_owned(),
        async |id| {
            let found = store.find_span(Some(&account), &SpanId::new(id)).await?;
            found.map(|_| ()).context("span not found")
        },
    )
    .await?;
    let by_trace = latencies(
        spans,
        |span| span.trace_id.as_str().to_owned(),
        async |id| {
            let found = store.read_trace(Some(&account), &TraceId::new(id), true).await?;
            ensure!(!found.is_empty(), "trace not found");
            Ok(())
        },
    )
    .await?;
    store.close().await?;
    let settled = directory_bytes(directory) as f64 / raw;
    let count = spans.len() as f64;
    Ok([count / wall, cpu * 1e5 / count, disk, settled, by_id, by_trace])
}

async fn latencies(
    spans: &[Span],
    key: impl Fn(&Span) -> String,
    read: impl AsyncFn(String) -> Result<()>,
) -> Result<f64> {
    let mut values = Vec::new();
    for span in spans.iter().step_by(spans.len() / 1000) {
        let begin = Instant::now();
        read(key(span)).await?;
        values.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    Ok(percentile(&mut values, 0.99))
}

fn in_end_order(made: &[Made]) -> Result<Vec<Span>> {
    events(made, false, None)
        .into_iter()
        .filter_map(|event| match event {
            Ev::End(index) => Some(to_span(&made[index])),
            Ev::Start(_) => None,
        })
        .collect()
}

fn cpu_seconds() -> f64 {
    // SAFETY: getrusage fills the struct that it is given, which may be all zeros before.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
