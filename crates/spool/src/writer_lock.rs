//! The lock around the writer's state, for sections of some ten nanoseconds.
//!
//! A mutex that can put its waiters to sleep has to look for them when it is given back, which takes a second locked
//! instruction, a third of an append's time when profiled. This one is given back by a plain store; who waits looks again, then lets
//! others run, and in the end sleeps for moments.
#![allow(unsafe_code)]

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use parking_lot::lock_api;

use crate::publication::{give, take};

/// How often a producer looks for the lock before it lets others run: a few microseconds.
const SPINS: u32 = 100;
/// After how many looks it sleeps instead of only letting others run.
const LOOKS: u32 = 200;
/// How long it sleeps at a time: the owner was put aside by the system.
const NAP: Duration = Duration::from_micros(50);

/// A mutex whose owner gives it back without looking for who waits.
pub(crate) type WriterLock<T> = lock_api::Mutex<RawWriterLock, T>;

/// The word behind a [`WriterLock`].
#[derive(Debug)]
pub(crate) struct RawWriterLock {
    taken: AtomicBool,
}

// SAFETY: `take` says yes to one caller at a time (loom tries it in `publication`), until that one calls `give`.
unsafe impl lock_api::RawMutex for RawWriterLock {
    const INIT: Self = Self { taken: AtomicBool::new(false) };

    type GuardMarker = lock_api::GuardSend;

    #[inline]
    fn lock(&self) {
        if !take(&self.taken) {
            self.wait();
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        take(&self.taken)
    }

    #[inline]
    unsafe fn unlock(&self) {
        give(&self.taken);
    }
}

impl RawWriterLock {
    #[cold]
    fn wait(&self) {
        let mut turns = 0;
        while !take(&self.taken) {
            match turns {
                0..SPINS => std::hint::spin_loop(),
                SPINS..LOOKS => std::thread::yield_now(),
                _ => std::thread::sleep(NAP),
            }
            turns = turns.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_threads_count_right() {
        let lock = WriterLock::new(0_u64);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        *lock.lock() += 1;
                    }
                });
            }
            let held = lock.lock();
            // Long enough for the others to fall asleep.
            std::thread::sleep(Duration::from_millis(5));
            drop(held);
        });
        assert_eq!(*lock.lock(), 40_000);
    }
}
