//! Records held outside the log while something lasts: whatever happens, one of held record and successor is recovered.
#![cfg(unix)]
#![allow(clippy::expect_used, reason = "test helpers outside of test functions")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{open, payload, poll_all, recover_all, segments, small, snapshot, temporary};
use endspan_spool::{DamageKind, Faults, Held, Log, Meta, Opened, Operation, Options};
use proptest::prelude::*;

const HELD: u8 = 1;
const SUCCESSOR: u8 = 2;

fn options(directory: &Path) -> Options {
    Options { held_records: 2048, ..small(Some(directory)) }
}

fn open_holding(directory: &Path) -> Opened {
    Log::open(options(directory)).expect("open")
}

fn hold(opened: &Opened, number: u32) -> Option<Held> {
    opened.log.hold(Meta::kind(HELD), &[b"held ", &number.to_le_bytes()])
}

fn succeed(opened: &Opened, held: &mut Option<Held>, number: u32) {
    let parts: [&[u8]; 2] = [b"over ", &number.to_le_bytes()];
    opened.log.append_releasing(Meta::kind(SUCCESSOR), &parts, held).expect("append");
    assert_eq!(*held, None);
}

/// What a process that is killed now leaves: kind and number of each record.
fn left(directory: &Path) -> Vec<(u8, u32)> {
    let left = snapshot(directory);
    let mut next = open(left.path());
    let found = recover_all(&mut next)
        .iter()
        .map(|record| {
            let payload = payload(record);
            let number =
                payload.get(5..9).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes);
            (record.kind(), number)
        })
        .collect();
    let damage = next.consumer.take_recovery_report().damage;
    assert!(damage.is_empty(), "{damage:?}");
    found
}

#[test]
fn what_is_held_is_recovered_once() {
    let directory = temporary();
    let opened = open_holding(directory.path());
    let held: Vec<_> = (0..3).map(|number| hold(&opened, number).expect("room")).collect();
    assert_eq!(opened.log.stats().held_records, 3);
    assert_eq!(opened.log.stats().appended_records, 0);
    let left = snapshot(directory.path());
    drop((held, opened));
    let mut next = open(left.path());
    let records = recover_all(&mut next);
    assert_eq!(records.len(), 3);
    for record in &records {
        assert!(record.is_recovered());
        assert!(record.resolve(1).complete);
    }
    drop(snapshot(left.path()));
    next.consumer.maintain();
    next.consumer.close();
    assert_eq!(std::fs::read_dir(left.path()).expect("list").count(), 0);
}

#[test]
fn what_was_let_go_leaves_nothing() {
    let directory = temporary();
    let opened = open_holding(directory.path());
    opened.log.release(hold(&opened, 1).expect("room"));
    let mut held = hold(&opened, 2);
    succeed(&opened, &mut held, 2);
    assert_eq!(left(directory.path()), [(SUCCESSOR, 2)]);
    assert_eq!(opened.log.stats().held_records, 0);
}

#[test]
fn a_place_is_used_again_and_again() {
    let directory = temporary();
    let opened = open_holding(directory.path());
    let mut held: Vec<_> = (0..).map_while(|number| hold(&opened, number)).collect();
    let most = held.len();
    assert!((32..40).contains(&most), "a 64th of the bound, in whole pages: {most}");
    assert_eq!(opened.log.stats().held_records, most as u64);
    for number in 0..1000_u32 {
        opened.log.release(held.swap_remove(number as usize * 7 % held.len()));
        held.push(hold(&opened, 1000 + number).expect("a free place"));
        assert_eq!(hold(&opened, 0), None);
    }
    assert_eq!(left(directory.path()).len(), most);
}

#[test]
fn not_everything_can_be_held() {
    let directory = temporary();
    let opened = open_holding(directory.path());
    assert!(opened.log.hold(Meta::kind(HELD), &[&[0; 472]]).is_some());
    assert_eq!(opened.log.hold(Meta::kind(HELD), &[&[0; 400], &[0; 73]]), None);
    let memory = Log::open(small(None)).expect("open");
    assert_eq!(hold(&memory, 1), None);
    let other = temporary();
    assert_eq!(hold(&open(other.path()), 1), None, "not asked for");
    // A place of another log means nothing here.
    let another = open_holding(other.path());
    let _kept = hold(&another, 1).expect("room");
    opened.log.release(hold(&another, 2).expect("room"));
    assert_eq!(another.log.stats().held_records, 2);
}

#[test]
fn closing_keeps_what_is_held_and_deletes_an_empty_file() {
    let directory = temporary();
    let opened = open_holding(directory.path());
    let _held = hold(&opened, 1).expect("room");
    assert_eq!(opened.consumer.close().spooled_records, 1);
    assert_eq!(hold_after_close(&opened.log), None);
    assert_eq!(left(directory.path()), [(HELD, 1)]);
    let empty = temporary();
    let opened = open_holding(empty.path());
    opened.log.release(hold(&opened, 1).expect("room"));
    opened.consumer.close();
    assert_eq!(std::fs::read_dir(empty.path()).expect("list").count(), 0);
}

