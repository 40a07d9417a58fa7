//! A disk that fails: records go on in memory, it is said once, and they reach the disk when it is back.
#![allow(clippy::expect_used, clippy::panic, reason = "test helpers outside of test functions")]

mod common;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{append, payload, poll_all, recover_all, segments, small, snapshot, temporary};
use endspan_spool::{Faults, Log, Maintenance, Meta, Notice, Opened, Operation, Options, ReadError, Record};

/// Fails the operations named in it.
#[derive(Debug, Default, Clone)]
struct Script(Arc<Mutex<HashMap<Operation, io::ErrorKind>>>);

impl Script {
    fn fail(&self, operation: Operation, kind: io::ErrorKind) {
        self.0.lock().expect("lock").insert(operation, kind);
    }

    fn heal(&self) {
        self.0.lock().expect("lock").clear();
    }
}

impl Faults for Script {
    fn before(&self, operation: Operation, _: &Path) -> io::Result<()> {
        match self.0.lock().expect("lock").get(&operation) {
            Some(kind) => Err((*kind).into()),
            None => Ok(()),
        }
    }
}

fn options(directory: &Path, script: &Script) -> Options {
    Options { faults: Some(Arc::new(script.clone())), ..small(Some(directory)) }
}

/// Calls `maintain` until nothing is left to do, at a time far enough ahead for any retry.
fn maintain_later(opened: &mut Opened, hours: u64) -> Vec<Notice> {
    let now = Instant::now() + Duration::from_secs(3600 * hours);
    let mut notices = Vec::new();
    for _ in 0..10 {
        let Maintenance { notices: more, .. } = opened.consumer.maintain_at(now);
        notices.extend(more);
    }
    notices
}

fn kinds(records: &[Record]) -> Vec<u8> {
    records.iter().map(Record::kind).collect()
}

#[test]
fn a_full_disk_is_survived_said_once_and_made_up_for() {
    for operation in [
        Operation::Allocate,
        Operation::Create,
        Operation::Map,
        Operation::CreateDirectory,
        Operation::Lock,
        Operation::Rename,
    ] {
        let directory = temporary();
        let script = Script::default();
        script.fail(operation, io::ErrorKind::StorageFull);
        let mut opened = Log::open(options(directory.path(), &script)).expect("open");
        let mut notices = opened.consumer.take_notices();
        for i in 0..100 {
            append(&opened, i, &[i; 300]);
            notices.extend(opened.consumer.maintain().notices);
        }
        notices.extend(maintain_later(&mut opened, 1));
        assert!(matches!(&notices[..], [Notice::SpoolUnavailable { .. }]), "{operation:?}: {notices:?}");
        let stats = opened.log.stats();
        assert_eq!((stats.depth_records, stats.unspooled_records), (100, 100));
        assert_eq!((stats.disk_bytes, stats.spooling), (0, false));

        script.heal();
        assert_eq!(maintain_later(&mut opened, 300), [Notice::SpoolRestored]);
        assert!(opened.log.stats().spooling);
        append(&opened, 100, &[100; 300]);
        assert_eq!(opened.log.stats().unspooled_records, 100);

        // Now everything survives a crash, and this process still reads it.
        let copy = snapshot(directory.path());
        let mut after = common::open(copy.path());
        assert_eq!(kinds(&recover_all(&mut after)), (0..=100).collect::<Vec<u8>>());
        assert_eq!(after.consumer.take_recovery_report().damage, []);
        let records = poll_all(&mut opened);
        assert_eq!(kinds(&records), (0..=100).collect::<Vec<u8>>());
        assert!(records.iter().all(|r| payload(r) == vec![r.kind(); 300]));
    }
}

