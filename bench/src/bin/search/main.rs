//! Measures reading on the embedded store, without HTTP: pages under filters, text, the structure of a large trace, and
//! searching while spans come in, and while old ones go.
//!
//! `cargo run --release -p endspan-bench --bin search` prints the tables of `bench/README.md`.

mod filters;
mod mixed;
mod text;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use endspan_bench::statistics::percentile;
use endspan_model::{AccountId, Span};
use endspan_store::{SpanStore, WriteOperation, WriteRequest};
use endspan_store_embedded::EmbeddedStore;

/// Measures reading on the embedded store.
#[derive(Parser)]
struct Arguments {
    /// What to measure.
    #[arg(value_enum, default_value = "filters")]
    what: What,
    /// Where the store keeps its files; the run uses a fresh directory below it.
    #[arg(long, default_value = "bench/out")]
    data: PathBuf,
    /// Spans in the store, 20 a trace, for `filters`, `mixed` and `deleting`.
    #[arg(long, default_value_t = 1_000_000)]
    spans: usize,
    /// Bytes of input of each span, for `filters`.
    #[arg(long, default_value_t = 200)]
    payload: usize,
    /// How often each query runs.
    #[arg(long, default_value_t = 30)]
    runs: usize,
    /// Spans of the one large trace, for `filters`.
    #[arg(long, default_value_t = 100_000)]
    large: usize,
    /// Megabytes of payload, for `text`.
    #[arg(long, default_value_t = 200)]
    megabytes: usize,
    /// Seconds of each part, for `mixed` and `deleting`.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// Pages under filters in a store of small spans.
    Filters,
    /// Text in the payloads of model calls.
    Text,
    /// Searching while spans come in.
    Mixed,
    /// Searching while old spans go, as retention deletes them.
    Deleting,
}

// Whoever searches shares no thread with whoever writes.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    std::fs::create_dir_all(&arguments.data)?;
    match arguments.what {
        What::Filters => filters::run(&arguments).await,
        What::Text => text::run(&arguments).await,
        What::Mixed => mixed::run(&arguments).await,
        What::Deleting => mixed::run_deleting(&arguments).await,
    }
}

fn row(name: &str, found: usize, times: &mut [f64]) -> Vec<String> {
    let (half, most) = (percentile(times, 0.5), percentile(times, 0.99));
    vec![name.to_owned(), found.to_string(), format!("{half:.1}"), format!("{most:.1}")]
}

/// Writes spans in batches, one after the other.
async fn write(store: &EmbeddedStore, spans: impl Iterator<Item = Result<Span>>) -> Result<()> {
    let mut operations = Vec::new();
    let mut spans = spans.peekable();
    while let Some(span) = spans.next() {
        operations.push(WriteOperation::Upsert(span?));
        if operations.len() == 2000 || spans.peek().is_none() {
            let operations = std::mem::take(&mut operations);
            let account = AccountId::default();
            let request = WriteRequest { account, operations, all_or_nothing: false, check_parents: false };
            ensure!(store.write(request).await?.is_success(), "a span was rejected");
        }
    }
    Ok(())
}
