//! Taking spans out, and who fills the store.

use endspan_model::{AccountId, Span};

use super::*;
use crate::{
    AccountUsage, Deleted, Deleting, Deletion, ListQuery, SpanQuery, TraceQuery, search::SpanFilter,
    text::TextQuery,
};

fn spanning(trace_id: &str, id: &str, start: i64) -> Span {
    let input = payload(&format!("{{\"text\":\"word{start}\"}}"));
    Span { start_time: at(start), input, ..ended_span(trace_id, id) }
}

/// Deletes in pieces until nothing of it is left, and returns the sum.
async fn delete(
    subject: &dyn Subject,
    account: Option<&AccountId>,
    what: Deleting,
    max_spans: u32,
) -> Deleted {
    let mut all = Deleted::default();
    loop {
        let deletion = Deletion { what: what.clone(), max_spans };
        let piece = subject.store().delete(account, &deletion).await.unwrap();
        assert!(piece.spans <= u64::from(max_spans), "{piece:?}");
        assert!(piece.spans > 0 || !piece.more, "{piece:?}");
        all.add(piece);
        if !piece.more {
            return all;
        }
    }
}

async fn remaining(subject: &dyn Subject) -> Vec<String> {
    let query = ListQuery { limit: 1000, order: crate::ListOrder::Id, ..ListQuery::default() };
    let mut found = subject.store().list_spans(None, &query).await.unwrap();
    found.reverse();
    found.into_iter().map(|stored| stored.span.id.as_str().to_owned()).collect()
}

/// From every read; and its neighbours stay as they were.
pub async fn a_deleted_trace_is_gone_from_every_read(subject: &mut dyn Subject) {
    store_all(
        subject,
        (0..9).map(|number| spanning(["t", "u"][number as usize % 2], &number.to_string(), number)),
    )
    .await;
    // Also what was written twice, and what background work has moved.
    store_all(subject, [spanning("t", "4", 4), spanning("u", "3", 3)]).await;
    subject.maintain().await;
    store_all(subject, [spanning("t", "x", 20)]).await;
    let kept = subject.store().read_trace(None, &"u".into(), true).await.unwrap();
    let deleted = delete(subject, Some(&account()), Deleting::Trace("t".into()), 100).await;
    let payload_bytes: usize =
        [0, 2, 4, 6, 8, 20].iter().map(|start| spanning("t", "s", *start).payload_bytes()).sum();
    assert_eq!(deleted, Deleted { spans: 6, traces: 1, payload_bytes: payload_bytes as u64, more: false });
    for reopen in [false, true] {
        if reopen {
            subject.maintain().await;
            subject.reopen().await;
        }
        let store = subject.store();
        assert_eq!(remaining(subject).await, ["1", "3", "5", "7"]);
        for id in ["0", "4", "x"] {
            assert_eq!(store.find_span(None, &id.into()).await.unwrap(), None);
            assert_eq!(find_in(subject, "t", id).await, None);
        }
        assert_eq!(store.read_trace(None, &"t".into(), false).await.unwrap(), []);
        assert_eq!(store.read_structure(None, &"t".into()).await.unwrap(), []);
        assert_eq!(store.read_trace(None, &"u".into(), true).await.unwrap(), kept);
        let traces =
            store.list_traces(None, &TraceQuery { limit: 9, ..TraceQuery::default() }).await.unwrap();
        assert_eq!((traces.traces.len(), traces.traces[0].span_count), (1, 4));
        assert_eq!(ids(&store.changes(None, 0, 100).await.unwrap().spans), ["1", "5", "7", "3"]);
        for text in ["", "word8", "word7"] {
            let terms: &[&str] = if text.is_empty() { &[] } else { &[text] };
            let filter = SpanFilter { text: TextQuery::parse(terms).unwrap(), ..SpanFilter::default() };
            let page =
                store.search_spans(None, &SpanQuery { filter, limit: 100, ..SpanQuery::default() }).await;
            let expected: &[&str] = match text {
                "" => &["7", "5", "3", "1"],
                "word7" => &["7"],
                _ => &[],
            };
            assert_eq!(ids(&page.unwrap().spans), expected);
        }
        let stats = store.stats().await.unwrap();
        assert_eq!((stats.spans, stats.traces), (4, 1));
    }
    let again = delete(subject, Some(&account()), Deleting::Trace("t".into()), 100).await;
    assert_eq!(again, Deleted::default());
}

