//! Every kind of damage: what is intact is recovered, what is not is reported, nothing panics.

#![allow(clippy::expect_used, reason = "test helpers outside of test functions")]

mod common;

use std::fs;
use std::path::Path;

use common::{dead_spool, open, payload, recover_all, segments};
use endspan_spool::{Damage, DamageKind, Log, Opened, Record, RecoveryReport};
use proptest::prelude::*;

/// Header of 128 bytes, user header "lanes: a,b" of 10, rounded up to 64.
const START: usize = 192;
/// Head of 24 bytes and payload of 100, rounded up to 8.
const RECORD: usize = 128;
const COUNT: u8 = 10;

/// Damages the only used segment of a dead spool and recovers it.
fn damaged(change: impl FnOnce(&mut Vec<u8>)) -> (Vec<u8>, RecoveryReport) {
    let spool = dead_spool(COUNT, 100);
    let path = segments(spool.path()).remove(0);
    let mut bytes = fs::read(&path).expect("read");
    change(&mut bytes);
    fs::write(&path, bytes).expect("write");
    recovered(spool.path())
}

/// Recovers a spool; checks every record that comes out, resolves it, and checks that the spool is empty then.
fn recovered(directory: &Path) -> (Vec<u8>, RecoveryReport) {
    let mut opened = open(directory);
    let records = recover_all(&mut opened);
    let report = opened.consumer.take_recovery_report();
    for record in &records {
        assert_eq!(payload(record), vec![record.kind(); 100]);
        record.resolve(record.required_marks());
    }
    assert_eq!(report.records, records.len() as u64);
    assert_eq!(opened.log.stats().recovered_depth_records, 0);
    opened.consumer.maintain();
    (records.iter().map(Record::kind).collect(), report)
}

fn without(lost: &[u8]) -> Vec<u8> {
    (0..COUNT).filter(|i| !lost.contains(i)).collect()
}

fn only(report: &RecoveryReport) -> &Damage {
    assert_eq!(report.damage.len(), 1, "{report:?}");
    &report.damage[0]
}

#[test]
fn an_intact_spool_has_no_damage() {
    let (kinds, report) = damaged(|_| {});
    assert_eq!(kinds, without(&[]));
    assert_eq!((report.instances, report.records, report.bytes), (1, 10, 1000));
    assert_eq!(report.damage, []);
}

#[test]
fn the_user_header_and_the_writer_come_with_the_record() {
    let spool = dead_spool(1, 100);
    let mut opened = open(spool.path());
    let record = recover_all(&mut opened).remove(0);
    assert_eq!(record.user_header(), b"lanes: a,b");
    assert_eq!(record.required_marks(), 1);
    assert_eq!(record.process_id(), std::process::id());
    assert!(record.appended_unix_nanos() > 1_600_000_000_000_000_000);
}

#[test]
fn a_flipped_payload_bit_costs_that_record() {
    let (kinds, report) = damaged(|bytes| bytes[START + 3 * RECORD + 24 + 50] ^= 4);
    assert_eq!(kinds, without(&[3]));
    let damage = only(&report);
    assert_eq!(damage.kind, DamageKind::Checksum);
    assert_eq!((damage.offset, damage.bytes, damage.records), ((START + 3 * RECORD) as u64, 128, 1));
}

#[test]
fn a_flipped_time_kind_or_flag_costs_that_record() {
    for at in [12, 14, 17] {
        let (kinds, report) = damaged(|bytes| bytes[START + 2 * RECORD + at] ^= 1);
        assert_eq!(kinds, without(&[2]));
        assert_eq!(only(&report).kind, DamageKind::Checksum);
    }
}

#[test]
fn a_wrong_length_costs_that_record() {
    // Longer, shorter, beyond the end.
    for (at, value) in [(0, 200u8), (0, 20), (1, 0xff)] {
        let (kinds, report) = damaged(|bytes| bytes[START + 4 * RECORD + at] = value);
        assert_eq!(kinds, without(&[4]));
        assert_eq!(only(&report).bytes, 128);
    }
}

#[test]
fn a_zeroed_record_is_a_gap() {
    let (kinds, report) = damaged(|bytes| bytes[START + 5 * RECORD..][..2 * RECORD].fill(0));
    assert_eq!(kinds, without(&[5, 6]));
    let damage = only(&report);
    assert_eq!((&damage.kind, damage.bytes), (&DamageKind::Gap, 256));
}

#[test]
fn a_zeroed_length_word_hides_one_record_only() {
    let (kinds, report) = damaged(|bytes| bytes[START..][..4].fill(0));
    assert_eq!(kinds, without(&[0]));
    assert_eq!(only(&report).bytes, 128);
}

