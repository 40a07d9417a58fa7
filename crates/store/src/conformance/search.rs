//! Search: `sgp-api` section 6.

use std::{collections::HashSet, hash::Hash, time::Instant};

use endspan_model::{AccountId, Span, SpanType, Status};
use serde_json::json;

use super::*;
use crate::{
    SortDirection, SpanQuery,
    search::{MetadataFilter, SearchStop, SpanFilter, SpanPosition, SpanSort},
    text::TextQuery,
};

fn query(filter: SpanFilter) -> SpanQuery {
    SpanQuery { filter, limit: 100, ..SpanQuery::default() }
}

async fn search(subject: &dyn Subject, query: &SpanQuery) -> Vec<String> {
    let page = subject.store().search_spans(Some(&account()), query).await.unwrap();
    assert_eq!((page.has_more, page.stopped), (false, None));
    page.spans.into_iter().map(|stored| stored.span.id.as_str().to_owned()).collect()
}

async fn found(subject: &dyn Subject, filter: SpanFilter) -> Vec<String> {
    search(subject, &query(filter)).await
}

fn set<T: Hash + Eq, U: Into<T>>(values: impl IntoIterator<Item = U>) -> HashSet<T> {
    values.into_iter().map(Into::into).collect()
}

fn starting(trace_id: &str, id: &str, micros: i64) -> Span {
    Span { start_time: at(micros), end_time: Some(at(micros + 5)), ..open_span(trace_id, id) }
}

fn position(span: &Span, sort: SpanSort) -> SpanPosition {
    SpanPosition::of(&account(), span, &endspan_model::Facets::of(span), sort)
}

/// 2, 2, 1; the cursor's span need not be there.
pub async fn sgp_row_35_pages_follow_one_another(subject: &mut dyn Subject) {
    store_all(subject, (0..5).map(|number| starting("t", &number.to_string(), number / 2))).await;
    let mut query = SpanQuery { limit: 2, ..SpanQuery::default() };
    let mut pages = Vec::new();
    loop {
        let page = subject.store().search_spans(Some(&account()), &query).await.unwrap();
        pages.push(ids(&page.spans).join(" "));
        query.from = page.spans.last().map(|last| position(&last.span, query.sort));
        if !page.has_more {
            break;
        }
    }
    assert_eq!(pages, ["4 2", "3 0", "1"]);
    let gone =
        SpanPosition { key: (at(1).unix_micros(), 0), ..position(&starting("t", "2x", 1), query.sort) };
    query.from = Some(gone);
    let page = subject.store().search_spans(Some(&account()), &query).await.unwrap();
    assert_eq!(ids(&page.spans), ["3", "0"]);
}

/// The page before, in the order of every page.
pub async fn sgp_row_36_pages_backwards(subject: &mut dyn Subject) {
    let spans: Vec<Span> = (0..5).map(|number| starting("t", &number.to_string(), number / 2)).collect();
    store_all(subject, spans.clone()).await;
    let mut query = SpanQuery { limit: 2, backward: true, ..SpanQuery::default() };
    let mut pages = Vec::new();
    query.from = Some(position(&spans[1], query.sort));
    for _ in 0..2 {
        let page = subject.store().search_spans(Some(&account()), &query).await.unwrap();
        pages.push((ids(&page.spans).join(" "), page.has_more));
        query.from = page.spans.first().map(|first| position(&first.span, query.sort));
    }
    assert_eq!(pages, [("3 0".to_owned(), true), ("4 2".to_owned(), false)]);
    query.from = None;
    let page = subject.store().search_spans(Some(&account()), &query).await.unwrap();
    assert_eq!((ids(&page.spans), page.has_more), (vec!["0", "1"], true));
}

