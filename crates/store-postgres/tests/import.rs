//! An Agentex's table of spans comes along, whatever its age and state, while its server goes on writing.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use endspan_model::{AccountId, Payload, Span, Timestamp};
use endspan_store::{SpanStore, WriteOperation, conformance::request, memory::MemoryStore};
use endspan_store_postgres::{
    ImportError, ImportOptions, Options, PostgresStore, compare_agentex, import_agentex,
};
use tokio_postgres::{Client, NoTls};

use crate::support::{block_on, fresh_options, server, unmade_options};

/// The table after all of the reference's migrations (`agentex-api` section 10).
const TABLE: &str = "CREATE TABLE tasks (id varchar PRIMARY KEY); \
     CREATE TABLE spans (id varchar PRIMARY KEY, trace_id varchar NOT NULL, parent_id varchar, name varchar NOT NULL, \
     start_time timestamptz NOT NULL, end_time timestamptz, input json, output json, data json, task_id varchar); \
     ALTER TABLE spans ADD FOREIGN KEY (task_id) REFERENCES tasks (id) ON DELETE SET NULL NOT VALID; \
     CREATE INDEX ON spans (trace_id)";

/// A schema of its own that plays the reference's database.
async fn source(table: &str) -> (Options, Client) {
    let options = unmade_options(server());
    let (client, connection) = tokio_postgres::connect(&options.url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let schema = &options.schema;
    client
        .batch_execute(&format!(
            "CREATE SCHEMA {schema}; SET search_path = {schema}; SET timezone = 'Asia/Tokyo'"
        ))
        .await
        .unwrap();
    client.batch_execute(table).await.unwrap();
    (options, client)
}

fn import_of(source: &Options) -> ImportOptions {
    let mut options = ImportOptions::new(&source.url);
    options.schema.clone_from(&source.schema);
    options.page_rows = 3;
    options
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_unix_micros(1_704_103_200_000_000 + micros).unwrap()
}

fn payload(text: &str) -> Option<Payload> {
    Some(Payload::parse(text.to_owned()).unwrap())
}

async fn read(store: &dyn SpanStore, id: &str) -> Option<Span> {
    store.find_span(None, &id.into()).await.unwrap().map(|stored| stored.span)
}

#[test]
fn every_shape_of_a_row_comes_along() {
    block_on(async {
        let (schema, client) = source(TABLE).await;
        client
            .batch_execute(
                r#"INSERT INTO tasks VALUES ('T1');
                INSERT INTO spans VALUES
                ('full', 't', 'p', 'n', '2024-01-01T10:00:00.000001Z', '2024-01-01T10:00:01Z', '{"z":1,"a":[1.10, -0.0]}', '[]', '{}', 'T1'),
                ('bare', 't', NULL, '', '2024-01-01T10:00:00Z', NULL, NULL, NULL, NULL, NULL),
                ('', '', '', 'empty ids', '2024-01-01T10:00:00Z', NULL, 'null', '[{"x":1}]', '{"n":123456789012345678901234567890}', NULL),
                ('poison', 't', NULL, 'n', '2024-01-01T10:00:00Z', NULL, '{"x":"\ud800!"}', NULL, NULL, NULL),
                ('nul', 't', NULL, 'n', '2024-01-01T10:00:00Z', NULL, '{"x":"\u0000"}', '"text"', NULL, NULL),
                ('extreme', 't', NULL, 'n', '0001-01-01T00:00:00Z', '9999-12-31T23:59:59.999999Z', NULL, NULL, NULL, NULL),
                ('ünï', 't', NULL, 'n', '2024-01-01T19:00:00', '2024-01-01T09:00:00Z', NULL, NULL, NULL, NULL),
                ('infinite', 't', NULL, 'n', '-infinity', NULL, NULL, NULL, NULL, NULL),
                ('ancient', 't', NULL, 'n', '4000-01-01 BC', NULL, NULL, NULL, NULL, NULL),
                ('overflow', 't', NULL, 'n', '2024-01-01T10:00:00Z', NULL, '[{"x":1e999}]', NULL, NULL, NULL);
                DELETE FROM tasks"#,
            )
            .await
            .unwrap();
        let store = MemoryStore::new();
        let import = import_of(&schema);
        let mut pages = 0;
        let progress = import_agentex(&import, &store, |_| pages += 1).await.unwrap();
        assert_eq!((progress.rows, progress.stored, progress.present, pages), (10, 7, 0, 4));
        let mut refused: Vec<&str> = progress.refused.iter().map(|(id, _)| id.as_str()).collect();
        refused.sort_unstable();
        assert_eq!(refused, ["ancient", "infinite", "overflow"]);

        // The task is gone, and with it the task id (`agentex-api` row 65).
        let full = Span {
            parent_id: Some("p".into()),
            end_time: Some(at(1_000_000)),
            input: payload(r#"{"z":1,"a":[1.10,-0.0]}"#),
            output: payload("[]"),
            metadata: payload("{}"),
            ..Span::new("t", "full", "n", at(1))
        };
        assert_eq!(read(&store, "full").await, Some(full));
        assert_eq!(read(&store, "bare").await, Some(Span::new("t", "bare", "", at(0))));
        let empty = read(&store, "").await.unwrap();
        assert_eq!((empty.parent_id, empty.input), (Some("".into()), None));
        assert_eq!(empty.metadata, payload(r#"{"n":123456789012345678901234567890}"#));
        assert_eq!(read(&store, "poison").await.unwrap().input, payload("{\"x\":\"\u{fffd}!\"}"));
        assert_eq!(read(&store, "nul").await.unwrap().input, payload(r#"{"x":"\u0000"}"#));
        let extreme = read(&store, "extreme").await.unwrap();
        let last = Timestamp::from_parts(Timestamp::MAX.unix_micros(), 0);
        assert_eq!((extreme.start_time, extreme.end_time), (Timestamp::MIN, last));
        let odd = read(&store, "ünï").await.unwrap();
        assert_eq!((odd.start_time, odd.end_time), (at(0), Some(at(-3_600_000_000))));

        let comparison = compare_agentex(&import, &store, |_| {}).await.unwrap();
        assert_eq!((comparison.rows, comparison.found), (7, 7));
        assert!(comparison.is_equal(), "{comparison:?}");
    });
}

/// Without task ids, and with moments that have no zone.
#[test]
fn tables_of_older_versions_come_along() {
    block_on(async {
        let table = "CREATE TABLE spans (id varchar PRIMARY KEY, trace_id varchar NOT NULL, name varchar NOT NULL, \
             start_time timestamp NOT NULL, end_time timestamp, input jsonb)";
        let (schema, client) = source(table).await;
        let insert = "INSERT INTO spans VALUES ('s', 't', 'n', '2024-01-01 10:00:00.5', NULL, '{\"b\": 1}')";
        client.batch_execute(insert).await.unwrap();
        let store = MemoryStore::new();
        assert_eq!(import_agentex(&import_of(&schema), &store, |_| {}).await.unwrap().stored, 1);
        let expected = Span { input: payload("{\"b\":1}"), ..Span::new("t", "s", "n", at(500_000)) };
        assert_eq!(read(&store, "s").await, Some(expected));
        client.batch_execute("ALTER TABLE spans DROP COLUMN name").await.unwrap();
        let error = import_agentex(&import_of(&schema), &store, |_| {}).await;
        assert!(matches!(&error, Err(ImportError::NoSpans(text)) if text.contains("name")), "{error:?}");
    });
}

/// It goes on where it was, changes nothing that is newer, brings ends that came meanwhile, and waits for nobody.
#[test]
fn an_import_can_be_repeated_while_the_source_is_written() {
    block_on(async {
        let (schema, client) = source(TABLE).await;
        let fill = "INSERT INTO spans (id, trace_id, name, start_time, end_time) SELECT 's' || n, 't' || n % 5, 'n', \
             '2024-01-01T10:00:00Z', CASE WHEN n % 2 = 0 THEN timestamptz '2024-01-01T10:00:01Z' END \
             FROM generate_series(10, 39) n";
        client.batch_execute(fill).await.unwrap();
        let target = fresh_options();
        let store = PostgresStore::open(target).await.unwrap();
        let newer =
            Span { name: "newer".to_owned(), end_time: Some(at(7)), ..Span::new("t2", "s12", "n", at(0)) };
        store.write(request(vec![WriteOperation::Upsert(newer.clone())])).await.unwrap();

        // Rows that a transaction holds, and one that is not committed, are nobody's business.
        client.batch_execute("BEGIN; UPDATE spans SET name = 'later'; INSERT INTO spans VALUES ('s99', 't', NULL, 'n', now())").await.unwrap();
        let mut import = import_of(&schema);
        import.page_rows = 7;
        import.max_rows_per_second = Some(10_000);
        let mut half = None;
        let whole = import_agentex(&import, &store, |progress| {
            half.get_or_insert_with(|| progress.clone());
        });
        let whole = whole.await.unwrap();
        assert_eq!((whole.rows, whole.stored, whole.present), (30, 29, 1));
        client.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!(read(&store, "s12").await, Some(newer));

        import.after = half.unwrap().last_id;
        let rest = import_agentex(&import, &store, |_| {}).await.unwrap();
        assert_eq!((rest.rows, rest.stored, rest.present), (23, 0, 23));

        import.after = None;
        client
            .batch_execute("UPDATE spans SET end_time = '2024-01-01T10:00:09Z' WHERE id = 's11'")
            .await
            .unwrap();
        let again = import_agentex(&import, &store, |_| {}).await.unwrap();
        assert_eq!((again.stored, again.present), (1, 29));
        assert_eq!(read(&store, "s11").await.unwrap().end_time, Some(at(9_000_000)));

        let comparison = compare_agentex(&import, &store, |_| {}).await.unwrap();
        assert_eq!((comparison.rows, comparison.found, comparison.is_equal()), (30, 30, false));
        assert_eq!(comparison.different, ["s12"]);
        import.account = AccountId::new("other");
        let comparison = compare_agentex(&import, &store, |_| {}).await.unwrap();
        assert_eq!((comparison.found, comparison.different.len(), comparison.checksums.1), (0, 30, 0));
        store.close().await.unwrap();
    });
}