#[test]
fn garbage_in_the_middle_costs_what_it_covers() {
    let (kinds, report) = damaged(|bytes| bytes[START + 2 * RECORD - 10..][..RECORD + 20].fill(0xAA));
    assert_eq!(kinds, without(&[1, 2, 3]));
    assert!(!report.damage.is_empty());
    assert_eq!(report.damage.iter().map(|d| d.bytes).sum::<u64>(), 3 * 128);
}

#[test]
fn garbage_behind_the_last_record_is_reported() {
    let (kinds, report) = damaged(|bytes| bytes[4000..4010].fill(0x55));
    assert_eq!(kinds, without(&[]));
    assert_eq!(only(&report).kind, DamageKind::Garbage);
}

#[test]
fn a_torn_record_at_the_end_is_known_as_such() {
    let (kinds, report) = damaged(|bytes| {
        let at = START + 9 * RECORD;
        bytes[at + 3] = 0x40;
        bytes[at + 60..at + RECORD].fill(0);
    });
    assert_eq!(kinds, without(&[9]));
    let damage = only(&report);
    assert_eq!((&damage.kind, damage.bytes, damage.records), (&DamageKind::Torn, 128, 1));
}

#[test]
fn a_torn_record_between_others_is_stepped_over() {
    let (kinds, report) = damaged(|bytes| bytes[START + 4 * RECORD + 3] = 0x40);
    assert_eq!(kinds, without(&[4]));
    assert_eq!(only(&report).kind, DamageKind::Torn);
}

#[test]
fn a_torn_record_with_a_wrong_length_costs_no_neighbour() {
    let (kinds, report) = damaged(|bytes| {
        bytes[START + 4 * RECORD] = 180;
        bytes[START + 4 * RECORD + 3] = 0x40;
    });
    assert_eq!(kinds, without(&[4]));
    assert_eq!(only(&report).kind, DamageKind::Garbage);
}

#[test]
fn a_truncated_file_keeps_what_is_left_of_it() {
    let (kinds, report) = damaged(|bytes| bytes.truncate(START + 6 * RECORD + 30));
    assert_eq!(kinds, [0, 1, 2, 3, 4, 5]);
    assert!(report.damage.iter().any(|d| d.kind == DamageKind::Truncated), "{report:?}");
}

#[test]
fn a_file_truncated_between_records_is_reported_too() {
    let (kinds, report) = damaged(|bytes| bytes.truncate(START + 6 * RECORD));
    assert_eq!(kinds, [0, 1, 2, 3, 4, 5]);
    assert_eq!(only(&report).kind, DamageKind::Truncated);
}

#[test]
fn a_file_truncated_within_its_header_is_reported() {
    for length in [1, 100, 130] {
        let (kinds, report) = damaged(|bytes| bytes.truncate(length));
        assert_eq!(kinds, []);
        assert_eq!(report.damage[0].kind, DamageKind::Truncated);
    }
}

#[test]
fn a_damaged_header_costs_no_record() {
    // Magic, instance, sequence, marks, lengths, checksum, user header.
    for at in [0, 20, 33, 57, 12, 61, 73, 130] {
        let (kinds, report) = damaged(|bytes| bytes[at] ^= 0x10);
        assert_eq!(kinds, without(&[]), "byte {at}");
        assert_eq!(only(&report).kind, DamageKind::Header);
    }
}

#[test]
fn a_zeroed_header_costs_no_record() {
    let (kinds, report) = damaged(|bytes| bytes[..START].fill(0));
    assert_eq!(kinds, without(&[]));
    assert_eq!(only(&report).kind, DamageKind::Header);
}

#[test]
fn a_damaged_header_borrows_from_its_siblings() {
    let spool = dead_spool(60, 100);
    let all = segments(spool.path());
    assert!(all.len() > 2);
    let mut bytes = fs::read(&all[0]).expect("read");
    bytes[..150].fill(0xEE);
    fs::write(&all[0], bytes).expect("write");
    let mut opened = open(spool.path());
    let records = recover_all(&mut opened);
    assert_eq!(records.len(), 60);
    assert!(records.iter().all(|record| record.user_header() == b"lanes: a,b"));
}

#[test]
fn damaged_marks_deliver_once_more_rather_than_never() {
    let (kinds, report) = damaged(|bytes| bytes[START + 7 * RECORD + 8] = 1);
    assert_eq!(kinds, without(&[]));
    assert_eq!(only(&report).kind, DamageKind::Marks);
}

#[test]
fn damage_to_the_seal_is_only_a_report() {
    let (kinds, _) = damaged(|bytes| bytes[80..104].fill(0x18));
    assert_eq!(kinds, without(&[]));
}