/// However small; the trace is exact after each.
pub async fn pieces_are_bounded_and_leave_exact_traces(subject: &mut dyn Subject) {
    store_all(subject, (0..25).map(|number| spanning("t", &number.to_string(), number))).await;
    store_all(subject, [spanning("u", "other", 3)]).await;
    let mut left = 25;
    loop {
        let deletion = Deletion { what: Deleting::Trace("t".into()), max_spans: 4 };
        let piece = subject.store().delete(None, &deletion).await.unwrap();
        assert!((1..=4).contains(&piece.spans), "{piece:?}");
        left -= piece.spans;
        assert_eq!((piece.more, piece.traces), (left > 0, u64::from(left == 0)));
        let page = subject
            .store()
            .list_traces(None, &TraceQuery { limit: 9, ..TraceQuery::default() })
            .await
            .unwrap();
        let trace = page.traces.iter().find(|trace| trace.trace_id.as_str() == "t");
        let spans = subject.store().read_trace(None, &"t".into(), false).await.unwrap();
        assert_eq!(spans.len() as u64, left);
        assert_eq!(trace.map_or(0, |trace| trace.span_count), left);
        if left == 0 {
            break;
        }
        assert_eq!(trace.unwrap().start_time, at(0), "what started last goes first");
    }
    assert_eq!(remaining(subject).await, ["other"]);
}

/// By the start of their spans, to the nanosecond.
pub async fn traces_with_anything_newer_stay_whole(subject: &mut dyn Subject) {
    let nanos = |span: Span, nanos| Span {
        start_time: endspan_model::Timestamp::from_parts(span.start_time.unix_micros(), nanos).unwrap(),
        ..span
    };
    store_all(
        subject,
        [
            spanning("before", "a", 1),
            spanning("whole", "b", 5),
            spanning("whole", "c", 9),
            spanning("newer", "d", 5),
            spanning("newer", "e", 10),
            nanos(spanning("edge", "f", 9), 999),
            nanos(spanning("older", "g", 4), 999),
            spanning("older", "h", 6),
        ],
    )
    .await;
    let what = Deleting::Started { from: Some(at(5)), before: at(10) };
    let deleted = delete(subject, Some(&account()), what.clone(), 2).await;
    assert_eq!((deleted.spans, deleted.traces), (3, 2));
    assert_eq!(remaining(subject).await, ["a", "d", "e", "g", "h"]);
    // A span that moves away, or starts earlier than it said, lets its trace go.
    let earlier = SpanPatch { start_time: Some(at(7)), ..SpanPatch::default() };
    write(subject, vec![patch("e", earlier)]).await;
    assert_eq!(delete(subject, Some(&account()), what, 100).await.spans, 2);
    let all_before = Deleting::Started { from: None, before: at(5) };
    assert_eq!(delete(subject, None, all_before, 100).await.spans, 1);
    assert_eq!(remaining(subject).await, ["g", "h"]);
}

/// As often as one asks.
pub async fn the_oldest_trace_goes_first(subject: &mut dyn Subject) {
    store_all(
        subject,
        (0..12).map(|number| spanning(&format!("t{}", number % 4), &format!("{number:02}"), number)),
    )
    .await;
    let other = WriteRequest {
        account: AccountId::new("other"),
        ..request(vec![WriteOperation::Upsert(spanning("u", "99", -3))])
    };
    subject.store().write(other).await.unwrap();
    let mut left = 7;
    while left > 0 {
        let deletion = Deletion { what: Deleting::Oldest, max_spans: left };
        let piece = subject.store().delete(None, &deletion).await.unwrap();
        assert!(piece.spans > 0 && piece.more);
        left -= piece.spans as u32;
    }
    assert_eq!(remaining(subject).await, ["02", "03", "06", "07", "10", "11"]);
    let mine = Deletion { what: Deleting::Oldest, max_spans: 1 };
    subject.store().delete(Some(&AccountId::new("other")), &mine).await.unwrap();
    assert_eq!(remaining(subject).await.len(), 6);
    assert_eq!(delete(subject, Some(&account()), Deleting::Oldest, 4).await.spans, 6);
}

