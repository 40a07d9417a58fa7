//! The battery of tests that every store engine runs: the contract of [`SpanStore`](crate::SpanStore), one
//! behaviour a test, and a randomised comparison with [`MemoryStore`](crate::memory::MemoryStore).
//!
//! An engine says how a fresh store of it is made ([`Subject`]), and one line makes all the tests:
//!
//! ```text
//! endspan_store::conformance_suite!(MySubject::new);
//! ```
//!
//! Rows in names (`agentex_row_3`, `sgp_row_22`) are those of the compatibility tables of the two APIs.
#![expect(clippy::unwrap_used, clippy::panic, reason = "assertions of tests that live in a library")]

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
};

use async_trait::async_trait;
use endspan_model::{AccountId, DropReason, Payload, Span, SpanPatch, Timestamp};

use crate::{Outcome, Rejection, SpanStore, StoredSpan, WriteOperation, WriteRequest};

pub mod assessments;
pub mod changes;
pub mod deletion;
pub mod differential;
pub mod lifecycle;
pub mod lists;
pub mod parent_checks;
pub mod patches;
pub mod search;
pub mod traces;
pub mod writes;

/// A fresh store under test, with what keeps it alive (a directory, a schema).
#[async_trait]
pub trait Subject: Send {
    /// Returns the store.
    fn store(&self) -> Arc<dyn SpanStore>;

    /// Closes the store and opens it again on the same data. Returns `false` if the engine keeps nothing, in
    /// which case the store is unchanged.
    async fn reopen(&mut self) -> bool {
        false
    }

    /// Runs the engine's background work (compaction, vacuum) to its end, now.
    async fn maintain(&mut self) {}
}

