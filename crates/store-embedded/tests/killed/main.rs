//! Kills a process that writes flat out, again and again, on the same store.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

use std::{
    collections::HashMap,
    fmt::Write as _,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::Arc,
};

use endspan_model::{AccountId, Payload, Span, Timestamp};
use endspan_store::{
    SpanQuery, SpanStore, WriteOperation, WriteRequest, conformance::block_on, search::SpanFilter,
    text::TextQuery,
};
use endspan_store_embedded::{EmbeddedStore, Options};

use self::support::{busy_options, check, pass, request};

const DIRECTORY: &str = "ENDSPAN_TEST_KILLED_DIRECTORY";
const GROUPING_DIRECTORY: &str = "ENDSPAN_TEST_GROUPING_DIRECTORY";
const FIRST: &str = "ENDSPAN_TEST_KILLED_FIRST";
const LANES: usize = 3;
const ROUNDS: usize = 6;

/// The child: says on stdout what was acknowledged, until it is killed. Does nothing when the suite runs it.
#[test]
fn child() {
    let (Ok(directory), Ok(first)) = (std::env::var(DIRECTORY), std::env::var(FIRST)) else { return };
    let store = Arc::new(EmbeddedStore::open(directory, busy_options()).unwrap());
    let first: usize = first.parse().unwrap();
    let lanes: Vec<_> = (first..first + LANES)
        .map(|lane| {
            let store = store.clone();
            std::thread::spawn(move || {
                for number in 0.. {
                    assert!(block_on(store.write(request(lane, number))).unwrap().is_success());
                    writeln!(std::io::stdout().lock(), "\nacknowledged {lane} {number}").unwrap();
                }
            })
        })
        .collect();
    for number in 0.. {
        pass(&store, number).unwrap();
        if lanes.iter().all(|lane| lane.is_finished()) {
            break;
        }
    }
    for lane in lanes {
        lane.join().unwrap();
    }
}

/// Words of a block for whose filter the bitmaps are not folded, so that storing a group takes several transactions.
const WORDS: usize = 21_000;

/// Another child: writes blocks of many words and searches, so that groups of filters are stored all the while.
#[test]
fn grouping_child() {
    let (Ok(directory), Ok(round)) = (std::env::var(GROUPING_DIRECTORY), std::env::var(FIRST)) else {
        return;
    };
    let store = EmbeddedStore::open(directory, grouping_options()).unwrap();
    for number in 0.. {
        let mut words = format!("w{round}x{number}");
        for word in 0..WORDS {
            write!(words, " r{round}n{number:03}o{word:06}").unwrap();
        }
        let start = Timestamp::from_unix_micros(number).unwrap();
        let input = Some(Payload::parse(format!("\"{words}\"")).unwrap());
        let span = Span { input, ..Span::new(format!("t{round}"), format!("{round}-{number}"), "n", start) };
        let operations = vec![WriteOperation::Upsert(span)];
        let account = AccountId::default();
        let request = WriteRequest { account, operations, all_or_nothing: false, check_parents: false };
        assert!(block_on(store.write(request)).unwrap().is_success());
        assert_eq!(search(&store, "none at all"), 0);
        writeln!(std::io::stdout().lock(), "\nacknowledged {round} {number}").unwrap();
    }
}

fn grouping_options() -> Options {
    let mut options = Options::default();
    options.filter_group_blocks = 2;
    options
}

fn search(store: &EmbeddedStore, text: &str) -> usize {
    let filter = SpanFilter { text: TextQuery::parse(&[text]).unwrap(), ..SpanFilter::default() };
    let query = SpanQuery { filter, limit: 10, ..SpanQuery::default() };
    block_on(store.search_spans(None, &query)).unwrap().spans.len()
}

#[test]
fn text_is_found_when_the_process_was_killed_while_it_stored_a_group_of_filters() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(5);
    let mut written: Vec<i64> = Vec::new();
    for round in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "grouping_child", "--nocapture"])
            .env(GROUPING_DIRECTORY, directory.path())
            .env(FIRST, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let wanted = random.usize(4..8);
        written.push(lines.filter(|line| line.starts_with("acknowledged ")).take(wanted).count() as i64);
        // Between two answers, so that it falls into whatever the background does.
        std::thread::sleep(std::time::Duration::from_millis(random.u64(0..30)));
        child.kill().unwrap();
        child.wait().unwrap();
        let store = EmbeddedStore::open(directory.path(), grouping_options()).unwrap();
        let assert_found = || {
            for (round, numbers) in written.iter().enumerate() {
                for number in 0..*numbers {
                    assert_eq!(
                        search(&store, &format!("w{round}x{number}")),
                        1,
                        "round {round}, span {number}"
                    );
                }
            }
        };
        assert_found();
        block_on(store.maintain()).unwrap();
        assert_found();
        block_on(store.close()).unwrap();
    }
    assert!(written.iter().all(|numbers| *numbers >= 4), "the children wrote: {written:?}");
    let connection = rusqlite::Connection::open(directory.path().join("endspan.db")).unwrap();
    let (groups, slices): (i64, i64) = connection
        .query_row(
            "SELECT (SELECT count(*) FROM filter_groups), (SELECT count(*) FROM filter_slices)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert!(groups >= 5 && slices > groups * 512, "{groups} groups have {slices} slices");
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(11);
    let mut acknowledged: HashMap<usize, usize> = HashMap::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .env(FIRST, (round * LANES).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut note = |line: String| {
            if let Some((lane, number)) =
                line.strip_prefix("acknowledged ").and_then(|rest| rest.split_once(' '))
            {
                acknowledged.insert(lane.parse().unwrap(), number.parse::<usize>().unwrap() + 1);
            }
        };
        for line in lines.by_ref().take(random.usize(50..1500)) {
            note(line.unwrap());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What the child said before it died counts, a line that is cut off does not.
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        for line in rest.iter().rev().skip(1).rev() {
            note(line.clone());
        }
        let store = EmbeddedStore::open(directory.path(), Options::default()).unwrap();
        acknowledged = check(&store, &acknowledged, |lane| {
            let is_of_this_round = lane >= round * LANES;
            acknowledged[&lane] + usize::from(is_of_this_round) * 2
        });
    }
    assert!(acknowledged.len() >= ROUNDS * LANES / 2, "the children wrote");
}
