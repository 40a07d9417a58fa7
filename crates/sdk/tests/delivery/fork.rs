//! `fork`: the child neither deadlocks nor delivers its parent's spans, and its own spans flow.

use std::collections::BTreeSet;

use endspan::Tracer;
use endspan_testkit::{FakeBackend, Protocol};

use crate::{PATIENCE, assert_conserved, crash};

/// Runs in a process of its own, which forks.
pub(crate) fn in_child(tracer: &Tracer) -> ! {
    let trace = tracer.trace("t");
    for _ in 0..100 {
        trace.span("parent before").start().end();
    }
    let open = trace.span("parent open").start();
    // SAFETY: the child goes on to use threads and memory, which the C library's allocator supports after a fork; it
    // ends by `_exit` and runs no exit hooks of the test harness.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let ended = std::panic::catch_unwind(|| {
            for _ in 0..10 {
                trace.span("child").start().end();
            }
            drop(open);
            let report = tracer.flush(PATIENCE);
            assert_eq!((report.delivered(), report.pending()), (10, 0), "{report}");
            assert_conserved(&tracer.shutdown());
        });
        // SAFETY: ends the process at once, as a forked child should.
        unsafe { libc::_exit(if ended.is_ok() { 0 } else { 1 }) };
    }
    for _ in 0..10 {
        trace.span("parent after").start().end();
    }
    open.end();
    let mut status = -1;
    // SAFETY: `status` is valid for the call.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "the forked child failed");
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!(report.delivered(), 111, "{report}");
    println!("\nready");
    std::process::exit(0);
}

#[test]
fn a_forked_child_delivers_its_own_spans_and_not_its_parents() {
    let backend = FakeBackend::start();
    let directory = tempfile::tempdir().unwrap();
    let mut process = crash::child("fork", &backend.url(), directory.path());
    assert!(process.wait().unwrap().success());
    let stored = backend.stored(Protocol::Sgp);
    let count = |name: &str| stored.values().filter(|stored| stored.json["name"] == name).count();
    assert_eq!(
        (count("parent before"), count("parent after"), count("parent open"), count("child")),
        (100, 10, 1, 10)
    );
    assert!(stored.values().all(|stored| stored.writes == 1), "nothing is delivered twice");
    let ids: BTreeSet<_> = stored.keys().collect();
    assert_eq!(ids.len(), 121);
}
