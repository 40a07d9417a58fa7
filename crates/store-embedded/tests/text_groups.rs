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
