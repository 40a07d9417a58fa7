//! The lowest entry: records whose payloads are JSON text already. For bindings to other languages.

use std::sync::atomic::Ordering;
use std::time::Duration;

use endspan_model::Timestamp;
use endspan_spool::Held;

use super::Tracer;
use crate::account::Report;
use crate::activity::Activity;
use crate::clock;
use crate::ids;
use crate::lane::Phase;
use crate::record::RawSpan;

/// What is held of a span between [`Tracer::submit_raw_start`] and [`Tracer::submit_raw_end`].
#[derive(Debug, Default)]
pub struct RawStart(Option<Held>);

impl RawStart {
    /// Returns whether anything is held, so that this must be kept until the span ends.
    pub const fn is_held(&self) -> bool {
        self.0.is_some()
    }
}

impl Tracer {
    /// Hands over a span whose payloads are encoded already: as an end if it has an end time, else as a start.
    ///
    /// A start is kept for the case that this process dies before the span ends, and goes to exporters that write
    /// starts.
    pub fn submit_raw(&self, span: &RawSpan<'_>) {
        if !self.pipeline.enabled {
            return;
        }
        let phase = if span.end.is_some() { Phase::End } else { Phase::Start };
        let at = span.end.unwrap_or(span.start);
        span.write(|parts| self.pipeline.append(phase, at, parts));
    }

    /// Hands over the start of a span whose end will be handed over with what this returns. Cheaper than
    /// [`Tracer::submit_raw`] where no exporter writes starts: the start is held beside the queue until then.
    pub fn submit_raw_start(&self, span: &RawSpan<'_>) -> RawStart {
        if !self.pipeline.enabled {
            return RawStart::default();
        }
        RawStart(span.write(|parts| self.pipeline.append_start(span.start, parts)))
    }

    /// Hands over the end of a span. In a forked child, what its parent holds of the span stays held.
    pub fn submit_raw_end(&self, span: &RawSpan<'_>, start: RawStart) {
        if self.pipeline.enabled {
            let at = span.end.unwrap_or(span.start);
            span.write(|parts| self.pipeline.append_releasing(Phase::End, at, parts, start.0));
        }
    }

    /// Returns the present moment, as spans of this crate read it: without a call of the system where that can be had.
    #[inline]
    pub fn now() -> Timestamp {
        clock::now()
    }

    /// Makes a new span id, the text of a UUID.
    pub fn new_id(now: Timestamp) -> [u8; 36] {
        match ids::new_id(now) {
            ids::IdText::Uuid(text) => text,
            ids::IdText::Text(_) => [b'0'; 36],
        }
    }

    /// Returns whether spans go anywhere.
    pub fn is_enabled(&self) -> bool {
        self.pipeline.enabled
    }

    /// Returns whether anybody reads starts: an exporter, or the next process in the spool.
    pub fn records_starts(&self) -> bool {
        self.pipeline.records_starts
    }

    /// Returns whether any exporter writes starts, so that starts should hold their payloads.
    pub fn writes_starts(&self) -> bool {
        self.pipeline.writes_starts
    }

    /// Counts payloads that a binding replaced by a placeholder.
    pub fn note_unencodable(&self, count: u64) {
        if let Some(live) = self.pipeline.current() {
            live.counters.note_unencodable(count);
        }
    }

    /// Keeps from now on, or no longer, what [`Tracer::take_activity`] returns. Costs callers nothing, and endspan's thread a
    /// few words for each request.
    pub fn watch_activity(&self, wanted: bool) {
        self.pipeline.plan.watched.store(wanted, Ordering::Relaxed);
    }

    /// Returns what this process's thread did since the last call: what instruments other than this crate's own need.
    pub fn take_activity(&self) -> Activity {
        self.pipeline.begun().map(|live| live.watched.take()).unwrap_or_default()
    }

    /// Shuts down as the normal end of the process does: what cannot be delivered now may stay in the spool at once.
    pub fn shutdown_at_exit(&self, timeout: Duration) -> Report {
        self.pipeline.shut_down(timeout, true)
    }
}
