//! What endspan's thread did, for bindings whose language has instruments of its own: sums, and the single values that
//! histograms need.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::lane::Phase;
use crate::metrics::Exported;

/// Single values kept until somebody takes them; beyond that the oldest half goes.
const MAX_SAMPLES: usize = 1 << 16;

/// A value of a histogram, by the names of `sdk-behaviour` section 10.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sample {
    /// `queue.depth`: records that waited when some were read from the log, those included.
    QueueDepth(u64),
    /// `queue.lag`: milliseconds since the oldest record read was written.
    QueueLag(f64),
    /// `batch.items`: records read from the log at a time.
    BatchItems(u64),
    /// `batch.size`: spans of a request.
    BatchSize(Phase, u64),
    /// `batch.drain_duration`: milliseconds that a request took.
    DrainDuration(Phase, f64),
    /// `shutdown.remaining_items`: records that were left when a shutdown ran out of time.
    ShutdownRemaining(u64),
}

/// Requests of one kind, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exports {
    /// Requests that delivered something.
    pub batches: u64,
    /// Spans that they delivered.
    pub spans: u64,
    /// Requests after which something was given up.
    pub batch_failures: u64,
    /// Spans that were given up after them.
    pub span_failures: u64,
    /// Requests that failed and were tried again.
    pub retries: u64,
}

/// What requests have in common that are summed up together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExportKind {
    /// The exporter's name.
    pub exporter: Box<str>,
    /// Which half of spans they carried.
    pub phase: Phase,
    /// The failure's `http_code` and `error_class`, of those that failed.
    pub failure: Option<(&'static str, &'static str)>,
}

/// What happened since the last time that somebody asked.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Activity {
    /// Starts read from the log that some exporter writes.
    pub starts: u64,
    /// Ends read from the log.
    pub ends: u64,
    /// Requests.
    pub exports: HashMap<ExportKind, Exports>,
    /// Single values, oldest first.
    pub samples: Vec<Sample>,
    /// Single values that nobody took in time.
    pub lost_samples: u64,
}

/// One process's activity; nothing is kept before somebody asks for it.
#[derive(Debug)]
pub(crate) struct Watched {
    wanted: Arc<AtomicBool>,
    activity: Mutex<Activity>,
}

impl Watched {
    pub(crate) fn new(wanted: &Arc<AtomicBool>) -> Self {
        Self { wanted: Arc::clone(wanted), activity: Mutex::default() }
    }

    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    pub(crate) fn take(&self) -> Activity {
        std::mem::take(&mut *self.activity.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, change: impl FnOnce(&mut Activity)) {
        if !self.is_on() {
            return;
        }
        let mut activity = self.activity.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut activity);
        if activity.samples.len() >= MAX_SAMPLES {
            activity.samples.drain(..MAX_SAMPLES / 2);
            activity.lost_samples += MAX_SAMPLES as u64 / 2;
        }
    }

    pub(crate) fn read(&self, starts: u64, ends: u64, depth: u64, lag: Duration) {
        self.note(|activity| {
            activity.starts += starts;
            activity.ends += ends;
            activity.samples.extend([Sample::QueueDepth(depth), Sample::BatchItems(starts + ends)]);
            if !lag.is_zero() {
                activity.samples.push(Sample::QueueLag(lag.as_secs_f64() * 1000.0));
            }
        });
    }

    pub(crate) fn exported(&self, exported: &Exported<'_>) {
        self.note(|activity| {
            let took = exported.took.as_secs_f64() * 1000.0;
            activity.samples.extend([
                Sample::BatchSize(exported.phase, exported.spans),
                Sample::DrainDuration(exported.phase, took),
            ]);
            let failure = exported.failure.map(|failure| (failure.http_code, failure.error_class));
            let kind = ExportKind { exporter: exported.exporter.into(), phase: exported.phase, failure };
            let sums = activity.exports.entry(kind).or_default();
            sums.batches += u64::from(exported.delivered > 0);
            sums.spans += exported.delivered;
            sums.batch_failures += u64::from(exported.given_up > 0);
            sums.span_failures += exported.given_up;
            sums.retries += u64::from(failure.is_some() && exported.given_up == 0);
        });
    }

    pub(crate) fn shutdown_timed_out(&self, remaining: u64) {
        self.note(|activity| activity.samples.push(Sample::ShutdownRemaining(remaining)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_kept_unless_wanted_and_never_without_bound() {
        let wanted = Arc::default();
        let watched = Watched::new(&wanted);
        watched.read(1, 2, 3, Duration::from_millis(4));
        assert_eq!(watched.take(), Activity::default());
        wanted.store(true, Ordering::Relaxed);
        watched.read(1, 2, 3, Duration::from_millis(4));
        let activity = watched.take();
        assert_eq!((activity.starts, activity.ends, activity.lost_samples), (1, 2, 0));
        let expected = [Sample::QueueDepth(3), Sample::BatchItems(3), Sample::QueueLag(4.0)];
        assert_eq!(activity.samples, expected);
        for remaining in 0..MAX_SAMPLES as u64 {
            watched.shutdown_timed_out(remaining);
        }
        let activity = watched.take();
        assert_eq!(activity.samples.len() as u64 + activity.lost_samples, MAX_SAMPLES as u64);
        assert_eq!(activity.samples.last(), Some(&Sample::ShutdownRemaining(MAX_SAMPLES as u64 - 1)));
        assert_eq!(watched.take(), Activity::default());
    }
}
