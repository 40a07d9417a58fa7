use std::collections::{BTreeMap, VecDeque};

use endspan_model::DropReason;

use super::circuit::{Circuit, Health};
use super::entries::{Chain, Entries, Entry, Place, Slot};
use super::retry::{History, RetryBatch};
use super::{Effect, Item, LaneConfig, Phase, RequestId, Resolution, StartMode};
use crate::moment::Moment;

/// The account of a lane. `accepted = delivered + superseded + dropped + pending` at every moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneCounts {
    /// Records taken on.
    pub accepted: u64,
    /// Records that the destination has.
    pub delivered: u64,
    /// Records for which a newer version of their span stands.
    pub superseded: u64,
    /// Records given up, by [`DropReason::index`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// Records neither delivered nor given up.
    pub pending: u64,
    /// Their bytes.
    pub pending_bytes: u64,
    /// Requests sent.
    pub requests: u64,
    /// Requests that failed in any way.
    pub failed_requests: u64,
    /// Requests that carried records sent before.
    pub retried_requests: u64,
}

impl LaneCounts {
    /// Returns all drops together.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Returns whether the account closes.
    pub fn is_conserved(&self) -> bool {
        self.accepted == self.delivered + self.superseded + self.dropped_total() + self.pending
    }
}

/// Records of one phase that wait for their first request, in order.
#[derive(Debug, Default)]
pub(super) struct WaitingQueue {
    /// Live and dead slots.
    pub(super) slots: VecDeque<Slot>,
    /// How many of them are live.
    pub(super) live: usize,
    /// The bytes of the live ones.
    pub(super) bytes: usize,
    /// How many of them go out without waiting for more: [`LaneConfig::flush_spans`].
    pub(super) flushing: usize,
}

#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) slots: Vec<Slot>,
    pub(super) history: History,
    pub(super) bytes: usize,
    pub(super) deadline: Moment,
}

/// One destination's queue, batches, requests in flight, retries and account.
#[derive(Debug)]
pub struct Lane {
    pub(super) config: LaneConfig,
    pub(super) entries: Entries,
    pub(super) starts: WaitingQueue,
    pub(super) ends: WaitingQueue,
    pub(super) behind: usize,
    pub(super) retries: VecDeque<RetryBatch>,
    pub(super) in_flight: BTreeMap<RequestId, InFlight>,
    pub(super) next_request: u64,
    pub(super) circuit: Circuit,
    pub(super) batch_bytes: usize,
    pub(super) successes: u64,
    pub(super) hurried: bool,
    pub(super) random: fastrand::Rng,
    pub(super) counts: LaneCounts,
    pub(super) effects: Vec<Effect>,
}

impl Lane {
    /// Makes an empty lane. `seed` drives the jitter of its waits.
    pub fn new(config: LaneConfig, seed: u64) -> Self {
        let config = config.checked();
        Self {
            batch_bytes: config.batch_bytes,
            config,
            entries: Entries::default(),
            starts: WaitingQueue::default(),
            ends: WaitingQueue::default(),
            behind: 0,
            retries: VecDeque::new(),
            in_flight: BTreeMap::new(),
            next_request: 0,
            circuit: Circuit::new(),
            successes: 0,
            hurried: false,
            random: fastrand::Rng::with_seed(seed),
            counts: LaneCounts::default(),
            effects: Vec::new(),
        }
    }

    /// Returns the settings.
    pub const fn config(&self) -> &LaneConfig {
        &self.config
    }

    /// Returns the account.
    pub const fn counts(&self) -> &LaneCounts {
        &self.counts
    }

    /// Returns how the destination is doing.
    pub const fn health(&self) -> Health {
        self.circuit.health()
    }

    /// Returns the requests in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Returns the records that wait for their first request.
    pub const fn waiting(&self) -> usize {
        self.starts.live + self.ends.live + self.behind
    }

    /// Takes what the lane wants done since the last call.
    pub fn take_effects(&mut self, into: &mut Vec<Effect>) {
        into.append(&mut self.effects);
    }

    /// Takes a record on. Starts reach a lane only if its mode writes them.
    pub fn accept(&mut self, item: Item) {
        self.counts.accepted += 1;
        self.counts.pending += 1;
        self.counts.pending_bytes += u64::from(item.bytes);
        let Some(chain) = self.entries.chain(item.key) else {
            if self.is_full() {
                self.book(&item, Resolution::Dropped(DropReason::QueueFull));
                return;
            }
            let slot = self.entries.insert(Entry { item, place: Place::Waiting, evicted: None });
            self.entries.set_chain(item.key, Chain { front: slot, behind: None });
            self.enqueue(slot, false);
            return;
        };
        self.accept_after(chain, item);
    }

    /// Books a record that cannot even be queued.
    pub fn refuse(&mut self, reason: DropReason) {
        self.counts.accepted += 1;
        if let Some(count) = self.counts.dropped.get_mut(reason.index()) {
            *count += 1;
        }
    }

