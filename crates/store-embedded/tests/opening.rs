//! What can lie in a store's directory: nothing, a store of an earlier version, of a later one, a damaged one,
//! something else, or a store that is in use.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use endspan_model::{AccountId, Payload, Span, SpanPatch, SpanType, Status, Timestamp};
use endspan_store::{
    ListOrder, ListQuery, SpanStore, StoreError, TraceQuery, WriteOperation, WriteRequest,
    conformance::block_on,
};
use endspan_store_embedded::{EmbeddedStore, OpenError, Options};

const DATABASE: &str = "endspan.db";

fn open(directory: &Path) -> Result<EmbeddedStore, OpenError> {
    EmbeddedStore::open(directory, Options::default())
}

fn write(store: &EmbeddedStore, account: &str, operations: Vec<WriteOperation>) {
    let account = AccountId::new(account);
    let request = WriteRequest { account, operations, all_or_nothing: false, check_parents: false };
    assert!(block_on(store.write(request)).unwrap().is_success());
}

/// Spans that use every column, in the order of their start.
fn fixture_spans() -> Vec<Span> {
    let payload = |text: &str| Some(Payload::parse(text.to_owned()).unwrap());
    let at = |micros: i64| Timestamp::from_unix_micros(1_700_000_000_000_000 + micros).unwrap();
    let root = "0198c0de-0000-7000-8000-000000000001";
    vec![
        Span {
            end_time: Some(at(900)),
            status: Some(Status::Success),
            span_type: Some(SpanType::AgentWorkflow),
            input: payload(r#"{"messages":[{"role":"user","content":"hello"}]}"#),
            output: payload(r#"{"content":"good day"}"#),
            metadata: payload(r#"{"k":1.50,"z":null}"#),
            expected: payload("{}"),
            otel: payload(r#"{"kind":1}"#),
            task_id: Some("task 1".to_owned()),
            group_id: Some("0198c0de-0000-7000-8000-00000000aaaa".to_owned()),
            application_variant_id: Some("variant".to_owned()),
            application_interaction_id: Some("interaction".to_owned()),
            obs_trace_id: Some("0123456789abcdef0123456789abcdef".to_owned()),
            obs_span_id: Some("0123456789abcdef".to_owned()),
            ..Span::new("trace 1", root, "run", at(0))
        },
        Span {
            parent_id: Some(root.into()),
            end_time: Timestamp::from_parts(at(500).unix_micros(), 123),
            status: Some(Status::Error),
            span_type: Some(SpanType::Completion),
            output: payload(r#"[{"text":"rewritten"}]"#),
            ..Span::new("trace 1", "second", "call", at(100))
        },
        Span { parent_id: Some("".into()), ..Span::new("trace 1", "", "still running", at(200)) },
    ]
}

fn write_fixture(directory: &Path) {
    let store = open(directory).unwrap();
    let spans = fixture_spans();
    let mut unfinished = spans[1].clone();
    unfinished.end_time = None;
    write(&store, "default", vec![WriteOperation::Upsert(unfinished)]);
    write(&store, "default", spans.into_iter().map(WriteOperation::Upsert).collect());
    let elsewhere = Span::new("trace 2", "moved", "elsewhere", Timestamp::MIN);
    write(&store, "other", vec![WriteOperation::Insert(elsewhere)]);
    let patch = SpanPatch { trace_id: Some("trace 3".into()), ..SpanPatch::default() };
    write(&store, "other", vec![WriteOperation::Patch { id: "moved".into(), patch: Box::new(patch) }]);
    block_on(store.close()).unwrap();
}

fn assert_fixture(store: &EmbeddedStore) {
    let account = AccountId::default();
    let spans = block_on(store.read_trace(Some(&account), &"trace 1".into(), true)).unwrap();
    let spans: Vec<Span> = spans.into_iter().map(|stored| stored.span).collect();
    assert_eq!(spans, fixture_spans());
    for span in spans {
        assert_eq!(block_on(store.find_span(None, &span.id)).unwrap().unwrap().span, span);
    }
    let moved = block_on(store.find_span(None, &"moved".into())).unwrap().unwrap();
    assert_eq!((moved.account.as_str(), moved.span.trace_id.as_str()), ("other", "trace 3"));
    let task = ListQuery { task_id: Some("task 1".to_owned()), limit: 10, ..ListQuery::default() };
    assert_eq!(block_on(store.list_spans(None, &task)).unwrap().len(), 1);
    let traces =
        block_on(store.list_traces(None, &TraceQuery { limit: 10, ..TraceQuery::default() })).unwrap().traces;
    let summary =
        (traces[0].name.as_str(), traces[0].span_count, traces[0].open_count, traces[0].error_count);
    assert_eq!((traces.len(), summary), (2, ("run", 3, 1, 1)));
    let changes = block_on(store.changes(None, 0, 100)).unwrap().spans;
    let ids: Vec<&str> = changes.iter().map(|stored| stored.span.id.as_str()).collect();
    assert_eq!(ids, ["0198c0de-0000-7000-8000-000000000001", "second", "", "moved"]);
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/store")
}

/// `ENDSPAN_WRITE_FIXTURE=v2.db cargo test -p endspan-store-embedded --test opening` makes the file of a new version.
#[test]
fn every_released_version_opens() {
    if let Ok(name) = std::env::var("ENDSPAN_WRITE_FIXTURE") {
        let directory = tempfile::tempdir().unwrap();
        write_fixture(directory.path());
        std::fs::copy(directory.path().join(DATABASE), fixtures().join(name)).unwrap();
    }
    let mut files = 0;
    for file in std::fs::read_dir(fixtures()).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "db") {
            continue;
        }
        files += 1;
        let directory = tempfile::tempdir().unwrap();
        std::fs::copy(&file, directory.path().join(DATABASE)).unwrap();
        let store = open(directory.path()).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert_fixture(&store);
        write(&store, "default", fixture_spans().into_iter().map(WriteOperation::Upsert).collect());
        block_on(store.maintain()).unwrap();
        drop(store);
        let store = open(directory.path()).unwrap();
        assert_eq!(block_on(store.stats()).unwrap().spans, 4);
    }
    let versions = block_on(async {
        let directory = tempfile::tempdir().unwrap();
        open(directory.path()).unwrap().stats().await.unwrap().schema_version
    });
    assert_eq!(files, versions, "there is a fixture of every schema version");
}

#[test]
fn a_directory_is_one_stores_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    assert!(matches!(open(directory.path()), Err(OpenError::Locked { .. })));
    block_on(store.close()).unwrap();
    let again = open(directory.path()).unwrap();
    drop(store);
    assert!(matches!(open(directory.path()), Err(OpenError::Locked { .. })));
    drop(again);
    open(directory.path()).unwrap();
}

#[test]
fn a_dropped_store_has_finished_what_it_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(directory.path()).unwrap());
    write(&store, "default", fixture_spans().into_iter().map(WriteOperation::Upsert).collect());
    drop(store);
    let leftovers: Vec<String> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|file| file.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("wal") || name.contains("shm"))
        .collect();
    assert!(leftovers.is_empty(), "the log is carried over: {leftovers:?}");
    assert_eq!(block_on(open(directory.path()).unwrap().stats()).unwrap().spans, 3);
}

