//! What is built from settings.

use endspan::lane::{LaneConfig, StartMode};
use endspan::{Environment, Tracer, TracerBuilder};
use endspan_testkit::FakeBackend;

use crate::isolation::captured;
use crate::{PATIENCE, Recorder, assert_conserved, builder, make_spans, sgp};

/// The lane that an exporter gets by an environment.
fn lane_by(variables: &[(&str, &str)]) -> LaneConfig {
    lane_of(variables, |builder| builder)
}

/// The same of a tracer that is built in some way.
fn lane_of(variables: &[(&str, &str)], begin: impl FnOnce(TracerBuilder) -> TracerBuilder) -> LaneConfig {
    use endspan::exporter::{Batch, Export, Exporter};
    use std::sync::{Arc, Mutex};

    struct Asks(Arc<Mutex<Option<LaneConfig>>>);

    impl Exporter for Asks {
        fn name(&self) -> &str {
            "asks"
        }

        fn lane(&self, settings: LaneConfig) -> LaneConfig {
            *self.0.lock().unwrap() = Some(settings.clone());
            settings
        }

        fn export(&self, _: Batch) -> Export {
            Box::pin(std::future::ready(endspan::lane::Outcome::Delivered))
        }
    }

    let lane = Arc::default();
    let environment = Environment::fixed(variables.iter().copied());
    drop(
        begin(Tracer::builder().environment(environment).spool(false).exporter(Asks(Arc::clone(&lane))))
            .build(),
    );
    let lane = lane.lock().unwrap().take();
    lane.unwrap()
}

#[test]
fn row_35_each_destination_of_the_environment_is_there_once() {
    let environment = Environment::fixed([
        ("AGENTEX_BASE_URL", "http://127.0.0.1:1"),
        ("SGP_API_KEY", "key"),
        ("SGP_ACCOUNT_ID", "account"),
    ]);
    let tracer = Tracer::builder().environment(environment).spool(false).exporters_from_env().build();
    let report = tracer.shutdown();
    let mut names: Vec<&str> = report.accounts.iter().map(|account| account.destination.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["agentex", "sgp"]);
}

#[test]
fn row_36_a_single_destination_is_set_without_hanging() {
    let backend = FakeBackend::start();
    let tracer = builder().exporter(sgp(&backend)).build();
    make_spans(&tracer, "t", 1);
    assert!(backend.wait_for_spans(1, PATIENCE));
    assert_conserved(&tracer.shutdown());
}

#[test]
fn rows_128_and_129_the_older_profiles_constants() {
    let ms = std::time::Duration::from_millis;
    let lane = lane_of(&[], TracerBuilder::older_profile);
    assert_eq!((lane.max_waiting, lane.flush_spans, lane.linger), (4000, Some(200), ms(4000)));
    assert_eq!((lane.batch_spans, lane.batch_spans_max, lane.concurrency), (50, 50, 1));
    assert_eq!((lane.max_attempts, lane.backoff, lane.backoff_max), (Some(4), ms(400), ms(20_000)));
    // What is set all the same wins.
    let lane =
        lane_of(&[("AGENTEX_SPAN_QUEUE_MAX_SIZE", "7")], |builder| builder.older_profile().batch_size(9));
    assert_eq!((lane.max_waiting, lane.batch_spans), (7, 9));
}

#[test]
fn bounds_and_attempts_come_from_the_environment() {
    let lane = lane_by(&[]);
    assert_eq!((lane.max_waiting, lane.max_pending_bytes, lane.max_attempts), (0, 0, None));
    let lane = lane_by(&[
        ("AGENTEX_SPAN_QUEUE_MAX_SIZE", "5"),
        ("ENDSPAN_DESTINATION_MAX_BYTES", "6"),
        ("AGENTEX_SPAN_QUEUE_MAX_RETRIES", "7"),
    ]);
    assert_eq!((lane.max_waiting, lane.max_pending_bytes, lane.max_attempts), (5, 6, Some(7)));
    let environment = Environment::fixed([("ENDSPAN_QUEUE_MAX_SPANS", "8")]);
    let backend = FakeBackend::start();
    backend.always(endspan_testkit::Reply::Hang);
    let tracer = Tracer::builder().environment(environment).spool(false).exporter(sgp(&backend)).build();
    make_spans(&tracer, "t", 1000);
    let report = tracer.shutdown_within(std::time::Duration::ZERO);
    assert_conserved(&report);
    assert!(report.dropped_for(endspan::DropReason::QueueFull) >= 900, "{report}");
}

fn older() -> TracerBuilder {
    Tracer::builder().environment(crate::nothing()).spool(false).older_profile()
}

