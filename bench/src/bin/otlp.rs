//! OTLP: ingest into a started `endspan serve` over HTTP and gRPC, decoding beside prost's, encoding, and reading
//! meanings.
//!
//! `cargo run --release -p endspan-bench --bin otlp` prints the table of `bench/README.md`; `--only-cpu` leaves out
//! the server. Decoding, encoding and reading are timed by what the thread spent on the processor, so that a busy
//! machine does not spoil them.

use std::hint::black_box;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bytes::{BufMut, Bytes, BytesMut};
use clap::Parser;
use endspan_bench::http::{self, Requests};
use endspan_bench::process::ServerProcess;
use endspan_bench::statistics::{median, print_table, thread_cpu_seconds};
use endspan_otlp::decode::{decode_json, decode_protobuf};
use endspan_otlp::encode::Encoder;
use endspan_otlp::normal::{Detail, normalize_with};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1 as otlp;
use prost::Message as _;

/// Measures OTLP.
#[derive(Parser)]
struct Arguments {
    /// The binary to start.
    #[arg(long, default_value = "target/release/endspan")]
    binary: PathBuf,
    /// Where the server keeps its data; each run uses a fresh directory below it.
    #[arg(long, default_value = "bench/out")]
    data: PathBuf,
    /// How often each case runs; the table shows medians.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Measure only what needs no server.
    #[arg(long)]
    only_cpu: bool,
}

/// Spans in a request, and requests in a run.
const BATCH: u64 = 512;
const REQUESTS: u64 = 200;

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    std::fs::create_dir_all(&arguments.data)?;
    let mut rows = Vec::new();
    if !arguments.only_cpu {
        ingest(&arguments, &mut rows)?;
    }
    decode(&arguments, &mut rows);
    encode(&arguments, &mut rows);
    meanings(&arguments, &mut rows);
    print_table(&["what", "median", "reach"], &rows);
    Ok(())
}

type Rows = Vec<Vec<String>>;

fn row(what: &str, found: String, reach: &str) -> Vec<String> {
    vec![what.to_owned(), found, reach.to_owned()]
}

