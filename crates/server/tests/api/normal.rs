//! What spans mean and what traces cost, over HTTP.

use std::path::Path;
use std::sync::Arc;

use endspan_otlp::cost::PriceTable;
use endspan_server::Config;
use endspan_store::memory::MemoryStore;
use serde_json::{Value, json};

use crate::harness::Harness;
use crate::on_every_store;

on_every_store!(
    an_instrumented_call_reads_as_what_it_is,
    an_agentex_call_reads_as_what_it_is,
    a_trace_is_added_up_once,
    a_trace_of_several_pieces_is_added_up_whole,
    meanings_belong_to_accounts,
    what_is_not_there_is_not_found,
);

async fn store(server: &Harness, account: &str, spans: &[Value]) {
    let headers = [("content-type", "application/json"), ("x-selected-account-id", account)];
    let body = json!({ "items": spans }).to_string();
    let answer = server.send("PUT", "/spans/batch", &headers, body).await.ok();
    assert_eq!(answer["rejected"], 0, "{answer}");
}

fn call(trace: &str, id: &str, parent: Option<&str>, usage: Value) -> Value {
    json!({
        "id": id, "trace_id": trace, "parent_id": parent, "name": "call", "start_time": 1_767_225_600, "end_time": 1_767_225_601,
        "data": {"__span_type__": "COMPLETION"},
        "input": {
            "model": "gpt-4o", "temperature": 0.5,
            "messages": [{"role": "user", "content": "how warm?"}],
            "tools": [{"type": "function", "function": {"name": "weather"}}],
        },
        "output": {"role": "assistant", "content": "", "usage": usage, "finish_reason": "tool_calls",
            "tool_calls": [{"id": "c1", "function": {"name": "weather", "arguments": "{\"city\":\"Bonn\"}"}}]},
    })
}

fn usage() -> Value {
    json!({"prompt_tokens": 120, "completion_tokens": 30, "prompt_tokens_details": {"cached_tokens": 64}})
}

async fn an_instrumented_call_reads_as_what_it_is(server: Harness) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/otlp/openinference-openai.pb");
    let body = std::fs::read(path).unwrap();
    let spans = endspan_otlp::decode::decode_protobuf(&body).unwrap().spans;
    let answer = server.send("POST", "/v1/traces", &[("content-type", "application/x-protobuf")], body).await;
    assert_eq!(answer.status, 200);
    for span in spans {
        let read = server.get(&format!("/api/spans/{}/{}/normal", span.trace_id, span.id)).await.ok();
        assert_eq!((&read["account"], &read["id"]), (&json!("default"), &json!(span.id.as_str())));
        assert_eq!(read["normal"], json!(endspan_otlp::normal::normalize(&span)));
        assert_eq!(read["prices"]["date"], PriceTable::built_in().date());
    }
}

async fn an_agentex_call_reads_as_what_it_is(server: Harness) {
    store(&server, "default", &[call("t/1", "a", None, usage())]).await;
    let read = server.get("/api/spans/t%2F1/a/normal").await.ok();
    let normal = &read["normal"];
    assert_eq!(
        (&normal["operation"], &normal["request_model"], &normal["finish_reasons"]),
        (&json!("chat"), &json!("gpt-4o"), &json!(["tool_call"]))
    );
    assert_eq!(
        normal["input_messages"],
        json!([{"role": "user", "parts": [{"type": "text", "content": "how warm?"}]}])
    );
    assert_eq!(
        normal["output_messages"][0]["parts"],
        json!([{"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Bonn"}}])
    );
    assert_eq!(normal["parameters"], json!({"temperature": 0.5}));
    assert_eq!(normal["tool_definitions"][0]["function"]["name"], "weather");
    assert_eq!(normal["usage"]["input_tokens"], 120);
    // 56 x 2.50 + 64 x 1.25 + 30 x 10, for a million each.
    assert_eq!(read["cost"]["total"], "0.00052");
    assert_eq!(
        read["cost"]["lines"][1],
        json!({"kind": "cache_read", "tokens": 64, "dollars_per_million": "1.25", "amount": "0.00008"})
    );
}

