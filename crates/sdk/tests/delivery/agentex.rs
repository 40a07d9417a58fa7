//! The Agentex exporter on the wire.

use std::time::Duration;

use endspan::exporter::Exporter as _;
use endspan::{AgentexExporter, DropReason, Environment};
use endspan_testkit::{FakeBackend, Protocol, Reply};
use serde_json::json;

use crate::{PATIENCE, agentex, agentex_builder, assert_conserved, builder, make_spans};

#[test]
fn rows_37_and_41_an_end_is_one_post_with_ten_keys() {
    let backend = FakeBackend::start();
    let tracer = builder().exporter(agentex(&backend)).build();
    tracer.trace("t").span("n").start().end();
    assert_conserved(&tracer.shutdown());
    assert_eq!(backend.lines(), ["PUT /spans/batch", "POST /spans"]);
    let body = backend.requests()[1].json();
    let mut keys: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "data",
            "end_time",
            "id",
            "input",
            "name",
            "output",
            "parent_id",
            "start_time",
            "task_id",
            "trace_id"
        ]
    );
    assert!(body["input"].is_null() && body["parent_id"].is_null());
    assert!(body["end_time"].as_str().unwrap().ends_with("+00:00"));
}

#[test]
fn rows_38_and_42_a_long_span_is_posted_and_patched() {
    let backend = FakeBackend::start();
    let exporter = agentex_builder(&backend).write_starts(true).build();
    let tracer = builder().start_delay(Duration::ZERO).exporter(exporter).build();
    let span = tracer.trace("t").span("n").start();
    let path = format!("PATCH /spans/{}", span.id());
    tracer.flush(PATIENCE);
    span.end();
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!(report.delivered(), 2);
    assert_eq!(backend.lines(), ["PUT /spans/batch", "POST /spans", path.as_str()]);
    let patch = backend.requests()[2].json();
    assert!(patch.get("id").is_none() && patch.as_object().unwrap().values().all(|value| !value.is_null()));
    assert!(patch["end_time"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn rows_38_to_40_the_flag_is_read_once_and_off_by_four_words() {
    let starts = |value: &str| {
        let environment = Environment::fixed([("AGENTEX_TRACING_SKIP_AGENTEX_SPAN_START", value)]);
        let exporter = AgentexExporter::builder().environment(environment).build();
        exporter.lane(endspan::lane::LaneConfig::default()).start_mode.writes_starts()
    };
    for off in ["0", "false", "no", "off", " OFF ", "FALSE"] {
        assert!(starts(off), "{off:?}");
    }
    for on in ["1", "true", "yes", "on", "", "anything"] {
        assert!(!starts(on), "{on:?}");
    }
}

#[test]
fn row_43_one_connection_serves_one_request_after_the_other() {
    let backend = FakeBackend::start();
    let tracer = builder().exporter(agentex(&backend)).build();
    assert_eq!(backend.connections(), 0, "nothing is opened before the first span");
    for _ in 0..3 {
        make_spans(&tracer, "t", 1);
        tracer.flush(PATIENCE);
    }
    assert_conserved(&tracer.shutdown());
    assert_eq!(backend.connections(), 1);
}

#[test]
fn rows_44_and_45_keys_go_into_headers() {
    let backend = FakeBackend::start();
    let environment = Environment::fixed([("AGENT_API_KEY", "agent"), ("AGENTEX_SDK_API_KEY", "bearer")]);
    let exporter = agentex_builder(&backend).environment(environment).build();
    let tracer = builder().exporter(exporter).build();
    make_spans(&tracer, "t", 1);
    assert_conserved(&tracer.shutdown());
    for request in backend.requests() {
        assert_eq!(request.header("x-agent-api-key"), Some("agent"));
        assert_eq!(request.header("authorization"), Some("Bearer bearer"));
    }
}

#[test]
fn batches_are_used_where_they_are_offered() {
    let backend = FakeBackend::start();
    backend.offer_batches();
    let tracer = builder().linger(PATIENCE).exporter(agentex(&backend)).build();
    make_spans(&tracer, "t", 150);
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!(report.delivered(), 150);
    assert_eq!(backend.lines(), ["PUT /spans/batch"]);
}

#[test]
fn whether_batches_are_offered_is_asked_once() {
    let backend = FakeBackend::start();
    let tracer = builder().exporter(agentex(&backend)).build();
    for _ in 0..3 {
        make_spans(&tracer, "t", 2);
        tracer.flush(PATIENCE);
    }
    assert_conserved(&tracer.shutdown());
    let asked = backend.lines().iter().filter(|line| *line == "PUT /spans/batch").count();
    assert_eq!((asked, backend.stored(Protocol::Agentex).len()), (1, 6));
}

#[test]
fn a_rejected_item_of_a_batch_costs_that_item() {
    let answer = json!({"stored": 2, "superseded": 0, "rejected": 1, "items": [
        {"index": 1, "outcome": "rejected", "id": null, "reason": "malformed", "field": "name", "message": "m"}
    ]});
    let backend = FakeBackend::scripted([Reply::Body(200, answer)]);
    let tracer = builder().linger(PATIENCE).exporter(agentex(&backend)).build();
    make_spans(&tracer, "t", 3);
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!((report.delivered(), report.dropped_for(DropReason::Malformed)), (2, 1), "{report}");
}

#[test]
fn a_duplicate_answer_to_a_retried_post_is_a_delivery() {
    let backend = FakeBackend::scripted([Reply::status(405), Reply::ApplyThenReset]);
    let tracer = builder().exporter(agentex(&backend)).build();
    make_spans(&tracer, "t", 1);
    let report = tracer.flush(PATIENCE);
    assert_eq!((report.delivered(), report.dropped()), (1, 0), "{report}");
    assert_conserved(&tracer.shutdown());
    let stored = backend.stored(Protocol::Agentex);
    assert_eq!(stored.values().map(|stored| stored.writes).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_span_that_somebody_else_started_is_completed() {
    let backend = FakeBackend::start();
    let tracer = builder().exporter(agentex(&backend)).build();
    let mut started = endspan_testkit::span("shared").unfinished().build();
    started.end_time = Some(started.start_time);
    tracer.submit(&started);
    tracer.flush(PATIENCE);
    tracer.submit(&endspan_testkit::span("shared").output(&json!({"done": true})).build());
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!(report.delivered(), 2);
    assert_eq!(backend.stored(Protocol::Agentex)["shared"].json["output"], json!({"done": true}));
}

#[test]
fn a_patch_of_a_span_that_is_not_there_becomes_a_post() {
    let backend = FakeBackend::scripted([Reply::status(405), Reply::Body(200, json!({}))]);
    let exporter = agentex_builder(&backend).write_starts(true).build();
    let tracer = builder().start_delay(Duration::ZERO).exporter(exporter).build();
    let span = tracer.trace("t").span("n").start();
    tracer.flush(PATIENCE);
    span.end();
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!(report.delivered(), 2);
    assert_eq!(backend.stored(Protocol::Agentex).len(), 1, "{:?}", backend.lines());
}

#[test]
fn row_114_a_span_without_id_is_posted_and_never_patched() {
    let backend = FakeBackend::start();
    let exporter = agentex_builder(&backend).write_starts(true).build();
    let tracer = builder().start_delay(Duration::ZERO).exporter(exporter).build();
    let span = tracer.trace("t").span("n").id("").start();
    tracer.flush(PATIENCE);
    span.end();
    assert_conserved(&tracer.shutdown());
    assert!(backend.lines().iter().all(|line| !line.starts_with("PATCH")));
}

#[test]
fn requests_of_single_spans_are_bounded() {
    let backend = FakeBackend::start();
    backend.always(Reply::After(Duration::from_millis(5), Box::new(Reply::Serve)));
    let tracer = builder().exporter(agentex(&backend)).build();
    make_spans(&tracer, "t", 300);
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!(report.delivered(), 300);
    assert!(backend.max_in_flight() <= 30, "{}", backend.max_in_flight());
}
