//! One destination's trouble is nobody else's, and nothing is the caller's.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use endspan::lane::{Failure, Outcome, StartMode};
use endspan::{DropReason, Environment, Tracer};
use endspan_testkit::{FakeBackend, Protocol, Reply};

use crate::{PATIENCE, Recorder, agentex, assert_conserved, builder, make_spans, sgp};

#[test]
fn row_127_a_hanging_destination_delays_nobody() {
    let (hanging, healthy) = (FakeBackend::start(), FakeBackend::start());
    hanging.always(Reply::Hang);
    let tracer = builder().exporter(agentex(&hanging)).exporter(sgp(&healthy)).build();
    let names: Vec<_> = tracer.stats().destinations.into_iter().map(|of| of.account.destination).collect();
    assert_eq!(names, ["agentex", "sgp"], "known from the beginning");
    make_spans(&tracer, "t", 2000);
    assert!(healthy.wait_for_spans(2000, PATIENCE));
    let report = tracer.shutdown_within(Duration::from_millis(100));
    assert_conserved(&report);
    assert_eq!(report.account("sgp").unwrap().delivered, 2000);
    assert_eq!(report.account("agentex").unwrap().dropped.of(DropReason::ShutdownTimeout), 2000);
}

#[test]
fn rows_80_and_90_only_the_failing_destination_is_called_again() {
    let good = Recorder::delivering().named("good");
    let tries = Arc::new(Mutex::new(0));
    let bad = Recorder::new(move |_| {
        let mut tries = tries.lock().unwrap();
        *tries += 1;
        if *tries < 3 {
            Outcome::Retryable { after: None, failure: Failure::of_status(503) }
        } else {
            Outcome::Delivered
        }
    })
    .named("bad");
    let tracer = builder().exporter(bad.clone()).exporter(good.clone()).build();
    make_spans(&tracer, "t", 1);
    let report = tracer.flush(PATIENCE);
    assert_eq!(report.delivered(), 2);
    assert_conserved(&tracer.shutdown());
    assert_eq!((bad.calls.lock().unwrap().len(), good.calls.lock().unwrap().len()), (3, 1));
}

#[test]
fn row_69_ending_a_span_never_waits() {
    let backend = FakeBackend::start();
    backend.always(Reply::Hang);
    let tracer = builder().exporter(sgp(&backend)).build();
    make_spans(&tracer, "t", 10);
    assert!(backend.wait_for_requests(1, PATIENCE));
    let began = Instant::now();
    make_spans(&tracer, "t", 1000);
    let each = began.elapsed() / 1000;
    assert!(each < Duration::from_millis(10), "{each:?}");
    assert_conserved(&tracer.shutdown_within(Duration::ZERO));
}

#[test]
fn row_82_at_the_bound_the_newest_is_dropped() {
    let backend = FakeBackend::start();
    backend.always(Reply::Hang);
    let tracer =
        builder().linger(Duration::ZERO).max_queue_size(1).concurrency(1).exporter(sgp(&backend)).build();
    make_spans(&tracer, "t", 1);
    assert!(backend.wait_for_requests(1, PATIENCE));
    make_spans(&tracer, "t", 3);
    tracer.flush(Duration::ZERO);
    assert_eq!(tracer.stats().destinations[0].account.dropped.of(DropReason::QueueFull), 2);
    assert_conserved(&tracer.shutdown_within(Duration::ZERO));
}

/// Makes 2000 spans of 10 kB, many more than the tracer may keep.
fn overfill(tracer: &Tracer) -> endspan::Stats {
    let trace = tracer.trace("t");
    let text = "x".repeat(10_000);
    for index in 0..2000 {
        trace.span("n").input(&serde_json::json!({"text": text})).start().end();
        if index % 20 == 0 {
            tracer.flush(Duration::ZERO);
        }
    }
    tracer.flush(Duration::ZERO);
    tracer.stats()
}

#[test]
fn without_a_spool_the_byte_bound_evicts_the_oldest_and_counts_them() {
    let backend = FakeBackend::start();
    backend.always(Reply::status(503));
    let tracer = builder().queue_bytes(1 << 20).exporter(sgp(&backend)).build();
    let stats = overfill(&tracer);
    let account = &stats.destinations[0].account;
    assert!(stats.resident_bytes <= 1 << 21, "{}", stats.resident_bytes);
    assert!(account.dropped.of(DropReason::QueueFull) > 1000, "{account}");
    assert_eq!(account.accepted, 2000);
    backend.always(Reply::Serve);
    let report = tracer.shutdown();
    assert_conserved(&report);
    let account = report.account("sgp").unwrap();
    assert_eq!(account.delivered + account.dropped.total(), 2000);
    assert_eq!(backend.stored(Protocol::Sgp).len() as u64, account.delivered);
}

