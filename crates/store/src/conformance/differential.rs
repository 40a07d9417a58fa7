//! Random writes and every query, against the model and the engine side by side: identical answers, orders,
//! pages and rejections.
//!
//! The number of runs is `PROPTEST_CASES`, by default what the engine asks for (64). A failing run is shrunk and printed.

use endspan_model::{AccountId, Facets, Span, SpanId, SpanType, Status, TraceId};
use proptest::{
    collection::vec,
    test_runner::{Config, TestCaseError, TestError, TestRunner},
};

mod values;

use self::values::{IDS, Step, step};
use super::*;
use crate::{
    AccountUsage, AssessmentQuery, Deleted, Deleting, Deletion, ListOrder, ListQuery, SortDirection,
    SpanHeader, SpanQuery, TraceFilter, TraceQuery, TraceState,
    assessment::{AssessmentFilter, AssessmentsOf},
    memory::MemoryStore,
    search::{MetadataFilter, SpanFilter, SpanPosition, SpanSort},
    text::TextQuery,
};

/// Ids that are likely to meet, and whose short forms could be taken for one another.
/// Runs the comparison. [`conformance_suite!`](crate::conformance_suite) calls it.
pub fn run(default_cases: u32, new: impl Fn() -> Box<dyn Subject>, run: &dyn Fn(TestFuture<'_>)) {
    let cases =
        std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(default_cases);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let outcome = TestRunner::new(config).run(&vec(step(), 1..16), |steps| {
        let mut result = Ok(());
        run(Box::pin(async {
            result = compare(new(), steps).await.map_err(TestCaseError::fail);
        }));
        result
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, steps)) => panic!("{reason}\nafter {steps:#?}"),
        Err(error) => panic!("{error}"),
    }
}

async fn compare(mut subject: Box<dyn Subject>, steps: Vec<Step>) -> Result<(), String> {
    let model = MemoryStore::new();
    let mut position = 0;
    for step in steps {
        match step {
            Step::Write(request) => {
                let expected = outcomes(model.write(request.clone()).await.unwrap().outcomes);
                let store = subject.store();
                let answer = store.write(request).await.unwrap().outcomes;
                same("outcomes", &expected, &outcomes(answer))?;
                let latest = store.latest_position().await.unwrap();
                if latest < position {
                    return Err(format!("the position went back from {position} to {latest}"));
                }
                position = latest;
            }
            Step::Assess(write) => {
                let expected = model.write_assessment((*write).clone()).await.unwrap();
                let found = subject.store().write_assessment(*write).await.unwrap();
                same("assessed", &expected, &found)?;
            }
            Step::Delete(scope, what, piece, most) => {
                let scope = scope.as_ref();
                let whole = matches!(what, Deleting::Oldest).then_some(most);
                let deletion = Deletion { what: what.clone(), max_spans: whole.unwrap_or(u32::MAX) };
                let expected = model.delete(scope, &deletion).await.unwrap();
                let mut left = whole;
                let mut deleted = Deleted::default();
                while left != Some(0) {
                    let max_spans = left.map_or(piece, |left| left.min(piece));
                    let deletion = Deletion { what: what.clone(), max_spans };
                    let next = subject.store().delete(scope, &deletion).await.unwrap();
                    if next.spans > u64::from(max_spans) || (next.spans == 0 && next.more) {
                        return Err(format!("a piece of {max_spans} is {next:?}"));
                    }
                    deleted.add(next);
                    left = left.map(|left| left - next.spans as u32);
                    if !next.more {
                        break;
                    }
                }
                same("deleted", &expected, &deleted)?;
            }
            Step::Maintain => subject.maintain().await,
            Step::Reopen => {
                subject.reopen().await;
            }
        }
        compare_traces(&model, &*subject.store(), None).await?;
        compare_change_pages(&model, &*subject.store(), None).await?;
    }
    compare_reads(&model, &*subject.store()).await
}

