use std::time::Duration;

use endspan_model::limits;

/// What a destination is told when a span starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartMode {
    /// Nothing: each span is written once, at its end.
    EndOnly,
    /// The start is held for this long and left out when the span ends meanwhile.
    Deferred(Duration),
    /// Every start is delivered, before its end. For processors that must see both.
    Every,
}

impl StartMode {
    /// Returns whether starts are written at all.
    pub const fn writes_starts(self) -> bool {
        !matches!(self, Self::EndOnly)
    }
}

/// How one destination is fed. Durations are exact; `0` spans or bytes mean what the field says.
#[derive(Clone, Debug)]
pub struct LaneConfig {
    /// What is written at a span's start. Default: [`StartMode::EndOnly`].
    pub start_mode: StartMode,
    /// Spans in a request when there is no backlog. At least 1. Default: 200.
    pub batch_spans: usize,
    /// Spans that have to wait before they go out without lingering; all that wait then go, one request after the other, and
    /// so they do when the linger is over. `None`: each request that is full goes by itself. Default: `None`.
    pub flush_spans: Option<usize>,
    /// Spans in a request under backlog. At least `batch_spans`. Default: 1000.
    pub batch_spans_max: usize,
    /// Record bytes in a request; one span alone may have more. Default: 4 MiB.
    pub batch_bytes: usize,
    /// How long the first span of a batch waits for company. Default: 250 ms.
    pub linger: Duration,
    /// Requests in flight at a time. At least 1. Default: 3.
    pub concurrency: usize,
    /// Attempts that a span gets before it is dropped; `None` leaves that to age and space. Default: `None`.
    pub max_attempts: Option<u32>,
    /// Spans that wait at a time; the newest beyond are dropped. `0`: no limit. Default: 0.
    pub max_waiting: usize,
    /// Record bytes that the destination may have undelivered; the newest beyond are dropped. `0`: no limit. Default: 0.
    pub max_pending_bytes: u64,
    /// How old a span may become before it is dropped. Default: 24 h.
    pub max_age: Option<Duration>,
    /// Deadline of one request, after which it counts as failed. Default: 60 s.
    pub request_timeout: Duration,
    /// First wait after a failure; doubles with each further one. Default: 500 ms.
    pub backoff: Duration,
    /// Longest wait after a failure. Default: 8 s.
    pub backoff_max: Duration,
    /// First wait after a refusal for want of a valid key or address. Default: 5 s.
    pub held_backoff: Duration,
    /// Longest such wait. Default: 60 s.
    pub held_backoff_max: Duration,
}

impl Default for LaneConfig {
    fn default() -> Self {
        Self {
            start_mode: StartMode::EndOnly,
            batch_spans: 200,
            flush_spans: None,
            batch_spans_max: limits::MAX_BATCH_SPANS,
            batch_bytes: 4 << 20,
            linger: Duration::from_millis(250),
            concurrency: 3,
            max_attempts: None,
            max_waiting: 0,
            max_pending_bytes: 0,
            max_age: Some(Duration::from_secs(24 * 60 * 60)),
            request_timeout: Duration::from_secs(60),
            backoff: Duration::from_millis(500),
            backoff_max: Duration::from_secs(8),
            held_backoff: Duration::from_secs(5),
            held_backoff_max: Duration::from_secs(60),
        }
    }
}

impl LaneConfig {
    /// Returns whether the lane itself limits what waits.
    pub const fn is_bounded(&self) -> bool {
        self.max_waiting > 0 || self.max_pending_bytes > 0
    }

    /// Returns the settings with every number in its range.
    #[must_use]
    pub fn checked(mut self) -> Self {
        self.batch_spans = self.batch_spans.max(1);
        self.batch_spans_max = self.batch_spans_max.max(self.batch_spans);
        self.flush_spans = self.flush_spans.map(|spans| spans.max(1));
        self.batch_bytes = self.batch_bytes.max(1);
        self.concurrency = self.concurrency.max(1);
        self.backoff_max = self.backoff_max.max(self.backoff);
        self.held_backoff_max = self.held_backoff_max.max(self.held_backoff);
        self
    }
}