/// More than a lane holds in its own queues: the rest must not escape the limit by waiting outside.
#[test]
fn row_82_a_large_bound_in_spans_holds_too() {
    let tracer = builder()
        .max_queue_size(20_000)
        .linger(Duration::from_secs(3600))
        .batch_size(100_000)
        .exporter(Recorder::delivering())
        .build();
    make_spans(&tracer, "t", 30_000);
    // Not a flush, which would send what waits: the account comes with the next tick.
    let deadline = Instant::now() + PATIENCE;
    let account = || tracer.stats().destinations[0].account.clone();
    while account().accepted < 30_000 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!((account().pending, account().dropped.of(DropReason::QueueFull)), (20_000, 10_000));
    assert_conserved(&tracer.shutdown());
}

#[test]
fn the_bound_in_spans_of_all_drops_the_oldest() {
    let backend = FakeBackend::start();
    backend.always(Reply::status(503));
    let tracer = builder().queue_spans(1000).exporter(sgp(&backend)).build();
    for _ in 0..100 {
        make_spans(&tracer, "t", 50);
        tracer.flush(Duration::ZERO);
    }
    let account = tracer.stats().destinations[0].account.clone();
    assert!(account.pending <= 1000, "{account}");
    backend.always(Reply::Serve);
    let report = tracer.shutdown();
    assert_conserved(&report);
    let account = report.account("sgp").unwrap();
    assert_eq!((account.accepted, account.delivered + account.dropped.total()), (5000, 5000), "{account}");
    assert!(account.dropped.of(DropReason::QueueFull) >= 4000, "{account}");
    assert_eq!(backend.stored(Protocol::Sgp).len() as u64, account.delivered);
}

#[test]
fn one_destinations_bound_in_bytes_is_its_own() {
    let (hanging, healthy) = (FakeBackend::start(), FakeBackend::start());
    hanging.always(Reply::Hang);
    let tracer = builder()
        .destination_bytes(100_000)
        .linger(Duration::ZERO)
        .exporter(agentex(&hanging))
        .exporter(sgp(&healthy))
        .build();
    for _ in 0..50 {
        make_spans(&tracer, "t", 50);
        assert!(healthy.wait_for_spans(1, PATIENCE));
        tracer.flush(Duration::from_millis(2));
    }
    let report = tracer.shutdown_within(Duration::from_millis(500));
    assert_conserved(&report);
    assert!(report.account("agentex").unwrap().dropped.of(DropReason::QueueFull) > 1000, "{report}");
    assert_eq!(report.account("sgp").unwrap().dropped.of(DropReason::Rejected), 0);
}

#[test]
fn a_spool_at_its_bound_lets_the_oldest_go_and_counts_them() {
    let directory = tempfile::tempdir().unwrap();
    let backend = FakeBackend::start();
    backend.always(Reply::status(503));
    let tracer = builder()
        .spool(true)
        .spool_directory(directory.path())
        .spool_bytes(2 << 20)
        .queue_bytes(2 << 20)
        .exporter(sgp(&backend))
        .build();
    let stats = overfill(&tracer);
    assert!(stats.spooling && stats.spool_bytes <= 3 << 20, "{} bytes", stats.spool_bytes);
    let account = &stats.destinations[0].account;
    assert!(account.dropped.of(DropReason::SpoolFull) > 0 && account.dropped.total() > 1000, "{account}");
    backend.always(Reply::Serve);
    let report = tracer.shutdown();
    assert_conserved(&report);
    let account = report.account("sgp").unwrap();
    assert_eq!((account.accepted, account.delivered + account.dropped.total()), (2000, 2000), "{account}");
    assert_eq!(backend.stored(Protocol::Sgp).len() as u64, account.delivered);
}

#[test]
fn a_spool_that_cannot_be_is_said_and_costs_nothing() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let backend = FakeBackend::start();
    let tracer =
        builder().spool(true).spool_directory(file.path().join("under")).exporter(sgp(&backend)).build();
    make_spans(&tracer, "t", 100);
    assert!(!tracer.stats().spooling);
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!((report.delivered(), report.dropped(), report.spooled()), (100, 0, 0), "{report}");
}

#[test]
fn row_126_any_thread_and_any_runtime_may_use_one_tracer() {
    let backend = FakeBackend::start();
    let tracer = builder().exporter(sgp(&backend)).build();
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            tracer.trace("t").span("async").instrument(async {}).await;
            tracer.flush_async(PATIENCE).await;
        });
    }
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let tracer = tracer.clone();
            std::thread::spawn(move || make_spans(&tracer, "t", 100))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!(report.delivered(), 402);
}

