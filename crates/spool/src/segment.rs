//! One segment: its place in memory and on disk, and the account of its records.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::error::ReadError;
use crate::filesystem::Filesystem;
use crate::fork;
use crate::format::{self, InstanceId, MAGIC_FREE, SEALED_END_AT, SegmentHeader};
use crate::memory::{Region, Slot};
use crate::record::{Evicted, Record, Resolution};
use crate::stats::{Counters, Notice};

/// Keeps what one side writes all the time out of the cache lines that the other side reads.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Aligned<T>(pub(crate) T);

impl<T> std::ops::Deref for Aligned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// What all parts of one log share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) generation: u64,
    pub(crate) files: Filesystem,
    pub(crate) counters: Aligned<Counters>,
    /// Counts calls of `maintain`: the clock of "longest unused".
    pub(crate) tick: AtomicU64,
    pub(crate) notices: Mutex<Vec<Notice>>,
}

impl Context {
    #[inline]
    pub(crate) fn is_foreign(&self) -> bool {
        fork::generation() != self.generation
    }
}

/// What the segments of one instance have in common.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) instance: InstanceId,
    pub(crate) process_id: u32,
    pub(crate) required_marks: u32,
    pub(crate) user_header: Vec<u8>,
    /// Whether a dead process wrote it.
    pub(crate) recovered: bool,
}

impl Identity {
    pub(crate) fn header(
        &self,
        sequence: u64,
        capacity_bytes: usize,
        created_unix_nanos: u64,
    ) -> SegmentHeader {
        SegmentHeader {
            instance: self.instance,
            sequence,
            capacity_bytes: capacity_bytes as u64,
            created_unix_nanos,
            required_marks: self.required_marks,
            process_id: self.process_id,
            slot_bytes: 0,
            user_header: self.user_header.clone(),
        }
    }
}

const IN_USE: u8 = 0;
const FREED: u8 = 1;
const EVICTED: u8 = 2;

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) context: Arc<Context>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) sequence: u64,
    pub(crate) start: usize,
    /// Place in the order of the log; set when the segment is put to use.
    pub(crate) ordinal: AtomicU64,
    state: AtomicU8,
    /// Where the records end; zero while more may come.
    sealed_end: AtomicUsize,
    /// Number of records, valid once sealed.
    records: AtomicU32,
    resolved: AtomicU32,
    touched: AtomicU64,
    pub(crate) damaged: AtomicBool,
    place: RwLock<Place>,
}

#[derive(Debug)]
struct Place {
    region: Option<Arc<Region>>,
    path: Option<PathBuf>,
    len: usize,
    synced: usize,
    /// Marks that could not be stored because the file could not be mapped.
    unstored: HashMap<u32, u32>,
}

impl Segment {
    pub(crate) fn new(
        context: &Arc<Context>,
        identity: &Arc<Identity>,
        sequence: u64,
        start: usize,
        region: Arc<Region>,
        path: Option<PathBuf>,
    ) -> Self {
        let len = region.len();
        Self {
            context: Arc::clone(context),
            identity: Arc::clone(identity),
            sequence,
            start,
            ordinal: AtomicU64::new(0),
            state: AtomicU8::new(IN_USE),
            sealed_end: AtomicUsize::new(0),
            records: AtomicU32::new(0),
            resolved: AtomicU32::new(0),
            touched: AtomicU64::new(context.tick.load(Ordering::Relaxed)),
            damaged: AtomicBool::new(false),
            place: RwLock::new(Place {
                region: Some(region),
                path,
                len,
                synced: 0,
                unstored: HashMap::new(),
            }),
        }
    }

    pub(crate) fn ordinal(&self) -> u64 {
        self.ordinal.load(Ordering::Relaxed)
    }

    /// Where the records end, once that is certain.
    #[inline]
    pub(crate) fn sealed_end(&self) -> Option<usize> {
        match self.sealed_end.load(Ordering::Acquire) {
            0 => None,
            end => Some(end),
        }
    }

    /// Ends the segment. `records` were appended, `resolved` of them with all their marks at birth.
    pub(crate) fn seal(&self, region: &Region, end: usize, records: u32) {
        region.store_header_word(SEALED_END_AT, end as u64);
        self.records.store(records, Ordering::Relaxed);
        self.sealed_end.store(end, Ordering::Release);
    }

    /// Takes over a dead process's segment with this many unresolved records.
    pub(crate) fn adopt(&self, unresolved: u32) {
        self.records.store(unresolved, Ordering::Relaxed);
        self.sealed_end.store(self.place.read().len, Ordering::Release);
    }

