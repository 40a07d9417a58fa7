//! Keys, roles and accounts, on every route of the OpenAPI document.
//!
//! That no account sees another's spans is shown by comparing: two servers hold the same spans of one account, and only
//! one of them holds spans of another account too. Whatever the first account asks must be answered alike by both.

use std::collections::BTreeSet;
use std::sync::Arc;

use endspan_model::{AccountId, Timestamp};
use endspan_server::Config;
use endspan_server::access::{ApiKey, KeyRing, Role, Secret};
use endspan_store::memory::MemoryStore;
use serde_json::Value;

use crate::harness::{Answer, Harness};

/// What a request to a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    A(Role),
}

/// One request to a route, made to learn something of the other account.
struct Probe {
    route: &'static str,
    needs: Needs,
    path: &'static str,
    body: &'static str,
}

const fn probe(route: &'static str, needs: Needs, path: &'static str, body: &'static str) -> Probe {
    Probe { route, needs, path, body }
}

const READ: Needs = Needs::A(Role::Read);
const INGEST: Needs = Needs::A(Role::Ingest);

/// At least one probe for each documented route: who adds a route adds its probes here.
const PROBES: &[Probe] = &[
    probe(
        "POST /spans",
        INGEST,
        "/spans",
        r#"{"id":"b-span","trace_id":"b-trace","name":"n","start_time":0}"#,
    ),
    probe("GET /spans", READ, "/spans", ""),
    probe("GET /spans", READ, "/spans?trace_id=b-trace&limit=1&page_number=2", ""),
    probe("GET /spans/{span_id}", READ, "/spans/b-root", ""),
    probe("PATCH /spans/{span_id}", INGEST, "/spans/b-root", r#"{"name":"taken"}"#),
    probe(
        "POST /spans/batch",
        INGEST,
        "/spans/batch",
        r#"{"items":[{"id":"b-root","trace_id":"b-trace","name":"n","start_time":0}]}"#,
    ),
    probe(
        "PUT /spans/batch",
        INGEST,
        "/spans/batch",
        r#"{"items":[{"id":"b-root","trace_id":"b-trace","name":"n","start_time":1}]}"#,
    ),
    probe(
        "POST /v5/spans",
        INGEST,
        "/v5/spans",
        // Its parent lives in a trace of the other account: that must be no conflict.
        r#"{"id":"child","trace_id":"t2","parent_id":"b-span-2","name":"n","start_timestamp":"2026-01-01T00:00:00Z"}"#,
    ),
    probe("GET /v5/spans/{span_id}", READ, "/v5/spans/b-root", ""),
    probe("PATCH /v5/spans/{span_id}", INGEST, "/v5/spans/b-span-2", r#"{"name":"taken"}"#),
    probe(
        "POST /v5/spans/batch",
        INGEST,
        "/v5/spans/batch",
        r#"{"items":[{"id":"b-span-2","trace_id":"b-trace","name":"n","start_timestamp":"2026-01-01T00:00:00Z"}]}"#,
    ),
    probe(
        "PUT /v5/spans/batch",
        INGEST,
        "/v5/spans/batch",
        r#"{"items":[{"id":"b-span-2","trace_id":"b-trace","name":"n","start_timestamp":"2026-01-01T00:00:00Z"}]}"#,
    ),
    probe("POST /v5/spans/search", READ, "/v5/spans/search", "{}"),
    probe("POST /v5/spans/search", READ, "/v5/spans/search", r#"{"search_texts":["secret"]}"#),
    probe("POST /v5/spans/search", READ, "/v5/spans/search", r#"{"span_ids":["b-span-3"]}"#),
    probe("POST /v5/spans/search", READ, "/v5/spans/search?starting_after=b-span-3", "{}"),
    probe(
        "POST /v5/spans/search",
        READ,
        "/v5/spans/search?ending_before=b-span-3",
        r#"{"trace_ids":["b-trace"]}"#,
    ),
    probe(
        "POST /v5/span-assessments",
        INGEST,
        "/v5/span-assessments",
        r#"{"assessment_type":"comment","comment":"c","trace_id":"b-other","span_id":"b-span-3"}"#,
    ),
    probe("GET /v5/span-assessments", READ, "/v5/span-assessments?trace_id=b-other", ""),
    probe("GET /v5/span-assessments", READ, "/v5/span-assessments?span_id=b-span-3", ""),
    probe("GET /v5/span-assessments/{span_assessment_id}", READ, "/v5/span-assessments/b-assessment", ""),
    probe(
        "PATCH /v5/span-assessments/{span_assessment_id}",
        INGEST,
        "/v5/span-assessments/b-assessment",
        r#"{"comment":"taken"}"#,
    ),
    probe(
        "DELETE /v5/span-assessments/{span_assessment_id}",
        INGEST,
        "/v5/span-assessments/b-assessment",
        "",
    ),
    probe("POST /v5/spans/search", READ, "/v5/spans/search?assessment=comment", "{}"),
    probe("GET /api/traces", READ, "/api/traces?assessment=comment", ""),
    probe("POST /v1/traces", INGEST, "/v1/traces", r#"{"resourceSpans":[]}"#),
    probe("GET /api/traces", READ, "/api/traces", ""),
    probe("GET /api/traces", READ, "/api/traces?name=secret", ""),
    probe("GET /api/traces/{trace_id}", READ, "/api/traces/b-other?payloads=true", ""),
    probe("GET /api/traces/{trace_id}/structure", READ, "/api/traces/b-other/structure", ""),
    probe("GET /api/spans/{trace_id}/{span_id}", READ, "/api/spans/b-other/b-span-3", ""),
    probe("GET /api/traces", READ, "/api/traces?text=secret", ""),
    probe("GET /api/traces/{trace_id}/search", READ, "/api/traces/b-other/search?text=secret", ""),
    probe("GET /api/accounts", READ, "/api/accounts", ""),
    probe("GET /api/traces/{trace_id}/usage", READ, "/api/traces/b-other/usage", ""),
    probe("GET /api/spans/{trace_id}/{span_id}/normal", READ, "/api/spans/b-other/b-span-3/normal", ""),
    probe("GET /api/export", READ, "/api/export", ""),
    probe("GET /api/export", READ, "/api/export?trace_id=b-other", ""),
    probe(
        "POST /api/import",
        INGEST,
        "/api/import",
        r#"{"account":"b","trace_id":"b-trace","id":"b-root","name":"taken","start_time":"2026-01-01T00:00:00Z"}"#,
    ),
    probe("DELETE /api/traces/{trace_id}", Needs::A(Role::Admin), "/api/traces/b-other", ""),
    probe("DELETE /api/traces", Needs::A(Role::Admin), "/api/traces?start_before=1971-01-01T00:00:00Z", ""),
    // Followed below; here a question that is refused.
    probe("GET /api/tail", READ, "/api/tail?after=x", ""),
    probe("GET /api/stats", READ, "/api/stats", ""),
    probe("GET /api/info", READ, "/api/info", ""),
    probe("GET /healthz", Needs::Nothing, "/healthz", ""),
    probe("GET /readyz", Needs::Nothing, "/readyz", ""),
    probe("GET /healthcheck", Needs::Nothing, "/healthcheck", ""),
    probe("GET /openapi.json", Needs::Nothing, "/openapi.json", ""),
    probe("GET /metrics", Needs::A(Role::Metrics), "/metrics", ""),
];

impl Probe {
    fn method(&self) -> &'static str {
        self.route.split_once(' ').unwrap().0
    }

    async fn send(&self, server: &Harness, headers: &[(&str, &str)]) -> Answer {
        let mut headers = headers.to_vec();
        if !self.body.is_empty() {
            let json = if self.path == "/api/import" { "application/x-ndjson" } else { "application/json" };
            headers.push(("content-type", json));
        }
        server.send(self.method(), self.path, &headers, self.body).await
    }
}

/// Makes a key; returns its secret too.
fn key(account: Option<&str>, roles: &[Role], expires: Option<Timestamp>) -> (ApiKey, String) {
    let secret = Secret::generate().unwrap();
    let key = ApiKey {
        id: secret.id().to_owned(),
        name: String::new(),
        account: account.map(AccountId::new),
        roles: roles.to_vec(),
        hash: secret.hash(),
        last_four: secret.last_four().to_owned(),
        created: Timestamp::now(),
        expires,
    };
    (key, secret.expose().to_owned())
}

async fn start(keys: Vec<ApiKey>) -> (Harness, Arc<KeyRing>) {
    let ring = Arc::new(KeyRing::closed(keys));
    let config = Config { keys: Arc::clone(&ring), ..Config::default() };
    (Harness::with(config, Arc::new(MemoryStore::new())).await, ring)
}

async fn write(server: &Harness, secret: &str, trace_id: &str, ids: &[&str], payload: &str) {
    let items: Vec<Value> = ids
        .iter()
        .map(|id| {
            serde_json::json!({"id": id, "trace_id": trace_id, "name": payload, "input": {"text": payload},
                "start_timestamp": "2026-01-01T00:00:00Z", "end_timestamp": "2026-01-01T00:00:01Z"})
        })
        .collect();
    let body = serde_json::json!({ "items": items }).to_string();
    let headers = [("content-type", "application/json"), ("x-api-key", secret)];
    server.send("PUT", "/v5/spans/batch", &headers, body).await.ok();
}

/// Replaces what differs from moment to moment.
fn steady(answer: &Answer) -> (u16, String) {
    let text = answer.text();
    let mut json: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    match json.get_mut("uptime_seconds") {
        Some(uptime) => {
            *uptime = Value::Null;
            (answer.status, json.to_string())
        }
        None => (answer.status, text),
    }
}

#[tokio::test]
async fn every_documented_route_has_a_probe() {
    let server = Harness::start().await;
    let document = server.get("/openapi.json").await.ok();
    let mut routes = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().filter(|key| *key != "parameters") {
            routes.insert(format!("{} {}", method.to_uppercase(), path.replacen("/public/v5", "/v5", 1)));
        }
    }
    let probed: BTreeSet<String> = PROBES.iter().map(|probe| probe.route.to_owned()).collect();
    assert_eq!(routes, probed, "each route needs a probe in PROBES, and each probe a route");
}

#[tokio::test]
async fn no_account_sees_another_on_any_route() {
    let roles = [Role::Admin];
    let (a, a_secret) = key(Some("a"), &roles, None);
    let (b, b_secret) = key(Some("b"), &roles, None);
    let (shared, _) = start(vec![a.clone(), b.clone()]).await;
    let (alone, _) = start(vec![a, b]).await;
    for server in [&shared, &alone] {
        write(server, &a_secret, "a-trace", &["a-root", "a-span"], "ours").await;
    }
    let of_b = ["b-root", "b-span", "b-span-2"];
    write(&shared, &b_secret, "b-trace", &of_b, "secret").await;
    write(&shared, &b_secret, "b-other", &["b-span-3"], "secret").await;
    write(&shared, &b_secret, "a-trace", &["b-span-4"], "secret").await;
    let assessed = r#"{"account":"b","trace_id":"b-other","id":"b-span-3","name":"secret",
        "start_time":"2026-01-01T00:00:00Z","end_time":"2026-01-01T00:00:01Z","assessments":[{"id":"b-assessment",
        "type":"comment","comment":"secret opinion","created_by":"b","created_at":"2026-01-01T00:00:00Z",
        "updated_at":"2026-01-01T00:00:00Z","revision":1}]}"#;
    let headers = [("content-type", "application/x-ndjson"), ("x-api-key", b_secret.as_str())];
    let imported = shared.send("POST", "/api/import", &headers, assessed.replace('\n', "")).await.ok();
    assert_eq!(imported["assessments_stored"], 1, "{imported}");
    let before = read_all(&shared, &b_secret).await;
    assert!(before.contains("secret opinion"));
    assert!(before.contains("b-span-4") && before.contains("secret") && !before.contains("ours"));
    for probe in PROBES {
        for prefix in ["", "/public"] {
            let path = format!("{prefix}{}", probe.path);
            if !prefix.is_empty() && !probe.path.starts_with("/v5") {
                continue;
            }
            let probe = Probe { path: path.leak(), ..*probe };
            let headers = [("x-api-key", a_secret.as_str())];
            let (seen, expected) = (probe.send(&shared, &headers).await, probe.send(&alone, &headers).await);
            assert_eq!(steady(&seen), steady(&expected), "{} {}", probe.route, probe.path);
            if probe.needs != Needs::Nothing {
                let headers = [headers[0], ("x-selected-account-id", "b")];
                let refused = probe.send(&shared, &headers).await;
                assert_eq!(refused.status, 403, "{} {}", probe.route, probe.path);
                assert!(!refused.text().contains("secret"));
            }
        }
    }
    let wanted = "\"id\":\"child\"";
    let tail = shared.stream("/api/tail?after=0&payloads=true", &[("x-api-key", &a_secret)], wanted).await;
    assert!(tail.contains("a-root") && !tail.contains("secret"), "{tail}");
    assert_eq!(read_all(&shared, &b_secret).await, before, "nothing of the other account has changed");
}

async fn read_all(server: &Harness, secret: &str) -> String {
    let headers = [("x-api-key", secret), ("content-type", "application/json")];
    let mut text = server.send("POST", "/v5/spans/search", &headers, "{}").await.text();
    for trace in ["b-trace", "b-other", "a-trace"] {
        let path = format!("/api/traces/{trace}?payloads=true");
        text += &server.send("GET", &path, &headers[..1], "").await.text();
    }
    text
}

#[tokio::test]
async fn every_route_asks_for_a_key_with_its_role() {
    let (expired, expired_secret) = key(None, &[Role::Admin], Some(Timestamp::now()));
    let mut keys = vec![expired];
    let mut secrets = Vec::new();
    for role in Role::ALL {
        let (one, secret) = key(None, &[role], None);
        keys.push(one);
        secrets.push((role, secret));
    }
    let (server, _) = start(keys).await;
    let stranger = Secret::generate().unwrap();
    for probe in PROBES {
        let name = format!("{} {}", probe.route, probe.path);
        let Needs::A(role) = probe.needs else {
            assert_eq!(probe.send(&server, &[]).await.status, 200, "{name}");
            continue;
        };
        let otlp = probe.path.starts_with("/v1/traces");
        for (header, value) in [
            ("accept", "*/*"),
            ("x-api-key", ""),
            ("x-api-key", stranger.expose()),
            ("x-api-key", expired_secret.as_str()),
            ("authorization", "Bearer sk-other"),
            ("x-agent-api-key", "other"),
        ] {
            let answer = probe.send(&server, &[(header, value)]).await;
            assert_eq!(answer.status, 401, "{name} with {header}: {value}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"endspan\""), "{name}");
            let json = answer.json();
            if otlp {
                assert_eq!(json["code"], 16, "{name}");
            } else {
                assert!(json["detail"].is_string(), "{name}: {json}");
            }
        }
        for (held, secret) in &secrets {
            let status = probe.send(&server, &[("x-api-key", secret)]).await.status;
            if *held == role || *held == Role::Admin {
                assert!(status != 401 && status != 403, "{name} with {held:?}: {status}");
            } else {
                assert_eq!(status, 403, "{name} with {held:?}");
            }
        }
    }
    assert_eq!(server.connections_made(), 1, "refusals keep the connection");
}

#[tokio::test]
async fn agentex_rows_72_to_74b_a_bad_agent_key_is_refused_and_nothing_is_remembered_of_it() {
    let (agent, secret) = key(Some("default"), &[Role::Ingest, Role::Read], None);
    let (server, ring) = start(vec![agent.clone()]).await;
    let refused = server.send("GET", "/spans", &[("x-agent-api-key", "bad")], "").await;
    assert_eq!((refused.status, refused.text().as_str()), (401, r#"{"detail":"Agent Unauthorized"}"#));
    let refused = server.send("GET", "/spans", &[("x-agent-api-key", "")], "").await;
    assert_eq!((refused.status, refused.text().as_str()), (401, r#"{"detail":"Unauthorized"}"#));
    server.send("GET", "/spans", &[("x-agent-api-key", &secret)], "").await.ok();
    // A client may send another server's key beside ours.
    let both = [("x-api-key", "of another"), ("x-agent-api-key", secret.as_str())];
    server.send("GET", "/spans", &both, "").await.ok();
    ring.replace(Vec::new());
    server.send("GET", "/spans", &[("x-agent-api-key", &secret)], "").await.refused(401);
    ring.replace(vec![agent]);
    server.send("GET", "/spans", &[("x-agent-api-key", &secret)], "").await.ok();
}

#[tokio::test]
async fn sgp_row_68_keys_are_taken_from_every_header_that_clients_use() {
    let (all, secret) = key(None, &[Role::Admin], None);
    let (server, _) = start(vec![all]).await;
    write(&server, &secret, "t", &["s"], "x").await;
    let bearer = format!("Bearer {secret}");
    for (header, value) in [("x-api-key", &secret), ("authorization", &bearer), ("x-agent-api-key", &secret)]
    {
        let answer = server.send("GET", "/v5/spans/s", &[(header, value)], "").await.ok();
        assert_eq!(answer["account_id"], "default");
        // A key for every account follows the header.
        let other = [(header, value.as_str()), ("x-selected-account-id", "other")];
        server.send("GET", "/v5/spans/s", &other, "").await.refused(404);
    }
}

#[tokio::test]
async fn a_refused_body_is_read_and_the_connection_lives_on() {
    let (one, secret) = key(None, &[Role::Admin], None);
    let (server, _) = start(vec![one]).await;
    let body = format!(r#"{{"items":["{}"]}}"#, "x".repeat(3_000_000));
    let headers = [("content-type", "application/json")];
    server.send("PUT", "/v5/spans/batch", &headers, body).await.refused(401);
    server.send("GET", "/api/info", &[("x-api-key", &secret)], "").await.ok();
    assert_eq!(server.connections_made(), 1);
    let metrics = server.send("GET", "/metrics", &[("x-api-key", &secret)], "").await.text();
    assert!(metrics.contains("\nendspan_unauthorized_requests_total 1\n"), "{metrics}");
    assert!(metrics.contains("\nendspan_forbidden_requests_total 0\n"));
    assert!(metrics.contains("\nendspan_keys 1\n"));
}

#[tokio::test]
async fn without_keys_a_strange_host_name_is_refused() {
    let config = Config { hosts: Some(vec!["spans.example".to_owned()]), ..Config::default() };
    let server = Harness::with(config, Arc::new(MemoryStore::new())).await;
    for (host, status) in [
        ("127.0.0.1:5003", 200),
        ("[::1]:5003", 200),
        ("localhost", 200),
        ("app.localhost:80", 200),
        ("Spans.Example", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:5003", 403),
        ("", 403),
    ] {
        let head = format!("GET /api/info HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let answer = server.raw(head.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {answer}");
    }
}
