//! The tables that hold the counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use endspan_model::DropReason;
use endspan_redaction::{Counts, Pattern};
use endspan_store::Deleted;

use super::{Protocol, Route, StatusClass};
use crate::clients::DropCounts;
use crate::retention::Reason;

/// How a received span ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Stored,
    Superseded,
    Rejected(DropReason),
    Unacknowledged,
}

impl Outcome {
    const FIXED: usize = 3;
    pub(super) const COUNT: usize = Self::FIXED + DropReason::ALL.len();

    const fn index(self) -> usize {
        match self {
            Self::Stored => 0,
            Self::Superseded => 1,
            Self::Unacknowledged => 2,
            Self::Rejected(reason) => Self::FIXED + reason.index(),
        }
    }

    pub(super) fn from_index(index: usize) -> Option<Self> {
        match index {
            0 => Some(Self::Stored),
            1 => Some(Self::Superseded),
            2 => Some(Self::Unacknowledged),
            _ => DropReason::ALL.get(index - Self::FIXED).copied().map(Self::Rejected),
        }
    }

    /// Returns the labels `outcome` and `reason`.
    pub(super) const fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::Stored => ("stored", ""),
            Self::Superseded => ("superseded", ""),
            Self::Unacknowledged => ("unacknowledged", ""),
            Self::Rejected(reason) => ("rejected", reason.as_str()),
        }
    }
}

/// A count that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, amount: u64) {
        // Most spans hold nothing to redact; the cache line of a shared counter is not free.
        if amount == 0 {
            return;
        }
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of duration buckets in microseconds.
pub(super) const DURATION_BOUNDS_US: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000,
    30_000_000,
];

/// Upper bounds of size buckets in spans.
pub(super) const SIZE_BOUNDS: [u64; 14] = [1, 2, 5, 10, 20, 50, 100, 150, 200, 300, 400, 500, 750, 1000];

