//! The log as its users see it.

mod common;

use common::poll_all as all;
use endspan_spool::{AppendError, Limit, Log, Meta, Options, Record, WhenFull};

fn small() -> Options {
    common::small(None)
}

fn text(record: &Record) -> String {
    String::from_utf8_lossy(&common::payload(record)).into_owned()
}

#[test]
fn records_come_back_in_order_with_everything_they_carry() {
    let mut opened = Log::open(Options { required_marks: 0b11, ..small() }).expect("open");
    for i in 0..500u16 {
        let meta =
            Meta { kind: i as u8, flags: i, marks: u32::from(i % 2), appended_unix_nanos: 77 + u64::from(i) };
        opened.log.append(meta, &[b"record ", i.to_string().as_bytes()]).expect("append");
        if i % 50 == 0 {
            opened.consumer.maintain();
        }
    }
    let records = all(&mut opened);
    assert_eq!(records.len(), 500);
    for (i, record) in records.iter().enumerate() {
        assert_eq!(text(record), format!("record {i}"));
        assert_eq!((record.kind(), record.flags()), (i as u8, i as u16));
        assert_eq!(record.appended_unix_nanos(), 77 + i as u64);
        assert_eq!(record.marks(), i as u32 % 2);
        assert!(!record.is_recovered());
    }
    assert!(records.is_sorted_by_key(Record::position));
    assert!(opened.log.stats().segments > 2, "rolled over");
}

#[test]
fn a_record_is_gone_when_every_destination_marked_it() {
    let mut opened = Log::open(Options { required_marks: 0b101, ..small() }).expect("open");
    opened.log.append(Meta::default(), &[b"x"]).expect("append");
    let record = all(&mut opened).remove(0);
    let first = record.mark(0);
    assert_eq!((first.newly, first.complete), (1, false));
    assert_eq!(record.mark(0).newly, 0);
    assert_eq!(opened.log.stats().depth_records, 1);
    let last = record.mark(2);
    assert_eq!((last.newly, last.complete), (0b100, true));
    assert_eq!(opened.log.stats().depth_records, 0);
    assert_eq!(opened.log.stats().depth_bytes, 0);
    assert_eq!(record.mark(40).newly, 0);
}

#[test]
fn a_record_marked_at_birth_is_resolved_at_birth() {
    let opened = Log::open(small()).expect("open");
    opened.log.append(Meta { marks: 1, ..Meta::default() }, &[b"x"]).expect("append");
    assert_eq!(opened.log.stats().depth_records, 0);
    assert_eq!(opened.log.stats().resolved_records, 1);
}

#[test]
fn resolved_segments_are_freed_and_used_again() {
    let directory = tempfile::tempdir().expect("temporary directory");
    for directory in [None, Some(directory.path().to_path_buf())] {
        let mut opened = Log::open(Options { directory, ..small() }).expect("open");
        for round in 0..2000 {
            opened.log.append(Meta::default(), &[&[round as u8; 1000]]).expect("append");
            for record in all(&mut opened) {
                assert_eq!(*record.payload().expect("payload"), [round as u8; 1000]);
                record.mark(0);
            }
            opened.consumer.maintain();
        }
        let stats = opened.log.stats();
        assert_eq!(stats.depth_records, 0);
        assert!(stats.allocated_bytes <= 40 * 4096, "{stats:?}");
        assert_eq!(stats.disk_bytes == 0, opened.log.options().directory.is_none());
    }
}

#[test]
fn the_bound_in_bytes_refuses_and_recovers() {
    let mut opened = Log::open(Options { max_bytes: 8 * 4096, ..small() }).expect("open");
    let mut taken = 0;
    let error = loop {
        match opened.log.append(Meta::default(), &[&[1; 900]]) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
        opened.consumer.maintain();
        assert!(taken < 100);
    };
    assert_eq!(error, AppendError::Full(Limit::Bytes));
    assert_eq!(taken, 32);
    assert!(opened.log.stats().allocated_bytes <= 8 * 4096);
    for record in all(&mut opened) {
        record.mark(0);
    }
    opened.consumer.maintain();
    opened.log.append(Meta::default(), &[&[1; 900]]).expect("there is room again");
}

#[test]
fn the_bound_in_records_refuses() {
    let mut opened = Log::open(Options { max_records: Some(3), ..small() }).expect("open");
    for _ in 0..3 {
        opened.log.append(Meta::default(), &[]).expect("append");
    }
    assert_eq!(opened.log.append(Meta::default(), &[]), Err(AppendError::Full(Limit::Records)));
    all(&mut opened).first().expect("record").mark(0);
    opened.log.append(Meta::default(), &[]).expect("append");
}