/// The older queue was one for all clients of a process, and whoever came first decided for all.
#[test]
fn d23_each_tracer_of_the_older_profile_has_its_own_account() {
    let (one, two) = (FakeBackend::start(), FakeBackend::start());
    let off = endspan::SgpExporter::builder().environment(crate::nothing()).build();
    let first = older().exporter(off).build();
    make_spans(&first, "t", 1);
    let tracers = [(&one, "a"), (&two, "b")].map(|(backend, account)| {
        older().exporter(crate::sgp_builder(backend).account_id(account).build()).build()
    });
    for tracer in &tracers {
        make_spans(tracer, "t", 3);
    }
    for (tracer, (backend, account)) in tracers.iter().zip([(&one, "a"), (&two, "b")]) {
        let report = tracer.shutdown();
        assert_conserved(&report);
        assert_eq!(report.delivered(), 3);
        for request in backend.requests() {
            assert_eq!(request.header("x-selected-account-id"), Some(account));
        }
    }
    assert_eq!(first.shutdown().accounts, []);
}

/// A payload that no JSON can hold ended the older queue's thread for good, and its exit waited without end.
#[test]
fn d24_a_bad_payload_ends_nothing_in_the_older_profile() {
    let backend = FakeBackend::start();
    let tracer = older().exporter(sgp(&backend)).build();
    for index in 0..120 {
        let mut span = tracer.trace("t").span("n").start();
        if index == 50 {
            span.set_output(endspan::PayloadSource::of(&[f64::NAN]));
        }
        span.end();
    }
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!((report.delivered(), report.dropped()), (120, 0), "{report}");

    backend.always(endspan_testkit::Reply::status(503));
    let tracer = older().exporter(sgp(&backend)).build();
    make_spans(&tracer, "t", 4000);
    let began = std::time::Instant::now();
    let report = tracer.shutdown_within(std::time::Duration::from_millis(200));
    assert_conserved(&report);
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    assert_eq!(report.dropped(), 4000, "{report}");
}

#[test]
fn row_66_text_that_is_no_number_gives_the_default_and_a_warning() {
    for text in ["not-an-int", ""] {
        let mut lane = None;
        let log = captured(|| lane = Some(lane_by(&[("AGENTEX_SPAN_QUEUE_BATCH_SIZE", text)])));
        assert_eq!(lane.unwrap().batch_spans, 200);
        let warnings: Vec<&str> =
            log.lines().filter(|line| line.contains("AGENTEX_SPAN_QUEUE_BATCH_SIZE")).collect();
        assert_eq!(warnings.len(), 1, "{log}");
        assert!(warnings[0].contains("WARN"), "{log}");
    }
    let log = captured(|| assert_eq!(lane_by(&[("AGENTEX_SPAN_QUEUE_BATCH_SIZE", "500")]).batch_spans, 500));
    assert!(!log.contains("WARN"), "{log}");
}

#[test]
fn row_81_a_batch_never_mixes_starts_and_ends() {
    let recorder = Recorder::delivering().starts(StartMode::Every);
    let tracer = builder().exporter(recorder.clone()).build();
    for _ in 0..50 {
        make_spans(&tracer, "t", 7);
        drop(tracer.trace("t").span("kept open").start());
    }
    let report = tracer.shutdown();
    assert_conserved(&report);
    let calls = recorder.calls.lock().unwrap();
    let mut phases = std::collections::BTreeSet::new();
    for batch in calls.iter() {
        phases.insert(batch.phase.as_str());
        let ended = batch.spans.iter().filter(|entry| entry.span.end_time.is_some()).count();
        assert!(ended == 0 || ended == batch.spans.len(), "{ended} of {}", batch.spans.len());
        assert_eq!(ended > 0, batch.phase == endspan::lane::Phase::End);
    }
    assert_eq!(phases.len(), 2, "{phases:?}");
}

#[test]
fn one_line_says_what_goes_where_and_a_switched_off_exporter_says_so_once() {
    let environment = || Environment::fixed([]);
    let sgp = endspan::SgpExporter::builder().environment(environment()).api_key("secret").account_id("a");
    let agentex = endspan::AgentexExporter::builder().environment(environment()).write_starts(true);
    let off = endspan::SgpExporter::builder().environment(environment()).api_key("secret");
    let text = crate::isolation::captured(|| {
        let tracer = endspan::Tracer::builder()
            .environment(environment())
            .spool(false)
            .exporter(sgp.base_url("http://sgp.invalid").build())
            .exporter(agentex.base_url("http://agentex.invalid").build())
            .exporter(off.build())
            .build();
        make_spans(&tracer, "t", 1);
        tracer.shutdown_within(std::time::Duration::ZERO);
    });
    let lines = |word: &str| text.lines().filter(|line| line.contains(word)).collect::<Vec<_>>();
    let [begins] = lines("begins")[..] else { panic!("{text}") };
    for part in
        ["INFO", "sgp http://sgp.invalid a (end only)", "http://agentex.invalid", "starts after 5s, and ends"]
    {
        assert!(begins.contains(part), "{part}: {begins}");
    }
    let [off] = lines("switched off")[..] else { panic!("{text}") };
    assert!(off.contains("INFO") && off.contains("SGP_ACCOUNT_ID"), "{off}");
    assert!(!text.contains("secret"), "{text}");
}
