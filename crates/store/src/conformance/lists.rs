//! Lists and single reads.

use endspan_model::{Span, Timestamp};

use super::*;
use crate::{ListOrder, ListQuery, SortDirection};

fn all() -> ListQuery {
    ListQuery { limit: 1000, ..ListQuery::default() }
}

async fn list(subject: &dyn Subject, query: &ListQuery) -> Vec<String> {
    let spans = subject.store().list_spans(Some(&account()), query).await.unwrap();
    spans.into_iter().map(|stored| stored.span.id.as_str().to_owned()).collect()
}

fn starting(trace_id: &str, id: &str, micros: i64) -> Span {
    Span { start_time: at(micros), end_time: Some(at(micros + 5)), ..open_span(trace_id, id) }
}

/// The default page.
pub async fn agentex_row_48_newest_start_first(subject: &mut dyn Subject) {
    store_all(subject, (0..60).map(|number| starting("t", &format!("{number:02}"), number * 10))).await;
    let found = list(subject, &ListQuery { limit: 50, ..ListQuery::default() }).await;
    let expected: Vec<String> = (10..60).rev().map(|number| format!("{number:02}")).collect();
    assert_eq!(found, expected);
}

/// Also with equal starts, where the reference repeats and skips.
pub async fn agentex_row_49_pages_hold_every_span_once(subject: &mut dyn Subject) {
    store_all(subject, (0..60).map(|number| starting("t", &format!("{number:02}"), number / 20))).await;
    let mut seen = Vec::new();
    for page in 0.. {
        let query = ListQuery { limit: 7, offset: page * 7, ..ListQuery::default() };
        let ids = list(subject, &query).await;
        if ids.is_empty() {
            break;
        }
        seen.extend(ids);
    }
    let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), distinct.len()), (60, 60));
}

/// Within one trace.
pub async fn agentex_row_50_both_directions(subject: &mut dyn Subject) {
    store_all(subject, (0..5).map(|number| starting("ord", &number.to_string(), number))).await;
    store_all(subject, [starting("other", "x", 2)]).await;
    let mut query = ListQuery { trace_id: Some("ord".into()), ..all() };
    assert_eq!(list(subject, &query).await, ["4", "3", "2", "1", "0"]);
    query.direction = SortDirection::Ascending;
    assert_eq!(list(subject, &query).await, ["0", "1", "2", "3", "4"]);
}

/// As Postgres orders nulls.
pub async fn agentex_row_52_absent_ends_are_first_descending_and_last_ascending(subject: &mut dyn Subject) {
    store_all(subject, [starting("t", "early", 0), open_span("t", "open"), starting("t", "late", 9)]).await;
    let mut query = ListQuery { order: ListOrder::EndTime, ..all() };
    assert_eq!(list(subject, &query).await, ["open", "late", "early"]);
    query.direction = SortDirection::Ascending;
    assert_eq!(list(subject, &query).await, ["early", "late", "open"]);
}

/// Limit 2, page 2.
pub async fn agentex_row_55_an_offset_skips(subject: &mut dyn Subject) {
    store_all(subject, (0..5).map(|number| starting("t", &number.to_string(), number))).await;
    assert_eq!(list(subject, &ListQuery { limit: 2, offset: 2, ..ListQuery::default() }).await, ["2", "1"]);
}

/// The reference answers 500 to the largest.
pub async fn agentex_row_58_an_offset_beyond_everything_is_empty(subject: &mut dyn Subject) {
    store_all(subject, [starting("t", "s", 0)]).await;
    for offset in [1, 1000, i64::MAX as u64, u64::MAX] {
        for trace_id in [None, Some("t".into())] {
            assert!(list(subject, &ListQuery { offset, trace_id, ..all() }).await.is_empty());
        }
    }
}

/// A task matches by task id or by trace id.
pub async fn agentex_rows_59_to_64_task_and_trace_filters(subject: &mut dyn Subject) {
    let span = |id: &str, trace: &str, task: Option<&str>, start| Span {
        task_id: task.map(str::to_owned),
        ..starting(trace, id, start)
    };
    store_all(
        subject,
        [
            span("s1", "T1", None, 6),
            span("s2", "X", Some("T1"), 5),
            span("s3", "T1", Some("T1"), 4),
            span("s4", "T1", Some("T2"), 3),
            span("s5", "X", Some("T2"), 2),
            span("s6", "X", None, 1),
        ],
    )
    .await;
    let query = |task: Option<&str>, trace: Option<&str>| ListQuery {
        task_id: task.map(str::to_owned),
        trace_id: trace.map(Into::into),
        ..all()
    };
    assert_eq!(list(subject, &query(Some("T1"), None)).await, ["s1", "s2", "s3", "s4"]);
    assert_eq!(list(subject, &query(Some("T1"), Some("X"))).await, ["s2"]);
    assert_eq!(list(subject, &query(Some("T1"), Some("T1"))).await, ["s1", "s3", "s4"]);
    assert_eq!(list(subject, &query(None, Some("T1"))).await, ["s1", "s3", "s4"]);
    assert_eq!(list(subject, &query(None, Some("X"))).await, ["s2", "s5", "s6"]);
    assert_eq!(list(subject, &query(None, None)).await, ["s1", "s2", "s3", "s4", "s5", "s6"]);
    assert!(list(subject, &query(Some("T3"), None)).await.is_empty());
    let page = ListQuery { limit: 2, offset: 1, ..query(Some("T1"), None) };
    assert_eq!(list(subject, &page).await, ["s2", "s3"]);
}