/// Makes one `#[test]` per behaviour of the contract.
///
/// The first argument makes a fresh [`Subject`] with an empty store. The second, optional one runs a boxed
/// future to its end; the default parks the thread, which suits engines that need no runtime of their own. The third,
/// optional one says how many runs the comparison with the model makes unless `PROPTEST_CASES` says otherwise.
#[macro_export]
macro_rules! conformance_suite {
    ($new:expr) => {
        $crate::conformance_suite!($new, $crate::conformance::block_on);
    };
    ($new:expr, $run:expr) => {
        $crate::conformance_suite!($new, $run, 64);
    };
    ($new:expr, $run:expr, $cases:expr) => {
        $crate::conformance_tests! {
            $new, $run;
            writes: [
                agentex_row_2_every_field_comes_back_equal,
                agentex_row_1_absent_fields_stay_absent,
                agentex_row_3_insert_of_a_taken_id_is_rejected_and_changes_nothing,
                agentex_row_4_of_ten_concurrent_inserts_one_wins,
                agentex_row_6_and_9_empty_ids_and_names_are_values,
                agentex_row_15_empty_containers_are_not_absent,
                agentex_row_16_end_before_start_is_stored,
                agentex_rows_26_29_30_payload_text_comes_back_byte_for_byte,
                ids_and_names_hold_any_text,
                extreme_times_keep_their_nanoseconds,
                long_ids_and_large_payloads_come_back,
                sgp_row_19_finished_beats_unfinished_within_a_request,
                sgp_row_20_the_later_of_two_finished_wins,
                sgp_row_21_one_id_in_two_traces_is_two_spans,
                sgp_row_22_a_late_start_is_superseded,
                sgp_row_23_an_end_replaces_its_start_as_a_whole,
                sgp_row_24_the_same_batch_again_changes_nothing,
                sgp_row_25_a_start_on_another_day_is_the_same_span,
                accounts_never_meet,
                one_rejected_operation_costs_nobody_else,
                all_or_nothing_stores_nothing_when_one_is_rejected,
                all_or_nothing_stores_everything_when_none_is_rejected,
                operations_of_one_request_apply_in_order,
                an_empty_request_is_answered,
                a_dropped_write_does_not_stop_the_store,
            ];
            patches: [
                agentex_row_32_unknown_id_is_not_found,
                agentex_rows_33_34_an_empty_patch_changes_nothing,
                agentex_row_35_metadata_merges_at_the_top_level,
                agentex_rows_38_to_40_metadata_that_cannot_merge_is_rejected,
                agentex_row_41_input_is_replaced,
                agentex_row_43_empty_text_is_stored,
                agentex_row_46_a_span_moves_to_another_trace,
                agentex_row_47_twenty_concurrent_patches_all_take_effect,
                sgp_row_31_status_and_output_only,
                the_newest_span_with_the_id_is_patched,
                a_move_onto_another_span_is_rejected,
                a_patch_sees_the_operations_before_it,
                patches_stay_within_their_account,
            ];
            parent_checks: [
                sgp_row_9_a_parent_in_another_trace_is_rejected,
                sgp_row_17_a_cycle_within_the_request_is_rejected,
                a_parent_that_is_nowhere_is_fine,
                a_parent_in_both_traces_is_fine,
                a_parent_in_the_same_request_counts,
                parents_of_other_accounts_do_not_count,
                parents_are_checked_only_when_asked,
            ];
            lists: [
                agentex_row_48_newest_start_first,
                agentex_row_49_pages_hold_every_span_once,
                agentex_row_50_both_directions,
                agentex_row_52_absent_ends_are_first_descending_and_last_ascending,
                agentex_row_55_an_offset_skips,
                agentex_row_58_an_offset_beyond_everything_is_empty,
                agentex_rows_59_to_64_task_and_trace_filters,
                ties_break_by_trace_then_id_ascending,
                every_sort_key_sorts_bytewise,
                nanoseconds_count_in_the_order,
                a_limit_of_zero_is_empty,
                find_returns_the_newest_of_equal_ids,
                find_in_trace_returns_that_trace_only,
                read_trace_orders_by_start_then_id,
                read_trace_without_payloads_leaves_only_payloads_out,
            ];
            traces: [
                a_summary_counts_its_spans,
                the_root_gives_name_and_status,
                without_a_root_the_earliest_span_names_the_trace,
                summaries_follow_replacement,
                summaries_follow_patches_that_shrink_the_trace,
                summaries_follow_moves_and_empty_traces_vanish,
                traces_are_newest_first_with_ties_by_id,
                pages_of_traces_hold_every_trace_once,
                a_foreign_cursor_is_an_invalid_query,
                traces_stay_within_their_account,
                filters_narrow_the_list,
                tokens_are_those_of_the_calls_else_of_the_aggregates,
                costs_are_summed_like_tokens,
                text_finds_the_traces_of_spans_that_hold_it,
                a_page_of_traces_ends_at_its_time_and_goes_on,
                a_structure_is_the_trace_without_payloads,
            ];
            search: [
                sgp_row_35_pages_follow_one_another,
                sgp_row_36_pages_backwards,
                sgp_row_37_a_window_is_inclusive,
                sgp_rows_40_to_42_ids_and_pairs,
                sgp_row_43_roots_and_children,
                sgp_row_44_durations_are_inclusive,
                sgp_row_45_tokens_sort_with_none_as_zero,
                sgp_row_46_ties_are_bytewise,
                sgp_rows_47_48_51_values_in_lists,
                sgp_row_50_metadata,
                sgp_rows_52_to_60_text,
                sgp_row_64_a_page_ends_at_its_bytes,
                sgp_row_65_a_page_ends_at_its_time_and_goes_on,
                searches_stay_within_their_account,
                searches_see_the_latest_version,
            ];
            changes: [
                changes_come_in_the_order_of_writing,
                a_span_written_again_appears_once_at_its_latest,
                changes_page_without_gaps,
                positions_grow_and_skip_nothing_of_other_accounts,
                a_position_beyond_the_end_is_empty,
            ];
            deletion: [
                a_deleted_trace_is_gone_from_every_read,
                pieces_are_bounded_and_leave_exact_traces,
                traces_with_anything_newer_stay_whole,
                the_oldest_trace_goes_first,
                deletion_stays_within_its_account,
                a_deleted_span_can_be_written_again,
                deletion_takes_and_gives_back_no_positions,
                usage_is_told_by_account,
            ];
            assessments: [
                assessments_come_back_equal,
                assessments_are_read_by_span_and_by_trace,
                an_assessment_needs_its_span,
                sgp_row_70_a_span_has_one_overwrite,
                only_the_next_revision_replaces,
                a_span_has_a_bounded_number,
                assessments_follow_their_span,
                assessments_stay_within_their_account,
                spans_and_traces_are_found_by_their_assessments,
            ];
            lifecycle: [
                everything_reads_the_same_after_reopening,
                positions_survive_reopening,
                a_closed_store_is_unavailable,
                figures_count_spans_and_traces,
                writes_are_visible_to_every_later_read,
            ];
        }

        #[test]
        fn conformance_differential() {
            $crate::conformance::differential::run($cases, || Box::new($new()), &|future| $run(future));
        }
    };
}

/// The part of [`conformance_suite!`] that turns names into tests.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ($new:expr, $run:expr; $($module:ident: [$($name:ident,)*];)*) => {
        $(mod $module {
            #[allow(unused_imports, reason = "the constructor may be a path of any form")]
            use super::*;
            $(
                #[test]
                fn $name() {
                    let mut subject = $new();
                    $run(Box::pin(async move {
                        $crate::conformance::$module::$name(&mut subject).await;
                    }));
                }
            )*
        })*
    };
}

