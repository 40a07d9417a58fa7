//! The account: what became of every span, for each destination.

use std::fmt;
use std::time::Duration;

use endspan_model::DropReason;

use crate::lane::{Health, LaneCounts};

/// Spans given up, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    counts: [u64; DropReason::ALL.len()],
}

impl Drops {
    /// Returns the number given up for one reason.
    pub fn of(&self, reason: DropReason) -> u64 {
        self.counts.get(reason.index()).copied().unwrap_or(0)
    }

    /// Returns the number given up for any reason.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the reasons that occurred, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL
            .iter()
            .zip(self.counts)
            .filter(|(_, count)| *count > 0)
            .map(|(reason, count)| (*reason, count))
    }

    pub(crate) fn add(&mut self, reason: DropReason, count: u64) {
        if let Some(total) = self.counts.get_mut(reason.index()) {
            *total += count;
        }
    }
}

/// The account of one destination, in writes: one for a span's end and, in start mode, one for its start.
///
/// `accepted = delivered + superseded + dropped + spooled + pending`, always.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Account {
    /// The exporter's name.
    pub destination: String,
    /// Everything that was to go there.
    pub accepted: u64,
    /// What the destination has.
    pub delivered: u64,
    /// What need not be sent, because a newer version of the same span stands for it.
    pub superseded: u64,
    /// What was given up, by reason.
    pub dropped: Drops,
    /// What was left in the spool for the next process; only after a shutdown.
    pub spooled: u64,
    /// What waits or is under way.
    pub pending: u64,
}

impl Account {
    pub(crate) fn new(destination: &str, counts: &LaneCounts) -> Self {
        Self {
            destination: destination.to_owned(),
            accepted: counts.accepted,
            delivered: counts.delivered,
            superseded: counts.superseded,
            dropped: Drops { counts: counts.dropped },
            spooled: 0,
            pending: counts.pending,
        }
    }

    /// Books what never reached the lane.
    pub(crate) fn refuse(&mut self, reason: DropReason, count: u64) {
        self.accepted += count;
        self.dropped.add(reason, count);
    }

    /// Returns whether the account closes.
    pub fn is_conserved(&self) -> bool {
        let fates = self.delivered + self.superseded + self.dropped.total() + self.spooled + self.pending;
        self.accepted == fates
    }
}

impl fmt::Display for Account {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {} delivered", self.destination, self.delivered)?;
        for (count, word) in
            [(self.superseded, "superseded"), (self.spooled, "spooled"), (self.pending, "pending")]
        {
            if count > 0 {
                write!(formatter, ", {count} {word}")?;
            }
        }
        for (reason, count) in self.dropped.iter() {
            write!(formatter, ", {count} dropped ({reason})")?;
        }
        Ok(())
    }
}

/// What a flush or shutdown achieved.
///
/// ```
/// # let tracer = endspan::Tracer::builder().spool(false).build();
/// let report = tracer.shutdown();
/// println!("{report}");
/// assert!(report.is_complete());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// One account for each destination, in the order of the exporters.
    pub accounts: Vec<Account>,
    /// The time was up before everything was delivered or given up.
    pub timed_out: bool,
}

impl Report {
    /// Returns what all destinations together have.
    pub fn delivered(&self) -> u64 {
        self.accounts.iter().map(|account| account.delivered).sum()
    }

    /// Returns what was superseded for all destinations together.
    pub fn superseded(&self) -> u64 {
        self.accounts.iter().map(|account| account.superseded).sum()
    }

    /// Returns what was given up for all destinations together.
    pub fn dropped(&self) -> u64 {
        self.accounts.iter().map(|account| account.dropped.total()).sum()
    }

    /// Returns what was given up for one reason.
    pub fn dropped_for(&self, reason: DropReason) -> u64 {
        self.accounts.iter().map(|account| account.dropped.of(reason)).sum()
    }

    /// Returns what was left in the spool for the next process.
    pub fn spooled(&self) -> u64 {
        self.accounts.iter().map(|account| account.spooled).sum()
    }

    /// Returns what waits or is under way.
    pub fn pending(&self) -> u64 {
        self.accounts.iter().map(|account| account.pending).sum()
    }

    /// Returns whether every span reached every destination or was superseded there.
    pub fn is_complete(&self) -> bool {
        self.dropped() + self.spooled() + self.pending() == 0
    }

    /// Returns whether every account closes.
    pub fn is_conserved(&self) -> bool {
        self.accounts.iter().all(Account::is_conserved)
    }

    /// Returns the account of a destination.
    pub fn account(&self, destination: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.destination == destination)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.accounts.is_empty() {
            return formatter.write_str("no destinations");
        }
        for (index, account) in self.accounts.iter().enumerate() {
            if index > 0 {
                formatter.write_str("; ")?;
            }
            write!(formatter, "{account}")?;
        }
        Ok(())
    }
}

/// How a tracer is doing right now.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// One entry for each destination, in the order of the exporters.
    pub destinations: Vec<DestinationStats>,
    /// Records in the log that endspan's thread has not read yet: a tick's worth. They are in no account yet.
    pub unread_records: u64,
    /// Spans that started and did not end yet. Known only where starts are recorded: with a spool, or in start mode.
    pub open_spans: u64,
    /// Payloads replaced by a placeholder because they could not be encoded.
    pub unencodable_payloads: u64,
    /// Bytes of undelivered records.
    pub queue_bytes: u64,
    /// Bytes of the log's memory.
    pub resident_bytes: u64,
    /// Bytes of the spool's files.
    pub spool_bytes: u64,
    /// Whether records go to files now.
    pub spooling: bool,
    /// Records taken over from dead processes.
    pub recovered_records: u64,
    /// Spans that were open when their process died, delivered with `ProcessDied`.
    pub recovered_open_spans: u64,
}

/// How a destination is doing right now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DestinationStats {
    /// Its account.
    pub account: Account,
    /// Whether it answers.
    pub health: Health,
    /// Bytes of its pending records.
    pub pending_bytes: u64,
    /// Requests under way.
    pub requests_in_flight: u64,
    /// Requests sent.
    pub requests: u64,
    /// Requests that failed.
    pub failed_requests: u64,
    /// Requests that carried spans sent before.
    pub retried_requests: u64,
}

/// The default for [`Tracer::shutdown`](crate::Tracer::shutdown), as in the reference.
pub(crate) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);
