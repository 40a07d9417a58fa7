//! What a log needs from time to time: memory within its bound, its lock held, its files on the disk.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Consumer;
use crate::shared::Shared;
use crate::stats::Notice;

const LOCK_CHECK_INTERVAL: Duration = Duration::from_secs(1);

impl Consumer {
    /// Brings the segments in memory under their bound, longest unused first.
    pub(super) fn unmap(&self, shared: &Shared) {
        let resident = || shared.context.counters.resident_bytes.load(Ordering::Relaxed);
        let limit = shared.options.max_resident_bytes;
        if resident() <= limit {
            return;
        }
        let mut mapped: Vec<_> = shared.segments.lock().iter().cloned().collect();
        mapped.extend(self.recovery.live().cloned());
        mapped.retain(|segment| segment.is_mapped());
        // Each is asked once: producers touch segments meanwhile, and a sort whose keys change panics.
        mapped.sort_by_cached_key(|segment| segment.touched());
        for segment in mapped {
            if resident() <= limit {
                return;
            }
            segment.unmap();
        }
    }

    pub(super) fn check_lock(&mut self, shared: &Shared, now: Instant) {
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
        if let Some(slots) = shared.slots.get() {
            slots.close();
        }
        let prepared = {
            let mut writer = shared.writer.lock();
            writer.rest.directory = None;
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

    pub(super) fn sync(&mut self, shared: &Shared, now: Instant) {
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
        if let Some(slots) = shared.slots.get() {
            outcome = outcome.and_then(|()| slots.region().sync(slots.region().len()));
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
