//! Filters that are in memory only, of the latest blocks of a busy store.
//!
//! A search looks through every block that has no filter, so filters must come as fast as blocks. To store each by itself would be
//! written twice, and read again by every search until it is part of a [group](crate::filter_group). So while spans come in they wait
//! here until there are enough of them for a group. What a crash forgets is made again.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

/// The filters, by block.
#[derive(Debug, Default)]
pub(crate) struct FreshFilters(Mutex<BTreeMap<i64, Fresh>>);

#[derive(Debug)]
struct Fresh {
    filter: Arc<[u8]>,
    /// It is part of a group on disk. Readers whose snapshot is older find it here only.
    is_grouped: bool,
}

impl FreshFilters {
    pub(crate) fn insert(&self, block: i64, filter: Vec<u8>) {
        self.0.lock().insert(block, Fresh { filter: filter.into(), is_grouped: false });
    }

    pub(crate) fn has(&self, block: i64) -> bool {
        self.0.lock().contains_key(&block)
    }

    pub(crate) fn get(&self, block: i64) -> Option<Vec<u8>> {
        self.0.lock().get(&block).map(|fresh| fresh.filter.to_vec())
    }

    /// Calls for each filter.
    pub(crate) fn each(&self, mut each: impl FnMut(i64, &[u8])) {
        for (block, fresh) in &*self.0.lock() {
            each(*block, &fresh.filter);
        }
    }

    /// Returns the filters of the first blocks that are in no group; nothing when there are not so many.
    pub(crate) fn first(&self, count: usize) -> Option<Vec<(i64, Arc<[u8]>)>> {
        let filters = self.0.lock();
        let waiting = filters.iter().filter(|(_, fresh)| !fresh.is_grouped);
        let first: Vec<_> =
            waiting.take(count).map(|(block, fresh)| (*block, fresh.filter.clone())).collect();
        (first.len() == count).then_some(first)
    }

    /// Notes that these are on disk, and forgets those of which that was noted before.
    pub(crate) fn note_grouped(&self, blocks: &[i64]) {
        let mut filters = self.0.lock();
        filters.retain(|_, fresh| !fresh.is_grouped);
        for block in blocks {
            if let Some(fresh) = filters.get_mut(block) {
                fresh.is_grouped = true;
            }
        }
    }

    pub(crate) fn remove(&self, blocks: impl IntoIterator<Item = i64>) {
        let mut filters = self.0.lock();
        for block in blocks {
            filters.remove(&block);
        }
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }
}