/// Of the start, at both ends, in both directions.
pub async fn sgp_row_37_a_window_is_inclusive(subject: &mut dyn Subject) {
    store_all(subject, (0..5).map(|number| starting("t", &number.to_string(), number))).await;
    let window = SpanFilter { start_from: Some(at(1)), start_to: Some(at(3)), ..SpanFilter::default() };
    let mut query = query(window);
    assert_eq!(search(subject, &query).await, ["3", "2", "1"]);
    query.direction = SortDirection::Ascending;
    assert_eq!(search(subject, &query).await, ["1", "2", "3"]);
}

/// The pair form of the exclusion decides.
pub async fn sgp_rows_40_to_42_ids_and_pairs(subject: &mut dyn Subject) {
    store_all(subject, [starting("A", "s", 3), starting("B", "s", 2), starting("B", "other", 1)]).await;
    let of_a = || HashSet::from([("A".into(), "s".into())]);
    let all = SpanFilter::default;
    for (filter, expected) in [
        (SpanFilter { span_ids: set(["s"]), ..all() }, vec!["A/s", "B/s"]),
        (SpanFilter { span_ids: set(["s", "other", "none"]), ..all() }, vec!["A/s", "B/s", "B/other"]),
        (SpanFilter { spans: of_a(), ..all() }, vec!["A/s"]),
        (SpanFilter { spans: of_a(), span_ids: set(["other"]), ..all() }, vec![]),
        (SpanFilter { trace_ids: set(["B", "C"]), ..all() }, vec!["B/s", "B/other"]),
        (SpanFilter { trace_ids: set(["C"]), ..all() }, vec![]),
        (SpanFilter { excluded_trace_ids: set(["A"]), ..all() }, vec!["B/s", "B/other"]),
        (SpanFilter { excluded_span_ids: set(["s"]), ..all() }, vec!["B/other"]),
        (SpanFilter { excluded_spans: of_a(), ..all() }, vec!["B/s", "B/other"]),
        (
            SpanFilter { excluded_spans: of_a(), excluded_span_ids: set(["s"]), ..all() },
            vec!["B/s", "B/other"],
        ),
    ] {
        let query = query(filter);
        let page = subject.store().search_spans(Some(&account()), &query).await.unwrap();
        let found: Vec<String> = page
            .spans
            .iter()
            .map(|stored| format!("{}/{}", stored.span.trace_id.as_str(), stored.span.id.as_str()))
            .collect();
        assert_eq!(found, expected, "{:?}", query.filter);
    }
}

/// Direct children only.
pub async fn sgp_row_43_roots_and_children(subject: &mut dyn Subject) {
    let child =
        |id: &str, parent: &str, micros| Span { parent_id: Some(parent.into()), ..starting("t", id, micros) };
    store_all(subject, [starting("t", "root", 0), child("a", "root", 1), child("b", "a", 2)]).await;
    assert_eq!(found(subject, SpanFilter { parents_only: true, ..SpanFilter::default() }).await, ["root"]);
    let of = |ids: &[&str]| SpanFilter { parent_ids: set(ids.iter().copied()), ..SpanFilter::default() };
    assert_eq!(found(subject, of(&["root"])).await, ["a"]);
    assert_eq!(found(subject, of(&["root", "a", "x"])).await, ["b", "a"]);
}

/// Never the open one.
pub async fn sgp_row_44_durations_are_inclusive(subject: &mut dyn Subject) {
    let lasting = |id: &str, micros| Span { end_time: Some(at(micros)), ..open_span("t", id) };
    store_all(
        subject,
        [lasting("5", 5_000), lasting("10", 10_000), lasting("11", 10_001), open_span("t", "open")],
    )
    .await;
    let between =
        |min, max| SpanFilter { min_duration_micros: min, max_duration_micros: max, ..SpanFilter::default() };
    assert_eq!(found(subject, between(Some(5_000), Some(10_000))).await, ["10", "5"]);
    assert_eq!(found(subject, between(None, Some(5_000))).await, ["5"]);
    let mut query = query(SpanFilter::default());
    query.sort = SpanSort::Duration;
    assert_eq!(search(subject, &query).await, ["11", "10", "5", "open"]);
}

