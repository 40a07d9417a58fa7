#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};
use std::time::{Duration, Instant};

use endspan_model::Timestamp;

/// An older anchor is not trusted: endspan's thread is stuck, or the machine slept.
const MAX_AGE: Duration = Duration::from_millis(200);
/// How long the counter is compared with the system's clock before its rate is believed.
const FIRST_BASELINE: Duration = Duration::from_millis(20);
/// How long the comparison goes on once there is an anchor.
const BASELINE: Duration = Duration::from_secs(1);
/// A reading that took longer was interrupted.
const MAX_READING_TICKS: u64 = 1 << 14;
/// What the system says of its clock when that is the counter.
const CLOCK_SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

static CLOCK: Clock = Clock::new();

#[inline]
pub(super) fn now() -> Option<Timestamp> {
    let anchor = CLOCK.anchor.read()?;
    anchor.at(ticks())
}

pub(super) fn refresh() {
    CLOCK.refresh(endspan_spool::fork_generation(), || {
        std::fs::read_to_string(CLOCK_SOURCE).is_ok_and(|source| source.trim() == "tsc")
    });
}

#[inline]
fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has this instruction, and Linux lets programs use it where the counter is its clock.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// The system's time of day at a reading of the counter, and the counter's rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Anchor {
    ticks: u64,
    unix_nanos: u64,
    /// Nanoseconds of a tick, times 2^32.
    rate: u64,
    /// Ticks of [`MAX_AGE`].
    max_age_ticks: u64,
}

impl Anchor {
    fn new(ticks: u64, unix_nanos: u64, rate: u64) -> Option<Self> {
        // Counters of 0.1 to 16 GHz.
        if !(1 << 28..10 << 32).contains(&rate) {
            return None;
        }
        let max_age_ticks = u64::try_from((MAX_AGE.as_nanos() << 32) / u128::from(rate)).ok()?;
        Some(Self { ticks, unix_nanos, rate, max_age_ticks })
    }

    /// Returns the time at a reading of the counter; `None` if the anchor is too old for it, or younger.
    #[inline]
    fn at(&self, ticks: u64) -> Option<Timestamp> {
        let age = ticks.wrapping_sub(self.ticks);
        if age > self.max_age_ticks {
            return None;
        }
        // At most 200 ms, so that the product fits.
        let nanos = self.unix_nanos.checked_add((age * self.rate) >> 32)?;
        Timestamp::from_parts((nanos / 1000) as i64, (nanos % 1000) as u16)
    }
}

/// The anchor behind a sequence lock: readers never wait, and look again at the system if a writer was at it.
struct Clock {
    anchor: Guarded<AtomicU64>,
    /// The process that writes just now, by its fork generation; 0 for none.
    writer: AtomicU64,
    usable: AtomicU8,
    /// Counter and monotonic time that the rate is measured from, and those that it is measured from next.
    base: [AtomicU64; 2],
    next_base: [AtomicU64; 2],
}

/// A word that threads share. (Tests have one whose every interleaving they try.)
trait Word {
    fn load(&self, ordering: Ordering) -> u64;
    fn store(&self, value: u64, ordering: Ordering);
    fn fence(ordering: Ordering);
}

impl Word for AtomicU64 {
    #[inline]
    fn load(&self, ordering: Ordering) -> u64 {
        self.load(ordering)
    }

    #[inline]
    fn store(&self, value: u64, ordering: Ordering) {
        self.store(value, ordering);
    }

    #[inline]
    fn fence(ordering: Ordering) {
        fence(ordering);
    }
}

/// An anchor that one thread changes while others read it.
struct Guarded<W> {
    /// Odd while the anchor changes, 0 while there is none.
    sequence: W,
    ticks: W,
    unix_nanos: W,
    rate: W,
    max_age_ticks: W,
}

impl<W: Word> Guarded<W> {
    /// Returns the anchor, if there is one and nobody changes it just now.
    #[inline]
    fn read(&self) -> Option<Anchor> {
        let before = self.sequence.load(Ordering::Acquire);
        if before == 0 || before & 1 == 1 {
            return None;
        }
        let anchor = Anchor {
            ticks: self.ticks.load(Ordering::Relaxed),
            unix_nanos: self.unix_nanos.load(Ordering::Relaxed),
            rate: self.rate.load(Ordering::Relaxed),
            max_age_ticks: self.max_age_ticks.load(Ordering::Relaxed),
        };
        W::fence(Ordering::Acquire);
        (self.sequence.load(Ordering::Relaxed) == before).then_some(anchor)
    }

    /// Changes the anchor. Called by one thread at a time.
    fn write(&self, anchor: &Anchor) {
        // Never back to a number that a slow reader may have seen.
        let sequence = (self.sequence.load(Ordering::Relaxed) | 1) + 1;
        self.sequence.store(sequence - 1, Ordering::Relaxed);
        W::fence(Ordering::Release);
        self.ticks.store(anchor.ticks, Ordering::Relaxed);
        self.unix_nanos.store(anchor.unix_nanos, Ordering::Relaxed);
        self.rate.store(anchor.rate, Ordering::Relaxed);
        self.max_age_ticks.store(anchor.max_age_ticks, Ordering::Relaxed);
        self.sequence.store(sequence, Ordering::Release);
    }