fn hold_after_close(log: &Log) -> Option<Held> {
    log.hold(Meta::kind(HELD), &[b"late"])
}

#[derive(Debug, Default)]
struct NoMoreFiles(AtomicBool);

impl Faults for NoMoreFiles {
    fn before(&self, operation: Operation, _: &Path) -> io::Result<()> {
        let refused = matches!(operation, Operation::Allocate | Operation::Rename);
        if refused && self.0.load(Ordering::Relaxed) {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }
}

#[test]
fn while_its_successor_is_in_memory_only_a_record_stays_held_until_that_is_read() {
    let directory = temporary();
    let faults = Arc::new(NoMoreFiles::default());
    let mut opened =
        Log::open(Options { faults: Some(faults.clone()), ..options(directory.path()) }).expect("open");
    faults.0.store(true, Ordering::Relaxed);
    // Uses up the segments that are files.
    while opened.log.stats().unspooled_records == 0 {
        opened.log.append(Meta::kind(3), &[&[0; 1000]]).expect("append");
    }
    poll_all(&mut opened).iter().for_each(|record| assert!(record.resolve(1).complete));
    let mut held = hold(&opened, 1);
    assert!(held.is_some());
    succeed(&opened, &mut held, 1);
    assert_eq!(opened.log.stats().held_records, 1);
    assert_eq!(left(directory.path()), [(HELD, 1)], "the process may die now");
    assert_eq!(poll_all(&mut opened).len(), 1);
    assert_eq!(opened.log.stats().held_records, 0);
}

/// Puts back a held record as it was just before it was let go, with a word about where its successor went.
fn stop_half_way(directory: &Path, place: &[u8], at: usize, successor: (u64, u32)) {
    let file = &segments(directory)[1];
    let mut bytes = std::fs::read(file).expect("read");
    let end = &mut bytes[at..at + 512];
    end[..496].copy_from_slice(&place[..496]);
    end[496..504].copy_from_slice(&successor.0.to_le_bytes());
    end[504..508].copy_from_slice(&successor.1.to_le_bytes());
    end[508..].copy_from_slice(&(!successor.1).to_le_bytes());
    std::fs::write(file, bytes).expect("write");
}

#[test]
fn killed_between_append_and_release_the_successor_counts() {
    let directory = temporary();
    let mut opened = open_holding(directory.path());
    let mut held = hold(&opened, 7);
    let files = segments(directory.path());
    let before = std::fs::read(&files[1]).expect("read");
    let at = 128;
    let place = before[at..at + 512].to_vec();
    assert!(place.windows(4).any(|bytes| bytes == b"held"));
    succeed(&opened, &mut held, 7);
    assert_eq!(left(directory.path()), [(SUCCESSOR, 7)]);
    for (successor, expected) in [
        ((1, 128), vec![(SUCCESSOR, 7)]),
        // Not appended yet.
        ((1, 128 + 40), vec![(HELD, 7), (SUCCESSOR, 7)]),
        // Its segment is gone: delivered.
        ((99, 128), vec![(SUCCESSOR, 7)]),
        // None noted.
        ((0, 0), vec![(HELD, 7), (SUCCESSOR, 7)]),
    ] {
        let left_behind = snapshot(directory.path());
        stop_half_way(left_behind.path(), &place, at, successor);
        assert_eq!(left(left_behind.path()), expected, "{successor:?}");
    }
    // Delivered, and its segment waits for its next use.
    poll_all(&mut opened).iter().for_each(|record| assert!(record.resolve(1).complete));
    let left_behind = snapshot(directory.path());
    stop_half_way(left_behind.path(), &place, at, (1, 128));
    assert_eq!(left(left_behind.path()), []);
}

#[test]
fn damage_to_a_held_record_costs_that_record() {
    let directory = temporary();
    let opened = open_holding(directory.path());
    let _held: Vec<_> = (0..3).map(|number| hold(&opened, number).expect("room")).collect();
    let left = snapshot(directory.path());
    let file = &segments(left.path())[1];
    let mut bytes = std::fs::read(file).expect("read");
    bytes[128 + 512 + 26] ^= 4;
    std::fs::write(file, bytes).expect("write");
    let mut next = open(left.path());
    assert_eq!(recover_all(&mut next).len(), 2);
    let damage = next.consumer.take_recovery_report().damage;
    assert_eq!(damage.len(), 1, "{damage:?}");
    assert_eq!((damage[0].kind.clone(), damage[0].offset, damage[0].records), (DamageKind::Checksum, 640, 1));
}

#[test]
fn threads_do_not_take_each_others_places() {
    let directory = temporary();
    let opened = Log::open(Options {
        held_records: 2048,
        max_bytes: 64 << 20,
        segment_bytes: 64 << 10,
        ..small(Some(directory.path()))
    })
    .expect("open");
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let log = &opened.log;
            scope.spawn(move || {
                for round in 0..500 {
                    let mut held: Vec<_> = (0..thread + 1)
                        .map(|index| {
                            let number = thread << 24 | index << 16 | round;
                            log.hold(Meta::kind(HELD), &[b"held ", &number.to_le_bytes()])
                        })
                        .collect();
                    assert!(held.iter().all(Option::is_some));
                    held.drain(1..).flatten().for_each(|held| log.release(held));
                    if round == 499 {
                        std::mem::forget(held);
                    } else {
                        held.into_iter().flatten().for_each(|held| log.release(held));
                    }
                }
            });
        }
    });
    let found: BTreeSet<_> = left(directory.path()).into_iter().collect();
    assert_eq!(found, (0..4).map(|thread| (HELD, thread << 24 | 499)).collect());
}

