//! Keeping segments ready, in files as far as the disk allows.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Consumer, Pooled};
use crate::clock;
use crate::format::SLOT_BYTES;
use crate::instance::Instance;
use crate::memory::Region;
use crate::options::{MAX_PREPARED_SEGMENTS, PAGE_BYTES};
use crate::segment::mark_free;
use crate::shared::{Prepared, Shared};
use crate::slots::Slots;
use crate::stats::Notice;

/// Segments copied from memory to files in one call of `maintain`.
const SPILLS_PER_CALL: usize = 8;
/// Calls of `maintain` without need after which one segment less is kept ready.
const CALM_CALLS: u32 = 1000;
/// Calls of `maintain` without need after which memory of moved segments is given back.
const SPARE_CALLS: u32 = 100;

/// The disk does not take segments at the moment.
#[derive(Debug)]
pub(super) struct Failing {
    retry_at: Instant,
    wait: Duration,
}

impl Consumer {
    pub(super) fn adjust_target(&mut self, shared: &Shared) {
        let used_up = std::mem::take(&mut shared.writer.lock().rest.used_up);
        if used_up >= self.target {
            // Prepared segments are in memory: never so many that they crowd out the records.
            let limit = shared.options.max_bytes.min(shared.options.max_resident_bytes);
            let quarter = usize::try_from(limit / 4).unwrap_or(usize::MAX) / shared.options.segment_bytes;
            let most = MAX_PREPARED_SEGMENTS.min(quarter).max(shared.options.prepared_segments);
            self.target = (self.target + 1).max(used_up + 1).min(most);
            self.calm = 0;
        } else {
            self.calm += 1;
            if self.calm.is_multiple_of(SPARE_CALLS) {
                shared.drop_spares();
            }
            if self.calm >= CALM_CALLS {
                self.calm = 0;
                self.target = (self.target - 1).max(shared.options.prepared_segments);
            }
        }
    }

    pub(super) fn prepare(&mut self, shared: &Shared, now: Instant) {
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
    pub(super) fn next_prepared(&mut self, now: Instant) -> Option<Prepared> {
        let shared = Arc::clone(&self.log.shared);
        if shared.options.directory.is_some() && (self.failing.is_none() || self.may_retry(now)) {
            match self.prepare_file(&shared) {
                Ok(prepared) => {
                    self.prepare_slots(&shared);
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

    /// Makes the file of held records, when there is none. Records are not held where that fails.
    fn prepare_slots(&mut self, shared: &Shared) {
        let records = shared.options.held_records;
        if records == 0 || shared.slots.get().is_some() || self.slots_failed {
            return;
        }
        let len = Slots::file_bytes(records, shared.identity.user_header.len());
        if !shared.has_room_for(len, false) {
            return;
        }
        let sequence = shared.next_sequence();
        let Some(salt) = shared.salt(sequence) else { return };
        let mut header = shared.identity.header(sequence, len, clock::unix_nanos());
        header.slot_bytes = SLOT_BYTES as u32;
        let Ok((region, path)) = self.create_file(shared, sequence, len, &[&header.encode()]) else {
            self.slots_failed = true;
            return;
        };
        if region.populate().is_err() {
            self.slots_failed = true;
            drop(region);
            let _ = shared.context.files.remove(&path);
            return;
        }
        shared.account(len, false);
        let _ = shared.slots.set(Slots::new(region, header.data_start(), salt, path));
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
            shared.drop_spares();
            if !shared.has_room_for(len, false) {
                return Ok(None);
            }
        }
        let header = shared.identity.header(sequence, len, clock::unix_nanos()).encode();
        let (region, path) = self.create_file(shared, sequence, len, &[&header])?;
        if let Err(error) = region.populate() {
            drop(region);
            // Leftovers without records are removed by whoever adopts the directory.
            let _ = shared.context.files.remove(&path);
            return Err((path, error));
        }
        shared.account(len, false);
        Ok(Some(shared.prepare(region, Some((sequence, path)))))
    }

    /// Creates and maps a segment file that begins with `content`, creating the instance's directory first if there is none yet.
    fn create_file(
        &mut self,
        shared: &Shared,
        sequence: u64,
        len: usize,
        content: &[&[u8]],
    ) -> Result<(Region, PathBuf), (PathBuf, io::Error)> {
        let files = &shared.context.files;
        let instance = match self.instance.take() {
            Some(instance) => instance,
            None => {
                let base = shared.options.directory.clone().unwrap_or_default();
                let instance = Instance::create(files, &base, &shared.identity.instance)
                    .map_err(|error| (base, error))?;
                shared.writer.lock().rest.directory = Some(instance.directory.clone());
                instance
            }
        };
        let path = instance.segment_path(sequence);
        self.instance = Some(instance);
        let made = files.create(&path, len as u64, content).and_then(|file| {
            files.map(&file, &path, len).inspect_err(|_| {
                let _ = files.remove(&path);
            })
        });
        match made {
            Ok(map) => Ok((Region::mapped(map, len, &shared.context.counters.resident_bytes), path)),
            Err(error) => Err((path, error)),
        }
    }

    pub(super) fn wants_files(&self, shared: &Shared) -> bool {
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
    pub(super) fn leave_memory(&mut self, shared: &Shared) {
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
    pub(super) fn spill(&mut self, shared: &Shared, now: Instant) -> bool {
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
            let Some(end) = segment.sealed_end() else { continue };
            let sequence = segment.sequence;
            let used = end.next_multiple_of(PAGE_BYTES);
            // Of full length if it is not much shorter, for the file to be of use again.
            let whole = shared.options.segment_bytes;
            let len = if used <= whole && used * 2 > whole { whole } else { used };
            let header = shared.identity.header(sequence, len, clock::unix_nanos()).encode();
            let old_len = segment.len();
            let make = |content: &[&[u8]]| self.create_file(shared, sequence, len, content);
            match segment.spill(len, header, make) {
                Ok(Some(old)) => {
                    shared.account(len, false);
                    shared.retire(old, old_len, end);
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
}
