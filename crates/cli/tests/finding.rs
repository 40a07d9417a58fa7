//! Finding spans and moving them: `search`, `ls` and `tail` with filters, `export`, `import`, `redact`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step fails the test")]

mod support;

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};
use support::{Served, endspan};

fn span(id: &str, name: &str, status: &str, seconds: u32) -> Value {
    json!({"trace_id": format!("trace-{id}"), "id": id, "name": name, "status": status, "type": "COMPLETION",
        "start_timestamp": "2026-03-14T15:09:00Z", "end_timestamp": format!("2026-03-14T15:09:{seconds:02}Z"),
        "input": {"question": format!("what of {name}?")}, "metadata": {"tier": "gold", "n": seconds}})
}

fn served() -> Served {
    let served = Served::start();
    let mut running = span("c", "third", "SUCCESS", 0);
    running.as_object_mut().unwrap().remove("end_timestamp");
    running.as_object_mut().unwrap().remove("status");
    served.put("default", &[span("a", "first", "SUCCESS", 1), span("b", "second", "ERROR", 30), running]);
    served
}

/// Returns the ids (or trace ids) that a command prints as JSON.
fn ids(served: &Served, arguments: &[&str], key: &str) -> Vec<String> {
    let output = served.ask(arguments).arg("--json").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut ids: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()[key].as_str().unwrap().to_owned())
        .collect();
    ids.sort_unstable();
    ids
}