    /// Counts a record that had all its marks at birth.
    #[inline]
    pub(crate) fn count_resolved(&self, payload_bytes: u32) {
        let counters = &self.context.counters;
        if self.identity.recovered {
            counters.recovered_done.fetch_add(1, Ordering::AcqRel);
        } else {
            counters.resolved_bytes.fetch_add(u64::from(payload_bytes), Ordering::AcqRel);
            counters.resolved_records.fetch_add(1, Ordering::AcqRel);
        }
        self.resolved.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether the records' memory is gone for good: resolved and freed, or closed.
    #[inline]
    pub(crate) fn is_gone(&self) -> bool {
        self.state.load(Ordering::Acquire) != IN_USE
    }

    /// Whether every record is resolved and no more will come.
    pub(crate) fn is_complete(&self) -> bool {
        self.sealed_end().is_some()
            && self.resolved.load(Ordering::Acquire) == self.records.load(Ordering::Relaxed)
    }

    /// Whether it holds nothing on disk.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.place.read().path.is_none()
    }

    pub(crate) fn unresolved_records(&self) -> u64 {
        u64::from(self.records.load(Ordering::Relaxed))
            .saturating_sub(u64::from(self.resolved.load(Ordering::Acquire)))
    }

    pub(crate) fn len(&self) -> usize {
        self.place.read().len
    }

    pub(crate) fn touched(&self) -> u64 {
        self.touched.load(Ordering::Relaxed)
    }

    /// Returns the segment's memory, mapping its file again if need be.
    pub(crate) fn region(&self) -> Result<Arc<Region>, ReadError> {
        if self.context.is_foreign() {
            return Err(ReadError::Foreign);
        }
        self.touched.store(self.context.tick.load(Ordering::Relaxed), Ordering::Relaxed);
        if let Some(region) = &self.place.read().region {
            return Ok(Arc::clone(region));
        }
        self.map(&mut self.place.write())
    }

    fn map(&self, place: &mut Place) -> Result<Arc<Region>, ReadError> {
        if let Some(region) = &place.region {
            return Ok(Arc::clone(region));
        }
        let Some(path) = &place.path else { return Err(ReadError::Freed) };
        let failed = |source| ReadError::Map { path: path.clone(), source };
        let files = &self.context.files;
        let (file, len) = files.open(path).map_err(failed)?;
        if len < place.len as u64 {
            return Err(failed(std::io::Error::new(
                std::io::ErrorKind::UnexpectedEof,
                "the file was truncated",
            )));
        }
        let map = files.map(&file, path, place.len).map_err(failed)?;
        let region = Arc::new(Region::mapped(map, place.len, &self.context.counters.resident_bytes));
        let required = self.identity.required_marks;
        for (offset, bits) in place.unstored.drain() {
            let before = region.add_marks(offset as usize, bits);
            let counted = bits & required == required || before & required == required;
            if let Slot::Record(head) = region.slot(offset as usize)
                && !counted
                && (before | bits) & required == required
            {
                self.count_resolved(head.payload_bytes);
            }
        }
        place.region = Some(Arc::clone(&region));
        Ok(region)
    }

    /// Adds marks to the record at `offset`.
    pub(crate) fn resolve(&self, offset: u32, payload_bytes: u32, bits: u32) -> Resolution {
        if self.context.is_foreign() {
            return Resolution::default();
        }
        let place = self.place.read();
        if let Some(region) = &place.region {
            let before = region.add_marks(offset as usize, bits);
            return self.resolution(before, bits, payload_bytes);
        }
        drop(place);
        let mut place = self.place.write();
        match self.map(&mut place) {
            Ok(region) => {
                let before = region.add_marks(offset as usize, bits);
                self.resolution(before, bits, payload_bytes)
            }
            Err(ReadError::Map { .. }) => {
                let marks = place.unstored.entry(offset).or_default();
                let before = *marks;
                *marks |= bits;
                self.resolution(before, bits, payload_bytes)
            }
            Err(_) => Resolution { newly: 0, complete: true },
        }
    }

    /// Sets all required marks of one record and takes it out of the account. Returns the marks that were missing.
    pub(crate) fn evict_record(&self, offset: u32, payload_bytes: u32) -> u32 {
        let required = self.identity.required_marks;
        let resolution = self.resolve(offset, payload_bytes, required);
        if resolution.newly & required != 0 {
            // `resolve` booked it as resolved.
            let counters = &self.context.counters;
            counters.evicted_bytes.fetch_add(u64::from(payload_bytes), Ordering::AcqRel);
            counters.evicted_records.fetch_add(1, Ordering::AcqRel);
            counters.resolved_bytes.fetch_sub(u64::from(payload_bytes), Ordering::AcqRel);
            counters.resolved_records.fetch_sub(1, Ordering::AcqRel);
        }
        resolution.newly & required
    }

    /// Called with the place locked, so that an eviction is either before or after.
    fn resolution(&self, before: u32, bits: u32, payload_bytes: u32) -> Resolution {
        let required = self.identity.required_marks;
        let complete = (before | bits) & required == required;
        if complete && before & required != required && !self.is_gone() {
            self.count_resolved(payload_bytes);
        }
        Resolution { newly: bits & !before, complete }
    }

    /// Gives memory and file up. Records of this segment can no longer be read.
    pub(crate) fn free(&self) -> (Option<Arc<Region>>, Option<PathBuf>) {
        let mut place = self.place.write();
        self.state.store(FREED, Ordering::Release);
        (place.region.take(), place.path.take())
    }

