//! The hand-made steps: how a record becomes visible, how a place is taken and given back, and the writer's lock.
//!
//! They act on words that they are given, so that the tests below can hand them words whose every interleaving they try.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, compiler_fence};

use crate::format::{PUBLISHED, RESERVED};

/// A word that threads share.
pub(crate) trait Word<T> {
    fn load(&self, ordering: Ordering) -> T;
    fn store(&self, value: T, ordering: Ordering);
    fn swap(&self, value: T, ordering: Ordering) -> T;
}

macro_rules! word {
    ($atomic:ty, $integer:ty) => {
        impl Word<$integer> for $atomic {
            #[inline]
            fn load(&self, ordering: Ordering) -> $integer {
                self.load(ordering)
            }

            #[inline]
            fn store(&self, value: $integer, ordering: Ordering) {
                self.store(value, ordering);
            }

            #[inline]
            fn swap(&self, value: $integer, ordering: Ordering) -> $integer {
                self.swap(value, ordering)
            }
        }
    };
}

word!(AtomicU32, u32);
word!(AtomicBool, bool);

/// Makes a record visible whose length word this is; `write` puts everything else in place.
///
/// Killed before the last store, the process leaves a record that is recognised as torn and stepped over by its length.
#[inline]
pub(crate) fn publish(length: &impl Word<u32>, payload_bytes: u32, write: impl FnOnce()) {
    length.store((RESERVED | payload_bytes).to_le(), Ordering::Relaxed);
    // For what a kill leaves, the order of the program is that of the memory.
    compiler_fence(Ordering::Release);
    write();
    length.store((PUBLISHED | payload_bytes).to_le(), Ordering::Release);
}

/// Reads a length word. If it says *published*, everything that [`publish`] wrote is there.
#[inline]
pub(crate) fn look(length: &impl Word<u32>) -> u32 {
    u32::from_le(length.load(Ordering::Acquire))
}

/// Takes what a word stands for, if nobody has it.
#[inline]
pub(crate) fn take(taken: &impl Word<bool>) -> bool {
    !taken.load(Ordering::Relaxed) && !taken.swap(true, Ordering::Acquire)
}

/// Gives back what [`take`] took. What was done with it comes before whatever its next owner does.
#[inline]
pub(crate) fn give(taken: &impl Word<bool>) {
    taken.store(false, Ordering::Release);
}

#[cfg(test)]
#[allow(unsafe_code, reason = "what loom watches are raw pointers")]
mod tests {
    use std::sync::atomic::Ordering;

    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    word!(loom::sync::atomic::AtomicU32, u32);
    word!(loom::sync::atomic::AtomicBool, bool);

    struct Place {
        length: loom::sync::atomic::AtomicU32,
        marks: loom::sync::atomic::AtomicU32,
        payload: UnsafeCell<u64>,
    }

    #[test]
    fn whoever_sees_a_record_published_sees_all_of_it() {
        loom::model(|| {
            let place = Arc::new(Place {
                length: loom::sync::atomic::AtomicU32::new(0),
                marks: loom::sync::atomic::AtomicU32::new(0),
                payload: UnsafeCell::new(0),
            });
            let readers: Vec<_> = [1, 2]
                .map(|mark| {
                    let place = Arc::clone(&place);
                    thread::spawn(move || {
                        if look(&place.length) == PUBLISHED | 8 {
                            place.payload.with(|payload| {
                                // SAFETY: published, hence not written any more; loom fails the test otherwise.
                                assert_eq!(unsafe { *payload }, 7);
                            });
                            place.marks.fetch_or(mark, Ordering::AcqRel);
                            mark
                        } else {
                            0
                        }
                    })
                })
                .into_iter()
                .collect();
            publish(&place.length, 8, || {
                // SAFETY: nobody reads before the record is published; loom fails the test otherwise.
                place.payload.with_mut(|payload| unsafe { *payload = 7 });
            });
            let marked = readers.into_iter().fold(0, |marks, reader| marks | reader.join().unwrap());
            assert_eq!(Word::load(&place.marks, Ordering::Acquire), marked);
        });
    }

    #[test]
    fn a_place_belongs_to_one_thread_at_a_time() {
        loom::model(|| {
            let shared = Arc::new((loom::sync::atomic::AtomicBool::new(false), UnsafeCell::new(0_u32)));
            let work = |(word, place): &(loom::sync::atomic::AtomicBool, UnsafeCell<u32>)| {
                if !take(word) {
                    return 0;
                }
                // SAFETY: the place is this thread's until it is given back; loom fails the test otherwise.
                place.with_mut(|place| unsafe { *place += 1 });
                give(word);
                1
            };
            let other = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || work(&shared))
            };
            let done = work(&shared) + other.join().unwrap();
            assert!(done >= 1);
            // SAFETY: the other thread has ended.
            assert_eq!(shared.1.with(|place| unsafe { *place }), done);
        });
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let word = AtomicBool::new(false);
        for _ in 0..2 {
            assert!(take(&word));
            assert!(!take(&word));
            give(&word);
        }
    }
}
