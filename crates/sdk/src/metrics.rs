//! The instruments of `sdk-behaviour` section 10. Without the feature `otel`, or with `AGENTEX_TRACING_METRICS` off,
//! nothing is recorded here; bindings have [`Activity`](crate::Activity), and `Stats` has the numbers all the same.

use std::sync::Arc;
use std::time::Duration;

use crate::activity::Watched;

use crate::lane::{Failure, Phase};

#[cfg(feature = "otel")]
use crate::otel::Instruments;

/// Where the thread tells what it did.
pub(crate) struct Metrics {
    watched: Arc<Watched>,
    #[cfg(feature = "otel")]
    instruments: Option<Instruments>,
}

/// What became of a request.
pub(crate) struct Exported<'a> {
    pub(crate) exporter: &'a str,
    pub(crate) phase: Phase,
    pub(crate) spans: u64,
    pub(crate) delivered: u64,
    pub(crate) given_up: u64,
    pub(crate) failure: Option<Failure>,
    pub(crate) took: Duration,
}

#[cfg_attr(
    not(feature = "otel"),
    expect(unused_variables, clippy::unused_self, reason = "nothing is recorded")
)]
impl Metrics {
    /// Makes the instruments if they are wanted.
    pub(crate) fn new(wanted: bool, watched: Arc<Watched>) -> Self {
        Self {
            watched,
            #[cfg(feature = "otel")]
            instruments: wanted.then(Instruments::new),
        }
    }

    /// Records were read from the log: how many of each phase, how many are there in all, and the age of the oldest.
    pub(crate) fn read(&self, starts: u64, ends: u64, depth: u64, lag: Duration) {
        self.watched.read(starts, ends, depth, lag);
        #[cfg(feature = "otel")]
        if let Some(instruments) = &self.instruments {
            instruments.read(starts, ends, depth, lag);
        }
    }

    /// Spans were dropped.
    pub(crate) fn dropped(&self, exporter: &str, reason: &'static str, count: u64) {
        #[cfg(feature = "otel")]
        if let Some(instruments) = &self.instruments {
            instruments.dropped(exporter, reason, count);
        }
    }

    /// A request ended.
    pub(crate) fn exported(&self, exported: &Exported<'_>) {
        self.watched.exported(exported);
        #[cfg(feature = "otel")]
        if let Some(instruments) = &self.instruments {
            instruments.exported(exported);
        }
    }

    /// A shutdown ran out of time.
    pub(crate) fn shutdown_timed_out(&self, remaining: u64) {
        self.watched.shutdown_timed_out(remaining);
        #[cfg(feature = "otel")]
        if let Some(instruments) = &self.instruments {
            instruments.shutdown_timed_out(remaining);
        }
    }

    /// How much waits and is under way for a destination, and how large the log is.
    pub(crate) fn gauges(&self, exporter: &str, pending: u64, bytes: u64, in_flight: u64) {
        #[cfg(feature = "otel")]
        if let Some(instruments) = &self.instruments {
            instruments.gauges(exporter, pending, bytes, in_flight);
        }
    }

    /// How large the spool is.
    pub(crate) fn spool(&self, bytes: u64) {
        #[cfg(feature = "otel")]
        if let Some(instruments) = &self.instruments {
            instruments.spool(bytes);
        }
    }

    /// Returns whether anything is recorded.
    pub(crate) fn is_on(&self) -> bool {
        #[cfg(feature = "otel")]
        let on = self.instruments.is_some();
        #[cfg(not(feature = "otel"))]
        let on = false;
        on || self.watched.is_on()
    }
}
