//! Trace summaries and their pages.

use endspan_model::{AccountId, Span, Status};

use super::*;
use crate::{StoreError, TraceQuery, TraceSummary, cursor::TraceCursor};

async fn traces(subject: &dyn Subject) -> Vec<TraceSummary> {
    let query = TraceQuery { limit: 1000, after: None };
    let page = subject.store().list_traces(Some(&account()), &query).await.unwrap();
    assert_eq!(page.next, None);
    page.traces
}

async fn only_trace(subject: &dyn Subject) -> TraceSummary {
    let mut traces = traces(subject).await;
    assert_eq!(traces.len(), 1);
    traces.remove(0)
}

fn between(trace_id: &str, id: &str, start: i64, end: i64) -> Span {
    Span { start_time: at(start), end_time: Some(at(end)), ..open_span(trace_id, id) }
}

fn child(span: Span) -> Span {
    Span { parent_id: Some("root".into()), ..span }
}

/// Earliest start, latest end, open spans, errors.
pub async fn a_summary_counts_its_spans(subject: &mut dyn Subject) {
    let failed = Span { status: Some(Status::Error), ..child(between("t", "b", 3, 90)) };
    store_all(subject, [child(between("t", "a", -4, 8)), failed]).await;
    store_all(subject, [child(open_span("t", "c")), between("t", "root", 0, 50)]).await;
    let expected = TraceSummary {
        account: account(),
        trace_id: "t".into(),
        name: "name of root".to_owned(),
        start_time: at(-4),
        end_time: Some(at(90)),
        span_count: 4,
        open_count: 1,
        error_count: 1,
        status: None,
    };
    assert_eq!(only_trace(subject).await, expected);
}

/// The earliest span without a parent; ties by id.
pub async fn the_root_gives_name_and_status(subject: &mut dyn Subject) {
    let root = |id: &str, start, status| Span { status: Some(status), ..between("t", id, start, 50) };
    store_all(subject, [root("later", 5, Status::Canceled), child(between("t", "early", 0, 9))]).await;
    let summary = only_trace(subject).await;
    assert_eq!((summary.name.as_str(), summary.status), ("name of later", Some(Status::Canceled)));
    store_all(subject, [root("b", 1, Status::Error)]).await;
    assert_eq!(only_trace(subject).await.status, Some(Status::Error));
    store_all(subject, [root("a", 1, Status::Success)]).await;
    let summary = only_trace(subject).await;
    assert_eq!((summary.name.as_str(), summary.status), ("name of a", Some(Status::Success)));
}

/// Its status is not the trace's.
pub async fn without_a_root_the_earliest_span_names_the_trace(subject: &mut dyn Subject) {
    let early = Span { status: Some(Status::Error), ..child(between("t", "early", 0, 9)) };
    store_all(subject, [child(between("t", "late", 4, 9)), early]).await;
    let summary = only_trace(subject).await;
    assert_eq!((summary.name.as_str(), summary.status), ("name of early", None));
    assert_eq!(summary.error_count, 1);
}

/// Start, then end, then a correction.
pub async fn summaries_follow_replacement(subject: &mut dyn Subject) {
    store_all(subject, [open_span("t", "s")]).await;
    let summary = only_trace(subject).await;
    assert_eq!((summary.span_count, summary.open_count, summary.end_time), (1, 1, None));
    store_all(subject, [Span { status: Some(Status::Error), ..between("t", "s", 0, 70) }]).await;
    let summary = only_trace(subject).await;
    assert_eq!((summary.span_count, summary.open_count, summary.error_count), (1, 0, 1));
    assert_eq!((summary.end_time, summary.status), (Some(at(70)), Some(Status::Error)));
    let corrected = Span { name: "corrected".to_owned(), ..child(between("t", "s", 20, 30)) };
    store_all(subject, [corrected]).await;
    let summary = only_trace(subject).await;
    assert_eq!((summary.start_time, summary.end_time), (at(20), Some(at(30))));
    assert_eq!((summary.name.as_str(), summary.error_count, summary.status), ("corrected", 0, None));
}

