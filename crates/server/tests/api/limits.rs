//! Careless, hostile and unlucky clients, and a store that fails.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use endspan_server::Config;
use endspan_store::StoreError;
use endspan_store::memory::MemoryStore;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::Harness;
use crate::scripted_store::ScriptedStore;

const SPAN: &str = r#"{"id":"a","trace_id":"t","name":"n","start_time":0}"#;
const JSON: (&str, &str) = ("content-type", "application/json");

async fn with(config: Config) -> Harness {
    Harness::with(config, Arc::new(MemoryStore::new())).await
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    zstd::encode_all(text, 1).unwrap()
}

#[tokio::test]
async fn compressed_bodies_are_read() {
    let server = Harness::start().await;
    let big = json!({"id": "b", "trace_id": "t", "name": "n", "start_time": 0, "input": {"text": "x".repeat(300_000)}});
    for (index, (encoding, body)) in [
        ("gzip", gzip(SPAN.as_bytes())),
        ("zstd", zstd(SPAN.replace("\"a\"", "\"z\"").as_bytes())),
        ("gzip", gzip(big.to_string().as_bytes())),
        ("identity", SPAN.replace("\"a\"", "\"i\"").into_bytes()),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = server.send("POST", "/spans", &[JSON, ("content-encoding", encoding)], body).await;
        assert_eq!(answer.status, 200, "{index}: {}", answer.text());
    }
    assert_eq!(server.get("/spans/b").await.ok()["input"], big["input"]);
}

#[tokio::test]
async fn bad_encodings_are_told_apart() {
    let server = Harness::start().await;
    let cut = gzip(SPAN.as_bytes());
    for path in ["/spans", "/v5/spans"] {
        for (encoding, body, status) in [
            ("br", SPAN.as_bytes().to_vec(), 415),
            ("gzip, gzip", gzip(&gzip(SPAN.as_bytes())), 415),
            ("gzip", SPAN.as_bytes().to_vec(), 400),
            ("gzip", cut[..cut.len() - 4].to_vec(), 400),
            ("zstd", gzip(SPAN.as_bytes()), 400),
        ] {
            let answer = server.send("POST", path, &[JSON, ("content-encoding", encoding)], body).await;
            answer.refused(status);
            assert_eq!(answer.header("accept-encoding").is_some(), status == 415);
        }
    }
    assert_eq!(server.connections_made(), 1);
}

#[tokio::test]
async fn bodies_over_the_cap_are_413() {
    let server = with(Config { max_body_bytes: 1000, ..Config::default() }).await;
    let text =
        json!({"trace_id": "t", "name": "n", "start_time": 0, "input": {"t": "x".repeat(2000)}}).to_string();
    let refused = server.post("/spans", text.clone()).await.refused(413);
    assert_eq!((&refused["code"], &refused["data"]), (&json!(413), &json!(null)));
    assert!(refused["message"].as_str().unwrap().contains("1000 bytes"));
    for (encoding, body) in [("gzip", gzip(text.as_bytes())), ("zstd", zstd(text.as_bytes()))] {
        assert!(body.len() < 1000);
        let headers = [JSON, ("content-encoding", encoding)];
        let refused = server.send("PUT", "/v5/spans/batch", &headers, body).await.refused(413);
        assert!(refused["detail"].as_str().unwrap().contains("after decompression"), "{refused}");
    }
    assert_eq!(server.connections_made(), 1, "a refused body is read away");
    assert_eq!(server.conservation("agentex").await, [("rejected:too_large".to_owned(), 1)]);
}

