//! Export and import: what is exported and imported again is the same.

use std::sync::Arc;

use endspan_model::{AccountId, Payload, Span, SpanType, Status, Timestamp};
use endspan_server::Config;
use endspan_store::memory::MemoryStore;
use endspan_store::{SpanStore, StoreError, WriteOperation, WriteRequest};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::harness::Harness;
use crate::on_every_store;
use crate::scripted_store::ScriptedStore;

on_every_store!(lines_stand_each_for_itself, what_cannot_be_imported_is_told);

const LINES: [(&str, &str); 1] = [("content-type", "application/x-ndjson")];

async fn everything(store: &dyn SpanStore) -> Vec<(AccountId, Span)> {
    let changes = store.changes(None, 0, u32::MAX).await.unwrap();
    changes.spans.into_iter().map(|stored| (stored.account, stored.span)).collect()
}

fn text(most: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![any::<char>(), Just('"'), Just('\\'), Just('\n'), Just('/'), Just('é')],
        0..most,
    )
    .prop_map(|characters| characters.into_iter().filter(|character| *character != '\0').collect())
}

fn payload() -> impl Strategy<Value = Option<Payload>> {
    const TEXTS: [&str; 5] = [
        "{}",
        "[]",
        "[{\"a\":1.10},{\"a\":1e-7}]",
        "{\"b\":null,\"a\":[1,[2,{\"c\":\"\\u0000\\ud83d\\ude00\"}]]}",
        "{\"__proto__\":12345678901234567890123456789,\"a\":1,\"a\":2}",
    ];
    proptest::option::of(proptest::sample::select(&TEXTS))
        .prop_map(|text| text.map(|text| Payload::parse(text).unwrap()))
}

fn moment() -> impl Strategy<Value = Timestamp> {
    let whole = Timestamp::MIN.unix_micros()..=Timestamp::MAX.unix_micros();
    (whole, 0_u16..1000).prop_map(|(micros, nanos)| Timestamp::from_parts(micros, nanos).unwrap())
}

fn span() -> impl Strategy<Value = (AccountId, Span)> {
    let id = || text(30);
    let ids = (id(), id(), proptest::option::of(id()), text(60));
    let times = (moment(), proptest::option::of(moment()));
    let kinds = (
        proptest::option::of(proptest::sample::select(&[Status::Success, Status::Error, Status::Canceled])),
        proptest::option::of(proptest::sample::select(&[SpanType::Completion, SpanType::Standalone])),
        proptest::sample::select(&["default", "Zürich", "a b"]),
    );
    let payloads = (payload(), payload(), payload(), payload(), proptest::option::of(Just("{\"kind\":3}")));
    let texts = (
        proptest::option::of(id()),
        proptest::option::of(id()),
        proptest::option::of(id()),
        proptest::option::of(id()),
        proptest::option::of("[0-9a-f]{32}"),
    );
    (ids, times, kinds, payloads, texts).prop_map(|(ids, times, kinds, payloads, texts)| {
        let mut span = Span::new(ids.0, ids.1, ids.3, times.0);
        span.parent_id = ids.2.map(Into::into);
        span.end_time = times.1.filter(|end| *end >= times.0);
        (span.status, span.span_type) = (kinds.0, kinds.1);
        (span.input, span.output, span.metadata, span.expected) =
            (payloads.0, payloads.1, payloads.2, payloads.3);
        span.otel = payloads.4.map(|text| Payload::parse(text).unwrap());
        (span.task_id, span.group_id, span.application_variant_id) = (texts.0, texts.1, texts.2);
        span.application_interaction_id = texts.3;
        span.obs_span_id = texts.4.as_ref().map(|text| text[..16].to_owned());
        span.obs_trace_id = texts.4;
        (AccountId::new(kinds.2), span)
    })
}

