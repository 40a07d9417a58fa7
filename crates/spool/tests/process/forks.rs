//! Forked children.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use endspan_spool::{AppendError, Log, Meta, Opened, Options};

use crate::common::{self, append, payload, poll_all, recover_all, small, temporary};
use crate::{say, start};

/// Runs `child` in a forked process and returns its exit code; kills it after a while.
pub(crate) fn in_fork(child: impl FnOnce() -> i32) -> i32 {
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

pub(crate) fn fork_and_die(directory: &Path) {
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
