//! The memory of a segment: a mapped file or anonymous pages, and the protocol by which records appear in it.
//!
//! All raw memory access of this crate is in this file. The rules that make it sound:
//!
//! - A [`Region`] has at most one [`Appender`], made together with it. Only the appender hands out space, and never
//!   the same bytes twice, so a byte range is written by one thread only, before it is published.
//! - A file of held records has no appender: its places are each filled by who took the place's bit (see `slots`), and not
//!   read before the process is dead.
//! - A record is published by a release store of its length word. [`Region::slot`] reads that word with acquire and
//!   never returns a record that is not published; published bytes do not change again, except the marks word, which is
//!   only ever accessed as an atomic.
//! - Zeroing and header writing need `&mut Region`, hence that nobody else holds it.
//! - Every offset is checked against the length of the mapping, so that a damaged length word cannot lead outside.
//!
//! Outside these rules is what another process does to a mapped file: the spool directory is private (0700) and locked.
//! A file that somebody truncates under a running process raises SIGBUS in it, as with every mapping.
#![allow(unsafe_code)]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use crate::format::{
    self, CRC_BYTES, Head, LENGTH_MASK, PUBLISHED, RECORD_ALIGN, RECORD_HEAD_BYTES, RECORD_MAGIC, RESERVED,
    STATE_MASK, SUCCESSOR_AT, record_bytes,
};

use crate::publication::{look, publish};

const PAGE_BYTES: usize = 4096;
#[cfg(target_os = "linux")]
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// One segment's memory.
///
/// Aligned so that the reference counts in front of it in an `Arc`, which readers change, are not in the cache line that
/// producers read.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Region {
    map: MmapRaw,
    len: usize,
    resident: Arc<AtomicU64>,
}

/// What stands at an offset where a record may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// A zero length word, or no room for a record: nothing was appended here (yet).
    Empty,
    /// Space was taken for a record that is not complete (yet).
    Reserved {
        /// Bytes taken, head and padding included.
        bytes: usize,
    },
    /// A complete record. Its checksum was not verified.
    Record(Head),
    /// Nothing that this crate writes.
    Invalid,
}

impl Region {
    /// Takes zeroed anonymous memory.
    pub(crate) fn anonymous(len: usize, resident: &Arc<AtomicU64>) -> io::Result<Self> {
        let map = MmapOptions::new().len(len).map_anon()?;
        #[cfg(target_os = "linux")]
        if len >= HUGE_PAGE_BYTES {
            // Sixteen times cheaper to populate; without it the memory is only slower.
            let _ = map.advise(memmap2::Advice::HugePage);
        }
        Ok(Self::new(map.into(), len, resident))
    }

    /// Wraps the mapping of a file. `len` is the length of the mapping.
    pub(crate) fn mapped(map: MmapRaw, len: usize, resident: &Arc<AtomicU64>) -> Self {
        Self::new(map, len, resident)
    }

