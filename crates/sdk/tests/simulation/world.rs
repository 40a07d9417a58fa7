//! One seed's world: what happens when, and what must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use endspan::engine::{ENDED, Engine, Order, RecordFacts};
use endspan::lane::{Dispatch, Health, Lane, LaneConfig, Outcome, Phase, RequestId, Resolution, SpanKey};
use endspan::{DropReason, Moment};
use fastrand::Rng;

use crate::log::{Entry, Handle, SharedLog};
use crate::server::{Regime, Server};
use crate::settings;

/// How long the misfortunes last.
const TROUBLE: Duration = Duration::from_secs(120);
/// How long everything may take to come to rest afterwards. Covers the longest back-off and hold.
const REST: Duration = Duration::from_secs(3600);

#[derive(Debug)]
enum Event {
    Start(u64),
    End(u64),
    Answer(usize, RequestId, Outcome),
    Regime(usize),
    Hurry(bool),
    /// The process was stopped for a while, or its clock is set forward.
    Jump(Duration),
    Crash,
    Recover,
}

/// What the run added up to; equal for equal seeds.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct Story {
    requests: u64,
    delivered: u64,
    superseded: u64,
    dropped: u64,
    crashes: u64,
    ended_at: u64,
}

pub(crate) struct World {
    random: Rng,
    told: bool,
    now: Moment,
    log: SharedLog,
    engine: Engine<Handle>,
    configs: Vec<LaneConfig>,
    servers: Vec<Server>,
    events: BTreeMap<(Moment, u64), Event>,
    next_event: u64,
    in_flight: BTreeSet<(usize, RequestId)>,
    /// (lane, record) pairs that were reported as dropped.
    dropped: BTreeSet<(usize, usize)>,
    /// Records whose bytes the log let go of.
    evicted: BTreeSet<usize>,
    /// The newest write of each span.
    versions: BTreeMap<u64, u32>,
    open: BTreeSet<u64>,
    max_unresolved: usize,
    epochs: Vec<(u64, usize)>,
    down: bool,
    story: Story,
}

impl World {
    pub(crate) fn new(seed: u64, told: bool) -> Self {
        let mut random = Rng::with_seed(seed);
        let lanes = random.usize(1..=3);
        let mut configs: Vec<LaneConfig> = (0..lanes).map(|_| settings::config(&mut random)).collect();
        // Half of the worlds know more settings and misfortunes than those whose seeds are kept.
        let wilder = !seed.is_multiple_of(2);
        for config in configs.iter_mut().filter(|_| wilder) {
            settings::wilder(config, &mut random);
        }
        let servers = (0..lanes).map(|_| Server::new(&mut random, wilder)).collect();
        let engine = engine_of(&configs, &mut random);
        let max_unresolved = if random.u8(..4) == 0 { random.usize(20..200) } else { usize::MAX };
        let mut world = Self {
            random,
            told,
            now: Moment::ZERO,
            log: SharedLog::default(),
            engine,
            configs,
            servers,
            events: BTreeMap::new(),
            next_event: 0,
            in_flight: BTreeSet::new(),
            dropped: BTreeSet::new(),
            evicted: BTreeSet::new(),
            versions: BTreeMap::new(),
            open: BTreeSet::new(),
            max_unresolved,
            epochs: Vec::new(),
            down: false,
            story: Story::default(),
        };
        world.plan();
        if wilder {
            world.plan_jumps();
        }
        world
    }

    fn plan(&mut self) {
        let millis = |random: &mut Rng, most: u64| Moment::from_micros(random.u64(0..most * 1000));
        let trouble = TROUBLE.as_millis() as u64;
        let spans = self.random.u64(10..400);
        for span in 1..=spans {
            let start = millis(&mut self.random, trouble);
            self.at(start, Event::Start(span));
            if self.random.u8(..50) > 0 {
                let length = if self.random.u8(..4) == 0 { 20_000 } else { 500 };
                let end = start + Duration::from_millis(self.random.u64(0..length));
                self.at(end, Event::End(span));
                if self.random.u8(..20) == 0 {
                    let again = end + Duration::from_millis(self.random.u64(0..2000));
                    self.at(again, Event::End(span));
                }
            }
        }
        for server in 0..self.servers.len() {
            for _ in 0..self.random.u64(0..8) {
                let when = millis(&mut self.random, trouble);
                self.at(when, Event::Regime(server));
            }
        }
        for _ in 0..self.random.u64(0..3) {
            let when = millis(&mut self.random, trouble);
            self.at(when, Event::Hurry(true));
            self.at(when + Duration::from_secs(2), Event::Hurry(false));
        }
        if self.random.u8(..3) == 0 {
            for _ in 0..self.random.u64(1..4) {
                let when = millis(&mut self.random, trouble);
                self.at(when, Event::Crash);
            }
        }
    }

