//! What can be asked of a store, and how the answers look.

use endspan_model::{AccountId, Span, Status, Timestamp, TraceId};

/// A span as the store holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredSpan {
    /// The owner.
    pub account: AccountId,
    /// The span.
    pub span: Span,
    /// Grows with every write of the store: of two stored versions the higher one is newer. Also the
    /// position in [`SpanStore::changes`](crate::SpanStore::changes).
    pub version: u64,
}

/// Ascending or descending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SortDirection {
    /// Smallest first; absent values last.
    Ascending,
    /// Largest first; absent values first.
    #[default]
    Descending,
}

/// The sort keys of the Agentex list (`agentex-api` section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "each is the field of the same name")]
pub enum ListOrder {
    Id,
    TraceId,
    TaskId,
    ParentId,
    Name,
    #[default]
    StartTime,
    EndTime,
}

/// The Agentex list: filters, one sort key, offset paging (`agentex-api` section 6, rows 48 to 64).
///
/// Ties are broken by trace id, then span id, then account, bytewise and always ascending, so that pages never repeat or
/// skip a span of an unchanged store. Texts compare bytewise.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ListQuery {
    /// Only spans of this trace.
    pub trace_id: Option<TraceId>,
    /// Only spans with this task id, **or** with a trace id equal to it (spans older than task ids).
    pub task_id: Option<String>,
    /// The sort key.
    pub order: ListOrder,
    /// The direction of the sort key.
    pub direction: SortDirection,
    /// Most spans to return.
    pub limit: u32,
    /// Spans to skip. Past the end gives an empty list.
    pub offset: u64,
}

/// A page of traces, newest first by their earliest start.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TraceQuery {
    /// Most traces to return.
    pub limit: u32,
    /// Continue after this cursor, as the page before gave it.
    pub after: Option<String>,
}

/// One trace, summed up from its spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceSummary {
    /// The owner.
    pub account: AccountId,
    /// The trace.
    pub trace_id: TraceId,
    /// The name of the root span (the earliest span without a parent), else of the earliest span.
    pub name: String,
    /// The earliest start.
    pub start_time: Timestamp,
    /// The latest end; `None` while no span has ended.
    pub end_time: Option<Timestamp>,
    /// How many spans it has.
    pub span_count: u64,
    /// How many of them are unfinished.
    pub open_count: u64,
    /// How many of them have the status ERROR.
    pub error_count: u64,
    /// The root span's status, if it has one.
    pub status: Option<Status>,
}

/// A page of trace summaries.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TracePage {
    /// The traces.
    pub traces: Vec<TraceSummary>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

/// What was written since a position, for live views.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Changes {
    /// The spans, oldest write first. A span that was written again appears once, at its latest write.
    pub spans: Vec<StoredSpan>,
    /// The position to continue from: that of the last span, or, when nothing is left, the latest one.
    pub position: u64,
}

/// Figures about a store, for health pages and metrics.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct StoreStats {
    /// The engine's name, for example `embedded`.
    pub engine: &'static str,
    /// The schema's version.
    pub schema_version: u32,
    /// Stored spans (all accounts).
    pub spans: u64,
    /// Stored traces (all accounts).
    pub traces: u64,
    /// Bytes on disk, logs included.
    pub disk_bytes: u64,
    /// Bytes of payload before compression.
    pub raw_payload_bytes: u64,
    /// Bytes of payload as stored.
    pub stored_payload_bytes: u64,
    /// Bytes of stored payload that belong to replaced versions and wait for compaction.
    pub superseded_payload_bytes: u64,
}