async fn compare_reads(model: &MemoryStore, engine: &dyn SpanStore) -> Result<(), String> {
    let everything = unversioned(model.changes(None, 0, u32::MAX).await.unwrap().spans);
    let found = unversioned(engine.changes(None, 0, u32::MAX).await.unwrap().spans);
    same("changes", &everything, &found)?;

    let accounts = [None, Some(account()), Some(AccountId::new("other")), Some(AccountId::new(""))];
    for scope in accounts.iter().map(Option::as_ref) {
        for (account, span) in &everything {
            if scope.is_none_or(|scope| scope == account) {
                let expected = model.find_span(scope, &span.id).await.unwrap();
                let found = engine.find_span(scope, &span.id).await.unwrap();
                same("find_span", &unversioned(expected), &unversioned(found))?;
                let expected = model.find_span_in_trace(scope, &span.trace_id, &span.id).await.unwrap();
                let found = engine.find_span_in_trace(scope, &span.trace_id, &span.id).await.unwrap();
                same("find_span_in_trace", &unversioned(expected), &unversioned(found))?;
            }
        }
        for text in IDS {
            let id = SpanId::from(*text);
            let expected = model.find_span(scope, &id).await.unwrap().is_some();
            same("presence", &expected, &engine.find_span(scope, &id).await.unwrap().is_some())?;
            let trace_id = TraceId::from(*text);
            for payloads in [true, false] {
                let expected = model.read_trace(scope, &trace_id, payloads).await.unwrap();
                let found = engine.read_trace(scope, &trace_id, payloads).await.unwrap();
                same("read_trace", &unversioned(expected), &unversioned(found))?;
            }
        }
        compare_lists(model, engine, scope).await?;
        compare_traces(model, engine, scope).await?;
        compare_change_pages(model, engine, scope).await?;
        compare_structures(model, engine, scope).await?;
        compare_traces_by_text(model, engine, scope).await?;
        compare_searches(model, engine, scope).await?;
        compare_assessments(model, engine, scope).await?;
    }
    let usage = |accounts: Vec<AccountUsage>| -> Vec<AccountUsage> {
        accounts.into_iter().map(|account| AccountUsage { stored_bytes: 0, ..account }).collect()
    };
    let (expected, found) = (model.accounts().await.unwrap(), engine.accounts().await.unwrap());
    same("accounts", &usage(expected), &usage(found))?;
    let (expected, found) = (model.stats().await.unwrap(), engine.stats().await.unwrap());
    same("counts", &(expected.spans, expected.traces), &(found.spans, found.traces))
}

async fn compare_lists(
    model: &MemoryStore,
    engine: &dyn SpanStore,
    scope: Option<&AccountId>,
) -> Result<(), String> {
    let filters =
        [(None, None), (None, Some("a")), (Some("a"), None), (Some("a"), Some("b")), (Some("b"), Some("b"))];
    let orders = [
        ListOrder::Id,
        ListOrder::TraceId,
        ListOrder::TaskId,
        ListOrder::ParentId,
        ListOrder::Name,
        ListOrder::StartTime,
        ListOrder::EndTime,
    ];
    for (trace_id, task_id) in filters {
        for order in orders {
            for direction in [SortDirection::Ascending, SortDirection::Descending] {
                for (limit, offset) in [(1000, 0), (3, 2)] {
                    let query = ListQuery {
                        trace_id: trace_id.map(TraceId::from),
                        task_id: task_id.map(str::to_owned),
                        order,
                        direction,
                        limit,
                        offset,
                    };
                    let expected = unversioned(model.list_spans(scope, &query).await.unwrap());
                    let found = unversioned(engine.list_spans(scope, &query).await.unwrap());
                    same(&format!("{query:?}"), &expected, &found)?;
                }
            }
        }
    }
    Ok(())
}

