//! `sgp-api` section 10, rows 1 to 33, 68 and 69.

use serde_json::{Value, json};

use crate::harness::Harness;
use crate::on_every_store;

on_every_store!(
    sgp_row_01_a_minimal_span_gets_an_id_and_the_account,
    sgp_row_02_an_id_of_257_characters_is_422,
    sgp_row_03_an_id_of_too_many_bytes_is_400,
    sgp_row_04_an_end_before_the_start_is_422,
    sgp_row_05_payloads_are_objects,
    sgp_row_06_unknown_statuses_and_types_are_422,
    sgp_rows_07_and_08_observability_ids,
    sgp_row_09_a_parent_in_another_trace_is_409,
    sgp_row_10_a_nul_in_text_becomes_a_replacement_character,
    sgp_row_11_a_nul_in_an_id_is_400,
    sgp_rows_12_and_13_credentials_are_redacted,
    sgp_rows_14_and_15_a_batch_takes_up_to_a_thousand,
    sgp_row_16_one_reversed_span_fails_the_batch,
    sgp_row_17_a_cycle_fails_the_batch,
    sgp_row_18_an_item_without_an_id_gets_one,
    sgp_rows_19_and_20_repeated_items_merge,
    sgp_row_21_one_id_may_be_in_two_traces,
    sgp_rows_22_and_23_completed_beats_unfinished,
    sgp_row_24_the_same_batch_again_changes_nothing,
    sgp_row_25_another_start_day_is_the_same_span,
    sgp_row_26_post_batch_upserts,
    sgp_row_27_the_batch_answer_is_a_list,
    sgp_rows_28_and_29_ids_in_paths,
    sgp_rows_30_to_32_patch,
    sgp_row_68_keys_and_accounts_are_optional,
    sgp_row_69_the_answer_has_every_documented_key,
    sgp_public_prefix_serves_the_same_api,
    sgp_prefer_minimal_leaves_items_out,
    sgp_mistakes_are_located,
);

const KEY: [(&str, &str); 3] =
    [("content-type", "application/json"), ("x-api-key", "k"), ("x-selected-account-id", "acct")];

async fn send(server: &Harness, method: &str, path: &str, body: impl ToString) -> crate::harness::Answer {
    server.send(method, path, &KEY, body.to_string()).await
}

async fn post(server: &Harness, body: Value) -> crate::harness::Answer {
    send(server, "POST", "/v5/spans", body).await
}

async fn put(server: &Harness, items: Value) -> crate::harness::Answer {
    send(server, "PUT", "/v5/spans/batch", json!({ "items": items })).await
}

async fn get(server: &Harness, id: &str) -> Value {
    send(server, "GET", &format!("/v5/spans/{id}"), "").await.ok()
}

async fn count(server: &Harness) -> usize {
    send(server, "GET", "/spans?limit=1000", "").await.ok().as_array().unwrap().len()
}

fn span(fields: Value) -> Value {
    let mut span = json!({"name": "n", "start_timestamp": "2024-01-01T10:00:00+00:00", "trace_id": "t"});
    span.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    span
}

async fn sgp_row_01_a_minimal_span_gets_an_id_and_the_account(server: Harness) {
    let stored = post(&server, span(json!({}))).await.ok();
    assert_eq!(stored["id"].as_str().unwrap().len(), 36);
    assert_eq!((&stored["account_id"], &stored["object"]), (&json!("acct"), &json!("span")));
    assert_eq!(stored["start_timestamp"], "2024-01-01T10:00:00Z");
    assert_eq!(get(&server, stored["id"].as_str().unwrap()).await, stored);
    assert_eq!(server.conservation("sgp").await, [("stored".to_owned(), 1)]);
}

async fn sgp_row_02_an_id_of_257_characters_is_422(server: Harness) {
    for field in ["id", "group_id"] {
        let refused = post(&server, span(json!({field: "x".repeat(257)}))).await.refused(422);
        assert_eq!(refused["detail"][0]["loc"], json!(["body", field]));
        post(&server, span(json!({field: "x".repeat(256)}))).await.ok();
    }
}

async fn sgp_row_03_an_id_of_too_many_bytes_is_400(server: Harness) {
    let refused = post(&server, span(json!({"id": "é".repeat(200)}))).await.refused(400);
    assert_eq!(refused["detail"][0]["loc"], json!(["body", "id"]));
}

