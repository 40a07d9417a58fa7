//! Deleting by request, and what goes by itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use endspan_model::{AccountId, Timestamp};
use endspan_server::{Config, Retention, RetentionLimits};
use endspan_store::SpanStore;
use endspan_store::memory::MemoryStore;
use endspan_store_embedded::{EmbeddedStore, Options};
use serde_json::{Value, json};

use crate::harness::Harness;
use crate::on_every_store;

on_every_store!(
    a_trace_is_deleted_as_a_whole,
    a_range_of_time_is_deleted_but_not_what_reaches_beyond_it,
    a_deletion_that_is_not_understood_deletes_nothing,
);

const DAY: i64 = 86_400;

async fn put(server: &Harness, account: &str, trace_id: &str, starts: &[i64]) {
    let items: Vec<Value> = starts
        .iter()
        .enumerate()
        .map(|(index, start)| {
            json!({"trace_id": trace_id, "id": format!("{trace_id}-{index}"), "name": "n", "start_timestamp": start,
                "end_timestamp": start + 1, "input": {"text": format!("{trace_id} {index} ").repeat(200)}})
        })
        .collect();
    let headers = [("content-type", "application/json"), ("x-selected-account-id", account)];
    let body = json!({ "items": items }).to_string();
    server.send("PUT", "/v5/spans/batch", &headers, body).await.ok();
}

/// Returns the traces that are left, with their counts of spans.
async fn left(server: &Harness) -> Vec<(String, u64)> {
    let page = server.get("/api/traces?limit=1000").await.ok();
    let traces = page["traces"].as_array().unwrap();
    let mut left: Vec<_> = traces
        .iter()
        .map(|trace| (trace["trace_id"].as_str().unwrap().to_owned(), trace["span_count"].as_u64().unwrap()))
        .collect();
    left.sort();
    left
}

fn owned(left: &[(&str, u64)]) -> Vec<(String, u64)> {
    left.iter().map(|(id, count)| ((*id).to_owned(), *count)).collect()
}

async fn a_trace_is_deleted_as_a_whole(server: Harness) {
    put(&server, "a", "one", &[0, 1, 2]).await;
    put(&server, "a", "two/2", &[0]).await;
    put(&server, "b", "one", &[0]).await;
    let of_a = [("x-selected-account-id", "a")];
    let deleted = server.send("DELETE", "/api/traces/one", &of_a, "").await.ok();
    assert_eq!(
        (&deleted["spans"], &deleted["traces"], &deleted["more"]),
        (&3.into(), &1.into(), &false.into())
    );
    assert_eq!(left(&server).await, owned(&[("one", 1), ("two/2", 1)]));
    server.send("DELETE", "/api/traces/one", &of_a, "").await.refused(404);
    server.send("GET", "/v5/spans/one-0", &of_a, "").await.refused(404);
    server.send("DELETE", "/api/traces/two%2F2", &[], "").await.ok();
    // What was deleted may be written again.
    put(&server, "a", "one", &[5]).await;
    assert_eq!(server.send("GET", "/v5/spans/one-0", &of_a, "").await.ok()["trace_id"], "one");
    assert_eq!(server.metric("endspan_deleted_spans_total{reason=\"request\"}").await, 4);
    assert_eq!(server.metric("endspan_deleted_traces_total{reason=\"request\"}").await, 2);
}

async fn a_range_of_time_is_deleted_but_not_what_reaches_beyond_it(server: Harness) {
    put(&server, "a", "old", &[DAY, DAY + 5]).await;
    put(&server, "a", "across", &[DAY, 3 * DAY]).await;
    put(&server, "a", "new", &[3 * DAY]).await;
    put(&server, "b", "other", &[DAY]).await;
    let path = format!("/api/traces?start_before={}&start_after=1970-01-02T00:00:01Z", 2 * DAY);
    let of_a = [("x-selected-account-id", "a")];
    assert_eq!(server.send("DELETE", &path, &of_a, "").await.ok()["spans"], 0, "they began too early");
    let path = format!("/api/traces?start_before={}", 2 * DAY);
    let deleted = server.send("DELETE", &path, &of_a, "").await.ok();
    assert_eq!((&deleted["spans"], &deleted["traces"]), (&2.into(), &1.into()));
    assert_eq!(left(&server).await, owned(&[("across", 2), ("new", 1), ("other", 1)]));
    server.send("DELETE", "/api/traces?start_before=2000-01-01T00:00:00Z", &[], "").await.ok();
    assert_eq!(left(&server).await, []);
}

