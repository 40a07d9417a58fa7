//! Searching while spans come in: two writers flat out, and one reader who asks ten times a second; and the same reader beside
//! threads that do nothing but take as much of the processor as the writers do, which is the least that sharing it costs.

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
use endspan_store::{Deleting, Deletion, SpanQuery, SpanStore, WriteOperation, WriteRequest};
use endspan_store_embedded::{EmbeddedStore, Options};

use crate::{Arguments, write};

const PAUSE: Duration = Duration::from_millis(100);

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let (_directory, store, generator) = filled(arguments).await?;
    let traces = arguments.spans / 20;
    let next = Arc::new(AtomicUsize::new(traces));
    let seconds = Duration::from_secs(arguments.seconds);

    // Before and after, since the store grows meanwhile.
    let (_, mut search_alone, _) = part(&store, &generator, &next, seconds, Beside::Nothing, true).await?;
    let (ingest_alone, _, cores) = part(&store, &generator, &next, seconds, Beside::Writers, false).await?;
    let (_, search_shared, _) =
        part(&store, &generator, &next, seconds, Beside::Spinning(cores), true).await?;
    let (ingest, search, _) = part(&store, &generator, &next, seconds, Beside::Writers, true).await?;
    store.maintain().await?;
    search_alone.truncate(search_alone.len() / NAMES.len() * NAMES.len());
    search_alone.extend(part(&store, &generator, &next, seconds, Beside::Nothing, true).await?.1);
    let mut rows = vec![vec![
        "spans/s".to_owned(),
        format!("{ingest_alone:.0}"),
        String::new(),
        format!("{ingest:.0}"),
        format!("{:.2}", ingest / ingest_alone),
        String::new(),
    ]];
    for (index, name) in NAMES.iter().enumerate() {
        let times = |all: &[f64]| all.iter().copied().skip(index).step_by(NAMES.len()).collect::<Vec<f64>>();
        let all = [&search_alone, &search_shared, &search].map(|all| times(all));
        for (share, label) in [(0.5, "p50"), (0.99, "p99")] {
            let [alone, shared, both] = all.clone().map(|mut times| percentile(&mut times, share));
            rows.push(vec![
                format!("{name}, {label} ms"),
                format!("{alone:.1}"),
                format!("{shared:.1}"),
                format!("{both:.1}"),
                format!("{:.2}", both / alone),
                format!("{:.2}", both / shared),
            ]);
        }
    }
    println!("The writers alone take {cores:.2} cores; so do the spinning threads.\n");
    print_table(&["", "alone", "beside spinning", "beside writers", "to alone", "to beside spinning"], &rows);
    store.close().await?;
    Ok(())
}

/// Holds what searches take while old traces go to what they take alone.
pub(crate) async fn run_deleting(arguments: &Arguments) -> Result<()> {
    let (_directory, store, generator) = filled(arguments).await?;
    let next = Arc::new(AtomicUsize::new(0));
    let seconds = Duration::from_secs(arguments.seconds);
    let (_, mut alone, _) = part(&store, &generator, &next, seconds, Beside::Nothing, true).await?;
    let (deleted, search, _) = part(&store, &generator, &next, seconds, Beside::Deletion, true).await?;
    alone.truncate(alone.len() / NAMES.len() * NAMES.len());
    alone.extend(part(&store, &generator, &next, seconds, Beside::Nothing, true).await?.1);
    println!("Of {} spans {deleted:.0} went in a second.\n", arguments.spans);
    let mut rows = Vec::new();
    for (index, name) in NAMES.iter().enumerate() {
        let times = |all: &[f64]| all.iter().copied().skip(index).step_by(NAMES.len()).collect::<Vec<f64>>();
        for (share, label) in [(0.5, "p50"), (0.99, "p99")] {
            let [alone, beside] = [&alone, &search].map(|all| percentile(&mut times(all), share));
            rows.push(vec![
                format!("{name}, {label} ms"),
                format!("{alone:.1}"),
                format!("{beside:.1}"),
                format!("{:.2}", beside / alone),
            ]);
        }
    }
    print_table(&["", "alone", "beside a deletion", "to alone"], &rows);
    store.close().await?;
    Ok(())
}

