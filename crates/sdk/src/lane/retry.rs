use crate::lane::entries::Slot;
use crate::moment::Moment;

/// Failures that may be one span's fault, while other requests succeed, after which a batch is halved.
const SPLIT_AFTER_SUSPECT_FAILURES: u32 = 3;
/// Attempts after which a batch that the server itself fails on is halved even without such evidence.
const SPLIT_AFTER_ATTEMPTS: u32 = 6;
/// Failures of a lone span, while other requests succeed, after which it is given up as refused.
const DROP_AFTER_SUSPECT_FAILURES: u32 = 6;

/// Records that were sent together, failed, and will be sent together again.
#[derive(Debug)]
pub(super) struct RetryBatch {
    pub(super) slots: Vec<Slot>,
    pub(super) history: History,
    pub(super) not_before: Moment,
}

/// What a batch has been through.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct History {
    /// Requests that carried it.
    pub(super) attempts: u32,
    /// Answers of the class "the server failed" while the server succeeded on others.
    suspect_failures: u32,
    /// The lane's successes when this batch last failed.
    successes_at_failure: Option<u64>,
}

/// What a failure of a batch calls for, beside trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suspicion {
    None,
    Split,
    Drop,
}

impl History {
    /// Records one more failure of the kind that a single bad span can cause.
    pub(super) fn suspect(&mut self, lane_successes: u64, batch_len: usize) -> Suspicion {
        // Only a success between two failures says anything: a server that fails on everything for a while does not
        // make this batch look bad.
        let before = self.successes_at_failure.replace(lane_successes);
        if before.is_some_and(|before| lane_successes > before) {
            self.suspect_failures += 1;
        }
        let evidence = self.suspect_failures;
        match batch_len {
            0 | 1 if evidence >= DROP_AFTER_SUSPECT_FAILURES => Suspicion::Drop,
            0 | 1 => Suspicion::None,
            _ if evidence >= SPLIT_AFTER_SUSPECT_FAILURES || self.attempts >= SPLIT_AFTER_ATTEMPTS => {
                Suspicion::Split
            }
            _ => Suspicion::None,
        }
    }

    /// Returns the history of one half of a batch that is being split.
    pub(super) fn of_half(self) -> Self {
        Self { suspect_failures: self.suspect_failures.saturating_sub(1), ..self }
    }
}
