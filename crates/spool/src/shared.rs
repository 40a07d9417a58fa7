//! The state that producers and the consumer share: the writer, its segments, and what they take of the bounds.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::appender::{Appender, Reservation};
use crate::error::{AppendError, Limit};
use crate::format::{self, Head};
use crate::memory::Region;
use crate::options::{Options, PAGE_BYTES};
use crate::record::Position;
use crate::segment::{Aligned, Context, Identity, Segment};
use crate::slots::{Held, Slots};
use crate::writer_lock::WriterLock;

/// Payloads up to this length are copied under the writer's lock (a microsecond at most); longer ones get their space under
/// the lock and are copied outside it.
const COPY_UNDER_LOCK_BYTES: usize = 32 * 1024;

/// Segments' memory that is kept for the next ones after their records moved to files.
const MAX_SPARES: usize = 8;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) context: Arc<Context>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) options: Options,
    pub(crate) writer: Aligned<WriterLock<Writer>>,
    /// Segments put to use and not freed, by ordinal.
    pub(crate) segments: Mutex<VecDeque<Arc<Segment>>>,
    /// Where records are held, once there is a file for them.
    pub(crate) slots: OnceLock<Slots>,
    /// Whether held records wait for their successors to be read.
    pub(crate) has_superseded: AtomicBool,
    pub(crate) next_sequence: AtomicU64,
    next_ordinal: AtomicU64,
    /// Producers that copy a long record just now.
    pub(crate) copying: AtomicU32,
    /// Set when a segment was used up, cleared by `maintain`.
    pub(crate) wants_maintenance: AtomicBool,
    pub(crate) waker: OnceLock<Waker>,
}

/// What is called when a segment was used up.
pub(crate) struct Waker(pub(crate) Box<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Waker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Waker")
    }
}

/// What the writer's lock protects. With the lock it fills one cache line, which is all that producers on different
/// cores take from each other, besides the record's own place.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) active: Option<Active>,
    pub(crate) appended_bytes: u64,
    pub(crate) rest: Box<Rest>,
}

/// What an append does not touch as a rule.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) prepared: VecDeque<Prepared>,
    /// Memory of segments that moved to files, zeroed: for producers that outrun preparation.
    spares: Vec<Region>,
    pub(crate) closed: bool,
    /// Segments used up since the last `maintain`.
    pub(crate) used_up: usize,
    /// Where segment files are made, while the disk takes them.
    pub(crate) directory: Option<PathBuf>,
    /// Held records whose successors are in memory only, and those.
    superseded: Vec<(Held, Position)>,
    /// Records in segments before the active one.
    sealed_records: u64,
    pub(crate) unspooled_records: u64,
}

/// The segment that records are appended to.
#[derive(Debug)]
pub(crate) struct Active {
    appender: Appender,
    segment: Arc<Segment>,
    ordinal: u64,
    records: u32,
    pub(crate) anonymous: bool,
}

impl Writer {
    pub(crate) fn appended_records(&self) -> u64 {
        self.rest.sealed_records + self.active.as_ref().map_or(0, |active| u64::from(active.records))
    }
}

/// A segment ready to become active.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) segment: Arc<Segment>,
    pub(crate) region: Arc<Region>,
    appender: Appender,
    pub(crate) anonymous: bool,
}

impl Shared {
    pub(crate) fn new(context: Arc<Context>, identity: Arc<Identity>, options: Options) -> Self {
        Self {
            context,
            identity,
            options,
            writer: Aligned(WriterLock::new(Writer {
                active: None,
                appended_bytes: 0,
                rest: Box::new(Rest {
                    prepared: VecDeque::with_capacity(32),
                    spares: Vec::with_capacity(MAX_SPARES),
                    closed: false,
                    used_up: 0,
                    directory: None,
                    superseded: Vec::new(),
                    sealed_records: 0,
                    unspooled_records: 0,
                }),
            })),
            segments: Mutex::new(VecDeque::with_capacity(256)),
            slots: OnceLock::new(),
            has_superseded: AtomicBool::new(false),
            next_sequence: AtomicU64::new(1),
            next_ordinal: AtomicU64::new(1),
            copying: AtomicU32::new(0),
            wants_maintenance: AtomicBool::new(false),
            waker: OnceLock::new(),
        }
    }

