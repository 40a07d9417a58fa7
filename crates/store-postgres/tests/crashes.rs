//! Two servers on one Postgres that is killed under load: nothing acknowledged is lost, nothing is stored twice, and
//! everybody goes on by themselves.
#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use endspan_model::{Payload, Span, SpanPatch, Timestamp};
use endspan_store::{
    ListQuery, Outcome, SpanStore, StoreError, TraceQuery, WriteOperation, WriteRequest,
    conformance::{at, ended_span, open_span, request},
};
use endspan_store_postgres::{PostgresStore, migrate};
use endspan_testkit::TestPostgres;
use parking_lot::Mutex;

use crate::support::{block_on, unmade_options};

const WRITERS: usize = 12;
const CRASHES: usize = 3;
/// Answered requests between two crashes.
const BETWEEN: usize = 150;

/// The spans that were acknowledged, by id.
type Acknowledged = Mutex<HashMap<String, Span>>;

fn single(writer: usize, number: usize) -> Span {
    let id = format!("w{writer}-{number}");
    let input = Payload::parse(format!("{{\"text\":\"{}\"}}", "word ".repeat(number % 40))).unwrap();
    Span { start_time: at(number as i64), input: Some(input), ..ended_span(&format!("t{}", number % 7), &id) }
}

/// One request and what is true once it is answered.
fn write_of(writer: usize, number: usize) -> (WriteRequest, Vec<Span>) {
    let span = single(writer, number);
    match number % 4 {
        // The reference's own way: an insert that must not be refused as its own duplicate when it is tried again.
        0 => (request(vec![WriteOperation::Insert(span.clone())]), vec![span]),
        1 => (request(vec![WriteOperation::Upsert(span.clone())]), vec![span]),
        2 => {
            let started = open_span(span.trace_id.as_str(), span.id.as_str());
            let operations = vec![WriteOperation::Upsert(started), WriteOperation::Upsert(span.clone())];
            (request(operations), vec![span])
        }
        _ => {
            let other = Span { id: format!("{}-b", span.id).into(), ..span.clone() };
            let name = SpanPatch { name: Some("patched".to_owned()), ..SpanPatch::default() };
            let operations = vec![
                WriteOperation::Insert(span.clone()),
                WriteOperation::Insert(other.clone()),
                WriteOperation::Patch { id: span.id.clone(), patch: Box::new(name) },
            ];
            let span = Span { name: "patched".to_owned(), ..span };
            (WriteRequest { all_or_nothing: true, ..request(operations) }, vec![span, other])
        }
    }
}

