//! What the tests of this crate share.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "used by tests only")]

use std::path::{Path, PathBuf};

use endspan_spool::{Log, Meta, Opened, Options, Record};
use tempfile::TempDir;

pub(crate) fn temporary() -> TempDir {
    tempfile::tempdir().expect("temporary directory")
}

/// Segments of one page, so that little data makes many.
pub(crate) fn small(directory: Option<&Path>) -> Options {
    Options {
        directory: directory.map(Path::to_path_buf),
        segment_bytes: 4096,
        max_bytes: 1 << 20,
        max_resident_bytes: 1 << 20,
        ..Options::default()
    }
}

pub(crate) fn open(directory: &Path) -> Opened {
    Log::open(small(Some(directory))).expect("open")
}

/// Copies a spool directory as it is at this moment: what a process that is killed now leaves.
pub(crate) fn snapshot(from: &Path) -> TempDir {
    let to = temporary();
    copy(from, to.path());
    to
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("list") {
        let entry = entry.expect("entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("type").is_dir() {
            std::fs::create_dir(&target).expect("create");
            copy(&entry.path(), &target);
        } else if entry.file_name() != "lock" {
            // Opening and closing the lock file would release the lock: it belongs to this very process.
            std::fs::copy(entry.path(), target).expect("copy");
        }
    }
}

/// All segment files under a spool directory, oldest first.
pub(crate) fn segments(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for instance in std::fs::read_dir(directory).expect("list") {
        let instance = instance.expect("entry").path();
        if instance.is_dir() {
            for file in std::fs::read_dir(instance).expect("list") {
                let path = file.expect("entry").path();
                if path.extension().is_some_and(|e| e == "seg") {
                    found.push(path);
                }
            }
        }
    }
    found.sort();
    found
}

pub(crate) fn poll_all(opened: &mut Opened) -> Vec<Record> {
    let mut out = Vec::new();
    while opened.consumer.poll(64, usize::MAX, &mut out) > 0 {}
    out
}

pub(crate) fn recover_all(opened: &mut Opened) -> Vec<Record> {
    let mut out = Vec::new();
    while opened.consumer.recover(7, &mut out) > 0 {}
    out
}

pub(crate) fn payload(record: &Record) -> Vec<u8> {
    record.payload().expect("payload").to_vec()
}

pub(crate) fn append(opened: &Opened, kind: u8, payload: &[u8]) {
    opened.log.append(Meta::kind(kind), &[payload]).expect("append");
}

/// A spool in which a process died right after appending records 0 to `count`, each of `size` bytes of its own number.
pub(crate) fn dead_spool(count: u8, size: usize) -> TempDir {
    let directory = temporary();
    let mut opened =
        Log::open(Options { user_header: b"lanes: a,b".to_vec(), ..small(Some(directory.path())) })
            .expect("open");
    for i in 0..count {
        append(&opened, i, &vec![i; size]);
        opened.consumer.maintain();
    }
    snapshot(directory.path())
}
