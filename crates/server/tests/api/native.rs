//! The read API: traces, spans, figures, and the live tail.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use endspan_model::DropReason;
use endspan_server::Config;
use endspan_store::memory::MemoryStore;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::harness::Harness;
use crate::on_every_store;

on_every_store!(
    traces_come_newest_first_and_in_pages,
    a_trace_comes_whole_with_or_without_payloads,
    a_trace_comes_by_columns,
    traces_are_found_by_what_they_are,
    a_call_shows_model_tokens_and_cost_everywhere,
    texts_are_found_in_traces_and_within_one,
    accounts_tell_what_they_have,
    a_span_comes_with_everything,
    reads_are_of_all_accounts_or_of_one,
    mistakes_name_their_parameter,
    figures_say_what_is_stored_and_what_came,
    figures_say_what_clients_gave_up,
    the_tail_shows_what_is_stored_from_now_on,
    the_tail_resumes_where_it_was_cut,
    the_tail_filters,
    a_slow_reader_of_the_tail_misses_nothing,
);

async fn store(server: &Harness, account: &str, spans: &[Value]) {
    let headers = [("content-type", "application/json"), ("x-selected-account-id", account)];
    let body = json!({ "items": spans }).to_string();
    let answer = server.send("PUT", "/spans/batch", &headers, body).await.ok();
    assert_eq!(answer["rejected"], 0, "{answer}");
}

fn span(trace: &str, id: &str, start: u64) -> Value {
    json!({"id": id, "trace_id": trace, "name": format!("name of {id}"), "start_time": start, "input": {"of": id}})
}