    /// Takes on a record of a span that has one here already. Completed beats unfinished, else the later wins.
    fn accept_after(&mut self, chain: Chain, mut item: Item) {
        let Some(front) = self.entries.get(chain.front).copied() else { return };
        let start_is_late = front.item.phase == Phase::End || front.place == Place::InFlight;
        if item.phase == Phase::Start && (start_is_late || chain.behind.is_some()) {
            self.book(&item, Resolution::Superseded);
            return;
        }
        let both_go_out = self.config.start_mode == StartMode::Every
            && front.item.phase == Phase::Start
            && item.phase == Phase::End;
        if front.place == Place::InFlight || both_go_out {
            if let Some(old) = chain.behind {
                item.maybe_stored |= self.entries.get(old).is_some_and(|old| old.item.maybe_stored);
                self.settle(old, Resolution::Superseded);
            } else if self.is_full() {
                self.book(&item, Resolution::Dropped(DropReason::QueueFull));
                return;
            }
            let slot = self.entries.insert(Entry { item, place: Place::Behind, evicted: None });
            self.behind += 1;
            self.entries.set_chain(item.key, Chain { front: chain.front, behind: Some(slot) });
            return;
        }
        item.maybe_stored |= front.item.maybe_stored || front.place == Place::Retry;
        self.entries.remove_chain(item.key);
        self.settle(chain.front, Resolution::Superseded);
        let slot = self.entries.insert(Entry { item, place: Place::Waiting, evicted: None });
        self.entries.set_chain(item.key, Chain { front: slot, behind: None });
        self.enqueue(slot, false);
    }

    /// Whether there is no room for the record whose bytes were just counted as pending.
    fn is_full(&self) -> bool {
        let LaneConfig { max_waiting, max_pending_bytes, .. } = self.config;
        (max_waiting > 0 && self.waiting() >= max_waiting)
            || (max_pending_bytes > 0 && self.counts.pending_bytes > max_pending_bytes)
    }

    pub(super) fn queue_of(&mut self, phase: Phase) -> &mut WaitingQueue {
        match phase {
            Phase::Start => &mut self.starts,
            Phase::End => &mut self.ends,
        }
    }

    fn enqueue(&mut self, slot: Slot, first: bool) {
        let Some(item) = self.entries.get(slot).map(|entry| entry.item) else { return };
        let queue = self.queue_of(item.phase);
        queue.bytes += item.bytes as usize;
        queue.live += 1;
        if first {
            queue.slots.push_front(slot);
        } else {
            queue.slots.push_back(slot);
        }
    }

    /// Resolves an entry: books it, and lets the one behind it come forward.
    pub(super) fn settle(&mut self, slot: Slot, resolution: Resolution) {
        let Some(entry) = self.entries.get_mut(slot) else { return };
        let (item, place) = (entry.item, entry.place);
        match place {
            Place::Dead => return,
            // Still listed in a queue or a retry batch, which frees the slot when it comes by.
            Place::Waiting | Place::Retry => entry.place = Place::Dead,
            Place::Behind | Place::InFlight => self.entries.free(slot),
        }
        match place {
            Place::Waiting => self.leave_queue(&item),
            Place::Behind => self.behind -= 1,
            _ => {}
        }
        self.book(&item, resolution);
        if let Some(chain) = self.entries.remove_only(item.key, slot) {
            if chain.behind == Some(slot) {
                self.entries.set_chain(item.key, Chain { behind: None, ..chain });
            } else if chain.front == slot {
                self.promote(&item, chain, place);
            }
        }
    }

    fn promote(&mut self, gone: &Item, chain: Chain, gone_from: Place) {
        let Some(next) = chain.behind else { return };
        self.entries.set_chain(gone.key, Chain { front: next, behind: None });
        if let Some(entry) = self.entries.get_mut(next) {
            entry.place = Place::Waiting;
            entry.item.maybe_stored |= gone.maybe_stored || gone_from != Place::Waiting;
        }
        self.behind -= 1;
        self.enqueue(next, true);
    }

    pub(super) fn leave_queue(&mut self, item: &Item) {
        let queue = self.queue_of(item.phase);
        queue.live -= 1;
        queue.bytes -= item.bytes as usize;
        queue.flushing = queue.flushing.min(queue.live);
    }

    fn book(&mut self, item: &Item, resolution: Resolution) {
        let count = match resolution {
            Resolution::Delivered => Some(&mut self.counts.delivered),
            Resolution::Superseded => Some(&mut self.counts.superseded),
            Resolution::Dropped(reason) => self.counts.dropped.get_mut(reason.index()),
        };
        if let Some(count) = count {
            *count += 1;
        }
        self.counts.pending -= 1;
        self.counts.pending_bytes -= u64::from(item.bytes);
        self.effects.push(Effect::Resolve(item.id, resolution));
    }

    /// Gives up records whose bytes are gone. One that is in flight may still be delivered.
    pub fn evict(&mut self, is_evicted: impl Fn(u64) -> bool, reason: DropReason) {
        let gone: Vec<(Slot, Place)> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.place != Place::Dead && is_evicted(entry.item.id))
            .map(|(slot, entry)| (slot, entry.place))
            .collect();
        for (slot, place) in gone {
            if place == Place::InFlight {
                if let Some(entry) = self.entries.get_mut(slot) {
                    entry.evicted = Some(reason);
                }
            } else {
                self.settle(slot, Resolution::Dropped(reason));
            }
        }
    }

    /// Gives up everything that is left, under one reason.
    pub fn abandon(&mut self, reason: DropReason) {
        self.in_flight.clear();
        let left: Vec<(Slot, Place)> = self.entries.iter().map(|(slot, entry)| (slot, entry.place)).collect();
        for (slot, place) in left {
            if place != Place::Dead && self.entries.is_live(slot) {
                self.settle(slot, Resolution::Dropped(reason));
            }
        }
        debug_assert_eq!(self.counts.pending, 0);
    }
}
