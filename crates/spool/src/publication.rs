//! The hand-made lock-free steps: how a record becomes visible, and how a place is taken and given back.
//!
//! Both act on words that they are given, so that the tests below can hand them words whose every interleaving they try.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, compiler_fence};

use crate::format::{PUBLISHED, RESERVED};

/// A word that threads share.
pub(crate) trait Word<T> {
    fn load(&self, ordering: Ordering) -> T;
    fn store(&self, value: T, ordering: Ordering);
    fn fetch_or(&self, bits: T, ordering: Ordering) -> T;
    fn fetch_and(&self, bits: T, ordering: Ordering) -> T;
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
            fn fetch_or(&self, bits: $integer, ordering: Ordering) -> $integer {
                self.fetch_or(bits, ordering)
            }

            #[inline]
            fn fetch_and(&self, bits: $integer, ordering: Ordering) -> $integer {
                self.fetch_and(bits, ordering)
            }
        }
    };
}

word!(AtomicU32, u32);
word!(AtomicU64, u64);

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

/// Takes a bit that is not set, and with it what belongs to it.
#[inline]
pub(crate) fn take_bit(word: &impl Word<u64>) -> Option<u32> {
    let mut seen = word.load(Ordering::Relaxed);
    while seen != u64::MAX {
        let bit = seen.trailing_ones();
        seen = word.fetch_or(1 << bit, Ordering::Acquire);
        if seen & 1 << bit == 0 {
            return Some(bit);
        }
    }
    None
}

/// Gives a bit back that [`take_bit`] returned. What was done with what belongs to it comes before whoever takes it next.
#[inline]
pub(crate) fn give_bit(word: &impl Word<u64>, bit: u32) {
    word.fetch_and(!(1 << bit), Ordering::Release);
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
    word!(loom::sync::atomic::AtomicU64, u64);

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
                            Word::fetch_or(&place.marks, mark, Ordering::AcqRel);
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
        for free in [0b1, 0b11] {
            loom::model(move || {
                let word = Arc::new(loom::sync::atomic::AtomicU64::new(!free));
                let places = Arc::new([UnsafeCell::new(0_u32), UnsafeCell::new(0_u32)]);
                let work = |word: &loom::sync::atomic::AtomicU64, places: &[UnsafeCell<u32>; 2]| {
                    let Some(bit) = take_bit(word) else { return 0 };
                    // SAFETY: the place is this thread's while it has the bit; loom fails the test otherwise.
                    places[bit as usize].with_mut(|place| unsafe { *place += 1 });
                    give_bit(word, bit);
                    1
                };
                let other = {
                    let (word, places) = (Arc::clone(&word), Arc::clone(&places));
                    thread::spawn(move || work(&word, &places))
                };
                let done = work(&word, &places) + other.join().unwrap();
                // SAFETY: the other thread has ended.
                let total: u32 = places.iter().map(|place| place.with(|place| unsafe { *place })).sum();
                assert_eq!(total, done);
                assert_eq!(Word::load(&*word, Ordering::Acquire), !free);
            });
        }
    }
}
