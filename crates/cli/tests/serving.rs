//! `serve` and the command line itself as a user sees them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step fails the test")]

mod support;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use support::{Served, endspan, transcript};

#[test]
fn help_names_every_command_and_exit_code() {
    insta::assert_snapshot!(transcript(endspan().arg("--help")));
    insta::assert_snapshot!(transcript(endspan().args(["serve", "--help"])));
}

#[test]
fn the_first_line_says_what_listens_where() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("deeper/data");
    let served = Served::start_with("127.0.0.1:0", &data);
    assert!(data.is_dir(), "the directory is made");
    assert!(served.url.starts_with("http://127.0.0.1:"));
    assert_ne!(served.address(), "127.0.0.1:0");
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn otlp_over_grpc_gets_a_port_of_its_own_when_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = endspan()
        .args(["serve", "--listen", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0", "--data"])
        .arg(directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.split_once(" and ").unwrap().1.split_once(" (OTLP over gRPC), data in ").unwrap().0;
    let answered = std::net::TcpStream::connect(address);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(answered.is_ok(), "{line}");
}

#[test]
fn prices_that_cannot_be_read_are_explained() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("prices.toml");
    for (text, told) in [
        (None, "cannot read the prices in"),
        (Some("date = \"x\"\ncurrency = \"EUR\""), "currency \"EUR\" is not USD"),
    ] {
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let mut command = endspan();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(directory.path().join("data"));
        let output = command.arg("--prices").arg(&file).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), error.contains(told)), (Some(2), true), "{error}");
    }
}

#[test]
fn spans_are_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let span = serde_json::json!({"trace_id": "kept", "id": "s", "name": "kept", "status": "SUCCESS",
        "start_timestamp": "2026-03-14T15:09:26Z", "end_timestamp": "2026-03-14T15:09:27Z"});
    let served = Served::start_with("127.0.0.1:0", directory.path());
    served.put("default", &[span]);
    let before = served.transcript(&["show", "kept"]);
    assert_eq!(served.stop(), Some(0));
    let served = Served::start_with("127.0.0.1:0", directory.path());
    assert_eq!(served.transcript(&["show", "kept"]), before);
}

#[test]
fn an_address_in_use_is_explained() {
    let served = Served::start();
    let directory = tempfile::tempdir().unwrap();
    let mut command = endspan();
    command.args(["serve", "--listen", served.address(), "--data"]).arg(directory.path());
    insta::assert_snapshot!(served.steady(&transcript(&mut command)), @r"
    exit 5
    --- stdout
    --- stderr
    error: cannot listen on [ADDRESS]: Address already in use
    hint: is endspan running already? `endspan ls` shows what it holds; --listen 127.0.0.1:0 picks a free port
    ");
}

#[test]
fn a_directory_in_use_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::start_with("127.0.0.1:0", directory.path());
    let mut command = endspan();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(directory.path());
    insta::assert_snapshot!(served.steady(&transcript(&mut command)), @r"
    exit 5
    --- stdout
    --- stderr
    error: cannot open the store: [DATA] is in use by another server
    hint: stop the other one, or use another directory (--data DIR)
    ");
}

#[test]
fn a_directory_that_cannot_be_made_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let mut command = endspan();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(file.join("data"));
    let said = transcript(&mut command).replace(&*directory.path().to_string_lossy(), "[DIR]");
    insta::assert_snapshot!(said, @r"
    exit 5
    --- stdout
    --- stderr
    error: cannot open the store: [DIR]/file/data: Not a directory
    hint: --data DIR names another directory
    ");
}

#[test]
fn strangers_are_kept_out_unless_told_otherwise() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = endspan();
    command.args(["serve", "--listen", "0.0.0.0:0", "--data"]).arg(directory.path());
    let said = transcript(&mut command).replace(&*directory.path().to_string_lossy(), "[DIR]");
    insta::assert_snapshot!(said, @r"
    exit 2
    --- stdout
    --- stderr
    error: 0.0.0.0:0 can be reached from other machines, and there are no API keys to ask for
    hint: make one: `endspan keys create --role ingest,read --keys [DIR]/keys.json`; or listen on 127.0.0.1 behind a proxy that asks; or say --insecure-no-keys if everyone may read everything
    ");
}

/// What operators expect of SIGHUP: read your files again now. Without a handler it would end the server.
#[cfg(unix)]
#[test]
fn sighup_reads_keys_again_and_ends_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = endspan()
        .args(["serve", "--listen", "127.0.0.1:0", "--log", "info", "--data"])
        .arg(directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let pid = child.id().to_string();
    let signal = |name: &str| {
        let sent = std::process::Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(sent.success());
    };
    signal("-HUP");
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("reads API keys again, as it was told to") {
        assert!(log.read_line(&mut said).unwrap() > 0, "the server ended: {said}");
    }
    signal("-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// A certificate that was renewed counts from the next connection on, at once when the server is told so.
#[cfg(unix)]
#[test]
fn sighup_takes_over_a_renewed_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let (chain, key) = (file("chain.pem"), file("key.pem"));
    let pair = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (first, second) = (pair(), pair());
    for (name, pair) in [("first.pem", &first), ("second.pem", &second)] {
        std::fs::write(file(name), pair.cert.pem()).unwrap();
    }
    let put = |pair: &rcgen::CertifiedKey<rcgen::KeyPair>| {
        std::fs::write(&chain, pair.cert.pem()).unwrap();
        std::fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    };
    put(&first);
    let mut command = endspan();
    command.args(["serve", "--listen", "127.0.0.1:0", "--log", "info", "--data"]).arg(file("data"));
    command.arg("--tls-cert").arg(&chain).arg("--tls-key").arg(&key);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port =
        line.split_whitespace().find_map(|word| word.trim_end_matches(',').rsplit_once(':')).unwrap().1;
    let url = format!("https://localhost:{port}");
    let is_trusted = |name: &str| {
        let mut list = endspan();
        list.args(["ls", "--server", &url]).env("SSL_CERT_FILE", file(name)).env_remove("SSL_CERT_DIR");
        list.output().unwrap().status.success()
    };
    assert!(is_trusted("first.pem") && !is_trusted("second.pem"), "{line}");
    put(&second);
    let pid = child.id().to_string();
    let signal = |name: &str| {
        let sent = std::process::Command::new("kill").args([name, &pid]).status();
        assert!(sent.unwrap().success());
    };
    signal("-HUP");
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    for wanted in ["reads the certificate again, as it was told to", "took over a changed certificate"] {
        while !said.contains(wanted) {
            assert!(log.read_line(&mut said).unwrap() > 0, "the server ended: {said}");
        }
    }
    assert!(is_trusted("second.pem") && !is_trusted("first.pem"), "{said}");
    signal("-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn limits_are_settings() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["--max-body", "2KiB"];
    let served = Served::start_with_more("127.0.0.1:0", directory.path(), &arguments);
    let info: serde_json::Value = serde_json::from_str(&served.get("/api/info")).unwrap();
    assert!(info.to_string().contains("2048"), "{info}");
    let mut command = endspan();
    command.args(["serve", "--max-connections", "0"]);
    let said = transcript(&mut command);
    assert!(said.starts_with("exit 2") && said.contains("expected a whole number from 1"), "{said}");
}