#[test]
fn row_75_in_start_mode_a_short_span_is_written_once() {
    let recorder = Recorder::delivering().starts(StartMode::Deferred(PATIENCE));
    let tracer = builder().exporter(recorder.clone()).build();
    make_spans(&tracer, "t", 50);
    let report = tracer.shutdown();
    assert_conserved(&report);
    let account = &report.accounts[0];
    assert_eq!((account.accepted, account.delivered, account.superseded), (100, 50, 50));
    assert_eq!(recorder.names().len(), 50);
}

#[test]
fn rows_128_and_129_the_older_profile_keeps_its_constants() {
    let recorder = Recorder::delivering();
    let tracer = Tracer::builder()
        .environment(crate::nothing())
        .spool(false)
        .older_profile()
        .exporter(recorder.clone())
        .build();
    make_spans(&tracer, "t", 230);
    let report = tracer.shutdown();
    assert_conserved(&report);
    let sizes: Vec<usize> = recorder.calls.lock().unwrap().iter().map(|batch| batch.spans.len()).collect();
    assert_eq!(sizes, [50, 50, 50, 50, 30]);

    for outcome in [
        Outcome::Retryable { after: None, failure: Failure::of_status(503) },
        Outcome::Held(Failure::of_status(401)),
    ] {
        let failing = Recorder::new(move |_| outcome.clone());
        let environment = Environment::fixed([]);
        let tracer =
            Tracer::builder().environment(environment).spool(false).older_profile().exporter(failing.clone());
        let tracer = tracer.build();
        make_spans(&tracer, "t", 1);
        // A hurry tries a held destination at once, so that the four attempts need no waiting here.
        for _ in 0..100 {
            if tracer.flush(Duration::from_millis(200)).dropped() > 0 {
                break;
            }
        }
        let report = tracer.shutdown_within(Duration::ZERO);
        assert_conserved(&report);
        assert_eq!(report.dropped_for(DropReason::RetriesExhausted), 1, "{report}");
        assert_eq!(failing.calls.lock().unwrap().len(), 4);
    }

    let off = Environment::fixed([("DISABLE_SCALE_TRACING", "0")]);
    let tracer = Tracer::builder().environment(off).older_profile().exporter(Recorder::delivering()).build();
    make_spans(&tracer, "t", 1);
    assert_eq!(tracer.shutdown().accounts, []);
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs something and returns what it says in this thread's log.
pub(crate) fn captured(run: impl FnOnce()) -> String {
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    tracing::subscriber::with_default(subscriber, run);
    let bytes = captured.0.lock().unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn the_exporters_own_requests_are_never_traced() {
    let captured = Captured::default();
    let writer = captured.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .init();
    let secret = |backend| crate::sgp_builder(backend).api_key("s3cr3t").build();
    let backend = FakeBackend::scripted([Reply::status(422)]);
    let tracer = builder().exporter(secret(&backend)).build();
    make_spans(&tracer, "t", 1);
    assert_conserved(&tracer.shutdown());
    let said = || String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    let wait_for_word = |word: &str| {
        let deadline = Instant::now() + PATIENCE;
        while !said().contains(word) && Instant::now() < deadline {
            std::thread::yield_now();
        }
    };
    // A destination that takes nothing: its spans wait, and that is said once.
    let refusing = FakeBackend::start();
    refusing.always(Reply::status(401));
    let tracer = builder().exporter(secret(&refusing)).build();
    make_spans(&tracer, "t", 3);
    for _ in 0..3 {
        tracer.flush(Duration::from_millis(100));
    }
    wait_for_word("is refused by sgp");
    refusing.always(Reply::Serve);
    assert_eq!(tracer.flush(PATIENCE).delivered(), 3);
    wait_for_word("delivers to sgp again");
    assert_conserved(&tracer.shutdown());
    let text = said();
    for line in text.lines() {
        assert!(line.contains("endspan"), "{line}");
    }
    assert!(text.contains("begins"), "one line says what goes where: {text}");
    assert!(text.contains("dropped spans") && text.contains("rejected"), "a drop is said: {text}");
    let lines = |word: &str| text.lines().filter(|line| line.contains(word)).count();
    assert_eq!((lines("is refused by sgp (401)"), lines("delivers to sgp again")), (1, 1), "{text}");
    assert!(!text.contains("s3cr3t"), "keys are never said: {text}");
}
