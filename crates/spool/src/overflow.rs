//! What a producer does itself when it has outrun the consumer by all memory that records may take.

use std::sync::atomic::Ordering;

use crate::clock;
use crate::instance::segment_name;
use crate::memory::Region;
use crate::shared::{Prepared, Rest, Shared};

impl Shared {
    /// Makes a segment file on the producer's thread: some tenths of a millisecond for each segment, which are nothing
    /// beside losing its records. `None` when there is no spool, when its bound is reached, or when the disk does not take it:
    /// the consumer will find that out, and say so.
    #[cold]
    pub(crate) fn overflow(&self, rest: &Rest, len: usize) -> Option<Prepared> {
        let directory = rest.directory.as_ref()?;
        if !self.context.counters.spooling.load(Ordering::Relaxed) || !self.has_room_for(len, false) {
            return None;
        }
        let files = &self.context.files;
        let sequence = self.next_sequence();
        let path = directory.join(segment_name(sequence));
        let header = self.identity.header(sequence, len, clock::unix_nanos()).encode();
        let file = files.create(&path, len as u64, &[&header]).ok()?;
        let Ok(map) = files.map(&file, &path, len) else {
            // Leftovers without records are removed by whoever adopts the directory.
            let _ = files.remove(&path);
            return None;
        };
        let region = Region::mapped(map, len, &self.context.counters.resident_bytes);
        self.account(len, false);
        Some(self.prepare(region, Some((sequence, path))))
    }
}
