//! What is said of spans (`sgp-api` section 9).

use endspan_model::{AccountId, SpanPatch};

use super::*;
use crate::{
    Assessment, AssessmentList, AssessmentOutcome, AssessmentQuery, AssessmentWrite, Deleting, Deletion,
    SpanQuery, TraceFilter, TraceQuery,
    assessment::{
        Approval, AssessmentContent, AssessmentFilter, AssessmentType, AssessmentsOf, MAX_PER_SPAN,
    },
    search::SpanFilter,
};

/// Returns a comment on a span.
fn comment(id: &str, trace_id: &str, span_id: &str) -> Assessment {
    Assessment {
        id: id.to_owned(),
        account: account(),
        trace_id: trace_id.into(),
        span_id: span_id.into(),
        content: AssessmentContent {
            comment: Some(format!("of {span_id}")),
            ..AssessmentContent::new(AssessmentType::Comment)
        },
        created_by: "someone".to_owned(),
        created_at: at(1),
        updated_at: at(1),
        revision: 1,
    }
}

fn overwrite(id: &str, trace_id: &str, span_id: &str) -> Assessment {
    let content =
        AssessmentContent { overwrite: payload("{}"), ..AssessmentContent::new(AssessmentType::Overwrite) };
    Assessment { content, ..comment(id, trace_id, span_id) }
}

fn rating(id: &str, trace_id: &str, span_id: &str, rating: u8) -> Assessment {
    let content =
        AssessmentContent { rating: Some(rating), ..AssessmentContent::new(AssessmentType::Rating) };
    Assessment { content, ..comment(id, trace_id, span_id) }
}

async fn put(subject: &dyn Subject, assessment: Assessment) -> AssessmentOutcome {
    subject.store().write_assessment(AssessmentWrite::Put(assessment)).await.unwrap()
}

async fn put_all(subject: &dyn Subject, assessments: impl IntoIterator<Item = Assessment>) {
    for assessment in assessments {
        assert_eq!(put(subject, assessment).await, AssessmentOutcome::Done);
    }
}

async fn read(subject: &dyn Subject, of: AssessmentsOf) -> Vec<Assessment> {
    let query = AssessmentQuery { of, kind: None, max_bytes: usize::MAX };
    let list = subject.store().read_assessments(Some(&account()), &query).await.unwrap();
    assert!(!list.is_cut);
    list.assessments
}

async fn of_trace(subject: &dyn Subject, trace_id: &str) -> Vec<String> {
    let found = read(subject, AssessmentsOf::Trace(trace_id.into())).await;
    found.into_iter().map(|assessment| assessment.id).collect()
}