#[test]
fn a_record_may_be_larger_than_a_segment_but_not_than_its_limit() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let options =
        Options { directory: Some(directory.path().to_path_buf()), max_record_bytes: 100_000, ..small() };
    let mut opened = Log::open(options).expect("open");
    let large = vec![9u8; 100_000];
    opened.log.append(Meta::kind(1), &[b"before"]).expect("append");
    opened.log.append(Meta::kind(2), &[&large]).expect("append");
    opened.log.append(Meta::kind(3), &[b"after"]).expect("append");
    assert!(matches!(
        opened.log.append(Meta::default(), &[&large, b"!"]),
        Err(AppendError::TooLarge { bytes: 100_001, limit: 100_000 })
    ));
    opened.consumer.maintain();
    let records = all(&mut opened);
    assert_eq!(records.iter().map(Record::kind).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(*records[1].payload().expect("payload"), large);
}

#[test]
fn the_oldest_make_room_when_asked_to() {
    let options =
        Options { max_bytes: 8 * 4096, when_full: WhenFull::EvictOldest, required_marks: 0b11, ..small() };
    let mut opened = Log::open(options).expect("open");
    let mut evicted = Vec::new();
    for i in 0..200u32 {
        opened.log.append(Meta::default(), &[&i.to_le_bytes(), &[0; 900]]).expect("never full");
        if i == 0 {
            all(&mut opened).first().expect("record").mark(1);
        }
        for new in opened.consumer.maintain().evicted {
            let number = evicted.len() as u32;
            assert_eq!(new.record.payload().expect("payload")[..4], number.to_le_bytes());
            assert_eq!(new.unresolved, if number == 0 { 0b01 } else { 0b11 });
            assert_eq!(new.record.mark(0).newly, 0, "a lane that still has it gets nothing to count");
            evicted.push(new);
        }
    }
    assert!(evicted.len() > 100);
    opened.consumer.maintain();
    let bytes = opened.log.stats().resident_bytes;
    assert!(bytes <= 8 * 4096, "handles to evicted records hold no memory, but {bytes} bytes are held");
    assert!(evicted.iter().all(|evicted| evicted.record.payload().is_err()));
    assert!(evicted.iter().all(|evicted| evicted.record.mark(1).newly == 0));
    let stats = opened.log.stats();
    assert_eq!(stats.evicted_records, evicted.len() as u64);
    assert_eq!(stats.depth_records, 200 - evicted.len() as u64);
    let rest = all(&mut opened);
    assert_eq!(rest.len(), 200 - evicted.len());
    assert_eq!(rest[0].payload().expect("payload")[..4], (evicted.len() as u32).to_le_bytes());
}

#[test]
fn the_oldest_records_make_room_for_the_bound_in_records() {
    let options = Options { max_records: Some(80), when_full: WhenFull::EvictOldest, ..small() };
    let mut opened = Log::open(options).expect("open");
    let mut evicted = Vec::new();
    for i in 0..300u32 {
        opened.log.append(Meta::default(), &[&i.to_le_bytes()]).expect("never full");
        evicted.extend(opened.consumer.maintain().evicted);
    }
    assert_eq!(evicted.len(), 230);
    assert_eq!(opened.log.stats().depth_records, 70);
    assert_eq!(opened.log.stats().evicted_records, 230);
    assert_eq!(opened.log.stats().resolved_records, 0);
}

#[test]
fn cursors_are_independent_and_skip_what_does_not_interest_them() {
    let opened = Log::open(Options { required_marks: 0b11, ..small() }).expect("open");
    for i in 0..10 {
        opened.log.append(Meta { marks: u32::from(i % 2 == 0), ..Meta::kind(i) }, &[]).expect("append");
    }
    let mut everything = opened.log.cursor(0);
    let mut lane = opened.log.cursor(0b01);
    let mut out = Vec::new();
    assert_eq!(lane.poll(100, usize::MAX, &mut out), 5);
    assert!(out.iter().all(|record| record.kind() % 2 == 1));
    assert_eq!(everything.next().expect("record").kind(), 0);
    assert_eq!(lane.poll(100, usize::MAX, &mut out), 0);
    opened.log.append(Meta::kind(10), &[]).expect("append");
    assert_eq!(lane.poll(100, usize::MAX, &mut out), 1);
}

