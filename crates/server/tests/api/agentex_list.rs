//! `agentex-api` section 12, rows 48 to 68: listing, and requests that no route takes.

use serde_json::{Value, json};

use crate::harness::Harness;
use crate::on_every_store;

on_every_store!(
    agentex_row_48_the_default_page_is_fifty_newest_first,
    agentex_row_49_pages_hold_every_row_once,
    agentex_rows_50_and_51_direction,
    agentex_row_52_absent_ends_come_first_descending_and_last_ascending,
    agentex_row_53_unknown_orders_are_ignored,
    agentex_row_54_orders_that_cannot_be_are_refused,
    agentex_row_55_a_page_continues_the_one_before,
    agentex_rows_56_to_58_bounds_of_limit_and_page,
    agentex_rows_59_to_64_filters,
    agentex_unusable_queries_are_refused,
    agentex_row_66_other_methods_are_405,
    agentex_rows_67_and_68_unknown_paths_and_trailing_slashes,
);

async fn rows(server: &Harness, count: usize) {
    let items: Vec<Value> = (0..count)
        .map(|index| json!({"id": format!("s{index:02}"), "trace_id": "ord", "name": "n", "start_time": 1_704_103_200 + index}))
        .collect();
    assert_eq!(server.put("/spans/batch", json!(items).to_string()).await.ok()["stored"], count);
}

async fn ids(server: &Harness, query: &str) -> Vec<String> {
    let list = server.get(&format!("/spans?{query}")).await.ok();
    list.as_array().unwrap().iter().map(|span| span["id"].as_str().unwrap().to_owned()).collect()
}

async fn agentex_row_48_the_default_page_is_fifty_newest_first(server: Harness) {
    rows(&server, 60).await;
    let ids = ids(&server, "").await;
    assert_eq!((ids.len(), ids[0].as_str(), ids[49].as_str()), (50, "s59", "s10"));
}

async fn agentex_row_49_pages_hold_every_row_once(server: Harness) {
    rows(&server, 60).await;
    let mut all = Vec::new();
    for page in 1.. {
        let page = ids(&server, &format!("limit=7&page_number={page}")).await;
        if page.is_empty() {
            break;
        }
        all.extend(page);
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 60);
}

async fn agentex_rows_50_and_51_direction(server: Harness) {
    rows(&server, 5).await;
    let ascending = ["s00", "s01", "s02", "s03", "s04"];
    let mut descending = ascending;
    descending.reverse();
    for (direction, expected) in
        [("asc", ascending), ("desc", descending), ("DESC", descending), ("x", ascending), ("", ascending)]
    {
        let found = ids(&server, &format!("trace_id=ord&order_direction={direction}")).await;
        assert_eq!(found, expected, "{direction}");
    }
}