#[test]
fn marks_made_in_memory_go_along_to_the_disk() {
    let directory = temporary();
    let script = Script::default();
    script.fail(Operation::Allocate, io::ErrorKind::StorageFull);
    let mut opened =
        Log::open(Options { required_marks: 0b11, ..options(directory.path(), &script) }).expect("open");
    for i in 0..50 {
        append(&opened, i, &[i; 300]);
    }
    let records = poll_all(&mut opened);
    for record in &records {
        record.resolve(if record.kind() % 3 == 0 { 0b11 } else { 0b01 });
    }
    script.heal();
    maintain_later(&mut opened, 1);
    let copy = snapshot(directory.path());
    let mut after = common::open(copy.path());
    let recovered = recover_all(&mut after);
    assert_eq!(kinds(&recovered), (0..50).filter(|i| i % 3 != 0).collect::<Vec<u8>>());
    assert!(recovered.iter().all(|record| record.marks() == 0b01));
    // Handles from before still work.
    assert!(records.iter().all(|record| record.resolve(0b10).complete));
    assert_eq!(opened.log.stats().depth_records, 0);
}

#[test]
fn the_memory_that_stands_in_for_the_disk_is_bounded() {
    let directory = temporary();
    let script = Script::default();
    script.fail(Operation::Allocate, io::ErrorKind::StorageFull);
    let bounded = Options { max_resident_bytes: 8 * 4096, ..options(directory.path(), &script) };
    let mut opened = Log::open(bounded).expect("open");
    let mut taken = 0;
    while opened.log.append(Default::default(), &[&[0; 900]]).is_ok() {
        opened.consumer.maintain();
        taken += 1;
        assert!(taken < 100);
    }
    assert_eq!(taken, 32);
    assert!(opened.log.stats().resident_bytes <= 8 * 4096);
}

#[test]
fn a_burst_beyond_the_memory_goes_to_files() {
    let directory = temporary();
    let script = Script::default();
    let bounded =
        Options { max_resident_bytes: 8 * 4096, max_bytes: 56 * 4096, ..options(directory.path(), &script) };
    let mut opened = Log::open(bounded).expect("open");
    // The consumer does not come to its turn meanwhile.
    let mut taken = 0_u8;
    while opened.log.append(Meta { kind: taken, ..Meta::default() }, &[&[taken; 900]]).is_ok() {
        taken += 1;
    }
    assert!(taken > 180, "{taken}");
    let stats = opened.log.stats();
    assert!(stats.disk_bytes + 8 * 4096 <= 56 * 4096, "{stats:?}");
    assert!(stats.unspooled_records <= 32, "{stats:?}");
    let records = poll_all(&mut opened);
    assert_eq!(kinds(&records), (0..taken).collect::<Vec<u8>>());
    assert!(records.iter().all(|record| payload(record) == vec![record.kind(); 900]));
    for record in records.iter().take(60) {
        record.mark(0);
    }
    maintain_later(&mut opened, 1);
    let copy = snapshot(directory.path());
    let mut after = common::open(copy.path());
    assert_eq!(kinds(&recover_all(&mut after)), (60..taken).collect::<Vec<u8>>());
    assert!(opened.log.stats().resident_bytes <= 8 * 4096);
}

#[test]
fn a_disk_that_refuses_a_burst_costs_what_memory_does_not_hold() {
    let directory = temporary();
    let script = Script::default();
    let bounded =
        Options { max_resident_bytes: 8 * 4096, max_bytes: 56 * 4096, ..options(directory.path(), &script) };
    let mut opened = Log::open(bounded).expect("open");
    for operation in [Operation::Allocate, Operation::Create, Operation::Map] {
        script.fail(operation, io::ErrorKind::StorageFull);
        while opened.log.append(Meta::default(), &[&[0; 900]]).is_ok() {}
        let notices = maintain_later(&mut opened, 1);
        assert!(matches!(&notices[..], [Notice::SpoolUnavailable { .. }]), "{operation:?}: {notices:?}");
        script.heal();
        for record in poll_all(&mut opened) {
            record.mark(0);
        }
        assert_eq!(maintain_later(&mut opened, 300), [Notice::SpoolRestored]);
    }
}