#[test]
fn polling_stops_at_its_byte_budget() {
    let mut opened = Log::open(small()).expect("open");
    for _ in 0..10 {
        opened.log.append(Meta::default(), &[&[0; 100]]).expect("append");
    }
    let mut out = Vec::new();
    assert_eq!(opened.consumer.poll(100, 350, &mut out), 3);
    assert_eq!(opened.consumer.poll(100, 1, &mut out), 1, "one is always taken");
    assert_eq!(opened.consumer.poll(100, usize::MAX, &mut out), 6);
}

#[test]
fn what_is_too_much_in_memory_is_unmapped_and_still_read() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let options =
        Options { directory: Some(directory.path().to_path_buf()), max_resident_bytes: 4 * 4096, ..small() };
    let mut opened = Log::open(options).expect("open");
    for i in 0..200u32 {
        opened.log.append(Meta::default(), &[&i.to_le_bytes(), &[0; 900]]).expect("append");
        opened.consumer.maintain();
    }
    let records = all(&mut opened);
    assert_eq!(records.len(), 200);
    opened.consumer.maintain();
    assert!(opened.log.stats().resident_bytes <= 4 * 4096);
    assert!(opened.log.stats().disk_bytes > 40 * 4096);
    for (i, record) in records.iter().enumerate().rev() {
        assert_eq!(record.payload().expect("payload")[..4], (i as u32).to_le_bytes());
        assert!(record.mark(0).complete);
    }
    opened.consumer.maintain();
    assert_eq!(opened.log.stats().depth_records, 0);
}

