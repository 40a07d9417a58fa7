//! `sgp-api` section 10, rows 34 to 67: the search over HTTP.

use std::sync::Arc;
use std::time::Duration;

use endspan_server::Config;
use endspan_store::memory::MemoryStore;
use serde_json::{Value, json};

use crate::harness::{Answer, Harness};
use crate::on_every_store;

on_every_store!(
    sgp_row_34_an_empty_body_finds_everything,
    sgp_row_35_bare_ids_are_cursors,
    sgp_row_36_pages_go_back,
    sgp_row_37_a_window_that_ends_before_it_begins_is_422,
    sgp_rows_38_and_39_ten_thousand_ids,
    sgp_rows_40_to_42_identities,
    sgp_row_43_roots_and_children,
    sgp_row_44_durations,
    sgp_row_45_and_46_token_sorts_and_ties,
    sgp_rows_47_to_49_statuses_and_observability_ids,
    sgp_row_50_extra_metadata,
    sgp_row_51_agents,
    sgp_rows_52_to_60_and_62_texts,
    sgp_row_61_terms_have_bounds,
    sgp_row_63_common_terms_are_no_error,
    sgp_row_66_another_account_finds_nothing,
    sgp_row_67_project_headers_are_ignored,
    sgp_search_mistakes_are_located,
    sgp_search_cursors_hold_their_order,
    sgp_search_is_no_id,
);

const UUID: &str = "0198c0de-0000-7000-8000-00000000abcd";

async fn ask(server: &Harness, query: &str, body: Value) -> Answer {
    server.json("POST", &format!("/v5/spans/search{query}"), body.to_string()).await
}

async fn found(server: &Harness, query: &str, body: Value) -> Vec<String> {
    ids(&ask(server, query, body).await.ok())
}

fn ids(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|span| span["id"].as_str().unwrap().to_owned()).collect()
}

fn span(trace: &str, id: &str, second: u32) -> Value {
    json!({"id": id, "trace_id": trace, "name": "n", "start_timestamp": format!("2024-01-01T00:00:{second:02}Z")})
}

fn with(mut span: Value, members: Value) -> Value {
    for (key, value) in members.as_object().unwrap() {
        span[key] = value.clone();
    }
    span
}

async fn store(server: &Harness, items: &[Value]) {
    server.put("/v5/spans/batch", json!({ "items": items }).to_string()).await.ok();
}

async fn five(server: &Harness) {
    let spans: Vec<_> = (0..5).map(|number| span("t", &format!("s{number}"), number)).collect();
    store(server, &spans).await;
}

async fn sgp_row_34_an_empty_body_finds_everything(server: Harness) {
    store(&server, &[with(span("t", "a", 0), json!({"input": {"k": 1}}))]).await;
    let page = ask(&server, "", json!({})).await.ok();
    assert_eq!(page["items"][0], server.get("/v5/spans/a").await.ok());
    let rest = json!({
        "items": [page["items"][0]], "has_more": false, "total": 0, "next_cursor": null, "prev_cursor": null,
        "search_status": "complete", "searched_through": null, "object": "list",
    });
    assert_eq!(page, rest);
    let nothing =
        json!({"trace_ids": [], "names": null, "parents_only": false, "extra_metadata": {}, "other": 1});
    assert_eq!(found(&server, "", nothing).await, ["a"]);
    let public = server.json("POST", "/public/v5/spans/search", "{}").await.ok();
    assert_eq!(ids(&public), ["a"]);
}

async fn sgp_row_35_bare_ids_are_cursors(server: Harness) {
    five(&server).await;
    let mut after = String::new();
    let mut pages = Vec::new();
    for _ in 0..3 {
        let page = ask(&server, &format!("?limit=2{after}"), json!({})).await.ok();
        pages.push((ids(&page).join(" "), page["has_more"].as_bool().unwrap()));
        after = format!("&starting_after={}", ids(&page).last().unwrap());
    }
    let expected = [("s4 s3", true), ("s2 s1", true), ("s0", false)];
    assert_eq!(pages, expected.map(|(ids, more)| (ids.to_owned(), more)));
    // The cursors that pages hand out lead the same way.
    let mut query = "?limit=2".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = ask(&server, &query, json!({})).await.ok();
        seen.extend(ids(&page));
        let Some(next) = page["next_cursor"].as_str() else { break };
        query = format!("?limit=2&starting_after={next}");
    }
    assert_eq!(seen, ["s4", "s3", "s2", "s1", "s0"]);
}

