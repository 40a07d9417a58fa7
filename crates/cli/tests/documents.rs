//! What the documents at the root promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step fails the test")]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use endspan_model::DropReason;

use support::Served;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the root")
}

fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for directory in ["", "docs", "docs/adr", "docs/guides", "conformance", "bench"] {
        let Ok(entries) = std::fs::read_dir(root().join(directory)) else { continue };
        let paths = entries.map(|entry| entry.expect("an entry").path());
        found.extend(paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    found
}

#[test]
fn links_between_documents_and_code_lead_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = std::fs::read_to_string(&document).expect("a text");
        for target in
            text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") || path.contains(char::is_whitespace) {
                continue;
            }
            if !document.parent().expect("a directory").join(path).exists() {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

#[test]
fn the_ten_lines_of_the_readme_are_the_example_and_deliver_their_span() {
    let example = include_str!("../examples/ten_lines.rs");
    let (_, example) = example.split_once("\n\n").expect("a first line about the example");
    let readme = std::fs::read_to_string(root().join("README.md")).expect("the readme");
    assert!(readme.contains(&format!("```rust\n{example}```")), "README.md shows another program");

    let served = Served::start();
    let spool = tempfile::tempdir().expect("a directory");
    let program = Path::new(env!("CARGO_BIN_EXE_endspan")).with_file_name("examples").join("ten_lines");
    let output = Command::new(program)
        .env("AGENTEX_BASE_URL", &served.url)
        .env("ENDSPAN_SPOOL_DIR", spool.path())
        .output()
        .expect("the example was built with the tests");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "agentex: 1 delivered\n");
    let listed = served.ask(&["ls", "--json"]).output().expect("ls runs");
    let trace: serde_json::Value = serde_json::from_slice(&listed.stdout).expect("one trace");
    assert_eq!((&trace["name"], &trace["span_count"]), (&"answer".into(), &1.into()));
}

