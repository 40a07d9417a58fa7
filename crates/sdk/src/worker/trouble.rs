//! What is said of destinations that take nothing: spans wait meanwhile, which nobody would know who does not look at the stats.

use std::time::{Duration, Instant};

use crate::diagnostics::aloud;
use crate::lane::{Failure, Health};

/// How long nothing more is said of a destination that goes from trouble to trouble.
const QUIET: Duration = Duration::from_secs(60);

/// What was said of a destination.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// The trouble that was said, until it was said that it is over.
    said: Option<Health>,
    at: Option<Instant>,
    /// How the last request failed that did.
    pub(super) failure: Option<Failure>,
}

/// What is worth a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Down,
    Held,
    Over,
}

impl Trouble {
    /// Says what a destination's health makes worth saying.
    pub(super) fn say(&mut self, destination: &str, health: Health, waiting: u64, now: Instant) {
        let Some(line) = self.line(health, now) else { return };
        let status = self.failure.map_or("", |failure| failure.http_code);
        let error = self.failure.map_or("", |failure| failure.error_class);
        aloud(|| match line {
            Line::Down => tracing::warn!(
                destination,
                status,
                error,
                waiting,
                "endspan cannot deliver to {destination} ({error}): its spans wait"
            ),
            Line::Held => tracing::warn!(
                destination,
                status,
                error,
                waiting,
                "endspan is refused by {destination} ({status}), probably for its key, account or address: its spans wait"
            ),
            Line::Over => tracing::info!(destination, waiting, "endspan delivers to {destination} again"),
        });
    }

    fn line(&mut self, health: Health, now: Instant) -> Option<Line> {
        let line = match health {
            Health::Up => return self.said.take().map(|_| Line::Over),
            // It asked for it.
            Health::Throttled => return None,
            Health::Down => Line::Down,
            Health::Held => Line::Held,
        };
        let is_quiet = self.at.is_some_and(|at| now.saturating_duration_since(at) < QUIET);
        if self.said == Some(health) || is_quiet {
            return None;
        }
        (self.said, self.at) = (Some(health), Some(now));
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_that_comes_and_goes_is_spoken_of_once_a_minute() {
        let began = Instant::now();
        let mut trouble = Trouble::default();
        let mut at = |second, health| trouble.line(health, began + Duration::from_secs(second));
        assert_eq!(at(0, Health::Up), None);
        assert_eq!(at(1, Health::Throttled), None);
        assert_eq!(at(2, Health::Down), Some(Line::Down));
        assert_eq!(at(3, Health::Down), None);
        assert_eq!(at(4, Health::Up), Some(Line::Over));
        assert_eq!(at(5, Health::Up), None);
        assert_eq!(at(6, Health::Down), None, "it was just spoken of");
        assert_eq!(at(7, Health::Up), None, "nothing was said that is over");
        assert_eq!(at(61, Health::Down), None);
        assert_eq!(at(62, Health::Down), Some(Line::Down), "a minute later it is still, or again, so");
        assert_eq!(at(4000, Health::Down), None);
        assert_eq!(at(4001, Health::Held), Some(Line::Held), "another trouble");
        assert_eq!(at(4002, Health::Up), Some(Line::Over));
    }
}