/// Counts in buckets under fixed upper bounds, and their sum.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [u64; 14],
    buckets: [AtomicU64; 15],
    sum: AtomicU64,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [u64; 14]) -> Self {
        Self { bounds, buckets: Default::default(), sum: AtomicU64::new(0) }
    }

    pub(crate) fn record(&self, value: u64) {
        let index = self.bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(index) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    pub(crate) fn record_duration(&self, duration: Duration) {
        self.record(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// Returns (upper bound or `None` for the rest, count up to it) for each bucket, cumulative.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let mut total = 0;
        self.buckets.iter().enumerate().map(move |(index, bucket)| {
            total += bucket.load(Ordering::Relaxed);
            (self.bounds.get(index).copied(), total)
        })
    }

    pub(super) fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub(super) struct ProtocolTable {
    pub(super) received: Counter,
    pub(super) outcomes: [Counter; Outcome::COUNT],
    pub(super) bytes: Counter,
    pub(super) request_spans: Histogram,
}

#[derive(Debug)]
pub(super) struct RouteTable {
    pub(super) requests: [Counter; StatusClass::ALL.len()],
    pub(super) duration: Histogram,
}

/// All counts of one server.
#[derive(Debug)]
pub(crate) struct Telemetry {
    pub(super) protocols: [ProtocolTable; Protocol::ALL.len()],
    pub(super) routes: [RouteTable; Route::ALL.len()],
    /// One for each reason, and one for reasons that this version does not know.
    pub(super) client_drops: [Counter; DropReason::ALL.len() + 1],
    pub(crate) store_write_duration: Histogram,
    pub(crate) store_write_failures: Counter,
    pub(super) redactions: [Counter; Pattern::ALL.len()],
    pub(super) custom_redactions: Counter,
    pub(super) deleted_spans: [Counter; Reason::ALL.len()],
    pub(super) deleted_traces: [Counter; Reason::ALL.len()],
    pub(crate) retention_failures: Counter,
    pub(crate) unauthorized_requests: Counter,
    pub(crate) forbidden_requests: Counter,
    pub(crate) connections_refused: Counter,
}

impl Telemetry {
    pub(crate) fn new() -> Self {
        Self {
            protocols: std::array::from_fn(|_| ProtocolTable {
                received: Counter::default(),
                outcomes: std::array::from_fn(|_| Counter::default()),
                bytes: Counter::default(),
                request_spans: Histogram::new(&SIZE_BOUNDS),
            }),
            routes: std::array::from_fn(|_| RouteTable {
                requests: Default::default(),
                duration: Histogram::new(&DURATION_BOUNDS_US),
            }),
            client_drops: std::array::from_fn(|_| Counter::default()),
            store_write_duration: Histogram::new(&DURATION_BOUNDS_US),
            store_write_failures: Counter::default(),
            redactions: std::array::from_fn(|_| Counter::default()),
            custom_redactions: Counter::default(),
            deleted_spans: Default::default(),
            deleted_traces: Default::default(),
            retention_failures: Counter::default(),
            unauthorized_requests: Counter::default(),
            forbidden_requests: Counter::default(),
            connections_refused: Counter::default(),
        }
    }

    /// The table has one row a variant.
    fn protocol(&self, protocol: Protocol) -> &ProtocolTable {
        &self.protocols[protocol as usize]
    }

    /// Counts the spans of one write request.
    pub(crate) fn received(&self, protocol: Protocol, spans: u64) {
        let table = self.protocol(protocol);
        table.received.add(spans);
        table.request_spans.record(spans);
    }

    /// Counts what a client says for the first time that it gave up.
    pub(crate) fn dropped_by_clients(&self, fresh: &DropCounts) {
        for (reason, count) in fresh {
            let index = DropReason::from_name(reason).map_or(DropReason::ALL.len(), DropReason::index);
            self.client_drops[index].add(*count);
        }
    }

    /// Counts the decompressed bytes of one write request.
    pub(crate) fn received_bytes(&self, protocol: Protocol, bytes: usize) {
        self.protocol(protocol).bytes.add(bytes as u64);
    }

    /// Counts what a redaction took out.
    pub(crate) fn redacted(&self, counts: &Counts) {
        let total = counts.total();
        if total == 0 {
            return;
        }
        let mut built_in = 0;
        for (counter, pattern) in self.redactions.iter().zip(Pattern::ALL) {
            built_in += counts.of(pattern);
            counter.add(counts.of(pattern));
        }
        self.custom_redactions.add(total - built_in);
    }

    /// Counts a piece of a deletion.
    pub(crate) fn deleted(&self, reason: Reason, deleted: &Deleted) {
        self.deleted_spans[reason as usize].add(deleted.spans);
        self.deleted_traces[reason as usize].add(deleted.traces);
    }

    /// Returns how many spans were deleted for a reason.
    pub(crate) fn deleted_spans(&self, reason: Reason) -> u64 {
        self.deleted_spans[reason as usize].get()
    }

    /// Counts the ends of received spans.
    pub(crate) fn ended(&self, protocol: Protocol, outcome: Outcome, spans: u64) {
        if let Some(counter) = self.protocol(protocol).outcomes.get(outcome.index()) {
            counter.add(spans);
        }
    }

    /// Returns the count of one outcome.
    pub(crate) fn outcome_count(&self, protocol: Protocol, outcome: Outcome) -> u64 {
        self.protocol(protocol).outcomes.get(outcome.index()).map_or(0, Counter::get)
    }

    /// Returns the count of received spans.
    pub(crate) fn received_count(&self, protocol: Protocol) -> u64 {
        self.protocol(protocol).received.get()
    }

    /// Begins a request; it counts as cancelled unless it is finished.
    pub(crate) fn begin(&self, route: Route) -> RequestTimer<'_> {
        let table = &self.routes[route as usize];
        RequestTimer { table, start: Instant::now(), class: StatusClass::Cancelled }
    }
}

/// Counts one request when dropped.
#[derive(Debug)]
pub(crate) struct RequestTimer<'a> {
    table: &'a RouteTable,
    start: Instant,
    class: StatusClass,
}

impl RequestTimer<'_> {
    pub(crate) fn finish(mut self, status: http::StatusCode) {
        self.class = match status.as_u16() {
            400..=499 => StatusClass::ClientError,
            500.. => StatusClass::ServerError,
            _ => StatusClass::Success,
        };
    }
}

impl Drop for RequestTimer<'_> {
    fn drop(&mut self) {
        if let Some(counter) = self.table.requests.get(self.class as usize) {
            counter.add(1);
        }
        self.table.duration.record_duration(self.start.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_own_row() {
        for index in 0..Outcome::COUNT {
            assert_eq!(Outcome::from_index(index).unwrap().index(), index);
        }
        assert_eq!(Outcome::from_index(Outcome::COUNT), None);
    }

    #[test]
    fn buckets_hold_values_up_to_their_bound() {
        let histogram = Histogram::new(&SIZE_BOUNDS);
        for value in [1, 2, 3, 1000, 1001] {
            histogram.record(value);
        }
        let cumulative: Vec<_> = histogram.cumulative().collect();
        assert_eq!(cumulative[0], (Some(1), 1));
        assert_eq!(cumulative[1], (Some(2), 2));
        assert_eq!(cumulative[2], (Some(5), 3));
        assert_eq!(cumulative[13], (Some(1000), 4));
        assert_eq!(cumulative[14], (None, 5));
        assert_eq!(histogram.sum(), 2007);
    }
}
