//! What endspan says in the host's log, and how its own thread keeps quiet there otherwise.

use std::cell::RefCell;

use tracing::dispatcher::{DefaultGuard, Dispatch, set_default};

thread_local! {
    static QUIET: RefCell<Option<DefaultGuard>> = const { RefCell::new(None) };
}

/// Switches the host's subscriber off for this thread: the exporters' own HTTP calls are never traced.
pub(crate) fn quiet_this_thread() {
    QUIET.with_borrow_mut(|quiet| *quiet = Some(set_default(&Dispatch::none())));
}

/// Says something in the host's log, also from a quiet thread.
pub(crate) fn aloud(say: impl FnOnce()) {
    let was_quiet = QUIET.with_borrow_mut(Option::take).is_some();
    say();
    if was_quiet {
        quiet_this_thread();
    }
}

/// Decides which of many equal warnings are worth a line: the first, and then one for every hundred
/// (`sdk-behaviour` 9.6, row 92).
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    total: u64,
}

impl Throttle {
    /// Counts `count` more and returns whether to say so.
    pub(crate) const fn should_say(&mut self, count: u64) -> bool {
        let first = self.total == 0 && count > 0;
        self.total += count;
        first || self.total % 100 < count
    }

    /// Returns how many were counted.
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_92_of_350_single_drops_four_are_said() {
        let mut throttle = Throttle::default();
        let said: Vec<u64> = (1..=350).filter(|_| throttle.should_say(1)).collect();
        assert_eq!(said, [1, 100, 200, 300]);
        assert_eq!(throttle.total(), 350);
    }

    #[test]
    fn a_burst_of_drops_is_said_once() {
        let mut throttle = Throttle::default();
        assert!(throttle.should_say(1000));
        assert!(!throttle.should_say(0));
        assert!(!throttle.should_say(1));
    }
}