    /// Takes all unresolved records out of the account and gives the file up. The memory stays until [`free`](Self::free).
    ///
    /// # Errors
    ///
    /// When the segment cannot be read now, or not wholly. Nothing has changed then.
    pub(crate) fn evict(
        self: &Arc<Self>,
        records: impl FnOnce(&Region) -> Option<Vec<Record>>,
        out: &mut Vec<Evicted>,
    ) -> Result<(usize, Option<PathBuf>), ReadError> {
        let region = self.region()?;
        let all = records(&region).ok_or(ReadError::Damaged)?;
        let required = self.identity.required_marks;
        let counters = &self.context.counters;
        let mut place = self.place.write();
        self.state.store(EVICTED, Ordering::Release);
        for record in all {
            let before = region.add_marks(record.offset as usize, required);
            let unresolved = required & !before;
            if unresolved != 0 {
                if self.identity.recovered {
                    counters.recovered_done.fetch_add(1, Ordering::AcqRel);
                } else {
                    counters.evicted_bytes.fetch_add(u64::from(record.payload_bytes), Ordering::AcqRel);
                    counters.evicted_records.fetch_add(1, Ordering::AcqRel);
                }
                out.push(Evicted { record, unresolved });
            }
        }
        Ok((place.len, place.path.take()))
    }

    /// Unmaps a segment that nobody reads now. Returns whether it did.
    pub(crate) fn unmap(&self) -> bool {
        let mut place = self.place.write();
        let idle = place.region.as_ref().is_some_and(|region| Arc::strong_count(region) == 1);
        let unmapped = idle && place.path.is_some() && self.sealed_end().is_some();
        if unmapped {
            place.region = None;
        }
        unmapped
    }

    /// Whether it takes part in the resident bytes.
    pub(crate) fn is_mapped(&self) -> bool {
        self.place.read().region.is_some()
    }

    /// Moves a sealed anonymous segment to a file of `len` bytes that begins with `header`. `make` creates the file with this
    /// content.
    ///
    /// Returns the memory that it was in, or nothing when it is not movable now.
    pub(crate) fn spill<E>(
        &self,
        len: usize,
        mut header: Vec<u8>,
        make: impl FnOnce(&[&[u8]]) -> Result<(Region, PathBuf), E>,
    ) -> Result<Option<Arc<Region>>, E> {
        let Some(end) = self.sealed_end() else { return Ok(None) };
        let old = match &*self.place.read() {
            Place { region: Some(region), path: None, .. } => Arc::clone(region),
            _ => return Ok(None),
        };
        if self.is_gone() || end > len || self.records_of(&old).1 != end {
            return Ok(None);
        }
        // From here on nobody marks: what is written is what is marked.
        let mut place = self.place.write();
        let Some(records) = old.quiet_bytes(self.start, end - self.start) else { return Ok(None) };
        set_order(&mut header, self.ordinal(), end as u64);
        let (region, path) = make(&[&header, records])?;
        // Else the first mark in each page meets a page fault.
        let _ = region.populate();
        place.region = Some(Arc::new(region));
        place.path = Some(path);
        place.len = len;
        Ok(Some(old))
    }

    /// Follows the chain of records. Returns them, and where the chain ends.
    pub(crate) fn records_of(&self, region: &Region) -> (Vec<(u32, format::Head)>, usize) {
        let mut found = Vec::new();
        let mut offset = self.start;
        while let Slot::Record(head) = region.slot(offset) {
            found.push((offset as u32, head));
            offset += format::record_bytes(head.payload_bytes as usize);
        }
        (found, offset)
    }

    /// Writes what was appended since the last time through to the disk.
    pub(crate) fn sync(&self) -> std::io::Result<bool> {
        let (region, path, synced) = match &*self.place.read() {
            Place { region: Some(region), path: Some(path), synced, .. } => {
                (Arc::clone(region), path.clone(), *synced)
            }
            _ => return Ok(false),
        };
        let end = self.sealed_end().unwrap_or(region.len());
        let done = self.sealed_end().is_some() && synced == end;
        if done {
            return Ok(false);
        }
        self.context.files.before(crate::filesystem::Operation::Sync, &path)?;
        region.sync(end)?;
        if self.sealed_end() == Some(end) {
            self.place.write().synced = end;
        }
        Ok(true)
    }
}

/// Marks a file as free before it is deleted or used again.
pub(crate) fn mark_free(region: &Region) {
    region.store_header_word(0, u64::from_le_bytes(MAGIC_FREE));
}

/// Puts order and sealed end into an encoded header.
pub(crate) fn set_order(header: &mut [u8], order: u64, sealed_end: u64) {
    for (at, value) in
        [(SEALED_END_AT, sealed_end), (format::ORDER_AT, order), (format::ORDER_CHECK_AT, !order)]
    {
        if let Some(field) = header.get_mut(at..at + 8) {
            field.copy_from_slice(&value.to_le_bytes());
        }
    }
}
