//! Span assessments (`sgp-api` section 9), on every store engine.

use std::sync::Arc;

use endspan_model::{AccountId, Timestamp};
use endspan_server::Config;
use endspan_server::access::{ApiKey, KeyRing, Role, Secret};
use endspan_store::memory::MemoryStore;
use serde_json::{Value, json};

use crate::harness::{Answer, Harness};
use crate::on_every_store;

on_every_store!(
    an_assessment_of_each_type_comes_back,
    what_does_not_fit_the_type_is_refused,
    sgp_row_70_a_second_overwrite_and_a_list_of_nothing,
    an_update_merges_and_checks_what_comes_out,
    spans_and_traces_are_found_by_what_is_said_of_them,
    what_is_deleted_is_gone,
    an_export_carries_assessments,
    concurrent_updates_all_take_effect,
);

const ROUTE: &str = "/v5/span-assessments";

async fn span(server: &Harness, trace_id: &str, id: &str, parent_id: Option<&str>) {
    let body = json!({"id": id, "trace_id": trace_id, "parent_id": parent_id, "name": id,
        "start_timestamp": "2026-01-01T00:00:00Z", "end_timestamp": "2026-01-01T00:00:01Z"});
    server.post("/v5/spans", body.to_string()).await.ok();
}

async fn assess(server: &Harness, body: Value) -> Answer {
    server.post(ROUTE, body.to_string()).await
}

async fn list(server: &Harness, query: &str) -> Vec<Value> {
    let answer = server.get(&format!("{ROUTE}?{query}")).await.ok();
    assert_eq!((&answer["object"], &answer["has_more"]), (&json!("list"), &json!(false)));
    assert_eq!(answer["total"], answer["items"].as_array().unwrap().len());
    answer["items"].as_array().unwrap().clone()
}

async fn an_assessment_of_each_type_comes_back(server: Harness) {
    span(&server, "t", "root", None).await;
    span(&server, "t", "child", Some("root")).await;
    for (kind, content) in [
        ("comment", json!("why \u{0} so")),
        ("rating", json!(5)),
        ("approval", json!("rejected")),
        ("rubric", json!({"polite": "yes", "a": ""})),
        ("metadata", json!({"n": [1, {"deep": null}]})),
        ("overwrite", json!({"content": "better"})),
    ] {
        let mut body = json!({"assessment_type": kind, "trace_id": "t", "span_id": "child", "unknown": 1});
        if kind != "comment" {
            body["comment"] = json!("and a comment");
        }
        body[kind] = content.clone();
        let made = assess(&server, body).await.ok();
        let expected = if kind == "comment" { json!("why \u{FFFD} so") } else { content };
        assert_eq!(made[kind], expected);
        assert_eq!(
            (&made["assessment_type"], &made["span_id"], &made["trace_id"], &made["account_id"]),
            (&json!(kind), &json!("child"), &json!("t"), &json!("default"))
        );
        assert_eq!((&made["object"], &made["created_by"]), (&json!("span.assessment"), &json!("anonymous")));
        assert_eq!(made["created_at"], made["updated_at"]);
        let path = format!("{ROUTE}/{}", made["assessment_id"].as_str().unwrap());
        assert_eq!(server.get(&path).await.ok(), made);
        assert_eq!(server.get(&format!("/public{path}")).await.ok(), made);
        assert_eq!(list(&server, &format!("span_id=child&assessment_type={kind}")).await, [made]);
    }
    // Without a span it is the root's.
    let made = assess(&server, json!({"assessment_type": "rating", "trace_id": "t", "rating": 1})).await.ok();
    assert_eq!(made["span_id"], "root");
    assert_eq!(list(&server, "trace_id=t").await.len(), 7);
    assert_eq!(list(&server, "span_id=root").await, std::slice::from_ref(&made));
    // The read API shows them, too.
    let trace = server.get("/api/traces/t").await.ok();
    assert_eq!(
        (trace["assessments"].as_array().unwrap().len(), &trace["assessments_cut"]),
        (7, &json!(false))
    );
    assert_eq!(server.get("/api/spans/t/root").await.ok()["assessments"], json!([made]));
}