    /// Takes the anchor away until the next write.
    fn clear(&self) {
        let sequence = self.sequence.load(Ordering::Relaxed) | 1;
        self.sequence.store(sequence, Ordering::Release);
    }
}

const UNKNOWN: u8 = 0;
const USABLE: u8 = 1;
const UNUSABLE: u8 = 2;

impl Clock {
    const fn new() -> Self {
        Self {
            anchor: Guarded {
                sequence: AtomicU64::new(0),
                ticks: AtomicU64::new(0),
                unix_nanos: AtomicU64::new(0),
                rate: AtomicU64::new(0),
                max_age_ticks: AtomicU64::new(0),
            },
            writer: AtomicU64::new(0),
            usable: AtomicU8::new(UNKNOWN),
            base: [const { AtomicU64::new(0) }; 2],
            next_base: [const { AtomicU64::new(0) }; 2],
        }
    }

    fn refresh(&self, generation: u64, is_usable: impl FnOnce() -> bool) {
        if self.usable.load(Ordering::Relaxed) == UNUSABLE {
            return;
        }
        // A forked child may find its parent at it, for ever.
        let writer = self.writer.load(Ordering::Relaxed);
        if writer == generation
            || self.writer.compare_exchange(writer, generation, Ordering::Acquire, Ordering::Relaxed).is_err()
        {
            return;
        }
        if self.usable.load(Ordering::Relaxed) == UNKNOWN {
            self.usable.store(if is_usable() { USABLE } else { UNUSABLE }, Ordering::Relaxed);
        }
        if self.usable.load(Ordering::Relaxed) == USABLE
            && let Some(reading) = Reading::take()
        {
            self.learn(&reading);
        }
        self.writer.store(0, Ordering::Release);
    }

    /// Takes a reading in. Called by one thread at a time.
    fn learn(&self, reading: &Reading) {
        let load = |pair: &[AtomicU64; 2]| pair.each_ref().map(|word| word.load(Ordering::Relaxed));
        let store = |pair: &[AtomicU64; 2], value: [u64; 2]| {
            for (word, value) in pair.iter().zip(value) {
                word.store(value, Ordering::Relaxed);
            }
        };
        let here = [reading.monotonic_ticks, reading.monotonic_nanos];
        let [base_ticks, base_nanos] = load(&self.base);
        let [_, next_nanos] = load(&self.next_base);
        if base_ticks == 0 || here[0] <= base_ticks || here[1] <= base_nanos {
            store(&self.base, here);
            store(&self.next_base, here);
            self.anchor.clear();
            return;
        }
        let (ticks, nanos) = (here[0] - base_ticks, here[1] - base_nanos);
        if u128::from(nanos) < FIRST_BASELINE.as_nanos() {
            return;
        }
        let rate = u64::try_from((u128::from(nanos) << 32) / u128::from(ticks)).unwrap_or(u64::MAX);
        match Anchor::new(reading.ticks, reading.unix_nanos, rate) {
            Some(anchor) => self.anchor.write(&anchor),
            None => self.anchor.clear(),
        }
        if u128::from(here[1].saturating_sub(next_nanos)) >= BASELINE.as_nanos() {
            store(&self.base, load(&self.next_base));
            store(&self.next_base, here);
        }
    }
}

/// The counter and the system's clocks at one moment.
struct Reading {
    ticks: u64,
    unix_nanos: u64,
    monotonic_ticks: u64,
    monotonic_nanos: u64,
}