fn ingest(arguments: &Arguments, rows: &mut Rows) -> Result<()> {
    let bodies: Vec<Vec<u8>> = (0..REQUESTS).map(|batch| request(batch, BATCH, small)).collect();
    let over_http: Requests = bodies.iter().map(|body| http_request(body)).collect();
    let framed: Rc<[Bytes]> = bodies.iter().map(|body| frame(body)).collect();
    let spans = (REQUESTS * BATCH) as f64;
    let (mut http, mut grpc, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..arguments.runs {
        let directory = tempfile::tempdir_in(&arguments.data)?;
        let server = ServerProcess::start(&arguments.binary, directory.path())?;
        let load = http::run_closed(server.address, &over_http, 8)?;
        http.push(spans / load.wall.as_secs_f64());
        cpu.push(server.cpu_seconds()? * 1e5 / spans);
        server.stop()?;
        let directory = tempfile::tempdir_in(&arguments.data)?;
        let server = ServerProcess::start(&arguments.binary, directory.path())?;
        let Some(address) = server.grpc_address else { bail!("no address for gRPC") };
        grpc.push(spans / run_grpc(address, &framed, 8)?.as_secs_f64());
        server.stop()?;
    }
    rows.push(row(
        "OTLP/HTTP, 512 small spans a request, 8 connections",
        format!("{:.0} spans/s", median(&mut http)),
        "50,000",
    ));
    rows.push(row("  server CPU per 100,000 spans", format!("{:.2} s", median(&mut cpu)), ""));
    rows.push(row("OTLP/gRPC, the same, 8 connections", format!("{:.0} spans/s", median(&mut grpc)), ""));
    Ok(())
}

/// Requests of the three sizes that are told apart.
fn sizes() -> [(&'static str, Vec<u8>); 3] {
    [
        ("512 small spans", request(0, 512, small)),
        ("512 model calls of 2 kB", request(0, 512, |index| model_call(index, 4))),
        ("64 model calls of 20 kB", request(0, 64, |index| model_call(index, 50))),
    ]
}

/// Decodes the same bytes in turns, so that what else the machine does falls on both.
fn decode(arguments: &Arguments, rows: &mut Rows) {
    for (name, body) in sizes() {
        let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..arguments.runs * 20 {
            let theirs_now = time(|| drop(ExportTraceServiceRequest::decode(black_box(&*body))));
            let ours_now = time(|| drop(decode_protobuf(black_box(&body))));
            ratios.push(ours_now / theirs_now);
            ours.push(ours_now);
            theirs.push(theirs_now);
        }
        let (ours, theirs, ratio) = (median(&mut ours), median(&mut theirs), median(&mut ratios));
        rows.push(row(
            &format!("decode {name}: endspan to prost"),
            format!("{ratio:.2} ({:.0} to {:.0} µs)", ours * 1e6, theirs * 1e6),
            "under 2",
        ));
    }
}

fn encode(arguments: &Arguments, rows: &mut Rows) {
    for (name, body) in sizes() {
        let spans = decode_protobuf(&body).map(|request| request.spans).unwrap_or_default();
        let json = Encoder::new().encode_json(&spans);
        let (mut encode, mut read) = (Vec::new(), Vec::new());
        for _ in 0..arguments.runs * 10 {
            encode.push(time(|| drop(black_box(Encoder::new().encode_protobuf(black_box(&spans))))) * 1e6);
            read.push(time(|| drop(decode_json(black_box(&json)))) * 1e6);
        }
        rows.push(row(
            &format!("{name}: encode; decode from JSON"),
            format!("{:.0}; {:.0} µs", median(&mut encode), median(&mut read)),
            "",
        ));
    }
}

fn meanings(arguments: &Arguments, rows: &mut Rows) {
    for (name, turns) in [("2 kB", 4), ("8 kB", 18)] {
        let body = request(0, 1000, |index| model_call(index, turns));
        let spans = decode_protobuf(&body).map(|request| request.spans).unwrap_or_default();
        for (what, detail, goal) in
            [("", Detail::Full, "under 20 ms"), (", without content", Detail::Summary, "under 20 ms")]
        {
            let read = || spans.iter().map(|span| normalize_with(span, detail)).collect::<Vec<_>>();
            let mut found: Vec<f64> =
                (0..arguments.runs * 4).map(|_| time(|| drop(black_box(read()))) * 1e3).collect();
            rows.push(row(
                &format!("normalise a trace of 1,000 model calls of {name}{what}"),
                format!("{:.1} ms", median(&mut found)),
                goal,
            ));
        }
    }
}

/// Returns the seconds on the processor of the fastest of three calls.
fn time(mut work: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let begin = thread_cpu_seconds();
        work();
        best = best.min(thread_cpu_seconds() - begin);
    }
    best
}

fn http_request(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn frame(body: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(body.len() + 5);
    framed.put_u8(0);
    framed.put_u32(body.len() as u32);
    framed.put_slice(body);
    framed.freeze()
}

/// Sends every message once, one call at a time on each connection.
fn run_grpc(address: SocketAddr, messages: &Rc<[Bytes]>, connections: usize) -> Result<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let next = Rc::new(std::cell::Cell::new(0_usize));
    local.block_on(&runtime, async {
        let mut open = Vec::new();
        for _ in 0..connections {
            let stream = tokio::net::TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let io = TokioIo::new(stream);
            let (sender, connection) =
                hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), io).await?;
            tokio::spawn(connection);
            open.push(sender);
        }
        let begin = Instant::now();
        let mut tasks = Vec::new();
        for mut sender in open {
            let (messages, next) = (messages.clone(), next.clone());
            tasks.push(tokio::task::spawn_local(async move {
                loop {
                    let Some(message) = messages.get(next.get()) else { return anyhow::Ok(()) };
                    next.set(next.get() + 1);
                    let request = ::http::Request::post(format!("http://{address}{EXPORT}"))
                        .header("content-type", "application/grpc")
                        .header("te", "trailers")
                        .body(Full::new(message.clone()))?;
                    sender.ready().await?;
                    let response = sender.send_request(request).await?;
                    let answer = response.into_body().collect().await?;
                    let status = answer.trailers().and_then(|trailers| trailers.get("grpc-status"));
                    if status.is_none_or(|status| status != "0") {
                        bail!("grpc-status {status:?}");
                    }
                }
            }));
        }
        for task in tasks {
            task.await??;
        }
        Ok(begin.elapsed())
    })
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.into()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, any_value::Value::IntValue(value))
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Sixteen spans make a trace.
fn span(index: u64, name: &str, attributes: Vec<KeyValue>) -> otlp::Span {
    let id = |index: u64| (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes().to_vec();
    let parent = if index.is_multiple_of(16) { Vec::new() } else { id(index - index % 16) };
    otlp::Span {
        trace_id: [id(index / 16), id(!(index / 16))].concat(),
        span_id: id(index),
        parent_span_id: parent,
        name: name.to_owned(),
        kind: 3,
        start_time_unix_nano: 1_767_225_600_000_000_000 + index * 1_000_000,
        end_time_unix_nano: 1_767_225_600_500_000_000 + index * 1_000_000,
        attributes,
        flags: 256,
        status: Some(otlp::Status::default()),
        ..otlp::Span::default()
    }
}

/// A span as any instrumented web service sends it.
fn small(index: u64) -> otlp::Span {
    let attributes = vec![
        text("http.request.method", "GET"),
        text("url.full", "https://example.com/api/items?page=3"),
        number("http.response.status_code", 200),
        text("server.address", "example.com"),
        number("server.port", 443),
    ];
    span(index, "GET", attributes)
}

/// A model call with a conversation of `turns` messages of about 400 bytes.
fn model_call(index: u64, turns: usize) -> otlp::Span {
    let sentence = "The weather in Zürich is \"fine\", and the agent says so at some length. ".repeat(5);
    let messages: Vec<serde_json::Value> = (0..turns)
        .map(|turn| {
            let role = if turn % 2 == 0 { "user" } else { "assistant" };
            serde_json::json!({"role": role, "parts": [{"type": "text", "content": sentence}]})
        })
        .collect();
    let answer = serde_json::json!([
        {"role": "assistant", "parts": [{"type": "text", "content": sentence}], "finish_reason": "stop"}
    ]);
    let attributes = vec![
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.provider.name", "openai"),
        text("gen_ai.request.model", "gpt-4o"),
        text("gen_ai.response.model", "gpt-4o-2024-08-06"),
        text("gen_ai.response.id", format!("chatcmpl-{index}")),
        number("gen_ai.usage.input_tokens", 1200),
        number("gen_ai.usage.output_tokens", 90),
        number("gen_ai.usage.cache_read.input_tokens", 1024),
        text("gen_ai.conversation.id", "conversation-7"),
        text("gen_ai.input.messages", serde_json::Value::from(messages).to_string()),
        text("gen_ai.output.messages", answer.to_string()),
    ];
    span(index, "chat gpt-4o", attributes)
}

/// Returns the body of one request: `count` spans, those of each batch other ones.
fn request(batch: u64, count: u64, span: impl Fn(u64) -> otlp::Span) -> Vec<u8> {
    let resource = vec![
        text("service.name", "bench"),
        text("telemetry.sdk.language", "python"),
        text("telemetry.sdk.name", "opentelemetry"),
        text("telemetry.sdk.version", "1.45.2"),
    ];
    let scope = InstrumentationScope { name: "bench".into(), ..InstrumentationScope::default() };
    let spans = (batch * count..(batch + 1) * count).map(span).collect();
    ExportTraceServiceRequest {
        resource_spans: vec![otlp::ResourceSpans {
            resource: Some(Resource { attributes: resource, ..Resource::default() }),
            scope_spans: vec![otlp::ScopeSpans { scope: Some(scope), spans, ..otlp::ScopeSpans::default() }],
            ..otlp::ResourceSpans::default()
        }],
    }
    .encode_to_vec()
}
