//! Lists of traces say the same whether columns find the traces or rows do, page by page.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use endspan_model::{AccountId, Payload, Span, Status, Timestamp};
use endspan_store::{
    Deleting, Deletion, SpanStore, TraceFilter, TraceQuery, TraceState, WriteOperation, WriteRequest,
    conformance::block_on, text::TextQuery,
};
use endspan_store_embedded::{EmbeddedStore, Options};

/// Traces of two spans. Some start in one microsecond, some belong to a second account, some have not ended.
fn spans(number: i64) -> [Span; 2] {
    let at = |micros: i64| Timestamp::from_unix_micros(1_700_000_000_000_000 + micros).unwrap();
    let start = at(number / 3 * 1000);
    let trace_id = format!("trace {:03}", number * 7 % 500);
    let root = Span {
        end_time: (number % 11 != 0).then(|| at(number / 3 * 1000 + number % 97)),
        status: Some(if number % 13 == 0 { Status::Error } else { Status::Success }),
        metadata: Some(Payload::parse(format!("{{\"__agent_name__\":\"agent {}\"}}", number % 5)).unwrap()),
        ..Span::new(&*trace_id, format!("root {number}"), format!("Run {}", number % 17), start)
    };
    let call = Span {
        parent_id: Some(root.id.clone()),
        end_time: Some(at(number / 3 * 1000 + 5)),
        output: Some(
            Payload::parse(format!(
                "{{\"text\":\"word{}\",\"usage\":{{\"input_tokens\":{number},\"output_tokens\":1}}}}",
                number % 19
            ))
            .unwrap(),
        ),
        ..Span::new(&*trace_id, format!("call {number}"), "call", start)
    };
    [root, call]
}

fn write(store: &EmbeddedStore, mut numbers: std::ops::Range<i64>) {
    while !numbers.is_empty() {
        let piece: Vec<i64> = numbers.by_ref().take(60).collect();
        for (name, is_other) in [("other", true), ("default", false)] {
            let operations = piece
                .iter()
                .filter(|number| (**number % 4 == 0) == is_other)
                .flat_map(|number| spans(*number))
                .map(WriteOperation::Upsert)
                .collect();
            let account = AccountId::new(name);
            let request = WriteRequest { account, operations, all_or_nothing: false, check_parents: false };
            assert!(block_on(store.write(request)).unwrap().is_success());
        }
    }
}

fn filters() -> Vec<TraceFilter> {
    let all = TraceFilter::default;
    let text = |term: &str| TextQuery::parse(&[term]).unwrap();
    let at = |micros: i64| Timestamp::from_unix_micros(1_700_000_000_000_000 + micros);
    vec![
        all(),
        TraceFilter { name: Some("rUN 3".to_owned()), ..all() },
        TraceFilter { name: Some("none".to_owned()), ..all() },
        TraceFilter { name: Some("call".to_owned()), ..all() },
        TraceFilter { agent: Some("agent 2".to_owned()), ..all() },
        TraceFilter { agent: Some("agent".to_owned()), ..all() },
        TraceFilter { states: vec![TraceState::Error], ..all() },
        TraceFilter { states: vec![TraceState::Running, TraceState::Canceled], ..all() },
        TraceFilter { states: vec![TraceState::Ok], has_error: Some(false), ..all() },
        TraceFilter { min_duration_micros: Some(90), ..all() },
        TraceFilter { max_duration_micros: Some(4), ..all() },
        TraceFilter { min_tokens: Some(150), ..all() },
        TraceFilter { max_tokens: Some(30), ..all() },
        TraceFilter { start_from: at(30_000), start_before: at(60_000), ..all() },
        TraceFilter { text: text("word7"), ..all() },
        TraceFilter { text: text("word77"), ..all() },
        TraceFilter { text: text("word7"), has_error: Some(true), ..all() },
    ]
}

fn pages(store: &EmbeddedStore, account: Option<&AccountId>, filter: &TraceFilter) -> Vec<String> {
    let mut query = TraceQuery { filter: filter.clone(), limit: 90, ..TraceQuery::default() };
    let mut found = Vec::new();
    loop {
        let page = block_on(store.list_traces(account, &query)).unwrap();
        found.extend(page.traces.iter().map(|trace| format!("{trace:?}")));
        found.push(format!("{:?}", page.next));
        query.after = page.next;
        if query.after.is_none() {
            return found;
        }
    }
}

fn assert_same(by_rows: &EmbeddedStore, by_columns: &EmbeddedStore) {
    for filter in filters() {
        for account in [None, Some(AccountId::default())] {
            let expected = pages(by_rows, account.as_ref(), &filter);
            assert_eq!(pages(by_columns, account.as_ref(), &filter), expected, "{filter:?} {account:?}");
        }
    }
}

#[test]
fn columns_and_rows_list_the_same_traces() {
    let directories =
        [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let open = |index: usize, bytes: usize, rows: usize| {
        let mut options = Options::default();
        (options.column_bytes, options.column_segment_rows) = (bytes, rows);
        EmbeddedStore::open(directories[index].path(), options).unwrap()
    };
    // Without columns, with all of them, and with room for few.
    let settings = [(0, 100), (1 << 20, 50), (60_000, 10)];
    let stores: Vec<_> =
        settings.iter().enumerate().map(|(index, (bytes, rows))| open(index, *bytes, *rows)).collect();
    for store in &stores {
        write(store, 0..160);
    }
    assert_same(&stores[0], &stores[1]);
    assert_same(&stores[0], &stores[2]);
    for store in &stores {
        for trace_id in ["trace 007", "trace 014"] {
            let deletion = Deletion { what: Deleting::Trace(trace_id.into()), max_spans: 1 };
            block_on(store.delete(Some(&AccountId::default()), &deletion)).unwrap();
        }
        write(store, 140..170);
    }
    assert_same(&stores[0], &stores[1]);
    assert_same(&stores[0], &stores[2]);
    for store in stores {
        block_on(store.close()).unwrap();
    }
    let stores: Vec<_> =
        settings.iter().enumerate().map(|(index, (bytes, rows))| open(index, *bytes, *rows)).collect();
    for store in &stores {
        block_on(store.maintain()).unwrap();
    }
    assert_same(&stores[0], &stores[1]);
    assert_same(&stores[0], &stores[2]);
}
