//! `ls`, `show` and `tail` as a user sees them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step fails the test")]

mod support;

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use serde_json::{Value, json};
use support::{Served, endspan, transcript};

const TRACE: &str = "0f6e8b1c-trip";

/// A turn with a call to a model, a tool that failed, and a step that still runs.
fn trip() -> Vec<Value> {
    vec![
        json!({"trace_id": TRACE, "id": "root", "name": "plan a trip", "type": "AGENT_WORKFLOW", "status": "SUCCESS",
            "start_timestamp": "2026-03-14T15:09:26Z", "end_timestamp": "2026-03-14T15:09:29.5Z",
            "input": {"ask": "north?"}, "output": {"answer": "yes"}}),
        json!({"trace_id": TRACE, "id": "model", "parent_id": "root", "name": "ask the model", "type": "COMPLETION",
            "status": "SUCCESS", "start_timestamp": "2026-03-14T15:09:26.1Z", "end_timestamp": "2026-03-14T15:09:27.334Z",
            "input": {"messages": [{"role": "user", "content": "north?"}]}, "output": {"score": 1.0, "n": 2}}),
        json!({"trace_id": TRACE, "id": "tool", "parent_id": "model", "name": "search\u{1b}[31m trains", "type": "EXTERNAL_ENDPOINT",
            "status": "ERROR", "start_timestamp": "2026-03-14T15:09:26.2Z", "end_timestamp": "2026-03-14T15:09:26.2567Z",
            "metadata": {"__error__": {"type": "Timeout", "message": "no answer in 50 ms"}}}),
        json!({"trace_id": TRACE, "id": "open", "parent_id": "root", "name": "書く", "type": "CUSTOM",
            "start_timestamp": "2026-03-14T15:09:28Z"}),
    ]
}

fn served() -> Served {
    let served = Served::start();
    served.put("default", &trip());
    served.put(
        "other",
        &[json!({"trace_id": "lonely", "id": "a", "name": "an orphan", "parent_id": "elsewhere", "status": "SUCCESS",
            "start_timestamp": "2026-03-13T00:00:00Z", "end_timestamp": "2026-03-13T00:00:00.000250Z"})],
    );
    served
}

#[test]
fn ls_lists_traces_newest_first() {
    let served = served();
    insta::assert_snapshot!(served.transcript(&["ls"]));
    insta::assert_snapshot!(served.transcript(&["ls", "-n", "1"]));
    insta::assert_snapshot!(served.transcript(&["ls", "--account", "other"]));
}

