//! Flush and shutdown: what callers ask of the thread, and how it ends.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use endspan_model::DropReason;
use tokio::sync::mpsc::UnboundedReceiver;

use super::{Worker, handle};
use crate::account::Report;
use crate::diagnostics::aloud;
use crate::lane::{Health, Lane};

/// What callers ask of the thread.
pub(crate) enum Control {
    /// Deliver what is there until the time is up.
    Flush { timeout: Duration, reply: Reply },
    /// The same, and then end. With `leave`, what cannot be delivered now may stay in the spool at once.
    Shutdown { timeout: Duration, leave: bool, reply: Reply },
    /// Look after the log: a burst has used up a segment.
    Attend,
}

/// How callers reach the thread.
pub(crate) struct Arriving {
    pub(crate) control: UnboundedReceiver<Control>,
    /// Whether the thread waits for its next tick, for those who would wake it.
    pub(crate) asleep: Arc<AtomicBool>,
}

/// Takes the report of a flush or shutdown.
pub(crate) type Reply = Box<dyn FnOnce(Report) + Send>;

pub(super) struct Flush {
    epoch: u64,
    deadline: Instant,
    reply: Reply,
}

pub(super) struct Shutdown {
    deadline: Instant,
    leave: bool,
    replies: Vec<Reply>,
}

/// Longest wait that is kept: callers may ask for [`Duration::MAX`], which no clock can tell.
const LONGEST_WAIT: Duration = Duration::from_secs(100 * 365 * 86_400);

fn deadline_of(now: Instant, timeout: Duration) -> Instant {
    now.checked_add(timeout.min(LONGEST_WAIT)).unwrap_or(now)
}

impl Worker {
    pub(super) fn obey(&mut self, control: Option<Control>) {
        let now = Instant::now();
        self.read_log(now);
        let moment = self.moment(now);
        match control {
            Some(Control::Flush { timeout, reply }) => {
                let epoch = self.engine.end_epoch();
                self.flushes.push(Flush { epoch, deadline: deadline_of(now, timeout), reply });
                self.engine.hurry(true, moment);
            }
            Some(Control::Shutdown { timeout, leave, reply }) => {
                self.engine.hurry(true, moment);
                let deadline = deadline_of(now, timeout);
                match &mut self.shutdown {
                    Some(shutdown) => {
                        shutdown.deadline = shutdown.deadline.min(deadline);
                        shutdown.leave |= leave;
                        shutdown.replies.push(reply);
                    }
                    None => self.shutdown = Some(Shutdown { deadline, leave, replies: vec![reply] }),
                }
            }
            // `read_log` above did, and the round that follows goes on.
            Some(Control::Attend) => {}
            // Every handle is gone and nobody asked for a shutdown.
            None => {
                self.shutdown.get_or_insert(Shutdown { deadline: now, leave: true, replies: Vec::new() });
            }
        }
    }

    pub(super) fn answer_flushes(&mut self, now: Instant) {
        if self.flushes.is_empty() {
            return;
        }
        for flush in std::mem::take(&mut self.flushes) {
            let done = self.engine.is_done(flush.epoch);
            if done || flush.deadline <= now {
                self.publish();
                let report = self.counters.report(!done);
                (flush.reply)(report);
            } else {
                self.flushes.push(flush);
            }
        }
        if self.flushes.is_empty() && self.shutdown.is_none() {
            let moment = self.moment(now);
            self.engine.hurry(false, moment);
        }
    }

    pub(super) fn may_end(&self, now: Instant) -> bool {
        let Some(shutdown) = &self.shutdown else { return false };
        if self.engine.is_idle() || shutdown.deadline <= now {
            return true;
        }
        // What waits is safe in the spool, and nobody answers: no reason to hold up the exit.
        let hopeless = |lane: &Lane| {
            lane.counts().pending == 0 || (lane.health() != Health::Up && lane.in_flight() == 0)
        };
        shutdown.leave && self.consumer.log().stats().spooling && self.engine.lanes().iter().all(hopeless)
    }

    /// Closes the log and says what became of everything.
    pub(super) fn end(mut self) {
        let now = Instant::now();
        self.read_log(now);
        let timed_out = !self.engine.is_idle();
        for (_, under_way) in self.under_way.drain() {
            under_way.abort.abort();
        }
        if timed_out {
            let remaining = self.engine.lanes().iter().map(|lane| lane.counts().pending).sum();
            self.metrics.shutdown_timed_out(remaining);
        }
        let spooling = self.consumer.log().stats().spooling;
        if !spooling {
            self.engine.abandon(DropReason::ShutdownTimeout);
        }
        self.publish();
        let closed = self.consumer.close();
        self.counters.close(spooling, closed.lost_records);
        for notice in &closed.notices {
            handle::say(notice);
        }
        let report = self.counters.report(timed_out);
        // With a spool only the closing log gives spans up: those that it could not write. No lane knows of them.
        for account in report.accounts.iter().filter(|_| spooling) {
            let lost = account.dropped.of(DropReason::ShutdownTimeout);
            if lost > 0 {
                self.metrics.dropped(&account.destination, DropReason::ShutdownTimeout.as_str(), lost);
            }
        }
        if report.dropped_for(DropReason::ShutdownTimeout) > 0 {
            aloud(
                || tracing::warn!(%report, "endspan could not deliver everything before its shutdown timeout"),
            );
        }
        let replies = self.shutdown.take().map(|shutdown| shutdown.replies).unwrap_or_default();
        for reply in replies.into_iter().chain(self.flushes.drain(..).map(|flush| flush.reply)) {
            reply(report.clone());
        }
        // Callers that asked while this thread was ending.
        while let Ok(control) = self.arriving.control.try_recv() {
            if let Control::Flush { reply, .. } | Control::Shutdown { reply, .. } = control {
                reply(report.clone());
            }
        }
    }
}
