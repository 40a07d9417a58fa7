//! Processes that die. Each test starts this very program again as the process to be killed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use endspan::{SgpExporter, Tracer, TracerBuilder};
use endspan_testkit::{FakeBackend, Protocol, Reply};
use serde_json::json;

use crate::{PATIENCE, assert_conserved, make_spans, nothing};

/// Open spans of a process that is killed.
const MANY: usize = 2500;

/// What the child process is told.
const TOLD: &str = "ENDSPAN_TEST_CHILD";

fn tracer(url: &str, directory: &Path) -> TracerBuilder {
    let exporter =
        SgpExporter::builder().environment(nothing()).base_url(url).api_key("k").account_id("a").build();
    Tracer::builder().environment(nothing()).spool_directory(directory).exporter(exporter)
}

/// Runs this program again for one task, until it says `ready`; returns it.
pub(crate) fn child(task: &str, url: &str, directory: &Path) -> std::process::Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::the_child", "--nocapture", "--test-threads=1"])
        .env(TOLD, format!("{task}\n{url}\n{}", directory.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("ready")), "the child died early");
    child
}

/// Does nothing in the parent; in the child it does what it was told, and never returns.
#[test]
fn the_child() {
    let Ok(told) = std::env::var(TOLD) else { return };
    let told: Vec<&str> = told.split('\n').collect();
    let directory = Path::new(told[2]);
    match told[0] {
        "be killed" => {
            let tracer = tracer(told[1], directory).build();
            make_spans(&tracer, "t", 5000);
            println!("\nready");
            std::thread::sleep(PATIENCE);
        }
        "be killed with spans open" => {
            let tracer = tracer(told[1], directory).build();
            let trace = tracer.trace("t");
            let outer = trace.span("outer").input(&json!({"q": "why?"})).data(&json!({"k": 1})).start();
            let inner = outer.child("inner").start();
            outer.child("finished").start().end();
            println!("\nready");
            std::thread::sleep(PATIENCE);
            drop((outer, inner));
        }
        "be killed with many spans open" => {
            let tracer = tracer(told[1], directory).build();
            let trace = tracer.trace("t");
            // More than are held beside the log, and some that are too long for that.
            let long = json!({"text": "x".repeat(600)});
            let open: Vec<_> = (0..MANY)
                .map(|index| {
                    let span = trace.span(format!("open-{index}"));
                    if index % 10 == 0 { span.input(&long).start() } else { span.start() }
                })
                .collect();
            make_spans(&tracer, "t", 100);
            println!("\nready");
            std::thread::sleep(PATIENCE);
            drop(open);
        }
        "exit" => {
            // Lives in a static, as it does in most programs, and is never dropped.
            let tracer: &'static Tracer =
                Box::leak(Box::new(tracer(told[1], directory).spool(false).build()));
            make_spans(tracer, "t", 1000);
            println!("\nready");
            std::process::exit(0);
        }
        "panic" => {
            let tracer = tracer(told[1], directory).build();
            make_spans(&tracer, "t", 100);
            println!("\nready");
            std::process::abort();
        }
        "fork" => {
            crate::fork::in_child(&tracer(told[1], directory).linger(Duration::from_secs(3600)).build())
        }
        other => panic!("{other}"),
    }
}

/// Delivers what a dead process left; returns the tracer that did.
fn take_over(backend: &FakeBackend, directory: &Path, spans: usize) -> Tracer {
    backend.always(Reply::Serve);
    let heir = tracer(&backend.url(), directory).build();
    assert!(backend.wait_for_spans(spans, PATIENCE), "{} of {spans}", backend.stored(Protocol::Sgp).len());
    heir
}

#[test]
fn sigkill_right_after_5000_spans_ended_loses_none() {
    let backend = FakeBackend::start();
    backend.always(Reply::Hang);
    let directory = tempfile::tempdir().unwrap();
    let mut child = child("be killed", &backend.url(), directory.path());
    child.kill().unwrap();
    child.wait().unwrap();
    let heir = take_over(&backend, directory.path(), 5000);
    let report = heir.shutdown();
    assert_conserved(&report);
    assert_eq!((report.delivered(), report.dropped(), report.spooled()), (5000, 0, 0), "{report}");
    let stats = heir.stats();
    assert_eq!(stats.recovered_open_spans, 0);
    let leftovers: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

#[test]
fn processes_that_start_together_share_what_a_dead_one_left() {
    let backend = FakeBackend::start();
    backend.always(Reply::Hang);
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let mut child = child("be killed", &backend.url(), directory.path());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    backend.always(Reply::Serve);
    let heirs: Vec<_> = (0..4)
        .map(|_| {
            let (url, directory) = (backend.url(), directory.path().to_owned());
            std::thread::spawn(move || tracer(&url, &directory).build())
        })
        .collect();
    let heirs: Vec<Tracer> = heirs.into_iter().map(|heir| heir.join().unwrap()).collect();
    assert!(backend.wait_for_spans(10_000, PATIENCE));
    let delivered: u64 = heirs
        .iter()
        .map(|heir| {
            let report = heir.shutdown();
            assert_conserved(&report);
            assert_eq!((report.dropped(), report.spooled()), (0, 0), "{report}");
            report.delivered()
        })
        .sum();
    assert_eq!(delivered, 10_000);
    assert!(backend.stored(Protocol::Sgp).values().all(|stored| stored.writes == 1));
}

/// A program that does not handle it is killed by it like by any other signal.
#[cfg(unix)]
#[test]
fn sigterm_loses_none() {
    let backend = FakeBackend::start();
    backend.always(Reply::Hang);
    let directory = tempfile::tempdir().unwrap();
    let mut child = child("be killed", &backend.url(), directory.path());
    // SAFETY: a signal to a process that we started and did not wait for.
    assert_eq!(unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGTERM) }, 0);
    let status = child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGTERM));
    let report = take_over(&backend, directory.path(), 5000).shutdown();
    assert_conserved(&report);
    assert_eq!((report.delivered(), report.dropped()), (5000, 0), "{report}");
}