async fn sgp_row_04_an_end_before_the_start_is_422(server: Harness) {
    let body = span(json!({"id": "a", "end_timestamp": "2024-01-01T09:59:59.999999+00:00"}));
    let refused = post(&server, body).await.refused(422);
    assert_eq!(refused["detail"][0]["loc"], json!(["body", "end_timestamp"]));
    assert_eq!(refused["detail"][0]["type"], "end_before_start");
    assert_eq!(count(&server).await, 0);
}

async fn sgp_row_05_payloads_are_objects(server: Harness) {
    for field in ["input", "output", "metadata", "expected"] {
        for value in [json!([{"a": 1}]), json!("text"), json!(5)] {
            let refused = post(&server, span(json!({field: value}))).await.refused(422);
            assert_eq!(refused["detail"][0]["loc"], json!(["body", field]));
        }
    }
}

async fn sgp_row_06_unknown_statuses_and_types_are_422(server: Harness) {
    post(&server, span(json!({"status": "BAD"}))).await.refused(422);
    post(&server, span(json!({"type": "LLM"}))).await.refused(422);
    let stored = post(&server, span(json!({"status": "CANCELED", "type": "COMPLETION"}))).await.ok();
    assert_eq!((&stored["status"], &stored["type"]), (&json!("CANCELED"), &json!("COMPLETION")));
}

async fn sgp_rows_07_and_08_observability_ids(server: Harness) {
    let (trace, id) = ("0123456789abcdef0123456789abcdef", "0123456789abcdef");
    post(&server, span(json!({"obs_span_id": id}))).await.refused(422);
    for bad in [trace.to_uppercase(), trace[1..].to_owned()] {
        post(&server, span(json!({"obs_trace_id": bad}))).await.refused(422);
    }
    let stored = post(&server, span(json!({"obs_trace_id": trace, "obs_span_id": id}))).await.ok();
    assert_eq!((&stored["obs_trace_id"], &stored["obs_span_id"]), (&json!(trace), &json!(id)));
}

async fn sgp_row_09_a_parent_in_another_trace_is_409(server: Harness) {
    post(&server, span(json!({"id": "p", "trace_id": "A"}))).await.ok();
    let refused =
        post(&server, span(json!({"id": "c", "trace_id": "B", "parent_id": "p"}))).await.refused(409);
    assert_eq!(refused["detail"][0]["loc"], json!(["body", "parent_id"]));
    assert_eq!(count(&server).await, 1);
    post(&server, span(json!({"id": "c", "trace_id": "B", "parent_id": "not yet here"}))).await.ok();
    assert_eq!(
        server.conservation("sgp").await,
        [("stored".to_owned(), 2), ("rejected:invalid_parent".to_owned(), 1)]
    );
}

async fn sgp_row_10_a_nul_in_text_becomes_a_replacement_character(server: Harness) {
    let body = span(json!({"id": "a", "name": "a\u{0}b", "input": {"k": "x\u{0}y"}}));
    let stored = post(&server, body).await.ok();
    assert_eq!((&stored["name"], &stored["input"]), (&json!("a\u{fffd}b"), &json!({"k": "x\u{fffd}y"})));
    assert_eq!(get(&server, "a").await, stored);
}

async fn sgp_row_11_a_nul_in_an_id_is_400(server: Harness) {
    for field in ["id", "trace_id", "parent_id", "group_id"] {
        let refused = post(&server, span(json!({field: "a\u{0}b"}))).await.refused(400);
        assert_eq!(refused["detail"][0]["loc"], json!(["body", field]));
        let good = span(json!({"id": "good"}));
        let refused = put(&server, json!([good, span(json!({field: "a\u{0}b"}))])).await.refused(400);
        assert_eq!(refused["detail"][0]["loc"], json!(["body", "items", 1, field]));
    }
    assert_eq!(count(&server).await, 0);
}

async fn sgp_rows_12_and_13_credentials_are_redacted(server: Harness) {
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N";
    let secret = json!({"authorization": "Bearer x.y.z"});
    let redacted = json!({"authorization": "[REDACTED:credential]"});
    let body = span(json!({"id": "a", "name": format!("call {jwt}"), "metadata": secret}));
    let stored = post(&server, body.clone()).await.ok();
    assert_eq!(stored["metadata"], redacted);
    assert_eq!(stored["name"], "call [REDACTED:credential]");
    assert_eq!(get(&server, "a").await, stored);
    let listed = put(&server, json!([body])).await.ok();
    assert_eq!(listed["items"][0]["metadata"], redacted);
    let patched = send(&server, "PATCH", "/v5/spans/a", json!({"output": {"password": "p"}})).await.ok();
    assert_eq!(patched["output"], json!({"password": "[REDACTED:credential]"}));
    for (pattern, count) in [("credential_key", 3), ("jwt", 2), ("api_key", 0), ("custom", 0)] {
        let name = format!("endspan_redactions_total{{pattern=\"{pattern}\"}}");
        assert_eq!(server.metric(&name).await, count, "{pattern}");
    }
}

