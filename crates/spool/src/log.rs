//! The producers' handle.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::clock;
use crate::consumer::Consumer;
use crate::cursor::Cursor;
use crate::error::AppendError;
use crate::format::{CRC_BYTES, Head};
use crate::options::{Options, OptionsError};
use crate::record::{Meta, Position};
use crate::segment::{Aligned, Context, Identity};
use crate::shared::{Shared, Waker};
use crate::slots::{Held, Slots};
use crate::stats::Stats;

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
        let shared = Arc::new(Shared::new(context, identity, options));
        let log = Self { shared };
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

    /// Returns how many records were appended since the log was opened; zero in a forked child. Cheaper than
    /// [`Log::stats`].
    #[must_use]
    pub fn appended_records(&self) -> u64 {
        if self.is_foreign() { 0 } else { self.shared.appended_records() }
    }

    /// Returns whether a segment was used up since the last `maintain`.
    ///
    /// True once in a few thousand appends. Who would rather be called than ask has [`Log::on_used_up`].
    #[inline]
    #[must_use]
    pub fn wants_maintenance(&self) -> bool {
        self.shared.wants_maintenance.load(Ordering::Relaxed)
    }

    /// Sets what is called on a producer's thread when it has used up a segment: once in a few thousand appends. It is there to
    /// wake a sleeping consumer; it holds up all producers and must not use the log. Only the first one set counts.
    pub fn on_used_up(&self, wake: impl Fn() + Send + Sync + 'static) {
        // A second one would have nobody to wake: there is one consumer.
        let _ = self.shared.waker.set(Waker(Box::new(wake)));
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
