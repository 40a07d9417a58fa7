//! What is built from settings.

use endspan::lane::{LaneConfig, StartMode};
use endspan::{Environment, Tracer};
use endspan_testkit::FakeBackend;

use crate::isolation::captured;
use crate::{PATIENCE, Recorder, assert_conserved, builder, make_spans, sgp};

/// The lane that an exporter gets by an environment.
fn lane_by(variables: &[(&str, &str)]) -> LaneConfig {
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
    drop(Tracer::builder().environment(environment).spool(false).exporter(Asks(Arc::clone(&lane))).build());
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
