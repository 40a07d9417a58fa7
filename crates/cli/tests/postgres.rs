//! Spans kept in Postgres, as a user sees it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step fails the test")]

mod support;

use endspan_testkit::TestPostgres;
use support::{Served, endspan};

fn schema(name: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("cli_{name}_{}", now.as_micros())
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn two_servers_on_one_postgres_say_the_same() {
    let Some(postgres) = TestPostgres::shared() else { return };
    let (url, schema) = (postgres.url(), schema("serve"));
    let directory = tempfile::tempdir().unwrap();
    let store = ["--store", &url, "--store-schema", &schema];

    let unmade = endspan()
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(directory.path())
        .args(store)
        .output()
        .unwrap();
    let error = text(unmade.stderr);
    assert_eq!((unmade.status.code(), error.contains("endspan migrate --store")), (Some(5), true), "{error}");
    for expected in [" now, from 0", " already"] {
        let migrated = endspan().arg("migrate").args(store).output().unwrap();
        let said = text(migrated.stdout);
        assert!(migrated.status.success() && said.trim_end().ends_with(expected), "{said}");
    }

    let first = Served::start_with_more("127.0.0.1:0", directory.path(), &store);
    let again = [&store[..], &["--migrate"]].concat();
    let second = Served::start_with_more("127.0.0.1:0", directory.path(), &again);
    let span = |id: &str| {
        serde_json::json!({"trace_id": "shared", "id": id, "name": id, "status": "SUCCESS",
            "start_timestamp": "2026-03-14T15:09:26Z", "end_timestamp": "2026-03-14T15:09:27Z"})
    };
    first.put("default", &[span("a")]);
    second.put("default", &[span("b"), span("a")]);
    let shown = first.transcript(&["show", "shared"]);
    assert_eq!(shown, second.transcript(&["show", "shared"]));
    assert!(shown.contains('a') && shown.contains('b'), "{shown}");
    assert_eq!((first.stop(), second.stop()), (Some(0), Some(0)));
}

#[test]
fn the_spans_of_an_agentex_are_copied_and_compared() {
    let Some(postgres) = TestPostgres::shared() else { return };
    let source = schema("agentex");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(&postgres.url(), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let sql = format!(
            "CREATE SCHEMA {source}; CREATE TABLE {source}.spans (id varchar PRIMARY KEY, trace_id varchar NOT NULL, \
             parent_id varchar, name varchar NOT NULL, start_time timestamptz NOT NULL, end_time timestamptz, input json, \
             output json, data json, task_id varchar); INSERT INTO {source}.spans VALUES ('s1', 't', NULL, 'n', now(), \
             now(), '{{\"a\": 1}}', NULL, NULL, NULL), ('s2', 't', 's1', 'm', now(), NULL, NULL, NULL, NULL, 'k')"
        );
        client.batch_execute(&sql).await.unwrap();
    });
    let directory = tempfile::tempdir().unwrap();
    let import = |more: &[&str]| {
        let mut command = endspan();
        command.args(["import", "agentex", &postgres.url(), "--schema", &source, "--data"]);
        command.arg(directory.path()).args(more);
        let output = command.output().unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, said, error) = import(&["--compare"]);
    assert_eq!(
        (code, said.contains("2 spans in the source, 0 in the store")),
        (Some(1), true),
        "{said}{error}"
    );
    let (code, said, error) = import(&[]);
    assert_eq!(code, Some(0), "{said}{error}");
    assert!(said.contains("2 rows read, 2 stored, 0 there already, 0 refused"), "{said}");
    assert!(said.contains("2 spans in the source, 2 in the store"), "{said}");
    let served = Served::start_with("127.0.0.1:0", directory.path());
    assert!(served.transcript(&["show", "t"]).contains('m'));
}