#[test]
fn search_takes_every_filter() {
    let served = served();
    for (arguments, expected) in [
        (&["search"][..], &["a", "b", "c"][..]),
        (&["search", "second"], &["b"]),
        (&["search", "what of", "third"], &["c"]),
        (&["search", "--status", "error"], &[]),
        (&["search", "--status", "ERROR,CANCELED"], &["b"]),
        (&["search", "--name", "first", "--name", "third"], &["a", "c"]),
        (&["search", "--trace", "trace-a,trace-b", "--not-span", "a"], &["b"]),
        (&["search", "--not-trace", "trace-b"], &["a", "c"]),
        (&["search", "--span", "a"], &["a"]),
        (&["search", "--parent", "a"], &[]),
        (&["search", "--roots", "--type", "COMPLETION"], &["a", "b", "c"]),
        (&["search", "--min-duration", "1s", "--max-duration", "1500ms"], &["a"]),
        (&["search", "--metadata", "tier=gold", "--metadata", "n=30"], &["b"]),
        (&["search", "--metadata", "tier=silver"], &[]),
        (&["search", "--since", "2026-03-14", "--until", "2026-03-15"], &["a", "b", "c"]),
        (&["search", "--since", "2026-03-15"], &[]),
        (&["search", "--group", "g"], &[]),
        (&["search", "--sort", "duration", "-n", "1"], &["b"]),
        (&["search", "--sort", "duration", "--ascending", "--all"], &["a", "b", "c"]),
    ] {
        assert_eq!(ids(&served, arguments, "id"), expected, "{arguments:?}");
    }
    insta::assert_snapshot!(served.transcript(&["search", "first"]), @r"
    exit 0
    --- stdout
    15:09:01.000     1.00s  ok        first  COMPLETION  trace-a
    --- stderr
    ");
    insta::assert_snapshot!(served.transcript(&["search", "fourth"]), @r"
    exit 1
    --- stdout
    --- stderr
    error: no such spans at [URL]
    ");
    assert_eq!(served.ask(&["search", "--metadata", "x"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn ls_takes_every_filter() {
    let served = served();
    for (arguments, expected) in [
        (&["ls"][..], &["trace-a", "trace-b", "trace-c"][..]),
        (&["ls", "--name", "IRS"], &["trace-a"]),
        (&["ls", "--status", "error,running"], &["trace-b", "trace-c"]),
        (&["ls", "--errors"], &["trace-b"]),
        (&["ls", "--no-errors", "--min-duration", "1s"], &["trace-a"]),
        (&["ls", "--max-duration", "1s"], &["trace-a"]),
        (&["ls", "--since", "2026-03-15"], &[]),
        (&["ls", "--until", "2026-03-15"], &["trace-a", "trace-b", "trace-c"]),
        (&["ls", "--agent", "nobody"], &[]),
        (&["ls", "--min-tokens", "1"], &[]),
        (&["ls", "--max-tokens", "0"], &["trace-a", "trace-b", "trace-c"]),
    ] {
        assert_eq!(ids(&served, arguments, "trace_id"), expected, "{arguments:?}");
    }
}

#[test]
fn tail_prints_only_what_is_wanted() {
    let served = Served::start();
    let mut tail = served
        .ask(&[
            "tail",
            "--json",
            "--name",
            "SECOND",
            "--status",
            "error",
            "--type",
            "completion",
            "--min-duration",
            "2s",
        ])
        .args(["--roots", "-n", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The line on standard error says that the tail is open.
    let mut said = std::io::BufReader::new(tail.stderr.take().unwrap());
    std::io::BufRead::read_line(&mut said, &mut String::new()).unwrap();
    let mut child = span("x", "second", "ERROR", 30);
    child["parent_id"] = json!("b");
    served.put("default", &[child, span("y", "second", "ERROR", 1), span("z", "second", "SUCCESS", 30)]);
    served.put("default", &[span("a", "first", "ERROR", 30), span("b", "the second", "ERROR", 30)]);
    let output = tail.wait_with_output().unwrap();
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line["id"], "b");
}

#[test]
fn what_is_exported_and_imported_is_there_again() {
    let served = served();
    served.put("other", &[span("d", "fourth", "SUCCESS", 2)]);
    let directory = tempfile::tempdir().unwrap();
    let plain = directory.path().join("spans.jsonl");
    let packed = directory.path().join("spans.jsonl.zst");
    for file in [&plain, &packed] {
        let output = served.ask(&["export"]).arg(file).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "exported 4 spans\n");
    }
    assert_eq!(served.ask(&["export"]).arg(&plain).output().unwrap().status.code(), Some(5), "it exists");
    let text = std::fs::read_to_string(&plain).unwrap();
    assert_eq!(zstd::decode_all(&*std::fs::read(&packed).unwrap()).unwrap(), text.as_bytes());
    let one = served.ask(&["export", "--trace", "trace-a"]).output().unwrap();
    assert_eq!(String::from_utf8(one.stdout).unwrap().lines().count(), 1);
    let of_other = served.ask(&["export", "--account", "other"]).output().unwrap();
    assert!(String::from_utf8(of_other.stdout).unwrap().contains("fourth"));

    for file in [&plain, &packed] {
        let there = Served::start();
        let output = there.ask(&["import"]).arg(file).output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            "imported: 4 stored, 0 already there in a better version, 0 refused\n"
        );
        let again = there.ask(&["export"]).output().unwrap();
        let mut lines: Vec<_> = text.lines().collect();
        let again = String::from_utf8(again.stdout).unwrap();
        let mut again: Vec<_> = again.lines().collect();
        lines.sort_unstable();
        again.sort_unstable();
        assert_eq!(again, lines);
    }
    let broken = directory.path().join("broken");
    std::fs::write(&broken, text.replacen("\"SUCCESS\"", "\"FINE\"", 1)).unwrap();
    let output = served.ask(&["import"]).arg(&broken).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("status: unknown"));
}

#[test]
fn redact_shows_what_would_go_and_a_server_takes_the_same_patterns() {
    let directory = tempfile::tempdir().unwrap();
    let patterns = directory.path().join("redaction.toml");
    let text = "disabled = [\"jwt\"]\nexcepted_keys = [\"design_token\"]\n\
        [[key]]\nname = \"pass\"\nkey = \"x-acme-pass\"\n[[prefix]]\nname = \"acme\"\nprefix = \"acme_live_\"\nmin_chars = 8\n";
    std::fs::write(&patterns, text).unwrap();
    let mut child = endspan()
        .args(["redact", "--redaction"])
        .arg(&patterns)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = "{\"x-acme-pass\":\"a\",\"password\":\"b\"}\nuse acme_live_12345678 now\nplain\n";
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let mark = "[REDACTED:credential]";
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("{{\"x-acme-pass\":\"{mark}\",\"password\":\"{mark}\"}}\nuse {mark} now\nplain\n")
    );
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stderr), @r"
    found 3 credentials
          1  credential_key
          1  pass
          1  acme
    ");
    let refused = endspan().args(["redact", "--no-redact", "everything"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("there are credential_key, assignment"));
    std::fs::write(&patterns, "keys = 1").unwrap();
    let refused = endspan().args(["redact", "--redaction"]).arg(&patterns).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "unknown settings are mistakes");
}

#[test]
fn delete_takes_traces_by_id_or_by_time_and_asks_first() {
    let served = served();
    insta::assert_snapshot!(served.transcript(&["delete", "trace-a"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: nobody to ask whether to delete
    hint: --yes deletes without asking
    ");
    insta::assert_snapshot!(served.transcript(&["delete", "trace-a", "trace-x", "--yes"]), @r"
    exit 1
    --- stdout
    --- stderr
    no trace trace-x at [URL]
    deleted 1 span of 1 trace
    error: 1 trace not found
    ");
    assert_eq!(ids(&served, &["ls"], "trace_id"), ["trace-b", "trace-c"]);
    insta::assert_snapshot!(served.transcript(&["delete", "--until", "2026-03-15", "--yes"]), @r"
    exit 0
    --- stdout
    --- stderr
    deleted 2 spans of 2 traces
    ");
    assert_eq!(served.ask(&["delete", "--yes"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn a_server_lets_old_spans_go() {
    let directory = tempfile::tempdir().unwrap();
    let limits = directory.path().join("retention.toml");
    std::fs::write(&limits, "[account.kept]\ndays = 20000\n[account.small]\nbytes = \"20GB\"\n").unwrap();
    let data = directory.path().join("data");
    let arguments = ["--retain-days", "30", "--retain-bytes", "1GB", "--retention", limits.to_str().unwrap()];
    let old = json!({"trace_id": "old", "id": "o", "name": "n", "start_timestamp": "2020-01-01T00:00:00Z"});
    let before = Served::start_with("127.0.0.1:0", &data);
    before.put("default", std::slice::from_ref(&old));
    before.put("kept", &[old]);
    assert_eq!(before.stop(), Some(0));
    // Retention looks at once when a server starts.
    let served = Served::start_with_more("127.0.0.1:0", &data, &arguments);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !ids(&served, &["ls", "--account", "default"], "trace_id").is_empty() {
        assert!(std::time::Instant::now() < deadline);
    }
    assert_eq!(ids(&served, &["ls"], "trace_id"), ["old"]);
    std::fs::write(&limits, "[account.kept]\nyears = 2\n").unwrap();
    let mut command = endspan();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(directory.path().join("other"))
        .args(arguments);
    assert_eq!(command.output().unwrap().status.code(), Some(2), "unknown settings are mistakes");
}

#[test]
fn doctor_tells_how_a_server_is_and_where_settings_come_from() {
    let served = served();
    let store = "postgres://endspan:open-sesame@db/spans";
    let output = served
        .ask(&["doctor"])
        .envs([("ENDSPAN_RETAIN_DAYS", "9"), ("ENDSPAN_STORE", store)])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()),
        (Some(0), "nothing is wrong\n")
    );
    let line = |begin: &str| {
        let found = text.lines().find(|line| line.trim_start().starts_with(begin));
        found
            .unwrap_or_else(|| panic!("no line {begin} in\n{text}"))
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(line("spans"), "spans 3 in 3 traces");
    assert_eq!(line("from sgp"), "from sgp 3 received, 3 stored, 0 superseded");
    assert!(line("writes").starts_with("writes 1, half <= "));
    assert!(line("sgp_batch_upsert").contains(" 1, half <= "));
    assert_eq!(line("retain-days"), "retain-days 9 environment: ENDSPAN_RETAIN_DAYS");
    assert_eq!(line("listen"), "listen 127.0.0.1:5003 default");
    assert_eq!(line("store "), "store (not shown) environment: ENDSPAN_STORE");
    assert!(!text.contains("open-sesame"), "{text}");
    let json = served.ask(&["doctor", "--json"]).output().unwrap();
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["stats"]["spans"], &json["problems"]), (&json!(3), &json!([])));
    assert_eq!(json["configuration"]["listen"]["origin"], "default");
}
