//! Between the log and the lanes: which record goes to which lane, what is open, what may be forgotten.
//!
//! Like the lanes it is pure: it is told of records, outcomes and the time. What it asks of the log is to note
//! marks, through [`RecordHandle`].

use std::collections::{BTreeMap, HashSet, VecDeque};

use endspan_model::DropReason;

use crate::lane::{Dispatch, Effect, Item, KeyMap, Lane, Outcome, Phase, RequestId, Resolution, SpanKey};
use crate::moment::Moment;

mod slab;

use slab::Slab;

/// Records that a lane holds in its own queues; more wait outside it, at a few bytes each.
const LANE_WINDOW: u64 = 16 * 1024;

/// The mark of a start whose span has ended: its end was in the log. No destination has this bit. Without it, a start
/// that some destination had not resolved when its process died could not be told from that of an open span.
pub const ENDED: u32 = 1 << 31;

/// A record as the log knows it.
pub trait RecordHandle: Clone {
    /// Notes in the log that the destinations behind these bits are done with the record.
    fn resolve(&self, bits: u32);
}

/// What the engine is told of a record.
#[derive(Clone, Copy, Debug)]
pub struct RecordFacts {
    /// The span.
    pub key: SpanKey,
    /// Which half of it.
    pub phase: Phase,
    /// Bytes of the record.
    pub bytes: u32,
    /// The destinations that want it still, one bit each.
    pub wanted: u32,
    /// A dead process wrote it, so that a destination may have a version of the span.
    pub recovered: bool,
}

#[derive(Clone, Debug)]
struct Tracked<H> {
    handle: H,
    key: SpanKey,
    accepted: Moment,
    bytes: u32,
    phase: Phase,
    /// An open span's start: its marks are withheld, so that it is found if this process dies.
    is_open: bool,
    /// Lanes that have not resolved it.
    pending: u32,
    /// Marks earned and withheld.
    withheld: u32,
    maybe_stored: u32,
    /// The flush that it counts for.
    epoch: u64,
}

/// A span that started and did not end yet.
#[derive(Clone, Copy, Debug)]
struct Open {
    record: u64,
    /// Lanes whose destination may have the start.
    sent: u32,
}

/// What the engine wants done about requests.
#[derive(Clone, Debug)]
pub enum Order {
    /// Send a request of this lane.
    Send(usize, Dispatch),
    /// Stop waiting for a request of this lane.
    Cancel(usize, RequestId),
}

/// A record's fate in one lane, for those who watch.
#[derive(Clone, Debug)]
pub struct Fate<H> {
    /// The lane.
    pub lane: usize,
    /// The record.
    pub handle: H,
    /// Which half of its span it is.
    pub phase: Phase,
    /// What became of it.
    pub resolution: Resolution,
}

/// The lanes and what they share.
#[derive(Debug)]
pub struct Engine<H> {
    lanes: Vec<Lane>,
    overflow: Vec<VecDeque<u64>>,
    records: Slab<Tracked<H>>,
    open: KeyMap<Open>,
    all_lanes: u32,
    start_lanes: u32,
    effects: Vec<Effect>,
    orders: Vec<Order>,
    epoch: u64,
    /// Records with pending lanes, by the epoch in which they came. Only epochs that have some.
    pending_by_epoch: BTreeMap<u64, u64>,
    fates: Option<Vec<Fate<H>>>,
}

impl<H: RecordHandle> Engine<H> {
    /// Makes an engine over lanes, at most 31.
    pub fn new(lanes: Vec<Lane>) -> Self {
        let bits_of = |wants: fn(&Lane) -> bool| {
            lanes.iter().enumerate().fold(0, |bits, (index, lane)| bits | u32::from(wants(lane)) << index)
        };
        Self {
            all_lanes: bits_of(|_| true),
            start_lanes: bits_of(|lane| lane.config().start_mode.writes_starts()),
            overflow: lanes.iter().map(|_| VecDeque::new()).collect(),
            lanes,
            records: Slab::default(),
            open: KeyMap::default(),
            effects: Vec::new(),
            orders: Vec::new(),
            epoch: 0,
            pending_by_epoch: BTreeMap::new(),
            fates: None,
        }
    }

    /// Returns the lanes.
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// Returns the lanes that write starts, one bit each.
    pub const fn start_lanes(&self) -> u32 {
        self.start_lanes
    }

    /// Returns the number of spans that started here and did not end yet.
    pub fn open_spans(&self) -> usize {
        self.open.len()
    }

    /// Returns the records that some lane still needs, or that belong to open spans.
    pub fn tracked_records(&self) -> usize {
        self.records.len()
    }

    /// Returns how many records wait outside a lane because its window is full.
    pub fn overflow(&self, lane: usize) -> usize {
        self.overflow.get(lane).map_or(0, VecDeque::len)
    }

