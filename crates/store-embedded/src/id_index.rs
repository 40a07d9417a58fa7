//! The index from ids to spans, filled behind the writes.
//!
//! Random ids hit a random page each. Put into a tree at once, every span would dirty a page of its own, and
//! the log would carry 4 kB for 16 bytes. So new entries stay in memory, found by a hash table; when enough
//! have come together they are frozen, sorted, and put into the tree in slices, each of which touches
//! neighbouring pages only. What memory holds is what the rows above the watermark say, so that a crash loses
//! nothing: it is read again from there.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use parking_lot::RwLock;

/// A hasher for keys that are keyed hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_i64(&mut self, number: i64) {
        self.0 = number as u64;
    }
}

pub(crate) type HashedMap<V> = HashMap<i64, V, BuildHasherDefault<AlreadyHashed>>;

/// The entries that are not in the tree yet. Readers look here first and in their snapshot of the tree second:
/// an entry leaves memory only after it is committed to the tree, so that it is always in one of the two.
#[derive(Debug, Default)]
pub(crate) struct IdBuffer {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    active: HashedMap<i64>,
    /// Further entries of hashes that are in `active` already.
    repeated: HashedMap<Vec<i64>>,
    active_count: usize,
    frozen: Arc<Vec<(i64, i64)>>,
}

impl IdBuffer {
    pub(crate) fn extend(&self, entries: impl Iterator<Item = (i64, i64)>) {
        let mut inner = self.inner.write();
        for (hash, sequence) in entries {
            inner.active_count += 1;
            if let Some(first) = inner.active.insert(hash, sequence) {
                inner.repeated.entry(hash).or_default().push(first);
            }
        }
    }

    /// Returns the sequences of rows that may have this hash, latest first.
    pub(crate) fn find(&self, hash: i64) -> Vec<i64> {
        let inner = self.inner.read();
        let mut found: Vec<i64> = inner.active.get(&hash).copied().into_iter().collect();
        if let Some(more) = inner.repeated.get(&hash).filter(|_| !found.is_empty()) {
            found.extend(more.iter().rev());
        }
        let from = inner.frozen.partition_point(|entry| entry.0 < hash);
        let frozen = inner.frozen.get(from..).unwrap_or_default();
        let at = found.len();
        found.extend(frozen.iter().take_while(|entry| entry.0 == hash).map(|entry| entry.1));
        if let Some(frozen) = found.get_mut(at..) {
            frozen.reverse();
        }
        found
    }

    /// Forgets entries whose rows are gone. What is frozen stays: whoever puts it into the tree leaves those out.
    pub(crate) fn remove(&self, entries: &[(i64, i64)]) {
        let mut inner = self.inner.write();
        let Inner { active, repeated, active_count, .. } = &mut *inner;
        for (hash, sequence) in entries {
            let more = repeated.get_mut(hash);
            if active.get(hash) == Some(sequence) {
                match more.and_then(Vec::pop) {
                    Some(next) => active.insert(*hash, next),
                    None => active.remove(hash),
                };
                *active_count -= 1;
            } else if let Some(more) = more {
                let before = more.len();
                more.retain(|one| one != sequence);
                *active_count -= before - more.len();
            }
        }
    }

    pub(crate) fn active_count(&self) -> usize {
        self.inner.read().active_count
    }

    /// Sorts the active entries and sets them apart, to be put into the tree. The frozen ones before them must
    /// have been released.
    pub(crate) fn freeze(&self) -> Arc<Vec<(i64, i64)>> {
        let mut inner = self.inner.write();
        let mut entries: Vec<(i64, i64)> = inner.active.drain().collect();
        entries.extend(
            inner
                .repeated
                .drain()
                .flat_map(|(hash, sequences)| sequences.into_iter().map(move |one| (hash, one))),
        );
        entries.sort_unstable();
        inner.active.shrink_to(1024);
        inner.active_count = 0;
        inner.frozen = Arc::new(entries);
        inner.frozen.clone()
    }

    /// Forgets the frozen entries, which are in the tree now.
    pub(crate) fn release(&self) {
        self.inner.write().frozen = Arc::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_before_and_after_freezing_latest_first() {
        let buffer = IdBuffer::default();
        buffer.extend([(7, 1), (8, 2), (7, 3), (-1, 4), (7, 5)].into_iter());
        assert_eq!(buffer.find(7), [5, 3, 1]);
        assert!(buffer.find(9).is_empty());
        assert_eq!(buffer.active_count(), 5);
        assert_eq!(*buffer.freeze(), [(-1, 4), (7, 1), (7, 3), (7, 5), (8, 2)]);
        assert_eq!(buffer.find(7), [5, 3, 1]);
        buffer.extend([(7, 9)].into_iter());
        assert_eq!(buffer.find(7), [9, 5, 3, 1]);
        buffer.release();
        assert_eq!((buffer.find(7), buffer.find(8)), (vec![9], vec![]));
    }

    #[test]
    fn removed_entries_are_gone_and_others_stay() {
        let buffer = IdBuffer::default();
        buffer.extend([(7, 1), (8, 2), (7, 3), (7, 5)].into_iter());
        buffer.remove(&[(7, 5), (9, 9), (7, 1), (8, 3)]);
        assert_eq!((buffer.find(7), buffer.find(8), buffer.active_count()), (vec![3], vec![2], 2));
        buffer.remove(&[(7, 3), (8, 2)]);
        assert_eq!((buffer.find(7), buffer.find(8), buffer.active_count()), (vec![], vec![], 0));
        buffer.extend([(7, 6)].into_iter());
        assert_eq!(*buffer.freeze(), [(7, 6)]);
    }
}