/// Also when both have the same trace.
pub async fn deletion_stays_within_its_account(subject: &mut dyn Subject) {
    let other = AccountId::new("other");
    store_all(subject, [spanning("t", "mine", 1)]).await;
    let operations = vec![WriteOperation::Upsert(spanning("t", "theirs", 1))];
    subject.store().write(WriteRequest { account: other.clone(), ..request(operations) }).await.unwrap();
    for what in
        [Deleting::Trace("t".into()), Deleting::Started { from: None, before: at(100) }, Deleting::Oldest]
    {
        let none = AccountId::new("none");
        assert_eq!(delete(subject, Some(&none), what, 10).await, Deleted::default());
    }
    assert_eq!(delete(subject, Some(&other), Deleting::Trace("t".into()), 10).await.spans, 1);
    assert_eq!(remaining(subject).await, ["mine"]);
}

/// Its id is free, its late start is stored, and its parent is nowhere.
pub async fn a_deleted_span_can_be_written_again(subject: &mut dyn Subject) {
    store_all(subject, [spanning("t", "a", 1), spanning("t", "b", 2)]).await;
    delete(subject, None, Deleting::Trace("t".into()), 10).await;
    let outcomes =
        write(subject, vec![WriteOperation::Insert(open_span("u", "a")), patch("b", SpanPatch::default())])
            .await;
    assert_eq!(outcomes, [Outcome::Stored, Outcome::Rejected(Rejection::NotFound)]);
    store_all(subject, [open_span("t", "b")]).await;
    assert_eq!(find(subject, "b").await.span, open_span("t", "b"));
    subject.maintain().await;
    subject.reopen().await;
    assert_eq!(find(subject, "a").await.span, open_span("u", "a"));
    assert_eq!(find_in(subject, "t", "b").await, Some(open_span("t", "b")));
}

/// Nor when nothing is left that tells them.
pub async fn deletion_takes_and_gives_back_no_positions(subject: &mut dyn Subject) {
    store_all(subject, [spanning("t", "a", 1), spanning("t", "b", 2)]).await;
    store_all(subject, [spanning("t", "a", 1)]).await;
    let before = subject.store().latest_position().await.unwrap();
    delete(subject, None, Deleting::Oldest, 10).await;
    assert_eq!(subject.store().latest_position().await.unwrap(), before);
    subject.maintain().await;
    subject.reopen().await;
    assert_eq!(subject.store().latest_position().await.unwrap(), before);
    let changes = subject.store().changes(None, 0, 10).await.unwrap();
    assert_eq!((changes.spans.len(), changes.position), (0, before));
    store_all(subject, [spanning("t", "c", 3)]).await;
    let changes = subject.store().changes(None, before, 10).await.unwrap();
    assert_eq!(ids(&changes.spans), ["c"]);
    assert!(changes.position > before);
}

/// Replaced versions and deleted spans do not count.
pub async fn usage_is_told_by_account(subject: &mut dyn Subject) {
    assert_eq!(subject.store().accounts().await.unwrap(), []);
    store_all(subject, [spanning("t", "a", 1), spanning("t", "b", 7), spanning("u", "c", 5)]).await;
    store_all(subject, [spanning("t", "a", 2)]).await;
    let other = AccountId::new("other");
    let operations = vec![WriteOperation::Upsert(Span { input: None, ..spanning("t", "d", 4) })];
    subject.store().write(WriteRequest { account: other.clone(), ..request(operations) }).await.unwrap();
    let payload_bytes = |starts: &[i64]| {
        starts.iter().map(|start| spanning("t", "s", *start).payload_bytes() as u64).sum::<u64>()
    };
    let told = |subject: &dyn Subject| {
        let store = subject.store();
        async move {
            let mut accounts = store.accounts().await.unwrap();
            for account in &mut accounts {
                account.stored_bytes = 0;
            }
            accounts
        }
    };
    let usage = AccountUsage {
        account: account(),
        spans: 3,
        traces: 2,
        payload_bytes: payload_bytes(&[2, 7, 5]),
        stored_bytes: 0,
        oldest_start: at(2),
        newest_start: at(7),
    };
    let theirs = AccountUsage {
        account: other.clone(),
        spans: 1,
        traces: 1,
        payload_bytes: 0,
        stored_bytes: 0,
        oldest_start: at(4),
        newest_start: at(4),
    };
    assert_eq!(told(subject).await, [usage.clone(), theirs]);
    delete(subject, Some(&other), Deleting::Oldest, 10).await;
    delete(subject, Some(&account()), Deleting::Trace("u".into()), 10).await;
    let usage = AccountUsage { spans: 2, traces: 1, payload_bytes: payload_bytes(&[2, 7]), ..usage };
    assert_eq!(told(subject).await, std::slice::from_ref(&usage));
    subject.maintain().await;
    subject.reopen().await;
    assert_eq!(told(subject).await, [usage]);
}