/// A server of the kind that is run: with several threads, and bodies that are worked on beside them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_batches_are_stored_on_many_threads() {
    let server = Harness::embedded().await;
    let item = |index: usize| {
        json!({"id": format!("s{index}"), "trace_id": "t", "name": "n", "start_timestamp": 0, "start_time": 0,
            "input": {"t": "x".repeat(50_000)}})
    };
    let body = json!({"items": (0..100).map(item).collect::<Vec<_>>()}).to_string();
    let listed = server.put("/v5/spans/batch", body.clone()).await.ok();
    assert_eq!(listed["items"].as_array().unwrap().len(), 100);
    assert_eq!(server.put("/spans/batch", body).await.ok()["stored"], 100);
    assert_eq!(server.get("/spans?limit=100").await.ok().as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn who_asks_before_sending_is_told_before_sending() {
    let server = with(Config { max_body_bytes: 1000, ..Config::default() }).await;
    let head = "POST /spans HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: 2000\r\nexpect: 100-continue\r\n\r\n";
    let answer = server.raw(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_chunked_body_over_the_cap_is_413() {
    let server = with(Config { max_body_bytes: 1000, ..Config::default() }).await;
    let head = "POST /spans HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let chunk = format!("1f4\r\n{}\r\n", " ".repeat(500));
    let answer = server.raw(format!("{head}{}0\r\n\r\n", chunk.repeat(3)).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let small = format!("{head}{:x}\r\n{SPAN}\r\n0\r\n\r\n", SPAN.len());
    assert!(server.raw(small.as_bytes()).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_span_over_the_cap_costs_only_itself() {
    let server = with(Config { max_span_bytes: 100, ..Config::default() }).await;
    let item = |id: &str, length: usize| json!({"id": id, "trace_id": "t", "name": "n", "start_time": 0, "start_timestamp": 0, "input": {"t": "x".repeat(length)}});
    server.post("/spans", item("a", 100).to_string()).await.refused(413);
    let batch = json!({"items": [item("a", 10), item("b", 100)]}).to_string();
    let answer = server.put("/spans/batch", batch.clone()).await.ok();
    assert_eq!((&answer["stored"], &answer["items"][1]["reason"]), (&json!(1), &json!("too_large")));
    server.post("/v5/spans", item("c", 100).to_string()).await.refused(413);
    let refused = server.put("/v5/spans/batch", batch).await.refused(413);
    assert_eq!(refused["detail"][0]["loc"], json!(["body", "items", 1]));
    server.conservation("agentex").await;
    assert_eq!(server.conservation("sgp").await, [("rejected:too_large".to_owned(), 3)]);
}

#[tokio::test]
async fn more_requests_than_fit_are_503() {
    let store = ScriptedStore::new();
    let server =
        Harness::with(Config { max_in_flight_requests: 1, ..Config::default() }, store.clone()).await;
    store.hang();
    let mut sender = server.connect().await;
    let request = http::Request::post("/spans")
        .header("host", "test")
        .header(JSON.0, JSON.1)
        .body(http_body_util::Full::new(SPAN.into()))
        .unwrap();
    let first = tokio::spawn(async move { sender.send_request(request).await.unwrap().status().as_u16() });
    store.written().await;
    for path in ["/spans", "/v5/spans", "/spans/batch"] {
        let answer = server.post(path, SPAN).await;
        answer.refused(503);
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    store.work();
    assert_eq!(first.await.unwrap(), 200);
    server.post("/spans", SPAN).await.refused(400);
    let outcomes = server.conservation("agentex").await;
    assert!(outcomes.contains(&("rejected:overloaded".to_owned(), 1)), "{outcomes:?}");
}

#[tokio::test]
async fn more_bytes_than_fit_are_503() {
    let server = with(Config { max_in_flight_bytes: 1000, ..Config::default() }).await;
    let big = format!("{}{SPAN}", " ".repeat(2000));
    assert_eq!(server.post("/spans", big.clone()).await.header("retry-after"), Some("1"));
    let headers = [JSON, ("content-encoding", "gzip")];
    server.send("POST", "/spans", &headers, gzip(big.as_bytes())).await.refused(503);
    server.post("/spans", SPAN).await.ok();
    assert_eq!(server.metric("endspan_in_flight_bytes").await, 0);
}

#[tokio::test]
async fn sgp_row_33_a_failing_store_is_503_with_retry_after() {
    let store = ScriptedStore::new();
    let server = Harness::with_store(store.clone()).await;
    let sgp = r#"{"id":"a","trace_id":"t","name":"n","start_timestamp":0}"#;
    for error in [
        StoreError::Unavailable("/secret/path".to_owned()),
        StoreError::Overloaded("/secret/path".to_owned()),
        StoreError::Damaged("/secret/path".to_owned()),
    ] {
        store.fail(error);
        for (method, path, body) in [
            ("POST", "/spans", SPAN.to_owned()),
            ("PATCH", "/spans/a", "{}".to_owned()),
            ("PUT", "/spans/batch", format!("[{SPAN}]")),
            ("GET", "/spans/a", String::new()),
            ("GET", "/spans", String::new()),
            ("POST", "/v5/spans", sgp.to_owned()),
            ("PUT", "/v5/spans/batch", format!(r#"{{"items":[{sgp}]}}"#)),
            ("PATCH", "/v5/spans/a", r#"{"end_timestamp":5}"#.to_owned()),
            ("GET", "/v5/spans/a", String::new()),
            ("GET", "/api/traces", String::new()),
            ("GET", "/api/traces/t", String::new()),
            ("GET", "/api/stats", String::new()),
            ("GET", "/api/tail", String::new()),
        ] {
            let answer = server.json(method, path, body).await;
            answer.refused(503);
            assert_eq!(answer.header("retry-after"), Some("1"), "{method} {path}");
            assert!(!answer.text().contains("secret"), "{}", answer.text());
        }
    }
    store.work();
    server.post("/spans", SPAN).await.ok();
    assert_eq!(server.connections_made(), 1);
    let outcomes = server.conservation("sgp").await;
    assert!(outcomes.contains(&("rejected:store_unavailable".to_owned(), 6)), "{outcomes:?}");
    assert!(outcomes.contains(&("rejected:overloaded".to_owned(), 3)), "{outcomes:?}");
}

#[tokio::test]
async fn a_client_that_leaves_is_counted() {
    let store = ScriptedStore::new();
    let config = Config { health_timeout: Duration::from_millis(5), ..Config::default() };
    let server = Harness::with(config, store.clone()).await;
    store.hang();
    let mut sender = server.connect().await;
    let request = http::Request::post("/spans")
        .header("host", "test")
        .header(JSON.0, JSON.1)
        .body(http_body_util::Full::new(SPAN.into()))
        .unwrap();
    let pending = tokio::spawn(async move {
        let _ = sender.send_request(request).await;
    });
    store.written().await;
    pending.abort();
    let _ = pending.await;
    let cancelled = "endspan_http_requests_total{route=\"agentex_create\",status=\"cancelled\"}";
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while server.metric(cancelled).await == 0 {
        assert!(tokio::time::Instant::now() < deadline, "the request is never counted");
        tokio::task::yield_now().await;
    }
    assert_eq!(server.conservation("agentex").await, [("unacknowledged".to_owned(), 1)]);
    store.work();
}

#[tokio::test]
async fn a_head_that_does_not_come_in_time_is_cut() {
    let server = with(Config { header_timeout: Duration::from_millis(50), ..Config::default() }).await;
    let answer = server.raw(b"POST /spans HTTP/1.1\r\nhost:").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_408() {
    let server = with(Config { body_timeout: Duration::from_millis(50), ..Config::default() }).await;
    let head =
        "POST /spans HTTP/1.1\r\nhost: t\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    let answer = server.raw(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    assert_eq!(server.metric("endspan_in_flight_requests").await, 0);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    // Long enough for the answers that are read, on a busy machine too.
    let server = with(Config { write_timeout: Duration::from_secs(1), ..Config::default() }).await;
    let big = json!({"id": "big", "trace_id": "t", "name": "n", "start_time": 0, "input": {"t": "x".repeat(16_000_000)}});
    server.post("/spans", big.to_string()).await.ok();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /spans/big HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while server.metric("endspan_connections").await > 1 {
        assert!(tokio::time::Instant::now() < deadline, "the connection stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.len() < 16_000_000);
}

#[tokio::test]
async fn connections_over_the_limit_are_refused() {
    let server = with(Config { max_connections: 1, ..Config::default() }).await;
    server.get("/healthz").await.ok();
    let answer = server.raw(b"GET /healthz HTTP/1.1\r\nhost: t\r\n\r\n").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(server.metric("endspan_connections_refused_total").await, 1);
}

#[tokio::test]
async fn broken_requests_do_not_break_the_server() {
    let server = Harness::start().await;
    for bytes in [
        &b"\x00\x01\x02\r\n\r\n"[..],
        b"GET /spans\xff HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n",
        b"GET /spans/a\x00b HTTP/1.1\r\nhost: t\r\n\r\n",
        b"POST /spans HTTP/1.1\r\nhost: t\r\ncontent-length: -1\r\n\r\n",
        b"POST /spans HTTP/1.1\r\nhost: t\r\ncontent-length: 99999999999999999999\r\n\r\n",
    ] {
        let answer = server.raw(bytes).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let many = format!("GET /spans HTTP/1.1\r\nhost: t\r\n{}\r\n", "x: y\r\n".repeat(200));
    assert!(server.raw(many.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    server.get("/healthz").await.ok();
}

#[tokio::test]
async fn names_and_nesting_are_bounded() {
    let server = Harness::start().await;
    let named =
        |length: usize| json!({"trace_id": "t", "name": "n".repeat(length), "start_time": 0}).to_string();
    server.post("/spans", named(16 * 1024)).await.ok();
    server.post("/spans", named(16 * 1024 + 1)).await.refused(422);
    let nested = |depth: usize| {
        let input = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        format!(r#"{{"trace_id":"t","name":"n","start_timestamp":0,"input":{input}}}"#)
    };
    let answer = server.post("/v5/spans", nested(512)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    server.post("/v5/spans", nested(513)).await.refused(422);
    // Deep enough to break a parser that recurses.
    server.post("/v5/spans", nested(200_000)).await.refused(422);
    server.post("/v5/span-assessments", nested(200_000)).await.refused(422);
    server.post("/v5/spans/search", nested(200_000)).await.refused(422);
    let long = "a".repeat(257);
    let headers = [JSON, ("x-selected-account-id", long.as_str())];
    server.send("POST", "/spans", &headers, SPAN).await.refused(422);
}

#[tokio::test]
async fn a_zstd_window_over_8_mib_is_refused() {
    let server = Harness::start().await;
    for (log, status) in [(23, 200), (24, 400)] {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(log).unwrap();
        encoder.write_all(SPAN.replace("\"a\"", &format!("\"w{log}\"")).as_bytes()).unwrap();
        let body = encoder.finish().unwrap();
        let answer = server.send("POST", "/spans", &[JSON, ("content-encoding", "zstd")], body).await;
        assert_eq!(answer.status, status, "{log}: {}", answer.text());
    }
}

#[tokio::test]
async fn lists_and_groups_of_a_search_are_bounded() {
    let server = Harness::start().await;
    let names = |count: usize| json!({"names": vec!["n"; count]}).to_string();
    server.post("/v5/spans/search", names(1000)).await.ok();
    server.post("/v5/spans/search", names(1001)).await.refused(422);
    let nested = |depth: usize| {
        let group = (0..depth).fold(json!({"k": 1}), |inner, _| json!({"$or": [inner]}));
        json!({"extra_metadata": group}).to_string()
    };
    server.post("/v5/spans/search", nested(16)).await.ok();
    server.post("/v5/spans/search", nested(17)).await.refused(422);
}

#[tokio::test]
async fn a_head_over_its_bytes_is_431() {
    const MOST: usize = 64 * 1024;
    let head = |bytes: usize| {
        let mut head = b"GET /healthz HTTP/1.1\r\nhost: t\r\nx: ".to_vec();
        head.resize(bytes, b'y');
        head
    };
    let server = Harness::start().await;
    // No byte more than the server takes in, so that its answer is not lost with a connection that has bytes left to read. The
    // head has not ended: without the bound the server would wait for the rest of it.
    let answer = server.raw(&head(MOST)).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let mut longest = head(MOST - 1024);
    longest.extend_from_slice(b"\r\nconnection: close\r\n\r\n");
    let answer = server.raw(&longest).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// What the documents say of limits that a test cannot wait for.
#[test]
fn the_defaults_are_as_documented() {
    let config = Config::default();
    assert_eq!((config.max_body_bytes, config.max_span_bytes), (64 << 20, 32 << 20));
    assert_eq!((config.max_in_flight_requests, config.max_in_flight_bytes), (4096, 256 << 20));
    assert_eq!((config.max_connections, config.max_live_subscribers), (10_000, 256));
    assert_eq!(config.max_search_bytes, 32 << 20);
    let seconds = [
        config.search_timeout,
        config.trace_text_timeout,
        config.delete_timeout,
        config.header_timeout,
        config.body_timeout,
        config.write_timeout,
        config.shutdown_timeout,
    ];
    assert_eq!(seconds.map(|time| time.as_secs()), [10, 2, 5, 60, 30, 30, 30]);
}

/// Stores spans `s0`, `s1`, ... of a trace, a thousand a request.
async fn store_spans(server: &Harness, trace: &str, count: usize) {
    let ids: Vec<usize> = (0..count).collect();
    for ids in ids.chunks(1000) {
        let items: Vec<_> = ids
            .iter()
            .map(|id| {
                json!({"id": format!("s{id}"), "trace_id": trace, "name": "n", "start_timestamp": 1_704_067_200 + id,
                    "input": {"text": "common"}})
            })
            .collect();
        let headers = [JSON, ("prefer", "return=minimal")];
        server.send("PUT", "/v5/spans/batch", &headers, json!({ "items": items }).to_string()).await.ok();
    }
}

#[tokio::test]
async fn looking_for_text_in_traces_ends_in_time() {
    let server = with(Config { trace_text_timeout: Duration::ZERO, ..Config::default() }).await;
    for trace in ["t1", "t2", "t3"] {
        store_spans(&server, trace, 2).await;
    }
    let mut after = String::new();
    let mut seen = Vec::new();
    for _ in 0..10 {
        let page = server.get(&format!("/api/traces?text=common{after}")).await.ok();
        seen.extend(page["traces"].as_array().unwrap().iter().map(|trace| trace["trace_id"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        assert_eq!(page["partial"], true);
        after = format!("&after={next}");
    }
    seen.sort_by_key(ToString::to_string);
    assert_eq!(seen, ["t1", "t2", "t3"]);
    assert!(!after.is_empty(), "one page had everything");
    let found = server.get("/api/traces/t1/search?text=common").await.ok();
    assert_eq!(found, json!({"ids": ["s0"], "partial": true}));
    // Time counts for text only.
    let all = server.get("/api/traces").await.ok();
    assert_eq!((all["traces"].as_array().unwrap().len(), &all["partial"]), (3, &json!(false)));
}

#[tokio::test]
async fn a_search_within_a_trace_finds_so_many() {
    // Time is another limit, with a test of its own: a loaded machine must not meet it here.
    let a_minute = Duration::from_secs(60);
    let config = Config { search_timeout: a_minute, trace_text_timeout: a_minute, ..Config::default() };
    let server = with(config).await;
    store_spans(&server, "t", 10_001).await;
    let found = server.get("/api/traces/t/search?text=common").await.ok();
    assert_eq!((found["ids"].as_array().unwrap().len(), &found["partial"]), (10_000, &json!(true)));
}

#[tokio::test]
async fn a_deletion_ends_in_time_and_goes_on() {
    let server = with(Config { delete_timeout: Duration::ZERO, ..Config::default() }).await;
    store_spans(&server, "t", 1001).await;
    for (path, spans, more) in [
        ("/api/traces/t", 500, true),
        ("/api/traces?start_before=2030-01-01", 500, true),
        ("/api/traces/t", 1, false),
    ] {
        let deleted = server.send("DELETE", path, &[], "").await.ok();
        assert_eq!((&deleted["spans"], &deleted["more"]), (&json!(spans), &json!(more)), "{path}");
    }
    server.send("DELETE", "/api/traces/t", &[], "").await.refused(404);
}

#[tokio::test]
async fn terms_and_assessment_filters_have_bounds_on_every_route() {
    let server = Harness::start().await;
    store_spans(&server, "t", 1).await;
    let query = |name: &str, value: &str, count: usize| format!("{name}={value}&").repeat(count);
    for (count, status) in [(10, 200), (11, 422)] {
        let texts = query("text", "common", count);
        let filters = query("assessment", "rating", count);
        for path in [
            format!("/api/traces?{texts}"),
            format!("/api/traces/t/search?{texts}"),
            format!("/api/traces?{filters}"),
        ] {
            assert_eq!(server.get(&path).await.status, status, "{path}");
        }
        let terms = json!({ "search_texts": vec!["common"; count] }).to_string();
        assert_eq!(server.post("/v5/spans/search", terms).await.status, status, "{count} terms");
        let path = format!("/v5/spans/search?{filters}");
        assert_eq!(server.post(&path, "{}").await.status, status, "{path}");
    }
}

#[tokio::test]
async fn assessments_have_bounds_by_number_content_and_bytes_of_a_list() {
    let server = with(Config { max_search_bytes: 300 * 1024, ..Config::default() }).await;
    store_spans(&server, "t", 2).await;
    let comment = |span: &str, bytes: usize| {
        let text = "c".repeat(bytes);
        json!({"trace_id": "t", "span_id": span, "assessment_type": "comment", "comment": text}).to_string()
    };
    const ROUTE: &str = "/v5/span-assessments";
    server.post(ROUTE, comment("s0", 256 * 1024 + 1)).await.refused(413);
    server.post(ROUTE, comment("s0", 255 * 1024)).await.ok();
    let list = format!("{ROUTE}?trace_id=t");
    assert_eq!(server.get(&list).await.ok()["total"], 1);
    server.post(ROUTE, comment("s0", 255 * 1024)).await.ok();
    let refused = server.get(&list).await.refused(400);
    assert!(refused["detail"].as_str().unwrap().starts_with("SEARCH_RESULT_TOO_LARGE"), "{refused}");
    let trace = server.get("/api/traces/t").await.ok();
    assert_eq!(
        (trace["assessments"].as_array().unwrap().len(), &trace["assessments_cut"]),
        (1, &json!(true))
    );
    for _ in 0..100 {
        server.post(ROUTE, comment("s1", 1)).await.ok();
    }
    server.post(ROUTE, comment("s1", 1)).await.refused(422);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = with(Config { header_timeout: Duration::from_millis(100), ..Config::default() }).await;
    let answer = server.raw(b"GET /healthz HTTP/1.1\r\nhost: t\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}
