//! `agentex-api` section 12, rows 1 to 31: creating and reading one span.

use serde_json::json;

use crate::harness::Harness;
use crate::on_every_store;

on_every_store!(
    agentex_row_01_a_minimal_span_has_ten_keys_in_order,
    agentex_row_02_all_fields_are_echoed_and_read_back_equal,
    agentex_row_03_a_duplicate_id_is_refused_and_changes_nothing,
    agentex_row_04_of_ten_concurrent_creates_one_wins,
    agentex_row_05_a_null_id_becomes_a_new_uuid,
    agentex_row_06_an_empty_id_is_an_id,
    agentex_row_07_missing_fields_are_named,
    agentex_row_08_null_and_numbers_are_no_text,
    agentex_row_09_empty_texts_are_accepted,
    agentex_row_10_unknown_fields_are_ignored,
    agentex_row_11_bodies_that_are_no_object_are_refused,
    agentex_row_12_other_content_types_are_refused,
    agentex_row_13_a_string_that_holds_an_object_is_that_object,
    agentex_row_14_payloads_are_objects_or_arrays_of_objects,
    agentex_row_15_empty_payloads_come_back_as_they_are,
    agentex_row_16_an_end_before_the_start_is_accepted,
    agentex_rows_17_and_18_any_task_id_is_accepted,
    agentex_rows_19_to_22_times_come_back_in_utc,
    agentex_row_23_other_times_are_refused,
    agentex_row_24_a_naive_time_is_utc,
    agentex_row_25_a_nul_in_a_name_is_refused,
    agentex_row_26_a_nul_in_a_payload_is_kept,
    agentex_row_27_numbers_that_are_none_are_refused,
    agentex_row_28_a_lone_surrogate_is_refused_and_poisons_nothing,
    agentex_row_29_number_text_is_kept,
    agentex_row_30_key_order_is_kept,
    agentex_row_31_an_unknown_id_is_not_found,
    agentex_prefer_minimal_answers_only_ids,
    agentex_ids_in_paths_are_decoded,
    agentex_unusable_ids_in_paths_are_refused,
    agentex_accounts_do_not_see_each_other,
    agentex_credentials_are_redacted,
);

