use std::collections::hash_map::Entry::Occupied;

use endspan_model::DropReason;

use crate::lane::item::{Item, KeyMap, SpanKey};

/// Index of an entry.
pub(super) type Slot = u32;

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the queue of its phase.
    Waiting,
    /// Behind an entry of the same span that must be done first; in no queue.
    Behind,
    /// In a batch that failed and will be sent again.
    Retry,
    /// In a request.
    InFlight,
    /// Resolved, but still listed in a queue or batch, which drops it when it comes by.
    Dead,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) item: Item,
    pub(super) place: Place,
    /// The bytes are gone (evicted while in flight): it can still be delivered, but not sent again, and is then dropped
    /// for this reason.
    pub(super) evicted: Option<DropReason>,
}

/// The entries of one span: at most one that is queued or under way, and at most one behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    pub(super) front: Slot,
    pub(super) behind: Option<Slot>,
}

/// The entries of a lane, by slot and by span.
#[derive(Debug, Default)]
pub(super) struct Entries {
    slots: Vec<Option<Entry>>,
    free: Vec<Slot>,
    chains: KeyMap<Chain>,
}

impl Entries {
    pub(super) fn insert(&mut self, entry: Entry) -> Slot {
        if let Some(slot) = self.free.pop() {
            if let Some(place) = self.slots.get_mut(slot as usize) {
                *place = Some(entry);
            }
            return slot;
        }
        self.slots.push(Some(entry));
        (self.slots.len() - 1) as Slot
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Entry> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    pub(super) fn is_live(&self, slot: Slot) -> bool {
        self.get(slot).is_some_and(|entry| entry.place != Place::Dead)
    }

    /// Gives the slot back. The caller has taken it out of every queue.
    pub(super) fn free(&mut self, slot: Slot) {
        if let Some(place) = self.slots.get_mut(slot as usize)
            && place.take().is_some()
        {
            self.free.push(slot);
        }
        if self.free.len() == self.slots.len() && self.slots.capacity() > 4096 {
            *self = Self { chains: std::mem::take(&mut self.chains), ..Self::default() };
            self.chains.shrink_to(64);
        }
    }

    pub(super) fn chain(&self, key: SpanKey) -> Option<Chain> {
        self.chains.get(&key).copied()
    }

    pub(super) fn set_chain(&mut self, key: SpanKey, chain: Chain) {
        self.chains.insert(key, chain);
    }

    pub(super) fn remove_chain(&mut self, key: SpanKey) {
        self.chains.remove(&key);
    }

    /// Removes a span's chain if this is its only entry; else returns the chain. One look where two would do the same.
    pub(super) fn remove_only(&mut self, key: SpanKey, slot: Slot) -> Option<Chain> {
        let Occupied(chain) = self.chains.entry(key) else { return None };
        let found = *chain.get();
        if found.front == slot && found.behind.is_none() {
            chain.remove();
            return None;
        }
        Some(found)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, &Entry)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(slot, entry)| entry.as_ref().map(|entry| (slot as Slot, entry)))
    }
}