#[test]
fn a_disk_that_fills_up_later_costs_nothing() {
    let directory = temporary();
    let script = Script::default();
    let mut opened = Log::open(options(directory.path(), &script)).expect("open");
    let mut notices = Vec::new();
    for i in 0..100 {
        if i == 40 {
            script.fail(Operation::Allocate, io::ErrorKind::StorageFull);
        }
        append(&opened, i, &[i; 300]);
        notices.extend(opened.consumer.maintain().notices);
    }
    assert!(matches!(&notices[..], [Notice::SpoolUnavailable { .. }]), "{notices:?}");
    let records = poll_all(&mut opened);
    assert_eq!(kinds(&records), (0..100).collect::<Vec<u8>>());
    for record in &records {
        record.mark(0);
    }
    script.heal();
    assert_eq!(maintain_later(&mut opened, 1), [Notice::SpoolRestored]);
    assert_eq!(opened.log.stats().depth_records, 0);
}

#[test]
fn a_file_that_cannot_be_renamed_is_not_used_again() {
    let directory = temporary();
    let script = Script::default();
    let mut opened = Log::open(options(directory.path(), &script)).expect("open");
    script.fail(Operation::Rename, io::ErrorKind::PermissionDenied);
    for round in 0..100u8 {
        append(&opened, round, &[round; 1000]);
        for record in poll_all(&mut opened) {
            assert_eq!(payload(&record), [round; 1000]);
            record.mark(0);
        }
        opened.consumer.maintain();
    }
    assert_eq!(opened.log.stats().depth_records, 0);
    script.heal();
    maintain_later(&mut opened, 1);
    opened.consumer.close();
    assert_eq!(std::fs::read_dir(directory.path()).expect("list").count(), 0);
}

#[test]
fn a_file_that_cannot_be_deleted_stays_on_the_books() {
    let directory = temporary();
    let script = Script::default();
    let mut opened = Log::open(options(directory.path(), &script)).expect("open");
    for i in 0..200 {
        append(&opened, i, &[i; 300]);
        opened.consumer.maintain();
    }
    script.fail(Operation::Remove, io::ErrorKind::PermissionDenied);
    for record in poll_all(&mut opened) {
        record.mark(0);
    }
    opened.consumer.maintain();
    let on_disk = |directory: &Path| segments(directory).len() as u64 * 4096;
    assert_eq!(opened.log.stats().disk_bytes, on_disk(directory.path()));
    assert!(opened.log.stats().disk_bytes > 10 * 4096);
    script.heal();
    opened.consumer.maintain();
    assert_eq!(opened.log.stats().disk_bytes, on_disk(directory.path()));
    assert!(opened.log.stats().disk_bytes < 10 * 4096);
}

#[test]
fn a_failing_sync_is_said_once_until_it_works_again() {
    let directory = temporary();
    let script = Script::default();
    script.fail(Operation::Sync, io::ErrorKind::Other);
    let options = Options { sync_interval: Some(Duration::ZERO), ..options(directory.path(), &script) };
    let mut opened = Log::open(options).expect("open");
    let mut failures = 0;
    for round in 0..4 {
        append(&opened, round, b"x");
        failures += opened.consumer.maintain().notices.len();
        failures += opened.consumer.maintain().notices.len();
        script.heal();
        append(&opened, round, b"y");
        assert_eq!(opened.consumer.maintain().notices, []);
        script.fail(Operation::Sync, io::ErrorKind::Other);
    }
    assert_eq!(failures, 4);
}

#[test]
fn orphans_that_cannot_be_looked_at_are_left_and_said_once() {
    for operation in [Operation::List, Operation::Lock] {
        let spool = common::dead_spool(10, 100);
        let script = Script::default();
        let mut opened = Log::open(options(spool.path(), &script)).expect("open");
        assert_eq!(recover_all(&mut opened).len(), 10);
        drop(opened);

        script.fail(operation, io::ErrorKind::PermissionDenied);
        let mut opened = Log::open(options(spool.path(), &script)).expect("open");
        let failures = |notices: Vec<Notice>| {
            notices.iter().filter(|n| matches!(n, Notice::AdoptionFailed { .. })).count()
        };
        assert_eq!(failures(opened.consumer.take_notices()), 1);
        assert_eq!(opened.consumer.adopt_orphans(), 0);
        assert_eq!(failures(opened.consumer.take_notices()), 0);
        script.heal();
        assert_eq!(opened.consumer.adopt_orphans(), 1);
        assert_eq!(recover_all(&mut opened).len(), 10);
    }
}