#[test]
fn an_unknown_version_stays_where_it_is_and_is_reported_once() {
    let spool = dead_spool(60, 100);
    let all = segments(spool.path());
    let mut bytes = fs::read(&all[0]).expect("read");
    bytes[8] = 2;
    fs::write(&all[0], &bytes).expect("write");
    let (kinds, report) = recovered(spool.path());
    assert!(!kinds.is_empty() && !kinds.contains(&0));
    assert_eq!(only(&report).kind, DamageKind::UnknownVersion { version: 2 });
    assert_eq!(segments(spool.path()), [all[0].clone()], "nothing else is left");
    assert_eq!(fs::read(&all[0]).expect("read"), bytes, "and it was not touched");

    let mut opened = open(spool.path());
    assert_eq!(opened.consumer.take_recovery_report().damage.len(), 1);
    opened.consumer.maintain();
    assert_eq!(opened.consumer.adopt_orphans(), 0);
    assert_eq!(opened.consumer.take_recovery_report(), RecoveryReport::default());
}

#[test]
fn empty_blank_and_free_files_go_without_a_word() {
    let spool = dead_spool(COUNT, 100);
    let instance = segments(spool.path())[0].parent().expect("parent").to_path_buf();
    let mut free = vec![0x77; 4096];
    free[..8].copy_from_slice(b"ENDSFREE");
    for (name, bytes) in
        [("00000000000000a0", vec![]), ("00000000000000a1", vec![0; 70_000]), ("00000000000000a2", free)]
    {
        fs::write(instance.join(format!("{name}.seg")), bytes).expect("write");
    }
    let (kinds, report) = recovered(spool.path());
    assert_eq!(kinds, without(&[]));
    assert_eq!(report.damage, []);
    assert!(!instance.exists());
}

#[test]
fn files_of_others_stay() {
    let spool = dead_spool(COUNT, 100);
    let instance = segments(spool.path())[0].parent().expect("parent").to_path_buf();
    fs::write(instance.join("notes.txt"), "mine").expect("write");
    fs::create_dir(instance.join("00000000000000b0.seg")).expect("create");
    std::os::unix::fs::symlink("/etc/passwd", instance.join("00000000000000b1.seg")).expect("link");
    fs::write(spool.path().join("README"), "mine").expect("write");
    let (kinds, report) = recovered(spool.path());
    assert_eq!(kinds, without(&[]));
    assert_eq!(report.damage.len(), 3);
    assert_eq!(report.damage.iter().filter(|d| d.kind == DamageKind::ForeignFile).count(), 2);
    assert!(instance.join("notes.txt").exists());
    assert!(spool.path().join("README").exists());
}

#[test]
fn a_record_of_another_segment_does_not_pass_for_one_of_this() {
    let spool = dead_spool(60, 100);
    let all = segments(spool.path());
    let first = fs::read(&all[0]).expect("read");
    let mut second = fs::read(&all[1]).expect("read");
    second[START + RECORD..][..RECORD].copy_from_slice(&first[START..][..RECORD]);
    fs::write(&all[1], second).expect("write");
    let (kinds, report) = recovered(spool.path());
    assert_eq!(kinds.len(), 59);
    assert_eq!(kinds.iter().filter(|kind| **kind == 0).count(), 1);
    assert_eq!(only(&report).kind, DamageKind::Checksum);
}

#[test]
fn segments_are_recovered_in_their_order_of_use() {
    let spool = dead_spool(100, 100);
    let Opened { log, consumer } = Log::open(common::small(Some(spool.path()))).expect("open");
    let mut opened = Opened { log, consumer };
    let kinds: Vec<u8> = recover_all(&mut opened).iter().map(Record::kind).collect();
    assert_eq!(kinds, (0..100).collect::<Vec<u8>>());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is overwritten: every record outside is recovered, and if one is lost, there is a report.
    #[test]
    fn any_overwritten_range_costs_only_what_it_covers(
        from in 10usize..4096,
        fill in prop::collection::vec(any::<u8>(), 1..300),
    ) {
        let to = (from + fill.len()).min(4096);
        let touched: Vec<u8> = (0..COUNT)
            .filter(|i| {
                let start = START + usize::from(*i) * RECORD;
                start < to && from < start + RECORD
            })
            .collect();
        let (kinds, report) = damaged(|bytes| bytes[from..to].copy_from_slice(&fill[..to - from]));
        for kind in without(&touched) {
            prop_assert!(kinds.contains(&kind), "record {} is lost: {:?}", kind, report);
        }
        if kinds.len() < usize::from(COUNT) {
            prop_assert!(!report.damage.is_empty());
        }
        prop_assert!(kinds.is_sorted());
    }

    /// A file of anything at all neither panics nor yields anything.
    #[test]
    fn any_file_is_survived(content in prop::collection::vec(any::<u8>(), 0..2000), magic in any::<bool>()) {
        let mut content = content;
        if magic && content.len() > 10 {
            content[..10].copy_from_slice(b"ENDSPOOL\x01\x00");
        }
        let (kinds, report) = damaged(|bytes| *bytes = content.clone());
        prop_assert_eq!(kinds.len(), 0);
        prop_assert_eq!(report.damage.is_empty(), content.iter().all(|b| *b == 0));
    }
}