    fn new(map: MmapRaw, len: usize, resident: &Arc<AtomicU64>) -> Self {
        debug_assert!(map.len() >= len);
        resident.fetch_add(len as u64, Ordering::Relaxed);
        Self { map, len, resident: Arc::clone(resident) }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Makes every page present and writable, so that no later store faults.
    ///
    /// # Errors
    ///
    /// When the kernel cannot provide a page (no space behind a file, memory limit).
    pub(crate) fn populate(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        match self.map.advise(memmap2::Advice::PopulateWrite) {
            Ok(()) => return Ok(()),
            // Kernels before 5.14 do not know the advice.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => {}
            Err(error) => return Err(error),
        }
        for offset in (0..self.len).step_by(PAGE_BYTES) {
            if let Some(word) = self.word(offset) {
                // A write that changes nothing, whatever another thread does to the word.
                word.fetch_or(0, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Writes the first `bytes` of a mapped file to its disk. Blocks.
    pub(crate) fn sync(&self, bytes: usize) -> io::Result<()> {
        self.map.flush_range(0, bytes.min(self.len))
    }

    /// Copies `bytes` to `offset`. Returns false, and writes nothing, when they do not fit.
    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8]) -> bool {
        if !self.holds(offset, bytes.len()) {
            return false;
        }
        // SAFETY: the range is inside the mapping, and `&mut self` excludes every other access to it.
        unsafe {
            self.map.as_mut_ptr().add(offset).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        true
    }

    /// Sets the first `bytes` to zero.
    pub(crate) fn zero(&mut self, bytes: usize) {
        // SAFETY: the range is inside the mapping, and `&mut self` excludes every other access to it.
        unsafe {
            self.map.as_mut_ptr().write_bytes(0, bytes.min(self.len));
        }
    }
    /// Returns `bytes` at `offset` of a region that nobody appends to (any more).
    ///
    /// For reading headers and for looking for records behind damage. The marks words of records that were already
    /// handed out must not be in the range.
    pub(crate) fn quiet_bytes(&self, offset: usize, bytes: usize) -> Option<&[u8]> {
        if !self.holds(offset, bytes) {
            return None;
        }
        // SAFETY: inside the mapping; there is no appender and, by contract, no marking in this range.
        Some(unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(offset), bytes) })
    }

    /// Says what stands at `offset`.
    #[inline]
    pub(crate) fn slot(&self, offset: usize) -> Slot {
        if !offset.is_multiple_of(RECORD_ALIGN) || !self.holds(offset, RECORD_HEAD_BYTES) {
            return Slot::Empty;
        }
        let Some(word) = self.word(offset) else { return Slot::Empty };
        let word = look(word);
        let payload_bytes = word & LENGTH_MASK;
        match word & STATE_MASK {
            0 if word == 0 => Slot::Empty,
            RESERVED if self.holds(offset, record_bytes(payload_bytes as usize)) => {
                Slot::Reserved { bytes: record_bytes(payload_bytes as usize) }
            }
            PUBLISHED if self.holds(offset, record_bytes(payload_bytes as usize)) => {
                let load = |at| self.word(offset + at).map_or(0, |w| u32::from_le(w.load(Ordering::Relaxed)));
                let low = load(12);
                if (low >> 8) as u8 != RECORD_MAGIC {
                    return Slot::Invalid;
                }
                Slot::Record(Head {
                    payload_bytes,
                    crc: load(4),
                    marks: format::marks_of(load(8)),
                    kind: low as u8,
                    flags: (low >> 16) as u16,
                    appended_unix_nanos: u64::from(load(16)) | (u64::from(load(20)) << 32),
                })
            }
            _ => Slot::Invalid,
        }
    }

    /// Returns the payload of the published record at `offset`, or nothing if none with this length stands there.
    #[inline]
    pub(crate) fn payload(&self, offset: usize, payload_bytes: u32) -> Option<&[u8]> {
        let word = look(self.word(offset)?);
        if word != PUBLISHED | payload_bytes || !self.holds(offset, record_bytes(payload_bytes as usize)) {
            return None;
        }
        let start = offset + RECORD_HEAD_BYTES;
        // SAFETY: inside the mapping, and published (acquire above), hence never written again.
        Some(unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(start), payload_bytes as usize) })
    }

    /// Returns the marks of the record at `offset`.
    #[inline]
    pub(crate) fn marks(&self, offset: usize) -> u32 {
        format::marks_of(self.marks_word(offset))
    }

    /// Returns whether both copies of the marks agree.
    pub(crate) fn marks_agree(&self, offset: usize) -> bool {
        let word = self.marks_word(offset);
        word == format::marks_word(word)
    }

    #[inline]
    fn marks_word(&self, offset: usize) -> u32 {
        self.word(offset + 8).map_or(0, |word| u32::from_le(word.load(Ordering::Acquire)))
    }

    /// Adds marks to the record at `offset`; returns what it had before.
    #[inline]
    pub(crate) fn add_marks(&self, offset: usize, bits: u32) -> u32 {
        let word = format::marks_word(bits).to_le();
        self.word(offset + 8)
            .map_or(u32::MAX, |marks| format::marks_of(u32::from_le(marks.fetch_or(word, Ordering::AcqRel))))
    }

    /// Stores one of the header's mutable 64-bit words.
    pub(crate) fn store_header_word(&self, offset: usize, value: u64) {
        let (Some(low), Some(high)) = (self.word(offset), self.word(offset + 4)) else { return };
        low.store((value as u32).to_le(), Ordering::Relaxed);
        high.store(((value >> 32) as u32).to_le(), Ordering::Release);
    }

    /// Loads one of the header's mutable 64-bit words.
    pub(crate) fn load_header_word(&self, offset: usize) -> u64 {
        let (Some(low), Some(high)) = (self.word(offset), self.word(offset + 4)) else { return 0 };
        let high = u64::from(u32::from_le(high.load(Ordering::Acquire)));
        (high << 32) | u64::from(u32::from_le(low.load(Ordering::Relaxed)))
    }