#[test]
fn a_segment_that_cannot_be_mapped_again_keeps_its_marks_in_memory() {
    let directory = temporary();
    let script = Script::default();
    let tight =
        Options { max_resident_bytes: 4 * 4096, required_marks: 0b11, ..options(directory.path(), &script) };
    let mut opened = Log::open(tight).expect("open");
    for i in 0..100 {
        append(&opened, i, &[i; 300]);
        opened.consumer.maintain();
    }
    let records = poll_all(&mut opened);
    records[1].mark(0);
    for _ in 0..3 {
        opened.consumer.maintain();
        assert!(records.last().expect("record").payload().is_ok());
    }
    script.fail(Operation::Open, io::ErrorKind::PermissionDenied);
    assert!(matches!(records[0].payload(), Err(ReadError::Map { .. })));
    assert_eq!(records[0].mark(1).newly, 0b10);
    assert_eq!(records[0].mark(1).newly, 0);
    assert_eq!(records[1].mark(1).newly, 0b10);
    assert!(records[2].resolve(0b11).complete);
    assert_eq!(opened.log.stats().depth_records, 99);
    script.heal();
    assert_eq!(payload(&records[0]), [0; 300]);
    assert_eq!(records[0].marks(), 0b10);
    assert_eq!(opened.log.stats().depth_records, 98, "both halves of record 1 met");
    let copy = snapshot(directory.path());
    let mut after = common::open(copy.path());
    let expected: Vec<u8> = (0..100).filter(|i| *i != 1 && *i != 2).collect();
    assert_eq!(kinds(&recover_all(&mut after)), expected);
}

#[test]
fn an_unreadable_segment_of_a_dead_process_waits_for_better_times() {
    let spool = common::dead_spool(60, 100);
    let script = Script::default();
    script.fail(Operation::Map, io::ErrorKind::OutOfMemory);
    let mut opened = Log::open(options(spool.path(), &script)).expect("open");
    assert_eq!(recover_all(&mut opened).len(), 0);
    assert!(!opened.consumer.take_recovery_report().damage.is_empty());
    opened.consumer.maintain();
    drop(opened);
    let mut opened = common::open(spool.path());
    assert_eq!(recover_all(&mut opened).len(), 60);
}

#[test]
fn a_directory_that_cannot_be_made_is_no_error() {
    let directory = temporary();
    let file = directory.path().join("file");
    std::fs::write(&file, "").expect("write");
    let mut opened = Log::open(small(Some(&file.join("spool")))).expect("open");
    assert!(
        opened.consumer.take_notices().iter().any(|notice| matches!(notice, Notice::SpoolUnavailable { .. }))
    );
    append(&opened, 1, b"x");
    assert_eq!(poll_all(&mut opened).len(), 1);
    assert_eq!(opened.consumer.close().lost_records, 1);
}

#[test]
fn what_is_adopted_is_bounded_too() {
    let spool = common::dead_spool(200, 100);
    let options = Options { max_bytes: 4 * 4096, ..small(Some(spool.path())) };
    let mut opened = Log::open(options).expect("open");
    let evicted = opened.consumer.maintain().evicted;
    assert!(evicted.len() > 50);
    for (i, evicted) in evicted.iter().enumerate() {
        assert!(evicted.record.is_recovered());
        assert_eq!(payload(&evicted.record), [i as u8; 100]);
        assert_eq!(evicted.unresolved, 1);
    }
    let rest = recover_all(&mut opened);
    assert_eq!(kinds(&rest), (evicted.len() as u8..200).collect::<Vec<u8>>());
    let stats = opened.log.stats();
    assert_eq!(stats.recovered_depth_records, rest.len() as u64);
}