#[test]
fn ls_json_is_one_trace_a_line() {
    let served = served();
    let output = served.ask(&["ls", "--json"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let traces: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<&str> = traces.iter().map(|trace| trace["trace_id"].as_str().unwrap()).collect();
    assert_eq!(ids, [TRACE, "lonely"]);
    assert_eq!(traces[0]["span_count"], 4);
}

#[test]
fn ls_of_an_empty_server_says_so() {
    insta::assert_snapshot!(Served::start().transcript(&["ls"]));
}

#[test]
fn show_prints_a_tree_and_why_spans_failed() {
    let served = served();
    insta::assert_snapshot!(served.transcript(&["show", TRACE]));
    insta::assert_snapshot!(served.transcript(&["show", "lonely"]));
}

#[test]
fn show_prints_payloads_as_they_were_sent() {
    insta::assert_snapshot!(served().transcript(&["show", TRACE, "--payloads"]));
}

#[test]
fn show_takes_the_beginning_of_an_id() {
    let served = served();
    assert_eq!(served.transcript(&["show", "0f6e"]), served.transcript(&["show", TRACE]));
}

#[test]
fn show_json_is_the_servers_answer() {
    let served = served();
    let output = served.ask(&["show", TRACE, "--json", "--payloads"]).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["spans"].as_array().unwrap().len(), 4);
    assert_eq!(answer["spans"][1]["output"], json!({"score": 1.0, "n": 2}));
}

#[test]
fn show_of_an_unknown_trace_says_what_to_do() {
    insta::assert_snapshot!(served().transcript(&["show", "nope"]));
}

#[test]
fn colours_only_when_asked_for() {
    let served = served();
    let coloured = served.ask(&["show", TRACE, "--color", "always"]).output().unwrap();
    assert!(coloured.stdout.starts_with(b"\x1b[2mtrace \x1b[0m"));
    for command in [&mut served.ask(&["show", TRACE]), served.ask(&["show", TRACE]).env("NO_COLOR", "1")] {
        assert!(!command.output().unwrap().stdout.contains(&0x1b));
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let served = Served::start();
    let many: Vec<Value> = (0..1000)
        .map(|index| {
            json!({"trace_id": "many", "id": format!("{index}"), "name": "n".repeat(200),
            "start_timestamp": "2026-03-14T15:09:26Z"})
        })
        .collect();
    served.put("default", &many);
    let mut child =
        served.ask(&["show", "many"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

#[test]
fn without_a_server_the_error_says_how_to_start_one() {
    // Port 1 is never listened on in a test machine's loopback.
    for arguments in [&["ls"][..], &["show", "x"], &["tail"]] {
        let mut command = endspan();
        command.args(arguments).env("ENDSPAN_SERVER", "http://127.0.0.1:1");
        insta::allow_duplicates! {
            insta::assert_snapshot!(transcript(&mut command), @r"
            exit 3
            --- stdout
            --- stderr
            error: cannot reach http://127.0.0.1:1: Connection refused
            hint: start a server with `endspan serve` or `endspan demo`, or name another with --server URL
            ");
        }
    }
}

#[test]
fn a_strange_address_is_wrong_usage() {
    insta::assert_snapshot!(transcript(endspan().args(["ls", "--server", "127.0.0.1:5003"])), @r"
    exit 2
    --- stdout
    --- stderr
    error: 127.0.0.1:5003: relative URL without a base
    hint: a server looks like http://127.0.0.1:5003 (--server or ENDSPAN_SERVER)
    ");
}

#[test]
fn tail_prints_spans_as_they_arrive() {
    let served = served();
    let mut child = served
        .ask(&["tail", "-n", "2", "--trace", TRACE])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
    insta::assert_snapshot!(served.steady(&said), @"waiting for spans at [URL] (ctrl-c ends)");
    let [mut root, mut model, ..] = <[Value; 4]>::try_from(trip()).unwrap();
    root["id"] = json!("later root");
    model["id"] = json!("later model");
    model["status"] = json!("ERROR");
    served.put(
        "default",
        &[json!({"trace_id": "another", "id": "x", "name": "x", "start_timestamp": "2026-03-14T00:00:00Z"})],
    );
    served.put("default", &[root]);
    served.put("default", &[model]);
    let mut printed = String::new();
    child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    insta::assert_snapshot!(printed, @r"
    15:09:29.500     3.50s  ok        plan a trip  AGENT_WORKFLOW  0f6e8b1c-trip
    15:09:27.334     1.23s  ERROR     ask the model  COMPLETION  0f6e8b1c-trip
    ");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn tail_goes_on_after_the_server_was_away() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::start_with("127.0.0.1:0", directory.path());
    let mut child = served
        .ask(&["tail", "-n", "3", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(said.next().unwrap().unwrap().starts_with("waiting"));
    let [one, two, three, _] = <[Value; 4]>::try_from(trip()).unwrap();
    served.put("default", &[one]);
    let mut printed = BufReader::new(child.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&printed.next().unwrap().unwrap()).unwrap();
    let address = served.address().to_owned();
    assert_eq!(served.stop(), Some(0));
    assert!(said.next().unwrap().unwrap().starts_with("lost"));
    let served = Served::start_with(&address, directory.path());
    served.put("default", &[two]);
    served.put("default", &[three]);
    let rest: Vec<Value> = printed.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    let ids: Vec<&Value> = [&first].into_iter().chain(&rest).map(|span| &span["id"]).collect();
    assert_eq!(ids, ["root", "model", "tool"]);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