#[test]
fn several_threads_append_and_nothing_is_lost_or_mixed() {
    let directory = tempfile::tempdir().expect("temporary directory");
    for directory in [None, Some(directory.path().to_path_buf())] {
        let options = Options { directory, segment_bytes: 256 << 10, ..Options::default() };
        let mut opened = Log::open(options).expect("open");
        let threads: Vec<_> = (0..4u8)
            .map(|thread| {
                let log = opened.log.clone();
                std::thread::spawn(move || {
                    for i in 0..3000u32 {
                        // Some are long enough to be copied outside the lock.
                        let size = if i % 100 == 0 { 50_000 } else { (i % 700) as usize };
                        let body = vec![i as u8; size];
                        while let Err(error) = log.append(Meta::kind(thread), &[&i.to_le_bytes(), &body]) {
                            assert_eq!(error, AppendError::Full(Limit::Bytes));
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        let mut next = [0u32; 4];
        let mut out = Vec::new();
        while next.iter().sum::<u32>() < 12_000 {
            out.clear();
            opened.consumer.poll(500, usize::MAX, &mut out);
            for record in &out {
                let payload = record.payload().expect("payload");
                let expected = &mut next[usize::from(record.kind())];
                assert_eq!(payload[..4], expected.to_le_bytes());
                assert!(payload[4..].iter().all(|b| *b == *expected as u8));
                *expected += 1;
                record.mark(0);
            }
            opened.consumer.maintain();
        }
        for thread in threads {
            thread.join().expect("thread");
        }
        assert_eq!(opened.log.stats().depth_records, 0);
    }
}

#[test]
fn a_closed_log_takes_nothing() {
    let opened = Log::open(small()).expect("open");
    opened.log.append(Meta::default(), &[b"x"]).expect("append");
    let closed = opened.consumer.close();
    assert_eq!((closed.spooled_records, closed.lost_records), (0, 1));
    assert_eq!(opened.log.append(Meta::default(), &[b"x"]), Err(AppendError::Closed));
}

#[test]
fn a_closed_spool_leaves_only_what_is_unresolved() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let options = Options { directory: Some(directory.path().to_path_buf()), ..small() };
    let mut opened = Log::open(options.clone()).expect("open");
    for i in 0..20u8 {
        opened.log.append(Meta::kind(i), &[&[i; 900]]).expect("append");
    }
    for record in all(&mut opened).iter().take(15) {
        record.mark(0);
    }
    let closed = opened.consumer.close();
    assert_eq!((closed.spooled_records, closed.lost_records), (5, 0));

    let mut again = Log::open(options).expect("open");
    let mut recovered = Vec::new();
    again.consumer.recover(100, &mut recovered);
    assert_eq!(recovered.iter().map(Record::kind).collect::<Vec<_>>(), [15, 16, 17, 18, 19]);
    for record in &recovered {
        assert!(record.is_recovered());
        assert_eq!(*record.payload().expect("payload"), [record.kind(); 900]);
        record.resolve(record.required_marks());
    }
    assert_eq!(again.log.stats().recovered_depth_records, 0);
    again.consumer.maintain();
    again.consumer.close();
    assert_eq!(std::fs::read_dir(directory.path()).expect("list").count(), 0);
}

#[test]
fn handles_go_between_threads() {
    fn sendable<T: Send>() {}
    fn shareable<T: Send + Sync>() {}
    sendable::<endspan_spool::Consumer>();
    sendable::<endspan_spool::Cursor>();
    shareable::<Log>();
    shareable::<Record>();
    shareable::<endspan_spool::Payload>();
    assert!(size_of::<Record>() <= 32, "lanes hold many of them");
}

#[test]
fn a_producer_sees_when_waking_the_consumer_is_worth_it() {
    let mut opened = Log::open(small()).expect("open");
    let mut woken = 0;
    for _ in 0..400 {
        opened.log.append(Meta::default(), &[&[0; 100]]).expect("append");
        if opened.log.wants_maintenance() {
            woken += 1;
            opened.consumer.maintain();
            assert!(!opened.log.wants_maintenance());
        }
    }
    assert_eq!(woken, 12, "once for each segment of 31 records");
}

#[test]
fn a_consumer_in_the_middle_of_long_work_keeps_segments_ready() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let options = Options { directory: Some(directory.path().into()), ..small() };
    let mut opened = Log::open(options).expect("open");
    opened.consumer.maintain();
    let ready = opened.log.stats().prepared_segments;
    for _ in 0..400 {
        opened.log.append(Meta::default(), &[&[0; 100]]).expect("append");
        opened.consumer.replenish();
        assert!(!opened.log.wants_maintenance());
        assert!(opened.log.stats().prepared_segments >= ready);
    }
    let stats = opened.log.stats();
    assert_eq!(stats.unspooled_records, 0, "no producer had to take memory");
    assert!(stats.prepared_segments <= ready + 1, "one was used up at a time: {stats:?}");
    opened.consumer.close();
    // What follows is no business of a closed log.
    assert!(opened.log.append(Meta::default(), &[b"late"]).is_err());
}

#[test]
fn no_more_segments_are_kept_ready_than_were_used_up() {
    let mut opened =
        Log::open(Options { max_bytes: 64 << 20, max_resident_bytes: 64 << 20, ..small() }).expect("open");
    for used_up in [2, 5, 9] {
        let before = opened.log.stats().segments;
        while opened.log.stats().segments < before + used_up {
            opened.log.append(Meta::default(), &[&[0; 100]]).expect("append");
        }
        opened.consumer.maintain();
        assert_eq!(opened.log.stats().prepared_segments, (used_up + 1).max(3));
    }
}

#[test]
fn impossible_options_are_refused() {
    use endspan_spool::{MAX_USER_HEADER_BYTES, OptionsError};
    let refused = |options: Options| Log::open(options).expect_err("refused");
    let bytes = MAX_USER_HEADER_BYTES + 1;
    assert_eq!(
        refused(Options { user_header: vec![0; bytes], ..small() }),
        OptionsError::UserHeaderTooLong { bytes }
    );
    assert_eq!(refused(Options { required_marks: 0, ..small() }), OptionsError::NoRequiredMarks);
    assert_eq!(
        refused(Options { required_marks: 0x1_0001, ..small() }),
        OptionsError::MarksOutOfRange { marks: 0x1_0001 }
    );
}

#[test]
fn sizes_are_clamped_to_what_works() {
    let tiny = Options {
        max_bytes: 0,
        max_resident_bytes: 0,
        segment_bytes: 1,
        user_header: vec![7; 30_000],
        ..small()
    };
    let mut opened = Log::open(tiny).expect("open");
    let segment = opened.log.options().segment_bytes;
    assert!(segment > 30_000 && segment.is_multiple_of(4096));
    opened.log.append(Meta::default(), &[b"fits"]).expect("append");
    assert_eq!(text(&all(&mut opened)[0]), "fits");
}

#[test]
fn syncing_goes_through_all_segments() {
    let directory = common::temporary();
    let options =
        Options { sync_interval: Some(std::time::Duration::ZERO), ..common::small(Some(directory.path())) };
    let mut opened = Log::open(options).expect("open");
    for i in 0..100 {
        opened.log.append(Meta::kind(i), &[&[i; 200]]).expect("append");
        assert_eq!(opened.consumer.maintain().notices, []);
    }
    assert_eq!(all(&mut opened).len(), 100);
}