async fn sgp_row_36_pages_go_back(server: Harness) {
    five(&server).await;
    assert_eq!(found(&server, "?ending_before=s2", json!({})).await, ["s4", "s3"]);
    let page = ask(&server, "?limit=1&ending_before=s2", json!({})).await.ok();
    assert_eq!((ids(&page), &page["has_more"]), (vec!["s3".to_owned()], &json!(true)));
    let back = format!("?limit=1&ending_before={}", page["prev_cursor"].as_str().unwrap());
    let first = ask(&server, &back, json!({})).await.ok();
    assert_eq!((ids(&first), &first["has_more"]), (vec!["s4".to_owned()], &json!(false)));
    assert_eq!(first["prev_cursor"], json!(null));
    let forth = format!("?limit=1&starting_after={}", first["next_cursor"].as_str().unwrap());
    assert_eq!(found_first(&server, &forth).await, "s3");
    ask(&server, "?ending_before=s2&starting_after=s1", json!({})).await.refused(422);
    ask(&server, "?ending_before=unknown", json!({})).await.refused(422);
}

async fn found_first(server: &Harness, query: &str) -> String {
    ids(&ask(server, query, json!({})).await.ok()).remove(0)
}

async fn sgp_row_37_a_window_that_ends_before_it_begins_is_422(server: Harness) {
    five(&server).await;
    let window = "?from_ts=2024-01-01T00:00:01%2B00:00&to_ts=2024-01-01T00:00:03Z";
    assert_eq!(found(&server, window, json!({})).await, ["s3", "s2", "s1"]);
    let answer = ask(&server, "?from_ts=2024-01-02&to_ts=2024-01-01", json!({})).await.refused(422);
    assert_eq!(answer["detail"][0]["loc"], json!(["query", "from_ts"]));
}

async fn sgp_rows_38_and_39_ten_thousand_ids(server: Harness) {
    five(&server).await;
    let mut trace_ids: Vec<String> = (1..10_000).map(|number| number.to_string()).collect();
    trace_ids.push("t".to_owned());
    assert_eq!(found(&server, "?limit=2", json!({ "trace_ids": trace_ids })).await, ["s4", "s3"]);
    trace_ids.push("x".to_owned());
    ask(&server, "", json!({ "trace_ids": trace_ids })).await.refused(422);
    let pairs: Vec<_> =
        (0..5001).map(|number| json!({"trace_id": "t", "span_id": number.to_string()})).collect();
    let answer = ask(&server, "", json!({ "spans": pairs })).await.refused(422);
    assert_eq!(answer["detail"][0]["loc"][0], "body");
    ask(&server, "", json!({ "excluded_spans": pairs })).await.refused(422);
    assert_eq!(found(&server, "", json!({ "spans": pairs[..5000] })).await, [""; 0]);
}

async fn sgp_rows_40_to_42_identities(server: Harness) {
    store(&server, &[span("A", "s", 1), span("B", "s", 0)]).await;
    let of_a = json!([{"trace_id": "A", "span_id": "s"}]);
    for (body, expected) in [
        (json!({"span_ids": ["s"]}), vec!["A", "B"]),
        (json!({"spans": of_a}), vec!["A"]),
        (json!({"excluded_span_ids": ["s"]}), vec![]),
        (json!({"excluded_spans": of_a}), vec!["B"]),
        (json!({"excluded_spans": of_a, "excluded_span_ids": ["s"]}), vec!["B"]),
        (json!({"excluded_trace_ids": ["B"]}), vec!["A"]),
    ] {
        let page = ask(&server, "", body.clone()).await.ok();
        let traces: Vec<_> =
            page["items"].as_array().unwrap().iter().map(|span| span["trace_id"].clone()).collect();
        assert_eq!(traces, expected, "{body}");
    }
    // A bare id that two traces have is the one in the only trace asked for.
    assert_eq!(found(&server, "?starting_after=s", json!({"trace_ids": ["A"]})).await, [""; 0]);
}

