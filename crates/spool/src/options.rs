//! Settings of a log.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::filesystem::Faults;
use crate::format::{
    FIXED_HEADER_BYTES, MARKS_MASK, MAX_PAYLOAD_BYTES, MAX_USER_HEADER_BYTES, RECORD_HEAD_BYTES, SLOT_BYTES,
};
use crate::slots::MAX_SLOTS;

/// What happens when the log reaches its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// `append` returns [`AppendError::Full`](crate::AppendError::Full): the newest record is refused.
    #[default]
    Reject,
    /// [`Consumer::maintain`](crate::Consumer::maintain) hands the oldest segment's unresolved records back as
    /// [`Evicted`](crate::Evicted) and frees its space, ahead of need. Producers that outrun the consumer still get
    /// `Full`, so that an eviction only ever happens on the consumer's thread.
    EvictOldest,
}

/// Settings of a [`Log`](crate::Log). Every field has a default; out-of-range sizes are clamped as said at the field.
#[derive(Debug, Clone)]
pub struct Options {
    /// The spool directory, shared by all processes that spool to the same place. `None` keeps the log in memory.
    /// Default: `None`.
    pub directory: Option<PathBuf>,
    /// Bytes of all segments of this log together (not counting those adopted from dead processes, which have the
    /// same bound again). In memory-only mode [`max_resident_bytes`](Self::max_resident_bytes) bounds as well. Default: 512 MiB.
    pub max_bytes: u64,
    /// Bytes of segments that may be in memory at a time. Segments in anonymous memory always are; those in files
    /// are unmapped, longest unused first, and mapped again when their records are read. At least four
    /// segments. Default: 64 MiB.
    pub max_resident_bytes: u64,
    /// Records that may be unresolved at a time. Default: no limit.
    pub max_records: Option<u64>,
    /// Payload bytes of one record; at most half of `max_bytes` and of `max_resident_bytes`. Default: 32 MiB.
    pub max_record_bytes: usize,
    /// Bytes of a segment, header included; rounded up to whole pages, at least one page, at most a quarter of
    /// `max_bytes` (and of `max_resident_bytes`). A record that does not fit gets a segment of its own. Default: 2 MiB.
    pub segment_bytes: usize,
    /// Segments that `maintain` keeps ready for rollover when there is little traffic. It doubles as segments are used up
    /// faster, up to 16. Default: 1.
    pub prepared_segments: usize,
    /// Records that [`Log::hold`](crate::Log::hold) can hold at a time, at most 2,048; fewer where their file (512 bytes each) would
    /// be more than a 64th of `max_bytes`. Default: 0.
    pub held_records: usize,
    /// What happens at the bound. Default: [`WhenFull::Reject`].
    pub when_full: WhenFull,
    /// The marks that a record needs to count as resolved: one bit for each destination, bits 0 to 15.
    /// Default: `1`.
    pub required_marks: u32,
    /// Bytes stored in every segment header and handed back with recovered records, such as the names of the
    /// destinations behind the marks. At most [`MAX_USER_HEADER_BYTES`]. Default: empty.
    pub user_header: Vec<u8>,
    /// How often `maintain` writes new records through to the disk (it blocks meanwhile). `None` leaves that to the
    /// kernel: records survive the death of the process, not that of the machine. Default: `None`.
    pub sync_interval: Option<Duration>,
    /// How long after a failed attempt to use the disk the next one is made; doubled after each failure, up to
    /// 64 times. Default: 1 s.
    pub disk_retry_interval: Duration,
    /// Fault injection for tests. Default: `None`.
    pub faults: Option<Arc<dyn Faults>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            directory: None,
            max_bytes: 512 << 20,
            max_resident_bytes: 64 << 20,
            max_records: None,
            max_record_bytes: 32 << 20,
            segment_bytes: 2 << 20,
            prepared_segments: 1,
            held_records: 0,
            when_full: WhenFull::Reject,
            required_marks: 1,
            user_header: Vec::new(),
            sync_interval: None,
            disk_retry_interval: Duration::from_secs(1),
            faults: None,
        }
    }
}

/// Options that no log can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// `user_header` is longer than [`MAX_USER_HEADER_BYTES`].
    #[error("user_header has {bytes} bytes, the limit is {MAX_USER_HEADER_BYTES}")]
    UserHeaderTooLong {
        /// Its length.
        bytes: usize,
    },
    /// `required_marks` is zero: every record would be resolved at birth.
    #[error("required_marks is zero")]
    NoRequiredMarks,
    /// `required_marks` has bits that no mark has.
    #[error("required_marks {marks:#x} has bits above 15")]
    MarksOutOfRange {
        /// What was asked for.
        marks: u32,
    },
}

pub(crate) const PAGE_BYTES: usize = 4096;

impl Options {
    /// Returns the options with every size in its range.
    pub(crate) fn checked(mut self) -> Result<Self, OptionsError> {
        if self.user_header.len() > MAX_USER_HEADER_BYTES {
            return Err(OptionsError::UserHeaderTooLong { bytes: self.user_header.len() });
        }
        if self.required_marks == 0 {
            return Err(OptionsError::NoRequiredMarks);
        }
        if self.required_marks & !MARKS_MASK != 0 {
            return Err(OptionsError::MarksOutOfRange { marks: self.required_marks });
        }
        let header = FIXED_HEADER_BYTES + self.user_header.len() + 64;
        let least = (header + RECORD_HEAD_BYTES + 8).next_multiple_of(PAGE_BYTES);
        let quarter = usize::try_from(self.max_bytes.min(self.max_resident_bytes) / 4).unwrap_or(usize::MAX);
        let whole_pages = quarter / PAGE_BYTES * PAGE_BYTES;
        self.segment_bytes = self
            .segment_bytes
            .clamp(PAGE_BYTES, 1 << 30)
            .next_multiple_of(PAGE_BYTES)
            .min(whole_pages)
            .max(least);
        let four = 4 * self.segment_bytes as u64;
        self.max_bytes = self.max_bytes.max(four);
        self.max_resident_bytes = self.max_resident_bytes.max(four);
        self.max_record_bytes =
            self.max_record_bytes.min(MAX_PAYLOAD_BYTES - PAGE_BYTES - MAX_USER_HEADER_BYTES);
        let share = usize::try_from(self.max_bytes / 64).unwrap_or(usize::MAX) / SLOT_BYTES;
        self.held_records = self.held_records.min(MAX_SLOTS).min(share);
        self.prepared_segments = self.prepared_segments.clamp(1, MAX_PREPARED_SEGMENTS);
        Ok(self)
    }
}

/// Most segments kept ready under heavy traffic.
pub(crate) const MAX_PREPARED_SEGMENTS: usize = 16;