#[cfg(unix)]
#[test]
fn a_new_directory_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("a/b");
    drop(open(&inner).unwrap());
    assert_eq!(std::fs::metadata(&inner).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn other_files_are_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(DATABASE);
    let foreign = "this is no database at all, but text that is long enough to be one. ".repeat(100);
    std::fs::write(&file, &foreign).unwrap();
    let error = open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), foreign);

    std::fs::remove_file(&file).unwrap();
    let other = rusqlite::Connection::open(&file).unwrap();
    other.execute_batch("CREATE TABLE spans (x); INSERT INTO spans VALUES (1)").unwrap();
    drop(other);
    let error = open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    let other = rusqlite::Connection::open(&file).unwrap();
    assert_eq!(other.query_row("SELECT x FROM spans", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}

#[test]
fn a_later_schema_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()).unwrap());
    let database = rusqlite::Connection::open(directory.path().join(DATABASE)).unwrap();
    database.pragma_update(None, "user_version", 999).unwrap();
    drop(database);
    let error = open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::NewerSchema { found: 999, .. }), "{error}");
    assert!(matches!(StoreError::from(error), StoreError::Damaged(_)));
}

#[test]
fn a_file_that_cannot_be_made_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert!(matches!(open(&file.join("below")), Err(OpenError::Io { .. })));
}