/// Every field, and after reopening.
pub async fn assessments_come_back_equal(subject: &mut dyn Subject) {
    store_all(subject, [ended_span("t", "a")]).await;
    let whole = Assessment {
        content: AssessmentContent {
            kind: AssessmentType::Rubric,
            approval: Some(Approval::Rejected),
            comment: Some("Straße \0 \u{1F600}".to_owned()),
            rating: Some(5),
            rubric: payload(r#"{"b":"1","a":"2"}"#),
            metadata: payload(r#"{"n":1.10,"nul":"\u0000"}"#),
            overwrite: payload(r#"{"z":[]}"#),
        },
        created_at: at(5),
        updated_at: at(-7),
        revision: 9,
        ..comment("whole \0", "t", "a")
    };
    put_all(subject, [whole.clone(), comment("bare", "t", "a")]).await;
    for reopen in [false, true] {
        if reopen {
            subject.maintain().await;
            subject.reopen().await;
        }
        let found = read(subject, AssessmentsOf::Trace("t".into())).await;
        assert_eq!(found, [comment("bare", "t", "a"), whole.clone()]);
        assert_eq!(
            read(subject, AssessmentsOf::Id("whole \0".to_owned())).await,
            std::slice::from_ref(&whole)
        );
    }
}

/// By id, by span, by trace, by type; by creation, then id; never more than asked for.
pub async fn assessments_are_read_by_span_and_by_trace(subject: &mut dyn Subject) {
    store_all(subject, [ended_span("t", "a"), ended_span("t", "b"), ended_span("u", "a")]).await;
    let later = Assessment { created_at: at(0), ..rating("3", "t", "b", 2) };
    put_all(subject, [comment("2", "t", "a"), comment("1", "u", "a"), later]).await;
    assert_eq!(of_trace(subject, "t").await, ["3", "2"]);
    let names = |found: Vec<Assessment>| found.into_iter().map(|found| found.id).collect::<Vec<_>>();
    assert_eq!(names(read(subject, AssessmentsOf::SpanId("a".into())).await), ["1", "2"]);
    let spans = [(account(), "u".into(), "a".into()), (account(), "t".into(), "none".into())];
    assert_eq!(names(read(subject, AssessmentsOf::Spans(spans.to_vec())).await), ["1"]);
    assert_eq!(names(read(subject, AssessmentsOf::Id("none".to_owned())).await), [] as [&str; 0]);
    let query = AssessmentQuery {
        of: AssessmentsOf::Trace("t".into()),
        kind: Some(AssessmentType::Rating),
        max_bytes: usize::MAX,
    };
    let AssessmentList { assessments, .. } = subject.store().read_assessments(None, &query).await.unwrap();
    assert_eq!(names(assessments), ["3"]);
    let query = AssessmentQuery { kind: None, max_bytes: 1, ..query };
    let cut = subject.store().read_assessments(None, &query).await.unwrap();
    assert_eq!((cut.assessments.len(), cut.is_cut), (0, true));
}

/// Nothing is kept of what nobody wrote.
pub async fn an_assessment_needs_its_span(subject: &mut dyn Subject) {
    assert_eq!(put(subject, comment("1", "t", "a")).await, AssessmentOutcome::NoSpan);
    store_all(subject, [ended_span("t", "a"), ended_span("u", "b")]).await;
    for (trace_id, span_id) in [("t", "b"), ("u", "a"), ("v", "a"), ("t", "")] {
        assert_eq!(put(subject, comment("1", trace_id, span_id)).await, AssessmentOutcome::NoSpan);
    }
    let elsewhere = Assessment { account: AccountId::new("other"), ..comment("1", "t", "a") };
    assert_eq!(put(subject, elsewhere).await, AssessmentOutcome::NoSpan);
    assert_eq!(put(subject, comment("1", "t", "a")).await, AssessmentOutcome::Done);
}

/// The second is refused, also when another type turns into one; a change of the first is not.
pub async fn sgp_row_70_a_span_has_one_overwrite(subject: &mut dyn Subject) {
    store_all(subject, [ended_span("t", "a"), ended_span("t", "b")]).await;
    put_all(subject, [overwrite("1", "t", "a"), overwrite("2", "t", "b"), comment("3", "t", "a")]).await;
    assert_eq!(put(subject, overwrite("4", "t", "a")).await, AssessmentOutcome::SecondOverwrite);
    let store = subject.store();
    let turned = Assessment { revision: 2, ..overwrite("3", "t", "a") };
    let outcome = store.write_assessment(AssessmentWrite::Replace(turned)).await.unwrap();
    assert_eq!(outcome, AssessmentOutcome::SecondOverwrite);
    let changed = Assessment { revision: 2, ..overwrite("1", "t", "a") };
    let outcome = store.write_assessment(AssessmentWrite::Replace(changed)).await.unwrap();
    assert_eq!(outcome, AssessmentOutcome::Done);
    let delete = AssessmentWrite::Delete { account: account(), id: "1".to_owned() };
    assert_eq!(store.write_assessment(delete).await.unwrap(), AssessmentOutcome::Done);
    assert_eq!(put(subject, overwrite("4", "t", "a")).await, AssessmentOutcome::Done);
}

/// So that no change is lost; span and creator stay.
pub async fn only_the_next_revision_replaces(subject: &mut dyn Subject) {
    store_all(subject, [ended_span("t", "a"), ended_span("t", "b")]).await;
    put_all(subject, [comment("1", "t", "a")]).await;
    let replace = |revision, rated| {
        let changed = Assessment {
            revision,
            updated_at: at(9),
            created_at: at(8),
            created_by: "another".to_owned(),
            ..rating("1", "t", "b", rated)
        };
        let store = subject.store();
        async move { store.write_assessment(AssessmentWrite::Replace(changed)).await.unwrap() }
    };
    assert_eq!(replace(2, 4).await, AssessmentOutcome::Done);
    assert_eq!(replace(2, 1).await, AssessmentOutcome::Superseded);
    assert_eq!(replace(4, 1).await, AssessmentOutcome::Superseded);
    let expected = Assessment { revision: 2, updated_at: at(9), ..rating("1", "t", "a", 4) };
    assert_eq!(read(subject, AssessmentsOf::Id("1".to_owned())).await, [expected]);
    let unknown = Assessment { revision: 2, ..comment("none", "t", "a") };
    let outcome = subject.store().write_assessment(AssessmentWrite::Replace(unknown)).await.unwrap();
    assert_eq!(outcome, AssessmentOutcome::NotFound);
    // Put is for moving stores: the better revision stays.
    assert_eq!(put(subject, comment("1", "t", "a")).await, AssessmentOutcome::Superseded);
    let better = Assessment { revision: 3, ..comment("1", "t", "a") };
    assert_eq!(put(subject, better.clone()).await, AssessmentOutcome::Done);
    let elsewhere = Assessment { revision: 4, ..comment("1", "t", "b") };
    assert_eq!(put(subject, elsewhere).await, AssessmentOutcome::Superseded);
    assert_eq!(read(subject, AssessmentsOf::Id("1".to_owned())).await, [better]);
}

/// At the limit.
pub async fn a_span_has_a_bounded_number(subject: &mut dyn Subject) {
    store_all(subject, [ended_span("t", "a"), ended_span("t", "b")]).await;
    put_all(subject, (0..MAX_PER_SPAN).map(|number| comment(&number.to_string(), "t", "a"))).await;
    assert_eq!(put(subject, comment("more", "t", "a")).await, AssessmentOutcome::TooMany);
    assert_eq!(put(subject, comment("more", "t", "b")).await, AssessmentOutcome::Done);
    let changed = Assessment { revision: 2, ..comment("7", "t", "a") };
    let outcome = subject.store().write_assessment(AssessmentWrite::Replace(changed)).await.unwrap();
    assert_eq!(outcome, AssessmentOutcome::Done);
}

/// Written again, moved, deleted and written again.
pub async fn assessments_follow_their_span(subject: &mut dyn Subject) {
    store_all(subject, [open_span("t", "a"), open_span("t", "b"), open_span("t", "c")]).await;
    put_all(subject, [comment("1", "t", "a"), comment("2", "t", "b"), comment("3", "t", "c")]).await;
    store_all(subject, [ended_span("t", "a")]).await;
    let to_u = SpanPatch { trace_id: Some("u".into()), ..SpanPatch::default() };
    write(subject, vec![patch("b", to_u)]).await;
    subject.maintain().await;
    assert_eq!(of_trace(subject, "t").await, ["1", "3"]);
    assert_eq!(of_trace(subject, "u").await, ["2"]);
    let piece = Deletion { what: Deleting::Trace("t".into()), max_spans: 1 };
    assert_eq!(subject.store().delete(Some(&account()), &piece).await.unwrap().spans, 1);
    assert_eq!(of_trace(subject, "t").await, ["1"], "those of the span that went");
    subject.store().delete(Some(&account()), &Deletion { max_spans: 9, ..piece }).await.unwrap();
    store_all(subject, [ended_span("t", "a"), ended_span("t", "c")]).await;
    subject.reopen().await;
    assert_eq!(of_trace(subject, "t").await, [] as [&str; 0]);
    assert_eq!(of_trace(subject, "u").await, ["2"]);
    assert_eq!(put(subject, comment("1", "t", "a")).await, AssessmentOutcome::Done, "the id is free");
}

/// Same ids, same traces.
pub async fn assessments_stay_within_their_account(subject: &mut dyn Subject) {
    let other = AccountId::new("other");
    store_all(subject, [ended_span("t", "a")]).await;
    let operations = vec![WriteOperation::Upsert(ended_span("t", "a"))];
    subject.store().write(WriteRequest { account: other.clone(), ..request(operations) }).await.unwrap();
    let theirs = Assessment { account: other.clone(), ..rating("1", "t", "a", 1) };
    put_all(subject, [rating("1", "t", "a", 5), theirs.clone()]).await;
    for of in [
        AssessmentsOf::Id("1".to_owned()),
        AssessmentsOf::SpanId("a".into()),
        AssessmentsOf::Trace("t".into()),
        AssessmentsOf::Spans(vec![
            (other.clone(), "t".into(), "a".into()),
            (account(), "t".into(), "a".into()),
        ]),
    ] {
        assert_eq!(read(subject, of.clone()).await, [rating("1", "t", "a", 5)]);
        let query = AssessmentQuery { of, kind: None, max_bytes: usize::MAX };
        assert_eq!(subject.store().read_assessments(None, &query).await.unwrap().assessments.len(), 2);
        let nobody = AccountId::new("nobody");
        let found = subject.store().read_assessments(Some(&nobody), &query).await.unwrap();
        assert_eq!(found, AssessmentList::default());
    }
    let poor = SpanFilter { assessments: vec![low()], ..SpanFilter::default() };
    assert_eq!(found(subject, poor).await, [] as [&str; 0]);
    let nobody = AssessmentWrite::Delete { account: AccountId::new("nobody"), id: "1".to_owned() };
    assert_eq!(subject.store().write_assessment(nobody).await.unwrap(), AssessmentOutcome::NotFound);
    let mine = AssessmentWrite::Delete { account: account(), id: "1".to_owned() };
    assert_eq!(subject.store().write_assessment(mine).await.unwrap(), AssessmentOutcome::Done);
    let query = AssessmentQuery { of: AssessmentsOf::Id("1".to_owned()), kind: None, max_bytes: usize::MAX };
    let left = subject.store().read_assessments(None, &query).await.unwrap();
    assert_eq!(left.assessments, [theirs]);
}

fn low() -> AssessmentFilter {
    AssessmentFilter { max_rating: Some(2), ..AssessmentFilter::default() }
}

async fn found(subject: &dyn Subject, filter: SpanFilter) -> Vec<String> {
    let mut query = SpanQuery { filter, limit: 2, ..SpanQuery::default() };
    let mut found = Vec::new();
    loop {
        let page = subject.store().search_spans(Some(&account()), &query).await.unwrap();
        found.extend(page.spans.iter().map(|stored| stored.span.id.as_str().to_owned()));
        query.from = page.spans.last().map(|stored| {
            let facets = endspan_model::Facets::of(&stored.span);
            crate::search::SpanPosition::of(&stored.account, &stored.span, &facets, query.sort)
        });
        if !page.has_more {
            return found;
        }
    }
}

/// Each filter by an assessment of its own; with ids, names and text beside them.
pub async fn spans_and_traces_are_found_by_their_assessments(subject: &mut dyn Subject) {
    store_all(subject, ["a", "b", "c", "d"].map(|id| ended_span("t", id))).await;
    store_all(subject, [Span { input: payload(r#"{"x":"needle"}"#), ..ended_span("u", "e") }]).await;
    let rejected = AssessmentContent {
        approval: Some(Approval::Rejected),
        ..AssessmentContent::new(AssessmentType::Approval)
    };
    put_all(
        subject,
        [
            rating("1", "t", "a", 1),
            rating("2", "t", "b", 3),
            rating("3", "u", "e", 2),
            Assessment { content: rejected, ..comment("4", "t", "a") },
            comment("5", "t", "d"),
            rating("6", "t", "a", 2),
        ],
    )
    .await;
    let all = SpanFilter::default;
    let kinds = |kinds: &[AssessmentType]| AssessmentFilter { kinds: kinds.to_vec(), ..Default::default() };
    let rejection = AssessmentFilter { approval: Some(Approval::Rejected), ..Default::default() };
    let (rating, comment) = (AssessmentType::Rating, AssessmentType::Comment);
    for (filters, expected) in [
        (vec![kinds(&[rating])], vec!["a", "b", "e"]),
        (vec![kinds(&[comment, AssessmentType::Overwrite])], vec!["d"]),
        (vec![kinds(&[AssessmentType::Overwrite])], vec![]),
        (vec![low()], vec!["a", "e"]),
        (vec![low(), rejection.clone()], vec!["a"]),
        (vec![low(), kinds(&[comment])], vec![]),
        (
            vec![AssessmentFilter { min_rating: Some(2), max_rating: Some(3), ..Default::default() }],
            vec!["a", "b", "e"],
        ),
    ] {
        let filter = SpanFilter { assessments: filters.clone(), ..all() };
        assert_eq!(found(subject, filter).await, expected, "{filters:?}");
    }
    for (filter, expected) in [
        (SpanFilter { trace_ids: ["t".into()].into(), ..all() }, vec!["a"]),
        (SpanFilter { span_ids: ["b".into(), "e".into()].into(), ..all() }, vec!["e"]),
        (SpanFilter { names: ["name of a".to_owned()].into(), ..all() }, vec!["a"]),
        (SpanFilter { text: crate::text::TextQuery::parse(&["needle"]).unwrap(), ..all() }, vec!["e"]),
    ] {
        assert_eq!(found(subject, SpanFilter { assessments: vec![low()], ..filter }).await, expected);
    }
    for (assessments, expected) in [
        (vec![low()], vec!["t", "u"]),
        (vec![low(), rejection], vec!["t"]),
        (vec![low(), kinds(&[comment])], vec!["t"]),
        (vec![kinds(&[AssessmentType::Metadata])], vec![]),
    ] {
        let filter = TraceFilter { assessments, ..TraceFilter::default() };
        let query = TraceQuery { limit: 9, filter, ..TraceQuery::default() };
        let page = subject.store().list_traces(Some(&account()), &query).await.unwrap();
        let found: Vec<&str> = page.traces.iter().map(|trace| trace.trace_id.as_str()).collect();
        assert_eq!(found, expected);
    }
}