/// A span with these fields beside the required ones.
fn span(id: &str, fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { "," };
    format!(r#"{{"id":"{id}","trace_id":"t","name":"n","start_time":"2024-01-01T10:00:00Z"{comma}{fields}}}"#)
}

/// Checks that the body is refused with 422 and a message that holds all of these words.
async fn refuses(server: &Harness, body: impl Into<bytes::Bytes>, words: &[&str]) {
    let refused = server.post("/spans", body).await.refused(422);
    assert_eq!(refused["status_code"], 10422);
    assert_eq!(refused["data"], json!(null));
    let message = refused["message"].as_str().unwrap();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

async fn agentex_row_01_a_minimal_span_has_ten_keys_in_order(server: Harness) {
    let body = r#"{"trace_id":"t","name":"n","start_time":"2024-01-01T10:00:00Z"}"#;
    let answer = server.post("/spans", body).await;
    let id = answer.ok()["id"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), 36);
    assert_eq!(
        answer.text(),
        format!(
            r#"{{"id":"{id}","trace_id":"t","task_id":null,"parent_id":null,"name":"n","start_time":"2024-01-01T10:00:00Z","end_time":null,"input":null,"output":null,"data":null}}"#
        )
    );
    assert_eq!(server.conservation("agentex").await, [("stored".to_owned(), 1)]);
}

async fn agentex_row_02_all_fields_are_echoed_and_read_back_equal(server: Harness) {
    let body = r#"{"id":"a1","trace_id":"t1","task_id":"k","parent_id":"p","name":"n","start_time":"2024-01-01T10:00:00Z","end_time":"2024-01-01T10:00:01.500000Z","input":{"a":1},"output":[{"b":2}],"data":{"c":null}}"#;
    let created = server.post("/spans", body).await;
    created.ok();
    assert_eq!(created.text(), body);
    assert_eq!(server.get("/spans/a1").await.text(), body);
}

async fn agentex_row_03_a_duplicate_id_is_refused_and_changes_nothing(server: Harness) {
    let first = server.post("/spans", span("a1", r#""input":{"v":1}"#)).await.text();
    let refused = server.post("/spans", span("a1", r#""input":{"v":2}"#)).await.refused(400);
    let message = "Item already exists. Please check all unique constraints and try again.";
    assert_eq!(refused, json!({"message": message, "code": 400, "data": null}));
    let other_trace = r#"{"id":"a1","trace_id":"other","name":"n","start_time":0}"#;
    server.post("/spans", other_trace).await.refused(400);
    assert_eq!(server.get("/spans/a1").await.text(), first);
    assert_eq!(
        server.conservation("agentex").await,
        [("stored".to_owned(), 1), ("rejected:duplicate".to_owned(), 2)]
    );
    assert_eq!(server.connections_made(), 1, "refusals keep the connection");
}

async fn agentex_row_04_of_ten_concurrent_creates_one_wins(server: Harness) {
    let creates = (0..10).map(|_| async {
        use http_body_util::Full;
        let mut sender = server.connect().await;
        let request = http::Request::post("/spans")
            .header("host", "test")
            .header("content-type", "application/json")
            .body(Full::new(span("a1", "").into()))
            .unwrap();
        sender.send_request(request).await.unwrap().status().as_u16()
    });
    let mut statuses = futures_util::future::join_all(creates).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![200], vec![400; 9]].concat());
}

async fn agentex_row_05_a_null_id_becomes_a_new_uuid(server: Harness) {
    let body = r#"{"id":null,"trace_id":"t","name":"n","start_time":0}"#;
    let id = server.post("/spans", body).await.ok()["id"].as_str().unwrap().to_owned();
    assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'), "a UUID of version 4");
    assert_eq!(server.get(&format!("/spans/{id}")).await.ok()["id"], id.as_str());
}

async fn agentex_row_06_an_empty_id_is_an_id(server: Harness) {
    assert_eq!(server.post("/spans", span("", "")).await.ok()["id"], "");
    server.post("/spans", span("", "")).await.refused(400);
}

async fn agentex_row_07_missing_fields_are_named(server: Harness) {
    refuses(&server, r#"{"name":"n","start_time":0}"#, &["trace_id"]).await;
    refuses(&server, r#"{"trace_id":"t","name":"n"}"#, &["start_time"]).await;
    refuses(&server, r#"{"trace_id":"t","start_time":0}"#, &["name"]).await;
    assert_eq!(server.conservation("agentex").await, [("rejected:malformed".to_owned(), 3)]);
}

async fn agentex_row_08_null_and_numbers_are_no_text(server: Harness) {
    refuses(&server, r#"{"trace_id":null,"name":"n","start_time":0}"#, &["trace_id"]).await;
    refuses(&server, r#"{"trace_id":"t","name":5,"start_time":0}"#, &["name", "a number"]).await;
}

async fn agentex_row_09_empty_texts_are_accepted(server: Harness) {
    let body = r#"{"id":"e","trace_id":"","name":"","start_time":0}"#;
    let stored = server.post("/spans", body).await.ok();
    assert_eq!((&stored["trace_id"], &stored["name"]), (&json!(""), &json!("")));
}

async fn agentex_row_10_unknown_fields_are_ignored(server: Harness) {
    let stored = server.post("/spans", span("a", r#""metadata":{"x":1},"zzz":[1]"#)).await.ok();
    assert_eq!(stored.as_object().unwrap().len(), 10);
    assert_eq!(stored["data"], json!(null));
}

async fn agentex_row_11_bodies_that_are_no_object_are_refused(server: Harness) {
    for body in ["{", "", "null", "[]", "5", "nope", "\u{feff}"] {
        refuses(&server, body, &["body"]).await;
    }
    refuses(&server, &b"{\"trace_id\":\"\xff\"}"[..], &["UTF-8"]).await;
    assert_eq!(server.connections_made(), 1);
}

async fn agentex_row_12_other_content_types_are_refused(server: Harness) {
    for headers in [&[("content-type", "text/plain")][..], &[]] {
        let refused = server.send("POST", "/spans", headers, span("a", "")).await.refused(422);
        assert!(refused["message"].as_str().unwrap().contains("content-type: expected application/json"));
    }
    let headers = [("content-type", "application/json; charset=utf-8")];
    server.send("POST", "/spans", &headers, span("a", "")).await.ok();
}

async fn agentex_row_13_a_string_that_holds_an_object_is_that_object(server: Harness) {
    let text = json!(span("a", r#""input":{"q":"\"é\""}"#)).to_string();
    assert_eq!(server.post("/spans", text).await.ok()["input"], json!({"q": "\"é\""}));
}

async fn agentex_row_14_payloads_are_objects_or_arrays_of_objects(server: Harness) {
    for field in ["input", "output", "data"] {
        for value in [r#""s""#, r#"["s"]"#, "5", "true", r#"[{},1]"#] {
            refuses(&server, span("a", &format!(r#""{field}":{value}"#)), &[field]).await;
        }
    }
    server.get("/spans/a").await.refused(404);
}

async fn agentex_row_15_empty_payloads_come_back_as_they_are(server: Harness) {
    let fields = r#""input":[],"output":[{"x":1}],"data":{}"#;
    let stored = server.post("/spans", span("a", fields)).await.ok();
    assert_eq!(
        (&stored["input"], &stored["output"], &stored["data"]),
        (&json!([]), &json!([{"x": 1}]), &json!({}))
    );
    assert_eq!(server.get("/spans/a").await.ok(), stored);
}

async fn agentex_row_16_an_end_before_the_start_is_accepted(server: Harness) {
    let stored = server.post("/spans", span("a", r#""end_time":"2020-01-01T00:00:00Z""#)).await.ok();
    assert_eq!(stored["end_time"], "2020-01-01T00:00:00Z");
}

async fn agentex_rows_17_and_18_any_task_id_is_accepted(server: Harness) {
    let stored = server.post("/spans", span("a", r#""task_id":"missing""#)).await.ok();
    assert_eq!(stored["task_id"], "missing");
}

async fn agentex_rows_19_to_22_times_come_back_in_utc(server: Harness) {
    for (index, (time, stored)) in [
        (r#""2024-01-01T15:30:05.123456789+05:30""#, "2024-01-01T10:00:05.123456Z"),
        (r#""2024-01-01""#, "2024-01-01T00:00:00Z"),
        ("1704103200", "2024-01-01T10:00:00Z"),
        (r#""1704103200""#, "2024-01-01T10:00:00Z"),
        ("1704103200000", "2024-01-01T10:00:00Z"),
        ("1704103200.5", "2024-01-01T10:00:00.500000Z"),
        (r#""2024-01-01 10:00""#, "2024-01-01T10:00:00Z"),
        (r#""0001-01-01T00:00:00Z""#, "0001-01-01T00:00:00"),
        (r#""9999-12-31T23:59:59.999999Z""#, "9999-12-31T23:59:59.999999"),
    ]
    .into_iter()
    .enumerate()
    {
        let body = format!(r#"{{"id":"{index}","trace_id":"t","name":"n","start_time":{time}}}"#);
        assert_eq!(server.post("/spans", body).await.ok()["start_time"], stored, "{time}");
        assert_eq!(server.get(&format!("/spans/{index}")).await.ok()["start_time"], stored, "{time}");
    }
}

async fn agentex_row_23_other_times_are_refused(server: Harness) {
    for time in [r#""bad""#, "null", "true", r#""2024-01-01T24:00:00Z""#, "{}", r#""""#] {
        let body = format!(r#"{{"trace_id":"t","name":"n","start_time":{time}}}"#);
        refuses(&server, body, &["start_time"]).await;
    }
}

async fn agentex_row_24_a_naive_time_is_utc(server: Harness) {
    let body = r#"{"trace_id":"t","name":"n","start_time":"2024-01-01T10:00:00.25"}"#;
    assert_eq!(server.post("/spans", body).await.ok()["start_time"], "2024-01-01T10:00:00.250000Z");
}

async fn agentex_row_25_a_nul_in_a_name_is_refused(server: Harness) {
    for field in ["name", "id", "trace_id", "parent_id", "task_id"] {
        let mut body = json!({"id": "a", "trace_id": "t", "name": "n", "start_time": 0});
        body[field] = json!("a\u{0}b");
        refuses(&server, body.to_string(), &[field, "NUL"]).await;
    }
}

async fn agentex_row_26_a_nul_in_a_payload_is_kept(server: Harness) {
    let stored = server.post("/spans", span("a", r#""input":{"k":"a\u0000b"}"#)).await;
    assert_eq!(stored.ok()["input"], json!({"k": "a\u{0}b"}));
    assert_eq!(server.get("/spans/a").await.text(), stored.text());
}

async fn agentex_row_27_numbers_that_are_none_are_refused(server: Harness) {
    for number in ["NaN", "Infinity", "-Infinity", "1e999"] {
        refuses(&server, span("a", &format!(r#""input":{{"k":{number}}}"#)), &["input"]).await;
    }
}

async fn agentex_row_28_a_lone_surrogate_is_refused_and_poisons_nothing(server: Harness) {
    refuses(&server, span("a", r#""input":{"k":"\ud800"}"#), &["input", "surrogate"]).await;
    refuses(&server, span("a", r#""data":{"\udc00":1}"#), &["data", "surrogate"]).await;
    server.get("/spans/a").await.refused(404);
    assert_eq!(server.get("/spans").await.ok(), json!([]));
    assert_eq!(
        server.post("/spans", span("a", r#""input":{"k":"\ud83d\ude00"}"#)).await.ok()["input"]["k"],
        "😀"
    );
}

async fn agentex_row_29_number_text_is_kept(server: Harness) {
    let input = r#""input":{"big":123456789012345678901234567890,"zero":-0.0,"exact":1.10,"e":1E5}"#;
    server.post("/spans", span("a", input)).await.ok();
    let text = server.get("/spans/a").await.text();
    assert!(text.contains(input), "{text}");
}

async fn agentex_row_30_key_order_is_kept(server: Harness) {
    server.post("/spans", span("a", r#""data":{"z":1,"a":2,"m":3}"#)).await.ok();
    let text = server.get("/spans/a").await.text();
    assert!(text.contains(r#""data":{"z":1,"a":2,"m":3}"#), "{text}");
}

async fn agentex_row_31_an_unknown_id_is_not_found(server: Harness) {
    let refused = server.get("/spans/nope").await.refused(404);
    let message = "Item with id 'nope' does not exist.";
    assert_eq!(refused, json!({"message": message, "code": 404, "data": null}));
}

async fn agentex_prefer_minimal_answers_only_ids(server: Harness) {
    let headers = [("content-type", "application/json"), ("prefer", "return=minimal")];
    let answer = server.send("POST", "/spans", &headers, span("a", "")).await;
    assert_eq!(answer.ok(), json!({"id": "a", "trace_id": "t"}));
    assert_eq!(answer.header("preference-applied"), Some("return=minimal"));
    let plain = server.post("/spans", span("b", "")).await;
    assert_eq!(plain.header("preference-applied"), None);
}

async fn agentex_ids_in_paths_are_decoded(server: Harness) {
    for (id, path) in [("a/b c", "a%2Fb%20c"), ("é+", "%C3%A9+"), ("batch", "batch"), ("..", "%2E%2E")] {
        server.post("/spans", span(id, "")).await.ok();
        assert_eq!(server.get(&format!("/spans/{path}")).await.ok()["id"], id);
        assert_eq!(server.patch(&format!("/spans/{path}"), "{}").await.ok()["id"], id);
    }
}

async fn agentex_unusable_ids_in_paths_are_refused(server: Harness) {
    for path in ["/spans/%00", "/spans/%ff", "/spans/%zz", "/spans/a%"] {
        let refused = server.get(path).await.refused(422);
        assert!(refused["message"].as_str().unwrap().starts_with("span_id: "), "{refused}");
        server.patch(path, "{}").await.refused(422);
    }
    assert_eq!(server.connections_made(), 1);
}

async fn agentex_accounts_do_not_see_each_other(server: Harness) {
    let headers = [("content-type", "application/json"), ("x-selected-account-id", "acct")];
    server.send("POST", "/spans", &headers, span("a", r#""input":{"of":"acct"}"#)).await.ok();
    server.get("/spans/a").await.refused(404);
    server.post("/spans", span("a", r#""input":{"of":"default"}"#)).await.ok();
    assert_eq!(server.send("GET", "/spans/a", &headers, "").await.ok()["input"]["of"], "acct");
    assert_eq!(server.send("GET", "/spans", &headers, "").await.ok().as_array().unwrap().len(), 1);
    let unusable = [("content-type", "application/json"), ("x-selected-account-id", "é\u{ff}")];
    server.send("GET", "/spans", &unusable[1..], "").await.ok();
}

async fn agentex_credentials_are_redacted(server: Harness) {
    let secret = r#""data":{"api_key":"hunter2"}"#;
    let expected = json!({"api_key": "[REDACTED:credential]"});
    assert_eq!(server.post("/spans", span("a", secret)).await.ok()["data"], expected);
    assert_eq!(server.get("/spans/a").await.ok()["data"], expected);
    let patched = server.patch("/spans/a", r#"{"output":{"password":"x"}}"#).await.ok();
    assert_eq!(patched["output"], json!({"password": "[REDACTED:credential]"}));
    server.put("/spans/batch", format!("[{}]", span("b", secret))).await.ok();
    assert_eq!(server.get("/spans/b").await.ok()["data"], expected);
}
