//! What a span contributes to the summary of its trace.

use endspan_model::{Facets, Span, Status, Timestamp, UsageKind};

use crate::TraceState;

/// What a span contributes to the summary of its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// When it began.
    pub start: Timestamp,
    /// When it ended; `None` while it runs.
    pub end: Option<Timestamp>,
    /// Whether it failed.
    pub is_error: bool,
    /// Whether it names a parent.
    pub has_parent: bool,
    /// What it reported to have used.
    pub usage: Option<Usage>,
    /// Bytes of its payloads.
    pub payload_bytes: i64,
}

impl Facts {
    /// Returns a span's contribution; `facets` are those of this span.
    pub fn of(span: &Span, facets: &Facets) -> Self {
        Self {
            start: span.start_time,
            end: span.end_time,
            is_error: span.status == Some(Status::Error),
            has_parent: span.parent_id.is_some(),
            usage: facets.usage_kind.map(|kind| {
                let (input, output) = (stored_count(facets.input_tokens), stored_count(facets.output_tokens));
                Usage::new(kind, input, output, stored_count(facets.cost_picodollars))
            }),
            payload_bytes: i64::try_from(span.payload_bytes()).unwrap_or(i64::MAX),
        }
    }
}

/// What a span reported to have used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Whether a call reported it, or a span that adds up others.
    pub kind: UsageKind,
    /// Tokens read and written, if either was reported.
    pub tokens: Option<(i64, i64)>,
    /// In units of 10⁻¹² dollars.
    pub cost: Option<i64>,
}

impl Usage {
    /// Puts together what columns hold.
    pub fn new(kind: UsageKind, input: Option<i64>, output: Option<i64>, cost: Option<i64>) -> Self {
        let is_reported = input.is_some() || output.is_some();
        Self { kind, tokens: is_reported.then_some((input.unwrap_or(0), output.unwrap_or(0))), cost }
    }
}

/// Returns a count in the form of a column; such counts are small ([`Facets`]).
pub fn stored_count(count: Option<u64>) -> Option<i64> {
    count.and_then(|count| i64::try_from(count).ok())
}

/// Returns the codes of states, listed for SQL: those of [`Status`] for failed and canceled traces, 0 for running ones, and
/// 1 for all others.
pub fn state_codes(states: &[TraceState]) -> String {
    let code = |state: &TraceState| match state {
        TraceState::Running => "0",
        TraceState::Ok => "1",
        TraceState::Error => "2",
        TraceState::Canceled => "3",
    };
    states.iter().map(code).collect::<Vec<_>>().join(", ")
}
