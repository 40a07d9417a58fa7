//! The consumer's end: reading, recovering, and all work that producers must not do.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::clock;
use crate::cursor::Cursor;
use crate::instance::Instance;
use crate::log::{Log, Prepared, Shared};
use crate::memory::Region;
use crate::options::{MAX_PREPARED_SEGMENTS, WhenFull};
use crate::record::{Evicted, Record};
use crate::recovery::{Recovery, RecoveryReport};
use crate::segment::{Segment, mark_free};
use crate::stats::Notice;

/// Segments copied from memory to files in one call of `maintain`.
const SPILLS_PER_CALL: usize = 8;
/// Calls of `maintain` without need after which one segment less is kept ready.
const CALM_CALLS: u32 = 1000;
const LOCK_CHECK_INTERVAL: Duration = Duration::from_secs(1);

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
}

/// The disk does not take segments at the moment.
#[derive(Debug)]
struct Failing {
    retry_at: Instant,
    wait: Duration,
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
        self.cursor.poll(max_records, max_payload_bytes, out)
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

    /// The same at a given time, for simulated clocks.
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
        self.recovery.close(&shared);
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

    fn adjust_target(&mut self, shared: &Shared) {
        let used_up = std::mem::take(&mut shared.writer.lock().rest.used_up);
        if used_up >= self.target {
            // Prepared segments are in memory: never so many that they crowd out the records.
            let limit = shared.options.max_bytes.min(shared.options.max_resident_bytes);
            let quarter = usize::try_from(limit / 4).unwrap_or(usize::MAX) / shared.options.segment_bytes;
            let most = MAX_PREPARED_SEGMENTS.min(quarter).max(shared.options.prepared_segments);
            self.target = (2 * self.target).max(used_up + 1).min(most);
            self.calm = 0;
        } else {
            self.calm += 1;
            if self.calm >= CALM_CALLS {
                self.calm = 0;
                self.target = (self.target - 1).max(shared.options.prepared_segments);
            }
        }
    }

    fn prepare(&mut self, shared: &Shared, now: Instant) {
        // One segment in memory makes way for the attempt to have it in a file again.
        let mut retry = self.may_retry(now);
        loop {
            let surplus = {
                let mut writer = shared.writer.lock();
                let stale = std::mem::take(&mut retry) || self.wants_files(shared);
                match writer.rest.prepared.iter().position(|p| stale && p.anonymous) {
                    Some(index) => writer.rest.prepared.remove(index),
                    None if writer.rest.prepared.len() > self.target => writer.rest.prepared.pop_back(),
                    None if writer.rest.prepared.len() == self.target => return,
                    None => None,
                }
            };
            if let Some(surplus) = surplus {
                self.discard_prepared(shared, surplus);
                continue;
            }
            let Some(prepared) = self.next_prepared(now) else { return };
            shared.writer.lock().rest.prepared.push_back(prepared);
        }
    }

    /// Makes one segment ready: in a file if there is to be one and the disk takes it, else in memory.
    fn next_prepared(&mut self, now: Instant) -> Option<Prepared> {
        let shared = Arc::clone(&self.log.shared);
        if shared.options.directory.is_some() && (self.failing.is_none() || self.may_retry(now)) {
            match self.prepare_file(&shared) {
                Ok(prepared) => {
                    if self.failing.take().is_some() {
                        shared.context.notices.lock().push(Notice::SpoolRestored);
                    }
                    shared.context.counters.spooling.store(true, Ordering::Relaxed);
                    return prepared;
                }
                Err((path, error)) => self.disk_failed(&shared, now, &path, &error),
            }
        }
        self.prepare_anonymous(&shared)
    }

    fn prepare_anonymous(&mut self, shared: &Shared) -> Option<Prepared> {
        let len = shared.options.segment_bytes;
        let region = match self.pool.iter().position(|pooled| pooled.path.is_none()) {
            Some(index) => {
                let mut pooled = self.pool.swap_remove(index);
                pooled.region.zero(pooled.used);
                pooled.region
            }
            None => {
                // A pooled file is of no use while the disk fails; its bytes may be.
                if let Some(index) = self.pool.iter().position(|pooled| pooled.path.is_some()) {
                    let pooled = self.pool.swap_remove(index);
                    self.discard_pooled(shared, pooled);
                }
                if !shared.has_room_for(len, true) {
                    return None;
                }
                let region = Region::anonymous(len, &shared.context.counters.resident_bytes).ok()?;
                shared.account(len, true);
                region
            }
        };
        // Failing to populate costs page faults later, nothing else.
        let _ = region.populate();
        Some(shared.prepare(region, None))
    }

