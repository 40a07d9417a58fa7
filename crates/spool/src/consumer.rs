//! The consumer's end: reading, recovering, and all work that producers must not do.

mod supply;
mod upkeep;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use self::supply::Failing;
use crate::cursor::Cursor;
use crate::instance::Instance;
use crate::log::Log;
use crate::memory::Region;
use crate::options::WhenFull;
use crate::record::{Evicted, Record};
use crate::recovery::{Recovery, RecoveryReport};
use crate::segment::{Segment, mark_free};
use crate::shared::{Prepared, Shared};
use crate::stats::Notice;

/// The consumer's end of a log. There is one; it may move between threads.
///
/// Dropping it closes the log as [`close`](Self::close) does.
#[derive(Debug)]
pub struct Consumer {
    log: Log,
    cursor: Cursor,
    instance: Option<Instance>,
    failing: Option<Failing>,
    recovery: Recovery,
    pool: Vec<Pooled>,
    /// Segments evicted by the last `maintain`: their payloads can be read until the next one.
    evicted: Vec<Arc<Segment>>,
    /// Files that could not be deleted yet, with their bytes.
    undeleted: Vec<(PathBuf, usize)>,
    target: usize,
    calm: u32,
    synced: Option<Instant>,
    synced_records: u64,
    sync_failed: bool,
    lock_checked: Option<Instant>,
    evictor: Cursor,
    closed: bool,
    /// There is no file for held records, and no further attempt to make one.
    slots_failed: bool,
}

/// A segment that waits to be used again.
#[derive(Debug)]
struct Pooled {
    region: Region,
    path: Option<PathBuf>,
    used: usize,
}

/// What a call of [`Consumer::maintain`] did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Maintenance {
    /// Records that made room for newer ones, for the caller to count.
    pub evicted: Vec<Evicted>,
    /// What deserves one log line.
    pub notices: Vec<Notice>,
    /// Segments whose records were all resolved and that were freed.
    pub freed_segments: usize,
    /// Whether there is more to do right away: call again without waiting for the next tick.
    pub more: bool,
}

/// What closing a log left behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Closed {
    /// Unresolved records of this process in files, for the next process.
    pub spooled_records: u64,
    /// Unresolved records that were in memory only and are gone.
    pub lost_records: u64,
    /// Notices not taken before.
    pub notices: Vec<Notice>,
}

impl Consumer {
    /// Prepares the first segment and adopts orphans.
    pub(crate) fn start(log: Log) -> Self {
        let mut consumer = Self {
            cursor: log.cursor(0),
            evictor: log.cursor(log.shared.options.required_marks),
            target: log.shared.options.prepared_segments,
            log,
            instance: None,
            failing: None,
            recovery: Recovery::default(),
            pool: Vec::new(),
            evicted: Vec::new(),
            undeleted: Vec::new(),
            calm: 0,
            synced: None,
            synced_records: 0,
            sync_failed: false,
            lock_checked: None,
            closed: false,
            slots_failed: false,
        };
        let shared = Arc::clone(&consumer.log.shared);
        let prepared = consumer.next_prepared(Instant::now());
        if let Some(prepared) = prepared {
            shared.activate(&mut shared.writer.lock(), prepared);
        }
        consumer.adopt_orphans();
        consumer
    }

    /// Returns the producers' handle.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Appends at most `max_records` new records to `out`, in append order, as long as their payloads together
    /// have at most `max_payload_bytes` (one is always taken). Returns how many.
    ///
    /// This is the consumer's own [`Cursor`]; lanes that read at their own pace take one each from [`Log::cursor`].
    pub fn poll(&mut self, max_records: usize, max_payload_bytes: usize, out: &mut Vec<Record>) -> usize {
        let read = self.cursor.poll(max_records, max_payload_bytes, out);
        if self.log.shared.has_superseded.load(Ordering::Acquire)
            && let Some(last) = out.last().filter(|_| read > 0)
        {
            self.log.shared.release_superseded(Some(last.position()));
        }
        read
    }

    /// Appends at most `max_records` unresolved records of dead processes to `out`, oldest process first, each process's
    /// in append order. Returns how many; zero when all are read.
    ///
    /// Segments are read and verified one at a time as they are needed. Damage goes to
    /// [`take_recovery_report`](Self::take_recovery_report).
    pub fn recover(&mut self, max_records: usize, out: &mut Vec<Record>) -> usize {
        if self.closed || self.log.is_foreign() {
            return 0;
        }
        self.recovery.recover(&self.log.shared, max_records, out)
    }

    /// Returns whether recovered records wait to be read.
    #[must_use]
    pub fn has_recovered(&self) -> bool {
        self.recovery.is_waiting()
    }

