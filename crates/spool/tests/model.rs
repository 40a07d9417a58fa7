//! Random use against a simple model, with crashes.
//!
//! A crash is a copy of the spool directory at that moment, opened by a new log: what is in the mappings is in the page
//! cache, hence in the copy.
#![allow(clippy::expect_used, clippy::panic, reason = "test helpers outside of test functions")]

mod common;

use std::collections::{BTreeMap, VecDeque};

use common::{payload, snapshot};
use endspan_spool::{AppendError, Evicted, Log, Meta, Opened, Options, Record, WhenFull};
use proptest::prelude::*;
use tempfile::TempDir;

const REQUIRED: u32 = 0b111;

#[derive(Debug, Clone)]
enum Step {
    Append { size: usize, marks: u32 },
    Burst { count: usize },
    Poll { count: usize },
    Recover { count: usize },
    Mark { which: usize, bits: u32 },
    MarkOldest { count: usize },
    Maintain,
    Crash,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (prop_oneof![0usize..40, 0usize..1500, 3000usize..9000], prop_oneof![3 => Just(0u32), 1 => 0u32..8])
            .prop_map(|(size, marks)| Step::Append { size, marks }),
        2 => (1usize..60).prop_map(|count| Step::Burst { count }),
        4 => (1usize..20).prop_map(|count| Step::Poll { count }),
        2 => (1usize..20).prop_map(|count| Step::Recover { count }),
        6 => (any::<usize>(), 0u32..16).prop_map(|(which, bits)| Step::Mark { which, bits }),
        2 => (1usize..30).prop_map(|count| Step::MarkOldest { count }),
        5 => Just(Step::Maintain),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
    ]
}

/// A record as the model knows it. Its payload follows from its number and size.
#[derive(Debug, Clone)]
struct Known {
    size: usize,
    marks: u32,
    /// Whether it was certainly in a file at some time: appended before a `maintain`.
    spooled: bool,
    /// The life of the log in which it was appended.
    life: u32,
}

fn body(number: u32, size: usize) -> Vec<u8> {
    let mut body = number.to_le_bytes().to_vec();
    body.resize(4 + size, number as u8);
    body
}

fn number_of(record: &Record) -> u32 {
    u32::from_le_bytes(payload(record)[..4].try_into().expect("four bytes"))
}

struct Run {
    options: Options,
    directory: Option<TempDir>,
    opened: Option<Opened>,
    /// Unresolved records, by number.
    known: BTreeMap<u32, Known>,
    handles: BTreeMap<u32, Record>,
    /// Numbers that the cursor has not yielded yet, in order.
    unread: VecDeque<u32>,
    next: u32,
    life: u32,
}

impl Run {
    fn new(spool: bool, when_full: WhenFull, max_bytes: u64) -> Self {
        let directory = spool.then(common::temporary);
        let options = Options {
            directory: None,
            when_full,
            max_bytes,
            max_resident_bytes: 16 * 4096,
            required_marks: REQUIRED,
            ..common::small(None)
        };
        let mut run = Self {
            options,
            directory,
            opened: None,
            known: BTreeMap::new(),
            handles: BTreeMap::new(),
            unread: VecDeque::new(),
            next: 0,
            life: 0,
        };
        run.open();
        run
    }

    fn open(&mut self) {
        self.options.directory = self.directory.as_ref().map(|d| d.path().to_path_buf());
        self.opened = Some(Log::open(self.options.clone()).expect("open"));
        self.life += 1;
    }

    fn opened(&mut self) -> &mut Opened {
        self.opened.as_mut().expect("open")
    }