async fn agentex_row_52_absent_ends_come_first_descending_and_last_ascending(server: Harness) {
    for (id, end) in [("a", "null"), ("b", "5"), ("c", "9")] {
        let body = format!(r#"{{"id":"{id}","trace_id":"t","name":"n","start_time":0,"end_time":{end}}}"#);
        server.post("/spans", body).await.ok();
    }
    assert_eq!(ids(&server, "order_by=end_time&order_direction=desc").await, ["a", "c", "b"]);
    assert_eq!(ids(&server, "order_by=end_time&order_direction=asc").await, ["b", "c", "a"]);
}

async fn agentex_row_53_unknown_orders_are_ignored(server: Harness) {
    rows(&server, 3).await;
    for order in ["nope", "ID", "start_time,id", ""] {
        assert_eq!(ids(&server, &format!("order_by={order}")).await, ["s02", "s01", "s00"], "{order}");
    }
}

async fn agentex_row_54_orders_that_cannot_be_are_refused(server: Harness) {
    for order in ["input", "output", "data", "metadata", "registry", "__table__", "__tablename__"] {
        let refused = server.get(&format!("/spans?order_by={order}")).await.refused(422);
        assert_eq!(refused["status_code"], 10422);
        assert!(refused["message"].as_str().unwrap().starts_with("order_by: "), "{refused}");
    }
}

async fn agentex_row_55_a_page_continues_the_one_before(server: Harness) {
    rows(&server, 5).await;
    assert_eq!(ids(&server, "limit=2&page_number=2&order_direction=asc").await, ["s02", "s03"]);
    assert_eq!(ids(&server, "limit=2&page_number=4").await, Vec::<String>::new());
}

async fn agentex_rows_56_to_58_bounds_of_limit_and_page(server: Harness) {
    for limit in ["0", "1001", "abc", "", "1e3", "-1", "1.5"] {
        let refused = server.get(&format!("/spans?limit={limit}")).await.refused(422);
        assert!(refused["message"].as_str().unwrap().starts_with("limit: "), "{refused}");
    }
    for page in ["0", "-1", "1e3", "", "9223372036854775807", "99999999999999999999999"] {
        let refused = server.get(&format!("/spans?page_number={page}")).await.refused(422);
        assert!(refused["message"].as_str().unwrap().starts_with("page_number: "), "{refused}");
    }
    for query in ["limit=1000", "limit=10.0", "page_number=1.0", "page_number=184467440737095516"] {
        assert_eq!(server.get(&format!("/spans?{query}")).await.ok(), json!([]));
    }
    assert_eq!(server.connections_made(), 1);
}

async fn agentex_rows_59_to_64_filters(server: Harness) {
    for (index, (id, trace, task)) in [
        ("s1", "T1", "null"),
        ("s2", "X", r#""T1""#),
        ("s3", "T1", r#""T1""#),
        ("s4", "T1", r#""T2""#),
        ("s5", "X", r#""T2""#),
        ("s6", "X", "null"),
    ]
    .into_iter()
    .enumerate()
    {
        let body = format!(
            r#"{{"id":"{id}","trace_id":"{trace}","task_id":{task},"name":"n","start_time":{index}}}"#
        );
        server.post("/spans", body).await.ok();
    }
    for (query, expected) in [
        ("task_id=T1", vec!["s1", "s2", "s3", "s4"]),
        ("task_id=T1&trace_id=X", vec!["s2"]),
        ("task_id=T1&trace_id=T1", vec!["s1", "s3", "s4"]),
        ("trace_id=T1", vec!["s1", "s3", "s4"]),
        ("task_id=&trace_id=X", vec!["s2", "s5", "s6"]),
        ("", vec!["s1", "s2", "s3", "s4", "s5", "s6"]),
        ("trace_id=X&trace_id=T1", vec!["s1", "s3", "s4"]),
        ("trace_id=t1", vec![]),
    ] {
        let found = ids(&server, &format!("{query}&order_direction=asc")).await;
        assert_eq!(found, expected, "{query}");
    }
}

async fn agentex_unusable_queries_are_refused(server: Harness) {
    for query in ["trace_id=%00", "trace_id=%ff", "task_id=%zz", "order_by=%e9", "limit=%00"] {
        let refused = server.get(&format!("/spans?{query}")).await.refused(422);
        let field = query.split('=').next().unwrap();
        assert!(refused["message"].as_str().unwrap().starts_with(field), "{refused}");
    }
    assert_eq!(server.connections_made(), 1);
}

async fn agentex_row_66_other_methods_are_405(server: Harness) {
    for (method, path, allowed) in [
        ("DELETE", "/spans/a1", "GET,HEAD,PATCH"),
        ("PUT", "/spans/a1", "GET,HEAD,PATCH"),
        ("PUT", "/spans", "GET,HEAD,POST"),
        ("DELETE", "/spans/batch", "GET,HEAD,PATCH,POST,PUT"),
        ("DELETE", "/v5/spans", "POST"),
        ("PUT", "/public/v5/spans/x", "GET,HEAD,PATCH"),
    ] {
        let answer = server.send(method, path, &[], "").await;
        assert_eq!(answer.refused(405), json!({"detail": "Method Not Allowed"}));
        let mut allow: Vec<&str> = answer.header("allow").unwrap().split(',').collect();
        allow.sort_unstable();
        assert_eq!(allow.join(","), allowed, "{method} {path}");
    }
}

async fn agentex_rows_67_and_68_unknown_paths_and_trailing_slashes(server: Harness) {
    // `/` is the web UI's here, where the reference has nothing.
    for path in ["/nope", "//", "/nope/", "/spans//", "//spans/", "/spans/a/b", "/v5", "/api/nope", "/%ff"] {
        assert_eq!(server.get(path).await.refused(404), json!({"detail": "Not Found"}), "{path}");
    }
    for (path, location) in [
        ("/spans/?limit=1", "/spans?limit=1"),
        ("/spans/", "/spans"),
        ("/spans/a1/", "/spans/a1"),
        ("/v5/spans/batch/", "/v5/spans/batch"),
        ("/public/v5/spans/", "/public/v5/spans"),
        ("/api/traces/", "/api/traces"),
    ] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.header("location")), (307, Some(location)), "{path}");
    }
    assert_eq!(server.connections_made(), 1);
}
