//! Wall clocks.

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns nanoseconds since 1970 UTC.
pub(crate) fn unix_nanos() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
}

/// Returns nanoseconds since 1970 UTC as of the last timer tick: a few milliseconds coarse, a few nanoseconds cheap.
#[inline]
pub(crate) fn coarse_unix_nanos() -> u64 {
    #[cfg(target_os = "linux")]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        u64::try_from(time.tv_sec)
            .unwrap_or(0)
            .wrapping_mul(1_000_000_000)
            .wrapping_add(u64::try_from(time.tv_nsec).unwrap_or(0))
    }
    #[cfg(not(target_os = "linux"))]
    unix_nanos()
}
