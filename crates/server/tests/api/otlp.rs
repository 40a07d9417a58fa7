//! OTLP over HTTP and gRPC, with what real instrumentations send (`fixtures/otlp`).

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use endspan_otlp::decode::decode_protobuf;
use endspan_otlp::encode::encode_request;
use endspan_server::Config;
use endspan_store::memory::MemoryStore;
use endspan_store::{ListQuery, SpanStore, StoreError};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;

use crate::harness::{Answer, Harness};
use crate::on_every_store;
use crate::scripted_store::ScriptedStore;

on_every_store!(
    every_span_of_every_instrumentation_comes_back,
    sending_again_changes_nothing,
    an_otlp_span_reads_through_every_api,
    compressed_bodies_are_read,
    a_bad_span_costs_one_span_and_is_told,
    what_is_no_trace_is_refused_with_a_reason,
    spans_belong_to_the_account_of_the_header,
);

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/otlp").join(name)).unwrap()
}

async fn export(server: &Harness, body: impl Into<Bytes>) -> Answer {
    server.send("POST", "/v1/traces", &[PROTOBUF], body).await
}

async fn every_span_of_every_instrumentation_comes_back(server: Harness) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/otlp");
    let mut total = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let content_type = match path.extension().and_then(|extension| extension.to_str()) {
            Some("pb") => PROTOBUF,
            Some("json") if path.file_name().is_some_and(|name| name != "manifest.json") => JSON,
            _ => continue,
        };
        let body = std::fs::read(&path).unwrap();
        let spans = match content_type {
            PROTOBUF => decode_protobuf(&body).unwrap().spans,
            _ => endspan_otlp::decode::decode_json(&body).unwrap().spans,
        };
        let answer = server.send("POST", "/v1/traces", &[content_type], body).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(content_type.1)));
        assert_eq!(answer.text(), if content_type == JSON { "{}" } else { "" });
        for span in &spans {
            let path = format!("/api/spans/{}/{}", span.trace_id, span.id);
            let read = server.get(&path).await.ok();
            assert_eq!(read["name"], span.name);
            for (key, sent) in [
                ("input", &span.input),
                ("output", &span.output),
                ("metadata", &span.metadata),
                ("otel", &span.otel),
            ] {
                let sent = sent.as_ref().map_or(serde_json::Value::Null, |payload| payload.to_value());
                assert_eq!(read[key], sent, "{path} {key}");
            }
        }
        total += spans.len() as u64;
    }
    assert!(total > 60);
    assert_eq!(server.conservation("otlp").await, [("stored".to_owned(), total)]);
}

async fn sending_again_changes_nothing(server: Harness) {
    let body = fixture("pydantic-ai.pb");
    let count = decode_protobuf(&body).unwrap().spans.len();
    for _ in 0..2 {
        assert_eq!(export(&server, body.clone()).await.status, 200);
    }
    let traces = server.get("/api/traces").await.ok();
    assert_eq!(traces["traces"].as_array().unwrap().len(), 1);
    assert_eq!(traces["traces"][0]["span_count"], count);
}

async fn an_otlp_span_reads_through_every_api(server: Harness) {
    let body = fixture("pydantic-ai.pb");
    let span = decode_protobuf(&body).unwrap().spans.swap_remove(0);
    assert_eq!(export(&server, body).await.status, 200);
    let agentex = server.get(&format!("/spans/{}", span.id)).await.ok();
    assert_eq!(agentex["data"]["gen_ai.request.model"], "gpt-4o");
    assert_eq!(agentex["trace_id"], span.trace_id.as_str());
    let sgp = server.get(&format!("/v5/spans/{}", span.id)).await.ok();
    assert_eq!((&sgp["type"], &sgp["status"]), (&json!("COMPLETION"), &json!("SUCCESS")));
    assert_eq!(sgp["input"]["gen_ai.input.messages"][0]["role"], "user");
    assert_eq!(sgp["group_id"], json!(span.group_id));
}