/// Last descending, first ascending.
pub async fn sgp_row_45_tokens_sort_with_none_as_zero(subject: &mut dyn Subject) {
    let reporting = |id: &str, tokens: u32| Span {
        output: payload(&format!(
            "{{\"usage\":{{\"input_tokens\":{tokens},\"output_tokens\":{}}}}}",
            10 - tokens
        )),
        ..starting("t", id, 0)
    };
    store_all(subject, [reporting("5", 5), starting("t", "none", 0), reporting("9", 9)]).await;
    let mut query = query(SpanFilter::default());
    for (sort, direction, expected) in [
        (SpanSort::InputTokens, SortDirection::Descending, ["9", "5", "none"]),
        (SpanSort::InputTokens, SortDirection::Ascending, ["none", "5", "9"]),
        (SpanSort::OutputTokens, SortDirection::Descending, ["5", "9", "none"]),
        (SpanSort::OutputTokens, SortDirection::Ascending, ["none", "9", "5"]),
    ] {
        (query.sort, query.direction) = (sort, direction);
        assert_eq!(search(subject, &query).await, expected);
    }
}

/// Whatever the direction.
pub async fn sgp_row_46_ties_are_bytewise(subject: &mut dyn Subject) {
    store_all(
        subject,
        [("b", "a"), ("a", "é"), ("a", "Z"), ("a", "b")].map(|(trace, id)| starting(trace, id, 0)),
    )
    .await;
    for sort in [SpanSort::StartTime, SpanSort::Duration, SpanSort::InputTokens] {
        for direction in [SortDirection::Ascending, SortDirection::Descending] {
            let query = SpanQuery { sort, direction, ..query(SpanFilter::default()) };
            assert_eq!(search(subject, &query).await, ["Z", "b", "é", "a"]);
        }
    }
}