/// Whatever is flipped or cut off: an error or an answer, never a panic, never a wrong payload.
#[test]
fn damaged_files_give_errors_and_never_panics() {
    let original = tempfile::tempdir().unwrap();
    let store = open(original.path()).unwrap();
    let spans: Vec<Span> = (0..400)
        .map(|number| Span {
            input: Some(Payload::parse(format!("{{\"number\":{number}}}")).unwrap()),
            ..Span::new(format!("t{}", number % 9), number.to_string(), "n", Timestamp::MIN)
        })
        .collect();
    for chunk in spans.chunks(50) {
        write(&store, "default", chunk.iter().cloned().map(WriteOperation::Upsert).collect());
    }
    drop(store);
    let bytes = std::fs::read(original.path().join(DATABASE)).unwrap();
    let mut errors = 0;
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut damaged = bytes.clone();
        if seed % 4 == 0 {
            damaged.truncate(random.usize(1..bytes.len()));
        } else {
            for _ in 0..random.usize(1..30) {
                let at = random.usize(0..damaged.len());
                let length = random.usize(1..64).min(damaged.len() - at);
                damaged[at..at + length].fill_with(|| random.u8(..));
            }
        }
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(DATABASE), damaged).unwrap();
        match open(directory.path()) {
            Err(_) => errors += 1,
            Ok(store) => errors += use_damaged(&store, &spans),
        }
    }
    assert!(errors > 20, "only {errors} of the damages were noticed");
}

fn use_damaged(store: &EmbeddedStore, spans: &[Span]) -> usize {
    let mut errors = 0;
    let mut note = |result: Result<(), StoreError>| {
        if let Err(error) = result {
            // A thread that panicked would show as a closed store.
            assert!(!error.to_string().contains("closed"), "{error}");
            errors += 1;
        }
    };
    for span in spans.iter().step_by(37) {
        let found = block_on(store.find_span(None, &span.id));
        if let Ok(Some(found)) = &found
            && found.span.id == span.id
            && let Some(input) = &found.span.input
        {
            assert!(spans.iter().any(|span| span.input.as_ref() == Some(input)), "a payload out of nowhere");
        }
        note(found.map(drop));
        note(block_on(store.read_trace(None, &span.trace_id, true)).map(drop));
    }
    for order in [ListOrder::StartTime, ListOrder::Id, ListOrder::Name] {
        let query = ListQuery { limit: 1000, order, ..ListQuery::default() };
        note(block_on(store.list_spans(None, &query)).map(drop));
    }
    note(block_on(store.list_traces(None, &TraceQuery { limit: 100, ..TraceQuery::default() })).map(drop));
    note(block_on(store.changes(None, 0, 1000)).map(drop));
    note(block_on(store.stats()).map(drop));
    let operations = spans.iter().step_by(50).cloned().map(WriteOperation::Upsert).collect();
    let account = AccountId::default();
    let request = WriteRequest { account, operations, all_or_nothing: false, check_parents: true };
    note(block_on(store.write(request)).map(drop));
    let patch = SpanPatch { name: Some("patched".to_owned()), ..SpanPatch::default() };
    let operations = vec![WriteOperation::Patch { id: "7".into(), patch: Box::new(patch) }];
    let account = AccountId::default();
    note(
        block_on(store.write(WriteRequest {
            account,
            operations,
            all_or_nothing: false,
            check_parents: false,
        }))
        .map(drop),
    );
    note(block_on(store.maintain()));
    errors
}