    /// Returns whether nothing waits or is under way in any lane.
    pub fn is_idle(&self) -> bool {
        self.lanes.iter().all(|lane| lane.counts().pending == 0)
            && self.overflow.iter().all(VecDeque::is_empty)
    }

    /// Begins to note each record's fate, for simulations; [`Engine::take_fates`] takes the notes.
    pub fn watch(&mut self) {
        self.fates.get_or_insert_default();
    }

    /// Takes the fates noted since the last call.
    pub fn take_fates(&mut self) -> Vec<Fate<H>> {
        self.fates.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Ends an epoch: what came until now is done when [`Engine::is_done`] says so of the number returned.
    pub fn end_epoch(&mut self) -> u64 {
        self.epoch += 1;
        self.epoch - 1
    }

    /// Returns whether everything that came until an epoch's end is resolved in every lane.
    pub fn is_done(&self, epoch: u64) -> bool {
        self.pending_by_epoch.first_key_value().is_none_or(|(oldest, _)| *oldest > epoch)
    }

    /// Books a record that cannot be read: a damaged one.
    pub fn refuse(&mut self, handle: &H, wanted: u32, reason: DropReason) {
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if wanted & (1 << index) != 0 {
                lane.refuse(reason);
            }
        }
        handle.resolve(wanted & self.all_lanes);
    }

    /// Returns the record behind an item of a dispatch.
    pub fn handle(&self, item: u64) -> Option<&H> {
        self.records.get(item).map(|tracked| &tracked.handle)
    }

    /// Takes on a record of the log. What follows from it comes with the next [`Engine::poll`].
    pub fn ingest(&mut self, handle: H, facts: RecordFacts, now: Moment) {
        let mut tracked = Tracked {
            handle,
            key: facts.key,
            accepted: now,
            bytes: facts.bytes,
            phase: facts.phase,
            is_open: false,
            pending: facts.wanted & self.all_lanes,
            withheld: 0,
            maybe_stored: if facts.recovered { u32::MAX } else { 0 },
            epoch: self.epoch,
        };
        match facts.phase {
            Phase::Start => {
                let without_starts = tracked.pending & !self.start_lanes;
                tracked.pending &= self.start_lanes;
                match self.open.get(&facts.key) {
                    // Started twice: the first start is the one kept for the case of a crash.
                    Some(open) => {
                        tracked.maybe_stored |= open.sent;
                        tracked.handle.resolve(without_starts | ENDED);
                        self.track(tracked);
                    }
                    None => {
                        tracked.is_open = true;
                        tracked.withheld = without_starts;
                        let record = self.track(tracked);
                        self.open.insert(facts.key, Open { record, sent: 0 });
                    }
                }
            }
            Phase::End => {
                if let Some(open) = self.open.remove(&facts.key) {
                    tracked.maybe_stored |= open.sent;
                    self.close(open.record);
                }
                self.track(tracked);
            }
        }
    }

    fn track(&mut self, tracked: Tracked<H>) -> u64 {
        let (wanted, is_open) = (tracked.pending, tracked.is_open);
        if wanted == 0 && !is_open {
            return u64::MAX;
        }
        if wanted != 0 {
            *self.pending_by_epoch.entry(tracked.epoch).or_default() += 1;
        }
        let record = self.records.insert(tracked);
        for (index, queue) in self.overflow.iter_mut().enumerate() {
            if wanted & (1 << index) != 0 {
                queue.push_back(record);
            }
        }
        self.feed();
        record
    }

    /// Moves waiting records into lanes that have room.
    fn feed(&mut self) {
        for (index, (lane, queue)) in self.lanes.iter_mut().zip(&mut self.overflow).enumerate() {
            // A lane with a limit of its own must see all that comes, to drop what is too much.
            let window = if lane.config().is_bounded() { u64::MAX } else { LANE_WINDOW };
            while lane.counts().pending < window
                && let Some(record) = queue.pop_front()
            {
                let bit = 1_u32 << index;
                if let Some(tracked) = self.records.get(record).filter(|tracked| tracked.pending & bit != 0) {
                    lane.accept(Item {
                        id: record,
                        key: tracked.key,
                        phase: tracked.phase,
                        bytes: tracked.bytes,
                        accepted: tracked.accepted,
                        maybe_stored: tracked.maybe_stored & bit != 0,
                    });
                }
            }
        }
    }

    /// Sets the marks that were withheld from a start, now that its span's end is in the log.
    fn close(&mut self, record: u64) {
        let Some(tracked) = self.records.get_mut(record) else { return };
        tracked.is_open = false;
        tracked.handle.resolve(tracked.withheld | ENDED);
        if tracked.pending == 0 {
            self.records.remove(record);
        }
    }