    fn append(&mut self, size: usize, marks: u32) {
        let number = self.next;
        let body = body(number, size);
        let (head, tail) = body.split_at(body.len() / 2);
        let meta = Meta { marks, flags: number as u16, ..Meta::kind(number as u8) };
        match self.opened().log.append(meta, &[head, tail]) {
            Ok(_) => {
                self.next += 1;
                if marks & REQUIRED != REQUIRED {
                    let known = Known { size, marks, spooled: false, life: self.life };
                    self.known.insert(number, known);
                }
                self.unread.push_back(number);
            }
            Err(AppendError::Full(_)) => {
                let stats = self.opened().log.stats();
                assert!(stats.allocated_bytes + 4 * 4096 > 16 * 4096, "refused without need: {stats:?}");
            }
            Err(AppendError::TooLarge { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn check(&self, record: &Record) -> u32 {
        let number = number_of(record);
        let content = payload(record);
        assert_eq!(content, body(number, content.len() - 4));
        assert_eq!((record.kind(), record.flags()), (number as u8, number as u16));
        if let Some(known) = self.known.get(&number) {
            assert_eq!(content.len() - 4, known.size);
            assert_eq!(record.marks() & REQUIRED, known.marks & REQUIRED);
        }
        number
    }

    fn poll(&mut self, count: usize) {
        let mut out = Vec::new();
        self.opened().consumer.poll(count, usize::MAX, &mut out);
        let got = out.len();
        for record in out {
            let number = self.check(&record);
            // What was passed over must be resolved.
            loop {
                let expected = self.unread.pop_front().expect("only what was appended");
                if expected == number {
                    break;
                }
                assert!(!self.known.contains_key(&expected), "record {expected} was passed over");
            }
            self.handles.insert(number, record);
        }
        if got < count {
            for number in std::mem::take(&mut self.unread) {
                assert!(!self.known.contains_key(&number), "record {number} was not yielded");
            }
        }
    }

    fn recover(&mut self, count: usize) {
        let mut out = Vec::new();
        self.opened().consumer.recover(count, &mut out);
        for record in out {
            assert!(record.is_recovered());
            let number = self.check(&record);
            let known = self.known.get(&number).expect("a resolved record came back");
            assert!(known.life < self.life);
            assert!(self.handles.insert(number, record).is_none(), "record {number} came twice");
        }
    }

    fn mark(&mut self, number: u32, bits: u32) {
        let resolution = self.handles[&number].resolve(bits);
        let Some(known) = self.known.get_mut(&number) else { return };
        assert_eq!(resolution.newly & REQUIRED, bits & !known.marks & REQUIRED);
        known.marks |= bits;
        assert_eq!(resolution.complete, known.marks & REQUIRED == REQUIRED);
        if resolution.complete {
            self.known.remove(&number);
        }
    }

    fn maintain(&mut self) {
        loop {
            let done = self.opened().consumer.maintain();
            assert_eq!(done.notices, []);
            for evicted in &done.evicted {
                self.evicted(evicted);
            }
            if !done.more {
                break;
            }
        }
        for known in self.known.values_mut() {
            known.spooled = true;
        }
        let stats = self.opened().log.stats();
        assert!(stats.resident_bytes <= 16 * 4096 + 9 * 4096, "{stats:?}");
        let (life, own) = (self.life, self.known.values());
        let own = own.filter(|known| known.life == life);
        let (records, bytes) = own.fold((0, 0), |(n, b), known| (n + 1, b + 4 + known.size as u64));
        assert_eq!((stats.depth_records, stats.depth_bytes), (records, bytes));
    }

    fn evicted(&mut self, evicted: &Evicted) {
        let number = number_of(&evicted.record);
        let known = self.known.remove(&number).expect("a resolved record was evicted");
        assert_eq!(evicted.unresolved, REQUIRED & !known.marks);
        assert_eq!(evicted.record.is_recovered(), known.life < self.life);
        // The oldest goes first. (Lives that began in the same millisecond have no order.)
        let older = self.known.range(..number).find(|(_, other)| other.life == known.life);
        assert!(older.is_none(), "{number} was evicted before {older:?}");
    }

    fn crash(&mut self) {
        let Some(directory) = &self.directory else { return };
        let copy = snapshot(directory.path());
        self.handles.clear();
        self.opened = None;
        self.directory = Some(copy);
        self.open();
        self.expect_recovered(false);
    }

    fn restart(&mut self) {
        self.handles.clear();
        let opened = self.opened.take().expect("open");
        let closed = opened.consumer.close();
        let own = self.known.values().filter(|known| known.life == self.life).count() as u64;
        if self.directory.is_some() {
            assert_eq!((closed.spooled_records, closed.lost_records), (own, 0));
        } else {
            assert_eq!((closed.spooled_records, closed.lost_records), (0, own));
            self.known.clear();
        }
        self.open();
        self.expect_recovered(true);
    }

    /// Reads everything that an earlier life left, then forgets having read it.
    fn expect_recovered(&mut self, closed: bool) {
        self.unread.clear();
        self.recover(usize::MAX);
        let report = self.opened().consumer.take_recovery_report();
        assert_eq!(report.damage, []);
        let found = std::mem::take(&mut self.handles);
        self.known.retain(|number, known| {
            let came = found.contains_key(number);
            assert!(came || !(known.spooled || closed), "record {number} is lost");
            came
        });
        // Within one life, the order is that of appending.
        let mut by_life: BTreeMap<u32, Vec<_>> = BTreeMap::new();
        for (number, record) in &found {
            by_life.entry(self.known[number].life).or_default().push(record.position());
        }
        assert!(by_life.values().all(|positions| positions.is_sorted()));
        for known in self.known.values_mut() {
            known.spooled = true;
        }
        self.handles = found;
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append { size, marks } => self.append(size, marks),
            Step::Burst { count } => (0..count).for_each(|_| self.append(300, 0)),
            Step::Poll { count } => self.poll(count),
            Step::Recover { count } => self.recover(count),
            Step::Mark { which, bits } => {
                let live: Vec<u32> =
                    self.handles.keys().copied().filter(|n| self.known.contains_key(n)).collect();
                if let Some(number) = live.get(which % live.len().max(1)) {
                    self.mark(*number, bits);
                }
            }
            Step::MarkOldest { count } => {
                let oldest: Vec<u32> = self.handles.keys().copied().take(count).collect();
                for number in oldest {
                    self.mark(number, REQUIRED);
                    self.handles.remove(&number);
                }
            }
            Step::Maintain => self.maintain(),
            Step::Crash => self.crash(),
            Step::Restart => self.restart(),
        }
    }

    /// Resolves everything: nothing may be left, in memory or on disk.
    fn finish(mut self) {
        self.poll(usize::MAX);
        self.recover(usize::MAX);
        for number in self.handles.keys().copied().collect::<Vec<_>>() {
            self.mark(number, REQUIRED);
        }
        assert!(self.known.is_empty(), "never yielded: {:?}", self.known.keys());
        self.handles.clear();
        self.maintain();
        let stats = self.opened().log.stats();
        assert_eq!((stats.depth_records, stats.recovered_depth_records), (0, 0));
        self.append(10, 0);
        assert_eq!(self.known.len(), 1, "there is room again");
        self.poll(1);
        let last = *self.handles.keys().next().expect("record");
        self.mark(last, REQUIRED);
        let closed = self.opened.take().expect("open").consumer.close();
        assert_eq!((closed.spooled_records, closed.lost_records), (0, 0));
        if let Some(directory) = &self.directory {
            assert_eq!(std::fs::read_dir(directory.path()).expect("list").count(), 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_behaves_as_the_model(
        steps in prop::collection::vec(step(), 1..80),
        spool in prop::bool::weighted(0.75),
        evict in any::<bool>(),
        roomy in any::<bool>(),
    ) {
        let when_full = if evict { WhenFull::EvictOldest } else { WhenFull::Reject };
        let mut run = Run::new(spool, when_full, if roomy { 1 << 20 } else { 16 * 4096 });
        for step in steps {
            run.step(step);
        }
        run.finish();
    }
}
