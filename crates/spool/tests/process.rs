//! Real processes: killed, forked, racing, limited.
//!
//! A test starts its own binary again with one test's name and a role in the environment; without a role that
//! test has nothing to do.
#![cfg(unix)]
#![allow(clippy::expect_used, clippy::panic, reason = "test helpers outside of test functions")]

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{append, payload, poll_all, recover_all, small, temporary};
use endspan_spool::{AppendError, Log, Meta, Notice, Opened, Options};

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
        "fork and die" => fork_and_die(&directory),
        "limited file size" => limited_file_size(&directory),
        "tiny file system" => tiny_file_system(&directory),
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
    let found = in_fork(|| i32::from(!recover_all(&mut common::open(directory.path())).is_empty()));
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

/// Runs `child` in a forked process and returns its exit code; kills it after a while.
fn in_fork(child: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child runs `child` and leaves by `_exit`, without returning into the test harness.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork");
    if pid == 0 {
        let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(101);
        // SAFETY: ends this process without running anything else of it.
        unsafe { libc::_exit(code) };
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let mut status = 0;
        // SAFETY: `pid` is our child, `status` is ours.
        let waited = unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) };
        if waited == pid {
            return if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -1 };
        }
        if Instant::now() > deadline {
            // SAFETY: `pid` is our child.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            panic!("the forked child hangs");
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_forked_child_has_nothing_of_its_parent_and_starts_afresh() {
    let directory = temporary();
    let mut opened = common::open(directory.path());
    for i in 0..50 {
        append(&opened, i, &[i; 300]);
        opened.consumer.maintain();
    }
    let records = poll_all(&mut opened);
    let before = common::snapshot(directory.path());
    let generation = endspan_spool::fork_generation();
    let code = in_fork(|| {
        if endspan_spool::fork_generation() == generation {
            return 9;
        }
        // Everything that belongs to the parent refuses.
        if opened.log.append(Meta::default(), &[b"child"]) != Err(AppendError::Foreign) {
            return 1;
        }
        if !opened.log.is_foreign() || records[0].mark(0).newly != 0 || records[0].payload().is_ok() {
            return 2;
        }
        let mut out = Vec::new();
        opened.consumer.maintain();
        if opened.consumer.poll(10, 1000, &mut out) + opened.consumer.recover(10, &mut out) != 0 {
            return 3;
        }
        if opened.log.cursor(0).next().is_some() {
            return 4;
        }
        // And the child's own log works, without adopting the living parent.
        let Ok(mut own) = opened.log.reopen_after_fork() else { return 5 };
        if !recover_all(&mut own).is_empty() || !own.log.stats().spooling {
            return 6;
        }
        append(&own, 200, b"child");
        let mine = poll_all(&mut own);
        if mine.len() != 1 || payload(&mine[0]) != b"child" {
            return 7;
        }
        mine[0].mark(0);
        own.consumer.maintain();
        if own.consumer.close().spooled_records != 0 {
            return 8;
        }
        // Dropping the parent's consumer here must not touch the parent's files.
        let Opened { log, consumer } =
            std::mem::replace(&mut opened, Log::open(Options::default()).expect("open"));
        drop(consumer);
        drop(log);
        0
    });
    assert_eq!(code, 0);
    assert!(!opened.log.is_foreign());
    assert_eq!(opened.log.stats().depth_records, 50);
    assert!(records.iter().all(|record| record.marks() == 0 && record.payload().is_ok()));
    assert_eq!(common::segments(directory.path()).len(), common::segments(before.path()).len());
    // Nobody else may adopt: the child's closing of its descriptors has not released the parent's lock.
    let code = in_fork(|| i32::from(!recover_all(&mut common::open(directory.path())).is_empty()));
    assert_eq!(code, 0);
}

#[test]
fn forks_amid_appends_neither_hang_nor_harm() {
    let directory = temporary();
    let mut opened =
        Log::open(Options { segment_bytes: 64 << 10, max_bytes: 64 << 20, ..small(Some(directory.path())) })
            .expect("open");
    let stop = AtomicBool::new(false);
    let appended: u64 = std::thread::scope(|scope| {
        let producers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut count = 0;
                    while !stop.load(Ordering::Relaxed) {
                        if opened.log.append(Meta::default(), &[&[5; 200]]).is_ok() {
                            count += 1;
                        }
                    }
                    count
                })
            })
            .collect();
        for _ in 0..25 {
            let log = opened.log.clone();
            let code = in_fork(|| {
                if log.append(Meta::default(), &[b"child"]) != Err(AppendError::Foreign) {
                    return 1;
                }
                let _ = log.stats();
                let Ok(mut own) = log.reopen_after_fork() else { return 2 };
                append(&own, 1, b"child");
                own.consumer.maintain();
                let mine = poll_all(&mut own);
                for record in &mine {
                    record.mark(0);
                }
                own.consumer.maintain();
                i32::from(mine.len() != 1) * 3
            });
            assert_eq!(code, 0);
        }
        stop.store(true, Ordering::Relaxed);
        producers.into_iter().map(|thread| thread.join().expect("thread")).sum()
    });
    assert_eq!(opened.log.stats().depth_records, appended);
    let records = poll_all(&mut opened);
    assert_eq!(records.len() as u64, appended);
    assert!(records.iter().all(|record| payload(record) == [5; 200]));
}

fn fork_and_die(directory: &Path) {
    let opened = common::open(directory);
    for i in 0..20 {
        append(&opened, i, &[i; 100]);
    }
    // SAFETY: the child only waits for the end of its input and leaves by `_exit`.
    if unsafe { libc::fork() } == 0 {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        // SAFETY: ends this process without running anything else of it.
        unsafe { libc::_exit(0) };
    }
    say("forked");
    // SAFETY: dies at once, as if killed.
    unsafe { libc::_exit(0) };
}

