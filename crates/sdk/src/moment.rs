use std::ops::Add;
use std::time::Duration;

/// A point on the pipeline's own clock: microseconds since the pipeline began.
///
/// Lanes and the engine never read a clock; they are told the time. Production feeds them a monotonic clock,
/// the simulation a virtual one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The beginning.
    pub const ZERO: Self = Self(0);
    /// Later than every other moment.
    pub const NEVER: Self = Self(u64::MAX);

    /// Returns the moment this many microseconds after the beginning.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Returns the microseconds since the beginning.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Returns the time from `earlier` to this moment, zero if it is not earlier.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }
}