async fn what_does_not_fit_the_type_is_refused(server: Harness) {
    span(&server, "t", "root", None).await;
    span(&server, "no-root", "orphan", Some("elsewhere")).await;
    let of = |mut body: Value| {
        body["trace_id"] = json!("t");
        body
    };
    for (body, field) in [
        (of(json!({"assessment_type": "rating"})), "rating"),
        (of(json!({"assessment_type": "rating", "rating": 0})), "rating"),
        (of(json!({"assessment_type": "rating", "rating": 6})), "rating"),
        (of(json!({"assessment_type": "rating", "rating": "5"})), "rating"),
        (of(json!({"assessment_type": "rating", "rating": 4.5})), "rating"),
        (of(json!({"assessment_type": "rating", "rating": 5, "approval": "approved"})), "approval"),
        (of(json!({"assessment_type": "approval", "approval": "perhaps"})), "approval"),
        (of(json!({"assessment_type": "comment", "metadata": {}})), "comment"),
        (of(json!({"assessment_type": "rubric", "rubric": {"a": 1}})), "rubric"),
        (of(json!({"assessment_type": "metadata", "metadata": []})), "metadata"),
        (of(json!({"assessment_type": "overwrite", "overwrite": "x"})), "overwrite"),
        (of(json!({"assessment_type": "praise", "comment": "x"})), "assessment_type"),
        (of(json!({"comment": "x"})), "assessment_type"),
        (json!({"assessment_type": "comment", "comment": "x"}), "trace_id"),
        (json!({"assessment_type": "comment", "comment": "x", "trace_id": 1}), "trace_id"),
    ] {
        let refused = assess(&server, body.clone()).await.refused(422);
        assert_eq!(refused["detail"][0]["loc"], json!(["body", field]), "{body}");
    }
    for (trace_id, span_id) in
        [("t", Some("none")), ("none", Some("root")), ("none", None), ("no-root", None)]
    {
        let body =
            json!({"assessment_type": "comment", "comment": "x", "trace_id": trace_id, "span_id": span_id});
        assess(&server, body).await.refused(404);
    }
    let long = "x".repeat(300_000);
    assess(&server, of(json!({"assessment_type": "comment", "comment": long}))).await.refused(413);
    server.post(ROUTE, "[]").await.refused(422);
    server.send("POST", ROUTE, &[("content-type", "text/plain")], "{}").await.refused(422);
    assert_eq!(list(&server, "trace_id=t").await, [] as [Value; 0]);
    server.get(&format!("{ROUTE}/none")).await.refused(404);
    server.patch(&format!("{ROUTE}/none"), "{}").await.refused(404);
    server.send("DELETE", &format!("{ROUTE}/none"), &[], "").await.refused(404);
}

async fn sgp_row_70_a_second_overwrite_and_a_list_of_nothing(server: Harness) {
    span(&server, "t", "root", None).await;
    let overwrite = json!({"assessment_type": "overwrite", "trace_id": "t", "overwrite": {}});
    let first = assess(&server, overwrite.clone()).await.ok();
    assess(&server, overwrite.clone()).await.refused(409);
    let path = format!("{ROUTE}/{}", first["assessment_id"].as_str().unwrap());
    assert_eq!(
        server.send("DELETE", &path, &[], "").await.ok(),
        json!({"id": first["assessment_id"], "deleted": true, "object": "span.assessment"})
    );
    server.get(&path).await.refused(404);
    assess(&server, overwrite).await.ok();
    for query in ["", "?", "?span_id=root&trace_id=t", "?assessment_type=rating"] {
        server.get(&format!("{ROUTE}{query}")).await.refused(400);
    }
    server.get(&format!("{ROUTE}?trace_id=t&assessment_type=x")).await.refused(422);
    server.get(&format!("{ROUTE}?span_id=%ff")).await.refused(422);
}