#[test]
fn a_surviving_child_does_not_hold_its_dead_parents_spool() {
    let directory = temporary();
    let mut parent = start("fork and die", directory.path());
    let output = parent.stdout.take().expect("stdout");
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == ">forked"));
    let to_child = parent.stdin.take();
    assert!(parent.wait().expect("wait").success());
    // The forked child lives until its input ends.
    let mut opened = common::open(directory.path());
    assert_eq!(recover_all(&mut opened).len(), 20);
    drop(to_child);
}

fn limited_file_size(directory: &Path) {
    let limit = rustix::process::Rlimit { current: Some(8 << 10), maximum: None };
    rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).expect("limit");
    let mut opened = Log::open(Options { segment_bytes: 64 << 10, ..small(Some(directory)) }).expect("open");
    let notices = opened.consumer.take_notices();
    assert!(matches!(&notices[..], [Notice::SpoolUnavailable { .. }]), "{notices:?}");
    for i in 0..250 {
        append(&opened, i, &[i; 300]);
        opened.consumer.maintain();
    }
    assert_eq!(poll_all(&mut opened).len(), 250);
    say("survived");
}

#[test]
fn a_file_size_limit_does_not_kill() {
    let directory = temporary();
    let mut child = start("limited file size", directory.path());
    assert_eq!(said(&mut child).last().as_deref(), Some("survived"));
    assert!(child.wait().expect("wait").success());
}

/// Fills a file system of 512 KiB; needs the right to mount, and says so where there is none.
#[cfg(target_os = "linux")]
fn tiny_file_system(directory: &Path) {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt as _;

    let target = CString::new(directory.as_os_str().as_bytes()).expect("path");
    // SAFETY: all strings are nul-terminated and live through the calls; the mount is in a namespace of its own.
    let mounted = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(
                std::ptr::null(),
                c"/".as_ptr(),
                std::ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                std::ptr::null(),
            ) == 0
            && libc::mount(
                c"tmpfs".as_ptr(),
                target.as_ptr(),
                c"tmpfs".as_ptr(),
                0,
                c"size=512k".as_ptr().cast(),
            ) == 0
    };
    if !mounted {
        say("no right to mount");
        return;
    }
    let retry = Duration::from_millis(1);
    let options = Options {
        segment_bytes: 64 << 10,
        max_bytes: 4 << 20,
        max_resident_bytes: 4 << 20,
        disk_retry_interval: retry,
        ..small(Some(directory))
    };
    let mut opened = Log::open(options).expect("open");
    let mut notices = Vec::new();
    for i in 0..2000u32 {
        opened.log.append(Meta::default(), &[&i.to_le_bytes(), &[1; 996]]).expect("append");
        notices.extend(opened.consumer.maintain().notices);
    }
    assert!(matches!(&notices[0], Notice::SpoolUnavailable { .. }), "{notices:?}");
    let records = poll_all(&mut opened);
    assert_eq!(records.len(), 2000);
    for (i, record) in records.iter().enumerate() {
        assert_eq!(payload(record)[..4], (i as u32).to_le_bytes());
        record.mark(0);
    }
    let later = Instant::now() + Duration::from_secs(3600);
    for _ in 0..10 {
        notices.extend(opened.consumer.maintain_at(later).notices);
    }
    assert_eq!(notices.last(), Some(&Notice::SpoolRestored));
    assert!(opened.log.stats().disk_bytes > 0);
    say("survived");
}

#[cfg(not(target_os = "linux"))]
fn tiny_file_system(_: &Path) {
    say("no right to mount");
}

#[test]
fn a_full_file_system_does_not_kill() {
    let directory = temporary();
    let mut child = start("tiny file system", directory.path());
    match said(&mut child).last().as_deref() {
        Some("survived") => {}
        Some("no right to mount") => eprintln!("skipped: no right to mount a small file system"),
        other => panic!("{other:?}"),
    }
    assert!(child.wait().expect("wait").success());
}

#[test]
fn a_directory_without_write_permission_is_no_error() {
    use std::os::unix::fs::PermissionsExt as _;

    let spool = common::dead_spool(5, 100);
    std::fs::set_permissions(spool.path(), std::fs::Permissions::from_mode(0o555)).expect("chmod");
    let code = in_fork(|| {
        // The superuser may write everywhere.
        // SAFETY: changes this process's user only.
        unsafe { libc::setuid(65534) };
        let mut opened = common::open(spool.path());
        let notices = opened.consumer.take_notices();
        if !notices.iter().any(|notice| matches!(notice, Notice::SpoolUnavailable { .. })) {
            return 1;
        }
        append(&opened, 1, b"x");
        opened.consumer.maintain();
        if poll_all(&mut opened).len() != 1 || opened.log.stats().spooling {
            return 2;
        }
        i32::from(!recover_all(&mut opened).is_empty()) * 3
    });
    std::fs::set_permissions(spool.path(), std::fs::Permissions::from_mode(0o755)).expect("chmod");
    assert_eq!(code, 0);
}

#[test]
fn only_the_owner_may_look() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = temporary();
    let base = directory.path().join("made/by/the/log");
    let opened = common::open(&base);
    append(&opened, 1, b"secret");
    let mode = |path: &Path| std::fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!(mode(&base), 0o700);
    for segment in common::segments(&base) {
        let instance = segment.parent().expect("parent");
        assert_eq!(mode(instance), 0o700);
        assert_eq!(mode(&segment), 0o600);
        assert_eq!(mode(&instance.join("lock")), 0o600);
    }
}
