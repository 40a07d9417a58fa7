//! Every version of the format that was ever written is read as expected: see `fixtures/spool`.
#![allow(clippy::expect_used, reason = "test helpers outside of test functions")]

mod common;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use common::{open, payload, recover_all, temporary};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/spool").join(name)
}

/// Recovers one segment and writes down everything that a reader sees of it.
fn reading(segment: &str) -> String {
    let directory = temporary();
    let instance = directory.path().join("101112131415161718191a1b1c1d1e1f");
    std::fs::create_dir(&instance).expect("create");
    std::fs::copy(fixture(segment), instance.join("0000000000000007.seg")).expect("copy");
    let mut opened = open(directory.path());
    let records = recover_all(&mut opened);
    let mut out = String::new();
    for (index, record) in records.iter().enumerate() {
        if index == 0 {
            let user_header = String::from_utf8_lossy(record.user_header());
            writeln!(out, "user header {user_header}").expect("write");
            writeln!(out, "process {}", record.process_id()).expect("write");
            writeln!(out, "required marks {:#b}", record.required_marks()).expect("write");
        }
        let payload = payload(record);
        let text = match std::str::from_utf8(&payload) {
            Ok(text) => format!("{text:?}"),
            Err(_) => format!("{} bytes, crc32 {:#010x}", payload.len(), crc32fast::hash(&payload)),
        };
        let (kind, flags, marks) = (record.kind(), record.flags(), record.marks());
        let appended = record.appended_unix_nanos();
        writeln!(
            out,
            "record kind {kind} flags {flags:#x} marks {marks:#b} appended {appended} payload {text}"
        )
        .expect("write");
    }
    for damage in opened.consumer.take_recovery_report().damage {
        let (offset, bytes, records) = (damage.offset, damage.bytes, damage.records);
        writeln!(out, "damage {:?} offset {offset} bytes {bytes} records {records}", damage.kind)
            .expect("write");
    }
    out
}

#[test]
fn version_1_is_read_as_ever() {
    let expected = std::fs::read_to_string(fixture("v1.expected")).expect("read");
    assert_eq!(reading("v1.seg"), expected);
}
