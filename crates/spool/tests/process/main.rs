//! Real processes: killed, forked, racing, limited.
//!
//! A test starts its own binary again with one test's name and a role in the environment; without a role that
//! test has nothing to do.
#![cfg(unix)]
#![allow(clippy::expect_used, clippy::panic, reason = "test helpers outside of test functions")]

#[path = "../common/mod.rs"]
mod common;
mod disks;
mod forks;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{append, payload, poll_all, recover_all, small, temporary};
use endspan_spool::{Log, Meta, Notice, Options};

const ROLE: &str = "ENDSPAN_SPOOL_TEST_ROLE";
const DIRECTORY: &str = "ENDSPAN_SPOOL_TEST_DIRECTORY";

fn start(role: &str, directory: &Path) -> Child {
    Command::new(std::env::current_exe().expect("own path"))
        .args(["--exact", "in_another_process", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(DIRECTORY, directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start")
}

/// What a child says, without what the test harness says around it.
fn said(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    BufReader::new(child.stdout.take().expect("stdout"))
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.split_once('>').map(|(_, said)| said.to_owned()))
}

fn say(text: impl std::fmt::Display) {
    // One write for a line: the reader sees all of it or nothing.
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n>{text}\n").as_bytes()).expect("write");
    out.flush().expect("flush");
}

#[test]
fn in_another_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let directory = PathBuf::from(std::env::var_os(DIRECTORY).expect("directory"));
    match role.as_str() {
        "append until killed" => append_until_killed(&directory),
        "hold until killed" => hold_until_killed(&directory),
        "adopt" => adopt(&directory),
        "fork and die" => forks::fork_and_die(&directory),
        "limited file size" => disks::limited_file_size(&directory),
        "tiny file system" => disks::tiny_file_system(&directory),
        other => panic!("no role {other}"),
    }
}

fn body(number: u64) -> Vec<u8> {
    let mut body = number.to_le_bytes().to_vec();
    body.resize(8 + (number % 600) as usize, number as u8);
    body
}

fn append_until_killed(directory: &Path) {
    let mut opened = Log::open(Options { segment_bytes: 64 << 10, ..small(Some(directory)) }).expect("open");
    for number in 0u64.. {
        // What is acknowledged must be in a file: prepare often enough.
        if number.is_multiple_of(20) {
            opened.consumer.maintain();
            let mut records = Vec::new();
            opened.consumer.poll(10, usize::MAX, &mut records);
            for record in records {
                record.mark(1);
            }
        }
        opened.log.append(Meta::kind(1), &[&body(number)]).expect("append");
        say(number);
    }
}

#[test]
fn sigkill_loses_nothing_that_was_acknowledged() {
    for round in 0..3u64 {
        let directory = temporary();
        let mut child = start("append until killed", directory.path());
        let mut acknowledged = 0;
        for line in said(&mut child) {
            acknowledged = line.parse::<u64>().expect("number") + 1;
            if acknowledged == 700 + 211 * round {
                child.kill().expect("kill");
            }
        }
        child.wait().expect("wait");
        let mut opened = Log::open(small(Some(directory.path()))).expect("open");
        let records = recover_all(&mut opened);
        let report = opened.consumer.take_recovery_report();
        // One more may be complete but not said, or torn.
        assert!(records.len() as u64 >= acknowledged && records.len() as u64 <= acknowledged + 1);
        for (number, record) in (0u64..).zip(&records) {
            assert_eq!(payload(record), body(number));
            assert!(record.resolve(1).complete);
        }
        assert!(report.damage.iter().all(|d| d.kind == endspan_spool::DamageKind::Torn), "{report:?}");
        opened.consumer.maintain();
        opened.consumer.close();
        assert_eq!(std::fs::read_dir(directory.path()).expect("list").count(), 0);
    }
}

// The first segment takes all that the pipe lets the threads say, so that nothing is in memory only.
fn hold_until_killed(directory: &Path) {
    let mut opened = Log::open(Options {
        held_records: 2048,
        max_bytes: 64 << 20,
        max_resident_bytes: 64 << 20,
        segment_bytes: 16 << 20,
        ..small(Some(directory))
    })
    .expect("open");
    std::thread::scope(|scope| {
        for thread in 0..3_u64 {
            let log = &opened.log;
            scope.spawn(move || {
                for number in (0..).map(|number| number * 3 + thread) {
                    let mut held = log.hold(Meta::kind(1), &[&body(number)[..8]]);
                    assert!(held.is_some());
                    log.append_releasing(Meta::kind(2), &[&body(number)], &mut held).expect("append");
                    say(number);
                }
            });
        }
        loop {
            opened.consumer.maintain();
            std::thread::sleep(Duration::from_micros(200));
        }
    });
}

#[test]
fn sigkill_leaves_each_thing_once_held_or_over() {
    let directory = temporary();
    let mut child = start("hold until killed", directory.path());
    let mut over = BTreeSet::new();
    for line in said(&mut child) {
        over.insert(line.parse::<u64>().expect("number"));
        if over.len() == 2_000 {
            child.kill().expect("kill");
        }
    }
    child.wait().expect("wait");
    let mut opened = Log::open(small(Some(directory.path()))).expect("open");
    let mut held = 0;
    let mut found = BTreeSet::new();
    for record in recover_all(&mut opened) {
        let payload = payload(&record);
        let number = u64::from_le_bytes(payload[..8].try_into().expect("number"));
        assert!(found.insert(number), "{number} was recovered twice");
        if record.kind() == 1 {
            held += 1;
            assert!(!over.contains(&number), "{number} was over");
        } else {
            assert_eq!(payload, body(number));
        }
    }
    assert!(held <= 3, "one a thread: {held}");
    assert_eq!(over.difference(&found).count(), 0);
}

fn adopt(directory: &Path) {
    say("ready");
    // The starter closes our input when all are ready.
    std::io::stdin().read_to_end(&mut Vec::new()).expect("read");
    let mut opened = common::open(directory);
    assert_eq!(opened.consumer.take_notices(), []);
    for record in recover_all(&mut opened) {
        let text = String::from_utf8(payload(&record)).expect("text");
        record.resolve(record.required_marks());
        say(text);
    }
    opened.consumer.maintain();
    opened.consumer.close();
}

#[test]
fn racing_processes_adopt_each_record_once_and_leave_the_living_alone() {
    let directory = temporary();
    let mut expected = BTreeSet::new();
    for instance in 0..6 {
        let opened = common::open(directory.path());
        for number in 0..30 {
            let text = format!("{instance}-{number}");
            append(&opened, 0, text.as_bytes());
            expected.insert(text);
        }
        assert_eq!(opened.consumer.close().spooled_records, 30);
        // Not to have the next one adopt it: it is put back below.
        let kept = directory.path().join(format!("kept-{instance}"));
        let made = std::fs::read_dir(directory.path())
            .expect("list")
            .map(|entry| entry.expect("entry").path())
            .find(|path| !path.to_string_lossy().contains("kept"))
            .expect("instance");
        std::fs::rename(&made, kept).expect("rename");
    }
    let mut living = common::open(directory.path());
    append(&living, 7, b"alive");
    for instance in 0..6 {
        let name = format!("{:032x}", instance + 1);
        std::fs::rename(directory.path().join(format!("kept-{instance}")), directory.path().join(name))
            .expect("rename");
    }

    let mut children: Vec<_> = (0..5).map(|_| start("adopt", directory.path())).collect();
    let mut outputs: Vec<_> = children.iter_mut().map(said).collect();
    for output in &mut outputs {
        assert_eq!(output.next().as_deref(), Some("ready"));
    }
    for child in &mut children {
        drop(child.stdin.take());
    }
    let mut found = BTreeSet::new();
    for output in outputs {
        for text in output {
            assert!(found.insert(text.clone()), "{text} came twice");
        }
    }
    for mut child in children {
        assert!(child.wait().expect("wait").success());
    }
    assert_eq!(found, expected);
    assert_eq!(poll_all(&mut living).len(), 1);
    assert_eq!(living.consumer.adopt_orphans(), 0);
    assert_eq!(std::fs::read_dir(directory.path()).expect("list").count(), 1);
}

#[test]
fn a_lock_that_was_lost_by_accident_is_taken_again() {
    let directory = temporary();
    let mut opened = common::open(directory.path());
    append(&opened, 1, b"x");
    // Closing any descriptor of the file releases a POSIX lock.
    let lock = common::segments(directory.path())[0].with_file_name("lock");
    drop(std::fs::File::open(&lock).expect("open"));
    let notices = opened.consumer.maintain_at(Instant::now() + Duration::from_secs(10)).notices;
    assert_eq!(notices, []);
    let found = forks::in_fork(|| i32::from(!recover_all(&mut common::open(directory.path())).is_empty()));
    assert_eq!(found, 0);

    drop(std::fs::File::open(&lock).expect("open"));
    let mut child = start("adopt", directory.path());
    let input = child.stdin.take();
    drop(input);
    assert_eq!(said(&mut child).last().as_deref(), Some("x"));
    assert!(child.wait().expect("wait").success());
    let later = Instant::now() + Duration::from_secs(20);
    assert_eq!(opened.consumer.maintain_at(later).notices, [Notice::LockLost]);
    // The records are in both processes now: late is better than never, and delivery is idempotent.
    assert_eq!(payload(&poll_all(&mut opened)[0]), b"x");
    // What comes now goes to a directory that is ours again.
    append(&opened, 2, b"y");
    for _ in 0..3 {
        opened.consumer.maintain_at(later + Duration::from_secs(3600));
    }
    let copy = common::snapshot(directory.path());
    let mut after = common::open(copy.path());
    let recovered = recover_all(&mut after);
    assert_eq!(recovered.iter().map(payload).collect::<Vec<_>>(), [b"y"]);
}

#[test]
fn racing_threads_adopt_each_record_once() {
    let spool = common::dead_spool(100, 100);
    let found: Vec<u8> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut opened = common::open(spool.path());
                    let records = recover_all(&mut opened);
                    for record in &records {
                        record.mark(0);
                    }
                    opened.consumer.maintain();
                    records.iter().map(endspan_spool::Record::kind).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("thread")).collect()
    });
    assert_eq!(found, (0..100).collect::<Vec<u8>>());
}