#[tokio::test]
async fn a_round_trip_is_the_identity() {
    let (from, to) = (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
    let config = || Config { redactor: None, ..Config::default() };
    let (source, target) =
        (Harness::with(config(), from.clone()).await, Harness::with(config(), to.clone()).await);
    let mut runner = TestRunner::deterministic();
    for _ in 0..700 {
        let (account, span) = span().new_tree(&mut runner).unwrap().current();
        let operations = vec![WriteOperation::Upsert(span)];
        let request = WriteRequest { account, operations, all_or_nothing: false, check_parents: false };
        from.write(request).await.unwrap();
    }
    let exported = source.get("/api/export").await;
    assert_eq!((exported.status, exported.header("content-type")), (200, Some("application/x-ndjson")));
    let answer = target.send("POST", "/api/import", &LINES, exported.body.clone()).await.ok();
    let spans = everything(from.as_ref()).await;
    assert_eq!(answer["stored"], spans.len(), "{answer}");
    assert_eq!(answer["rejected"], 0);
    let mut there = everything(to.as_ref()).await;
    let mut here = spans;
    let key = |(account, span): &(AccountId, Span)| (account.clone(), span.trace_id.clone(), span.id.clone());
    there.sort_by_key(key);
    here.sort_by_key(key);
    for (there, here) in there.iter().zip(&here) {
        assert_eq!(there, here);
    }
    assert_eq!(there.len(), here.len());
    // Once more changes nothing, and the second export is the first one but for its order.
    target.send("POST", "/api/import", &LINES, exported.body.clone()).await.ok();
    let again = target.get("/api/export").await.text();
    let (mut again, exported) = (again.lines().collect::<Vec<_>>(), exported.text());
    let mut first: Vec<_> = exported.lines().collect();
    again.sort_unstable();
    first.sort_unstable();
    assert_eq!(again, first);
    assert_eq!(target.conservation("import").await, [("stored".to_owned(), 2 * first.len() as u64)]);
}

async fn lines_stand_each_for_itself(server: Harness) {
    let good = r#"{"account":"a","trace_id":"t","id":"1","name":"n","start_time":"2026-01-01T00:00:00Z"}"#;
    let bad = good.replace("2026-", "x");
    let body = format!("\r\n{good}\n\n{bad}\n{}\r\n", good.replace("\"1\"", "\"2\""));
    let answer = server.send("POST", "/api/import", &LINES, body).await.ok();
    assert_eq!(
        (&answer["received"], &answer["stored"], &answer["rejected"]),
        (&3.into(), &2.into(), &1.into())
    );
    assert_eq!(answer["errors"][0]["line"], 4);
    // The header outranks the lines; exports follow it, and name what they were asked for.
    let to_b = [LINES[0], ("x-selected-account-id", "b")];
    server.send("POST", "/api/import", &to_b, good).await.ok();
    let of_b = server.send("GET", "/api/export", &[to_b[1]], "").await.text();
    assert_eq!(of_b, good.replace("\"a\"", "\"b\"") + "\n");
    let of_trace = server.get("/api/export?trace_id=t").await.text();
    assert_eq!(of_trace.lines().count(), 3);
    assert_eq!(server.get("/api/export?trace_id=other").await.text(), "");
    assert_eq!(server.get("/api/export").await.text().lines().count(), 3);
}

async fn what_cannot_be_imported_is_told(server: Harness) {
    let good = r#"{"account":"a","trace_id":"t","id":"1","name":"n","start_time":"2026-01-01T00:00:00Z"}"#;
    let with = |field: &str| good.replacen('{', &format!("{{{field},"), 1);
    for (line, said) in [
        ("{".to_owned(), "EOF"),
        ("null".to_owned(), "invalid type"),
        (good.replace("\"a\"", "\" a\""), "account"),
        (good.replace("\"a\"", "\"\""), "account"),
        (good.replace("\"t\"", "\"\\u0000\""), "trace_id"),
        (good.replace("\"1\"", &format!("\"{}\"", "1".repeat(257))), "id"),
        (good.replace("\"n\"", &format!("\"{}\"", "n".repeat(16_385))), "name"),
        (with("\"end_time\":\"2025-01-01T00:00:00Z\""), "end_time"),
        (with("\"status\":\"FINE\""), "status"),
        (with("\"type\":\"x\""), "type"),
        (with("\"obs_trace_id\":\"AB\""), "obs_trace_id"),
        (with("\"input\":3"), "input"),
        (with("\"input\":{\"a\":\"\\ud800\"}"), "input"),
        (with("\"otel\":[]"), "otel"),
        (with("\"future\":1"), "future"),
        (with(&format!("\"input\":{}1{}", "[".repeat(600), "]".repeat(600))), "input"),
    ] {
        let answer = server.send("POST", "/api/import", &LINES, line.clone()).await.ok();
        assert_eq!(answer["rejected"], 1, "{line}");
        let message = answer["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains(said), "{line}: {message}");
    }
    let too_many = format!("{good}\n").repeat(1001);
    assert_eq!(server.send("POST", "/api/import", &LINES, too_many).await.refused(422)["field"], "body");
    assert_eq!(server.post("/api/import", good).await.refused(422)["field"], "content-type");
    assert_eq!(server.get("/api/export").await.text(), "");
    server.conservation("import").await;
}

#[tokio::test]
async fn a_store_without_room_can_still_be_exported() {
    let store = ScriptedStore::new();
    let server = Harness::with_store(store.clone()).await;
    let span = Span::new("a trace", "a span", "kept", Timestamp::from_unix_micros(0).unwrap());
    let request = WriteRequest {
        account: AccountId::new("default"),
        operations: vec![WriteOperation::Upsert(span)],
        all_or_nothing: false,
        check_parents: false,
    };
    store.write(request).await.unwrap();
    store.fail_writes(StoreError::Unavailable("no room".to_owned()));
    assert_eq!(server.get("/readyz").await.status, 503);
    let exported = server.get("/api/export").await;
    assert_eq!((exported.status, exported.text().lines().count()), (200, 1));
    store.fail(StoreError::Unavailable("gone".to_owned()));
    assert_eq!(server.get("/api/export").await.status, 503);
}
