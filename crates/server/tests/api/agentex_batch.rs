//! `POST` and `PUT /spans/batch`: one outcome an item.

use serde_json::{Value, json};

use crate::harness::Harness;
use crate::on_every_store;

on_every_store!(
    agentex_batch_insert_rejects_duplicates_alone,
    agentex_batch_upsert_keeps_completed_over_unfinished,
    agentex_batch_one_bad_span_costs_one_span,
    agentex_batch_takes_up_to_a_thousand,
    agentex_batch_minimal_lists_rejected_items_only,
    agentex_batch_unusable_bodies_are_refused,
    agentex_batch_empty_is_fine,
);

fn item(id: &str, ended: bool) -> Value {
    let mut item = json!({"id": id, "trace_id": "t", "name": "n", "start_time": 0});
    if ended {
        item["end_time"] = json!(1);
    }
    item
}

async fn agentex_batch_insert_rejects_duplicates_alone(server: Harness) {
    server.post("/spans", item("a", true).to_string()).await.ok();
    let body = json!({"items": [item("a", false), item("b", false), item("b", true), item("c", true)]});
    let answer = server.post("/spans/batch", body.to_string()).await.ok();
    assert_eq!(
        (&answer["stored"], &answer["superseded"], &answer["rejected"]),
        (&json!(2), &json!(0), &json!(2))
    );
    let outcomes: Vec<_> =
        answer["items"].as_array().unwrap().iter().map(|item| item["outcome"].clone()).collect();
    assert_eq!(outcomes, ["rejected", "stored", "rejected", "stored"]);
    assert_eq!(answer["items"][0]["reason"], "duplicate");
    assert_eq!(answer["items"][2]["field"], "items[2].id");
    assert_eq!(server.get("/spans/b").await.ok()["end_time"], json!(null));
    assert_eq!(
        server.conservation("agentex").await,
        [("stored".to_owned(), 3), ("rejected:duplicate".to_owned(), 2)]
    );
}

async fn agentex_batch_upsert_keeps_completed_over_unfinished(server: Harness) {
    let put = |items: Value| server.put("/spans/batch", items.to_string());
    assert_eq!(put(json!([item("a", false)])).await.ok()["stored"], 1);
    assert_eq!(put(json!([item("a", true)])).await.ok()["stored"], 1);
    let late = put(json!([item("a", false), item("b", false)])).await.ok();
    assert_eq!((&late["stored"], &late["superseded"]), (&json!(1), &json!(1)));
    assert_eq!(late["items"][0], json!({"index": 0, "outcome": "superseded", "id": "a"}));
    assert_eq!(server.get("/spans/a").await.ok()["end_time"], "1970-01-01T00:00:01Z");
    assert_eq!(server.get("/spans").await.ok().as_array().unwrap().len(), 2);
    server.conservation("agentex").await;
}

async fn agentex_batch_one_bad_span_costs_one_span(server: Harness) {
    let mut items = vec![item("a", true), item("b", true), item("c", true), json!(5), item("d", true)];
    items[1]["input"] = json!("text");
    items[2]["name"] = json!(null);
    let answer = server.put("/spans/batch", json!({"items": items}).to_string()).await.ok();
    assert_eq!((&answer["stored"], &answer["rejected"]), (&json!(2), &json!(3)));
    for (index, field) in [(1, "items[1].input"), (2, "items[2].name"), (3, "items[3]")] {
        let item = &answer["items"][index];
        assert_eq!((&item["outcome"], &item["reason"]), (&json!("rejected"), &json!("malformed")));
        assert_eq!(item["field"], field);
        assert!(!item["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(server.get("/spans").await.ok().as_array().unwrap().len(), 2);
    server.conservation("agentex").await;
}

async fn agentex_batch_takes_up_to_a_thousand(server: Harness) {
    let items: Vec<_> = (0..1001).map(|index| item(&format!("s{index}"), true)).collect();
    let refused = server.put("/spans/batch", json!({"items": items}).to_string()).await.refused(422);
    assert!(refused["message"].as_str().unwrap().contains("1000"), "{refused}");
    assert_eq!(server.get("/spans").await.ok(), json!([]));
    let answer = server.put("/spans/batch", json!({"items": items[..1000]}).to_string()).await.ok();
    assert_eq!(answer["stored"], 1000);
    assert_eq!(server.get("/spans?limit=1000").await.ok().as_array().unwrap().len(), 1000);
}

async fn agentex_batch_minimal_lists_rejected_items_only(server: Harness) {
    server.post("/spans", item("b", true).to_string()).await.ok();
    let headers = [("content-type", "application/json"), ("prefer", "return=minimal")];
    let body = json!({"items": [item("a", true), item("b", true)]}).to_string();
    let answer = server.send("POST", "/spans/batch", &headers, body).await;
    assert_eq!(answer.header("preference-applied"), Some("return=minimal"));
    let answer = answer.ok();
    assert_eq!((&answer["stored"], &answer["rejected"]), (&json!(1), &json!(1)));
    assert_eq!(answer["items"].as_array().unwrap().len(), 1);
    assert_eq!((&answer["items"][0]["index"], &answer["items"][0]["id"]), (&json!(1), &json!("b")));
}

async fn agentex_batch_unusable_bodies_are_refused(server: Harness) {
    for body in ["", "{", "{}", "5", "null", r#"{"items":5}"#, r#"{"items":[{]}"#] {
        for method in ["POST", "PUT"] {
            let refused = server.json(method, "/spans/batch", body).await.refused(422);
            assert_eq!(refused["status_code"], 10422, "{body}");
        }
    }
}

async fn agentex_batch_empty_is_fine(server: Harness) {
    for body in ["[]", r#"{"items":[]}"#] {
        let answer = server.put("/spans/batch", body).await.ok();
        assert_eq!(answer, json!({"stored": 0, "superseded": 0, "rejected": 0, "items": []}));
    }
}