    pub(crate) fn append(
        &self,
        head: &Head,
        parts: &[&[u8]],
        held: &mut Option<Held>,
    ) -> Result<Position, AppendError> {
        let bytes = head.payload_bytes as usize;
        let mut writer = self.writer.lock();
        if let Some(limit) = self.options.max_records
            && writer.appended_records().saturating_sub(self.context.counters.gone_records()) >= limit
        {
            return Err(if writer.rest.closed {
                AppendError::Closed
            } else {
                AppendError::Full(Limit::Records)
            });
        }
        if !writer.active.as_ref().is_some_and(|active| active.appender.has_room(bytes)) {
            self.roll(&mut writer, bytes)?;
        }
        let Some(active) = writer.active.as_mut() else { return Err(AppendError::OutOfMemory) };
        let slots = if held.is_some() { self.slots.get() } else { None };
        if let (Some(slots), Some(held)) = (slots, &*held)
            && !active.anonymous
        {
            slots.note_successor(held, active.segment.sequence, active.appender.offset() as u32);
        }
        let mut reservation = None;
        let offset = if bytes <= COPY_UNDER_LOCK_BYTES {
            active.appender.append(head, parts)
        } else {
            reservation = active.appender.reserve(head.payload_bytes);
            reservation.as_ref().map(Reservation::offset)
        };
        let Some(offset) = offset else { return Err(AppendError::OutOfMemory) };
        active.records += 1;
        let position = Position { segment: active.ordinal, offset: offset as u32 };
        let active_is_anonymous = active.anonymous;
        let unspooled = active.anonymous && self.options.directory.is_some();
        if head.marks & self.identity.required_marks == self.identity.required_marks {
            active.segment.count_resolved(head.payload_bytes);
        }
        writer.appended_bytes += bytes as u64;
        if unspooled {
            writer.rest.unspooled_records += 1;
        }
        let mut over = held.take();
        if over.is_some() && active_is_anonymous {
            // The file knows nothing of the new record yet, which would be lost with this process.
            writer.rest.superseded.extend(over.take().map(|held| (held, position)));
            self.has_superseded.store(true, Ordering::Release);
        }
        if let Some(reservation) = reservation {
            self.copying.fetch_add(1, Ordering::AcqRel);
            drop(writer);
            reservation.publish(head, parts);
            self.copying.fetch_sub(1, Ordering::AcqRel);
        }
        if let (Some(slots), Some(over)) = (slots, &over) {
            slots.release(over);
        }
        Ok(position)
    }

    /// Lets go of held records whose successors were read: from now on those are looked after. Without a position, of all.
    #[cold]
    pub(crate) fn release_superseded(&self, read: Option<Position>) {
        let Some(slots) = self.slots.get() else { return };
        let mut writer = self.writer.lock();
        writer.rest.superseded.retain(|(held, successor)| {
            let is_read = read.is_none_or(|read| *successor <= read);
            if is_read {
                slots.release(held);
            }
            !is_read
        });
        self.has_superseded.store(!writer.rest.superseded.is_empty(), Ordering::Release);
    }

    /// Replaces the active segment by one with room for the payload.
    #[cold]
    fn roll(&self, writer: &mut Writer, payload_bytes: usize) -> Result<(), AppendError> {
        if writer.rest.closed {
            return Err(AppendError::Closed);
        }
        let start = format::data_start(self.identity.user_header.len());
        let need = start + format::record_bytes(payload_bytes);
        let prepared =
            if need <= self.options.segment_bytes { writer.rest.prepared.pop_front() } else { None };
        let next = match prepared {
            Some(prepared) => prepared,
            None => {
                let len = need.max(self.options.segment_bytes).next_multiple_of(PAGE_BYTES);
                let spare = if len == self.options.segment_bytes { writer.rest.spares.pop() } else { None };
                if spare.is_none() && !self.has_room_for(len, true) {
                    for spare in std::mem::take(&mut writer.rest.spares) {
                        self.unaccount(spare.len(), true);
                    }
                }
                match spare {
                    Some(region) => self.prepare(region, None),
                    None if self.has_room_for(len, true) => {
                        let region = Region::anonymous(len, &self.context.counters.resident_bytes)
                            .map_err(|_| AppendError::OutOfMemory)?;
                        self.account(len, true);
                        self.prepare(region, None)
                    }
                    None => self.overflow(&writer.rest, len).ok_or(AppendError::Full(Limit::Bytes))?,
                }
            }
        };
        self.seal_active(writer);
        self.activate(writer, next);
        self.wants_maintenance.store(true, Ordering::Relaxed);
        if let Some(waker) = self.waker.get() {
            waker.0();
        }
        Ok(())
    }

    pub(crate) fn appended_records(&self) -> u64 {
        self.writer.lock().appended_records()
    }

    /// Records appended and neither resolved nor evicted.
    pub(crate) fn depth_records(&self) -> u64 {
        self.appended_records().saturating_sub(self.context.counters.gone_records())
    }

    /// Whether a segment of this length may be added.
    pub(crate) fn has_room_for(&self, len: usize, anonymous: bool) -> bool {
        let counters = &self.context.counters;
        let fits = |counter: &AtomicU64, limit| counter.load(Ordering::Relaxed) + len as u64 <= limit;
        fits(&counters.allocated_bytes, self.options.max_bytes)
            && (!anonymous || fits(&counters.anonymous_bytes, self.options.max_resident_bytes))
    }