async fn sgp_row_43_roots_and_children(server: Harness) {
    let child = |id, parent: &str, second| with(span("t", id, second), json!({"parent_id": parent}));
    store(&server, &[span("t", "root", 0), child("a", "root", 1), child("b", "a", 2)]).await;
    assert_eq!(found(&server, "", json!({"parents_only": true})).await, ["root"]);
    assert_eq!(found(&server, "", json!({"parent_ids": ["root"]})).await, ["a"]);
}

async fn sgp_row_44_durations(server: Harness) {
    let lasting = |id: &str, ms: u32| {
        with(span("t", id, 0), json!({"end_timestamp": format!("2024-01-01T00:00:00.{ms:03}Z")}))
    };
    store(&server, &[lasting("5", 5), lasting("10", 10), lasting("11", 11), span("t", "none", 0)]).await;
    let body = json!({"min_duration_ms": 5, "max_duration_ms": 10});
    assert_eq!(found(&server, "?sort_by=duration_ms&sort_order=asc", body).await, ["5", "10"]);
    assert_eq!(found(&server, "", json!({"max_duration_ms": 5})).await, ["5"]);
}

async fn sgp_row_45_and_46_token_sorts_and_ties(server: Harness) {
    let usage = |tokens| json!({"output": {"usage": {"input_tokens": tokens}}});
    let spans = [
        with(span("t", "5", 0), usage(5)),
        span("u", "none", 0),
        with(span("t", "9", 0), usage(9)),
        span("t", "none", 0),
    ];
    store(&server, &spans).await;
    let page = ask(&server, "?sort_by=input_tokens&sort_order=desc", json!({})).await.ok();
    assert_eq!(ids(&page), ["9", "5", "none", "none"]);
    assert_eq!((&page["items"][2]["trace_id"], &page["items"][0]["input_tokens"]), (&json!("t"), &json!(9)));
    assert_eq!(
        found(&server, "?sort_by=input_tokens&sort_order=asc&limit=3", json!({})).await,
        ["none", "none", "5"]
    );
}

async fn sgp_rows_47_to_49_statuses_and_observability_ids(server: Harness) {
    let trace = "0123456789abcdef0123456789abcdef";
    let failed = json!({"status": "ERROR", "obs_trace_id": trace, "obs_span_id": "0123456789abcdef"});
    store(
        &server,
        &[with(span("t", "failed", 0), failed), with(span("t", "other", 1), json!({"obs_trace_id": trace}))],
    )
    .await;
    assert_eq!(found(&server, "", json!({"statuses": ["ERROR"]})).await, ["failed"]);
    assert_eq!(found(&server, "", json!({"obs_trace_ids": [trace]})).await, ["other", "failed"]);
    let both = json!({"obs_trace_ids": [trace], "obs_span_ids": ["0123456789abcdef"]});
    assert_eq!(found(&server, "", both).await, ["failed"]);
    for bad in ["0123", "0123456789ABCDEF0123456789ABCDEF"] {
        ask(&server, "", json!({"obs_trace_ids": [bad]})).await.refused(422);
    }
}

async fn sgp_row_50_extra_metadata(server: Harness) {
    store(&server, &[with(span("t", "a", 0), json!({"metadata": {"k": 1, "m": "x", "l": [1, 2]}}))]).await;
    for (filter, hit) in [
        (json!({"k": [1, 2], "m": "x"}), true),
        (json!({"k": 3}), false),
        (json!({"l": [1, 2]}), true),
        (json!({"l": [[1, 2]]}), true),
        (json!({"$or": [{"k": 3}, {"m": "x"}]}), true),
        (json!({"$and": [{"k": 1}, {"m": "y"}]}), false),
    ] {
        let expected: &[&str] = if hit { &["a"] } else { &[] };
        assert_eq!(found(&server, "", json!({ "extra_metadata": filter })).await, expected, "{filter}");
    }
}