/// A future that a suite hands to its runner.
pub type TestFuture<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

struct ThreadWaker(Thread);

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future to its end by parking the thread.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(ThreadWaker(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Polls all futures side by side and returns their results in order.
pub async fn join_all<T>(futures: Vec<Pin<Box<dyn Future<Output = T> + Send + '_>>>) -> Vec<T> {
    let mut running: Vec<_> = futures.into_iter().map(Some).collect();
    let mut results: Vec<Option<T>> = running.iter().map(|_| None).collect();
    std::future::poll_fn(move |context| {
        for (slot, result) in running.iter_mut().zip(&mut results) {
            if let Some(Poll::Ready(value)) = slot.as_mut().map(|future| future.as_mut().poll(context)) {
                *result = Some(value);
                *slot = None;
            }
        }
        if running.iter().any(Option::is_some) {
            return Poll::Pending;
        }
        Poll::Ready(results.drain(..).flatten().collect())
    })
    .await
}

/// Returns the account that most behaviours write to.
pub fn account() -> AccountId {
    AccountId::default()
}

/// Returns the moment `micros` after 2024-01-01T00:00:00Z.
pub fn at(micros: i64) -> Timestamp {
    Timestamp::from_unix_micros(1_704_067_200_000_000 + micros).unwrap()
}

/// Returns an unfinished span that starts at [`at`]`(0)`.
pub fn open_span(trace_id: &str, id: &str) -> Span {
    Span::new(trace_id, id, format!("name of {id}"), at(0))
}

/// Returns a completed span of 10 µs.
pub fn ended_span(trace_id: &str, id: &str) -> Span {
    Span { end_time: Some(at(10)), ..open_span(trace_id, id) }
}

/// Parses a payload.
pub fn payload(text: &str) -> Option<Payload> {
    Some(Payload::parse(text.to_owned()).unwrap())
}

/// Returns a request of the [`account`] in which every operation stands for itself.
pub fn request(operations: Vec<WriteOperation>) -> WriteRequest {
    WriteRequest { account: account(), operations, all_or_nothing: false, check_parents: false }
}

/// Returns a patch operation.
pub fn patch(id: &str, patch: SpanPatch) -> WriteOperation {
    WriteOperation::Patch { id: id.into(), patch: Box::new(patch) }
}

/// Writes operations one after the other in one request and returns the outcomes.
pub async fn write(subject: &dyn Subject, operations: Vec<WriteOperation>) -> Vec<Outcome> {
    let expected = operations.len();
    let outcomes = subject.store().write(request(operations)).await.unwrap().outcomes;
    assert_eq!(outcomes.len(), expected, "one outcome an operation");
    outcomes
}

/// Upserts spans in one request; all must be stored.
pub async fn store_all(subject: &dyn Subject, spans: impl IntoIterator<Item = Span>) {
    let operations: Vec<_> = spans.into_iter().map(WriteOperation::Upsert).collect();
    for outcome in write(subject, operations).await {
        assert_eq!(outcome, Outcome::Stored);
    }
}

/// Returns the span with this id, which must be there.
pub async fn find(subject: &dyn Subject, id: &str) -> StoredSpan {
    let found = subject.store().find_span(Some(&account()), &id.into()).await.unwrap();
    found.unwrap_or_else(|| panic!("span {id:?} is not in the store"))
}

/// Returns the span with this identity, if it is there.
pub async fn find_in(subject: &dyn Subject, trace_id: &str, id: &str) -> Option<Span> {
    let account = account();
    let store = subject.store();
    let found = store.find_span_in_trace(Some(&account), &trace_id.into(), &id.into()).await.unwrap();
    found.map(|stored| stored.span)
}

/// Asserts that an outcome is the rejection of a span for this reason and field.
pub fn assert_rejected(outcome: &Outcome, expected_reason: DropReason, expected_field: &str) {
    match outcome {
        Outcome::Rejected(Rejection::Span { reason, field, message }) => {
            assert_eq!((*reason, *field), (expected_reason, expected_field));
            assert!(!message.is_empty());
        }
        other => panic!("expected a rejection of {expected_field}, got {other:?}"),
    }
}

/// Returns the ids of spans in order.
pub fn ids(spans: &[StoredSpan]) -> Vec<&str> {
    spans.iter().map(|stored| stored.span.id.as_str()).collect()
}

#[cfg(test)]
mod tests;