async fn sgp_rows_14_and_15_a_batch_takes_up_to_a_thousand(server: Harness) {
    let items: Vec<_> = (0..1001).map(|index| span(json!({"id": format!("s{index}")}))).collect();
    for method in ["PUT", "POST"] {
        let refused = send(&server, method, "/v5/spans/batch", json!({ "items": items })).await.refused(422);
        assert_eq!(refused["detail"][0]["loc"], json!(["body", "items"]));
        let listed = send(&server, method, "/v5/spans/batch", json!({"items": items[..1000]})).await.ok();
        assert_eq!(listed["items"].as_array().unwrap().len(), 1000);
    }
    assert_eq!(count(&server).await, 1000);
}

async fn sgp_row_16_one_reversed_span_fails_the_batch(server: Harness) {
    let reversed = span(json!({"id": "b", "end_timestamp": "2023-01-01T00:00:00Z"}));
    let refused = put(&server, json!([span(json!({"id": "a"})), reversed])).await.refused(422);
    assert_eq!(refused["detail"][0]["loc"], json!(["body", "items", 1, "end_timestamp"]));
    assert_eq!(count(&server).await, 0);
    assert_eq!(server.conservation("sgp").await, [("rejected:malformed".to_owned(), 2)]);
}

async fn sgp_row_17_a_cycle_fails_the_batch(server: Harness) {
    let items = json!([
        span(json!({"id": "ok"})),
        span(json!({"id": "a", "parent_id": "b"})),
        span(json!({"id": "b", "parent_id": "a"})),
    ]);
    let refused = put(&server, items).await.refused(409);
    assert_eq!(refused["detail"][0]["loc"], json!(["body", "items", 1, "parent_id"]));
    assert_eq!(count(&server).await, 0);
    assert_eq!(server.conservation("sgp").await, [("rejected:invalid_parent".to_owned(), 3)]);
}

async fn sgp_row_18_an_item_without_an_id_gets_one(server: Harness) {
    let listed = put(&server, json!([span(json!({}))])).await.ok();
    let id = listed["items"][0]["id"].as_str().unwrap();
    assert_eq!(id.len(), 36);
    assert_eq!(get(&server, id).await, listed["items"][0]);
}

async fn sgp_rows_19_and_20_repeated_items_merge(server: Harness) {
    let finished =
        |name: &str| span(json!({"id": "a", "name": name, "end_timestamp": "2024-01-01T11:00:00Z"}));
    let unfinished = span(json!({"id": "a", "name": "late"}));
    let listed = put(&server, json!([finished("first"), unfinished])).await.ok();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(listed["items"][0]["name"], "first");
    assert_eq!(get(&server, "a").await, listed["items"][0]);
    let listed =
        put(&server, json!([finished("second"), span(json!({"id": "b"})), finished("third")])).await.ok();
    let names: Vec<_> = listed["items"].as_array().unwrap().iter().map(|item| item["name"].clone()).collect();
    assert_eq!(names, ["third", "n"]);
    assert_eq!(get(&server, "a").await["name"], "third");
    server.conservation("sgp").await;
}

async fn sgp_row_21_one_id_may_be_in_two_traces(server: Harness) {
    put(&server, json!([span(json!({"id": "a"})), span(json!({"id": "a", "trace_id": "u"}))])).await.ok();
    assert_eq!(count(&server).await, 2);
    for trace in ["t", "u"] {
        let found = server.get(&format!("/api/spans/{trace}/a")).await.ok();
        assert_eq!(found["trace_id"], trace);
    }
}