async fn sgp_row_51_agents(server: Harness) {
    let metadata =
        json!({"metadata": {"__agent_name__": "bot", "__agent_id__": "7", "__acp_type__": "async"}});
    store(&server, &[with(span("t", "a", 0), metadata), span("t", "b", 1)]).await;
    let all =
        json!({"agentex_agent_names": ["bot"], "agentex_agent_ids": ["7"], "acp_types": ["sync", "async"]});
    assert_eq!(found(&server, "", all).await, ["a"]);
    assert_eq!(found(&server, "", json!({"agentex_agent_names": ["Bot"]})).await, [""; 0]);
}

async fn sgp_rows_52_to_60_and_62_texts(server: Harness) {
    let holding = |id, second, input: &str, output: &str| {
        with(span("t", id, second), json!({"input": {"text": input}, "output": {"text": output}}))
    };
    store(
        &server,
        &[
            holding("a", 1, "database connection error", "a-b/c.d"),
            holding("b", 2, "say \"hi\" now", "an \"open end"),
            with(span(UUID, "c", 3), json!({"name": "myconnection"})),
        ],
    )
    .await;
    for (terms, expected) in [
        (vec!["connection"], vec!["c", "a"]),
        (vec!["connect"], vec!["c"]),
        (vec!["connection error"], vec!["a"]),
        (vec!["error connection"], vec![]),
        (vec!["b/c"], vec!["a"]),
        (vec!["\"say \\\"hi\\\"\""], vec!["b"]),
        (vec!["\"error a\""], vec![]),
        (vec!["database", "a-b"], vec!["a"]),
        (vec![UUID], vec!["c"]),
        (vec![UUID, "database"], vec!["c", "a"]),
        (vec!["\"0198c0de-0000-7000-8000-00000000abcd\""], vec![]),
        (vec!["\"open"], vec!["b"]),
    ] {
        assert_eq!(found(&server, "", json!({ "search_texts": terms })).await, expected, "{terms:?}");
    }
}

async fn sgp_row_61_terms_have_bounds(server: Harness) {
    for terms in [vec!["a"], vec!["ab"; 11]] {
        let answer = ask(&server, "", json!({ "search_texts": terms })).await.refused(422);
        assert_eq!(answer["detail"][0]["loc"], json!(["body", "search_texts"]));
    }
}

/// There is no bound on how many spans hold a term.
async fn sgp_row_63_common_terms_are_no_error(server: Harness) {
    let spans: Vec<_> = (0..300)
        .map(|number| with(span("t", &number.to_string(), 1), json!({"input": {"x": "common"}})))
        .collect();
    store(&server, &spans).await;
    assert_eq!(found(&server, "?limit=1000", json!({"search_texts": ["common"]})).await.len(), 300);
}

#[tokio::test]
async fn sgp_row_64_a_page_over_its_bytes() {
    let config = Config { max_search_bytes: 4000, ..Config::default() };
    let server = Harness::with(config, Arc::new(MemoryStore::new())).await;
    let large = "x".repeat(1000);
    let spans: Vec<_> = (0..5)
        .map(|number| with(span("t", &format!("s{number}"), number), json!({"input": {"x": large}})))
        .collect();
    store(&server, &spans).await;
    let answer = ask(&server, "", json!({})).await.refused(400);
    assert!(answer["detail"].as_str().unwrap().starts_with("SEARCH_RESULT_TOO_LARGE"));
    let page = ask(&server, "?allow_partial_results=true", json!({})).await.ok();
    assert_eq!(
        (ids(&page).len(), &page["has_more"], &page["search_status"]),
        (2, &json!(true), &json!("complete"))
    );
    let next =
        format!("?allow_partial_results=true&starting_after={}", page["next_cursor"].as_str().unwrap());
    assert_eq!(found(&server, &next, json!({})).await[0], "s2");
}

#[tokio::test]
async fn sgp_row_65_a_search_out_of_time() {
    let config = Config { search_timeout: Duration::ZERO, ..Config::default() };
    let server = Harness::with(config, Arc::new(MemoryStore::new())).await;
    five(&server).await;
    let answer = ask(&server, "", json!({})).await.refused(400);
    assert!(answer["detail"].as_str().unwrap().starts_with("QUERY_TOO_BROAD"));
    let mut query = "?allow_partial_results=true".to_owned();
    let mut seen = Vec::new();
    for _ in 0..6 {
        let page = ask(&server, &query, json!({})).await.ok();
        seen.extend(ids(&page));
        let Some(next) = page["next_cursor"].as_str() else { break };
        assert_eq!(page["search_status"], "partial");
        assert!(page["searched_through"].as_str().unwrap().starts_with("2024-01-01T00:00:0"));
        query = format!("?allow_partial_results=true&starting_after={next}");
    }
    assert_eq!(seen, ["s4", "s3", "s2", "s1", "s0"]);
}

