use std::time::Duration;

use crate::lane::LaneConfig;
use crate::moment::Moment;

/// Failures in a row, with no success between them, after which a destination counts as down.
const OPEN_AFTER_FAILURES: u32 = 3;

/// How a destination is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It answers.
    Up,
    /// It fails or cannot be reached; one request at a time probes it.
    Down,
    /// It asked to wait.
    Throttled,
    /// It refuses the key, the account or the address; slow probes wait for that to be mended.
    Held,
}

impl Health {
    /// Returns the word used in stats and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Throttled => "throttled",
            Self::Held => "held",
        }
    }
}

/// Decides when a lane may send and how much at a time.
#[derive(Debug)]
pub(super) struct Circuit {
    health: Health,
    failures: u32,
    refusals: u32,
    paused_until: Moment,
}

impl Circuit {
    pub(super) const fn new() -> Self {
        Self { health: Health::Up, failures: 0, refusals: 0, paused_until: Moment::ZERO }
    }

    pub(super) const fn health(&self) -> Health {
        self.health
    }

    /// Returns whether only one request at a time may go out, to see whether the destination is back.
    pub(super) fn is_probing(&self) -> bool {
        self.health != Health::Up
    }

    pub(super) const fn paused_until(&self) -> Moment {
        self.paused_until
    }

    pub(super) fn succeeded(&mut self) {
        *self = Self::new();
    }

    pub(super) fn failed(&mut self, config: &LaneConfig, now: Moment, random: &mut fastrand::Rng) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= OPEN_AFTER_FAILURES {
            self.health = Health::Down;
            let doublings = self.failures - OPEN_AFTER_FAILURES;
            self.pause(now + full_jitter(config.backoff, config.backoff_max, doublings, random));
        }
    }

    /// The destination named a wait; everything of this lane keeps it.
    pub(super) fn asked_to_wait(&mut self, now: Moment, wait: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.health = Health::Throttled;
        self.pause(now + wait);
    }

    pub(super) fn refused(&mut self, config: &LaneConfig, now: Moment) {
        self.health = Health::Held;
        let wait = doubled(config.held_backoff, config.held_backoff_max, self.refusals);
        self.refusals = self.refusals.saturating_add(1);
        self.pause(now + wait);
    }

    /// Cuts a wait of our own making short. A wait that the destination asked for stays.
    pub(super) fn hurry(&mut self, now: Moment) {
        if self.health != Health::Throttled {
            self.paused_until = self.paused_until.min(now);
        }
    }

    fn pause(&mut self, until: Moment) {
        self.paused_until = self.paused_until.max(until);
    }
}

fn doubled(first: Duration, most: Duration, doublings: u32) -> Duration {
    first.saturating_mul(1_u32.checked_shl(doublings.min(31)).unwrap_or(u32::MAX)).min(most)
}

/// Returns a random wait between nothing and the doubled one, so that many clients of one failed server do
/// not come back at the same moment.
pub(super) fn full_jitter(
    first: Duration,
    most: Duration,
    doublings: u32,
    random: &mut fastrand::Rng,
) -> Duration {
    doubled(first, most, doublings).mul_f64(random.f64())
}