/// A file of version 1 has nothing beside its payloads, one of version 2 little; what version 3 keeps is read from them.
#[test]
fn what_later_versions_keep_beside_payloads_is_filled_in() {
    let payload = |text: &str| Some(Payload::parse(text.to_owned()).unwrap());
    let usage = |id: &str| Span {
        output: payload(r#"{"usage":{"input_tokens":5,"output_tokens":2}}"#),
        metadata: payload(
            r#"{"__agent_name__":"bot","__agent_id__":"7","__acp_type__":"sync","cost_usd":0.5,"model":"m",
            "__error__":{"type":"E","message":"lost"}}"#,
        ),
        ..Span::new("t", id, "n", Timestamp::MIN)
    };
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    write(&store, "default", ["a", "b", "c"].map(|id| WriteOperation::Upsert(usage(id))).to_vec());
    write(&store, "default", vec![WriteOperation::Upsert(Span::new("t", "b", "n", Timestamp::MIN))]);
    let query = TraceQuery { limit: 10, ..TraceQuery::default() };
    let read = |store: &EmbeddedStore| {
        let traces = block_on(store.list_traces(None, &query)).unwrap();
        let usage = block_on(store.accounts()).unwrap();
        (traces, block_on(store.read_structure(None, &"t".into())).unwrap(), usage)
    };
    let before = read(&store);
    assert_eq!((before.0.traces[0].input_tokens, before.0.traces[0].output_tokens), (Some(10), Some(4)));
    assert_eq!(before.0.traces[0].cost_picodollars, Some(1_000_000_000_000));
    block_on(store.close()).unwrap();
    drop(store);

    let connect = || rusqlite::Connection::open(directory.path().join(DATABASE)).unwrap();
    let drop_columns = |table: &str, columns: &[&str]| {
        let database = connect();
        for column in columns {
            database.execute_batch(&format!("ALTER TABLE {table} DROP COLUMN {column}")).unwrap();
        }
    };
    let drop_filters = || {
        let database = connect();
        database
            .execute_batch(
                "DROP INDEX blocks_unfiltered; DROP INDEX traces_by_odd_id; DROP TABLE block_filters; \
                 DROP TABLE filter_groups; DROP TABLE filter_slices; DROP TABLE assessments",
            )
            .unwrap();
        drop_columns("block_figures", &["filtered"]);
    };
    drop_filters();
    drop_columns("spans", &["cached_tokens", "cost", "model", "error_type", "error_message"]);
    drop_columns("traces", &["last_micros", "last_nanos", "payload_bytes", "call_cost_count", "call_cost"]);
    drop_columns("traces", &["aggregate_cost_count", "aggregate_cost"]);
    connect().pragma_update(None, "user_version", 2).unwrap();
    assert_eq!(read(&open(directory.path()).unwrap()), before);
    drop_filters();
    drop_columns("spans", &["cached_tokens", "cost", "model", "error_type", "error_message"]);
    drop_columns("traces", &["last_micros", "last_nanos", "payload_bytes", "call_cost_count", "call_cost"]);
    drop_columns("traces", &["aggregate_cost_count", "aggregate_cost"]);
    drop_columns(
        "spans",
        &["input_tokens", "output_tokens", "usage_kind", "agent_id", "agent_name", "acp_type"],
    );
    drop_columns("traces", &["call_count", "call_input", "call_output"]);
    drop_columns("traces", &["aggregate_count", "aggregate_input", "aggregate_output"]);
    connect().pragma_update(None, "user_version", 1).unwrap();
    assert_eq!(read(&open(directory.path()).unwrap()), before);
}
