//! What can be asked of a store, and how the answers look.

use std::time::Instant;

use endspan_model::{AccountId, Facets, Span, SpanId, SpanType, Status, Timestamp, TraceId};

use crate::{assessment::AssessmentFilter, text::TextQuery};

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
    /// Which traces.
    pub filter: TraceFilter,
    /// End the page at this moment; at least one trace is examined, so that following the cursors ends.
    pub deadline: Option<Instant>,
}

/// Which traces to list. Absent and empty fields let every trace pass; the others must all hold.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TraceFilter {
    /// Only traces whose earliest start is this moment or later.
    pub start_from: Option<Timestamp>,
    /// Only traces whose earliest start is before this moment.
    pub start_before: Option<Timestamp>,
    /// Only traces whose name contains this text, letter case aside ([`text::contains`](crate::text::contains)).
    pub name: Option<String>,
    /// Only traces in one of these states.
    pub states: Vec<TraceState>,
    /// Only traces whose agent has exactly this name.
    pub agent: Option<String>,
    /// Only traces that have, or have not, a span with the status ERROR.
    pub has_error: Option<bool>,
    /// Only traces that took at least this long, from earliest start to latest end. A trace without an end never
    /// passes a bound on its duration.
    pub min_duration_micros: Option<u64>,
    /// Only traces that took at most this long.
    pub max_duration_micros: Option<u64>,
    /// Only traces with at least this many tokens, in and out together; none reported is 0.
    pub min_tokens: Option<u64>,
    /// Only traces with at most this many tokens.
    pub max_tokens: Option<u64>,
    /// Only traces with a span that holds this text, all of its terms.
    pub text: TextQuery,
    /// Only traces that have, for each of these, an assessment of some span that says so.
    pub assessments: Vec<AssessmentFilter>,
}

impl TraceFilter {
    /// Returns whether a trace passes everything but [`text`](Self::text) and [`assessments`](Self::assessments). Engines may know sooner; this is what they must
    /// agree with.
    pub fn matches(&self, trace: &TraceSummary) -> bool {
        let micros = trace.duration_micros();
        self.start_from.is_none_or(|from| trace.start_time >= from)
            && self.start_before.is_none_or(|before| trace.start_time < before)
            && self.name.as_ref().is_none_or(|name| crate::text::contains(&trace.name, name))
            && (self.states.is_empty() || self.states.contains(&trace.state()))
            && self.agent.as_ref().is_none_or(|agent| trace.agent_name.as_ref() == Some(agent))
            && self.has_error.is_none_or(|has_error| has_error == (trace.error_count > 0))
            && self.min_duration_micros.is_none_or(|min| micros.is_some_and(|micros| micros >= min))
            && self.max_duration_micros.is_none_or(|max| micros.is_some_and(|micros| micros <= max))
            && self.min_tokens.is_none_or(|min| trace.tokens() >= min)
            && self.max_tokens.is_none_or(|max| trace.tokens() <= max)
    }
}

/// How a trace stands. Every trace is in exactly one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceState {
    /// The root has the status ERROR.
    Error,
    /// The root has the status CANCELED.
    Canceled,
    /// Some span has not ended, and the root says neither of the above.
    Running,
    /// Everything else.
    Ok,
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
    /// The agent's name, of the span that gives the name.
    pub agent_name: Option<String>,
    /// Tokens read by models, of the calls, or if none reported any, of the aggregates
    /// ([`UsageKind`](endspan_model::UsageKind)); `None` when no span reported any.
    pub input_tokens: Option<u64>,
    /// Tokens written by models, likewise.
    pub output_tokens: Option<u64>,
    /// What the calls cost, or if none recorded it, the aggregates, in units of 10⁻¹² US dollars
    /// ([`Facets::cost_picodollars`]); `None` when no span recorded any.
    pub cost_picodollars: Option<u64>,
}

impl TraceSummary {
    /// Returns how the trace stands.
    pub fn state(&self) -> TraceState {
        match self.status {
            Some(Status::Error) => TraceState::Error,
            Some(Status::Canceled) => TraceState::Canceled,
            _ if self.open_count > 0 => TraceState::Running,
            _ => TraceState::Ok,
        }
    }

    /// Returns the whole microseconds from the earliest start to the latest end; 0 if that lies before it.
    pub fn duration_micros(&self) -> Option<u64> {
        let micros = self.end_time?.unix_micros().saturating_sub(self.start_time.unix_micros());
        Some(u64::try_from(micros).unwrap_or(0))
    }

    /// Returns input and output tokens together.
    pub fn tokens(&self) -> u64 {
        self.input_tokens.unwrap_or(0).saturating_add(self.output_tokens.unwrap_or(0))
    }
}

/// A span without its payloads: what a tree or a timeline is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanHeader {
    /// The owner.
    pub account: AccountId,
    /// The span's id.
    pub id: SpanId,
    /// Its parent's id; the parent need not be there.
    pub parent_id: Option<SpanId>,
    /// Its name.
    pub name: String,
    /// When it began.
    pub start_time: Timestamp,
    /// When it ended.
    pub end_time: Option<Timestamp>,
    /// Its status.
    pub status: Option<Status>,
    /// Its type.
    pub span_type: Option<SpanType>,
    /// What is kept of its payloads.
    pub facets: Facets,
    /// See [`StoredSpan::version`].
    pub version: u64,
}

impl SpanHeader {
    /// Returns the header of a stored span.
    pub fn of(stored: &StoredSpan) -> Self {
        let span = &stored.span;
        Self {
            account: stored.account.clone(),
            id: span.id.clone(),
            parent_id: span.parent_id.clone(),
            name: span.name.clone(),
            start_time: span.start_time,
            end_time: span.end_time,
            status: span.status,
            span_type: span.span_type,
            facets: Facets::of(span),
            version: stored.version,
        }
    }
}

/// A page of trace summaries.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TracePage {
    /// The traces.
    pub traces: Vec<TraceSummary>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
    /// Whether [`TraceQuery::deadline`] ended the page before it was full. `next` goes on behind what was examined.
    pub is_partial: bool,
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
