//! Gauges, counters and one-time notices of a log.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Gauges and counters of a log at one moment. Counters only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Records appended and not resolved (nor evicted).
    pub depth_records: u64,
    /// Their payload bytes.
    pub depth_bytes: u64,
    /// Records appended since the log was opened.
    pub appended_records: u64,
    /// Their payload bytes.
    pub appended_bytes: u64,
    /// Records that got all their required marks.
    pub resolved_records: u64,
    /// Records evicted with marks missing.
    pub evicted_records: u64,
    /// Bytes of all segments of this log: in use, prepared and waiting for reuse.
    pub allocated_bytes: u64,
    /// Bytes of segments mapped or in anonymous memory, adopted ones included.
    pub resident_bytes: u64,
    /// Bytes of segment files, adopted ones included.
    pub disk_bytes: u64,
    /// Segments that hold records.
    pub segments: u64,
    /// Segments ready for rollover.
    pub prepared_segments: u64,
    /// Records that were appended to anonymous memory although a directory is configured (disk full, or a burst
    /// faster than preparation). Those of a burst are copied to a file by the next `maintain`.
    pub unspooled_records: u64,
    /// Records recovered from dead processes and not resolved (nor evicted). Those that were not read yet are not
    /// counted.
    pub recovered_depth_records: u64,
    /// Records recovered from dead processes.
    pub recovered_records: u64,
    /// Records that are held (see [`Log::hold`](crate::Log::hold)).
    pub held_records: u64,
    /// Whether records go to files now.
    pub spooling: bool,
}

/// Something that happened once and deserves one log line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The spool cannot be written: records stay in memory until [`Notice::SpoolRestored`].
    SpoolUnavailable {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The spool can be written again.
    SpoolRestored,
    /// The spool directory cannot be searched for orphans.
    AdoptionFailed {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Writing through to the disk failed. Said once until it succeeds again.
    SyncFailed {
        /// What the system said.
        reason: String,
    },
    /// Another process took this log's directory for an orphan: something in this process opened and closed the
    /// lock file, which releases the lock. Records may be delivered twice. Checked every second.
    LockLost,
    /// A segment of this log was damaged from outside. What could not be read of it stays in the depth gauge and in
    /// its file, where the next process looks for it.
    LiveSegmentDamaged {
        /// Offset of the first record that cannot be read.
        offset: u64,
    },
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) resolved_records: AtomicU64,
    pub(crate) resolved_bytes: AtomicU64,
    pub(crate) evicted_records: AtomicU64,
    pub(crate) evicted_bytes: AtomicU64,
    pub(crate) recovered_records: AtomicU64,
    pub(crate) recovered_done: AtomicU64,
    pub(crate) allocated_bytes: AtomicU64,
    pub(crate) anonymous_bytes: AtomicU64,
    pub(crate) disk_bytes: AtomicU64,
    pub(crate) resident_bytes: Arc<AtomicU64>,
    pub(crate) spooling: AtomicBool,
}

impl Counters {
    /// Records that left the account.
    pub(crate) fn gone_records(&self) -> u64 {
        self.resolved_records.load(Ordering::Acquire) + self.evicted_records.load(Ordering::Acquire)
    }

    /// Everything that is not counted under the writer's lock.
    pub(crate) fn stats(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            resolved_records: get(&self.resolved_records),
            evicted_records: get(&self.evicted_records),
            allocated_bytes: get(&self.allocated_bytes),
            resident_bytes: get(&self.resident_bytes),
            disk_bytes: get(&self.disk_bytes),
            recovered_depth_records: get(&self.recovered_records).saturating_sub(get(&self.recovered_done)),
            recovered_records: get(&self.recovered_records),
            spooling: self.spooling.load(Ordering::Relaxed),
            ..Stats::default()
        }
    }
}