/// Fails when a page is not what the code says, or writes it when that is asked for.
fn same_as_written(page: &str, text: &str) {
    let path = root().join(page);
    if std::env::var_os("ENDSPAN_WRITE_DOCS").is_some() {
        std::fs::write(&path, text).expect("the page is written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == text, "{page} is not what the code says: run this test with ENDSPAN_WRITE_DOCS=1");
}

/// The commands of a help text.
fn commands_of(help: &str) -> Vec<String> {
    let list = help.split("Commands:\n").nth(1).unwrap_or_default();
    let names = list.lines().take_while(|line| line.starts_with("  "));
    names
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .filter(|name| name != "help")
        .collect()
}

fn help_of(path: &[String]) -> String {
    let output = support::endspan().args(path).arg("--help").output().expect("endspan runs");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn push_help(page: &mut String, path: &[String]) {
    let help = help_of(path);
    let title =
        std::iter::once("endspan").chain(path.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    page.push_str(&format!("\n## {title}\n\n```text\n{}\n```\n", help.trim_end()));
    for command in commands_of(&help) {
        push_help(page, &[path, &[command]].concat());
    }
}

#[test]
fn the_page_of_the_command_line_is_what_the_commands_say() {
    let mut page = "# The command line\n\nWhat every `--help` says; written by the test of the same name \
        (`ENDSPAN_WRITE_DOCS=1 cargo test -p endspan-cli --test documents`).\n"
        .to_owned();
    push_help(&mut page, &[]);
    same_as_written("docs/cli.md", &page);
}

/// The metrics of a server by name: type, labels, meaning.
fn metrics_of(page: &str) -> Vec<(String, String, BTreeSet<String>, String)> {
    let mut metrics: Vec<(String, String, BTreeSet<String>, String)> = Vec::new();
    for line in page.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            metrics.push((name.to_owned(), String::new(), BTreeSet::new(), help.to_owned()));
        } else if let Some(metric) = metrics.last_mut() {
            if let Some((_, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                kind.clone_into(&mut metric.1);
            } else if let Some((_, labels)) = line.split_once('{') {
                let names = labels.split("\",").filter_map(|label| label.split_once("=\""));
                metric.2.extend(names.map(|(name, _)| name.to_owned()).filter(|name| name != "le"));
            }
        }
    }
    metrics
}

#[test]
fn the_page_of_metrics_is_what_a_server_says() {
    let served = Served::start();
    let mut page = "# Metrics and drop reasons\n\nWritten by a test from what a started server says \
        (`ENDSPAN_WRITE_DOCS=1 cargo test -p endspan-cli --test documents`).\n\n## The server's metrics\n\n\
        `GET /metrics`, in Prometheus' text format. Every label value is there from the start, at 0.\n\n\
        | Metric | Type | Labels | Meaning |\n|---|---|---|---|\n"
        .to_owned();
    let metrics = metrics_of(&served.get("/metrics"));
    assert!(metrics.len() > 20, "{metrics:?}");
    for (name, kind, labels, help) in metrics {
        let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        page.push_str(&format!("| `{name}` | {kind} | {labels} | {help} |\n"));
    }
    page.push_str(
        "\n## Drop reasons\n\nWhy the SDK did not deliver a span, or the server did not store one: every such span is \
         counted under exactly one of these, in reports, `stats()`, answers and metrics.\n\n\
         | Reason | When |\n|---|---|\n",
    );
    for reason in DropReason::ALL {
        page.push_str(&format!("| `{reason}` | {} |\n", reason.meaning()));
    }
    same_as_written("docs/metrics.md", &page);
}

#[test]
fn alarms_are_about_metrics_that_exist() {
    let known = std::fs::read_to_string(root().join("docs/metrics.md")).expect("the page");
    let guide = std::fs::read_to_string(root().join("docs/guides/operate.md")).expect("the guide");
    let expressions: Vec<_> = guide.lines().filter(|line| line.contains("expr: ")).collect();
    let words = expressions.iter().flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'));
    let mut metrics = 0;
    for word in words.filter(|word| word.starts_with("endspan_")) {
        let metric = word.strip_suffix("_bucket").unwrap_or(word);
        assert!(known.contains(&format!("`{metric}`")), "no metric {metric}");
        metrics += 1;
    }
    assert!(metrics >= 4, "{expressions:?}");
}

#[test]
fn every_route_is_described() {
    let document: serde_json::Value =
        serde_json::from_str(&Served::start().get("/openapi.json")).expect("JSON");
    let described = std::fs::read_to_string(root().join("docs/http-api.md")).expect("the page");
    let mut missing = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            // The same routes, said once.
            let path = path.strip_prefix("/public").unwrap_or(path);
            let route = format!("{} {path}", method.to_uppercase());
            if !described.contains(&format!("`{route}`")) {
                missing.push(route);
            }
        }
    }
    assert!(missing.is_empty(), "docs/http-api.md does not say: {missing:#?}");
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let directory = tempfile::tempdir().expect("a directory");
    let pages = directory.path().join("man1");
    let written = support::endspan().args(["man", "--to"]).arg(&pages).output().expect("endspan runs");
    assert!(written.status.success(), "{written:?}");
    let mut commands = commands_of(&help_of(&[]));
    assert!(commands.len() > 10, "{commands:?}");
    commands.push(String::new());
    for command in commands {
        let name = ["endspan", command.as_str()].join(if command.is_empty() { "" } else { "-" });
        let page = std::fs::read_to_string(pages.join(format!("{name}.1"))).expect("a page");
        assert!(page.contains(&format!(".TH {name} 1")), "{name}: {page}");
    }
    let printed = support::endspan().arg("man").output().expect("endspan runs");
    assert!(String::from_utf8_lossy(&printed.stdout).contains("Exit codes:"));
}

#[test]
fn completions_know_every_command_and_bash_can_read_them() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let printed = support::endspan().args(["completions", shell]).output().expect("endspan runs");
        assert!(printed.status.success(), "{printed:?}");
        let script = String::from_utf8(printed.stdout).expect("UTF-8");
        for command in commands_of(&help_of(&[])) {
            assert!(script.contains(&command), "{shell} does not know {command}");
        }
        if shell == "bash" {
            let read = Command::new("bash").args(["-n", "-c", &script]).output().expect("bash runs");
            assert!(read.status.success(), "{read:?}");
        }
    }
}