    /// Books a segment's bytes.
    pub(crate) fn account(&self, len: usize, anonymous: bool) {
        let counters = &self.context.counters;
        counters.allocated_bytes.fetch_add(len as u64, Ordering::Relaxed);
        let kind = if anonymous { &counters.anonymous_bytes } else { &counters.disk_bytes };
        kind.fetch_add(len as u64, Ordering::Relaxed);
    }

    /// Takes a segment's bytes off the books.
    pub(crate) fn unaccount(&self, len: usize, anonymous: bool) {
        let counters = &self.context.counters;
        counters.allocated_bytes.fetch_sub(len as u64, Ordering::Relaxed);
        let kind = if anonymous { &counters.anonymous_bytes } else { &counters.disk_bytes };
        kind.fetch_sub(len as u64, Ordering::Relaxed);
    }

    /// Keeps the memory of a segment that moved to a file for the next one, or gives it back. The first `used` bytes were
    /// written.
    ///
    /// Memory that was just in use is at hand; fresh memory costs a producer a fault, and the system its clearing. None is kept
    /// where records take half of what they may: it is for bursts, not for a backlog.
    pub(crate) fn retire(&self, region: Arc<Region>, len: usize, used: usize) {
        // A reader may hold a payload still: such memory cannot be written again.
        let resident = self.context.counters.resident_bytes.load(Ordering::Relaxed);
        let wanted = len == self.options.segment_bytes && resident <= self.options.max_resident_bytes / 2;
        let region = if wanted { Arc::try_unwrap(region).ok() } else { None };
        if let Some(mut region) = region {
            region.zero(used);
            let mut writer = self.writer.lock();
            if !writer.rest.closed && writer.rest.spares.len() < MAX_SPARES {
                writer.rest.spares.push(region);
                return;
            }
        }
        self.unaccount(len, true);
    }

    /// Gives back memory kept by [`retire`](Self::retire).
    pub(crate) fn drop_spares(&self) {
        let spares = std::mem::take(&mut self.writer.lock().rest.spares);
        for spare in spares {
            self.unaccount(spare.len(), true);
        }
    }

    /// Makes a segment out of blank memory. With a path, its header was written by the caller under the sequence number that
    /// the path carries.
    pub(crate) fn prepare(&self, region: Region, file: Option<(u64, std::path::PathBuf)>) -> Prepared {
        let anonymous = file.is_none();
        let (sequence, path) = match file {
            Some((sequence, path)) => (sequence, Some(path)),
            None => (self.next_sequence(), None),
        };
        let start = format::data_start(self.identity.user_header.len());
        let (region, appender) = Appender::new(region, start, self.salt(sequence));
        let segment =
            Arc::new(Segment::new(&self.context, &self.identity, sequence, start, Arc::clone(&region), path));
        Prepared { segment, region, appender, anonymous }
    }

    /// What the checksums of a segment are mixed with; nothing in a log that never has files.
    pub(crate) fn salt(&self, sequence: u64) -> Option<u32> {
        self.options.directory.is_some().then(|| format::salt(&self.identity.instance, sequence))
    }

    pub(crate) fn next_sequence(&self) -> u64 {
        self.next_sequence.fetch_add(1, Ordering::Relaxed)
    }

    /// Ends the active segment.
    pub(crate) fn seal_active(&self, writer: &mut Writer) {
        if let Some(active) = writer.active.take() {
            active.segment.seal(active.appender.region(), active.appender.offset(), active.records);
            writer.rest.sealed_records += u64::from(active.records);
            writer.rest.used_up += 1;
        }
    }

    /// Puts a prepared segment to use.
    pub(crate) fn activate(&self, writer: &mut Writer, next: Prepared) {
        let ordinal = self.next_ordinal();
        next.segment.ordinal.store(ordinal, Ordering::Relaxed);
        next.region.store_header_word(format::ORDER_AT, ordinal);
        next.region.store_header_word(format::ORDER_CHECK_AT, !ordinal);
        self.segments.lock().push_back(Arc::clone(&next.segment));
        writer.active = Some(Active {
            appender: next.appender,
            segment: next.segment,
            ordinal,
            records: 0,
            anonymous: next.anonymous,
        });
    }

    pub(crate) fn next_ordinal(&self) -> u64 {
        self.next_ordinal.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the first segment behind this ordinal.
    pub(crate) fn segment_after(&self, ordinal: u64) -> Option<Arc<Segment>> {
        let segments = self.segments.lock();
        let index = segments.partition_point(|segment| segment.ordinal() <= ordinal);
        segments.get(index).cloned()
    }
}