    /// Looks for directories of processes that died since the log was opened, and adopts them. Returns how many.
    ///
    /// Lists the spool directory: call it every minute or so, not on every tick.
    pub fn adopt_orphans(&mut self) -> usize {
        let shared = Arc::clone(&self.log.shared);
        match &shared.options.directory {
            Some(directory) if !self.closed && !shared.context.is_foreign() => {
                self.recovery.adopt(&shared, directory)
            }
            _ => 0,
        }
    }

    /// Returns what recovery found since the last call.
    pub fn take_recovery_report(&mut self) -> RecoveryReport {
        std::mem::take(&mut self.recovery.report)
    }

    /// Returns the notices since the last call. `maintain` returns them as well.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        if self.log.is_foreign() {
            return Vec::new();
        }
        std::mem::take(&mut *self.log.shared.context.notices.lock())
    }

    /// Does everything that producers must not wait for; call it every few milliseconds.
    ///
    /// Frees resolved segments, evicts (if asked to), prepares segments ahead of need, moves records from memory to
    /// files when the disk is back, unmaps what is too much in memory, writes through to the disk if due.
    pub fn maintain(&mut self) -> Maintenance {
        self.maintain_at(Instant::now())
    }

    /// Does what producers need at once, if one of them has used up a segment since the last time: makes the next ones ready.
    ///
    /// For a consumer in the middle of long work, between two calls of [`maintain`](Self::maintain): a producer that finds no
    /// segment ready takes memory, whose records are then written a second time. Costs one load otherwise.
    pub fn replenish(&mut self) {
        let shared = Arc::clone(&self.log.shared);
        if !shared.wants_maintenance.load(Ordering::Relaxed) || self.closed || shared.context.is_foreign() {
            return;
        }
        shared.wants_maintenance.store(false, Ordering::Relaxed);
        self.adjust_target(&shared);
        self.prepare(&shared, Instant::now());
    }

    /// [`maintain`](Self::maintain) at a given time, for simulated clocks.
    pub fn maintain_at(&mut self, now: Instant) -> Maintenance {
        let mut done = Maintenance::default();
        let shared = Arc::clone(&self.log.shared);
        if self.closed || shared.context.is_foreign() {
            return done;
        }
        shared.wants_maintenance.store(false, Ordering::Relaxed);
        shared.context.tick.fetch_add(1, Ordering::Relaxed);
        self.free_evicted();
        done.freed_segments = self.free_complete(&shared) + self.recovery.free_complete(&shared);
        self.evict(&shared, &mut done.evicted);
        self.adjust_target(&shared);
        self.prepare(&shared, now);
        self.leave_memory(&shared);
        done.more = self.spill(&shared, now);
        self.unmap(&shared);
        self.check_lock(&shared, now);
        self.sync(&shared, now);
        done.notices = self.take_notices();
        done
    }

    /// Closes the log: no more records are taken, all handles to records become unreadable, files of unresolved records
    /// stay for the next process, everything else is deleted, locks are released.
    pub fn close(mut self) -> Closed {
        self.shut()
    }

    fn shut(&mut self) -> Closed {
        let mut closed = Closed::default();
        let shared = Arc::clone(&self.log.shared);
        if std::mem::replace(&mut self.closed, true) || shared.context.is_foreign() {
            return closed;
        }
        let prepared = {
            let mut writer = shared.writer.lock();
            writer.rest.closed = true;
            shared.seal_active(&mut writer);
            std::mem::take(&mut writer.rest.prepared)
        };
        // Long records that were promised space are still being copied; that takes microseconds.
        while shared.copying.load(Ordering::Acquire) != 0 {
            std::thread::yield_now();
        }
        for prepared in prepared {
            self.discard_prepared(&shared, prepared);
        }
        shared.drop_spares();
        self.free_evicted();
        self.free_complete(&shared);
        for pooled in std::mem::take(&mut self.pool) {
            self.discard_pooled(&shared, pooled);
        }
        let now = Instant::now();
        while self.spill(&shared, now) {}
        if shared.options.sync_interval.is_some() {
            self.synced = None;
            self.sync(&shared, now);
        }
        for segment in std::mem::take(&mut *shared.segments.lock()) {
            if segment.is_complete() {
                self.free(&shared, &segment, false);
            } else if let (_, Some(_)) = segment.free() {
                closed.spooled_records += segment.unresolved_records();
            } else {
                closed.lost_records += segment.unresolved_records();
            }
        }
        shared.release_superseded(None);
        self.recovery.close(&shared);
        if let Some(slots) = shared.slots.get().filter(|_| self.instance.is_some()) {
            slots.close();
            match slots.held() {
                0 => self.delete(&shared, Some(slots.path.clone()), slots.region().len()),
                held => closed.spooled_records += held,
            }
        }
        if let Some(instance) = self.instance.take() {
            instance.remove_if_empty(&shared.context.files);
        }
        closed.notices = self.take_notices();
        closed
    }

    fn free_evicted(&mut self) {
        for segment in self.evicted.drain(..) {
            segment.free();
        }
    }

    fn free_complete(&mut self, shared: &Shared) -> usize {
        let mut complete = Vec::new();
        shared.segments.lock().retain(|segment| {
            let done = segment.is_complete();
            if done {
                complete.push(Arc::clone(segment));
            }
            !done
        });
        for segment in &complete {
            self.free(shared, segment, true);
        }
        self.undeleted.retain(|(path, len)| {
            let kept = !deleted(&shared.context.files.remove(path));
            if !kept {
                shared.unaccount(*len, false);
            }
            kept
        });
        complete.len()
    }

    /// Frees a segment whose records are all resolved, keeping its memory for the next one if it is of use.
    fn free(&mut self, shared: &Shared, segment: &Segment, reuse: bool) {
        let (len, used) = (segment.len(), segment.sealed_end().unwrap_or(usize::MAX));
        let (region, path) = segment.free();
        let wanted = reuse
            && len == shared.options.segment_bytes
            && self.pool.len() < self.target
            && path.is_some() == self.wants_files(shared);
        // A reader may hold a payload still: such memory cannot be written again.
        if let Some(Ok(region)) = region.map(Arc::try_unwrap)
            && wanted
        {
            if path.is_some() {
                mark_free(&region);
            }
            self.pool.push(Pooled { region, path, used });
        } else {
            self.delete(shared, path, len);
        }
    }

    fn delete(&mut self, shared: &Shared, path: Option<PathBuf>, len: usize) {
        match path {
            Some(path) if !deleted(&shared.context.files.remove(&path)) => self.undeleted.push((path, len)),
            path => shared.unaccount(len, path.is_none()),
        }
    }

    fn discard_pooled(&mut self, shared: &Shared, pooled: Pooled) {
        let len = pooled.region.len();
        drop(pooled.region);
        self.delete(shared, pooled.path, len);
    }

    fn discard_prepared(&mut self, shared: &Shared, prepared: Prepared) {
        let len = prepared.region.len();
        let (_, path) = prepared.segment.free();
        drop(prepared);
        self.delete(shared, path, len);
    }

    fn evict(&mut self, shared: &Shared, out: &mut Vec<Evicted>) {
        self.recovery.evict(shared, shared.options.max_bytes, out, &mut self.evicted);
        if shared.options.when_full != WhenFull::EvictOldest {
            return;
        }
        if let Some(limit) = shared.options.max_records {
            let depth = shared.depth_records();
            let keep = limit - limit / 8;
            if depth > keep {
                self.evict_records(depth - keep, out);
            }
        }
        let ready = shared.writer.lock().rest.prepared.len() + self.pool.len();
        let headroom = self.target.saturating_sub(ready) * shared.options.segment_bytes;
        if headroom > 0 && !shared.has_room_for(headroom, true) {
            shared.drop_spares();
        }
        let mut skip = 0;
        // What cannot be deleted makes no room: evicting more would only lose more.
        while headroom > 0
            && self.undeleted.is_empty()
            && !shared.has_room_for(headroom, !self.wants_files(shared))
        {
            let oldest = {
                let segments = shared.segments.lock();
                segments.iter().filter(|s| s.sealed_end().is_some()).nth(skip).cloned()
            };
            let Some(segment) = oldest else { return };
            let records = |region: &Region| {
                let (found, end) = segment.records_of(region);
                // A long record may still be being copied into it.
                let whole = segment.sealed_end() == Some(end);
                let records =
                    found.iter().map(|(offset, head)| Record::new(&segment, *offset, head)).collect();
                whole.then_some(records)
            };
            match segment.evict(records, out) {
                Ok((len, path)) => {
                    shared.segments.lock().retain(|other| !Arc::ptr_eq(other, &segment));
                    self.delete(shared, path, len);
                    self.evicted.push(segment);
                }
                Err(_) => skip += 1,
            }
        }
    }

    /// Evicts the oldest records one by one, for the bound in records.
    fn evict_records(&mut self, count: u64, out: &mut Vec<Evicted>) {
        let mut oldest = Vec::new();
        self.evictor.poll(usize::try_from(count).unwrap_or(usize::MAX), usize::MAX, &mut oldest);
        for record in oldest {
            let unresolved = record.segment.evict_record(record.offset, record.payload_bytes);
            if unresolved != 0 {
                out.push(Evicted { record, unresolved });
            }
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.shut();
    }
}

/// Whether a file is gone.
fn deleted(outcome: &io::Result<()>) -> bool {
    match outcome {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}
