//! Background work gives space back and changes nothing that a reader can see.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use endspan_model::{AccountId, Payload, Span, Timestamp};
use endspan_store::{SpanStore, StoreStats, WriteOperation, WriteRequest, conformance::block_on};
use endspan_store_embedded::{EmbeddedStore, Options};

const SPANS: usize = 600;

/// Only what the test asks for happens in the background.
fn options() -> Options {
    let mut options = Options::default();
    options.compaction = false;
    options
}

fn write(store: &EmbeddedStore, spans: Vec<Span>) {
    let operations = spans.into_iter().map(WriteOperation::Upsert).collect();
    let account = AccountId::default();
    let request = WriteRequest { account, operations, all_or_nothing: false, check_parents: false };
    assert!(block_on(store.write(request)).unwrap().is_success());
}

/// Twelve traces whose turns come in turn, each repeating what was said before.
fn conversation(number: usize) -> Span {
    let (trace, turn) = (number % 12, number / 12);
    let said: String =
        (0..=turn % 10).map(|turn| format!("in turn {turn} of {trace} this was said; ")).collect();
    Span {
        end_time: Some(Timestamp::MAX),
        input: Some(Payload::parse(format!("{{\"messages\":\"{said}\"}}")).unwrap()),
        ..Span::new(format!("trace {trace}"), format!("span {number}"), "turn", Timestamp::MIN)
    }
}

/// Text that does not compress.
fn noise(seed: u64, bytes: usize) -> Payload {
    let mut random = fastrand::Rng::with_seed(seed);
    let text: String = std::iter::repeat_with(|| random.alphanumeric()).take(bytes).collect();
    Payload::parse(format!("{{\"noise\":\"{text}\"}}")).unwrap()
}

fn stats(store: &EmbeddedStore) -> StoreStats {
    block_on(store.stats()).unwrap()
}

#[test]
fn blocks_of_single_spans_merge_into_blocks_that_compress() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path(), options()).unwrap();
    for number in 0..SPANS {
        write(&store, vec![conversation(number)]);
    }
    let before = stats(&store);
    block_on(store.maintain()).unwrap();
    let after = stats(&store);
    assert_eq!(after.raw_payload_bytes, before.raw_payload_bytes);
    assert!(
        after.stored_payload_bytes * 8 < before.stored_payload_bytes,
        "{} bytes became only {}",
        before.stored_payload_bytes,
        after.stored_payload_bytes
    );
    for number in 0..SPANS {
        let span = conversation(number);
        assert_eq!(block_on(store.find_span(None, &span.id)).unwrap().unwrap().span, span);
    }
}

#[test]
fn payloads_of_replaced_versions_go_and_their_space_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path(), options()).unwrap();
    let span = |number: usize, ended: bool| Span {
        end_time: ended.then_some(Timestamp::MAX),
        input: Some(noise(number as u64, if ended { 10 } else { 60_000 })),
        ..Span::new("t", number.to_string(), "n", Timestamp::MIN)
    };
    for number in 0..200 {
        write(&store, vec![span(number, false)]);
    }
    write(&store, (0..200).map(|number| span(number, true)).collect());
    let before = stats(&store);
    assert!(before.superseded_payload_bytes > 8_000_000, "{before:?}");
    block_on(store.maintain()).unwrap();
    let after = stats(&store);
    assert_eq!(after.superseded_payload_bytes, 0);
    assert!(after.stored_payload_bytes < 100_000, "{after:?}");
    block_on(store.close()).unwrap();
    let file = std::fs::metadata(directory.path().join("endspan.db")).unwrap().len();
    assert!(file < before.disk_bytes / 2, "{file} of {} bytes are left", before.disk_bytes);
    let store = EmbeddedStore::open(directory.path(), options()).unwrap();
    for number in 0..200 {
        let found = block_on(store.find_span(None, &number.to_string().into())).unwrap().unwrap();
        assert_eq!(found.span, span(number, true));
    }
}

#[test]
fn writes_and_reads_go_on_while_blocks_move() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(directory.path(), options()).unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let maintenance = {
        let (store, stop) = (store.clone(), stop.clone());
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                block_on(store.maintain()).unwrap();
            }
        })
    };
    let version = |number: usize, round: usize| Span { name: round.to_string(), ..conversation(number) };
    for round in 0..4 {
        for number in 0..200 {
            write(&store, vec![version(number, round)]);
            let other = version(number / 2, round);
            let found = block_on(store.find_span(None, &other.id)).unwrap().unwrap();
            assert_eq!(found.span, other);
        }
        let read = block_on(store.read_trace(None, &"trace 3".into(), true)).unwrap();
        assert!(
            read.iter().all(|stored| stored.span.input.is_some() && stored.span.name == round.to_string())
        );
    }
    stop.store(true, Ordering::Relaxed);
    maintenance.join().unwrap();
    block_on(store.maintain()).unwrap();
    let left = stats(&store);
    // A block is worth rewriting only when a third of it is dead.
    assert!(left.superseded_payload_bytes * 3 <= left.stored_payload_bytes, "{left:?}");
}

#[test]
fn the_log_stays_bounded_under_load() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options();
    options.checkpoint_bytes = 1 << 20;
    let store = Arc::new(EmbeddedStore::open(directory.path(), options).unwrap());
    let writers: Vec<_> = (0..4)
        .map(|lane| {
            let store = store.clone();
            std::thread::spawn(move || {
                for number in 0..150 {
                    let input = Some(noise(number, 40_000));
                    write(
                        &store,
                        vec![Span {
                            input,
                            ..Span::new("t", format!("{lane}-{number}"), "n", Timestamp::MIN)
                        }],
                    );
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    let log = std::fs::metadata(directory.path().join("endspan.db-wal")).unwrap().len();
    assert!(log < 12 << 20, "24 MB were written, and the log has grown to {log} bytes");
}

#[test]
fn a_store_at_rest_empties_its_log() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path(), options()).unwrap();
    for number in 0..100 {
        let input = Some(noise(number, 40_000));
        write(&store, vec![Span { input, ..Span::new("t", format!("{number}"), "n", Timestamp::MIN) }]);
    }
    let log = directory.path().join("endspan.db-wal");
    let bytes = || std::fs::metadata(&log).unwrap().len();
    assert!(bytes() > 1 << 20, "the test writes too little");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while bytes() > 0 {
        assert!(std::time::Instant::now() < deadline, "the log still has {} bytes", bytes());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
