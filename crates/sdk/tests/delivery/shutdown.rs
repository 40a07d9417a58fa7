//! Ending, in order and in a hurry.

use std::time::{Duration, Instant};

use endspan::DropReason;
use endspan::lane::Health;
use endspan_testkit::{FakeBackend, Protocol, Reply};

use crate::{PATIENCE, Recorder, assert_conserved, builder, make_spans, sgp};

#[test]
fn row_93_what_is_queued_is_delivered() {
    let backend = FakeBackend::start();
    let tracer = builder().linger(PATIENCE).exporter(sgp(&backend)).build();
    make_spans(&tracer, "t", 5);
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!((report.delivered(), report.timed_out), (5, false));
}

#[test]
fn row_94_a_stuck_destination_does_not_hold_up_the_end() {
    let backend = FakeBackend::start();
    backend.always(Reply::Hang);
    let tracer = builder().exporter(sgp(&backend)).build();
    make_spans(&tracer, "t", 5);
    let began = Instant::now();
    let report = tracer.shutdown_within(Duration::from_millis(100));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_conserved(&report);
    assert!(report.timed_out);
    assert_eq!(report.dropped_for(DropReason::ShutdownTimeout), 5);
}

#[test]
fn row_95_after_the_end_spans_are_dropped_and_counted() {
    let recorder = Recorder::delivering();
    let tracer = builder().exporter(recorder.clone()).build();
    assert_eq!(tracer.shutdown().dropped(), 0);
    make_spans(&tracer, "t", 3);
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!(report.dropped_for(DropReason::Shutdown), 3);
    assert_eq!(tracer.stats().destinations[0].account.dropped.of(DropReason::Shutdown), 3);
    assert_eq!(recorder.calls.lock().unwrap().len(), 0);
}

#[test]
fn row_96_an_idle_tracer_ends_at_once() {
    let tracer = builder().exporter(Recorder::delivering()).build();
    let began = Instant::now();
    tracer.shutdown();
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn row_97_a_linger_in_progress_loses_nothing() {
    let backend = FakeBackend::start();
    let tracer = builder().linger(Duration::from_secs(2)).exporter(sgp(&backend)).build();
    make_spans(&tracer, "t", 3);
    let report = tracer.shutdown_within(Duration::from_secs(20));
    assert_conserved(&report);
    assert_eq!(report.delivered(), 3);
}

#[test]
fn a_timeout_may_be_for_ever() {
    let backend = FakeBackend::start();
    let tracer = builder().linger(PATIENCE).exporter(sgp(&backend)).build();
    for round in 1..=2 {
        make_spans(&tracer, "t", 1);
        let report = tracer.flush(Duration::MAX);
        assert_conserved(&report);
        assert_eq!((report.delivered(), report.timed_out), (round, false));
    }
    make_spans(&tracer, "t", 1);
    assert_eq!(tracer.shutdown_within(Duration::MAX).delivered(), 3);
}

#[test]
fn row_98_a_new_tracer_starts_afresh() {
    let recorder = Recorder::delivering();
    for round in 1..=2 {
        let tracer = builder().exporter(recorder.clone()).build();
        make_spans(&tracer, "t", 1);
        assert_eq!(tracer.shutdown().delivered(), 1);
        assert_eq!(recorder.calls.lock().unwrap().len(), round);
    }
}

#[test]
fn a_shutdown_tries_a_destination_that_counts_as_down_at_once() {
    let backend = FakeBackend::start();
    backend.always(Reply::status(503));
    let tracer = builder().exporter(sgp(&backend)).build();
    make_spans(&tracer, "t", 5);
    let deadline = Instant::now() + PATIENCE;
    while tracer.stats().destinations[0].health != Health::Down && Instant::now() < deadline {
        tracer.flush(Duration::from_millis(20));
    }
    assert_eq!(tracer.stats().destinations[0].health, Health::Down);
    backend.always(Reply::Serve);
    let report = tracer.shutdown_within(PATIENCE);
    assert_conserved(&report);
    assert_eq!((report.delivered(), report.dropped(), report.timed_out), (5, 0, false), "{report}");
}

#[test]
fn a_shutdown_gives_a_dead_destination_all_its_time_and_says_what_it_gave_up() {
    let backend = FakeBackend::start();
    backend.always(Reply::status(503));
    let tracer = builder().exporter(sgp(&backend)).build();
    make_spans(&tracer, "t", 5);
    let began = Instant::now();
    let report = tracer.shutdown_within(Duration::from_millis(300));
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_conserved(&report);
    assert!(report.timed_out);
    assert_eq!((report.dropped_for(DropReason::ShutdownTimeout), report.pending()), (5, 0), "{report}");
}

#[test]
fn dropping_the_last_handle_delivers() {
    let backend = FakeBackend::start();
    let tracer = builder().linger(PATIENCE).exporter(sgp(&backend)).build();
    make_spans(&tracer, "t", 5);
    drop(tracer);
    assert_eq!(backend.stored(Protocol::Sgp).len(), 5);
}

#[test]
fn with_a_spool_the_end_leaves_what_it_could_not_deliver_to_the_next_process() {
    let directory = tempfile::tempdir().unwrap();
    let backend = FakeBackend::start();
    backend.always(Reply::status(503));
    let tracer = || builder().spool(true).spool_directory(directory.path()).exporter(sgp(&backend)).build();
    let first = tracer();
    make_spans(&first, "t", 50);
    let report = first.shutdown_within(Duration::from_millis(200));
    assert_conserved(&report);
    assert_eq!((report.spooled(), report.dropped()), (50, 0), "{report}");
    backend.always(Reply::Serve);
    let second = tracer();
    make_spans(&second, "t", 1);
    assert!(backend.wait_for_spans(51, PATIENCE));
    let report = second.shutdown();
    assert_conserved(&report);
    assert_eq!((report.delivered(), report.spooled()), (51, 0), "{report}");
    assert_eq!(second.stats().recovered_open_spans, 0);
}

#[test]
fn dropping_the_handle_with_a_dead_backend_and_a_spool_does_not_wait() {
    let directory = tempfile::tempdir().unwrap();
    let backend = FakeBackend::start();
    backend.always(Reply::status(401));
    let tracer = builder().spool(true).spool_directory(directory.path()).exporter(sgp(&backend)).build();
    make_spans(&tracer, "t", 5);
    assert!(backend.wait_for_requests(1, PATIENCE));
    let began = Instant::now();
    drop(tracer);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test]
async fn flush_and_shutdown_work_inside_a_runtime() {
    let backend = FakeBackend::start();
    let tracer = builder().linger(PATIENCE).exporter(sgp(&backend)).build();
    make_spans(&tracer, "t", 2);
    assert_eq!(tracer.flush_async(PATIENCE).await.delivered(), 2);
    make_spans(&tracer, "t", 2);
    assert_eq!(tracer.flush(PATIENCE).delivered(), 4);
    let report = tracer.shutdown_async(PATIENCE).await;
    assert_conserved(&report);
    assert_eq!(report.delivered(), 4);
}