async fn a_trace_is_added_up_once(server: Harness) {
    let turn = json!({
        "id": "turn", "trace_id": "t", "name": "turn", "start_time": 1_767_225_600,
        "data": {"__span_type__": "AGENT_WORKFLOW", "usage": {"input_tokens": 240, "output_tokens": 60}},
    });
    let mut unknown = call("t", "c", Some("turn"), json!({"prompt_tokens": 1, "completion_tokens": 0}));
    unknown["input"]["model"] = json!("nobody-knows");
    let calls = [call("t", "a", Some("turn"), usage()), call("t", "b", Some("turn"), usage())];
    store(&server, "default", &[&[turn][..], &calls, &[unknown]].concat()).await;
    let ledger = server.get("/api/traces/t/usage").await.ok();
    assert_eq!(
        (&ledger["usage"]["input_tokens"], &ledger["usage"]["output_tokens"]),
        (&json!(241), &json!(60))
    );
    assert_eq!((&ledger["cost"], &ledger["unpriced"]), (&json!("0.00104"), &json!(1)));
    assert_eq!(
        ledger["models"],
        json!([
            {"model": "gpt-4o", "calls": 2, "cost": "0.00104",
             "usage": {"input_tokens": 240, "output_tokens": 60, "cache_read_tokens": 128}},
            {"model": "nobody-knows", "calls": 1, "cost": "0", "unpriced": 1,
             "usage": {"input_tokens": 1, "output_tokens": 0}},
        ])
    );
    assert_eq!(ledger["counted"].as_array().unwrap().len(), 3);
    assert_eq!(
        (&ledger["rollups"][0]["span_id"], &ledger["rollups"][0]["agrees"]),
        (&json!("turn"), &json!(false))
    );
    let shown = server.get("/api/traces/t/usage?arithmetic=true").await.ok();
    assert_eq!(
        shown["models"][0]["lines"],
        json!([
            {"kind": "input", "tokens": 112, "dollars_per_million": "2.5", "amount": "0.00028"},
            {"kind": "cache_read", "tokens": 128, "dollars_per_million": "1.25", "amount": "0.00016"},
            {"kind": "output", "tokens": 60, "dollars_per_million": "10", "amount": "0.0006"},
        ])
    );
    assert_eq!(shown["counted"][0]["cost"]["lines"].as_array().unwrap().len(), 3);
}

async fn a_trace_of_several_pieces_is_added_up_whole(server: Harness) {
    let spans: Vec<Value> = (0..700).map(|index| call("t", &format!("s{index}"), None, usage())).collect();
    store(&server, "default", &spans).await;
    let ledger = server.get("/api/traces/t/usage").await.ok();
    assert_eq!(ledger["counted"].as_array().unwrap().len(), 700);
    assert_eq!(ledger["usage"]["input_tokens"], 84_000);
}

async fn meanings_belong_to_accounts(server: Harness) {
    let mut theirs = call("t", "a", None, json!({"prompt_tokens": 1}));
    theirs["start_time"] = json!(1_767_225_700);
    store(&server, "theirs", &[theirs]).await;
    store(&server, "ours", &[call("t", "a", None, usage())]).await;
    for (account, tokens) in [("theirs", 1), ("ours", 120)] {
        let headers = [("x-selected-account-id", account)];
        let read = server.send("GET", "/api/spans/t/a/normal", &headers, "").await.ok();
        assert_eq!(
            (&read["account"], &read["normal"]["usage"]["input_tokens"]),
            (&json!(account), &json!(tokens))
        );
        let ledger = server.send("GET", "/api/traces/t/usage", &headers, "").await.ok();
        assert_eq!(
            (&ledger["usage"]["input_tokens"], &ledger["other_accounts"]),
            (&json!(tokens), &json!([]))
        );
    }
    let ledger = server.get("/api/traces/t/usage").await.ok();
    assert_eq!((&ledger["account"], &ledger["other_accounts"]), (&json!("ours"), &json!(["theirs"])));
    assert_eq!(ledger["usage"]["input_tokens"], 120);
    let headers = [("x-selected-account-id", "nobody")];
    assert_eq!(server.send("GET", "/api/spans/t/a/normal", &headers, "").await.status, 404);
    assert_eq!(server.send("GET", "/api/traces/t/usage", &headers, "").await.status, 404);
}

async fn what_is_not_there_is_not_found(server: Harness) {
    assert_eq!(server.get("/api/spans/t/a/normal").await.status, 404);
    assert_eq!(server.get("/api/traces/t/usage").await.status, 404);
    let answer = server.get("/api/traces/t/usage?arithmetic=maybe").await;
    assert_eq!((answer.status, &answer.json()["field"]), (422, &json!("arithmetic")));
}

#[tokio::test]
async fn prices_can_be_replaced() {
    let table = "date = \"2026-01-01\"\n[[model]]\nnames = [\"gpt-4o\"]\nprices = [{ input = \"1\", output = \"1\" }]";
    let prices = Arc::new(PriceTable::parse(table).unwrap());
    let server = Harness::with(Config { prices, ..Config::default() }, Arc::new(MemoryStore::new())).await;
    store(&server, "default", &[call("t", "a", None, usage())]).await;
    let ledger = server.get("/api/traces/t/usage").await.ok();
    assert_eq!((&ledger["cost"], &ledger["prices"]["date"]), (&json!("0.00015"), &json!("2026-01-01")));
}