async fn sgp_row_66_another_account_finds_nothing(server: Harness) {
    five(&server).await;
    let headers = [("content-type", "application/json"), ("x-selected-account-id", "other")];
    let page = server.send("POST", "/v5/spans/search", &headers, "{}").await.ok();
    assert_eq!((ids(&page), &page["has_more"]), (vec![], &json!(false)));
    // No cursor tells what another account has.
    let cursor = ask(&server, "?limit=1", json!({})).await.ok()["next_cursor"].as_str().unwrap().to_owned();
    let path = format!("/v5/spans/search?starting_after={cursor}");
    assert_eq!(ids(&server.send("POST", &path, &headers, "{}").await.ok()), [""; 0]);
    server.send("POST", "/v5/spans/search?starting_after=s1", &headers, "{}").await.refused(422);
}

async fn sgp_row_67_project_headers_are_ignored(server: Harness) {
    five(&server).await;
    let headers = [("content-type", "application/json"), ("x-project-id", "p")];
    assert_eq!(ids(&server.send("POST", "/v5/spans/search", &headers, "{}").await.ok()).len(), 5);
}

async fn sgp_search_mistakes_are_located(server: Harness) {
    for (query, body, location) in [
        ("?limit=0", json!({}), json!(["query", "limit"])),
        ("?limit=1001", json!({}), json!(["query", "limit"])),
        ("?sort_by=name", json!({}), json!(["query", "sort_by"])),
        ("?sort_order=up", json!({}), json!(["query", "sort_order"])),
        ("?from_ts=soon", json!({}), json!(["query", "from_ts"])),
        ("?allow_partial_results=maybe", json!({}), json!(["query", "allow_partial_results"])),
        ("", json!([]), json!(["body"])),
        ("", json!({"trace_ids": "t"}), json!(["body", "trace_ids"])),
        ("", json!({"trace_ids": ["t", 1]}), json!(["body", "trace_ids", 1])),
        ("", json!({"spans": [{"trace_id": "t"}]}), json!(["body", "spans", 0, "span_id"])),
        ("", json!({"statuses": ["BAD"]}), json!(["body", "statuses", 0])),
        ("", json!({"types": ["LLM"]}), json!(["body", "types", 0])),
        ("", json!({"parents_only": 1}), json!(["body", "parents_only"])),
        ("", json!({"min_duration_ms": 1.5}), json!(["body", "min_duration_ms"])),
        ("", json!({"extra_metadata": []}), json!(["body", "extra_metadata"])),
    ] {
        let answer = ask(&server, query, body.clone()).await.refused(422);
        assert_eq!(answer["detail"][0]["loc"], location, "{query} {body}");
    }
    server.json("POST", "/v5/spans/search", "{").await.refused(422);
    server.json("POST", "/v5/spans/search", "[".repeat(10_000)).await.refused(422);
    // None is assessed; `assessments.rs` has some that are.
    assert_eq!(found(&server, "", json!({"assessment_types": ["rating"]})).await, [""; 0]);
}

async fn sgp_search_cursors_hold_their_order(server: Harness) {
    five(&server).await;
    let page = ask(&server, "?limit=1", json!({})).await.ok();
    let query = format!("?sort_order=asc&starting_after={}", page["next_cursor"].as_str().unwrap());
    let answer = ask(&server, &query, json!({})).await.refused(422);
    assert_eq!(answer["detail"][0]["loc"], json!(["query", "starting_after"]));
}

/// A span may have it as its id.
async fn sgp_search_is_no_id(server: Harness) {
    store(&server, &[span("t", "search", 0)]).await;
    assert_eq!(server.get("/v5/spans/search").await.ok()["id"], "search");
}
