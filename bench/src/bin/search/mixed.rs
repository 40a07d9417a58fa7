//! Searching while spans come in: two writers flat out, and one reader who asks ten times a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use endspan_bench::made::to_span;
use endspan_bench::statistics::{percentile, print_table};
use endspan_bench::workload::{Gen, Set};
use endspan_model::{AccountId, Span, Status};
use endspan_store::search::{SpanFilter, SpanSort};
use endspan_store::text::TextQuery;
use endspan_store::{SpanQuery, SpanStore, WriteOperation, WriteRequest};
use endspan_store_embedded::{EmbeddedStore, Options};

use crate::{Arguments, write};

const PAUSE: Duration = Duration::from_millis(100);

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let directory = tempfile::tempdir_in(&arguments.data)?;
    let generator = Arc::new(Gen::new(Set::Small));
    let store = Arc::new(EmbeddedStore::open(directory.path(), Options::default())?);
    let traces = (arguments.spans / 20) as u64;
    write(&store, (0..traces).flat_map(|trace| generator.trace(trace)).map(|span| to_span(&span))).await?;
    store.maintain().await?;
    let next = Arc::new(AtomicUsize::new(traces as usize));
    let seconds = Duration::from_secs(arguments.seconds);

    let (_, search_alone) = part(&store, &generator, &next, seconds, false, true).await?;
    let (ingest_alone, _) = part(&store, &generator, &next, seconds, true, false).await?;
    let (ingest, search) = part(&store, &generator, &next, seconds, true, true).await?;
    let mut rows = vec![vec![
        "spans/s".to_owned(),
        format!("{ingest_alone:.0}"),
        format!("{ingest:.0}"),
        format!("{:.2}", ingest / ingest_alone),
    ]];
    for (index, name) in NAMES.iter().enumerate() {
        let times = |all: &[f64]| all.iter().copied().skip(index).step_by(NAMES.len()).collect::<Vec<f64>>();
        let (mut alone, mut both) = (times(&search_alone), times(&search));
        for (share, label) in [(0.5, "p50"), (0.99, "p99")] {
            let (alone, both) = (percentile(&mut alone, share), percentile(&mut both, share));
            rows.push(vec![
                format!("{name}, {label} ms"),
                format!("{alone:.1}"),
                format!("{both:.1}"),
                format!("{:.2}", both / alone),
            ]);
        }
    }
    print_table(&["", "alone", "together", "ratio"], &rows);
    store.close().await?;
    Ok(())
}

/// Runs writers, a reader, or both for a while; returns spans a second and milliseconds of each search.
async fn part(
    store: &Arc<EmbeddedStore>,
    generator: &Arc<Gen>,
    next: &Arc<AtomicUsize>,
    time: Duration,
    writes: bool,
    reads: bool,
) -> Result<(f64, Vec<f64>)> {
    let stop = Arc::new(AtomicBool::new(false));
    // Made before, so that making spans costs nothing while it is measured.
    let mut batches: Vec<Vec<Span>> = Vec::new();
    for _ in 0..if writes { 60 * time.as_secs() } else { 0 } {
        let made: Result<Vec<Span>> = (0..50)
            .flat_map(|_| generator.trace(next.fetch_add(1, Ordering::Relaxed) as u64))
            .map(|span| to_span(&span))
            .collect();
        batches.push(made?);
    }
    let batches = Arc::new(std::sync::Mutex::new(batches.into_iter()));
    let begin = Instant::now();
    let writers: Vec<_> = (0..2)
        .map(|_| {
            let (store, stop, batches) = (store.clone(), stop.clone(), batches.clone());
            tokio::spawn(async move {
                let mut spans = 0;
                while !stop.load(Ordering::Relaxed) {
                    let Some(batch) = batches.lock().ok().and_then(|mut batches| batches.next()) else {
                        break;
                    };
                    spans += batch.len();
                    let operations = batch.into_iter().map(WriteOperation::Upsert).collect();
                    let account = AccountId::default();
                    let request =
                        WriteRequest { account, operations, all_or_nothing: false, check_parents: true };
                    ensure!(store.write(request).await?.is_success(), "a span was rejected");
                }
                Ok((spans, Instant::now()))
            })
        })
        .collect();
    let mut times = Vec::new();
    if reads {
        let queries = queries()?;
        for query in queries.iter().cycle() {
            let begun = Instant::now();
            store.search_spans(Some(&AccountId::default()), query).await?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
            if begin.elapsed() >= time {
                break;
            }
            tokio::time::sleep(PAUSE.saturating_sub(begun.elapsed())).await;
        }
    } else {
        tokio::time::sleep(time).await;
    }
    stop.store(true, Ordering::Relaxed);
    let (mut spans, mut end) = (0, begin);
    for writer in writers {
        let (written, ended) = writer.await??;
        spans += written;
        end = end.max(ended);
    }
    Ok((spans as f64 / (end - begin).as_secs_f64().max(1e-9), times))
}

const NAMES: [&str; 6] =
    ["newest 50", "name and status", "a name that none has", "by duration", "a rare word", "a frequent word"];

fn queries() -> Result<Vec<SpanQuery>> {
    let all = SpanFilter::default;
    let page = |filter| SpanQuery { filter, limit: 50, ..SpanQuery::default() };
    Ok(vec![
        page(all()),
        page(SpanFilter {
            statuses: vec![Status::Error],
            names: ["chat.completions".to_owned()].into(),
            ..all()
        }),
        page(SpanFilter { names: ["none".to_owned()].into(), ..all() }),
        SpanQuery { sort: SpanSort::Duration, ..page(all()) },
        page(SpanFilter { text: TextQuery::parse(&["needle0007"])?, ..all() }),
        page(SpanFilter { text: TextQuery::parse(&["production"])?, ..all() }),
    ])
}