async fn a_deletion_that_is_not_understood_deletes_nothing(server: Harness) {
    put(&server, "a", "one", &[0]).await;
    for query in
        ["", "?start_after=0", "?start_before=x", "?start_before=9&name=x", "?before=9", "?start_before="]
    {
        let refused = server.send("DELETE", &format!("/api/traces{query}"), &[], "").await;
        assert!(refused.refused(422)["field"].is_string(), "{query}");
    }
    assert_eq!(left(&server).await, owned(&[("one", 1)]));
}

/// Asks until an answer is as wanted.
async fn wait_for(server: &Harness, wanted: &[(&str, u64)]) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while left(server).await != owned(wanted) {
        assert!(std::time::Instant::now() < deadline, "{:?}", left(server).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn with_retention(retention: Retention, store: Arc<dyn SpanStore>) -> Harness {
    let retention_interval = Duration::from_millis(30);
    Harness::with(Config { retention, retention_interval, ..Config::default() }, store).await
}

async fn age_and_size_hold(store: Arc<dyn SpanStore>) {
    let now = Timestamp::now().unix_micros() / 1_000_000;
    let days = |count: u64| Some(Duration::from_secs(count * 86_400));
    let retention = Retention {
        default: RetentionLimits { max_age: days(7), max_bytes: None },
        accounts: HashMap::from([
            (AccountId::new("kept"), RetentionLimits::default()),
            (AccountId::new("small"), RetentionLimits { max_age: None, max_bytes: Some(2 * 512 + 400) }),
        ]),
    };
    let server = with_retention(retention, store).await;
    put(&server, "default", "old", &[now - 9 * DAY, now - 8 * DAY]).await;
    put(&server, "default", "lasting", &[now - 9 * DAY, now - DAY]).await;
    put(&server, "kept", "ancient", &[now - 900 * DAY]).await;
    // Of four traces with some 150 bytes on disk and 512 for the row each, two fit.
    for (trace, age) in [("s1", 4), ("s2", 3), ("s3", 2), ("s4", 1)] {
        put(&server, "small", trace, &[now - age * DAY]).await;
    }
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        let stats = server.get("/api/stats").await.ok();
        if stats["retention"]["deleted_by_age"] == 2
            && stats["retention"]["deleted_by_size"].as_u64() >= Some(1)
        {
            assert_eq!(stats["retention"]["max_age_seconds"], 7 * DAY);
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{stats}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let names: Vec<String> = left(&server).await.into_iter().map(|(name, _)| name).collect();
    assert!(
        !names.contains(&"s1".to_owned()) && names.contains(&"s4".to_owned()),
        "the oldest go: {names:?}"
    );
    for name in ["ancient", "lasting"] {
        assert!(names.contains(&name.to_owned()), "{names:?}");
    }
    assert_eq!(server.metric("endspan_retention_failures_total").await, 0);
}

#[tokio::test]
async fn memory_keeps_ages_and_sizes() {
    let store: Arc<dyn SpanStore> = Arc::new(MemoryStore::new());
    let now = Timestamp::now().unix_micros() / 1_000_000;
    let retention = Retention {
        default: RetentionLimits { max_age: Some(Duration::from_secs(7 * 86_400)), max_bytes: None },
        accounts: HashMap::new(),
    };
    let server = with_retention(retention, store).await;
    put(&server, "default", "old", &[now - 8 * DAY]).await;
    put(&server, "default", "lasting", &[now - 9 * DAY, now - DAY]).await;
    wait_for(&server, &[("lasting", 2)]).await;
}

#[tokio::test]
async fn embedded_keeps_ages_and_sizes() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path(), Options::default()).unwrap();
    age_and_size_hold(Arc::new(store)).await;
}
