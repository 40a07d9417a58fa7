//! Health, metrics, the OpenAPI document and shutdown.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use endspan_server::Config;
use endspan_store::memory::MemoryStore;
use endspan_store::{SpanStore, StoreError};
use serde_json::Value;

use crate::harness::Harness;
use crate::on_every_store;
use crate::scripted_store::ScriptedStore;

on_every_store!(
    agentex_row_69_liveness_answers_get_only,
    agentex_row_71_no_headers_are_needed,
    readiness_is_the_stores,
    metrics_count_requests_and_spans,
    metrics_show_the_store,
    openapi_knows_every_route,
    a_stopped_server_has_closed_its_store,
);

const SPAN: &str = r#"{"id":"a","trace_id":"t","name":"n","start_time":0}"#;

async fn agentex_row_69_liveness_answers_get_only(server: Harness) {
    let answer = server.get("/healthz").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"status": "ok"}"#));
    for method in ["POST", "HEAD", "DELETE", "OPTIONS"] {
        for path in ["/healthz", "/readyz", "/healthcheck"] {
            let answer = server.send(method, path, &[], "").await;
            assert_eq!((answer.status, answer.header("allow")), (405, Some("GET")), "{method} {path}");
            assert_eq!(answer.text(), "");
        }
    }
}

/// Without configured keys no key is looked at (rows 72 to 74b wait for keys).
async fn agentex_row_71_no_headers_are_needed(server: Harness) {
    server.post("/spans", SPAN).await.ok();
    for header in ["x-agent-api-key", "x-agent-identity", "x-api-key", "authorization"] {
        server.send("GET", "/spans/a", &[(header, "anything")], "").await.ok();
        server.send("GET", "/spans/a", &[(header, "")], "").await.ok();
    }
}

async fn readiness_is_the_stores(server: Harness) {
    for path in ["/readyz", "/healthcheck"] {
        let answer = server.get(path).await;
        answer.ok();
        assert_eq!(answer.text(), r#"{"status": "ok", "checks": {"store": {"healthy": true}}}"#);
    }
}

#[tokio::test]
async fn agentex_row_70_a_store_that_fails_is_degraded() {
    let store = ScriptedStore::new();
    let server = Harness::with_store(store.clone()).await;
    store.fail(StoreError::Unavailable("/secret/path is gone".to_owned()));
    let answer = server.get("/readyz").await;
    let body = answer.refused(503);
    assert_eq!(body["status"], "degraded");
    assert_eq!(body["checks"]["store"]["healthy"], false);
    assert!(!answer.text().contains("secret"), "{}", answer.text());
    server.get("/healthz").await.ok();
    store.work();
    server.get("/readyz").await.ok();
}

#[tokio::test]
async fn a_store_that_hangs_is_a_timeout() {
    let store = ScriptedStore::new();
    let config = Config { health_timeout: Duration::from_millis(10), ..Config::default() };
    let server = Harness::with(config, store.clone()).await;
    store.hang();
    assert_eq!(server.get("/readyz").await.refused(503)["status"], "timeout");
    let metrics = server.get("/metrics").await;
    assert_eq!(metrics.status, 200, "metrics come without the store's figures");
    assert!(!metrics.text().contains("endspan_store_spans"));
    store.work();
}

async fn metrics_count_requests_and_spans(server: Harness) {
    server.post("/spans", SPAN).await.ok();
    server.post("/spans", SPAN).await.refused(400);
    server.post("/spans", "{").await.refused(422);
    server.get("/spans/a").await.ok();
    let count =
        |status: &str| format!("endspan_http_requests_total{{route=\"agentex_create\",status=\"{status}\"}}");
    assert_eq!(server.metric(&count("2xx")).await, 1);
    assert_eq!(server.metric(&count("4xx")).await, 2);
    assert_eq!(
        server.metric("endspan_http_request_duration_seconds_count{route=\"agentex_create\"}").await,
        3
    );
    let bytes = server.metric("endspan_ingest_bytes_total{protocol=\"agentex\"}").await;
    assert_eq!(bytes, 2 * SPAN.len() as u64 + 1);
    assert_eq!(server.metric("endspan_store_write_duration_seconds_count").await, 2);
    assert_eq!(server.metric("endspan_in_flight_requests").await, 0);
    assert_eq!(server.metric("endspan_in_flight_bytes").await, 0);
    assert_eq!(server.metric("endspan_connections").await, 1);
    assert_eq!(
        server.conservation("agentex").await,
        [
            ("stored".to_owned(), 1),
            ("rejected:malformed".to_owned(), 1),
            ("rejected:duplicate".to_owned(), 1)
        ]
    );
}

async fn metrics_show_the_store(server: Harness) {
    server.post("/spans", SPAN).await.ok();
    assert_eq!(server.metric("endspan_store_spans").await, 1);
    assert_eq!(server.metric("endspan_store_traces").await, 1);
    let page = server.get("/metrics").await;
    assert_eq!(page.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in page.text().lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("endspan_"), "{line}");
        value.parse::<f64>().unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

/// Every path and method of the document is answered by a route, and every route is in the document.
async fn openapi_knows_every_route(server: Harness) {
    let document = server.get("/openapi.json").await.ok();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut operation_ids = BTreeSet::new();
    let mut operations = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method = method.to_uppercase();
            operations.insert(format!("{method} {path}"));
            let id = operation["operationId"].as_str().unwrap().to_owned();
            assert!(operation_ids.insert(id.clone()), "{id} is there twice");
            assert!(operation["tags"][0].is_string(), "{path}");
            let concrete = path
                .replace("{trace_id}", "t")
                .replace("{span_id}", "s")
                .replace("{span_assessment_id}", "a");
            if concrete != "/api/tail" {
                let answer = server.send(&method, &concrete, &[], "").await;
                let documented = operation["responses"].as_object().unwrap();
                assert!(
                    documented.contains_key(&answer.status.to_string()),
                    "{method} {path}: {}",
                    answer.status
                );
            }
        }
    }
    let expected = [
        "DELETE /api/traces",
        "DELETE /api/traces/{trace_id}",
        "DELETE /public/v5/span-assessments/{span_assessment_id}",
        "DELETE /v5/span-assessments/{span_assessment_id}",
        "GET /api/accounts",
        "GET /api/export",
        "GET /api/info",
        "GET /api/spans/{trace_id}/{span_id}",
        "GET /api/spans/{trace_id}/{span_id}/normal",
        "GET /api/stats",
        "GET /api/tail",
        "GET /api/traces",
        "GET /api/traces/{trace_id}",
        "GET /api/traces/{trace_id}/search",
        "GET /api/traces/{trace_id}/structure",
        "GET /api/traces/{trace_id}/usage",
        "GET /healthcheck",
        "GET /healthz",
        "GET /metrics",
        "GET /openapi.json",
        "GET /public/v5/span-assessments",
        "GET /public/v5/span-assessments/{span_assessment_id}",
        "GET /public/v5/spans/{span_id}",
        "GET /readyz",
        "GET /spans",
        "GET /spans/{span_id}",
        "GET /v5/span-assessments",
        "GET /v5/span-assessments/{span_assessment_id}",
        "GET /v5/spans/{span_id}",
        "PATCH /public/v5/span-assessments/{span_assessment_id}",
        "PATCH /public/v5/spans/{span_id}",
        "PATCH /spans/{span_id}",
        "PATCH /v5/span-assessments/{span_assessment_id}",
        "PATCH /v5/spans/{span_id}",
        "POST /api/import",
        "POST /public/v5/span-assessments",
        "POST /public/v5/spans",
        "POST /public/v5/spans/batch",
        "POST /public/v5/spans/search",
        "POST /spans",
        "POST /spans/batch",
        "POST /v1/traces",
        "POST /v5/span-assessments",
        "POST /v5/spans",
        "POST /v5/spans/batch",
        "POST /v5/spans/search",
        "PUT /public/v5/spans/batch",
        "PUT /spans/batch",
        "PUT /v5/spans/batch",
    ];
    assert_eq!(operations.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    check_references(&document, &document);
}

fn check_references(document: &Value, value: &Value) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
            }
            members.values().for_each(|value| check_references(document, value));
        }
        Value::Array(items) => items.iter().for_each(|value| check_references(document, value)),
        _ => {}
    }
}