async fn compare_traces(
    model: &MemoryStore,
    engine: &dyn SpanStore,
    scope: Option<&AccountId>,
) -> Result<(), String> {
    let all = TraceFilter::default;
    let filters = [
        all(),
        TraceFilter { min_tokens: Some(5), ..all() },
        TraceFilter {
            states: vec![TraceState::Running, TraceState::Error],
            name: Some("B".to_owned()),
            ..all()
        },
        TraceFilter {
            has_error: Some(false),
            max_duration_micros: Some(3),
            agent: Some("a".to_owned()),
            ..all()
        },
        TraceFilter { start_from: Some(at(1)), start_before: Some(at(3)), ..all() },
        TraceFilter { assessments: vec![well_rated()], ..all() },
    ];
    for filter in filters {
        let mut query = TraceQuery { limit: 2, filter, ..TraceQuery::default() };
        loop {
            let expected = model.list_traces(scope, &query).await.unwrap();
            let found = engine.list_traces(scope, &query).await.unwrap();
            same("list_traces", &expected, &found)?;
            query.after = expected.next;
            if query.after.is_none() {
                break;
            }
        }
    }
    Ok(())
}

async fn compare_traces_by_text(
    model: &MemoryStore,
    engine: &dyn SpanStore,
    scope: Option<&AccountId>,
) -> Result<(), String> {
    for (terms, has_error) in
        [(&["sync", "tokens"][..], None), (&[IDS[5], "u0000"], Some(false)), (&["connection lost"], None)]
    {
        let text = TextQuery::parse(terms).unwrap();
        let filter = TraceFilter { text, has_error, ..TraceFilter::default() };
        let query = TraceQuery { limit: 1000, filter, ..TraceQuery::default() };
        let expected = model.list_traces(scope, &query).await.unwrap();
        same("list_traces", &expected, &engine.list_traces(scope, &query).await.unwrap())?;
    }
    Ok(())
}

/// Every filter under every order, page by page in both directions.
async fn compare_searches(
    model: &MemoryStore,
    engine: &dyn SpanStore,
    scope: Option<&AccountId>,
) -> Result<(), String> {
    let all = SpanFilter::default;
    let text = |terms: &[&str]| TextQuery::parse(terms).unwrap();
    let filters = [
        all(),
        SpanFilter { start_from: Some(at(1)), start_to: Some(at(2)), ..all() },
        SpanFilter { trace_ids: ["a".into(), "b".into()].into(), ..all() },
        SpanFilter { span_ids: ["".into(), "B".into(), IDS[5].into()].into(), ..all() },
        SpanFilter { spans: [("a".into(), "b".into()), ("b".into(), IDS[7].into())].into(), ..all() },
        SpanFilter {
            excluded_trace_ids: ["a".into()].into(),
            excluded_span_ids: ["b".into()].into(),
            ..all()
        },
        SpanFilter { parents_only: true, statuses: vec![Status::Success, Status::Error], ..all() },
        SpanFilter { parent_ids: ["a".into()].into(), min_duration_micros: Some(0), ..all() },
        SpanFilter {
            names: ["a".to_owned(), "".to_owned()].into(),
            types: vec![SpanType::Standalone],
            ..all()
        },
        SpanFilter { agent_names: ["a".to_owned()].into(), max_duration_micros: Some(2), ..all() },
        SpanFilter { text: text(&["sync"]), ..all() },
        SpanFilter { text: text(&["input_tokens", IDS[5]]), ..all() },
        SpanFilter { metadata: Some(MetadataFilter::Key("a".to_owned(), vec![1.into()])), ..all() },
        SpanFilter { assessments: vec![well_rated()], ..all() },
        SpanFilter { assessments: vec![well_rated()], trace_ids: ["a".into()].into(), ..all() },
    ];
    for (index, filter) in filters.into_iter().enumerate() {
        // Every filter by start, and each by one of the other keys.
        let other = [SpanSort::Duration, SpanSort::OutputTokens, SpanSort::InputTokens][index % 3];
        for sort in [SpanSort::StartTime, other] {
            for (direction, backward) in [
                (SortDirection::Descending, false),
                (SortDirection::Ascending, false),
                (SortDirection::Descending, true),
            ] {
                let filter = filter.clone();
                let mut query =
                    SpanQuery { filter, sort, direction, backward, limit: 3, ..SpanQuery::default() };
                loop {
                    let expected = model.search_spans(scope, &query).await.unwrap();
                    let found = engine.search_spans(scope, &query).await.unwrap();
                    same("more", &expected.has_more, &found.has_more)?;
                    let edge = if backward { expected.spans.first() } else { expected.spans.last() };
                    query.from = edge.map(|stored| {
                        SpanPosition::of(&stored.account, &stored.span, &Facets::of(&stored.span), sort)
                    });
                    same(&format!("{query:?}"), &unversioned(expected.spans), &unversioned(found.spans))?;
                    if !expected.has_more {
                        break;
                    }
                }
            }
        }
    }
    Ok(())
}

