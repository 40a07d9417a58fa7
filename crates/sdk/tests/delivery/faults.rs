//! Networks and servers at their worst.

use std::time::{Duration, Instant};

use endspan_testkit::{FakeBackend, Protocol, Reply};

use crate::{PATIENCE, agentex, assert_conserved, builder, make_spans, sgp};

fn all_arrive(script: Vec<Reply>) {
    for together in [true, false] {
        let backend = FakeBackend::scripted(script.clone());
        let tracer = builder().export_timeout(Duration::from_millis(300));
        let tracer =
            if together { tracer.exporter(sgp(&backend)) } else { tracer.exporter(agentex(&backend)) }
                .build();
        make_spans(&tracer, "t", 20);
        let report = tracer.flush(PATIENCE);
        assert_eq!((report.delivered(), report.dropped(), report.pending()), (20, 0, 0), "{report}");
        assert_conserved(&tracer.shutdown());
        let protocol = if together { Protocol::Sgp } else { Protocol::Agentex };
        assert_eq!(backend.stored(protocol).len(), 20);
    }
}

#[test]
fn rows_84_and_107_a_503_passes() {
    all_arrive(vec![Reply::status(503), Reply::status(503)]);
}

#[test]
fn row_89_and_111_other_passing_statuses_pass() {
    all_arrive(vec![Reply::status(500), Reply::status(408), Reply::status(501)]);
}

#[test]
fn row_108_retry_after_is_kept() {
    let backend = FakeBackend::scripted([Reply::retry_after(429, "0.4")]);
    let tracer = builder().exporter(sgp(&backend)).build();
    let began = Instant::now();
    make_spans(&tracer, "t", 1);
    let report = tracer.flush(PATIENCE);
    assert!(began.elapsed() >= Duration::from_millis(400));
    assert_eq!(report.delivered(), 1);
    assert_conserved(&tracer.shutdown());
    assert_eq!(backend.requests()[1].header("x-stainless-retry-count"), Some("1"));
}

#[test]
fn broken_connections_pass() {
    all_arrive(vec![Reply::Reset, Reply::ApplyThenReset, Reply::HalfAnswer]);
}

#[test]
fn a_request_that_hangs_is_given_up_and_repeated() {
    all_arrive(vec![Reply::Hang]);
}

/// Nobody knows whether the destination has what it did not answer for: it is asked again, and has it once.
#[test]
fn an_ambiguous_timeout_is_a_delivery_in_the_end() {
    all_arrive(vec![Reply::ApplyThenHang]);
    // The same for a span that goes alone, where sending it again would be refused as a duplicate.
    let backend = FakeBackend::scripted([Reply::status(405), Reply::ApplyThenHang]);
    let tracer = builder().export_timeout(Duration::from_millis(300)).exporter(agentex(&backend)).build();
    make_spans(&tracer, "t", 1);
    let report = tracer.flush(PATIENCE);
    assert_eq!((report.delivered(), report.dropped()), (1, 0), "{report}");
    assert_conserved(&tracer.shutdown());
    let stored = backend.stored(Protocol::Agentex);
    assert_eq!(stored.values().map(|stored| stored.writes).collect::<Vec<_>>(), [1]);
    let tries = backend.lines().iter().filter(|line| *line == "POST /spans").count();
    assert!(tries >= 2, "{:?}", backend.lines());
}

#[test]
fn row_113_a_refused_connection_passes() {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", probe.local_addr().unwrap());
    drop(probe);
    let exporter = endspan::SgpExporter::builder()
        .environment(crate::nothing())
        .base_url(url)
        .api_key("k")
        .account_id("a")
        .build();
    let tracer = builder().exporter(exporter).build();
    make_spans(&tracer, "t", 1);
    let report = tracer.flush(Duration::from_millis(300));
    assert!(report.timed_out);
    assert_eq!((report.pending(), report.dropped()), (1, 0), "{report}");
    assert_conserved(&tracer.shutdown_within(Duration::ZERO));
}

#[test]
fn row_112_and_d28_a_bad_key_is_held_until_it_is_mended() {
    let backend = FakeBackend::scripted([Reply::status(401)]);
    let tracer = builder().exporter(sgp(&backend)).build();
    make_spans(&tracer, "t", 5);
    assert!(backend.wait_for_requests(1, PATIENCE));
    let held = || tracer.stats().destinations[0].health == endspan::lane::Health::Held;
    let deadline = Instant::now() + PATIENCE;
    while !held() && Instant::now() < deadline {
        std::thread::yield_now();
    }
    // A flush tries at once whether the key works now.
    let report = tracer.flush(PATIENCE);
    assert_eq!((report.delivered(), report.dropped()), (5, 0), "{report}");
    assert_conserved(&tracer.shutdown());
}

#[test]
fn row_85_attempts_can_be_limited() {
    let backend = FakeBackend::start();
    backend.always(Reply::status(503));
    let tracer = builder().max_attempts(3).exporter(sgp(&backend)).build();
    make_spans(&tracer, "t", 1);
    let report = tracer.flush(PATIENCE);
    assert_eq!(report.dropped_for(endspan::DropReason::RetriesExhausted), 1, "{report}");
    assert_conserved(&tracer.shutdown());
    assert_eq!(backend.requests().len(), 3);
}

#[test]
fn redirects_are_not_followed() {
    let elsewhere = FakeBackend::start();
    let backend = FakeBackend::scripted([Reply::Status(307, vec![("location", elsewhere.url())])]);
    let tracer = builder().exporter(sgp(&backend)).build();
    make_spans(&tracer, "t", 1);
    assert!(backend.wait_for_requests(1, PATIENCE));
    let report = tracer.flush(PATIENCE);
    assert_eq!(report.delivered(), 1);
    assert_conserved(&tracer.shutdown());
    assert_eq!(elsewhere.requests().len(), 0);
}
