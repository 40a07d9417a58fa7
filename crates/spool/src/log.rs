//! The producers' side: appending records, and the state that both sides share.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};

use crate::clock;
use crate::consumer::Consumer;
use crate::cursor::Cursor;
use crate::error::{AppendError, Limit};
use crate::format::{self, CRC_BYTES, Head};
use crate::memory::{Appender, Region};
use crate::options::{Options, OptionsError, PAGE_BYTES};
use crate::record::{Meta, Position};
use crate::segment::{Aligned, Context, Identity, Segment};
use crate::slots::{Held, Slots};
use crate::stats::Stats;

/// Payloads up to this length are copied under the writer's lock (a microsecond at most); longer ones get their space under
/// the lock and are copied outside it.
const COPY_UNDER_LOCK_BYTES: usize = 32 * 1024;

/// How often a producer looks for the lock before it lets the system wait for it: a few microseconds.
const LOCK_SPINS: u32 = 100;

/// The producers' handle: appends records from any thread. Clones share one log.
#[derive(Debug, Clone)]
pub struct Log {
    pub(crate) shared: Arc<Shared>,
}

/// What [`Log::open`] returns.
#[derive(Debug)]
pub struct Opened {
    /// The producers' handle.
    pub log: Log,
    /// The consumer's end. Dropping it closes the log.
    pub consumer: Consumer,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) context: Arc<Context>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) options: Options,
    pub(crate) writer: Aligned<Mutex<Writer>>,
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
}

/// What the writer's lock protects. With the lock it fills one cache line, which is all that producers on different
/// cores take from each other, besides the record's own place.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) active: Option<Active>,
    appended_bytes: u64,
    pub(crate) rest: Box<Rest>,
}

