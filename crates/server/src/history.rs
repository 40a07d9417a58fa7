//! How many spans came when: the last hour in steps, for a reader who opens the page now.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Length of a step.
pub(crate) const STEP_SECONDS: u64 = 5;
const STEPS: usize = 720;

/// What came in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) received: u64,
    pub(crate) rejected: u64,
}

/// A ring of steps.
#[derive(Debug)]
pub(crate) struct History {
    started: Instant,
    ring: Mutex<Ring>,
}

#[derive(Debug)]
struct Ring {
    steps: Vec<Step>,
    /// The number of the newest step, counted from the start.
    newest: u64,
}

impl History {
    pub(crate) fn new() -> Self {
        let ring = Ring { steps: vec![Step::default(); STEPS], newest: 0 };
        Self { started: Instant::now(), ring: Mutex::new(ring) }
    }

    /// Counts spans in the step of now.
    pub(crate) fn count(&self, received: u64, rejected: u64) {
        self.at(self.now(), |ring| {
            if let Some(step) = ring.steps.get_mut(ring.newest as usize % STEPS) {
                step.received += received;
                step.rejected += rejected;
            }
        });
    }

    /// Returns the steps since the start, at most those of the last hour, oldest first; the last one is still running.
    pub(crate) fn read(&self) -> Vec<Step> {
        self.at(self.now(), |ring| ring.read())
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_secs() / STEP_SECONDS
    }

    fn at<T>(&self, now: u64, work: impl FnOnce(&mut Ring) -> T) -> T {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.advance(now);
        work(&mut ring)
    }
}

impl Ring {
    /// Empties the steps between the newest and now, which another thread may have done already.
    fn advance(&mut self, now: u64) {
        for number in (self.newest + 1..=now).rev().take(STEPS) {
            if let Some(step) = self.steps.get_mut(number as usize % STEPS) {
                *step = Step::default();
            }
        }
        self.newest = self.newest.max(now);
    }

    fn read(&self) -> Vec<Step> {
        let first = (self.newest + 1).saturating_sub(STEPS as u64);
        (first..=self.newest).filter_map(|number| self.steps.get(number as usize % STEPS).copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_kept_for_an_hour_and_silence_is_zero() {
        let history = History::new();
        let count = |now: u64| {
            history.at(now, |ring| ring.steps[ring.newest as usize % STEPS].received += now + 1);
        };
        count(0);
        count(3);
        count(2);
        let received = |now: u64| -> Vec<u64> {
            history.at(now, |ring| ring.read()).iter().map(|step| step.received).collect()
        };
        assert_eq!(received(4), [1, 0, 0, 7, 0], "what comes late counts in the newest step");
        assert_eq!(received(720).len(), STEPS);
        assert_eq!(received(720)[2], 7);
        assert_eq!(received(5000), vec![0; STEPS]);
    }

    #[test]
    fn what_came_is_counted() {
        let history = History::new();
        history.count(3, 0);
        history.count(0, 2);
        let steps = history.read();
        let sum = |of: fn(&Step) -> u64| steps.iter().map(of).sum::<u64>();
        assert_eq!((sum(|step| step.received), sum(|step| step.rejected)), (3, 2));
    }
}