    fn plan_jumps(&mut self) {
        for _ in 0..self.random.u64(0..3) {
            let when = Moment::from_micros(self.random.u64(0..TROUBLE.as_micros() as u64));
            let jump = Duration::from_millis(self.random.u64(1..200_000));
            self.at(when, Event::Jump(jump));
        }
    }

    fn at(&mut self, when: Moment, event: Event) {
        self.next_event += 1;
        self.events.insert((when, self.next_event), event);
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.told {
            eprintln!("{:>12} {}", self.now.micros(), what());
        }
    }

    pub(crate) fn run(mut self) -> Story {
        let trouble_ends = Moment::ZERO + TROUBLE;
        let rest_ends = trouble_ends + REST;
        let mut calm = false;
        loop {
            self.step();
            let next_event = self.events.keys().next().map_or(Moment::NEVER, |(when, _)| *when);
            let mut next = next_event.min(if self.down { Moment::NEVER } else { self.engine.next_wakeup() });
            if !calm {
                next = next.min(trouble_ends);
            }
            if calm && self.events.is_empty() && self.engine.is_idle() && !self.down {
                break;
            }
            assert!(next != Moment::NEVER, "something is pending and nothing will happen");
            assert!(next <= rest_ends, "the pipeline does not come to rest");
            self.now = next.max(self.now);
            if !calm && self.now >= trouble_ends {
                calm = true;
                for server in &mut self.servers {
                    server.regime = Regime::Healthy;
                }
            }
            while let Some(entry) = self.events.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                let event = entry.remove();
                self.happen(event);
            }
        }
        self.check();
        self.story
    }

    fn happen(&mut self, event: Event) {
        match event {
            // What is not running makes no spans.
            Event::Start(_) | Event::End(_) | Event::Hurry(_) | Event::Answer(..) if self.down => {}
            Event::Start(span) => {
                self.open.insert(span);
                self.append(span, Phase::Start);
            }
            Event::End(span) => {
                // An end without a start of this process comes from a span that a crash took.
                if self.versions.contains_key(&span) {
                    self.open.remove(&span);
                    self.append(span, Phase::End);
                    // Where there is a bound in bytes, the end may have been dropped, and its start, which is shorter, find room.
                    let end_waits = self.configs.iter().all(|config| config.max_pending_bytes == 0);
                    if self.random.u8(..20) == 0 && end_waits {
                        self.append_late_start(span);
                    }
                }
            }
            Event::Answer(lane, request, outcome) => {
                if self.in_flight.remove(&(lane, request)) {
                    self.tell(|| format!("lane {lane} {request:?}: {outcome:?}"));
                    self.engine.complete(lane, request, &outcome, self.now);
                    self.note_fates();
                }
            }
            Event::Regime(server) => {
                let mut random = self.random.fork();
                self.servers[server].change(&mut random);
                self.tell(|| format!("server {server} is {:?}", self.servers[server].regime));
            }
            Event::Hurry(hurried) => {
                self.engine.hurry(hurried, self.now);
                if hurried {
                    let epoch = self.engine.end_epoch();
                    self.epochs.push((epoch, self.log.borrow().entries.len()));
                }
            }
            Event::Jump(jump) => {
                self.tell(|| format!("the clock jumps by {jump:?}"));
                self.now = self.now + jump;
            }
            Event::Crash if !self.down => {
                self.tell(|| "crash".to_owned());
                self.story.crashes += 1;
                self.down = true;
                self.in_flight.clear();
                self.epochs.clear();
                self.add_up();
                let back = self.now + Duration::from_millis(self.random.u64(1..3000));
                self.at(back, Event::Recover);
            }
            Event::Crash => {}
            Event::Recover => self.recover(),
        }
    }

    fn append(&mut self, span: u64, phase: Phase) {
        let version = self.versions.entry(span).and_modify(|version| *version += 1).or_insert(0);
        let bytes = if self.random.u8(..30) == 0 { 40_000 } else { self.random.u32(50..3000) };
        let entry = Entry { span, version: *version, phase, bytes, marks: 0 };
        self.log.borrow_mut().entries.push(entry);
        let index = self.log.borrow().entries.len() - 1;
        self.ingest(index, false);
    }

    /// A start behind its end, while the end waits: it must not go out.
    fn append_late_start(&mut self, span: u64) {
        let entry = Entry { span, version: 0, phase: Phase::Start, bytes: 100, marks: 0 };
        self.log.borrow_mut().entries.push(entry);
        self.open.insert(span);
        let index = self.log.borrow().entries.len() - 1;
        self.ingest(index, false);
    }

    fn ingest(&mut self, index: usize, recovered: bool) {
        let handle = Handle { log: self.log.clone(), index };
        let entry = handle.entry();
        let key = SpanKey::from_number(u128::from(entry.span));
        let facts =
            RecordFacts { key, phase: entry.phase, bytes: entry.bytes, wanted: !entry.marks, recovered };
        self.engine.ingest(handle, facts, self.now);
    }

    /// What the next process does with the log: deliver ends, end what was open.
    fn recover(&mut self) {
        self.tell(|| "recover".to_owned());
        self.down = false;
        let mut random = self.random.fork();
        self.engine = engine_of(&self.configs, &mut random);
        let all = self.all_lanes();
        let entries = self.log.borrow().entries.clone();
        let mut open: BTreeMap<u64, usize> = BTreeMap::new();
        let mut ends = Vec::new();
        for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.marks & all != all) {
            match entry.phase {
                Phase::Start if entry.marks & ENDED != 0 => {
                    self.log.borrow_mut().entries[index].marks = u32::MAX;
                }
                Phase::Start => {
                    if let Some(older) = open.insert(entry.span, index) {
                        self.log.borrow_mut().entries[older].marks = u32::MAX;
                    }
                }
                Phase::End => {
                    if let Some(start) = open.remove(&entry.span) {
                        self.log.borrow_mut().entries[start].marks = u32::MAX;
                    }
                    ends.push(index);
                }
            }
        }
        for index in ends {
            self.ingest(index, true);
        }
        for (span, start) in open {
            assert!(self.open.contains(&span), "span {span} had ended, and was taken for open");
            self.append(span, Phase::End);
            self.log.borrow_mut().entries[start].marks = u32::MAX;
        }
        self.open.clear();
    }

    fn all_lanes(&self) -> u32 {
        (1 << self.configs.len()) - 1
    }

    fn step(&mut self) {
        if self.down {
            return;
        }
        self.evict();
        self.engine.poll(self.now);
        self.note_fates();
        let mut orders = Vec::new();
        self.engine.take_orders(&mut orders);
        for order in orders {
            match order {
                Order::Send(lane, dispatch) => self.send(lane, &dispatch),
                Order::Cancel(lane, request) => {
                    self.tell(|| format!("lane {lane} {request:?}: cancelled"));
                    self.in_flight.remove(&(lane, request));
                }
            }
        }
        for (index, lane) in self.engine.lanes().iter().enumerate() {
            assert!(lane.counts().is_conserved(), "lane {index}: {:?}", lane.counts());
            let most = lane.config().concurrency;
            assert!(lane.in_flight() <= most, "lane {index}: {} in flight", lane.in_flight());
            // What failed waits beside the queue, at most as much as was under way and is tried again.
            let config = lane.config();
            let bound = config.max_waiting + (2 * most + 4) * config.batch_spans_max;
            let pending = lane.counts().pending as usize;
            assert!(config.max_waiting == 0 || pending <= bound, "lane {index}: {pending} pending");
            // What takes the place of another may be longer than that.
            let bytes = lane.counts().pending_bytes;
            let bound = config.max_pending_bytes + 40_000 * pending as u64;
            assert!(config.max_pending_bytes == 0 || bytes <= bound, "lane {index}: {bytes} bytes pending");
        }
        let all = self.all_lanes();
        let mut epochs = std::mem::take(&mut self.epochs);
        epochs.retain(|(epoch, until)| {
            if !self.engine.is_done(*epoch) {
                return true;
            }
            for entry in &self.log.borrow().entries[..*until] {
                let resolved = entry.marks & all == all;
                assert!(resolved || entry.phase == Phase::Start, "a flush returned before {entry:?}");
            }
            false
        });
        self.epochs = epochs;
    }

    fn send(&mut self, lane: usize, dispatch: &Dispatch) {
        self.story.requests += 1;
        let handles: Vec<Handle> = dispatch
            .items
            .iter()
            .map(|(item, _)| self.engine.handle(*item).expect("a record in flight is known").clone())
            .collect();
        for handle in &handles {
            assert!(!self.dropped.contains(&(lane, handle.index)), "sent after it was reported as dropped");
            assert!(!self.evicted.contains(&handle.index), "sent after its bytes were gone");
            assert_eq!(handle.entry().phase, dispatch.phase);
        }
        if self.engine.lanes()[lane].health() != Health::Up {
            let under_way = self.in_flight.iter().filter(|(other, _)| *other == lane).count();
            // Those sent before it went down may still be under way.
            assert!(under_way < self.configs[lane].concurrency);
        }
        let entries: Vec<Entry> = handles.iter().map(Handle::entry).collect();
        self.tell(|| {
            let spans: Vec<_> = entries.iter().map(|entry| entry.span).collect();
            format!("lane {lane} {:?}: {:?} {spans:?}", dispatch.request, dispatch.phase)
        });
        let mut random = self.random.fork();
        let told = self.servers[lane].receive(&entries, &mut random);
        self.in_flight.insert((lane, dispatch.request));
        if let Some((latency, outcome)) = told {
            self.at(self.now + latency, Event::Answer(lane, dispatch.request, outcome));
        }
    }

    /// Keeps the log within its bound, as the real one does.
    fn evict(&mut self) {
        if self.max_unresolved == usize::MAX {
            return;
        }
        let all = self.all_lanes();
        let unresolved: Vec<usize> = {
            let log = self.log.borrow();
            let open = log.entries.iter().enumerate().filter(|(_, entry)| entry.marks & all != all);
            open.map(|(index, _)| index).collect()
        };
        if unresolved.len() <= self.max_unresolved {
            return;
        }
        let gone: BTreeSet<usize> =
            unresolved[..unresolved.len() - self.max_unresolved / 2].iter().copied().collect();
        self.tell(|| format!("evict {}", gone.len()));
        for index in &gone {
            self.log.borrow_mut().entries[*index].marks = u32::MAX;
            self.evicted.insert(*index);
        }
        self.engine.evict(|handle| gone.contains(&handle.index), DropReason::SpoolFull);
        self.note_fates();
        assert!(self.engine.tracked_records() <= self.max_unresolved + 3 * 1000);
    }

    fn note_fates(&mut self) {
        for fate in self.engine.take_fates() {
            let entry = fate.handle.entry();
            if let Resolution::Dropped(reason) = fate.resolution {
                self.tell(|| format!("lane {} dropped span {} ({reason})", fate.lane, entry.span));
                self.dropped.insert((fate.lane, fate.handle.index));
                if matches!(reason, DropReason::Rejected | DropReason::TooLarge | DropReason::Expired) {
                    let disliked = self.servers[fate.lane].dislikes(&entry);
                    assert!(disliked, "span {} was dropped as {reason}, and nobody refused it", entry.span);
                }
            }
        }
    }

    fn add_up(&mut self) {
        for lane in self.engine.lanes() {
            self.story.delivered += lane.counts().delivered;
            self.story.superseded += lane.counts().superseded;
            self.story.dropped += lane.counts().dropped_total();
        }
    }

    fn check(&mut self) {
        self.add_up();
        self.story.ended_at = self.now.micros();
        for (index, lane) in self.engine.lanes().iter().enumerate() {
            assert_eq!(lane.counts().pending, 0, "lane {index}");
            assert!(lane.counts().is_conserved());
        }
        let log = self.log.borrow();
        for (lane, server) in self.servers.iter().enumerate() {
            assert_eq!(server.starts_after_ends, 0, "a start arrived after its end");
            for (index, entry) in log.entries.iter().enumerate() {
                assert!(
                    entry.marks & (1 << lane) != 0 || self.open.contains(&entry.span),
                    "lane {lane} never resolved {entry:?}"
                );
                let newest = self.versions.get(&entry.span) == Some(&entry.version);
                let excused = self.dropped.contains(&(lane, index)) || !newest;
                if entry.phase == Phase::End && !excused {
                    let stored = server.stored.get(&entry.span);
                    assert!(
                        stored.is_some_and(|stored| stored.completed && stored.version == entry.version)
                            || (entry.marks == u32::MAX && self.story.crashes > 0),
                        "lane {lane}: {entry:?} is neither there nor reported, but {stored:?}"
                    );
                }
            }
        }
    }
}

fn engine_of(configs: &[LaneConfig], random: &mut Rng) -> Engine<Handle> {
    let lanes = configs.iter().map(|config| Lane::new(config.clone(), random.u64(..))).collect();
    let mut engine = Engine::new(lanes);
    engine.watch();
    engine
}