/// What an append does not touch as a rule.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) prepared: VecDeque<Prepared>,
    pub(crate) closed: bool,
    /// Segments used up since the last `maintain`.
    pub(crate) used_up: usize,
    /// Where segment files are made, while the disk takes them.
    pub(crate) directory: Option<PathBuf>,
    /// Held records whose successors are in memory only, and those.
    superseded: Vec<(Held, Position)>,
    /// Records in segments before the active one.
    sealed_records: u64,
    unspooled_records: u64,
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
    fn appended_records(&self) -> u64 {
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

impl Log {
    /// Opens a log.
    ///
    /// With a [`directory`](Options::directory), the log's segments are files in a directory of its own there, and
    /// directories of dead processes are adopted: their records come out of
    /// [`Consumer::recover`](crate::Consumer::recover). A directory that cannot be used is no error: the log works
    /// in memory, [`Consumer::take_notices`](crate::Consumer::take_notices) says so once, and `maintain` tries again.
    ///
    /// Costs about a millisecond for the first segment.
    ///
    /// # Errors
    ///
    /// Only for options that no log can have.
    pub fn open(options: Options) -> Result<Opened, OptionsError> {
        crate::fork::install();
        let options = options.checked()?;
        let now = clock::unix_nanos();
        let context = Arc::new(Context {
            generation: crate::fork::generation(),
            files: crate::filesystem::Filesystem::new(options.faults.clone()),
            counters: Aligned::default(),
            tick: AtomicU64::new(0),
            notices: Mutex::new(Vec::new()),
        });
        let identity = Arc::new(Identity {
            instance: crate::instance::new_id(now),
            process_id: std::process::id(),
            required_marks: options.required_marks,
            user_header: options.user_header.clone(),
            recovered: false,
        });
        let shared = Arc::new(Shared {
            context,
            identity,
            options,
            writer: Aligned(Mutex::new(Writer {
                active: None,
                appended_bytes: 0,
                rest: Box::new(Rest {
                    prepared: VecDeque::with_capacity(32),
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
        });
        let log = Self { shared: Arc::clone(&shared) };
        let consumer = Consumer::start(log.clone());
        Ok(Opened { log, consumer })
    }

    /// Appends a record made of `parts`, one after the other, and returns its position.
    ///
    /// With a spool, the record survives the death of the process from here on. Never waits for a disk, never
    /// allocates, except where the consumer's `maintain` has not kept up: then it takes memory for a segment, and when
    /// there is as much of that as is allowed, makes a segment file itself. May be called from several threads; records are
    /// ordered by who got the lock first.
    ///
    /// # Errors
    ///
    /// See [`AppendError`]. The record is then not in the log, and the loss is the caller's to count.
    #[inline]
    pub fn append(&self, meta: Meta, parts: &[&[u8]]) -> Result<Position, AppendError> {
        self.append_record(meta, parts, &mut None)
    }

    /// Appends a record that takes the place of a held one, which is let go.
    ///
    /// However the process dies, one of the two is recovered, and never both: the held one if the new one did not get into
    /// the log.
    ///
    /// # Errors
    ///
    /// As [`Log::append`]. The held record then stays in `held`, and is held still.
    #[inline]
    pub fn append_releasing(
        &self,
        meta: Meta,
        parts: &[&[u8]],
        held: &mut Option<Held>,
    ) -> Result<Position, AppendError> {
        self.append_record(meta, parts, held)
    }

    /// Holds a record outside the log: it is recovered if this process dies before it is let go, and nobody
    /// reads it otherwise. Takes no lock.
    ///
    /// `None` when it cannot be held: no file for it, all places taken, too long (472 bytes), or a forked child's copy of
    /// its parent's log.
    #[inline]
    pub fn hold(&self, meta: Meta, parts: &[&[u8]]) -> Option<Held> {
        let shared = &*self.shared;
        let slots = shared.slots.get()?;
        if shared.context.is_foreign() {
            return None;
        }
        slots.hold(&head_of(meta, u32::try_from(length_of(parts)).ok()?), parts)
    }

    /// Lets a held record go. In a forked child, the parent's stays held.
    pub fn release(&self, held: Held) {
        if !self.shared.context.is_foreign()
            && let Some(slots) = self.shared.slots.get()
        {
            slots.release(&held);
        }
    }

    #[inline]
    fn append_record(
        &self,
        meta: Meta,
        parts: &[&[u8]],
        held: &mut Option<Held>,
    ) -> Result<Position, AppendError> {
        let shared = &*self.shared;
        // Before any lock: in a forked child some thread of the parent may hold it for ever.
        if shared.context.is_foreign() {
            return Err(AppendError::Foreign);
        }
        let bytes = length_of(parts);
        if bytes > shared.options.max_record_bytes {
            return Err(AppendError::TooLarge { bytes, limit: shared.options.max_record_bytes });
        }
        let mut head = head_of(meta, bytes as u32);
        // Nobody reads memory after this process; short payloads are summed up where they are copied to.
        if bytes >= CRC_BYTES && shared.options.directory.is_some() {
            head.crc = head.crc(parts.iter().copied());
        }
        shared.append(&head, parts, held)
    }

    /// Returns a reader that starts at the oldest record still in the log. Any number may exist; each reads all
    /// records in order, skipping those that already have all marks in `interest` (zero: skips none).
    #[must_use]
    pub fn cursor(&self, interest: u32) -> Cursor {
        Cursor::new(Arc::clone(&self.shared), interest)
    }

    /// Returns the log's gauges and counters. In a forked child, only those that need no lock.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counters = &self.shared.context.counters;
        let mut stats = counters.stats();
        if self.is_foreign() {
            return stats;
        }
        stats.segments = self.shared.segments.lock().len() as u64;
        let writer = self.shared.writer.lock();
        stats.prepared_segments = writer.rest.prepared.len() as u64;
        stats.appended_records = writer.appended_records();
        stats.appended_bytes = writer.appended_bytes;
        stats.unspooled_records = writer.rest.unspooled_records;
        stats.held_records = self.shared.slots.get().map_or(0, Slots::held);
        drop(writer);
        let gone_bytes =
            counters.resolved_bytes.load(Ordering::Acquire) + counters.evicted_bytes.load(Ordering::Acquire);
        stats.depth_records = stats.appended_records.saturating_sub(counters.gone_records());
        stats.depth_bytes = stats.appended_bytes.saturating_sub(gone_bytes);
        stats
    }

    /// Returns whether a segment was used up since the last `maintain`.
    ///
    /// True once in a few thousand appends: a producer that sees it after an `append` may wake a sleeping consumer,
    /// at no noticeable cost, so that even a burst finds prepared segments.
    #[inline]
    #[must_use]
    pub fn wants_maintenance(&self) -> bool {
        self.shared.wants_maintenance.load(Ordering::Relaxed)
    }

    /// Returns whether this process is a forked child of the one that opened the log. Such a log takes no records,
    /// yields none and changes nothing on disk; the parent goes on undisturbed.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.shared.context.is_foreign()
    }

    /// Opens a fresh, empty log with the same options: what a forked child does at its first use. (It may adopt
    /// orphans of dead processes like any other log; the parent's records stay the parent's.)
    ///
    /// # Errors
    ///
    /// Never for options that a log was opened with; the type is that of [`Log::open`].
    pub fn reopen_after_fork(&self) -> Result<Opened, OptionsError> {
        Self::open(self.shared.options.clone())
    }

    /// Returns the options in force, with sizes as clamped.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.shared.options
    }
}

#[inline]
fn length_of(parts: &[&[u8]]) -> usize {
    parts.iter().fold(0, |sum, part| sum.saturating_add(part.len()))
}

#[inline]
fn head_of(meta: Meta, payload_bytes: u32) -> Head {
    Head {
        payload_bytes,
        crc: 0,
        marks: meta.marks,
        kind: meta.kind,
        flags: meta.flags,
        appended_unix_nanos: match meta.appended_unix_nanos {
            0 => clock::coarse_unix_nanos(),
            nanos => nanos,
        },
    }
}

impl Shared {
    fn append(&self, head: &Head, parts: &[&[u8]], held: &mut Option<Held>) -> Result<Position, AppendError> {
        let bytes = head.payload_bytes as usize;
        let mut writer = self.lock_writer();
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
            reservation.as_ref().map(crate::memory::Reservation::offset)
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

    /// Takes the writer's lock. It is held for some ten nanoseconds as a rule: looking again a few times is far cheaper
    /// than the system call that the mutex makes soon.
    #[inline]
    fn lock_writer(&self) -> MutexGuard<'_, Writer> {
        for _ in 0..LOCK_SPINS {
            if let Some(writer) = self.writer.try_lock() {
                return writer;
            }
            std::hint::spin_loop();
        }
        self.writer.lock()
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
                if self.has_room_for(len, true) {
                    let region = Region::anonymous(len, &self.context.counters.resident_bytes)
                        .map_err(|_| AppendError::OutOfMemory)?;
                    self.account(len, true);
                    self.prepare(region, None)
                } else {
                    self.overflow(&writer.rest, len).ok_or(AppendError::Full(Limit::Bytes))?
                }
            }
        };
        self.seal_active(writer);
        self.activate(writer, next);
        self.wants_maintenance.store(true, Ordering::Relaxed);
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