async fn compressed_bodies_are_read(server: Harness) {
    let body = fixture("langfuse.pb");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&body).unwrap();
    let zstd = zstd::encode_all(&*body, 1).unwrap();
    for (encoding, body) in [("gzip", gzip.finish().unwrap()), ("zstd", zstd)] {
        let headers = [PROTOBUF, ("content-encoding", encoding)];
        // Langfuse's SDKs have a path of their own.
        for path in ["/v1/traces", "/api/public/otel/v1/traces"] {
            assert_eq!(server.send("POST", path, &headers, body.clone()).await.status, 200, "{encoding}");
        }
    }
    let unknown = server.send("POST", "/v1/traces", &[PROTOBUF, ("content-encoding", "br")], "x").await;
    assert_eq!((unknown.status, unknown.header("accept-encoding")), (415, Some("gzip, zstd")));
}

async fn a_bad_span_costs_one_span_and_is_told(server: Harness) {
    let span = |id: &str| json!({"traceId": "5b8efff798038103d269b633813fc60c", "spanId": id, "startTimeUnixNano": "1", "name": id});
    let body = |spans: &[serde_json::Value]| json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]});
    let good = span("eee19b7ec3c1b174");
    let bad = span("bad");
    let mixed = body(&[bad.clone(), good, span("0000000000000000")]).to_string();
    let answer = server.post("/v1/traces", mixed).await.ok();
    assert_eq!(
        answer,
        json!({"partialSuccess": {"rejectedSpans": "2", "errorMessage":
            "span 0: span: spanId: cannot be \"bad\": neither hex nor base64; \
             span 2: span_id: must be 8 bytes and not all zero, got 8 bytes"}})
    );
    let refused = server.post("/v1/traces", body(&[bad]).to_string()).await.refused(400);
    assert_eq!(refused["code"], 3);
    assert!(refused["message"].as_str().unwrap().starts_with("no span can be stored: span 0:"), "{refused}");
    let outcomes = [("stored".to_owned(), 1), ("rejected:malformed".to_owned(), 3)];
    assert_eq!(server.conservation("otlp").await, outcomes);
}

async fn what_is_no_trace_is_refused_with_a_reason(server: Harness) {
    let refused = server.post("/v1/traces", r#"{"resourceLogs": []}"#).await.refused(400);
    assert_eq!(
        refused,
        json!({"code": 3, "message": "body: 20 bytes hold no span, only unknown keys [\"resourceLogs\"]"})
    );
    let refused = export(&server, "not protobuf").await;
    assert_eq!((refused.status, refused.header("content-type")), (400, Some("application/x-protobuf")));
    assert!(refused.text().contains("protobuf"), "{}", refused.text());
    let refused = server.send("POST", "/v1/traces", &[("content-type", "text/plain")], "x").await;
    assert_eq!((refused.status, refused.json()["code"].clone()), (415, json!(3)));
    assert_eq!(server.post("/v1/traces", "{}").await.ok(), json!({}));
    assert_eq!(export(&server, "").await.status, 200);
    assert_eq!(server.conservation("otlp").await, []);
}

async fn spans_belong_to_the_account_of_the_header(server: Harness) {
    let body = fixture("langfuse.pb");
    let id = decode_protobuf(&body).unwrap().spans.swap_remove(0).id;
    let account = ("x-selected-account-id", "acct");
    assert_eq!(server.send("POST", "/v1/traces", &[PROTOBUF, account], body).await.status, 200);
    let path = format!("/spans/{id}");
    assert_eq!(server.send("GET", &path, &[account], "").await.status, 200);
    assert_eq!(server.get(&path).await.status, 404);
}

#[tokio::test]
async fn a_store_that_fails_is_told_so_that_exporters_try_again() {
    let store = ScriptedStore::new();
    store.fail(StoreError::Overloaded("full".into()));
    let server = Harness::with_store(store).await;
    let answer = export(&server, fixture("langfuse.pb")).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert!(answer.text().contains("the server is busy"));
    assert_eq!(server.conservation("otlp").await, [("rejected:overloaded".to_owned(), 3)]);
}

#[tokio::test]
async fn spans_beyond_the_limits_are_refused() {
    let body = fixture("langfuse.pb");
    let spans = decode_protobuf(&body).unwrap().spans;
    let largest = spans.iter().map(endspan_model::Span::payload_bytes).max().unwrap();
    let config = Config { max_body_bytes: 4096, max_span_bytes: largest - 1, ..Config::default() };
    let server = Harness::with(config, Arc::new(MemoryStore::new())).await;
    let answer = export(&server, vec![0; 5000]).await;
    assert_eq!(answer.status, 413);
    let answer = export(&server, body).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains(&(largest - 1).to_string()), "{}", answer.text());
    let outcomes = [("stored".to_owned(), 2), ("rejected:too_large".to_owned(), 1)];
    assert_eq!(server.conservation("otlp").await, outcomes);
}

