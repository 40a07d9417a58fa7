//! Requests with `check_parents` (`sgp-api` section 4, rule 3).

use endspan_model::{AccountId, DropReason, Span};

use super::*;

fn child(trace_id: &str, id: &str, parent: &str) -> Span {
    Span { parent_id: Some(parent.into()), ..ended_span(trace_id, id) }
}

async fn checked(subject: &dyn Subject, spans: Vec<Span>, all_or_nothing: bool) -> Vec<Outcome> {
    let operations = spans.into_iter().map(WriteOperation::Upsert).collect();
    let request = WriteRequest { all_or_nothing, check_parents: true, ..request(operations) };
    subject.store().write(request).await.unwrap().outcomes
}

/// Nothing of the request is stored when it is all or nothing.
pub async fn sgp_row_9_a_parent_in_another_trace_is_rejected(subject: &mut dyn Subject) {
    store_all(subject, [ended_span("A", "parent")]).await;
    let spans = vec![ended_span("B", "fine"), child("B", "child", "parent")];
    let outcomes = checked(subject, spans.clone(), true).await;
    assert_eq!(outcomes[0], Outcome::NotStored);
    assert_rejected(&outcomes[1], DropReason::InvalidParent, "parent_id");
    assert_eq!(find_in(subject, "B", "fine").await, None);
    let outcomes = checked(subject, spans, false).await;
    assert_eq!(outcomes[0], Outcome::Stored);
    assert_rejected(&outcomes[1], DropReason::InvalidParent, "parent_id");
    assert_eq!(find_in(subject, "B", "child").await, None);
}

/// Of two spans, of one, and not the bystanders.
pub async fn sgp_row_17_a_cycle_within_the_request_is_rejected(subject: &mut dyn Subject) {
    let spans = vec![child("t", "a", "b"), child("t", "b", "a"), ended_span("t", "c"), child("t", "d", "d")];
    let outcomes = checked(subject, spans, true).await;
    for index in [0, 1, 3] {
        assert_rejected(&outcomes[index], DropReason::InvalidParent, "parent_id");
    }
    assert_eq!(outcomes[2], Outcome::NotStored);
    assert_eq!(subject.store().stats().await.unwrap().spans, 0);
}

/// Children come first: ends arrive from the leaves up.
pub async fn a_parent_that_is_nowhere_is_fine(subject: &mut dyn Subject) {
    assert_eq!(checked(subject, vec![child("t", "a", "later")], true).await, [Outcome::Stored]);
    assert_eq!(checked(subject, vec![ended_span("t", "later")], true).await, [Outcome::Stored]);
}

/// The one in the same trace is meant.
pub async fn a_parent_in_both_traces_is_fine(subject: &mut dyn Subject) {
    store_all(subject, [ended_span("A", "parent"), ended_span("B", "parent")]).await;
    assert_eq!(checked(subject, vec![child("B", "child", "parent")], true).await, [Outcome::Stored]);
}

/// Whether it comes before or after its child, in the same trace or another.
pub async fn a_parent_in_the_same_request_counts(subject: &mut dyn Subject) {
    store_all(subject, [ended_span("A", "p")]).await;
    let outcomes = checked(subject, vec![child("B", "child", "p"), ended_span("B", "p")], true).await;
    assert_eq!(outcomes, [Outcome::Stored, Outcome::Stored]);
    let outcomes = checked(subject, vec![ended_span("C", "q"), child("D", "child", "q")], true).await;
    assert_rejected(&outcomes[1], DropReason::InvalidParent, "parent_id");
}

/// They are nowhere.
pub async fn parents_of_other_accounts_do_not_count(subject: &mut dyn Subject) {
    let operations = vec![WriteOperation::Upsert(ended_span("A", "parent"))];
    let request = WriteRequest { account: AccountId::new("other"), ..request(operations) };
    subject.store().write(request).await.unwrap();
    assert_eq!(checked(subject, vec![child("B", "child", "parent")], true).await, [Outcome::Stored]);
}

/// Agentex does not check.
pub async fn parents_are_checked_only_when_asked(subject: &mut dyn Subject) {
    store_all(subject, [ended_span("A", "parent"), child("B", "child", "parent"), child("B", "own", "own")])
        .await;
    find(subject, "own").await;
}
