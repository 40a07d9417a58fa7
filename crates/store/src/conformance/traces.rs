//! Trace summaries and their pages.

use endspan_model::{AccountId, Span, Status};

use super::*;
use crate::{
    StoreError, TraceFilter, TraceQuery, TraceState, TraceSummary, cursor::TraceCursor, text::TextQuery,
};

async fn traces(subject: &dyn Subject) -> Vec<TraceSummary> {
    let query = TraceQuery { limit: 1000, ..TraceQuery::default() };
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
        agent_name: None,
        input_tokens: None,
        output_tokens: None,
        cost_picodollars: None,
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
            .list_traces(scope.as_ref(), &TraceQuery { limit: 100, ..TraceQuery::default() })
            .await
            .unwrap()
            .traces;
        assert_eq!(whole.len(), expected);
        let mut paged = Vec::new();
        let mut after = None;
        loop {
            let query = TraceQuery { limit: 4, after, ..TraceQuery::default() };
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
        let query = TraceQuery { limit: 4, after: Some(after.to_owned()), ..TraceQuery::default() };
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
    let query = TraceQuery { limit: 10, after: Some(cursor.encode()), ..TraceQuery::default() };
    let page = subject.store().list_traces(Some(&other), &query).await.unwrap();
    assert_eq!(page.traces.len(), 1);
    assert_eq!((&page.traces[0].account, page.traces[0].trace_id.as_str()), (&other, "u"));
}

/// Each alone, and all together; pages of a filtered list hold every trace once.
pub async fn filters_narrow_the_list(subject: &mut dyn Subject) {
    let named = |name: &str, span: Span| Span { name: name.to_owned(), ..span };
    let agent = |span: Span| Span { metadata: payload(r#"{"__agent_name__":"Bot"}"#), ..span };
    let tokens = |count: u32, span: Span| Span {
        output: payload(&format!("{{\"usage\":{{\"input_tokens\":{count},\"output_tokens\":1}}}}")),
        ..span
    };
    let status = |status, span: Span| Span { status: Some(status), ..span };
    store_all(
        subject,
        [
            agent(named("Plan a Trip", between("a", "root", 0, 1_000))),
            child(tokens(9, status(Status::Error, between("a", "x", 10, 500)))),
            status(Status::Error, named("Übersetzen", between("b", "root", 10, 5_010))),
            named("trip", open_span("c", "root")),
            status(Status::Canceled, tokens(4, between("d", "root", 30, 31))),
            child(agent(between("d", "x", 31, 32))),
        ],
    )
    .await;
    let all = TraceFilter::default();
    for (filter, expected) in [
        (all.clone(), vec!["d", "b", "a", "c"]),
        (TraceFilter { start_from: Some(at(10)), ..all.clone() }, vec!["d", "b"]),
        (TraceFilter { start_before: Some(at(10)), ..all.clone() }, vec!["a", "c"]),
        (TraceFilter { name: Some("TRIP".to_owned()), ..all.clone() }, vec!["a", "c"]),
        (TraceFilter { name: Some("üB".to_owned()), ..all.clone() }, vec!["b"]),
        (TraceFilter { states: vec![TraceState::Ok], ..all.clone() }, vec!["a"]),
        (TraceFilter { states: vec![TraceState::Error], ..all.clone() }, vec!["b"]),
        (
            TraceFilter { states: vec![TraceState::Running, TraceState::Canceled], ..all.clone() },
            vec!["d", "c"],
        ),
        (TraceFilter { agent: Some("Bot".to_owned()), ..all.clone() }, vec!["a"]),
        (TraceFilter { agent: Some("bot".to_owned()), ..all.clone() }, vec![]),
        (TraceFilter { has_error: Some(true), ..all.clone() }, vec!["b", "a"]),
        (TraceFilter { has_error: Some(false), ..all.clone() }, vec!["d", "c"]),
        (TraceFilter { min_duration_micros: Some(1_000), ..all.clone() }, vec!["b", "a"]),
        (TraceFilter { max_duration_micros: Some(1_000), ..all.clone() }, vec!["d", "a"]),
        (TraceFilter { min_tokens: Some(5), ..all.clone() }, vec!["d", "a"]),
        (TraceFilter { max_tokens: Some(5), ..all.clone() }, vec!["d", "b", "c"]),
        (
            TraceFilter {
                name: Some("trip".to_owned()),
                agent: Some("Bot".to_owned()),
                has_error: Some(true),
                min_tokens: Some(10),
                ..all.clone()
            },
            vec!["a"],
        ),
    ] {
        let mut found = Vec::new();
        let mut query = TraceQuery { limit: 1, filter, ..TraceQuery::default() };
        loop {
            let page = subject.store().list_traces(Some(&account()), &query).await.unwrap();
            found.extend(page.traces.into_iter().map(|trace| trace.trace_id.as_str().to_owned()));
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{:?}", query.filter);
    }
}

/// What a turn adds up is not added to its calls.
pub async fn tokens_are_those_of_the_calls_else_of_the_aggregates(subject: &mut dyn Subject) {
    let usage = |input: u32| format!("{{\"usage\":{{\"input_tokens\":{input},\"output_tokens\":2}}}}");
    let turn = Span { metadata: payload(&usage(30)), ..between("t", "turn", 0, 9) };
    store_all(subject, [turn.clone()]).await;
    let summary = only_trace(subject).await;
    assert_eq!((summary.input_tokens, summary.output_tokens), (Some(30), Some(2)));
    let call = |id: &str, input| Span { output: payload(&usage(input)), ..child(between("t", id, 1, 2)) };
    store_all(subject, [call("a", 10), call("b", 20), child(between("t", "c", 1, 2))]).await;
    let summary = only_trace(subject).await;
    assert_eq!((summary.input_tokens, summary.output_tokens), (Some(30), Some(4)));
    store_all(subject, [call("a", 11)]).await;
    assert_eq!(only_trace(subject).await.input_tokens, Some(31));
    let without = || SpanPatch { output: payload("{}"), ..SpanPatch::default() };
    write(subject, vec![patch("a", without()), patch("b", without())]).await;
    assert_eq!(only_trace(subject).await.input_tokens, Some(30));
}

/// A turn's bill is not added to what its calls cost, nor taken for it when they say nothing.
pub async fn costs_are_summed_like_tokens(subject: &mut dyn Subject) {
    let bill = |cost: &str| payload(&format!("{{\"cost_usd\":{cost}}}"));
    let turn = Span { metadata: bill("0.5"), ..between("t", "turn", 0, 9) };
    let tokens =
        Span { output: payload(r#"{"usage":{"input_tokens":3}}"#), ..child(between("t", "b", 1, 2)) };
    store_all(subject, [turn, tokens.clone()]).await;
    let summary = only_trace(subject).await;
    assert_eq!((summary.cost_picodollars, summary.input_tokens), (Some(500_000_000_000), Some(3)));
    store_all(subject, [Span { metadata: bill("0.25"), ..tokens.clone() }]).await;
    assert_eq!(only_trace(subject).await.cost_picodollars, Some(250_000_000_000));
    let call = Span { metadata: payload(r#"{"gen_ai.usage.cost":0.125}"#), ..child(between("t", "c", 1, 2)) };
    store_all(subject, [call]).await;
    let summary = only_trace(subject).await;
    assert_eq!((summary.cost_picodollars, summary.input_tokens), (Some(375_000_000_000), Some(3)));
    store_all(subject, [tokens]).await;
    assert_eq!(only_trace(subject).await.cost_picodollars, Some(125_000_000_000));
    subject.reopen().await;
    assert_eq!(only_trace(subject).await.cost_picodollars, Some(125_000_000_000));
}

async fn traces_with(subject: &dyn Subject, terms: &[&str], filter: TraceFilter) -> Vec<String> {
    let text = TextQuery::parse(terms).unwrap();
    let mut query = TraceQuery { limit: 2, filter: TraceFilter { text, ..filter }, ..TraceQuery::default() };
    let mut found = Vec::new();
    loop {
        let page = subject.store().list_traces(Some(&account()), &query).await.unwrap();
        assert!(!page.is_partial);
        found.extend(page.traces.into_iter().map(|trace| trace.trace_id.as_str().to_owned()));
        query.after = page.next;
        if query.after.is_none() {
            return found;
        }
    }
}

/// All terms in one span; names and trace ids as in the search of spans; with the other filters.
pub async fn text_finds_the_traces_of_spans_that_hold_it(subject: &mut dyn Subject) {
    const UUID: &str = "0198c0de-0000-7000-8000-00000000abcd";
    let saying = |trace: &str, id: &str, start: i64, text: &str| Span {
        input: payload(&format!("{{\"text\":\"{text}\"}}")),
        ..between(trace, id, start, start + 5)
    };
    store_all(
        subject,
        [
            saying("a", "1", 0, "red apple"),
            saying("a", "2", 1, "green pear"),
            saying("b", "3", 2, "red pear"),
            saying("c", "4", 3, "nothing"),
            Span { name: "redirect".to_owned(), ..saying("d", "5", 4, "pear") },
            saying(UUID, "6", 5, "plum"),
        ],
    )
    .await;
    store_all(subject, [saying("c", "4", 3, "a Pear, at last")]).await;
    for _ in 0..2 {
        let all = TraceFilter::default;
        assert_eq!(traces_with(subject, &["pear"], all()).await, ["d", "c", "b", "a"]);
        assert_eq!(traces_with(subject, &["red", "pear"], all()).await, ["d", "b"]);
        assert_eq!(traces_with(subject, &["RED apple"], all()).await, ["a"]);
        assert_eq!(traces_with(subject, &["nothing"], all()).await, [""; 0]);
        assert_eq!(traces_with(subject, &["le"], all()).await, [""; 0]);
        assert_eq!(traces_with(subject, &[UUID, "apple"], all()).await, [UUID, "a"]);
        let late = TraceFilter { start_from: Some(at(2)), ..all() };
        assert_eq!(traces_with(subject, &["pear"], late).await, ["d", "c", "b"]);
        subject.maintain().await;
        subject.reopen().await;
    }
}

/// Time that is up at once still examines something.
pub async fn a_page_of_traces_ends_at_its_time_and_goes_on(subject: &mut dyn Subject) {
    store_all(subject, (0..9).map(|number| between(&format!("t{number}"), "s", number, 20))).await;
    let filter = TraceFilter { text: TextQuery::parse(&["name of s"]).unwrap(), ..TraceFilter::default() };
    let mut query = TraceQuery { limit: 50, filter, ..TraceQuery::default() };
    query.deadline = Some(std::time::Instant::now());
    let mut seen = Vec::new();
    for _ in 0..12 {
        let page = subject.store().list_traces(Some(&account()), &query).await.unwrap();
        assert_eq!(page.is_partial, page.next.is_some());
        seen.extend(page.traces.into_iter().map(|trace| trace.start_time));
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    assert_eq!(seen, (0..9).rev().map(at).collect::<Vec<_>>());
}

/// As the whole trace says it, children before parents, orphans and cycles included.
pub async fn a_structure_is_the_trace_without_payloads(subject: &mut dyn Subject) {
    let whole = Span {
        span_type: Some(endspan_model::SpanType::Completion),
        status: Some(Status::Success),
        output: payload(r#"{"usage":{"prompt_tokens":7}}"#),
        metadata: payload(
            r#"{"__agent_name__":"n","__agent_id__":"i","__acp_type__":"sync","model":"m","cost_usd":0.5,
            "__error__":{"type":"Timeout","message":"too late"}}"#,
        ),
        ..child(between("t", "early", 0, 4))
    };
    let to = |parent: &str, span: Span| Span { parent_id: Some(parent.into()), ..span };
    store_all(subject, [whole.clone(), to("gone", open_span("t", "orphan"))]).await;
    store_all(subject, [to("y", between("t", "x", 5, 6)), to("x", between("t", "y", 5, 6))]).await;
    store_all(subject, [between("t", "root", 3, 9), open_span("u", "other")]).await;
    store_all(subject, [whole]).await;
    let store = subject.store();
    let expected: Vec<_> = store.read_trace(Some(&account()), &"t".into(), true).await.unwrap();
    let expected: Vec<_> = expected.iter().map(crate::SpanHeader::of).collect();
    let facets = &expected[0].facets;
    assert_eq!((facets.input_tokens, facets.cost_picodollars), (Some(7), Some(500_000_000_000)));
    assert_eq!((facets.model.as_deref(), facets.error_type.as_deref()), (Some("m"), Some("Timeout")));
    assert_eq!(facets.error_message.as_deref(), Some("too late"));
    for scope in [Some(account()), None] {
        let found = store.read_structure(scope.as_ref(), &"t".into()).await.unwrap();
        assert_eq!(found, expected);
    }
    assert_eq!(store.read_structure(Some(&AccountId::new("other")), &"t".into()).await.unwrap(), []);
}