    /// Lets the lanes work: send what is due, give up what is late.
    pub fn poll(&mut self, now: Moment) {
        self.feed();
        for lane in &mut self.lanes {
            lane.poll(now);
        }
        self.settle();
    }

    /// Takes the outcome of a request.
    pub fn complete(&mut self, lane: usize, request: RequestId, outcome: &Outcome, now: Moment) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.complete(request, outcome, now);
        }
        self.settle();
    }

    /// Takes the orders given since the last call.
    pub fn take_orders(&mut self, into: &mut Vec<Order>) {
        into.append(&mut self.orders);
    }

    /// Applies what the lanes decided.
    fn settle(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        for index in 0..self.lanes.len() {
            let bit = 1_u32 << index;
            if let Some(lane) = self.lanes.get_mut(index) {
                lane.take_effects(&mut effects);
            }
            for effect in effects.drain(..) {
                match effect {
                    Effect::Send(dispatch) => {
                        if dispatch.phase == Phase::Start {
                            self.note_sent(&dispatch, bit);
                        }
                        self.orders.push(Order::Send(index, dispatch));
                    }
                    Effect::Cancel(request) => self.orders.push(Order::Cancel(index, request)),
                    Effect::Resolve(record, resolution) => self.resolve(record, index, resolution),
                }
            }
        }
        self.effects = effects;
    }

    /// Remembers that a destination may have these starts, so that their ends update instead of create.
    fn note_sent(&mut self, dispatch: &Dispatch, bit: u32) {
        for (record, _) in &dispatch.items {
            if let Some(tracked) = self.records.get(*record)
                && let Some(open) = self.open.get_mut(&tracked.key)
            {
                open.sent |= bit;
            }
        }
    }

    fn resolve(&mut self, record: u64, lane: usize, resolution: Resolution) {
        let bit = 1_u32 << lane;
        let Some(tracked) = self.records.get_mut(record) else { return };
        if let Some(fates) = &mut self.fates {
            let (handle, phase) = (tracked.handle.clone(), tracked.phase);
            fates.push(Fate { lane, handle, phase, resolution });
        }
        if tracked.pending & bit == 0 {
            return;
        }
        tracked.pending &= !bit;
        if tracked.pending == 0
            && let Some(count) = self.pending_by_epoch.get_mut(&tracked.epoch)
        {
            *count -= 1;
            if *count == 0 {
                self.pending_by_epoch.remove(&tracked.epoch);
            }
        }
        if tracked.is_open {
            tracked.withheld |= bit;
            return;
        }
        tracked.handle.resolve(bit);
        if tracked.pending == 0 {
            self.records.remove(record);
        }
    }

    /// Gives up records whose bytes the log let go of. Asks once about every record that it knows.
    pub fn evict(&mut self, mut is_evicted: impl FnMut(&H) -> bool, reason: DropReason) {
        let gone: HashSet<u64> = self
            .records
            .iter()
            .filter(|(_, tracked)| is_evicted(&tracked.handle))
            .map(|(record, _)| record)
            .collect();
        if gone.is_empty() {
            return;
        }
        // Those outside a lane's window are taken on first, so that its account shows them.
        for (index, (lane, queue)) in self.lanes.iter_mut().zip(&mut self.overflow).enumerate() {
            queue.retain(|record| {
                let Some(tracked) = self.records.get(*record).filter(|_| gone.contains(record)) else {
                    return true;
                };
                lane.accept(Item {
                    id: *record,
                    key: tracked.key,
                    phase: tracked.phase,
                    bytes: tracked.bytes,
                    accepted: tracked.accepted,
                    maybe_stored: tracked.maybe_stored & (1 << index) != 0,
                });
                false
            });
            lane.evict(|record| gone.contains(&record), reason);
        }
        for record in gone {
            // An open span goes on; only the trace of it that a crash would need is lost.
            if let Some(tracked) = self.records.get_mut(record) {
                tracked.is_open = false;
                if tracked.pending == 0 {
                    self.records.remove(record);
                }
            }
        }
        self.settle();
    }

    /// Cuts short the waits of every lane, or goes back to normal ones.
    pub fn hurry(&mut self, hurried: bool, now: Moment) {
        for lane in &mut self.lanes {
            if hurried {
                lane.hurry(now);
            } else {
                lane.relax();
            }
        }
    }

    /// Gives up everything that is left, under one reason.
    pub fn abandon(&mut self, reason: DropReason) {
        while self.overflow.iter().any(|queue| !queue.is_empty()) || !self.is_idle() {
            for lane in &mut self.lanes {
                lane.abandon(reason);
            }
            self.settle();
            self.feed();
        }
    }

    /// Returns when [`Engine::poll`] has something to do next, if nothing else happens.
    pub fn next_wakeup(&self) -> Moment {
        self.lanes.iter().map(Lane::next_wakeup).min().unwrap_or(Moment::NEVER)
    }
}
