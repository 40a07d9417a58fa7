//! One agent's spans, sent by the SDK over each protocol to a server each: whoever reads them finds the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails panics")]

use std::net::SocketAddr;
use std::sync::Arc;

use endspan::{
    AgentexExporter, DropReason, Environment, OtlpExporter, SgpExporter, SpanType, Status, Tracer,
};
use endspan_server::{Config, Server};
use endspan_store::memory::MemoryStore;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::oneshot;

async fn server() -> (SocketAddr, oneshot::Sender<()>) {
    let listen = "127.0.0.1:0".parse().unwrap();
    let server =
        Server::bind(Config { listen, ..Config::default() }, Arc::new(MemoryStore::new())).await.unwrap();
    let address = server.addr();
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(server.run(async {
        drop(stopped.await);
    }));
    (address, stop)
}

async fn get(address: SocketAddr, path: &str) -> Value {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get(path)
        .header("host", "test")
        .header("x-selected-account-id", "default")
        .body(Empty::<bytes::Bytes>::new())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

/// An agent's turn. The ids are given, so that they are the same each time.
fn run_agent(tracer: &Tracer) {
    let trace = tracer.trace("turn of Zoë").task_id("task-1").group_id("session-1");
    let at = |seconds: i64| {
        endspan::Timestamp::from_unix_nanos(i128::from(1_767_225_600 + seconds) * 1_000_000_000)
    };
    let at = |seconds| at(seconds).unwrap();
    let mut turn = trace.span("turn").id("turn").span_type(SpanType::AgentWorkflow).start_time(at(0)).start();
    turn.set_data(json!({"usage": {"input_tokens": 120, "output_tokens": 30}, "plain": [1, 2.50, null]}));
    let mut call = turn.child("ask").id("018f0000-0000-7000-8000-000000000001");
    call = call.span_type(SpanType::Completion).start_time(at(1));
    let mut call = call.start();
    call.set_input(json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "wie heiß?\n"}]}));
    call.set_output(json!({"role": "assistant", "content": "sehr", "usage": {"prompt_tokens": 120, "completion_tokens": 30}}));
    call.set_expected(json!({"answer": "sehr"}));
    call.set_end_time(at(2));
    call.end();
    let mut tool = turn.child("measure").id("b7ad6b7169203331").start_time(at(2)).start();
    tool.set_data(
        json!({"obs.trace_id": "0af7651916cd43dd8448eb211c80319c", "obs.span_id": "00f067aa0ba902b7"}),
    );
    tool.record_error_as("Timeout", "too slow");
    tool.set_end_time(at(3));
    tool.end();
    let mut plan = trace.span("plan").id("plan").root().start_time(at(3)).start();
    plan.set_status(Status::Canceled);
    plan.set_end_time(at(4));
    plan.end();
    turn.set_end_time(at(5));
    turn.end();
}

async fn sent_by(make: impl FnOnce(String, Environment) -> Tracer) -> (SocketAddr, oneshot::Sender<()>) {
    let (address, stop) = server().await;
    let tracer = make(format!("http://{address}"), Environment::fixed([("ENDSPAN_SPOOL", "0")]));
    run_agent(&tracer);
    let report = tokio::task::spawn_blocking(move || tracer.shutdown()).await.unwrap();
    assert_eq!((report.delivered(), report.dropped()), (4, 0), "{report}");
    (address, stop)
}