/// Ascending whatever the direction of the key.
pub async fn ties_break_by_trace_then_id_ascending(subject: &mut dyn Subject) {
    store_all(subject, [starting("u", "a", 0), starting("t", "c", 0), starting("t", "b", 0)]).await;
    for order in [ListOrder::StartTime, ListOrder::EndTime, ListOrder::TaskId, ListOrder::ParentId] {
        for direction in [SortDirection::Ascending, SortDirection::Descending] {
            let query = ListQuery { order, direction, ..all() };
            assert_eq!(list(subject, &query).await, ["b", "c", "a"], "{query:?}");
        }
    }
}

/// Not by any locale, and ids that look like UUIDs among those that do not.
pub async fn every_sort_key_sorts_bytewise(subject: &mut dyn Subject) {
    let mut texts = [
        "",
        "A",
        "a",
        "Z",
        "é",
        "0198c0de-0000-7000-8000-00000000abcd",
        "0198c0de00007000800000000000abcd",
        "0198c0de-0000-7000-8000-00000000abc",
        "f198c0de-0000-7000-8000-00000000abcd",
        "g",
    ];
    let spans = texts.map(|text| Span {
        name: text.to_owned(),
        task_id: Some(text.to_owned()),
        parent_id: Some(text.into()),
        ..starting(text, text, 0)
    });
    store_all(subject, spans).await;
    texts.sort_unstable();
    let orders = [ListOrder::Id, ListOrder::TraceId, ListOrder::TaskId, ListOrder::ParentId, ListOrder::Name];
    for order in orders {
        let mut query = ListQuery { order, direction: SortDirection::Ascending, ..all() };
        assert_eq!(list(subject, &query).await, texts, "{order:?}");
        query.direction = SortDirection::Descending;
        let mut found = list(subject, &query).await;
        found.reverse();
        assert_eq!(found, texts, "{order:?}");
    }
}

/// Below the microsecond that the wire shows.
pub async fn nanoseconds_count_in_the_order(subject: &mut dyn Subject) {
    let nanos = |id: &str, nanos: i128| Span {
        start_time: Timestamp::from_unix_nanos(nanos).unwrap(),
        end_time: Timestamp::from_unix_nanos(nanos),
        ..open_span("t", id)
    };
    store_all(subject, [nanos("c", 1_001), nanos("a", 999), nanos("b", 1_000), nanos("z", -1)]).await;
    for order in [ListOrder::StartTime, ListOrder::EndTime] {
        assert_eq!(list(subject, &ListQuery { order, ..all() }).await, ["c", "b", "a", "z"]);
    }
}

/// Of every list.
pub async fn a_limit_of_zero_is_empty(subject: &mut dyn Subject) {
    store_all(subject, [starting("t", "s", 0)]).await;
    assert!(list(subject, &ListQuery::default()).await.is_empty());
    let store = subject.store();
    assert!(store.list_traces(None, &crate::TraceQuery::default()).await.unwrap().traces.is_empty());
    let changes = store.changes(None, 0, 0).await.unwrap();
    assert_eq!((changes.spans.len(), changes.position), (0, 0));
}

/// The latest write counts, not the latest start.
pub async fn find_returns_the_newest_of_equal_ids(subject: &mut dyn Subject) {
    store_all(subject, [starting("t", "s", 100)]).await;
    store_all(subject, [starting("u", "s", 0)]).await;
    assert_eq!(find(subject, "s").await.span.trace_id, "u".into());
    store_all(subject, [starting("t", "s", 100)]).await;
    assert_eq!(find(subject, "s").await.span.trace_id, "t".into());
}

/// Nothing for a trace that does not have it.
pub async fn find_in_trace_returns_that_trace_only(subject: &mut dyn Subject) {
    store_all(subject, [starting("t", "s", 0), starting("u", "other", 0)]).await;
    assert_eq!(find_in(subject, "t", "s").await, Some(starting("t", "s", 0)));
    assert_eq!(find_in(subject, "u", "s").await, None);
    assert_eq!(find_in(subject, "v", "s").await, None);
}

/// Not in the order of writing.
pub async fn read_trace_orders_by_start_then_id(subject: &mut dyn Subject) {
    store_all(
        subject,
        [starting("t", "c", 5), starting("t", "b", 5), starting("t", "z", 1), starting("u", "x", 0)],
    )
    .await;
    let spans = subject.store().read_trace(Some(&account()), &"t".into(), true).await.unwrap();
    assert_eq!(ids(&spans), ["z", "b", "c"]);
}

/// Everything else is there.
pub async fn read_trace_without_payloads_leaves_only_payloads_out(subject: &mut dyn Subject) {
    let bare = Span {
        status: Some(endspan_model::Status::Success),
        task_id: Some("k".to_owned()),
        group_id: Some("g".to_owned()),
        ..starting("t", "s", 0)
    };
    let span = Span {
        input: payload("{}"),
        output: payload("{}"),
        metadata: payload("{}"),
        expected: payload("{}"),
        otel: payload("{}"),
        ..bare.clone()
    };
    store_all(subject, [span.clone()]).await;
    let store = subject.store();
    assert_eq!(store.read_trace(None, &"t".into(), false).await.unwrap()[0].span, bare);
    assert_eq!(store.read_trace(None, &"t".into(), true).await.unwrap()[0].span, span);
    assert_eq!(store.read_trace(None, &"none".into(), true).await.unwrap(), []);
}