async fn traces_come_newest_first_and_in_pages(server: Harness) {
    let spans: Vec<_> = (0..7).map(|index| span(&format!("t{index}"), "root", 100 + index)).collect();
    store(&server, "default", &spans).await;
    let mut failed = span("t6", "child", 110);
    failed["parent_id"] = json!("root");
    failed["end_time"] = json!(120);
    failed["data"] = json!({"__error__": {"type": "E", "message": "m"}});
    store(&server, "default", &[failed]).await;
    let first = server.get("/api/traces?limit=3").await.ok();
    assert_eq!(
        first["traces"][0],
        json!({
            "account": "default", "trace_id": "t6", "name": "name of root", "start_time": "1970-01-01T00:01:46Z",
            "end_time": "1970-01-01T00:02:00Z", "span_count": 2, "open_count": 1, "error_count": 1, "status": null,
            "agent": null, "input_tokens": null, "output_tokens": null, "cost_picodollars": null,
        })
    );
    let mut seen = Vec::new();
    let mut page = first;
    loop {
        seen.extend(page["traces"].as_array().unwrap().iter().map(|trace| trace["trace_id"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        page = server.get(&format!("/api/traces?limit=3&after={next}")).await.ok();
    }
    assert_eq!(seen, ["t6", "t5", "t4", "t3", "t2", "t1", "t0"]);
}

async fn a_trace_comes_whole_with_or_without_payloads(server: Harness) {
    store(&server, "default", &[span("t/1", "b", 2), span("t/1", "a", 1), span("other", "c", 0)]).await;
    let light = server.get("/api/traces/t%2F1").await.ok();
    assert_eq!(light["trace_id"], "t/1");
    let ids: Vec<_> = light["spans"].as_array().unwrap().iter().map(|span| span["id"].clone()).collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(light["spans"][0].get("input"), None);
    let full = server.get("/api/traces/t%2F1?payloads=true").await.ok();
    assert_eq!(full["spans"][0]["input"], json!({"of": "a"}));
    assert_eq!(full["spans"][0]["otel"], json!(null));
    server.get("/api/traces/nope").await.refused(404);
}

async fn a_trace_comes_by_columns(server: Harness) {
    let mut root = span("t/1", "root", 100);
    root["end_time"] = json!(103);
    let mut child = span("t/1", "child", 101);
    child["parent_id"] = json!("root");
    child["name"] = json!("name of root");
    let mut orphan = span("t/1", "orphan", 102);
    orphan["parent_id"] = json!("lost");
    orphan["end_time"] = json!(101);
    orphan["data"] = json!({"__error__": {"type": "E", "message": "m"}});
    store(&server, "default", &[orphan, child, root]).await;
    store(&server, "other", &[span("t/1", "root", 200)]).await;
    let answer = server.get("/api/traces/t%2F1/structure").await.ok();
    assert_eq!(
        answer,
        json!({
            "account": "default", "other_accounts": ["other"], "trace_id": "t/1", "position": answer["position"],
            "base_unix_micros": 100_000_000,
            "names": ["name of root", "name of orphan"], "types": [], "missing_parents": ["lost"],
            "columns": {
                "id": ["root", "child", "orphan"], "parent": [-1, 0, -2], "name": [0, 0, 1], "type": [-1, -1, -1],
                "status": [1, 0, 2], "start": [0, 1_000_000, 2_000_000], "duration": [3_000_000, null, -1_000_000],
                "error": [-1, -1, 0],
            },
            "errors": ["E: m"],
        })
    );
    let other = [("x-selected-account-id", "other")];
    let answer = server.send("GET", "/api/traces/t%2F1/structure", &other, "").await.ok();
    assert_eq!((&answer["account"], &answer["columns"]["id"]), (&json!("other"), &json!(["root"])));
    server.get("/api/traces/nope/structure").await.refused(404);
}

async fn a_call_shows_model_tokens_and_cost_everywhere(server: Harness) {
    let mut call = span("t", "call", 100);
    call["end_time"] = json!(101);
    call["data"] = json!({
        "model": "gpt-4o", "cost_usd": 0.0125,
        "usage": {"prompt_tokens": 40, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 30}},
    });
    store(&server, "default", &[call, span("t", "plain", 102)]).await;
    let structure = server.get("/api/traces/t/structure").await.ok();
    assert_eq!(structure["models"], json!(["gpt-4o"]));
    for (column, expected) in [
        ("model", json!([0, -1])),
        ("input_tokens", json!([40, null])),
        ("output_tokens", json!([2, null])),
        ("cached_tokens", json!([30, null])),
        ("cost_picodollars", json!([12_500_000_000_u64, null])),
    ] {
        assert_eq!(structure["columns"][column], expected, "{column}");
    }
    assert_eq!(structure["columns"].get("error"), None);
    let list = server.get("/api/traces").await.ok();
    assert_eq!(list["traces"][0]["cost_picodollars"], 12_500_000_000_u64);
    let read = server.get("/api/spans/t/call").await.ok();
    let mut tail = Tail::open(&server, "?after=0&trace_id=t", &[]).await;
    let followed = tail.next().await.unwrap().data;
    for one in [&read, &followed] {
        assert_eq!(one["model"], "gpt-4o");
        assert_eq!(one["cached_tokens"], 30);
        assert_eq!(one["cost_picodollars"], 12_500_000_000_u64);
        assert_eq!(one["error"], json!(null));
    }
    assert_eq!(followed.get("input"), None);
}

async fn texts_are_found_in_traces_and_within_one(server: Harness) {
    let mut said = span("t1", "said", 100);
    said["output"] = json!({"text": "The tent pole arrived broken."});
    let mut other = span("t1", "other", 101);
    other["output"] = json!({"text": "another tent"});
    let mut later = span("t2", "later", 200);
    later["input"] = json!({"text": "tent"});
    store(&server, "default", &[said, other, later]).await;
    for (query, expected) in [
        ("text=tent", vec!["t2", "t1"]),
        ("text=tent+pole", vec!["t1"]),
        ("text=tent&text=broken", vec!["t1"]),
        ("text=", vec!["t2", "t1"]),
        ("text=nothing", vec![]),
    ] {
        let page = server.get(&format!("/api/traces?{query}")).await.ok();
        let ids: Vec<_> = page["traces"].as_array().unwrap().iter().map(|trace| &trace["trace_id"]).collect();
        assert_eq!(ids, expected, "{query}");
        assert_eq!(page["partial"], false);
    }
    for (query, expected) in [
        ("text=tent", json!(["said", "other"])),
        ("text=tent&text=broken", json!(["said"])),
        ("text=%22pole+arrived%22", json!(["said"])),
        ("text=nothing", json!([])),
    ] {
        let found = server.get(&format!("/api/traces/t1/search?{query}")).await.ok();
        assert_eq!(found, json!({"ids": expected, "partial": false}), "{query}");
    }
    for path in ["/api/traces?text=x", "/api/traces/t1/search?text=x", "/api/traces/t1/search"] {
        assert_eq!(server.get(path).await.refused(422)["field"], "text", "{path}");
    }
    let elsewhere = [("x-selected-account-id", "other")];
    let found = server.send("GET", "/api/traces/t1/search?text=tent", &elsewhere, "").await.ok();
    assert_eq!(found["ids"], json!([]));
}

async fn accounts_tell_what_they_have(server: Harness) {
    assert_eq!(server.get("/api/accounts").await.ok(), json!({"accounts": []}));
    store(&server, "default", &[span("t1", "a", 100), span("t2", "b", 200)]).await;
    store(&server, "team", &[span("t1", "a", 300)]).await;
    let answer = server.get("/api/accounts").await.ok();
    let figures = |index: usize, name: &str| answer["accounts"][index][name].clone();
    assert_eq!(
        (figures(0, "account"), figures(0, "spans"), figures(0, "traces")),
        (json!("default"), json!(2), json!(2))
    );
    assert_eq!(figures(0, "oldest_start"), "1970-01-01T00:01:40Z");
    assert_eq!(figures(0, "newest_start"), "1970-01-01T00:03:20Z");
    assert_eq!((figures(1, "account"), figures(1, "spans")), (json!("team"), json!(1)));
    assert!(figures(1, "stored_bytes").is_u64());
}

async fn traces_are_found_by_what_they_are(server: Harness) {
    let mut quick = span("quick", "root", 100);
    quick["end_time"] = json!(100.5);
    quick["data"] = json!({"__agent_name__": "Agent Smith"});
    let mut call = span("quick", "call", 100);
    call["parent_id"] = json!("root");
    call["output"] = json!({"usage": {"prompt_tokens": 40, "completion_tokens": 2}});
    call["end_time"] = json!(100.25);
    let mut failed = span("failed", "root", 200);
    failed["name"] = json!("Größe ermitteln");
    failed["end_time"] = json!(202);
    failed["data"] = json!({"__error__": {"type": "E", "message": "m"}});
    store(&server, "default", &[quick, call, failed, span("running", "root", 300)]).await;
    for (query, expected) in [
        ("start_after=1970-01-01T00:03:20Z", vec!["running", "failed"]),
        ("start_after=200&start_before=300", vec!["failed"]),
        ("name=GR%C3%96SSE", vec![]),
        ("name=gr%C3%B6%C3%9Fe", vec!["failed"]),
        ("status=error", vec!["failed"]),
        ("status=ok,running", vec!["running", "quick"]),
        ("agent=Agent+Smith", vec!["quick"]),
        ("has_error=true", vec!["failed"]),
        ("has_error=false", vec!["running", "quick"]),
        ("min_duration_ms=500&max_duration_ms=2000", vec!["failed", "quick"]),
        ("max_duration_ms=499", vec![]),
        ("min_tokens=42", vec!["quick"]),
        ("max_tokens=41&status=", vec!["running", "failed"]),
    ] {
        let page = server.get(&format!("/api/traces?{query}")).await.ok();
        let ids: Vec<_> =
            page["traces"].as_array().unwrap().iter().map(|trace| trace["trace_id"].clone()).collect();
        assert_eq!(ids, expected, "{query}");
    }
    let quick = server.get("/api/traces?agent=Agent+Smith").await.ok()["traces"][0].clone();
    assert_eq!((&quick["agent"], &quick["input_tokens"]), (&json!("Agent Smith"), &json!(40)));
    let columns = server.get("/api/traces/quick/structure").await.ok()["columns"].clone();
    assert_eq!(
        (&columns["input_tokens"], &columns["output_tokens"]),
        (&json!([40, null]), &json!([2, null]))
    );
    for (query, field) in [
        ("status=finished", "status"),
        ("start_after=yesterday", "start_after"),
        ("min_tokens=-1", "min_tokens"),
        ("has_error=perhaps", "has_error"),
        ("max_duration_ms=1.5", "max_duration_ms"),
    ] {
        assert_eq!(server.get(&format!("/api/traces?{query}")).await.refused(422)["field"], field);
    }
}

async fn a_span_comes_with_everything(server: Harness) {
    let body = json!({
        "id": "a", "trace_id": "t", "name": "n", "start_timestamp": "2024-01-01T10:00:00.25Z",
        "end_timestamp": "2024-01-01T10:00:01Z", "parent_id": "p", "group_id": "g", "input": {"i": 1},
        "output": {"o": 1}, "metadata": {"m": 1}, "expected": {"e": 1}, "status": "ERROR", "type": "COMPLETION",
        "application_variant_id": "v", "application_interaction_id": "x",
        "obs_trace_id": "0123456789abcdef0123456789abcdef", "obs_span_id": "0123456789abcdef",
    });
    server.post("/v5/spans", body.to_string()).await.ok();
    let mut found = server.get("/api/spans/t/a").await.ok();
    assert!(found["position"].take().as_u64().is_some());
    assert_eq!(
        found,
        json!({
            "account": "default", "trace_id": "t", "id": "a", "parent_id": "p", "name": "n",
            "start_time": "2024-01-01T10:00:00.250000Z", "end_time": "2024-01-01T10:00:01Z", "status": "ERROR",
            "type": "COMPLETION", "task_id": null, "group_id": "g", "application_variant_id": "v",
            "application_interaction_id": "x", "obs_trace_id": "0123456789abcdef0123456789abcdef",
            "obs_span_id": "0123456789abcdef", "position": null, "model": null, "error": null,
            "input_tokens": null, "output_tokens": null, "cached_tokens": null, "cost_picodollars": null, "input": {"i": 1}, "output": {"o": 1},
            "metadata": {"m": 1}, "expected": {"e": 1}, "otel": null, "assessments": [],
        })
    );
    server.get("/api/spans/other/a").await.refused(404);
}

async fn reads_are_of_all_accounts_or_of_one(server: Harness) {
    store(&server, "one", &[span("t", "a", 1)]).await;
    store(&server, "two", &[span("t", "b", 2)]).await;
    let all = server.get("/api/traces").await.ok();
    assert_eq!(all["traces"].as_array().unwrap().len(), 2);
    assert_eq!(server.get("/api/traces/t").await.ok()["spans"].as_array().unwrap().len(), 2);
    let one = [("x-selected-account-id", "one")];
    let traces = server.send("GET", "/api/traces", &one, "").await.ok();
    assert_eq!(traces["traces"].as_array().unwrap().len(), 1);
    let spans = server.send("GET", "/api/traces/t", &one, "").await.ok();
    assert_eq!(spans["spans"].as_array().unwrap().len(), 1);
    server.send("GET", "/api/spans/t/b", &one, "").await.refused(404);
    server.get("/api/spans/t/b").await.ok();
}

async fn mistakes_name_their_parameter(server: Harness) {
    for (path, field) in [
        ("/api/traces?limit=0", "limit"),
        ("/api/traces?limit=1001", "limit"),
        ("/api/traces?after=nonsense", "after"),
        ("/api/traces?after=%ff", "after"),
        ("/api/traces/t?payloads=maybe", "payloads"),
        ("/api/traces/%00", "trace_id"),
        ("/api/spans/%zz/a", "trace_id"),
        ("/api/spans/t/%00", "span_id"),
        ("/api/tail?after=x", "after"),
        ("/api/tail?trace_id=%00", "trace_id"),
    ] {
        let refused = server.get(path).await.refused(422);
        assert_eq!(refused["field"], field, "{path}");
        assert!(!refused["detail"].as_str().unwrap().is_empty());
    }
    let refused = server.send("GET", "/api/tail", &[("last-event-id", "x")], "").await.refused(422);
    assert_eq!(refused["field"], "last-event-id");
}

async fn figures_say_what_is_stored_and_what_came(server: Harness) {
    store(&server, "default", &[span("t", "a", 1), span("t", "b", 1), span("u", "c", 1)]).await;
    server.post("/spans", "{}").await.refused(422);
    let stats = server.get("/api/stats").await.ok();
    assert_eq!((&stats["spans"], &stats["traces"]), (&json!(3), &json!(2)));
    assert_eq!(
        stats["ingest"][0],
        json!({
            "protocol": "agentex", "received": 4, "stored": 3, "superseded": 0, "unacknowledged": 0,
            "rejected": {"malformed": 1},
        })
    );
    let named = [("user-agent", "agent/1.2"), ("content-type", "application/json")];
    server.send("POST", "/spans", &named, span("v", "d", 1).to_string()).await.ok();
    let clients = server.get("/api/stats").await.ok()["clients"].clone();
    assert_eq!(clients.as_array().unwrap().len(), 2);
    let figures = |name: &str| {
        let mut client =
            clients.as_array().unwrap().iter().find(|client| client["user_agent"] == name).unwrap().clone();
        assert!(client["last_seen"].take().as_str().unwrap().ends_with('Z'));
        client
    };
    assert_eq!(
        figures("agent/1.2"),
        json!({
            "user_agent": "agent/1.2", "requests": 1, "spans": 1, "rejected": 0, "dropped": {},
            "dropped_instances": 0, "last_seen": null,
        })
    );
    assert_eq!(figures("")["rejected"], 1);
    let history = server.get("/api/stats").await.ok()["history"].clone();
    let sum = |name: &str| history[name].as_array().unwrap().iter().filter_map(Value::as_u64).sum::<u64>();
    assert_eq!((sum("received"), sum("rejected"), &history["step_seconds"]), (5, 1, &json!(5)));
    let info = server.get("/api/info").await.ok();
    assert_eq!(info["drop_reasons"].as_object().map(|reasons| reasons.len()), Some(DropReason::ALL.len()));
    assert_eq!(info["drop_reasons"]["expired"], DropReason::Expired.meaning());
    assert_eq!(info["name"], "endspan");
    assert_eq!((&info["asks_for_keys"], &info["key"]), (&json!(false), &json!(null)));
    assert_eq!(info["engine"], stats["engine"]);
    assert_eq!(info["limits"]["max_batch_spans"], 1000);
}

async fn figures_say_what_clients_gave_up(server: Harness) {
    let one = "id=\"00000000000000a1\", queue_full=7, expired=1";
    let later = "id=\"00000000000000a1\", queue_full=9, expired=1";
    let other = "id=\"00000000000000b2\", too_large=2, of_a_later_version=4";
    let nonsense = ["", "queue_full=1", "id=\"00000000000000c3\"", "id=\"x\", queue_full=1", "\u{fc}"];
    // Twice and out of order, as requests come that are sent again; and what is no report.
    for (index, header) in [one, later, one, other, later].iter().chain(&nonsense).enumerate() {
        let headers = [
            ("user-agent", "agent/1.2"),
            ("content-type", "application/json"),
            ("x-endspan-dropped", *header),
        ];
        let body = span("t", &format!("s{index}"), 1).to_string();
        server.send("POST", "/spans", &headers, body).await.ok();
    }
    let stats = server.get("/api/stats").await.ok();
    let client = &stats["clients"][0];
    assert_eq!(client["dropped"], json!({"queue_full": 9, "expired": 1, "too_large": 2, "other": 4}));
    assert_eq!((&client["dropped_instances"], &client["spans"]), (&json!(2), &json!(10)));
    for (reason, count) in [("queue_full", 9), ("too_large", 2), ("other", 4), ("rejected", 0)] {
        let name = format!("endspan_client_dropped_spans_total{{reason=\"{reason}\"}}");
        assert_eq!(server.metric(&name).await, count, "{reason}");
    }
    // What never came is none of what came.
    assert_eq!(stats["ingest"][0]["rejected"], json!({}));
}

/// An open tail, read event by event.
struct Tail {
    body: Incoming,
    text: String,
    // Keeps the connection open.
    _sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
}

#[derive(Debug)]
struct Event {
    kind: String,
    id: u64,
    data: Value,
}

impl Tail {
    async fn open(server: &Harness, query: &str, headers: &[(&str, &str)]) -> Self {
        let mut sender = server.connect().await;
        let mut request = http::Request::get(format!("/api/tail{query}")).header("host", "test");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = sender.send_request(request.body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut tail = Self { body: response.into_body(), text: String::new(), _sender: sender };
        let ready = tail.next().await.unwrap();
        assert_eq!((ready.kind.as_str(), &ready.data["position"]), ("ready", &json!(ready.id)));
        tail
    }

    /// The next block of lines; `None` at the end of the stream.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                self.text = rest.to_owned();
                return Some(block);
            }
            let frame = tokio::time::timeout(Duration::from_secs(120), self.body.frame());
            let frame = frame.await.expect("the tail says something")?.unwrap();
            self.text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            let field =
                |name: &str| block.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
            if let Some(data) = field("data: ") {
                return Some(Event {
                    kind: field("event: ").unwrap(),
                    id: field("id: ").unwrap().parse().unwrap(),
                    data: serde_json::from_str(&data).unwrap(),
                });
            }
        }
    }

    async fn ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        while ids.len() < count {
            let event = self.next().await.unwrap();
            assert_eq!((event.kind.as_str(), &event.data["position"]), ("span", &json!(event.id)));
            ids.push(event.data["id"].as_str().unwrap().to_owned());
        }
        ids
    }
}