    /// `Ok(None)`: the bound is reached.
    fn prepare_file(&mut self, shared: &Shared) -> Result<Option<Prepared>, (PathBuf, io::Error)> {
        let len = shared.options.segment_bytes;
        let sequence = shared.next_sequence();
        while let Some(pooled) = self.pool.pop() {
            let Pooled { mut region, path: Some(old), used } = pooled else {
                self.discard_pooled(shared, pooled);
                continue;
            };
            region.zero(used);
            region.write(0, &shared.identity.header(sequence, len, clock::unix_nanos()).encode());
            let path = old.with_file_name(crate::instance::segment_name(sequence));
            if let Err(error) = shared.context.files.rename(&old, &path) {
                mark_free(&region);
                drop(region);
                self.delete(shared, Some(old), len);
                return Err((path, error));
            }
            // Pages that were written back meanwhile are write-protected: make them writable ahead of need.
            if let Err(error) = region.populate() {
                drop(region);
                self.delete(shared, Some(path.clone()), len);
                return Err((path, error));
            }
            return Ok(Some(shared.prepare(region, Some((sequence, path)))));
        }
        if !shared.has_room_for(len, false) {
            return Ok(None);
        }
        let (mut region, path) = self.create_file(shared, sequence, len)?;
        region.write(0, &shared.identity.header(sequence, len, clock::unix_nanos()).encode());
        if let Err(error) = region.populate() {
            drop(region);
            // Leftovers without records are removed by whoever adopts the directory.
            let _ = shared.context.files.remove(&path);
            return Err((path, error));
        }
        shared.account(len, false);
        Ok(Some(shared.prepare(region, Some((sequence, path)))))
    }

    /// Creates and maps a segment file, creating the instance's directory first if there is none yet.
    fn create_file(
        &mut self,
        shared: &Shared,
        sequence: u64,
        len: usize,
    ) -> Result<(Region, PathBuf), (PathBuf, io::Error)> {
        let files = &shared.context.files;
        let instance = match self.instance.take() {
            Some(instance) => instance,
            None => {
                let base = shared.options.directory.clone().unwrap_or_default();
                Instance::create(files, &base, &shared.identity.instance).map_err(|error| (base, error))?
            }
        };
        let path = instance.segment_path(sequence);
        self.instance = Some(instance);
        let made = files.create(&path, len as u64).and_then(|file| {
            files.map(&file, &path, len).inspect_err(|_| {
                let _ = files.remove(&path);
            })
        });
        match made {
            Ok(map) => Ok((Region::mapped(map, len, &shared.context.counters.resident_bytes), path)),
            Err(error) => Err((path, error)),
        }
    }

    fn wants_files(&self, shared: &Shared) -> bool {
        shared.options.directory.is_some() && self.failing.is_none()
    }

    fn may_retry(&self, now: Instant) -> bool {
        self.failing.as_ref().is_some_and(|failing| now >= failing.retry_at)
    }

    fn disk_failed(&mut self, shared: &Shared, now: Instant, path: &Path, error: &io::Error) {
        let first = shared.options.disk_retry_interval;
        let wait = self.failing.as_ref().map_or(first, |failing| (failing.wait * 2).min(first * 64));
        if self.failing.is_none() {
            let (path, reason) = (path.to_path_buf(), error.to_string());
            shared.context.notices.lock().push(Notice::SpoolUnavailable { path, reason });
        }
        shared.context.counters.spooling.store(false, Ordering::Relaxed);
        self.failing = Some(Failing { retry_at: now + wait, wait });
    }

    /// Ends an active segment in memory, so that its records can be copied to a file.
    fn leave_memory(&mut self, shared: &Shared) {
        if !self.wants_files(shared) {
            return;
        }
        let mut writer = shared.writer.lock();
        let in_memory = writer.active.as_ref().is_none_or(|active| active.anonymous);
        if !in_memory {
            return;
        }
        let used_up = writer.rest.used_up;
        // Without a successor at the bound; its room will be that which the copy does not need.
        shared.seal_active(&mut writer);
        writer.rest.used_up = used_up;
        if writer.rest.prepared.front().is_some_and(|next| !next.anonymous)
            && let Some(next) = writer.rest.prepared.pop_front()
        {
            shared.activate(&mut writer, next);
        }
    }