async fn filled(arguments: &Arguments) -> Result<(tempfile::TempDir, Arc<EmbeddedStore>, Arc<Gen>)> {
    let directory = tempfile::tempdir_in(&arguments.data)?;
    let generator = Arc::new(Gen::new(Set::Small));
    let store = Arc::new(EmbeddedStore::open(directory.path(), Options::default())?);
    let traces = (arguments.spans / 20) as u64;
    write(&store, (0..traces).flat_map(|trace| generator.trace(trace)).map(|span| to_span(&span))).await?;
    store.maintain().await?;
    Ok((directory, store, generator))
}

/// Deletes the oldest traces piece by piece, with pauses as long as the pieces, as the server does. Returns how many spans went.
async fn delete(store: &EmbeddedStore, stop: &AtomicBool) -> Result<usize> {
    const PIECE_SPANS: u32 = 500;
    let deletion = Deletion { what: Deleting::Oldest, max_spans: PIECE_SPANS };
    let mut spans = 0;
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        spans += store.delete(None, &deletion).await?.spans as usize;
        tokio::time::sleep(begin.elapsed().max(Duration::from_millis(5))).await;
    }
    Ok(spans)
}

/// What runs beside the reader.
#[derive(Clone, Copy, PartialEq)]
enum Beside {
    Nothing,
    Writers,
    /// Old traces go.
    Deletion,
    /// Two threads that take so many cores together.
    Spinning(f64),
}

/// Returns the processor time that this process has had.
fn cpu_seconds() -> Result<f64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec that lives as long as the call.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    ensure!(answer == 0, "clock_gettime answers {answer}");
    Ok(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

/// Takes a share of a core until it is told to stop, some milliseconds at a time.
fn spin(share: f64, stop: &AtomicBool) {
    const TURN: Duration = Duration::from_millis(4);
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        while begin.elapsed() < TURN.mul_f64(share.clamp(0.0, 1.0)) {
            std::hint::spin_loop();
        }
        std::thread::sleep(TURN.saturating_sub(begin.elapsed()));
    }
}

/// Runs a reader, something beside it, or both for a while; returns spans a second, milliseconds of each search, and the cores that it
/// all took.
async fn part(
    store: &Arc<EmbeddedStore>,
    generator: &Arc<Gen>,
    next: &Arc<AtomicUsize>,
    time: Duration,
    beside: Beside,
    reads: bool,
) -> Result<(f64, Vec<f64>, f64)> {
    let stop = Arc::new(AtomicBool::new(false));
    let writes = beside == Beside::Writers;
    let mut spinning = Vec::new();
    if let Beside::Spinning(cores) = beside {
        for _ in 0..2 {
            let stop = stop.clone();
            spinning.push(std::thread::spawn(move || spin(cores / 2.0, &stop)));
        }
    }
    // Made before, so that making spans costs nothing while it is measured.
    let mut batches: Vec<Vec<Span>> = Vec::new();
    for _ in 0..if writes { 100 * time.as_secs() } else { 0 } {
        let made: Result<Vec<Span>> = (0..50)
            .flat_map(|_| generator.trace(next.fetch_add(1, Ordering::Relaxed) as u64))
            .map(|span| to_span(&span))
            .collect();
        batches.push(made?);
    }
    let batches = Arc::new(std::sync::Mutex::new(batches.into_iter()));
    let (begin, cpu) = (Instant::now(), cpu_seconds()?);
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
    let deleting = (beside == Beside::Deletion).then(|| {
        let (store, stop) = (store.clone(), stop.clone());
        tokio::spawn(async move { delete(&store, &stop).await })
    });
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
    for thread in spinning {
        ensure!(thread.join().is_ok(), "a spinning thread panicked");
    }
    let (mut spans, mut end) = (0, begin);
    if let Some(deleting) = deleting {
        spans = deleting.await??;
    }
    for writer in writers {
        let (written, ended) = writer.await??;
        spans += written;
        end = end.max(ended);
    }
    // The writers may have run out of spans before the time was over.
    let busy = if writes { end - begin } else { begin.elapsed() };
    let seconds = busy.as_secs_f64().max(1e-9);
    Ok((spans as f64 / seconds, times, (cpu_seconds()? - cpu) / seconds))
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