async fn the_tail_shows_what_is_stored_from_now_on(server: Harness) {
    store(&server, "default", &[span("t", "before", 1)]).await;
    let mut tail = Tail::open(&server, "", &[]).await;
    let mut with_payloads = Tail::open(&server, "?payloads=true", &[]).await;
    assert_eq!(server.metric("endspan_live_subscribers").await, 2);
    store(&server, "default", &[span("t", "a", 1)]).await;
    store(&server, "other", &[span("u", "b", 2)]).await;
    assert_eq!(tail.ids(2).await, ["a", "b"]);
    assert_eq!(with_payloads.next().await.unwrap().data["input"], json!({"of": "a"}));
    let mut ended = span("t", "a", 1);
    ended["end_time"] = json!(5);
    store(&server, "default", &[ended]).await;
    let event = tail.next().await.unwrap();
    assert_eq!((&event.data["id"], event.data.get("input")), (&json!("a"), None));
    assert_eq!(event.data["end_time"], "1970-01-01T00:00:05Z");
}

async fn the_tail_resumes_where_it_was_cut(server: Harness) {
    let mut tail = Tail::open(&server, "", &[]).await;
    store(&server, "default", &[span("t", "a", 1), span("t", "b", 2)]).await;
    let first = tail.next().await.unwrap();
    assert_eq!(first.data["id"], "a");
    drop(tail);
    store(&server, "default", &[span("t", "c", 3)]).await;
    let id = first.id.to_string();
    let mut resumed = Tail::open(&server, "?after=0", &[("last-event-id", &id)]).await;
    store(&server, "default", &[span("t", "d", 4)]).await;
    assert_eq!(resumed.ids(3).await, ["b", "c", "d"]);
    assert_eq!(Tail::open(&server, "?after=0", &[]).await.ids(4).await, ["a", "b", "c", "d"]);
}

