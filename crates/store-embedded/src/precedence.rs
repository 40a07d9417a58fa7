//! Lets reads go first where there are not cores enough for everybody.
//!
//! Somebody waits for a page; whoever writes spans mostly does something else meanwhile. So the threads that write and tidy up
//! pause for a moment when a read waits or runs and the cores are taken. They may pause for a bounded share of
//! the time only, so that readers who never stop make writes slower and never stop them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

/// Threads that are busy while spans come in: the writer, and the one that compacts and makes filters.
const BUSY_THREADS: usize = 2;
/// Longest time that a thread saves up for pauses.
const MAX_SAVED: Duration = Duration::from_millis(100);

/// Who knows how many reads wait or run.
#[derive(Debug)]
pub(crate) struct Precedence {
    reads: AtomicUsize,
    /// Reads from which on there are too few cores.
    crowded_from: usize,
    pausing: Mutex<usize>,
    fewer: Condvar,
}

/// A read that waits or runs.
pub(crate) struct Turn(Arc<Precedence>);

impl Precedence {
    /// For a machine with so many cores.
    pub(crate) fn new(cores: usize) -> Self {
        Self {
            reads: AtomicUsize::new(0),
            crowded_from: (cores + 1).saturating_sub(BUSY_THREADS).max(1),
            pausing: Mutex::new(0),
            fewer: Condvar::new(),
        }
    }

    /// Announces a read.
    pub(crate) fn enter(self: &Arc<Self>) -> Turn {
        self.reads.fetch_add(1, Ordering::SeqCst);
        Turn(self.clone())
    }

    fn is_crowded(&self) -> bool {
        self.reads.load(Ordering::SeqCst) >= self.crowded_from
    }

    fn pause(&self, longest: Duration) {
        let until = Instant::now() + longest;
        let mut pausing = self.pausing.lock();
        *pausing += 1;
        while self.is_crowded() && !self.fewer.wait_until(&mut pausing, until).timed_out() {}
        *pausing -= 1;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.reads.fetch_sub(1, Ordering::SeqCst);
        // Whoever is about to pause holds the lock from before it looks until it waits.
        if *self.0.pausing.lock() > 0 {
            self.0.fewer.notify_all();
        }
    }
}

/// What a thread has saved up to give way with.
#[derive(Debug)]
pub(crate) struct Patience {
    /// Time that passes for one part of pauses.
    parts: u32,
    saved: Duration,
    counted: Instant,
}

impl Patience {
    /// Pauses for one part in so many of the time at most.
    pub(crate) fn one_in(parts: u32) -> Self {
        Self { parts: parts.max(1), saved: MAX_SAVED, counted: Instant::now() }
    }

    /// Pauses while reads need the cores and patience lasts. Returns how long that was. Must not be called while a reader may wait
    /// for what the caller holds.
    pub(crate) fn give_way(&mut self, precedence: &Precedence) -> Duration {
        if !precedence.is_crowded() {
            return Duration::ZERO;
        }
        let now = Instant::now();
        self.saved = (self.saved + (now - self.counted) / self.parts).min(MAX_SAVED);
        self.counted = now;
        if self.saved.is_zero() {
            return Duration::ZERO;
        }
        precedence.pause(self.saved);
        let paused = now.elapsed();
        self.saved = self.saved.saturating_sub(paused);
        paused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOR_EVER: Duration = Duration::from_secs(3600);

    fn patience(saved: Duration) -> Patience {
        Patience { saved, ..Patience::one_in(4) }
    }

    #[test]
    fn cores_for_everybody_are_not_crowded() {
        for (cores, crowded_from) in [(0, 1), (1, 1), (2, 1), (3, 2), (8, 7)] {
            let precedence = Arc::new(Precedence::new(cores));
            let mut turns: Vec<Turn> = (1..crowded_from).map(|_| precedence.enter()).collect();
            assert_eq!(patience(FOR_EVER).give_way(&precedence), Duration::ZERO, "{cores} cores");
            turns.push(precedence.enter());
            assert!(precedence.is_crowded(), "{cores} cores");
            drop(turns);
            assert!(!precedence.is_crowded(), "{cores} cores");
        }
    }

    #[test]
    fn whoever_gives_way_goes_on_when_the_last_read_is_done() {
        let precedence = Arc::new(Precedence::new(2));
        let (first, second) = (precedence.enter(), precedence.enter());
        std::thread::scope(|scope| {
            let pausing = scope.spawn(|| precedence.pause(FOR_EVER));
            while *precedence.pausing.lock() == 0 {
                std::thread::yield_now();
            }
            drop(first);
            assert_eq!(*precedence.pausing.lock(), 1, "one read is left");
            drop(second);
            pausing.join().unwrap();
        });
    }

    #[test]
    fn patience_ends_and_comes_back_with_time() {
        let precedence = Arc::new(Precedence::new(2));
        let _read = precedence.enter();
        let mut patience = patience(Duration::from_millis(1));
        assert!(patience.give_way(&precedence) >= Duration::from_millis(1));
        // The pause lasts at least as long as what was saved.
        assert_eq!(patience.saved, Duration::ZERO);
        patience.counted = Instant::now() - 4 * Duration::from_millis(2);
        assert!(patience.give_way(&precedence) >= Duration::from_millis(2));
        patience.counted = Instant::now() - 10 * MAX_SAVED;
        assert!(patience.give_way(&precedence) >= MAX_SAVED);
        assert_eq!(patience.saved, Duration::ZERO);
    }
}