    /// Copies sealed segments from memory to files. Returns whether some are left.
    fn spill(&mut self, shared: &Shared, now: Instant) -> bool {
        if !self.wants_files(shared) {
            return false;
        }
        let waiting: Vec<_> = {
            let segments = shared.segments.lock();
            segments
                .iter()
                .filter(|s| s.sealed_end().is_some() && !s.is_complete() && s.is_anonymous())
                .take(SPILLS_PER_CALL + 1)
                .cloned()
                .collect()
        };
        let mut moved = false;
        for segment in waiting.iter().take(SPILLS_PER_CALL) {
            let sequence = segment.sequence;
            let header = |len| shared.identity.header(sequence, len, clock::unix_nanos()).encode();
            // Of full length if it is not much shorter, for the file to be of use again.
            let whole = shared.options.segment_bytes;
            let make = |len: usize| {
                self.create_file(shared, sequence, if len <= whole && len * 2 > whole { whole } else { len })
            };
            match segment.spill(header, make) {
                Ok(Some((old, new))) => {
                    shared.unaccount(old, true);
                    shared.account(new, false);
                    moved = true;
                }
                // A long record is still being copied into it.
                Ok(None) => {}
                Err((path, error)) => {
                    self.disk_failed(shared, now, &path, &error);
                    return false;
                }
            }
        }
        moved && waiting.len() > SPILLS_PER_CALL
    }

    /// Brings the segments in memory under their bound, longest unused first.
    fn unmap(&self, shared: &Shared) {
        let resident = || shared.context.counters.resident_bytes.load(Ordering::Relaxed);
        let limit = shared.options.max_resident_bytes;
        if resident() <= limit {
            return;
        }
        let mut mapped: Vec<_> = shared.segments.lock().iter().cloned().collect();
        mapped.extend(self.recovery.live().cloned());
        mapped.retain(|segment| segment.is_mapped());
        mapped.sort_by_key(|segment| segment.touched());
        for segment in mapped {
            if resident() <= limit {
                return;
            }
            segment.unmap();
        }
    }

    fn check_lock(&mut self, shared: &Shared, now: Instant) {
        let Some(instance) = &self.instance else { return };
        if self.lock_checked.is_some_and(|last| now.saturating_duration_since(last) < LOCK_CHECK_INTERVAL) {
            return;
        }
        self.lock_checked = Some(now);
        if instance.reassert() {
            return;
        }
        shared.context.notices.lock().push(Notice::LockLost);
        // What is appended to these files from now on, their new owner may not see: leave them.
        self.instance = None;
        let prepared = {
            let mut writer = shared.writer.lock();
            shared.seal_active(&mut writer);
            std::mem::take(&mut writer.rest.prepared)
        };
        for prepared in prepared {
            self.discard_prepared(shared, prepared);
        }
        for pooled in std::mem::take(&mut self.pool) {
            self.discard_pooled(shared, pooled);
        }
    }

    fn sync(&mut self, shared: &Shared, now: Instant) {
        let Some(interval) = shared.options.sync_interval else { return };
        if self.synced.is_some_and(|last| now.saturating_duration_since(last) < interval) {
            return;
        }
        let appended = shared.appended_records();
        if self.synced.is_some() && appended == self.synced_records && !self.sync_failed {
            return;
        }
        self.synced = Some(now);
        let segments: Vec<_> = shared.segments.lock().iter().cloned().collect();
        let mut outcome = Ok(());
        for segment in segments {
            outcome = outcome.and(segment.sync().map(drop));
        }
        if let Some(instance) = &self.instance {
            for directory in
                [Some(instance.directory.as_path()), instance.directory.parent()].into_iter().flatten()
            {
                outcome = outcome.and_then(|()| shared.context.files.sync_directory(directory));
            }
        }
        match outcome {
            Ok(()) => {
                self.sync_failed = false;
                self.synced_records = appended;
            }
            Err(error) => {
                if !std::mem::replace(&mut self.sync_failed, true) {
                    shared.context.notices.lock().push(Notice::SyncFailed { reason: error.to_string() });
                }
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