fn well_rated() -> AssessmentFilter {
    AssessmentFilter { min_rating: Some(3), ..AssessmentFilter::default() }
}

async fn compare_assessments(
    model: &MemoryStore,
    engine: &dyn SpanStore,
    scope: Option<&AccountId>,
) -> Result<(), String> {
    let mut asked: Vec<AssessmentsOf> = ["1", "2", "3"].map(|id| AssessmentsOf::Id(id.to_owned())).to_vec();
    asked.extend(IDS.iter().map(|id| AssessmentsOf::Trace(TraceId::from(*id))));
    asked.extend(IDS.iter().map(|id| AssessmentsOf::SpanId(SpanId::from(*id))));
    for of in asked {
        let query = AssessmentQuery { of, kind: None, max_bytes: usize::MAX };
        let expected = model.read_assessments(scope, &query).await.unwrap();
        let found = engine.read_assessments(scope, &query).await.unwrap();
        same(&format!("{query:?}"), &expected, &found)?;
    }
    Ok(())
}

async fn compare_structures(
    model: &MemoryStore,
    engine: &dyn SpanStore,
    scope: Option<&AccountId>,
) -> Result<(), String> {
    for id in IDS {
        let unversioned = |mut headers: Vec<SpanHeader>| {
            headers.iter_mut().for_each(|header| header.version = 0);
            headers
        };
        let trace_id = TraceId::from(*id);
        let expected = unversioned(model.read_structure(scope, &trace_id).await.unwrap());
        let found = unversioned(engine.read_structure(scope, &trace_id).await.unwrap());
        same("a structure", &expected, &found)?;
    }
    Ok(())
}

/// Positions differ between engines; what a reader that follows them sees does not.
async fn compare_change_pages(
    model: &MemoryStore,
    engine: &dyn SpanStore,
    scope: Option<&AccountId>,
) -> Result<(), String> {
    let (mut model_position, mut engine_position) = (0, 0);
    loop {
        let expected = model.changes(scope, model_position, 3).await.unwrap();
        let found = engine.changes(scope, engine_position, 3).await.unwrap();
        (model_position, engine_position) = (expected.position, found.position);
        let expected = unversioned(expected.spans);
        same("a page of changes", &expected, &unversioned(found.spans))?;
        if expected.is_empty() {
            let (model_latest, engine_latest) =
                (model.latest_position().await.unwrap(), engine.latest_position().await.unwrap());
            return same(
                "the position at the end",
                &(model_position == model_latest),
                &(engine_position == engine_latest),
            );
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, found: &T) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    Err(format!("{what}: expected {expected:#?}\nfound {found:#?}"))
}

/// Versions are the engine's own; only their order counts, which the changes show.
fn unversioned(spans: impl IntoIterator<Item = StoredSpan>) -> Vec<(AccountId, Span)> {
    spans.into_iter().map(|stored| (stored.account, stored.span)).collect()
}

fn outcomes(mut outcomes: Vec<Outcome>) -> Vec<Outcome> {
    for outcome in &mut outcomes {
        if let Outcome::Patched(stored) = outcome {
            stored.version = 0;
        }
    }
    outcomes
}
