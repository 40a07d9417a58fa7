//! `agentex-api` section 12, rows 32 to 47: changing one span.

use serde_json::json;

use crate::harness::Harness;
use crate::on_every_store;

on_every_store!(
    agentex_row_32_an_unknown_id_is_not_found,
    agentex_rows_33_and_34_absent_and_null_change_nothing,
    agentex_row_35_data_merges_top_level,
    agentex_row_36_empty_data_changes_nothing,
    agentex_row_37_absent_or_empty_data_is_replaced,
    agentex_rows_38_to_40_objects_and_arrays_do_not_merge,
    agentex_row_41_input_is_replaced,
    agentex_row_42_an_id_in_the_body_is_ignored,
    agentex_row_43_empty_texts_are_stored,
    agentex_row_44_a_bad_time_is_refused,
    agentex_row_45_any_task_id_is_accepted,
    agentex_row_46_a_span_moves_to_another_trace,
    agentex_row_47_twenty_concurrent_patches_all_take_effect,
    agentex_row_76_start_then_end_merges_data,
    agentex_a_bad_patch_changes_nothing,
);

async fn create(server: &Harness, fields: &str) -> serde_json::Value {
    let body = format!(r#"{{"id":"a","trace_id":"t","name":"n","start_time":"2024-01-01"{fields}}}"#);
    server.post("/spans", body).await.ok()
}

async fn agentex_row_32_an_unknown_id_is_not_found(server: Harness) {
    let refused = server.patch("/spans/nope", "{}").await.refused(404);
    assert_eq!(refused["message"], "Item with id 'nope' does not exist.");
}

async fn agentex_rows_33_and_34_absent_and_null_change_nothing(server: Harness) {
    let fields = r#","end_time":"2024-01-02","input":{"a":1},"output":[],"data":{"k":1},"parent_id":"p","task_id":"k""#;
    let created = create(&server, fields).await;
    assert_eq!(server.patch("/spans/a", "{}").await.ok(), created);
    let nulls = r#"{"trace_id":null,"task_id":null,"parent_id":null,"name":null,"start_time":null,"end_time":null,"input":null,"output":null,"data":null}"#;
    assert_eq!(server.patch("/spans/a", nulls).await.ok(), created);
    assert_eq!(server.get("/spans/a").await.ok(), created);
}

async fn agentex_row_35_data_merges_top_level(server: Harness) {
    create(&server, r#","data":{"k":1,"n":{"x":1}}"#).await;
    let answer = server.patch("/spans/a", r#"{"data":{"n":{"y":2},"z":null}}"#).await;
    answer.ok();
    assert!(answer.text().ends_with(r#""data":{"k":1,"n":{"y":2},"z":null}}"#), "{}", answer.text());
    assert_eq!(server.get("/spans/a").await.text(), answer.text());
}

async fn agentex_row_36_empty_data_changes_nothing(server: Harness) {
    create(&server, r#","data":{"k":1}"#).await;
    for data in ["{}", "[]"] {
        let stored = server.patch("/spans/a", format!(r#"{{"data":{data}}}"#)).await.ok();
        assert_eq!(stored["data"], json!({"k": 1}));
    }
}

async fn agentex_row_37_absent_or_empty_data_is_replaced(server: Harness) {
    for (index, stored) in ["null", "{}", "[]"].iter().enumerate() {
        for (other, data) in [json!({"x": 1}), json!([{"x": 1}])].iter().enumerate() {
            let id = format!("{index}{other}");
            let body = format!(r#"{{"id":"{id}","trace_id":"t","name":"n","start_time":0,"data":{stored}}}"#);
            server.post("/spans", body).await.ok();
            let patched = server.patch(&format!("/spans/{id}"), json!({"data": data}).to_string()).await.ok();
            assert_eq!(&patched["data"], data);
        }
    }
}

async fn agentex_rows_38_to_40_objects_and_arrays_do_not_merge(server: Harness) {
    create(&server, r#","data":[{"a":1}]"#).await;
    let object = r#"{"id":"b","trace_id":"t","name":"n","start_time":0,"data":{"a":1}}"#;
    server.post("/spans", object).await.ok();
    for (path, data) in
        [("/spans/a", r#"{"x":1}"#), ("/spans/b", r#"[{"q":1}]"#), ("/spans/b", r#"[{"q":1,"w":2}]"#)]
    {
        let before = server.get(path).await.text();
        let refused = server.patch(path, format!(r#"{{"name":"new","data":{data}}}"#)).await.refused(422);
        assert_eq!(refused["status_code"], 10422);
        let message = refused["message"].as_str().unwrap();
        assert!(message.starts_with("data: ") && !message.contains("data: data"), "{message}");
        assert_eq!(server.get(path).await.text(), before);
    }
    assert_eq!(server.connections_made(), 1);
}

async fn agentex_row_41_input_is_replaced(server: Harness) {
    create(&server, r#","input":{"a":1}"#).await;
    assert_eq!(server.patch("/spans/a", r#"{"input":{"b":2}}"#).await.ok()["input"], json!({"b": 2}));
}

async fn agentex_row_42_an_id_in_the_body_is_ignored(server: Harness) {
    create(&server, "").await;
    let patched = server.patch("/spans/a", r#"{"id":"other","name":"nm"}"#).await.ok();
    assert_eq!((&patched["id"], &patched["name"]), (&json!("a"), &json!("nm")));
    server.get("/spans/other").await.refused(404);
}

async fn agentex_row_43_empty_texts_are_stored(server: Harness) {
    create(&server, "").await;
    let patched = server.patch("/spans/a", r#"{"name":"","trace_id":""}"#).await.ok();
    assert_eq!((&patched["name"], &patched["trace_id"]), (&json!(""), &json!("")));
}

async fn agentex_row_44_a_bad_time_is_refused(server: Harness) {
    create(&server, "").await;
    let refused = server.patch("/spans/a", r#"{"end_time":"x"}"#).await.refused(422);
    assert!(refused["message"].as_str().unwrap().contains("end_time"), "{refused}");
}

async fn agentex_row_45_any_task_id_is_accepted(server: Harness) {
    create(&server, "").await;
    assert_eq!(server.patch("/spans/a", r#"{"task_id":"missing"}"#).await.ok()["task_id"], "missing");
}

async fn agentex_row_46_a_span_moves_to_another_trace(server: Harness) {
    create(&server, "").await;
    assert_eq!(server.patch("/spans/a", r#"{"trace_id":"new"}"#).await.ok()["trace_id"], "new");
    assert_eq!(server.get("/spans?trace_id=t").await.ok(), json!([]));
    assert_eq!(server.get("/spans?trace_id=new").await.ok().as_array().unwrap().len(), 1);
}

async fn agentex_row_47_twenty_concurrent_patches_all_take_effect(server: Harness) {
    create(&server, r#","data":{"k":0}"#).await;
    let patches = (0..20).map(|index| {
        let server = &server;
        async move {
            use http_body_util::{BodyExt, Full};
            let mut sender = server.connect().await;
            let request = http::Request::patch("/spans/a")
                .header("host", "test")
                .header("content-type", "application/json")
                .body(Full::new(format!(r#"{{"data":{{"k{index}":{index}}}}}"#).into()))
                .unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), 200);
            response.into_body().collect().await.unwrap();
        }
    });
    futures_util::future::join_all(patches).await;
    let data = server.get("/spans/a").await.ok()["data"].clone();
    assert_eq!(data.as_object().unwrap().len(), 21, "{data}");
}

async fn agentex_row_76_start_then_end_merges_data(server: Harness) {
    create(&server, r#","data":{"d":1}"#).await;
    let ended = server.patch("/spans/a", r#"{"end_time":"2024-01-02","data":{"e":2}}"#).await.ok();
    assert_eq!(ended["data"], json!({"d": 1, "e": 2}));
}

async fn agentex_a_bad_patch_changes_nothing(server: Harness) {
    let created = create(&server, "").await;
    for body in
        ["", "null", "[]", "{", r#"{"name":5}"#, r#"{"name":"x","input":"s"}"#, r#"{"input":{"k":"\ud800"}}"#]
    {
        server.patch("/spans/a", body).await.refused(422);
    }
    assert_eq!(server.get("/spans/a").await.ok(), created);
    server.conservation("agentex").await;
}