async fn the_tail_filters(server: Harness) {
    let mut trace = Tail::open(&server, "?trace_id=t", &[]).await;
    let mut account = Tail::open(&server, "", &[("x-selected-account-id", "one")]).await;
    let mut resumed = Tail::open(&server, "?trace_id=t&after=0", &[("x-selected-account-id", "one")]).await;
    store(&server, "one", &[span("t", "a", 1), span("u", "b", 1)]).await;
    store(&server, "two", &[span("t", "c", 1), span("u", "d", 1)]).await;
    store(&server, "one", &[span("t", "e", 1), span("u", "f", 1)]).await;
    assert_eq!(trace.ids(3).await, ["a", "c", "e"]);
    assert_eq!(account.ids(4).await, ["a", "b", "e", "f"]);
    assert_eq!(resumed.ids(2).await, ["a", "e"]);
}

async fn a_slow_reader_of_the_tail_misses_nothing(server: Harness) {
    let mut tail = Tail::open(&server, "?payloads=true", &[]).await;
    let mut sent = Vec::new();
    for round in 0..30 {
        let spans: Vec<_> = (0..100)
            .map(|index| {
                let id = format!("{round:02}-{index:02}");
                let mut span = span("t", &id, 1);
                span["input"] = json!({"text": "x".repeat(2000)});
                sent.push(id);
                span
            })
            .collect();
        store(&server, "default", &spans).await;
    }
    assert_eq!(tail.ids(sent.len()).await, sent);
}

#[tokio::test]
async fn a_quiet_tail_shows_that_it_is_alive_and_ends_at_shutdown() {
    let config = Config { heartbeat: Duration::from_millis(20), ..Config::default() };
    let mut server = Harness::with(config, Arc::new(MemoryStore::new())).await;
    let mut tail = Tail::open(&server, "", &[]).await;
    assert_eq!(tail.block().await.unwrap(), ": alive\nid: 0");
    server.begin_stop();
    while tail.block().await.is_some() {}
    server.stop().await.unwrap();
}

#[tokio::test]
async fn tails_over_the_limit_are_503() {
    let config = Config { max_live_subscribers: 1, ..Config::default() };
    let server = Harness::with(config, Arc::new(MemoryStore::new())).await;
    let tail = Tail::open(&server, "", &[]).await;
    assert_eq!(server.get("/api/tail").await.header("retry-after"), Some("1"));
    drop(tail);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while server.metric("endspan_live_subscribers").await > 0 {
        assert!(tokio::time::Instant::now() < deadline, "the place is not given back");
        tokio::task::yield_now().await;
    }
    Tail::open(&server, "", &[]).await;
}
