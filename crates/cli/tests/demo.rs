//! `demo` as a user sees it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step fails the test")]

mod support;

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use support::endspan;

/// Replaces what differs from run to run: ids, times, durations, addresses, directories.
fn steady(text: &str) -> String {
    let mut settings = String::new();
    for line in text.lines() {
        let words: Vec<String> =
            line.split(' ')
                .map(|word| {
                    let is_duration = word.trim_end_matches(',').strip_suffix('s').is_some_and(|number| {
                        number.trim_end_matches(['m', 'µ', 'n']).parse::<f64>().is_ok()
                    });
                    match word {
                        _ if is_duration => "[TIME]".to_owned(),
                        _ if word.starts_with("http://127.0.0.1:") => "[URL],".to_owned(),
                        _ if word.contains("endspan-demo-") => "[DATA]".to_owned(),
                        _ if word.len() == 36 && word.matches('-').count() == 4 => "[ID]".to_owned(),
                        _ if word.starts_with("20") && word.len() == 10 => "[DATE]".to_owned(),
                        _ if word.ends_with('Z') && word.len() == 9 => "[CLOCK]".to_owned(),
                        _ => word.to_owned(),
                    }
                })
                .filter(|word| !word.is_empty())
                .collect();
        settings.push_str(&words.join(" "));
        settings.push('\n');
    }
    settings
}

#[test]
fn once_sends_a_trace_checks_it_and_prints_its_tree() {
    let output = endspan().args(["demo", "--once", "--listen", "127.0.0.1:0"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    insta::assert_snapshot!(steady(&String::from_utf8(output.stdout).unwrap()));
    insta::assert_snapshot!(said, @r"checked: 19 spans, each stored exactly once and as it was sent");
}

#[test]
fn once_with_json_prints_the_stored_trace() {
    let output = endspan().args(["demo", "--once", "--json", "--listen", "127.0.0.1:0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let trace: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let spans = trace["spans"].as_array().unwrap();
    for (span_type, least) in
        [("COMPLETION", 4), ("EXTERNAL_ENDPOINT", 3), ("KB_RETRIEVAL", 2), ("AGENT_WORKFLOW", 2)]
    {
        let found = spans.iter().filter(|span| span["type"] == span_type).count();
        assert!(found >= least, "{found} spans of type {span_type}");
    }
    assert!(spans.iter().any(|span| span["status"] == "ERROR"));
}

#[test]
fn the_demo_keeps_its_spans_where_it_is_told_and_accounts_for_them_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = endspan()
        .args(["demo", "--listen", "127.0.0.1:0", "--data"])
        .arg(directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().starts_with("endspan "));
    let trace = lines.find(|line| line.starts_with("trace ")).unwrap();
    let stopped = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    lines.for_each(drop);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{said}");
    let account = said.lines().find(|line| line.starts_with("the agents' spans: ")).expect("an account");
    assert!(account.ends_with(" delivered"), "nothing was lost: {account}");

    let served = support::Served::start_with("127.0.0.1:0", directory.path());
    let id = trace.split_whitespace().nth(1).unwrap();
    assert_eq!(served.ask(&["show", id]).output().unwrap().status.code(), Some(0));
}