async fn write_until(
    store: Arc<PostgresStore>,
    writer: usize,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    acknowledged: Arc<Acknowledged>,
) {
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let (request, spans) = write_of(writer, number);
        match store.write(request).await {
            Ok(response) => {
                for outcome in &response.outcomes {
                    assert!(
                        matches!(outcome, Outcome::Stored | Outcome::Patched(_)),
                        "{number}: {outcome:?}"
                    );
                }
                let mut acknowledged = acknowledged.lock();
                acknowledged.extend(spans.into_iter().map(|span| (span.id.as_str().to_owned(), span)));
                answered.fetch_add(1, Ordering::Relaxed);
            }
            // The database was away for longer than writes wait. What became of this one is not known.
            Err(StoreError::Unavailable(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_postgres_is_killed() {
    let Some(server) = TestPostgres::private() else { return };
    let mut options = unmade_options(&server);
    options.retry_for = Duration::from_secs(60);
    block_on(async {
        migrate(&options).await.unwrap();
        let stores = [
            Arc::new(PostgresStore::open(options.clone()).await.unwrap()),
            Arc::new(PostgresStore::open(options.clone()).await.unwrap()),
        ];
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let acknowledged = Arc::new(Acknowledged::default());
        let mut tasks = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let store = stores[writer % 2].clone();
            tasks.spawn(write_until(store, writer, stop.clone(), answered.clone(), acknowledged.clone()));
        }
        for _ in 0..CRASHES {
            let target = answered.load(Ordering::Relaxed) + BETWEEN;
            while answered.load(Ordering::Relaxed) < target {
                tokio::time::sleep(Duration::from_millis(5)).await;
                assert!(!tasks.is_empty());
            }
            server.crash().unwrap();
            let health = stores[0].check_health().await;
            assert!(matches!(health, Err(StoreError::Unavailable(_))), "{health:?}");
            server.start().unwrap();
        }
        let target = answered.load(Ordering::Relaxed) + BETWEEN;
        while answered.load(Ordering::Relaxed) < target {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.store(true, Ordering::Relaxed);
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
        for store in &stores {
            store.check_health().await.unwrap();
        }
        let acknowledged = std::mem::take(&mut *acknowledged.lock());
        check(&*stores[1], &acknowledged).await;
        for store in stores {
            store.close().await.unwrap();
        }
    });
}

/// Every acknowledged span is there, once, as it was; and the traces are exact.
async fn check(store: &dyn SpanStore, acknowledged: &HashMap<String, Span>) {
    let query = ListQuery { limit: u32::MAX, ..ListQuery::default() };
    let stored = store.list_spans(None, &query).await.unwrap();
    let mut found: HashMap<&str, &Span> = HashMap::new();
    let mut traces: HashMap<&str, (u64, Timestamp)> = HashMap::new();
    for stored in &stored {
        let span = &stored.span;
        assert!(found.insert(span.id.as_str(), span).is_none(), "{} is stored twice", span.id);
        let trace = traces.entry(span.trace_id.as_str()).or_insert((0, Timestamp::MAX));
        *trace = (trace.0 + 1, trace.1.min(span.start_time));
    }
    for (id, span) in acknowledged {
        assert_eq!(found.get(id.as_str()), Some(&span), "{id}");
    }
    let page = store.list_traces(None, &TraceQuery { limit: 100, ..TraceQuery::default() }).await.unwrap();
    assert_eq!(page.traces.len(), traces.len());
    for trace in &page.traces {
        assert_eq!(traces.get(trace.trace_id.as_str()), Some(&(trace.span_count, trace.start_time)));
    }
    // Whoever follows the writes meets every span once, in one order.
    let (mut position, mut followed) = (0, 0);
    loop {
        let changes = store.changes(None, position, 100).await.unwrap();
        assert!(changes.spans.is_sorted_by(|left, right| left.version < right.version));
        position = changes.position;
        followed += changes.spans.len();
        if changes.spans.is_empty() {
            break;
        }
    }
    assert_eq!(followed, stored.len());
}

#[test]
fn a_database_that_stays_away_is_unavailable_and_comes_back() {
    let Some(server) = TestPostgres::private() else { return };
    let mut options = unmade_options(&server);
    options.retry_for = Duration::from_millis(200);
    block_on(async {
        migrate(&options).await.unwrap();
        let store = PostgresStore::open(options).await.unwrap();
        let write =
            |id: &'static str| store.write(request(vec![WriteOperation::Upsert(ended_span("t", id))]));
        write("before").await.unwrap();
        server.crash().unwrap();
        for id in ["during", "still"] {
            assert!(matches!(write(id).await, Err(StoreError::Unavailable(_))));
        }
        assert!(matches!(store.find_span(None, &"before".into()).await, Err(StoreError::Unavailable(_))));
        server.start().unwrap();
        write("after").await.unwrap();
        assert!(store.find_span(None, &"before".into()).await.unwrap().is_some());
        assert!(store.find_span(None, &"after".into()).await.unwrap().is_some());
        store.check_health().await.unwrap();
        store.close().await.unwrap();
    });
}

/// A reader of the changes on one server misses nothing that another one writes meanwhile.
#[test]
fn a_tail_follows_the_writes_of_all_servers() {
    const SPANS: usize = 300;
    let options = support::fresh_options();
    block_on(async {
        let reader = PostgresStore::open(options.clone()).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for writer in 0..3 {
            let options = options.clone();
            tasks.spawn(async move {
                let store = PostgresStore::open(options).await.unwrap();
                for number in 0..SPANS / 3 {
                    let span = single(writer, number);
                    store.write(request(vec![WriteOperation::Upsert(span)])).await.unwrap();
                }
            });
        }
        let (mut position, mut seen) = (0, 0);
        while seen < SPANS {
            let changes = reader.changes(None, position, 50).await.unwrap();
            assert!(changes.spans.iter().all(|stored| stored.version > position));
            position = changes.position;
            seen += changes.spans.len();
        }
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
        assert_eq!(reader.changes(None, position, 50).await.unwrap().spans.len(), 0);
        assert_eq!(seen, SPANS);
    });
}

/// All at once; one of them does it.
#[test]
fn several_servers_migrate_at_once() {
    let options = unmade_options(support::server());
    block_on(async {
        let missing = PostgresStore::open(options.clone()).await.err().unwrap().to_string();
        assert!(missing.contains("endspan migrate"), "{missing}");
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let options = options.clone();
            tasks.spawn(async move { migrate(&options).await.unwrap() });
        }
        let mut from = Vec::new();
        while let Some(migrated) = tasks.join_next().await {
            from.push(migrated.unwrap().from);
        }
        from.sort_unstable();
        // Each version is a step of its own, and any of them may take it.
        assert!(from[0] == 0 && from[1] > 0, "{from:?}");
        PostgresStore::open(options).await.unwrap().check_health().await.unwrap();
    });
}