    /// Writes a record into a place of held records, which the caller alone has taken.
    #[inline]
    pub(crate) fn fill_slot(&self, at: usize, salt: u32, head: &Head, parts: &[&[u8]]) {
        if self.holds(at, format::SLOT_BYTES) && head.payload_bytes as usize <= format::MAX_HELD_BYTES {
            self.store_successor(at, 0, 0);
            fill(self, at, Some(salt), head, parts);
        }
    }

    /// Says where the successor of a held record is going to be. Sequence 0: it has none.
    #[inline]
    pub(crate) fn store_successor(&self, at: usize, sequence: u64, offset: u32) {
        for (word, value) in [(8, offset), (12, !offset), (4, (sequence >> 32) as u32), (0, sequence as u32)]
        {
            if let Some(field) = self.word(at + SUCCESSOR_AT + word) {
                field.store(value.to_le(), Ordering::Release);
            }
        }
    }

    /// Returns where the successor of a held record was going to be.
    pub(crate) fn successor(&self, at: usize) -> Option<(u64, u32)> {
        let load = |word| {
            self.word(at + SUCCESSOR_AT + word).map_or(0, |field| u32::from_le(field.load(Ordering::Acquire)))
        };
        let sequence = u64::from(load(0)) | u64::from(load(4)) << 32;
        (sequence != 0 && load(8) == !load(12)).then(|| (sequence, load(8)))
    }

    /// Empties a place of held records.
    #[inline]
    pub(crate) fn clear_slot(&self, at: usize) {
        if let Some(word) = self.word(at) {
            word.store(0, Ordering::Release);
        }
    }

    #[inline]
    pub(crate) fn holds(&self, offset: usize, bytes: usize) -> bool {
        offset.checked_add(bytes).is_some_and(|end| end <= self.len)
    }

    #[inline]
    pub(crate) fn word(&self, offset: usize) -> Option<&AtomicU32> {
        if !offset.is_multiple_of(4) || !self.holds(offset, 4) {
            return None;
        }
        // SAFETY: inside the mapping, aligned (mappings start at a page), and words that are accessed through this
        // function while others may access them are accessed through it only.
        Some(unsafe { AtomicU32::from_ptr(self.map.as_mut_ptr().add(offset).cast()) })
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        self.resident.fetch_sub(self.len as u64, Ordering::Relaxed);
    }
}

/// Writes one record into space that the caller alone owns and that holds it.
#[inline]
pub(crate) fn fill(region: &Region, offset: usize, salt: Option<u32>, head: &Head, parts: &[&[u8]]) {
    debug_assert!(region.holds(offset, record_bytes(head.payload_bytes as usize)));
    debug_assert_eq!(parts.iter().map(|p| p.len()).sum::<usize>(), head.payload_bytes as usize);
    let Some(length) = region.word(offset) else { return };
    publish(length, head.payload_bytes, || put(region, offset, salt, head, parts));
}

/// Writes everything of a record but its length word.
#[inline]
fn put(region: &Region, offset: usize, salt: Option<u32>, head: &Head, parts: &[&[u8]]) {
    let (low, nanos) = head.tail_words();
    for (at, value) in
        [(8, format::marks_word(head.marks)), (12, low), (16, nanos as u32), (20, (nanos >> 32) as u32)]
    {
        if let Some(field) = region.word(offset + at) {
            field.store(value.to_le(), Ordering::Relaxed);
        }
    }
    let mut at = offset + RECORD_HEAD_BYTES;
    let end = at + head.payload_bytes as usize;
    for part in parts {
        let bytes = part.len().min(end - at);
        // SAFETY: `at + bytes <= end`, which is inside the region; the range belongs to the caller alone until the
        // caller's last store publishes it, and `part` cannot overlap memory that nobody has seen yet.
        unsafe {
            region.map.as_mut_ptr().add(at).copy_from_nonoverlapping(part.as_ptr(), bytes);
        }
        at += bytes;
    }
    if let Some(salt) = salt {
        let crc = if (head.payload_bytes as usize) < CRC_BYTES {
            // SAFETY: the range that was just written, which belongs to the caller alone.
            head.fold(unsafe {
                std::slice::from_raw_parts(
                    region.map.as_ptr().add(offset + RECORD_HEAD_BYTES),
                    head.payload_bytes as usize,
                )
            })
        } else {
            head.crc
        };
        if let Some(field) = region.word(offset + 4) {
            field.store((crc ^ salt).to_le(), Ordering::Relaxed);
        }
    }
}
