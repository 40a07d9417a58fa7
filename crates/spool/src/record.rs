//! Handles to records.

use std::ops::Deref;
use std::sync::Arc;

use crate::error::ReadError;
use crate::format::{Head, MARKS_MASK};
use crate::memory::Region;
use crate::segment::Segment;

/// What the caller says about a record beside its payload. All of it is opaque to the log, except the marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Meta {
    /// What sort of record this is.
    pub kind: u8,
    /// Further bits.
    pub flags: u16,
    /// Marks (bits 0 to 15) that the record has from birth: destinations that do not want it.
    pub marks: u32,
    /// When the record was appended, nanoseconds since 1970 UTC. Zero: now, read from the system's coarse clock (a few
    /// milliseconds).
    pub appended_unix_nanos: u64,
}

impl Meta {
    /// Returns the meta of a record of this kind, with nothing else set.
    #[must_use]
    pub const fn kind(kind: u8) -> Self {
        Self { kind, flags: 0, marks: 0, appended_unix_nanos: 0 }
    }
}

/// Identity and order of a record within one log: later appended, greater.
///
/// Recovered records get positions as well, in the order in which they were recovered; they do not compare
/// meaningfully with the positions of this process's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub(crate) segment: u64,
    pub(crate) offset: u32,
}

/// A handle to one record: cheap to clone, sendable, and valid for as long as one likes.
///
/// It costs 32 bytes and holds no payload memory; [`payload`](Self::payload) does.
#[derive(Debug, Clone)]
pub struct Record {
    pub(crate) segment: Arc<Segment>,
    pub(crate) offset: u32,
    pub(crate) payload_bytes: u32,
    kind: u8,
    flags: u16,
    appended_unix_nanos: u64,
}

/// What a call of [`Record::resolve`] changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resolution {
    /// The bits that were not set before. Whoever gets a bit here counts that destination's outcome; nobody else does.
    pub newly: u32,
    /// Whether the record now has all required marks.
    pub complete: bool,
}

impl Record {
    pub(crate) fn new(segment: &Arc<Segment>, offset: u32, head: &Head) -> Self {
        Self {
            segment: Arc::clone(segment),
            offset,
            payload_bytes: head.payload_bytes,
            kind: head.kind,
            flags: head.flags,
            appended_unix_nanos: head.appended_unix_nanos,
        }
    }

    /// Returns the record's identity within the log.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { segment: self.segment.ordinal(), offset: self.offset }
    }

    /// Returns [`Meta::kind`].
    #[must_use]
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// Returns [`Meta::flags`].
    #[must_use]
    pub fn flags(&self) -> u16 {
        self.flags
    }

    /// Returns when the record was appended, nanoseconds since 1970 UTC.
    #[must_use]
    pub fn appended_unix_nanos(&self) -> u64 {
        self.appended_unix_nanos
    }

    /// Returns the length of the payload.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.payload_bytes as usize
    }

    /// Returns whether a dead process wrote the record. Its marks then mean what
    /// [`user_header`](Self::user_header) says, not what they mean in this process.
    #[must_use]
    pub fn is_recovered(&self) -> bool {
        self.segment.identity.recovered
    }

    /// Returns the user header of the process that wrote the record. Empty if damage left no copy of it.
    #[must_use]
    pub fn user_header(&self) -> &[u8] {
        &self.segment.identity.user_header
    }

    /// Returns the marks that the record needs to be resolved, as its writer set them.
    #[must_use]
    pub fn required_marks(&self) -> u32 {
        self.segment.identity.required_marks
    }

    /// Returns the process that wrote the record.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.segment.identity.process_id
    }

    /// Returns the payload without copying it. The segment stays in memory while the value lives, so hold it for
    /// a request, not for a backlog.
    ///
    /// # Errors
    ///
    /// [`ReadError::Freed`] when all required marks are set and the segment is gone, [`ReadError::Map`] when the
    /// segment was unmapped and cannot be mapped again, [`ReadError::Foreign`] in a forked child.
    pub fn payload(&self) -> Result<Payload, ReadError> {
        let region = self.segment.region()?;
        if region.payload(self.offset as usize, self.payload_bytes).is_none() {
            return Err(ReadError::Damaged);
        }
        Ok(Payload { region, offset: self.offset, payload_bytes: self.payload_bytes })
    }

    /// Returns the marks set so far: all required ones if the segment was freed, none if it cannot be read now.
    #[must_use]
    pub fn marks(&self) -> u32 {
        match self.segment.region() {
            Ok(region) => region.marks(self.offset as usize),
            Err(ReadError::Freed) => self.required_marks(),
            Err(_) => 0,
        }
    }

    /// Sets the mark of one destination (bit `0` to `15`; others do nothing). See [`resolve`](Self::resolve).
    pub fn mark(&self, bit: u32) -> Resolution {
        1u32.checked_shl(bit).map_or_else(Resolution::default, |bits| self.resolve(bits))
    }

    /// Sets marks (bits 0 to 15; others are ignored): the destinations behind these bits are done with the record, one way or the other.
    ///
    /// The marks are in the segment's file when this returns (in the page cache: they survive the death of the
    /// process). May be called from any thread. In a forked child it does nothing and returns the default.
    pub fn resolve(&self, bits: u32) -> Resolution {
        self.segment.resolve(self.offset, self.payload_bytes, bits & MARKS_MASK)
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.segment, &other.segment) && self.offset == other.offset
    }
}

impl Eq for Record {}

/// A record that made room for newer ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evicted {
    /// The record. Its payload can be read until the next call of `maintain`.
    pub record: Record,
    /// The required marks that were missing. They are set now: for each of them the caller counts one drop, and a
    /// lane that still holds the record gets nothing new from [`Record::resolve`].
    pub unresolved: u32,
}

/// The bytes of a record, kept in memory by this value.
#[derive(Clone)]
pub struct Payload {
    region: Arc<Region>,
    offset: u32,
    payload_bytes: u32,
}

impl Deref for Payload {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.region.payload(self.offset as usize, self.payload_bytes).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Payload({} bytes)", self.len())
    }
}
