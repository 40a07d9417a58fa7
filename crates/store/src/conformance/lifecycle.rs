//! Opening, closing, figures.

use endspan_model::Span;

use super::*;
use crate::{ListQuery, StoreError, TraceQuery};

fn some_spans() -> impl Iterator<Item = Span> {
    (0..40).map(|number| Span {
        start_time: at(number),
        input: payload(&format!("{{\"n\":{number}}}")),
        ..ended_span(&format!("t{}", number % 7), &number.to_string())
    })
}

/// Every read, after replacement and patches.
pub async fn everything_reads_the_same_after_reopening(subject: &mut dyn Subject) {
    store_all(subject, some_spans()).await;
    store_all(subject, some_spans().take(9).map(|span| Span { name: "again".to_owned(), ..span })).await;
    let query = ListQuery { limit: 100, ..ListQuery::default() };
    let page = TraceQuery { limit: 100, ..TraceQuery::default() };
    let store = subject.store();
    let listed = store.list_spans(None, &query).await.unwrap();
    let traces = store.list_traces(None, &page).await.unwrap();
    let changes = store.changes(None, 0, 100).await.unwrap();
    drop(store);
    if subject.reopen().await {
        subject.maintain().await;
        let store = subject.store();
        assert_eq!(store.list_spans(None, &query).await.unwrap(), listed);
        assert_eq!(store.list_traces(None, &page).await.unwrap(), traces);
        assert_eq!(store.changes(None, 0, 100).await.unwrap(), changes);
        for stored in listed {
            assert_eq!(find(subject, stored.span.id.as_str()).await, stored);
        }
    }
}

/// A reader goes on where it was.
pub async fn positions_survive_reopening(subject: &mut dyn Subject) {
    store_all(subject, some_spans()).await;
    store_all(subject, some_spans()).await;
    let position = subject.store().latest_position().await.unwrap();
    if subject.reopen().await {
        assert_eq!(subject.store().latest_position().await.unwrap(), position);
        store_all(subject, [ended_span("t", "new")]).await;
        let changes = subject.store().changes(None, position, 10).await.unwrap();
        assert_eq!(ids(&changes.spans), ["new"]);
    }
}

/// For every call; closing twice is fine.
pub async fn a_closed_store_is_unavailable(subject: &mut dyn Subject) {
    let store = subject.store();
    store_all(subject, some_spans()).await;
    store.check_health().await.unwrap();
    store.close().await.unwrap();
    let write = store.write(request(vec![WriteOperation::Upsert(ended_span("t", "s"))])).await;
    assert!(matches!(write, Err(StoreError::Unavailable(_))));
    let (trace, id) = ("t1".into(), "1".into());
    assert!(matches!(store.find_span(None, &id).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.read_trace(None, &trace, true).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.stats().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.latest_position().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.check_health().await, Err(StoreError::Unavailable(_))));
    store.close().await.unwrap();
}

/// Replaced versions do not count.
pub async fn figures_count_spans_and_traces(subject: &mut dyn Subject) {
    store_all(subject, some_spans()).await;
    store_all(subject, some_spans()).await;
    subject.maintain().await;
    let stats = subject.store().stats().await.unwrap();
    assert_eq!((stats.spans, stats.traces), (40, 7));
    assert!(!stats.engine.is_empty() && stats.schema_version > 0);
    let payload_bytes: u64 = some_spans().map(|span| span.payload_bytes() as u64).sum();
    assert!(stats.raw_payload_bytes >= payload_bytes);
}

/// Without any wait in between.
pub async fn writes_are_visible_to_every_later_read(subject: &mut dyn Subject) {
    let store = subject.store();
    for number in 0..100 {
        let id = number.to_string();
        let before = store.latest_position().await.unwrap();
        store_all(subject, [Span { start_time: at(number), ..ended_span("t", &id) }]).await;
        assert!(store.find_span(None, &id.as_str().into()).await.unwrap().is_some());
        let query = ListQuery { limit: 1, ..ListQuery::default() };
        assert_eq!(ids(&store.list_spans(None, &query).await.unwrap()), [id.as_str()]);
        assert_eq!(store.read_trace(None, &"t".into(), false).await.unwrap().len() as i64, number + 1);
        assert_eq!(store.changes(None, before, 10).await.unwrap().spans.len(), 1);
    }
}