async fn sgp_rows_22_and_23_completed_beats_unfinished(server: Harness) {
    let unfinished = span(json!({"id": "a", "input": {"v": 1}}));
    let finished = span(json!({"id": "a", "input": {"v": 2}, "end_timestamp": "2024-01-01T11:00:00Z"}));
    let open = put(&server, json!([unfinished.clone()])).await.ok();
    assert_eq!(open["items"][0]["status"], json!(null));
    let ended = put(&server, json!([finished])).await.ok();
    assert_eq!(ended["items"][0]["status"], "SUCCESS");
    let others = json!([span(json!({"id": "x"})), unfinished.clone(), span(json!({"id": "y"}))]);
    let late = put(&server, others).await.ok();
    assert_eq!(late["items"][1], ended["items"][0], "the answer shows what is stored");
    assert_eq!((&late["items"][0]["id"], &late["items"][2]["id"]), (&json!("x"), &json!("y")));
    assert_eq!(post(&server, unfinished).await.ok(), ended["items"][0]);
    assert_eq!(get(&server, "a").await, ended["items"][0]);
    assert_eq!(server.conservation("sgp").await, [("stored".to_owned(), 4), ("superseded".to_owned(), 2)]);
}

async fn sgp_row_24_the_same_batch_again_changes_nothing(server: Harness) {
    let items: Vec<_> =
        (0..5).map(|index| span(json!({"id": format!("s{index}"), "end_timestamp": "2024-01-02"}))).collect();
    let first = put(&server, json!(items)).await;
    let second = put(&server, json!(items)).await;
    assert_eq!(first.ok(), second.ok());
    assert_eq!(count(&server).await, 5);
}

async fn sgp_row_25_another_start_day_is_the_same_span(server: Harness) {
    put(&server, json!([span(json!({"id": "a"}))])).await.ok();
    let moved = span(json!({"id": "a", "start_timestamp": "2024-01-05T00:00:00Z"}));
    put(&server, json!([moved])).await.ok();
    assert_eq!(get(&server, "a").await["start_timestamp"], "2024-01-05T00:00:00Z");
    assert_eq!(count(&server).await, 1);
}

async fn sgp_row_26_post_batch_upserts(server: Harness) {
    post(&server, span(json!({"id": "a", "name": "old"}))).await.ok();
    let body = json!({"items": [span(json!({"id": "a", "name": "new"}))]});
    let listed = send(&server, "POST", "/v5/spans/batch", body).await.ok();
    assert_eq!(listed["items"][0]["name"], "new");
    assert_eq!(post(&server, span(json!({"id": "a", "name": "newer"}))).await.ok()["name"], "newer");
    assert_eq!(count(&server).await, 1);
}

async fn sgp_row_27_the_batch_answer_is_a_list(server: Harness) {
    let answer = put(&server, json!([span(json!({"id": "a"}))])).await;
    let listed = answer.ok();
    let keys: Vec<_> = listed.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["items", "object"]);
    assert_eq!(listed["object"], "list");
    let empty = put(&server, json!([])).await;
    assert_eq!(empty.ok(), json!({"items": [], "object": "list"}));
}

async fn sgp_rows_28_and_29_ids_in_paths(server: Harness) {
    let refused = send(&server, "GET", "/v5/spans/nope", "").await.refused(404);
    assert_eq!(refused, json!({"detail": "span 'nope' not found"}));
    post(&server, span(json!({"id": "a/b c"}))).await.ok();
    assert_eq!(get(&server, "a%2Fb%20c").await["id"], "a/b c");
    for path in ["%00", "%ff", "%zz"] {
        let refused = send(&server, "GET", &format!("/v5/spans/{path}"), "").await.refused(400);
        assert_eq!(refused["detail"][0]["loc"], json!(["path", "span_id"]));
    }
}

/// No account is dual-written here, so that PATCH always works (row 30 is the reference's own limit).
async fn sgp_rows_30_to_32_patch(server: Harness) {
    let body = span(json!({"id": "a", "input": {"i": 1}, "metadata": {"k": 1, "l": 2}}));
    let before = post(&server, body).await.ok();
    let changes = json!({
        "status": "ERROR", "output": {"o": 1}, "metadata": {"k": 3}, "end_timestamp": "2024-01-01T11:00:00Z",
        "name": null, "trace_id": "other", "input": {"i": 2},
    });
    let after = send(&server, "PATCH", "/v5/spans/a", changes).await.ok();
    let mut expected = before;
    expected["status"] = json!("ERROR");
    expected["output"] = json!({"o": 1});
    expected["metadata"] = json!({"k": 3});
    expected["end_timestamp"] = json!("2024-01-01T11:00:00Z");
    assert_eq!(after, expected);
    assert_eq!(get(&server, "a").await, expected);
    let reversed = json!({"end_timestamp": "2023-01-01T00:00:00Z"});
    let refused = send(&server, "PATCH", "/v5/spans/a", reversed).await.refused(422);
    assert_eq!(refused["detail"][0]["loc"], json!(["body", "end_timestamp"]));
    send(&server, "PATCH", "/v5/spans/a", json!({"output": []})).await.refused(422);
    assert_eq!(get(&server, "a").await, expected);
    send(&server, "PATCH", "/v5/spans/nope", json!({})).await.refused(404);
    server.conservation("sgp").await;
}

