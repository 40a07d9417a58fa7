//! Producers, lanes and maintenance on threads of their own, with too little room and a disk that comes and goes.
#![allow(clippy::expect_used, clippy::panic, reason = "test helpers outside of test functions")]

mod common;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use common::{small, temporary};
use endspan_spool::{AppendError, Cursor, Faults, Log, Meta, Operation, Options, Record, WhenFull};

const PRODUCERS: u64 = 2;
const EACH: u64 = 2500;
const LANES: u32 = 3;

#[derive(Debug, Default)]
struct Flaky(AtomicBool);

impl Faults for Flaky {
    fn before(&self, operation: Operation, _: &Path) -> io::Result<()> {
        let failing = self.0.load(Ordering::Relaxed)
            && matches!(operation, Operation::Allocate | Operation::Rename | Operation::Create);
        if failing { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

/// Reads everything, keeps some of it for a while, resolves all of it. Returns how many outcomes were its to count.
fn lane(bit: u32, mut cursor: Cursor, stop: &AtomicBool) -> u64 {
    let mut random = fastrand::Rng::with_seed(u64::from(bit));
    let mut held: Vec<Record> = Vec::new();
    let mut counted = 0;
    loop {
        let last = stop.load(Ordering::Acquire);
        let new = cursor.poll(random.usize(1..40), usize::MAX, &mut held);
        while held.len() > if last { 0 } else { random.usize(0..200) } {
            let record = held.swap_remove(random.usize(..held.len()));
            if random.bool() {
                match record.payload() {
                    Ok(payload) => {
                        assert_eq!(payload.len(), record.payload_bytes());
                        assert!(payload.iter().all(|byte| *byte == record.kind()));
                    }
                    // This lane's mark is missing, unless the record was evicted.
                    Err(error) => assert_eq!(record.mark(bit).newly, 0, "{error}"),
                }
            }
            counted += u64::from(record.mark(bit).newly == 1 << bit);
        }
        if last && new == 0 {
            return counted;
        }
    }
}

fn every_outcome_is_counted_once(spool: bool, when_full: WhenFull, max_records: Option<u64>) {
    let directory = temporary();
    let flaky = Arc::new(Flaky::default());
    let options = Options {
        required_marks: (1 << LANES) - 1,
        when_full,
        max_records,
        max_bytes: 64 * 4096,
        max_resident_bytes: 24 * 4096,
        disk_retry_interval: Duration::from_micros(200),
        faults: Some(Arc::clone(&flaky) as Arc<dyn Faults>),
        ..small(spool.then_some(directory.path()))
    };
    let opened = Log::open(options).expect("open");
    let (log, mut consumer) = (opened.log, opened.consumer);
    let (produced, stop, quiet) = (AtomicU64::new(0), AtomicBool::new(false), AtomicBool::new(false));
    let mut dropped = [0u64; LANES as usize];
    let counted: Vec<u64> = std::thread::scope(|scope| {
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|seed| {
                let (log, produced) = (log.clone(), &produced);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    for number in 0..EACH {
                        let size = if random.u8(..) == 0 { 33_000 } else { random.usize(..600) };
                        match log.append(Meta::kind(number as u8), &[&vec![number as u8; size]]) {
                            Ok(_) => drop(produced.fetch_add(1, Ordering::Relaxed)),
                            Err(AppendError::Full(_)) => std::thread::yield_now(),
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
            })
            .collect();
        let lanes: Vec<_> = (0..LANES)
            .map(|bit| {
                let (cursor, quiet) = (log.cursor(0), &quiet);
                scope.spawn(move || lane(bit, cursor, quiet))
            })
            .collect();
        let maintenance = scope.spawn(|| {
            let mut random = fastrand::Rng::with_seed(77);
            while !stop.load(Ordering::Acquire) {
                if random.u8(..20) == 0 {
                    flaky.0.fetch_xor(true, Ordering::Relaxed);
                }
                for evicted in consumer.maintain().evicted {
                    for (bit, dropped) in dropped.iter_mut().enumerate() {
                        *dropped += u64::from(evicted.unresolved >> bit & 1);
                    }
                }
            }
        });
        // Threads are told to stop before a failure in another one is passed on.
        let produced: Vec<_> = producers.into_iter().map(ScopedJoinHandle::join).collect();
        quiet.store(true, Ordering::Release);
        let counted: Vec<_> = lanes.into_iter().map(ScopedJoinHandle::join).collect();
        stop.store(true, Ordering::Release);
        maintenance.join().expect("maintenance");
        assert!(produced.iter().all(Result::is_ok));
        counted.into_iter().map(|lane| lane.expect("lane")).collect()
    });
    let produced = produced.into_inner();
    assert!(produced > 100);
    for (lane, (counted, dropped)) in counted.iter().zip(dropped).enumerate() {
        assert_eq!(counted + dropped, produced, "lane {lane}");
    }
    let stats = log.stats();
    assert_eq!((stats.depth_records, stats.depth_bytes), (0, 0));
    assert_eq!(stats.resolved_records + stats.evicted_records, produced);
    flaky.0.store(false, Ordering::Relaxed);
    consumer.maintain();
    let closed = consumer.close();
    assert_eq!((closed.spooled_records, closed.lost_records), (0, 0));
    if spool {
        assert_eq!(std::fs::read_dir(directory.path()).expect("list").count(), 0);
    }
}

#[test]
fn with_a_flaky_spool_that_refuses() {
    every_outcome_is_counted_once(true, WhenFull::Reject, None);
}

#[test]
fn with_a_flaky_spool_that_evicts() {
    every_outcome_is_counted_once(true, WhenFull::EvictOldest, None);
}

#[test]
fn in_memory_with_eviction() {
    every_outcome_is_counted_once(false, WhenFull::EvictOldest, None);
}

#[test]
fn with_a_bound_in_records() {
    every_outcome_is_counted_once(true, WhenFull::EvictOldest, Some(300));
}