#[test]
fn spans_that_were_open_when_their_process_died_say_so() {
    let backend = FakeBackend::start();
    backend.always(Reply::Hang);
    let directory = tempfile::tempdir().unwrap();
    let mut child = child("be killed with spans open", &backend.url(), directory.path());
    child.kill().unwrap();
    child.wait().unwrap();
    let heir = take_over(&backend, directory.path(), 3);
    let report = heir.shutdown();
    assert_conserved(&report);
    assert_eq!(heir.stats().recovered_open_spans, 2);
    let stored = backend.stored(Protocol::Sgp);
    let span = |name: &str| {
        let found = stored.values().find(|stored| stored.json["name"] == name).unwrap();
        assert_eq!(found.writes, 1);
        found.json.clone()
    };
    assert_eq!(span("finished")["status"], "SUCCESS");
    for open in ["outer", "inner"] {
        assert_eq!(span(open)["status"], "ERROR");
        assert_eq!(span(open)["metadata"]["__error__"]["type"], "ProcessDied");
        assert!(span(open)["end_timestamp"].is_string());
    }
    assert_eq!(span("outer")["input"], json!({"q": "why?"}));
    assert_eq!(span("outer")["metadata"]["k"], 1);
    assert_eq!(span("inner")["parent_id"], span("outer")["id"]);
}

#[test]
fn however_many_spans_were_open_each_is_told_of_once() {
    let backend = FakeBackend::start();
    backend.always(Reply::Hang);
    let directory = tempfile::tempdir().unwrap();
    let mut child = child("be killed with many spans open", &backend.url(), directory.path());
    child.kill().unwrap();
    child.wait().unwrap();
    let heir = take_over(&backend, directory.path(), MANY + 100);
    let report = heir.shutdown();
    assert_conserved(&report);
    assert_eq!(heir.stats().recovered_open_spans, MANY as u64);
    let stored = backend.stored(Protocol::Sgp);
    assert_eq!(stored.len(), MANY + 100);
    for stored in stored.values() {
        let is_open = stored.json["name"].as_str().unwrap().starts_with("open-");
        let expected = if is_open { "ERROR" } else { "SUCCESS" };
        assert_eq!((stored.writes, &stored.json["status"]), (1, &json!(expected)));
    }
    let leftovers: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

#[test]
fn exit_without_shutdown_loses_none() {
    let backend = FakeBackend::start();
    backend.always(Reply::After(Duration::from_millis(20), Box::new(Reply::Serve)));
    let directory = tempfile::tempdir().unwrap();
    let mut child = child("exit", &backend.url(), directory.path());
    assert!(child.wait().unwrap().success());
    assert_eq!(backend.stored(Protocol::Sgp).len(), 1000);
}

#[test]
fn an_abort_loses_none() {
    let backend = FakeBackend::start();
    backend.always(Reply::status(503));
    let directory = tempfile::tempdir().unwrap();
    let mut child = child("panic", &backend.url(), directory.path());
    assert!(!child.wait().unwrap().success());
    let report = take_over(&backend, directory.path(), 100).shutdown();
    assert_conserved(&report);
    assert_eq!(report.delivered(), 100);
}

#[test]
fn a_process_leaves_alone_what_is_meant_for_other_destinations() {
    let (backend, other) = (FakeBackend::start(), FakeBackend::start());
    backend.always(Reply::status(503));
    let directory = tempfile::tempdir().unwrap();
    let first = tracer(&backend.url(), directory.path()).build();
    make_spans(&first, "t", 10);
    assert_eq!(first.shutdown_within(Duration::from_millis(100)).spooled(), 10);
    let stranger = tracer(&other.url(), directory.path()).build();
    make_spans(&stranger, "t", 1);
    assert_conserved(&stranger.shutdown());
    assert_eq!(other.stored(Protocol::Sgp).len(), 1);
    take_over(&backend, directory.path(), 10).shutdown();
}