const IDS: [&str; 4] = ["turn", "018f0000-0000-7000-8000-000000000001", "b7ad6b7169203331", "plan"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_went_over_otlp_reads_as_what_went_over_the_other_apis() {
    let (otlp, _one) = sent_by(|url, environment| {
        let exporter = OtlpExporter::builder()
            .environment(environment.clone())
            .endpoint(format!("{url}/v1/traces"))
            .header("x-selected-account-id", "default")
            .build();
        Tracer::builder().environment(environment).exporter(exporter).build()
    })
    .await;
    let (sgp, _two) = sent_by(|url, environment| {
        let exporter = SgpExporter::builder().environment(environment.clone()).base_url(url);
        let exporter = exporter.api_key("key").account_id("default").build();
        Tracer::builder().environment(environment).exporter(exporter).build()
    })
    .await;
    let (agentex, _three) = sent_by(|url, environment| {
        let exporter = AgentexExporter::builder().environment(environment.clone()).base_url(url).build();
        Tracer::builder().environment(environment).exporter(exporter).build()
    })
    .await;
    for id in IDS {
        // The SGP exporter adds tags and error fields to its items, says a type for each, and knows no task.
        let read = |mut span: Value| {
            let object = span.as_object_mut().unwrap();
            for key in ["id", "metadata", "type", "status", "input", "output"] {
                object.remove(key);
            }
            object.retain(|_, value| !value.is_null());
            span
        };
        let over_otlp = get(otlp, &format!("/v5/spans/{id}")).await;
        let over_sgp = get(sgp, &format!("/v5/spans/{id}")).await;
        assert_eq!(read(over_otlp.clone()), read(over_sgp.clone()), "{id}");
        for key in ["input", "output"] {
            let payload = |span: &Value| span[key].as_object().cloned().unwrap_or_default();
            assert_eq!(payload(&over_otlp), payload(&over_sgp), "{id} {key}");
        }
        let (ours, theirs) = (&over_otlp["metadata"], over_sgp["metadata"].as_object().unwrap());
        for (key, value) in ours.as_object().into_iter().flatten() {
            assert_eq!(Some(value), theirs.get(key), "{id} {key}");
        }
        assert_eq!(over_otlp["status"], over_sgp["status"], "{id}");

        let over_otlp = get(otlp, &format!("/spans/{id}")).await;
        let over_agentex = get(agentex, &format!("/spans/{id}")).await;
        let without_type = |mut span: Value| {
            // Agentex has the type in the data only.
            if let Some(data) = span["data"].as_object_mut() {
                data.remove("__span_type__");
            }
            span
        };
        assert_eq!(without_type(over_otlp), without_type(over_agentex), "{id}");

        let meaning = |address| async move {
            get(address, &format!("/api/spans/turn%20of%20Zo%C3%AB/{id}/normal")).await["normal"].clone()
        };
        assert_eq!(meaning(otlp).await["usage"], meaning(agentex).await["usage"], "{id}");
    }
    let usage = get(otlp, "/api/traces/turn%20of%20Zo%C3%AB/usage").await;
    assert_eq!(
        (&usage["usage"]["input_tokens"], &usage["rollups"][0]["agrees"]),
        (&json!(120), &json!(true))
    );
}

/// Sends spans faster than they may wait until some are given up, then one more; returns what the tracer and the server
/// say of drops.
async fn give_up_some(make: impl FnOnce(String, Environment) -> Tracer) -> (u64, Value) {
    let (address, _stop) = server().await;
    let tracer = make(
        format!("http://{address}"),
        Environment::fixed([("ENDSPAN_SPOOL", "0"), ("AGENTEX_SPAN_QUEUE_MAX_SIZE", "5")]),
    );
    let report = tokio::task::spawn_blocking(move || {
        let trace = tracer.trace("too-much");
        let minute = std::time::Duration::from_secs(60);
        trace.span("before").start().end();
        tracer.flush(minute);
        let dropped =
            || tracer.stats().destinations.iter().map(|one| one.account.dropped.total()).sum::<u64>() > 0;
        while !dropped() {
            for _ in 0..100 {
                trace.span("work").start().end();
            }
        }
        tracer.flush(minute);
        // Nothing is given up from here on: this request says the last word.
        trace.span("after").start().end();
        tracer.shutdown()
    });
    let report = report.await.unwrap();
    assert!(report.dropped() > 0 && report.delivered() > 0, "{report}");
    let dropped = report.dropped_for(DropReason::QueueFull);
    assert_eq!(dropped, report.dropped(), "{report}");
    (dropped, get(address, "/api/stats").await["clients"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_sdk_gave_up_is_told_to_the_server() {
    let over_otlp = give_up_some(|url, environment| {
        let exporter = OtlpExporter::builder().environment(environment.clone());
        let exporter = exporter.endpoint(format!("{url}/v1/traces")).build();
        Tracer::builder().environment(environment).exporter(exporter).build()
    });
    let over_sgp = give_up_some(|url, environment| {
        let exporter = SgpExporter::builder().environment(environment.clone()).base_url(url);
        let exporter = exporter.api_key("key").account_id("default").build();
        Tracer::builder().environment(environment).exporter(exporter).build()
    });
    let over_agentex = give_up_some(|url, environment| {
        let exporter = AgentexExporter::builder().environment(environment.clone()).base_url(url).build();
        Tracer::builder().environment(environment).exporter(exporter).build()
    });
    for (dropped, clients) in [over_otlp.await, over_sgp.await, over_agentex.await] {
        assert_eq!(clients.as_array().map(Vec::len), Some(1), "{clients}");
        assert_eq!(clients[0]["dropped"], json!({ "queue_full": dropped }));
        assert_eq!(clients[0]["dropped_instances"], 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_sdk_that_gave_up_nothing_says_nothing() {
    let (address, _stop) = sent_by(|url, environment| {
        let exporter = AgentexExporter::builder().environment(environment.clone()).base_url(url).build();
        Tracer::builder().environment(environment).exporter(exporter).build()
    })
    .await;
    let clients = get(address, "/api/stats").await["clients"].clone();
    assert_eq!((&clients[0]["dropped"], &clients[0]["dropped_instances"]), (&json!({}), &json!(0)));
}
