use async_trait::async_trait;
use endspan_model::{AccountId, SpanId, TraceId};

use crate::{
    AccountUsage, AssessmentList, AssessmentOutcome, AssessmentQuery, AssessmentWrite, Changes, Deleted,
    Deletion, ListQuery, SpanHeader, SpanPage, SpanQuery, StoreError, StoreStats, StoredSpan, TracePage,
    TraceQuery, WriteRequest, WriteResponse,
};

/// A place that keeps spans. Every engine behaves the same; the conformance suite holds it to that.
///
/// # Durability
/// [`write`](Self::write) answers only when everything it calls stored would survive a power cut at that very
/// moment. A request whose answer never came may be stored or not, but each of its operations as a whole
/// or not at all, and an `all_or_nothing` request as a whole or not at all.
///
/// # Identity and the merge rule
/// A span is (account, trace id, id). There is at most one version of it: the winner under
/// [the merge rule](endspan_model::merge) over all writes in the order in which the store took them. Writing
/// the same again changes nothing that a reader can see, except [`StoredSpan::version`]. The start time is no
/// part of the identity, unlike in the reference (`sgp-api` 3.3): a re-sent span never doubles.
/// Ids are free text, compared bytewise; the empty id is an id.
///
/// # Order
/// Operations of one request apply in their order. Requests apply in one global order; a request that was
/// sent after another's answer comes after it. Reads see every write that was acknowledged before the read
/// began.
///
/// # Values
/// A stored span comes back equal, byte for byte in payloads, with every `None` still `None`.
///
/// # Ownership
/// No method ever returns, counts or changes a span of another account than the one named. Methods that
/// take `Option<&AccountId>` read all accounts when given `None`; whether a caller may do that is the
/// server's decision, never the store's.
///
/// # Failure
/// A [`StoreError`] means that the call as a whole failed. It never carries payload text. One span that cannot be
/// stored is an [`Outcome::Rejected`](crate::Outcome::Rejected) and costs nobody else anything, unless the
/// request asked for all or nothing.
///
/// # Cancel safety
/// Dropping a future of `write` does not undo the write; dropping a reader has no effect.
#[async_trait]
pub trait SpanStore: Send + Sync + 'static {
    /// Applies writes and waits until they are durable.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] before anything is queued, [`StoreError::Unavailable`] when the engine fails.
    async fn write(&self, request: WriteRequest) -> Result<WriteResponse, StoreError>;

    /// Returns the newest span with this id, in whatever trace it is.
    async fn find_span(
        &self,
        account: Option<&AccountId>,
        id: &SpanId,
    ) -> Result<Option<StoredSpan>, StoreError>;

    /// Returns the span with this identity.
    async fn find_span_in_trace(
        &self,
        account: Option<&AccountId>,
        trace_id: &TraceId,
        id: &SpanId,
    ) -> Result<Option<StoredSpan>, StoreError>;

    /// Returns spans by the rules of [`ListQuery`].
    async fn list_spans(
        &self,
        account: Option<&AccountId>,
        query: &ListQuery,
    ) -> Result<Vec<StoredSpan>, StoreError>;

    /// Returns every span of a trace ordered by start time, then id. Without `payloads` the five payload
    /// fields of each span are `None`, and the answer costs a fraction.
    async fn read_trace(
        &self,
        account: Option<&AccountId>,
        trace_id: &TraceId,
        payloads: bool,
    ) -> Result<Vec<StoredSpan>, StoreError>;

    /// Returns the headers of every span of a trace in the order of [`read_trace`](Self::read_trace), at a fraction
    /// of its cost: for traces of any size.
    async fn read_structure(
        &self,
        account: Option<&AccountId>,
        trace_id: &TraceId,
    ) -> Result<Vec<SpanHeader>, StoreError>;

    /// Returns a page of traces, newest first, ties by trace id ascending, by the rules of [`TraceQuery`].
    ///
    /// # Errors
    /// [`StoreError::InvalidQuery`] for a cursor that this store did not make.
    async fn list_traces(
        &self,
        account: Option<&AccountId>,
        query: &TraceQuery,
    ) -> Result<TracePage, StoreError>;

    /// Returns a page of spans by the rules of [`SpanQuery`].
    async fn search_spans(
        &self,
        account: Option<&AccountId>,
        query: &SpanQuery,
    ) -> Result<SpanPage, StoreError>;

    /// Returns at most `limit` spans written after `position`, oldest write first, and the position to go on
    /// from. Position 0 is before everything. A reader that goes on from each answer misses no span's latest
    /// version.
    async fn changes(
        &self,
        account: Option<&AccountId>,
        position: u64,
        limit: u32,
    ) -> Result<Changes, StoreError>;

    /// Deletes one piece of what a [`Deletion`] means and waits until that is durable. Space comes back in time, and
    /// reads and writes go on meanwhile. Deleting takes no positions, so that [`changes`](Self::changes) says nothing of
    /// it, and gives none back. A span that is written again afterwards is a new one.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    async fn delete(&self, account: Option<&AccountId>, deletion: &Deletion) -> Result<Deleted, StoreError>;

    /// Changes one assessment and waits until that is durable. Assessments belong to a span: they stay when it is written
    /// again, move with it to another trace, and are gone when it is deleted. They take no positions.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    async fn write_assessment(&self, write: AssessmentWrite) -> Result<AssessmentOutcome, StoreError>;

    /// Returns assessments by the rules of [`AssessmentQuery`].
    async fn read_assessments(
        &self,
        account: Option<&AccountId>,
        query: &AssessmentQuery,
    ) -> Result<AssessmentList, StoreError>;

    /// Returns what each account has, by account. Costs far less than reading the spans; meant for health pages and for
    /// retention, not for hot paths.
    async fn accounts(&self) -> Result<Vec<AccountUsage>, StoreError>;

    /// Returns the position of the latest acknowledged write.
    async fn latest_position(&self) -> Result<u64, StoreError>;

    /// Returns figures about the store. May cost a scan; meant for health pages, not for hot paths.
    async fn stats(&self) -> Result<StoreStats, StoreError>;

    /// Returns quickly whether the store can take writes now.
    ///
    /// # Errors
    /// The reason why not.
    async fn check_health(&self) -> Result<(), StoreError>;

    /// Finishes every write that was accepted, then closes. Later calls answer [`StoreError::Unavailable`].
    async fn close(&self) -> Result<(), StoreError>;
}
