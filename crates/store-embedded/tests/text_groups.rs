//! Searches for text find the same whether filters stand alone, in groups, or nowhere, while blocks come and go.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use endspan_model::{AccountId, Payload, Span, Timestamp};
use endspan_store::{
    Deleting, Deletion, SpanQuery, SpanStore, WriteOperation, WriteRequest, conformance::block_on,
    search::SpanFilter, text::TextQuery,
};
use endspan_store_embedded::{EmbeddedStore, Options};

/// Spans of a trace, enough for a settled block.
const SPANS: usize = 128;

fn open(directory: &Path, column_bytes: usize) -> EmbeddedStore {
    let mut options = Options::default();
    (options.column_bytes, options.filter_group_blocks) = (column_bytes, 4);
    EmbeddedStore::open(directory, options).unwrap()
}

fn write(store: &EmbeddedStore, trace: usize) {
    let operations = (0..SPANS)
        .map(|number| {
            let start = Timestamp::from_unix_micros((trace * 1000 + number) as i64).unwrap();
            let text = format!("{{\"text\":\"all of trace{trace} says n{number} and t{}-x\"}}", trace % 5);
            let input = Some(Payload::parse(text).unwrap());
            let span = Span { input, ..Span::new(format!("t{trace}"), format!("s{number}"), "work", start) };
            WriteOperation::Upsert(span)
        })
        .collect();
    let account = AccountId::default();
    let request = WriteRequest { account, operations, all_or_nothing: false, check_parents: false };
    assert!(block_on(store.write(request)).unwrap().is_success());
}

fn delete(store: &EmbeddedStore, trace: usize) {
    let what = Deleting::Trace(format!("t{trace}").into());
    let deleted = block_on(store.delete(None, &Deletion { what, max_spans: 1000 })).unwrap();
    assert_eq!(deleted.spans as usize, SPANS);
}

fn count(directory: &Path, table: &str) -> i64 {
    let connection = rusqlite::Connection::open(directory.join("endspan.db")).unwrap();
    connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

fn found(store: &EmbeddedStore, terms: &[&str]) -> Vec<String> {
    let filter = SpanFilter { text: TextQuery::parse(terms).unwrap(), ..SpanFilter::default() };
    let query = SpanQuery { filter, limit: 400, ..SpanQuery::default() };
    let page = block_on(store.search_spans(None, &query)).unwrap();
    page.spans.iter().map(|stored| format!("{} {}", stored.span.trace_id, stored.span.id)).collect()
}

/// Holds a store to one that knows no filters.
fn assert_same(store: &EmbeddedStore, reference: &EmbeddedStore) {
    for terms in [
        &["trace3"][..],
        &["trace12"],
        &["of trace1 says"],
        &["t3-x", "n77"],
        &["none"],
        &["ace2 says n1 an"],
    ] {
        assert_eq!(found(store, terms), found(reference, terms), "{terms:?}");
    }
}

#[test]
fn groups_of_filters_lose_nothing() {
    let (directory, plain) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let reference = open(plain.path(), 0);
    let mut store = open(directory.path(), 1 << 20);
    let both = |store: &EmbeddedStore, change: &dyn Fn(&EmbeddedStore)| [store, &reference].map(change);
    both(&store, &|store| (0..12).for_each(|trace| write(store, trace)));
    assert_same(&store, &reference);
    block_on(store.maintain()).unwrap();
    assert!(count(directory.path(), "filter_groups") >= 3);
    assert!(count(directory.path(), "block_filters") < 4);
    assert_same(&store, &reference);

    // The blocks of the first groups and the latest block go; no later block may be taken for one of theirs.
    both(&store, &|store| (0..6).chain([11]).for_each(|trace| delete(store, trace)));
    assert_same(&store, &reference);
    block_on(store.close()).unwrap();
    store = open(directory.path(), 1 << 20);
    both(&store, &|store| (12..24).for_each(|trace| write(store, trace)));
    assert_same(&store, &reference);
    block_on(store.maintain()).unwrap();
    assert_same(&store, &reference);
    let (groups, slices) =
        (count(directory.path(), "filter_groups"), count(directory.path(), "filter_slices"));
    // Of 17 blocks; each group has 4 at first and 2 at least.
    assert!((4..=8).contains(&groups), "{groups}");

    both(&store, &|store| (6..11).chain(12..22).for_each(|trace| delete(store, trace)));
    block_on(store.maintain()).unwrap();
    assert_same(&store, &reference);
    assert!(count(directory.path(), "filter_groups") <= 2);
    assert!(count(directory.path(), "filter_slices") < slices / 2);
}

#[test]
fn filters_that_are_only_in_memory_lose_nothing() {
    let (directory, plain) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let reference = open(plain.path(), 0);
    let store = open(directory.path(), 1 << 20);
    // Each search makes the store keep up with filters while traces come in.
    let mut traces = 0;
    while count(directory.path(), "filter_groups") < 3 || traces < 16 {
        for store in [&store, &reference] {
            write(store, traces);
        }
        traces += 1;
        if traces % 3 == 0 {
            assert_same(&store, &reference);
        } else {
            found(&store, &["none"]);
        }
        if traces % 7 == 0 {
            for store in [&store, &reference] {
                delete(store, traces - 3);
            }
            assert_same(&store, &reference);
        }
        assert!(traces < 2000, "no groups are made");
    }
    // What is in memory only is made again.
    block_on(store.close()).unwrap();
    let store = open(directory.path(), 1 << 20);
    assert_same(&store, &reference);
    block_on(store.maintain()).unwrap();
    assert_same(&store, &reference);
}

#[test]
fn what_an_unfinished_group_left_is_no_part_of_the_next() {
    let (directory, plain) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (reference, store) = (open(plain.path(), 0), open(directory.path(), 1 << 20));
    for store in [&store, &reference] {
        (0..8).for_each(|trace| write(store, trace));
    }
    block_on(store.close()).unwrap();
    // As if the process had been killed after it stored some slices and before it stored the group.
    let connection = rusqlite::Connection::open(directory.path().join("endspan.db")).unwrap();
    let groups: i64 = connection
        .query_row("SELECT coalesce(max(group_key), 0) FROM filter_groups", [], |row| row.get(0))
        .unwrap();
    connection.execute_batch("BEGIN").unwrap();
    for slice in 0..2000_i64 {
        let key = (groups + 1) * (1 << 20) + slice;
        connection
            .execute("INSERT INTO filter_slices (slice_key, bits) VALUES (?1, zeroblob(3968))", [key])
            .unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
    drop(connection);
    let store = open(directory.path(), 1 << 20);
    assert_same(&store, &reference);
    block_on(store.maintain()).unwrap();
    assert!(count(directory.path(), "filter_groups") >= 2);
    assert!(count(directory.path(), "filter_slices") < 2000);
    assert_same(&store, &reference);
}
