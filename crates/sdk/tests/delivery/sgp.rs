//! The SGP exporter on the wire.

use endspan::{DropReason, Environment, SgpExporter, Tracer};
use endspan_testkit::{FakeBackend, Protocol};
use serde_json::{Value, json};

use crate::{PATIENCE, agentex, assert_conserved, builder, make_spans, sgp, sgp_builder};

fn item(make: impl FnOnce(&Tracer), variables: &[(&str, &str)]) -> Value {
    let backend = FakeBackend::start();
    let environment = Environment::fixed(variables.iter().copied());
    let exporter = sgp_builder(&backend).environment(environment).build();
    let tracer = builder().exporter(exporter).build();
    make(&tracer);
    assert_conserved(&tracer.shutdown());
    backend.requests()[0].items()[0].clone()
}

#[test]
fn rows_46_48_and_59_ends_go_in_one_request() {
    let backend = FakeBackend::start();
    let tracer = builder().linger(PATIENCE).exporter(sgp(&backend)).build();
    make_spans(&tracer, "t", 3);
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!(report.delivered(), 3);
    assert_eq!(backend.lines(), ["PUT /v5/spans/batch"]);
    let request = &backend.requests()[0];
    assert_eq!(request.items().len(), 3);
    assert!(
        request.items()[0]["start_timestamp"].is_string() && request.items()[0]["end_timestamp"].is_string()
    );
    assert_eq!(request.header("x-api-key"), Some("key"));
    assert_eq!(request.header("x-selected-account-id"), Some("account"));
    assert_eq!(request.header("prefer"), Some("return=minimal"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("x-stainless-retry-count"), Some("0"));
    assert_eq!(request.header("traceparent"), None);
}

#[test]
fn row_47_starts_go_in_one_request_when_they_are_wanted() {
    let backend = FakeBackend::start();
    let exporter = sgp_builder(&backend).write_starts(true).build();
    let tracer = builder().exporter(exporter).build();
    let trace = tracer.trace("t");
    let spans: Vec<_> = (0..10).map(|_| trace.span("open").start()).collect();
    tracer.flush(PATIENCE);
    assert_eq!(backend.requests().len(), 1);
    assert_eq!(backend.requests()[0].items().len(), 10);
    assert!(backend.requests()[0].items()[0].get("end_timestamp").is_none());
    drop(spans);
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!(report.delivered(), 20);
}

#[test]
fn rows_49_to_52_tags_and_type() {
    let make = |tracer: &Tracer| tracer.trace("t").span("n").start().end();
    let metadata = item(make, &[])["metadata"].clone();
    assert_eq!(metadata, json!({"__source__": "agentex", "__acp_type__": "async"}));
    let variables = [("AGENT_NAME", "n"), ("AGENT_ID", "i"), ("ACP_TYPE", "sync")];
    let metadata = item(make, &variables)["metadata"].clone();
    assert_eq!(
        metadata,
        json!({"__source__": "agentex", "__acp_type__": "sync", "__agent_name__": "n", "__agent_id__": "i"})
    );
    let typed = |tracer: &Tracer| {
        tracer.trace("t").span("n").data(&json!({"__span_type__": "AGENT_WORKFLOW"})).start().end();
    };
    assert_eq!(item(typed, &[])["type"], "AGENT_WORKFLOW");
}

#[test]
fn rows_53_54_56_and_57_what_is_absent() {
    let item = item(|tracer| tracer.trace("t").task_id("T").span("n").start().end(), &[]);
    assert_eq!(item["type"], "STANDALONE");
    assert_eq!((&item["input"], &item["output"]), (&json!({}), &json!({})));
    assert!(item.get("parent_id").is_none() && item.get("task_id").is_none());
}

#[test]
fn row_55_an_error_shows() {
    let make = |tracer: &Tracer| {
        let mut span = tracer.trace("t").span("n").start();
        span.record_error_as("ValueError", "boom");
        span.end();
    };
    let item = item(make, &[]);
    assert_eq!(item["status"], "ERROR");
    assert_eq!(
        item["metadata"],
        json!({
            "__error__": {"type": "ValueError", "message": "boom"}, "__source__": "agentex",
            "__acp_type__": "async", "error": true, "error_type": "ValueError", "error_message": "boom",
            "error_category": "unknown"
        })
    );
}

#[test]
fn row_58_without_key_or_account_nothing_is_sent() {
    for (key, account) in [("", "a"), ("k", "")] {
        let backend = FakeBackend::start();
        let exporter = sgp_builder(&backend).api_key(key).account_id(account).build();
        let tracer = builder().exporter(exporter).build();
        make_spans(&tracer, "t", 3);
        assert_eq!(tracer.shutdown().accounts, []);
        assert_eq!(backend.requests().len(), 0);
    }
}

#[test]
fn rows_60_and_61_one_bad_span_costs_one_span_at_most() {
    let backend = FakeBackend::start();
    let tracer = builder().linger(PATIENCE).exporter(sgp(&backend)).build();
    let trace = tracer.trace("t");
    for index in 0..7 {
        let mut span = trace.span("n").start();
        match index {
            4 => span.set_output(endspan::PayloadSource::json(r#"{"x":"\ud800"}"#)),
            5 => span.set_data(&json!({"__span_type__": "NO_SUCH_TYPE"})),
            1 => span.set_output(endspan::PayloadSource::json(r#"{"x":NaN}"#)),
            2 => span.set_data(&json!({"__error__": {}})),
            3 => span.set_output(endspan::PayloadSource::of(&[f64::NAN])),
            _ => span.set_output(&json!({"x": index})),
        }
        span.end();
    }
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!((report.delivered(), report.dropped()), (7, 0));
    let stored = backend.stored(Protocol::Sgp);
    assert_eq!(stored.len(), 7);
    assert_eq!(backend.requests().len(), 1, "none of them had to be found by trying");
    let types = |name: &str| stored.values().filter(|stored| stored.json["type"] == name).count();
    assert_eq!(types("STANDALONE"), 7);
    let replaced = stored.values().filter(|stored| stored.json["output"]["__unencodable__"].is_object());
    assert_eq!(replaced.count() as u64, tracer.stats().unencodable_payloads);
}

#[test]
fn row_62_what_one_exporter_adds_never_shows_in_another() {
    let backend = FakeBackend::start();
    let tracer = builder().exporter(sgp(&backend)).exporter(agentex(&backend)).build();
    let mut span = tracer.trace("t").span("n").data(&json!({"k": 1})).start();
    span.record_error_as("E", "m");
    span.end();
    assert_conserved(&tracer.shutdown());
    let agentex = backend.stored(Protocol::Agentex).into_values().next().unwrap();
    assert_eq!(agentex.json["data"], json!({"k": 1, "__error__": {"type": "E", "message": "m"}}));
    let sgp = backend.stored(Protocol::Sgp).into_values().next().unwrap();
    assert_eq!(sgp.json["metadata"]["error"], true);
}

#[test]
fn row_63_nothing_ambient_of_another_trace_becomes_a_parent() {
    let backend = FakeBackend::start();
    let tracer = builder().exporter(sgp(&backend)).build();
    tracer.trace("one").span("scope").in_scope(|_| tracer.trace("two").span("root").start().end());
    assert_conserved(&tracer.shutdown());
    let roots = backend.stored(Protocol::Sgp);
    assert!(roots.values().all(|stored| stored.json.get("parent_id").is_none()));
}

#[test]
fn one_refused_span_in_a_thousand_costs_one_span() {
    let backend = FakeBackend::start();
    backend.refuse(|span| span["input"]["index"] == 617);
    let tracer = builder().linger(PATIENCE).exporter(sgp(&backend)).build();
    make_spans(&tracer, "t", 1000);
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!((report.delivered(), report.dropped_for(DropReason::Rejected)), (999, 1), "{report}");
    assert_eq!(backend.stored(Protocol::Sgp).len(), 999);
    assert!(backend.requests().len() < 30, "{}", backend.requests().len());
}

#[test]
fn a_body_that_is_too_large_is_split() {
    let backend = FakeBackend::start();
    backend.max_body_bytes(20_000);
    let tracer = builder().linger(PATIENCE).exporter(sgp(&backend)).build();
    let trace = tracer.trace("t");
    for index in 0..100 {
        let length = if index == 50 { 30_000 } else { 1000 };
        trace.span("n").input(&json!({"text": "x".repeat(length)})).start().end();
    }
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!((report.delivered(), report.dropped_for(DropReason::TooLarge)), (99, 1), "{report}");
}

#[test]
fn row_115_the_address_comes_from_argument_environment_or_default() {
    use endspan::exporter::Exporter as _;
    let identity = |url: Option<&str>, variables: &[(&str, &str)]| {
        let mut builder = SgpExporter::builder()
            .environment(Environment::fixed(variables.iter().copied()))
            .api_key("k")
            .account_id("a");
        if let Some(url) = url {
            builder = builder.base_url(url);
        }
        builder.build().identity()
    };
    let variable = [("SGP_CLIENT_BASE_URL", "http://env/")];
    assert_eq!(identity(Some("http://arg/x/"), &variable), "sgp http://arg/x a");
    assert_eq!(identity(None, &variable), "sgp http://env a");
    assert_eq!(identity(None, &[]), "sgp https://api.egp.scale.com a");
}

#[test]
fn custom_headers_go_along_and_own_ones_win() {
    let backend = FakeBackend::start();
    let environment =
        Environment::fixed([("SGP_CLIENT_CUSTOM_HEADERS", "X-Team: blue\nx-api-key: other\nnonsense")]);
    let exporter = sgp_builder(&backend).environment(environment).build();
    let tracer = builder().exporter(exporter).build();
    make_spans(&tracer, "t", 1);
    assert_conserved(&tracer.shutdown());
    let request = &backend.requests()[0];
    assert_eq!(request.header("x-team"), Some("blue"));
    assert_eq!(request.header("x-api-key"), Some("key"));
}