/// A gRPC client: what comes back as status and message.
async fn grpc(
    server: &Harness,
    path: &str,
    encoding: Option<&str>,
    message: &[u8],
) -> (String, String, Bytes) {
    let stream = tokio::net::TcpStream::connect(server.grpc_address.unwrap()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut frame = BytesMut::new();
    frame.put_u8(u8::from(encoding.is_some()));
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    let mut request = http::Request::post(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(encoding) = encoding {
        request = request.header("grpc-encoding", encoding);
    }
    let response = sender.send_request(request.body(Full::new(frame.freeze())).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let head = response.headers().clone();
    let body = response.into_body().collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    let find = |name: &str| {
        let value = trailers.get(name).or_else(|| head.get(name));
        value.map_or(String::new(), |value| value.to_str().unwrap().to_owned())
    };
    (find("grpc-status"), find("grpc-message"), body.to_bytes())
}

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

#[tokio::test]
async fn grpc_takes_the_same_way() {
    let config = Config { grpc_listen: Some("127.0.0.1:0".parse().unwrap()), ..Config::default() };
    let store = Arc::new(MemoryStore::new());
    let server = Harness::with(config, store.clone()).await;
    let body = fixture("openllmetry-openai.pb");
    let count = decode_protobuf(&body).unwrap().spans.len();
    let zstd = zstd::encode_all(&*body, 1).unwrap();
    for (encoding, message) in [(None, &body), (Some("zstd"), &zstd)] {
        let (status, message, answer) = grpc(&server, EXPORT, encoding, message).await;
        assert_eq!((status.as_str(), message.as_str(), &*answer), ("0", "", &[0_u8; 5][..]));
    }
    let stored = store.list_spans(None, &ListQuery { limit: 100, ..ListQuery::default() }).await.unwrap();
    assert_eq!(stored.len(), count);
    let spans: Vec<_> = stored.into_iter().map(|stored| stored.span).collect();
    assert_eq!(decode_protobuf(&encode_request(&spans)).unwrap().spans.len(), count);

    let (status, message, _) = grpc(&server, "/x.Logs/Export", None, &body).await;
    assert_eq!((status.as_str(), message.as_str()), ("12", format!("only {EXPORT} is served here").as_str()));
    let (status, message, _) = grpc(&server, EXPORT, None, b"\x10\x01").await;
    assert_eq!(
        (status.as_str(), message.as_str()),
        ("3", "body: 2 bytes hold no span, only unknown fields [2]")
    );
    let (status, ..) = grpc(&server, EXPORT, Some("br"), &body).await;
    assert_eq!(status, "12");
    let (status, ..) = grpc(&server, EXPORT, Some("gzip"), &body).await;
    assert_eq!(status, "3");
    assert_eq!(server.conservation("otlp").await, [("stored".to_owned(), 2 * count as u64)]);
    server.stop().await.unwrap();
}