#[derive(Debug, Clone)]
enum Step {
    Hold,
    Succeed(usize),
    Release(usize),
    Append(usize),
    Read,
    Resolve(usize),
    Maintain,
    Files(bool),
    Die,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Hold),
        3 => (0..64_usize).prop_map(Step::Succeed),
        1 => (0..64_usize).prop_map(Step::Release),
        1 => (0..3000_usize).prop_map(Step::Append),
        2 => Just(Step::Read),
        2 => (0..64_usize).prop_map(Step::Resolve),
        3 => Just(Step::Maintain),
        1 => any::<bool>().prop_map(Step::Files),
        1 => Just(Step::Die),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Against a model: at any moment a killed process leaves each thing that began and is not done with exactly once, as held
    /// record or successor; only what is in memory for want of a disk may be missing, and never what is held.
    #[test]
    fn each_thing_is_recovered_once(steps in proptest::collection::vec(step(), 1..80)) {
        let directory = temporary();
        let faults = Arc::new(NoMoreFiles::default());
        let mut opened = Log::open(Options {
            faults: Some(faults.clone()),
            disk_retry_interval: std::time::Duration::ZERO,
            ..options(directory.path())
        })
        .expect("open");
        let mut next = 1;
        let mut held: BTreeMap<u32, Option<Held>> = BTreeMap::new();
        let mut over: BTreeSet<u32> = BTreeSet::new();
        let mut unresolved = Vec::new();
        for step in steps {
            match step {
                Step::Hold => {
                    if let Some(place) = hold(&opened, next) {
                        held.insert(next, Some(place));
                        next += 1;
                    }
                }
                Step::Succeed(which) if !held.is_empty() => {
                    let number = *held.keys().nth(which % held.len()).expect("some");
                    let mut place = held.remove(&number).flatten();
                    let parts: [&[u8]; 2] = [b"over ", &number.to_le_bytes()];
                    match opened.log.append_releasing(Meta::kind(SUCCESSOR), &parts, &mut place) {
                        Ok(_) => drop(over.insert(number)),
                        Err(_) => drop(held.insert(number, place)),
                    }
                }
                Step::Release(which) if !held.is_empty() => {
                    let number = *held.keys().nth(which % held.len()).expect("some");
                    held.remove(&number).flatten().into_iter().for_each(|place| opened.log.release(place));
                }
                Step::Append(bytes) => {
                    // Fails at the bound.
                    let _ = opened.log.append(Meta { marks: 1, ..Meta::kind(3) }, &[&vec![7; bytes]]);
                }
                Step::Read => unresolved.extend(poll_all(&mut opened)),
                Step::Resolve(which) if !unresolved.is_empty() => {
                    let record: endspan_spool::Record = unresolved.swap_remove(which % unresolved.len());
                    if record.kind() == SUCCESSOR {
                        let payload = payload(&record);
                        over.remove(&u32::from_le_bytes(payload[5..9].try_into().expect("number")));
                    }
                    record.resolve(1);
                }
                Step::Maintain => drop(opened.consumer.maintain()),
                Step::Files(there) => faults.0.store(!there, Ordering::Relaxed),
                Step::Die => {
                    let found = left(directory.path());
                    let numbers: BTreeSet<u32> =
                        found.iter().filter(|(kind, _)| *kind != 3).map(|(_, number)| *number).collect();
                    for number in held.keys() {
                        prop_assert!(found.contains(&(HELD, *number)), "{number} is held: {found:?}");
                        prop_assert!(!found.contains(&(SUCCESSOR, *number)));
                    }
                    for number in &numbers {
                        prop_assert!(held.contains_key(number) || over.contains(number), "{number} is done with");
                    }
                    if opened.log.stats().unspooled_records == 0 {
                        prop_assert!(over.iter().all(|number| found.contains(&(SUCCESSOR, *number))));
                        prop_assert_eq!(numbers.len(), found.iter().filter(|(kind, _)| *kind != 3).count());
                    }
                }
                _ => {}
            }
        }
    }
}
