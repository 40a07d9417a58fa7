//! Text in the payloads of model calls. The store is opened anew before the queries; before each cold run the system is told
//! to forget the file.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use endspan_bench::made::to_span;
use endspan_bench::statistics::{percentile, print_table};
use endspan_bench::workload::{Gen, Set};
use endspan_model::{AccountId, Span};
use endspan_store::search::SpanFilter;
use endspan_store::text::TextQuery;
use endspan_store::{SpanQuery, SpanStore, TraceFilter, TraceQuery};
use endspan_store_embedded::{EmbeddedStore, Options};

use crate::{Arguments, write};

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let directory = tempfile::tempdir_in(&arguments.data)?;
    let generator = Gen::new(Set::Llm);
    let store = EmbeddedStore::open(directory.path(), Options::default())?;
    let (mut bytes, mut spans, mut trace) = (0, 0, 0);
    while bytes < arguments.megabytes * 1_000_000 {
        let mut made: Vec<Span> = Vec::new();
        while made.len() < 2000 {
            for span in &generator.trace(trace) {
                made.push(to_span(span)?);
            }
            trace += 1;
        }
        bytes += made.iter().map(Span::payload_bytes).sum::<usize>();
        spans += made.len();
        if trace <= 100 {
            // One of the oldest spans has what no other has.
            let input =
                made.first().and_then(|span| span.input.as_ref()).map_or("{}", |input| input.as_str());
            let marked = input.replacen("\":\"", "\":\"The Quixotic-77 zebrafinch; ", 1);
            ensure!(marked != input, "the first span has no text");
            let marked = endspan_model::Payload::parse(marked)?;
            if let Some(span) = made.first_mut() {
                span.input = Some(marked);
            }
        }
        write(&store, made.into_iter().map(Ok)).await?;
    }
    store.maintain().await?;
    let stats = store.stats().await?;
    store.close().await?;
    drop(store);
    println!(
        "{spans} spans, {bytes} bytes of payload, {} bytes on disk; opened anew\n",
        endspan_bench::process::directory_bytes(directory.path())
    );
    ensure!(stats.spans as usize == spans, "spans are missing");

    let opened = Instant::now();
    let store = EmbeddedStore::open(directory.path(), Options::default())?;
    store.maintain().await?;
    println!("open and filled after {:.2} s\n", opened.elapsed().as_secs_f64());
    let account = AccountId::default();
    let cases = [
        ("a word in the oldest span", "zebrafinch"),
        ("a phrase in the oldest span", "quixotic-77 Zebrafinch"),
        ("two words in the oldest span", "77 zebrafinch"),
        ("a part of a word in the oldest span", "ebrafinch;"),
        ("a word in no span", "needle9999"),
        ("a phrase in no span", "needle0001 needle0002"),
        ("a part of a word in no span", "x-timeout-errox"),
        ("a rare word", "needle0007"),
        ("a rare part of a word", "zx-timeout-err"),
        ("a word in most spans", "production"),
    ];
    let mut rows = Vec::new();
    for (name, term) in cases {
        let filter = SpanFilter { text: TextQuery::parse(&[term])?, ..SpanFilter::default() };
        let query = SpanQuery { filter, limit: 50, ..SpanQuery::default() };
        let mut found = 0;
        let mut columns = [Vec::new(), Vec::new()];
        for (column, is_cold) in columns.iter_mut().zip([true, false]) {
            for _ in 0..arguments.runs {
                if is_cold {
                    forget(directory.path())?;
                }
                let begin = Instant::now();
                found = store.search_spans(Some(&account), &query).await?.spans.len();
                column.push(begin.elapsed().as_secs_f64() * 1e3);
            }
        }
        let filter = TraceFilter { text: TextQuery::parse(&[term])?, ..TraceFilter::default() };
        let query = TraceQuery { limit: 50, filter, ..TraceQuery::default() };
        let mut traces = Vec::new();
        for _ in 0..arguments.runs {
            let begin = Instant::now();
            store.list_traces(Some(&account), &query).await?;
            traces.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        let [cold, warm] = &mut columns;
        rows.push(vec![
            name.to_owned(),
            found.to_string(),
            format!("{:.1}", percentile(cold, 0.5)),
            format!("{:.1}", percentile(cold, 0.99)),
            format!("{:.1}", percentile(warm, 0.5)),
            format!("{:.1}", percentile(warm, 0.99)),
            format!("{:.1}", percentile(&mut traces, 0.5)),
        ]);
    }
    print_table(
        &["text", "found", "cold p50 ms", "cold p99 ms", "warm p50 ms", "warm p99 ms", "traces, warm p50 ms"],
        &rows,
    );
    store.close().await?;
    Ok(())
}

/// Tells the system to forget what it holds of the store's file.
fn forget(directory: &Path) -> Result<()> {
    let file = File::open(directory.join("endspan.db"))?;
    file.sync_all()?;
    // SAFETY: the descriptor is open; the call changes nothing but the page cache.
    let answer = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    ensure!(answer == 0, "posix_fadvise answers {answer}");
    Ok(())
}