impl Reading {
    /// `None` if the thread was interrupted meanwhile.
    fn take() -> Option<Self> {
        static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        let began = *BEGAN.get_or_init(|| Instant::now() - Duration::from_nanos(1));
        let first = ticks();
        let unix = std::time::SystemTime::now();
        let second = ticks();
        let monotonic = Instant::now();
        let third = ticks();
        if third.checked_sub(first)? > MAX_READING_TICKS {
            return None;
        }
        let unix = unix.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(Self {
            ticks: first + (second - first) / 2,
            unix_nanos: u64::try_from(unix.as_nanos()).ok()?,
            monotonic_ticks: second + (third - second) / 2,
            monotonic_nanos: u64::try_from(monotonic.saturating_duration_since(began).as_nanos()).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2.5 GHz.
    const RATE: u64 = (2 << 32) / 5;
    const BEGAN: u64 = 1_700_000_000_000_000_000;

    fn reading(millis: u64) -> Reading {
        Reading {
            ticks: 1_000 + millis * 2_500_000,
            unix_nanos: BEGAN + millis * 1_000_000,
            monotonic_ticks: 1_000 + millis * 2_500_000,
            monotonic_nanos: 1 + millis * 1_000_000,
        }
    }

    #[test]
    fn an_anchor_tells_the_time_for_a_while() {
        let anchor = Anchor::new(1_000, BEGAN, RATE).unwrap();
        let nanos = |ticks| anchor.at(ticks).map(|now| now.unix_nanos() - i128::from(BEGAN));
        assert_eq!(nanos(1_000), Some(0));
        assert!((499..=500).contains(&nanos(1_000 + 1_250).unwrap()));
        assert!((100_000_000 - 1..=100_000_000).contains(&nanos(1_000 + 250_000_000).unwrap()));
        assert_eq!(nanos(1_000 + 510_000_000), None, "too old");
        assert_eq!(nanos(999), None, "younger than the reading");
        for rate in [0, 1, u64::MAX] {
            assert_eq!(Anchor::new(1_000, BEGAN, rate), None, "{rate}");
        }
    }

    #[test]
    fn the_rate_is_learnt_and_steps_of_the_clock_are_followed() {
        let clock = Clock::new();
        clock.learn(&reading(0));
        clock.learn(&reading(10));
        assert_eq!(clock.anchor.read(), None, "too early to tell");
        clock.learn(&reading(30));
        let anchor = clock.anchor.read().unwrap();
        assert!(anchor.rate.abs_diff(RATE) < 10, "{anchor:?}");
        assert_eq!(anchor.unix_nanos, BEGAN + 30_000_000);
        let stepped = Reading { unix_nanos: BEGAN - 1, ..reading(40) };
        clock.learn(&stepped);
        let anchor = clock.anchor.read().unwrap();
        assert_eq!(anchor.unix_nanos, BEGAN - 1);
        assert!(anchor.rate.abs_diff(RATE) < 10, "the time of day has no say in it: {anchor:?}");
        for second in 1..10 {
            clock.learn(&reading(second * 1000));
            assert!(clock.anchor.read().unwrap().rate.abs_diff(RATE) < 10);
        }
        clock.learn(&reading(0));
        assert_eq!(clock.anchor.read(), None, "the counter was set back");
    }

    #[test]
    fn a_writer_at_work_is_not_waited_for() {
        let clock = Clock::new();
        for millis in [0, 30] {
            clock.learn(&reading(millis));
        }
        clock.anchor.clear();
        assert_eq!(clock.anchor.read(), None);
        // A child that inherits this state mends it.
        clock.writer.store(1, Ordering::Relaxed);
        clock.refresh(2, || true);
        assert_eq!(clock.writer.load(Ordering::Relaxed), 0);
        clock.refresh(2, || unreachable!("asked once"));
    }

    #[test]
    fn where_the_system_has_another_clock_nothing_is_learnt() {
        let clock = Clock::new();
        for _ in 0..3 {
            clock.refresh(1, || false);
        }
        assert_eq!(clock.usable.load(Ordering::Relaxed), UNUSABLE);
        assert_eq!(clock.anchor.read(), None);
    }

    #[test]
    fn it_agrees_with_the_system() {
        let began = Instant::now();
        let mut compared = 0;
        while began.elapsed() < Duration::from_millis(60) {
            refresh();
            let before = Timestamp::now();
            let between = now();
            let after = Timestamp::now();
            if let Some(between) = between {
                compared += 1;
                assert!(before.nanos_since(between) < 100_000, "{before:?} {between:?}");
                assert!(between.nanos_since(after) < 100_000, "{between:?} {after:?}");
            }
        }
        let usable = CLOCK.usable.load(Ordering::Relaxed) == USABLE;
        assert!(!usable || compared > 0 || CLOCK.anchor.read().is_none());
    }

    impl Word for loom::sync::atomic::AtomicU64 {
        fn load(&self, ordering: Ordering) -> u64 {
            self.load(ordering)
        }

        fn store(&self, value: u64, ordering: Ordering) {
            self.store(value, ordering);
        }

        fn fence(ordering: Ordering) {
            loom::sync::atomic::fence(ordering);
        }
    }

    #[test]
    fn readers_never_see_half_of_one_anchor_and_half_of_another() {
        loom::model(|| {
            let word = || loom::sync::atomic::AtomicU64::new(0);
            let guarded = loom::sync::Arc::new(Guarded {
                sequence: word(),
                ticks: word(),
                unix_nanos: word(),
                rate: word(),
                max_age_ticks: word(),
            });
            let anchor =
                |number| Anchor { ticks: number, unix_nanos: number, rate: number, max_age_ticks: number };
            guarded.write(&anchor(1));
            let reader = loom::thread::spawn({
                let guarded = loom::sync::Arc::clone(&guarded);
                move || guarded.read()
            });
            guarded.write(&anchor(2));
            let seen = reader.join().unwrap();
            assert!(seen.is_none_or(|seen| seen == anchor(1) || seen == anchor(2)), "{seen:?}");
            assert_eq!(guarded.read(), Some(anchor(2)));
        });
    }
}