/// Bounds and the root must be found again among the other spans.
pub async fn summaries_follow_patches_that_shrink_the_trace(subject: &mut dyn Subject) {
    store_all(subject, [between("t", "wide", 0, 100), between("t", "narrow", 20, 40)]).await;
    let shrink = SpanPatch {
        start_time: Some(at(25)),
        end_time: Some(at(30)),
        parent_id: Some("narrow".into()),
        ..SpanPatch::default()
    };
    write(subject, vec![patch("wide", shrink)]).await;
    let summary = only_trace(subject).await;
    assert_eq!((summary.start_time, summary.end_time), (at(20), Some(at(40))));
    assert_eq!(summary.name, "name of narrow");
}

/// Both traces are right afterwards.
pub async fn summaries_follow_moves_and_empty_traces_vanish(subject: &mut dyn Subject) {
    store_all(subject, [between("t", "a", 0, 9), between("t", "b", 5, 20), between("u", "c", 50, 60)]).await;
    let to = |trace: &str| SpanPatch { trace_id: Some(trace.into()), ..SpanPatch::default() };
    write(subject, vec![patch("a", to("u"))]).await;
    let found = traces(subject).await;
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].trace_id.as_str(), found[0].start_time, found[0].span_count), ("t", at(5), 1));
    assert_eq!(
        (found[1].trace_id.as_str(), found[1].start_time, found[1].end_time),
        ("u", at(0), Some(at(60)))
    );
    assert_eq!((found[1].name.as_str(), found[1].span_count), ("name of a", 2));
    write(subject, vec![patch("b", to("u"))]).await;
    assert_eq!(only_trace(subject).await.span_count, 3);
    assert_eq!(subject.store().stats().await.unwrap().traces, 1);
    write(subject, vec![patch("b", to("t"))]).await;
    assert_eq!(traces(subject).await.len(), 2);
}

/// By their earliest start.
pub async fn traces_are_newest_first_with_ties_by_id(subject: &mut dyn Subject) {
    store_all(
        subject,
        [
            between("b", "1", 5, 9),
            between("a", "2", 5, 9),
            between("new", "3", 8, 9),
            between("new", "4", 2, 3),
        ],
    )
    .await;
    let found = traces(subject).await;
    let ids: Vec<&str> = found.iter().map(|trace| trace.trace_id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "new"]);
}

/// With cursors, over ties, for one account and for all.
pub async fn pages_of_traces_hold_every_trace_once(subject: &mut dyn Subject) {
    store_all(subject, (0..23).map(|number| between(&format!("t{number:02}"), "s", number / 5, 100))).await;
    let other = WriteRequest {
        account: AccountId::new("other"),
        ..request(vec![WriteOperation::Upsert(between("t00", "s", 0, 100))])
    };
    subject.store().write(other).await.unwrap();
    for (scope, expected) in [(Some(account()), 23), (None, 24)] {
        let whole = subject
            .store()
            .list_traces(scope.as_ref(), &TraceQuery { limit: 100, after: None })
            .await
            .unwrap()
            .traces;
        assert_eq!(whole.len(), expected);
        let mut paged = Vec::new();
        let mut after = None;
        loop {
            let query = TraceQuery { limit: 4, after };
            let page = subject.store().list_traces(scope.as_ref(), &query).await.unwrap();
            assert!(!page.traces.is_empty());
            paged.extend(page.traces);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(paged, whole);
    }
}

/// It names the field.
pub async fn a_foreign_cursor_is_an_invalid_query(subject: &mut dyn Subject) {
    for after in ["", "nonsense", "t00", "1.2.zz.00"] {
        let query = TraceQuery { limit: 4, after: Some(after.to_owned()) };
        let answer = subject.store().list_traces(Some(&account()), &query).await;
        assert!(matches!(answer, Err(StoreError::InvalidQuery { field: "after", .. })), "{answer:?}");
    }
}

/// Also when the cursor was made for another one.
pub async fn traces_stay_within_their_account(subject: &mut dyn Subject) {
    store_all(subject, [between("t", "s", 0, 1)]).await;
    let other = AccountId::new("other");
    let operations = vec![WriteOperation::Upsert(between("u", "s", 5, 6))];
    subject.store().write(WriteRequest { account: other.clone(), ..request(operations) }).await.unwrap();
    let cursor = TraceCursor { start_time: at(9), trace_id: "z".into(), account: account() };
    let query = TraceQuery { limit: 10, after: Some(cursor.encode()) };
    let page = subject.store().list_traces(Some(&other), &query).await.unwrap();
    assert_eq!(page.traces.len(), 1);
    assert_eq!((&page.traces[0].account, page.traces[0].trace_id.as_str()), (&other, "u"));
}
