//! Kills a process that writes flat out, again and again, on the same store.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::Arc,
};

use endspan_store::{SpanStore, conformance::block_on};
use endspan_store_embedded::{EmbeddedStore, Options};

use self::support::{busy_options, check, pass, request};

const DIRECTORY: &str = "ENDSPAN_TEST_KILLED_DIRECTORY";
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