/// Exactly, and all lists together.
pub async fn sgp_rows_47_48_51_values_in_lists(subject: &mut dyn Subject) {
    let span = Span {
        name: "the name".to_owned(),
        status: Some(Status::Error),
        span_type: Some(SpanType::Completion),
        group_id: Some("group".to_owned()),
        application_variant_id: Some("variant".to_owned()),
        obs_trace_id: Some("0123456789abcdef0123456789abcdef".to_owned()),
        obs_span_id: Some("0123456789abcdef".to_owned()),
        metadata: payload(r#"{"__agent_name__":"bot","__agent_id__":"id","__acp_type__":"sync"}"#),
        ..starting("t", "full", 1)
    };
    store_all(subject, [span, starting("t", "bare", 0), open_span("t", "open")]).await;
    let all = SpanFilter::default;
    let hits = [
        SpanFilter { statuses: vec![Status::Error], ..all() },
        SpanFilter { types: vec![SpanType::Completion, SpanType::Tracer], ..all() },
        SpanFilter { group_id: Some("group".to_owned()), ..all() },
        SpanFilter { names: set(["x", "the name"]), ..all() },
        SpanFilter { application_variant_ids: set(["variant"]), ..all() },
        SpanFilter { obs_trace_ids: set(["0123456789abcdef0123456789abcdef"]), ..all() },
        SpanFilter { obs_span_ids: set(["0123456789abcdef"]), ..all() },
        SpanFilter { agent_names: set(["bot"]), ..all() },
        SpanFilter { agent_ids: set(["id"]), acp_types: set(["sync", "async"]), ..all() },
    ];
    for filter in hits {
        assert_eq!(found(subject, filter.clone()).await, ["full"], "{filter:?}");
    }
    let misses = [
        SpanFilter { names: set(["THE NAME", "name"]), ..all() },
        SpanFilter { statuses: vec![Status::Error], types: vec![SpanType::Tracer], ..all() },
        SpanFilter {
            obs_trace_ids: set(["0123456789abcdef0123456789abcdef"]),
            obs_span_ids: set(["1"]),
            ..all()
        },
        SpanFilter { agent_names: set(["bot"]), acp_types: set(["async"]), ..all() },
    ];
    for filter in misses {
        assert_eq!(found(subject, filter.clone()).await, [""; 0], "{filter:?}");
    }
    assert_eq!(found(subject, SpanFilter { statuses: vec![Status::Success], ..all() }).await, ["bare"]);
    assert_eq!(
        found(subject, SpanFilter { types: vec![SpanType::Standalone], ..all() }).await,
        ["bare", "open"]
    );
}

/// Values by value, lists as any of.
pub async fn sgp_row_50_metadata(subject: &mut dyn Subject) {
    let saying = |id: &str, text: &str| Span { metadata: payload(text), ..open_span("t", id) };
    store_all(
        subject,
        [saying("a", r#"{"k":1,"m":"x","l":[1,{"y":2}]}"#), saying("b", r#"{"k":1.0}"#), open_span("t", "c")],
    )
    .await;
    let key = |key: &str, value: serde_json::Value| MetadataFilter::Key(key.to_owned(), vec![value]);
    for (filter, expected) in [
        (key("k", json!(1)), vec!["a", "b"]),
        (key("k", json!("1")), vec![]),
        (key("m", json!("x")), vec!["a"]),
        (key("l", json!([1, {"y": 2.0}])), vec!["a"]),
        (key("l", json!([1])), vec![]),
        (MetadataFilter::Key("k".to_owned(), vec![json!(3), json!(1)]), vec!["a", "b"]),
        (MetadataFilter::All(vec![key("k", json!(1)), key("m", json!("x"))]), vec!["a"]),
        (MetadataFilter::Any(vec![key("k", json!(3)), key("m", json!("x"))]), vec!["a"]),
    ] {
        let filter = SpanFilter { metadata: Some(filter), ..SpanFilter::default() };
        assert_eq!(found(subject, filter.clone()).await, expected, "{filter:?}");
    }
}

/// The semantics is tested where it is written; here, that the engine applies it to every span.
pub async fn sgp_rows_52_to_60_text(subject: &mut dyn Subject) {
    const UUID: &str = "0198c0de-0000-7000-8000-00000000abcd";
    let spans = (0..40).map(|number| Span {
        input: payload(&format!(r#"{{"text":"number{number} says \u0068ello to W\u00f6rld"}}"#)),
        output: payload(r#"{"text":"Connection error"}"#),
        ..starting(if number == 3 { UUID } else { "t" }, &format!("{number:02}"), number)
    });
    store_all(subject, spans).await;
    store_all(subject, [Span { name: "number7connection".to_owned(), ..starting("t", "named", 99) }]).await;
    let terms =
        |terms: &[&str]| SpanFilter { text: TextQuery::parse(terms).unwrap(), ..SpanFilter::default() };
    for (wanted, expected) in [
        (&["number7"][..], vec!["named", "07"]),
        (&["NUMBER12", "connection ERROR"], vec!["12"]),
        (&["number12 says hello"], vec!["12"]),
        (&["number1"], vec!["01"]),
        (&["error connection"], vec![]),
        (&["\"number7\""], vec!["07"]),
        (&[UUID], vec!["03"]),
        (&[UUID, "number12"], vec!["12", "03"]),
        (&["umber12 says hello to WÖRLD\""], vec!["12"]),
    ] {
        assert_eq!(found(subject, terms(wanted)).await, expected, "{wanted:?}");
    }
    assert_eq!(found(subject, terms(&["hello"])).await.len(), 40);
    assert_eq!(found(subject, terms(&["wörld"])).await.len(), 40);
}

/// One span at least; the rest follows.
pub async fn sgp_row_64_a_page_ends_at_its_bytes(subject: &mut dyn Subject) {
    let large = format!("{{\"text\":\"{}\"}}", "x".repeat(10_000));
    store_all(
        subject,
        (0..5).map(|number| Span { input: payload(&large), ..starting("t", &number.to_string(), number) }),
    )
    .await;
    for (bytes, expected) in
        [(25_000, vec!["4", "3"]), (1, vec!["4"]), (1 << 20, vec!["4", "3", "2", "1", "0"])]
    {
        let query = SpanQuery { max_bytes: Some(bytes), ..query(SpanFilter::default()) };
        let page = subject.store().search_spans(Some(&account()), &query).await.unwrap();
        let is_short = expected.len() < 5;
        assert_eq!((ids(&page.spans), page.has_more), (expected, is_short));
        assert_eq!(page.stopped, is_short.then_some(SearchStop::Bytes));
    }
}

/// Time that is up at once still examines something, so that following the positions finds everything.
pub async fn sgp_row_65_a_page_ends_at_its_time_and_goes_on(subject: &mut dyn Subject) {
    let text = |number: i64| payload(&format!("{{\"text\":\"word{}\"}}", number % 2));
    store_all(
        subject,
        (0..9).map(|number| Span { input: text(number), ..starting("t", &number.to_string(), number) }),
    )
    .await;
    let text = TextQuery::parse(&["word1"]).unwrap();
    let mut query = query(SpanFilter { text, ..SpanFilter::default() });
    query.deadline = Some(Instant::now());
    let mut seen = Vec::new();
    for _ in 0..12 {
        let page = subject.store().search_spans(Some(&account()), &query).await.unwrap();
        seen.extend(page.spans.iter().map(|stored| stored.span.id.as_str().to_owned()));
        let Some(SearchStop::Time(through)) = page.stopped else {
            assert!(!page.has_more);
            break;
        };
        query.from = Some(through);
    }
    assert_eq!(seen, ["7", "5", "3", "1"]);
}

/// Also when the ids are those of another one.
pub async fn searches_stay_within_their_account(subject: &mut dyn Subject) {
    store_all(subject, [starting("t", "s", 0)]).await;
    let other = AccountId::new("other");
    let operations =
        vec![WriteOperation::Upsert(starting("t", "s", 5)), WriteOperation::Upsert(starting("u", "x", 6))];
    subject.store().write(WriteRequest { account: other.clone(), ..request(operations) }).await.unwrap();
    for filter in [
        SpanFilter::default(),
        SpanFilter { trace_ids: set(["t", "u"]), ..SpanFilter::default() },
        SpanFilter { span_ids: set(["s", "x"]), ..SpanFilter::default() },
    ] {
        for sort in [SpanSort::StartTime, SpanSort::Duration] {
            let query = SpanQuery { sort, ..query(filter.clone()) };
            let store = subject.store();
            let mut counts = Vec::new();
            for scope in [Some(account()), Some(other.clone()), Some(AccountId::new("none")), None] {
                let page = store.search_spans(scope.as_ref(), &query).await.unwrap();
                assert!(scope.is_none_or(|scope| page.spans.iter().all(|stored| stored.account == scope)));
                counts.push(page.spans.len());
            }
            assert_eq!(counts, [1, 2, 0, 3], "{filter:?}");
        }
    }
}

/// Not the one that was replaced.
pub async fn searches_see_the_latest_version(subject: &mut dyn Subject) {
    let saying =
        |word: &str| Span { output: payload(&format!("{{\"text\":\"{word}\"}}")), ..open_span("t", "s") };
    store_all(subject, [saying("before")]).await;
    subject.maintain().await;
    store_all(subject, [Span { status: Some(Status::Error), end_time: Some(at(7)), ..saying("after") }])
        .await;
    let text = |word: &str| SpanFilter { text: TextQuery::parse(&[word]).unwrap(), ..SpanFilter::default() };
    assert_eq!(found(subject, text("before")).await, [""; 0]);
    assert_eq!(found(subject, text("after")).await, ["s"]);
    subject.maintain().await;
    subject.reopen().await;
    assert_eq!(found(subject, text("before")).await, [""; 0]);
    assert_eq!(found(subject, SpanFilter { statuses: vec![Status::Error], ..text("after") }).await, ["s"]);
}
