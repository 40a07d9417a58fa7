//! The time of day on the hot path.
//!
//! A span reads the clock twice, and asking the system costs 22 ns each time. Where the system's own clock is the
//! processor's time stamp counter, reading that counter and adding to an *anchor* gives the same answer for less than half. An
//! anchor is a pair of counter and time of day that endspan's thread reads from the system every millisecond to fifty, so that
//! steps and drift of the system's clock are followed. Without a fresh anchor, the system is asked.

use endspan_model::Timestamp;

/// Returns the present moment.
#[inline]
pub(crate) fn now() -> Timestamp {
    #[cfg(all(target_arch = "x86_64", target_os = "linux", not(miri)))]
    if let Some(now) = counter::now() {
        return now;
    }
    Timestamp::now()
}

/// Looks at the system's clock. For endspan's thread; cheap enough for every tick.
pub(crate) fn refresh() {
    #[cfg(all(target_arch = "x86_64", target_os = "linux", not(miri)))]
    counter::refresh();
}

#[cfg(all(target_arch = "x86_64", target_os = "linux", not(miri)))]
mod counter;