async fn sgp_row_68_keys_and_accounts_are_optional(server: Harness) {
    let stored = server.post("/v5/spans", span(json!({"id": "a"})).to_string()).await.ok();
    assert_eq!(stored["account_id"], "default");
    let long = "x".repeat(257);
    let headers = [("content-type", "application/json"), ("x-selected-account-id", long.as_str())];
    let refused = server.send("POST", "/v5/spans", &headers, span(json!({})).to_string()).await.refused(422);
    assert_eq!(refused["detail"][0]["loc"], json!(["header", "x-selected-account-id"]));
}

async fn sgp_row_69_the_answer_has_every_documented_key(server: Harness) {
    let usage = json!({"usage": {"input_tokens": 7, "output_tokens": 9}});
    let stored = post(&server, span(json!({"id": "a", "output": usage}))).await.ok();
    for key in [
        "id",
        "account_id",
        "name",
        "start_timestamp",
        "trace_id",
        "application_interaction_id",
        "application_variant_id",
        "created_by",
        "end_timestamp",
        "expected",
        "group_id",
        "input",
        "metadata",
        "object",
        "obs_span_id",
        "obs_trace_id",
        "output",
        "parent_id",
        "status",
        "type",
    ] {
        assert!(stored.get(key).is_some(), "{key}");
    }
    assert_eq!((&stored["input_tokens"], &stored["output_tokens"]), (&json!(7), &json!(9)));
    assert_eq!(stored["type"], "STANDALONE");
}

async fn sgp_public_prefix_serves_the_same_api(server: Harness) {
    let created = send(&server, "POST", "/public/v5/spans", span(json!({"id": "a/b"}))).await.ok();
    assert_eq!(get(&server, "a%2Fb").await, created);
    assert_eq!(send(&server, "GET", "/public/v5/spans/a%2Fb", "").await.ok(), created);
    let items = json!({"items": [span(json!({"id": "c"}))]});
    send(&server, "PUT", "/public/v5/spans/batch", items.clone()).await.ok();
    send(&server, "POST", "/public/v5/spans/batch", items).await.ok();
    send(&server, "PATCH", "/public/v5/spans/c", json!({"name": "x"})).await.ok();
    assert_eq!(count(&server).await, 2);
}

async fn sgp_prefer_minimal_leaves_items_out(server: Harness) {
    let headers = [("content-type", "application/json"), ("prefer", "return=minimal")];
    let body = json!({"items": [span(json!({"id": "a"})), span(json!({"id": "b"}))]}).to_string();
    let answer = server.send("PUT", "/v5/spans/batch", &headers, body).await;
    assert_eq!(answer.header("preference-applied"), Some("return=minimal"));
    assert_eq!(answer.ok(), json!({"items": [], "object": "list"}));
    let answer = server.send("POST", "/v5/spans", &headers, span(json!({"id": "c"})).to_string()).await;
    assert_eq!(answer.ok(), json!({"id": "c", "trace_id": "t"}));
    assert_eq!(server.get("/spans").await.ok().as_array().unwrap().len(), 3);
}

async fn sgp_mistakes_are_located(server: Harness) {
    for (body, location) in [
        ("{", json!(["body"])),
        ("", json!(["body"])),
        ("[]", json!(["body"])),
        (r#"{"items":{}}"#, json!(["body", "items"])),
        (r#"{"items":[5]}"#, json!(["body", "items", 0])),
        (r#"{"items":[{"name":"n"}]}"#, json!(["body", "items", 0, "trace_id"])),
    ] {
        let refused = send(&server, "PUT", "/v5/spans/batch", body).await.refused(422);
        assert_eq!(refused["detail"][0]["loc"], location, "{body}");
    }
    let bad = |id: usize| span(json!({"id": id.to_string(), "input": 5}));
    let refused = put(&server, json!((0..50).map(bad).collect::<Vec<_>>())).await.refused(422);
    assert_eq!(refused["detail"].as_array().unwrap().len(), 20, "answers stay small");
    let plain = server.send("POST", "/v5/spans", &[("content-type", "text/plain")], "{}").await.refused(422);
    assert_eq!(plain["detail"][0]["loc"], json!(["header", "content-type"]), "{plain}");
    server.conservation("sgp").await;
}
