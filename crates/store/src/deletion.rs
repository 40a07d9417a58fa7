//! Taking spans out of a store, piece by piece, and who fills it.

use endspan_model::{AccountId, Timestamp, TraceId};

/// One piece of a deletion. Deleting everything that is meant takes calls until [`Deleted::more`] is `false`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// What is meant.
    pub what: Deleting,
    /// Most spans that this call deletes. An engine may stop earlier, and deletes at least one if there is one.
    pub max_spans: u32,
}

/// What a deletion means. Always whole traces; within a trace the spans that started last go first, those with the last
/// ids of them, so that a trace that is half deleted is meant as before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deleting {
    /// This trace.
    Trace(TraceId),
    /// The traces all of whose spans started within these bounds: for retention by age, and for deleting a range of time.
    /// A trace that has anything newer stays whole.
    Started {
        /// No span started before this moment.
        from: Option<Timestamp>,
        /// Every span started before this moment.
        before: Timestamp,
    },
    /// The trace with the earliest start, then the next one, without end; ties by trace id, then account. For retention by
    /// size.
    Oldest,
}

/// What a call deleted. It is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Spans.
    pub spans: u64,
    /// Traces of which nothing is left.
    pub traces: u64,
    /// Bytes of payload before compression.
    pub payload_bytes: u64,
    /// Whether more of what is meant is left.
    pub more: bool,
}

impl Deleted {
    /// Adds what another call deleted after this one.
    pub fn add(&mut self, next: Self) {
        self.spans += next.spans;
        self.traces += next.traces;
        self.payload_bytes += next.payload_bytes;
        self.more = next.more;
    }
}

/// What an account has in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountUsage {
    /// The account. It has at least one span.
    pub account: AccountId,
    /// Its spans.
    pub spans: u64,
    /// Its traces.
    pub traces: u64,
    /// Bytes of its payloads before compression.
    pub payload_bytes: u64,
    /// Bytes that it takes on disk, as far as that can be told: engines that store several accounts together divide by
    /// payload.
    pub stored_bytes: u64,
    /// The earliest start of a span.
    pub oldest_start: Timestamp,
    /// The latest start of a span.
    pub newest_start: Timestamp,
}