async fn a_stopped_server_has_closed_its_store(server: Harness) {
    server.post("/spans", SPAN).await.ok();
    let address = server.address;
    server.stop().await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn shutdown_finishes_what_was_received() {
    let store = ScriptedStore::new();
    let mut server = Harness::with_store(store.clone()).await;
    store.hang();
    let mut sender = server.connect().await;
    let request = http::Request::post("/spans")
        .header("host", "test")
        .header("content-type", "application/json")
        .body(http_body_util::Full::new(SPAN.into()))
        .unwrap();
    let pending = tokio::spawn(async move { sender.send_request(request).await });
    store.written().await;
    server.begin_stop();
    tokio::task::yield_now().await;
    store.work();
    let response = pending.await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    server.stop().await.unwrap();
    assert!(store.is_closed());
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever() {
    let store = ScriptedStore::new();
    let config = Config { shutdown_timeout: Duration::from_millis(50), ..Config::default() };
    let mut server = Harness::with(config, store.clone()).await;
    store.hang();
    let mut sender = server.connect().await;
    let request = http::Request::post("/spans")
        .header("host", "test")
        .header("content-type", "application/json")
        .body(http_body_util::Full::new(SPAN.into()))
        .unwrap();
    let pending = tokio::spawn(async move { sender.send_request(request).await });
    store.written().await;
    server.begin_stop();
    assert!(pending.await.unwrap().is_err(), "the connection is cut");
    store.work();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_store_that_does_not_close_is_an_error() {
    let store = ScriptedStore::new();
    let server = Harness::with_store(store.clone()).await;
    store.fail(StoreError::Unavailable("gone".to_owned()));
    assert!(server.stop().await.is_err());
}

#[tokio::test]
async fn an_address_in_use_cannot_be_bound() {
    let server = Harness::start().await;
    let store: Arc<dyn SpanStore> = Arc::new(MemoryStore::new());
    let config = Config { listen: server.address, ..Config::default() };
    let error = endspan_server::Server::bind(config, store).await.unwrap_err();
    assert_eq!(error.address, server.address);
}