async fn an_update_merges_and_checks_what_comes_out(server: Harness) {
    span(&server, "t", "root", None).await;
    let made = assess(&server, json!({"assessment_type": "rating", "trace_id": "t", "rating": 2})).await.ok();
    let path = format!("{ROUTE}/{}", made["assessment_id"].as_str().unwrap());
    let changed = server.patch(&path, r#"{"comment":"on reflection","rating":4,"trace_id":"u"}"#).await.ok();
    assert_eq!((&changed["rating"], &changed["comment"]), (&json!(4), &json!("on reflection")));
    assert_eq!((&changed["trace_id"], &changed["created_at"]), (&json!("t"), &made["created_at"]));
    assert_ne!(changed["updated_at"], made["updated_at"]);
    for body in [
        r#"{"approval":"approved"}"#,
        r#"{"rating":null}"#,
        r#"{"assessment_type":"approval","approval":"approved"}"#,
        r#"{"rating":9}"#,
        "[]",
    ] {
        server.patch(&path, body).await.refused(422);
    }
    assert_eq!(server.get(&path).await.ok(), changed, "what is refused changes nothing");
    let turned = r#"{"assessment_type":"approval","approval":"approved","rating":null,"comment":null}"#;
    let turned = server.patch(&path, turned).await.ok();
    assert_eq!(
        (&turned["assessment_type"], &turned["rating"], &turned["comment"]),
        (&json!("approval"), &Value::Null, &Value::Null)
    );
    let overwrite = json!({"assessment_type": "overwrite", "trace_id": "t", "overwrite": {}});
    assess(&server, overwrite).await.ok();
    let second = r#"{"assessment_type":"overwrite","overwrite":{},"approval":null}"#;
    server.patch(&path, second).await.refused(409);
}

async fn spans_and_traces_are_found_by_what_is_said_of_them(server: Harness) {
    for id in ["a", "b", "c"] {
        span(&server, id, id, None).await;
    }
    for (trace_id, body) in [
        ("a", json!({"assessment_type": "rating", "rating": 1})),
        ("b", json!({"assessment_type": "rating", "rating": 4})),
        ("a", json!({"assessment_type": "approval", "approval": "rejected"})),
        ("c", json!({"assessment_type": "comment", "comment": "x"})),
    ] {
        let mut body = body;
        body["trace_id"] = json!(trace_id);
        assess(&server, body).await.ok();
    }
    for (query, body, expected) in [
        ("", json!({"assessment_types": ["rating"]}), vec!["a", "b"]),
        ("", json!({"assessment_types": ["approval", "comment"]}), vec!["a", "c"]),
        ("", json!({"assessment_types": ["overwrite"]}), vec![]),
        ("?assessment=rating:%3C3", json!({}), vec!["a"]),
        ("?assessment=rating&assessment=approval:rejected", json!({}), vec!["a"]),
        ("?assessment=approval:approved", json!({}), vec![]),
        ("?assessment=rating:%3E=4", json!({"assessment_types": ["rating"]}), vec!["b"]),
    ] {
        let page = server.post(&format!("/v5/spans/search{query}"), body.to_string()).await.ok();
        let found: Vec<&str> =
            page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect();
        assert_eq!(found, expected, "{query} {body}");
    }
    for (query, expected) in [
        ("assessment=rating", vec!["a", "b"]),
        ("assessment=rating:%3C3", vec!["a"]),
        ("assessment=", vec!["a", "b", "c"]),
        ("assessment=rating&assessment=comment", vec![]),
    ] {
        let page = server.get(&format!("/api/traces?{query}")).await.ok();
        let found: Vec<&str> = page["traces"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["trace_id"].as_str().unwrap())
            .collect();
        assert_eq!(found, expected, "{query}");
    }
    server.post("/v5/spans/search", r#"{"assessment_types":["praise"]}"#).await.refused(422);
    for query in ["rating:9&assessment=", "x", &"rating&assessment=".repeat(11)] {
        server.get(&format!("/api/traces?assessment={query}rating")).await.refused(422);
        server.post(&format!("/v5/spans/search?assessment={query}rating"), "{}").await.refused(422);
    }
}

async fn what_is_deleted_is_gone(server: Harness) {
    span(&server, "t", "root", None).await;
    let made = assess(&server, json!({"assessment_type": "rating", "trace_id": "t", "rating": 2})).await.ok();
    server.send("DELETE", "/api/traces/t", &[], "").await.ok();
    span(&server, "t", "root", None).await;
    assert_eq!(list(&server, "trace_id=t").await, [] as [Value; 0]);
    let path = format!("{ROUTE}/{}", made["assessment_id"].as_str().unwrap());
    server.get(&path).await.refused(404);
}

async fn an_export_carries_assessments(server: Harness) {
    span(&server, "t", "root", None).await;
    span(&server, "t", "bare", Some("root")).await;
    for body in [
        json!({"assessment_type": "rating", "trace_id": "t", "rating": 2, "comment": "Straße"}),
        json!({"assessment_type": "overwrite", "trace_id": "t", "overwrite": {"a": 1.5}}),
    ] {
        let made = assess(&server, body).await.ok();
        let path = format!("{ROUTE}/{}", made["assessment_id"].as_str().unwrap());
        server.patch(&path, r#"{"comment":"changed"}"#).await.ok();
    }
    let lines = server.get("/api/export").await.text();
    assert_eq!(server.get("/api/export?trace_id=t").await.text().lines().count(), 2);
    let other = Harness::start().await;
    let headers = [("content-type", "application/x-ndjson")];
    for _ in 0..2 {
        let answer = other.send("POST", "/api/import", &headers, lines.clone()).await.ok();
        assert_eq!((&answer["assessments_stored"], &answer["assessments_refused"]), (&json!(2), &json!(0)));
    }
    assert_eq!(list(&other, "trace_id=t").await, list(&server, "trace_id=t").await);
    assert_eq!(other.get("/api/export").await.text(), lines, "a round trip is the identity");
    // Another overwrite stands in the way of one line's assessment, and of nothing else.
    let third = Harness::start().await;
    span(&third, "t", "root", None).await;
    assess(&third, json!({"assessment_type": "overwrite", "trace_id": "t", "overwrite": {}})).await.ok();
    let answer = third.send("POST", "/api/import", &headers, lines).await.ok();
    assert_eq!((&answer["assessments_stored"], &answer["assessments_refused"]), (&json!(1), &json!(1)));
    assert!(answer["errors"][0]["message"].as_str().unwrap().contains("overwrite"), "{answer}");
}

async fn concurrent_updates_all_take_effect(server: Harness) {
    span(&server, "t", "root", None).await;
    let made = assess(&server, json!({"assessment_type": "rating", "trace_id": "t", "rating": 2})).await.ok();
    let path = format!("{ROUTE}/{}", made["assessment_id"].as_str().unwrap());
    let send = async |body: &'static str| {
        let mut sender = server.connect().await;
        let request = http::Request::patch(&path)
            .header("host", "test")
            .header("content-type", "application/json")
            .body(http_body_util::Full::new(bytes::Bytes::from_static(body.as_bytes())))
            .unwrap();
        sender.send_request(request).await.unwrap().status().as_u16()
    };
    let (rated, commented) = tokio::join!(send(r#"{"rating":5}"#), send(r#"{"comment":"c"}"#));
    assert_eq!((rated, commented), (200, 200));
    let now = server.get(&path).await.ok();
    assert_eq!((&now["rating"], &now["comment"]), (&json!(5), &json!("c")));
}

fn key(account: &str, roles: &[Role]) -> (ApiKey, String) {
    let secret = Secret::generate().unwrap();
    let key = ApiKey {
        id: secret.id().to_owned(),
        name: String::new(),
        account: Some(AccountId::new(account)),
        roles: roles.to_vec(),
        hash: secret.hash(),
        last_four: secret.last_four().to_owned(),
        created: Timestamp::now(),
        expires: None,
    };
    (key, secret.expose().to_owned())
}

#[tokio::test]
async fn only_its_creator_and_admins_change_an_assessment() {
    let roles = [Role::Ingest, Role::Read];
    let keys = [
        key("a", &roles),
        key("a", &roles),
        key("a", &[Role::Admin]),
        key("b", &[Role::Admin]),
        key("a", &[Role::Read]),
    ];
    let ring = Arc::new(KeyRing::closed(keys.iter().map(|(key, _)| key.clone()).collect()));
    let server =
        Harness::with(Config { keys: ring, ..Config::default() }, Arc::new(MemoryStore::new())).await;
    let send = async |key: usize, method: &str, path: &str, body: &str| {
        let headers = [("content-type", "application/json"), ("x-api-key", keys[key].1.as_str())];
        server.send(method, path, &headers, body.to_owned()).await
    };
    let span = r#"{"id":"s","trace_id":"t","name":"n","start_timestamp":"2026-01-01T00:00:00Z"}"#;
    send(0, "POST", "/v5/spans", span).await.ok();
    let rating = r#"{"assessment_type":"rating","trace_id":"t","rating":3}"#;
    let made = send(0, "POST", ROUTE, rating).await.ok();
    assert_eq!((&made["created_by"], &made["account_id"]), (&json!(keys[0].0.id), &json!("a")));
    let path = format!("{ROUTE}/{}", made["assessment_id"].as_str().unwrap());
    send(4, "POST", ROUTE, rating).await.refused(403);
    send(3, "POST", ROUTE, rating).await.refused(404);
    for (method, body) in [("PATCH", r#"{"rating":1}"#), ("DELETE", "")] {
        send(1, method, &path, body).await.refused(403);
        send(3, method, &path, body).await.refused(404);
        send(4, method, &path, body).await.refused(403);
    }
    send(3, "GET", &path, "").await.refused(404);
    assert_eq!(send(1, "GET", &path, "").await.ok(), made);
    assert_eq!(send(0, "PATCH", &path, r#"{"rating":4}"#).await.ok()["created_by"], keys[0].0.id);
    assert_eq!(send(2, "PATCH", &path, r#"{"rating":5}"#).await.ok()["created_by"], keys[0].0.id);

    // An import is no way around it: who is no admin signs for what comes, and leaves others' alone.
    let creator = &keys[0].0.id;
    let line = |id: &str, rating: u8| {
        format!(
            r#"{{"account":"a","trace_id":"t","id":"s","name":"n","start_time":"2026-01-01T00:00:00Z","assessments":[{{"id":"{id}","type":"rating","rating":{rating},"created_by":"{creator}","created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z","revision":99}}]}}"#
        )
    };
    let import = async |key: usize, line: String| {
        let headers = [("content-type", "application/x-ndjson"), ("x-api-key", keys[key].1.as_str())];
        server.send("POST", "/api/import", &headers, line).await.ok()
    };
    let id = made["assessment_id"].as_str().unwrap();
    assert_eq!(import(1, line(id, 1)).await["assessments_refused"], 1);
    assert_eq!(send(0, "GET", &path, "").await.ok()["rating"], 5);
    assert_eq!(import(1, line("new", 1)).await["assessments_stored"], 1);
    assert_eq!(send(0, "GET", &format!("{ROUTE}/new"), "").await.ok()["created_by"], keys[1].0.id);
    assert_eq!(import(2, line(id, 1)).await["assessments_stored"], 1);
    assert_eq!(send(0, "GET", &path, "").await.ok()["rating"], 1);

    send(0, "DELETE", &path, "").await.ok();
    send(0, "GET", &path, "").await.refused(404);
}

#[tokio::test]
async fn credentials_in_assessments_are_redacted() {
    let server = Harness::embedded().await;
    span(&server, "t", "root", None).await;
    let made = assess(
        &server,
        json!({"assessment_type": "metadata", "trace_id": "t", "metadata": {"authorization": "Bearer x.y.z"},
            "comment": "the key is Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdefghijklmnop"}),
    )
    .await
    .ok();
    assert_eq!(made["metadata"]["authorization"], "[REDACTED:credential]");
    assert!(!made["comment"].as_str().unwrap().contains("eyJ"), "{made}");
    let path = format!("{ROUTE}/{}", made["assessment_id"].as_str().unwrap());
    let changed = server.patch(&path, r#"{"metadata":{"api_key":"sk-abcdefghijklmnopqrstuvwx"}}"#).await.ok();
    assert_eq!(changed["metadata"]["api_key"], "[REDACTED:credential]");
}
