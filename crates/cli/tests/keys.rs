//! API keys, from the command that makes them to the server that asks for them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step fails the test")]

mod support;

use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use support::{Served, endspan, transcript};

fn keys(file: &Path, arguments: &[&str]) -> Output {
    endspan().arg("keys").args(arguments).arg("--keys").arg(file).output().unwrap()
}

fn secret_of(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}

/// Waits until a question ends with this exit code; a server looks at its keys several times a second.
fn wait_for(served: &Served, secret: &str, code: i32) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let output = served.ask(&["ls"]).env("ENDSPAN_API_KEY", secret).output().unwrap();
        if output.status.code() == Some(code) {
            return;
        }
        assert!(Instant::now() < deadline, "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_running_server_follows_the_file_of_keys() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys.json");
    let served = Served::start_with("127.0.0.1:0", directory.path());
    wait_for(&served, "", 0);
    let admin = secret_of(&keys(&file, &["create", "--role", "admin", "--all-accounts"]));
    wait_for(&served, "", 4);
    wait_for(&served, &admin, 0);
    let ingest = secret_of(&keys(&file, &["create", "--role", "ingest", "--name", "agents"]));
    wait_for(&served, &ingest, 4);
    wait_for(&served, &admin, 0);
    let id = admin.split('_').nth(1).unwrap();
    assert!(keys(&file, &["revoke", id]).status.success());
    wait_for(&served, &admin, 4);
    // A damaged file changes nothing: what was revoked stays out.
    std::fs::write(&file, "{").unwrap();
    wait_for(&served, &admin, 4);
    assert!(!keys(&file, &["create", "--role", "read"]).status.success(), "nothing is overwritten");
}

#[test]
fn a_refusal_says_how_to_get_in() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys.json");
    let ingest = secret_of(&keys(&file, &["create", "--role", "ingest"]));
    let served = Served::start_with("127.0.0.1:0", directory.path());
    insta::assert_snapshot!(served.transcript(&["ls"]), @r"
    exit 4
    --- stdout
    --- stderr
    error: [URL] answered 401: an API key is needed: x-api-key, or Authorization: Bearer
    hint: give a key with --api-key KEY (or ENDSPAN_API_KEY); `endspan keys create` makes one
    ");
    insta::assert_snapshot!(served.transcript(&["ls", "--api-key", &ingest]), @r"
    exit 4
    --- stdout
    --- stderr
    error: [URL] answered 403: the key lacks the role read
    hint: the key decides what may be done and which account is read: `endspan keys list`
    ");
}

#[test]
fn lists_show_keys_and_files_hold_no_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("deeper/keys.json");
    let first =
        secret_of(&keys(&file, &["create", "--role", "ingest,read", "--account", "team-a", "--name", "CI"]));
    let second =
        keys(&file, &["create", "--role", "metrics", "--all-accounts", "--expires", "90d", "--json"]);
    let second: serde_json::Value = serde_json::from_slice(&second.stdout).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let random = first.rsplit('_').next().unwrap();
    assert!(!text.contains(random) && !text.contains(second["secret"].as_str().unwrap()));
    let list = keys(&file, &["list"]);
    let lines = String::from_utf8(list.stdout).unwrap();
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 2);
    for part in [&first[8..16], &first[56..], "ingest,read", "team-a", "CI"] {
        assert!(lines[0].contains(part), "{part}: {lines:?}");
    }
    for part in [second["id"].as_str().unwrap(), "metrics", "(every account)", "until "] {
        assert!(lines[1].contains(part), "{part}: {lines:?}");
    }
    let list = String::from_utf8(keys(&file, &["list", "--json"]).stdout).unwrap();
    assert_eq!(list.lines().count(), 2);
    assert!(!list.contains(random) && !list.contains("sha256"));
}

#[cfg(unix)]
#[test]
fn the_file_is_private_and_must_stay_so() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys.json");
    secret_of(&keys(&file, &["create", "--role", "read"]));
    let mode = || std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o660)).unwrap();
    let mut command = endspan();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(directory.path());
    let said = transcript(&mut command).replace(&*directory.path().to_string_lossy(), "[DIR]");
    insta::assert_snapshot!(said, @r"
    exit 5
    --- stdout
    --- stderr
    error: [DIR]/keys.json can be written by others (mode 660)
    hint: chmod 600 [DIR]/keys.json
    ");
}

#[test]
fn what_makes_no_sense_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys.json");
    let said = |arguments: &[&str]| {
        let mut command = endspan();
        command.arg("keys").args(arguments).arg("--keys").arg(&file);
        transcript(&mut command).replace(&*directory.path().to_string_lossy(), "[DIR]")
    };
    insta::assert_snapshot!(said(&["create", "--role", "read", "--expires", "yesterday"]), @r"
    exit 2
    --- stdout
    --- stderr
    error: --expires yesterday: not a time to come
    hint: like 90d, 12h, 30m, 2027-01-31 or 2027-01-31T12:00:00Z
    ");
    insta::assert_snapshot!(said(&["revoke", "endspan_abc"]), @r"
    exit 1
    --- stdout
    --- stderr
    error: no key abc in [DIR]/keys.json
    hint: `endspan keys list` shows them
    ");
    assert_eq!(keys(&file, &["create"]).status.code(), Some(2), "a key needs a role");
    assert!(!file.exists());
}

#[test]
fn many_makers_at_once_lose_no_key() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys.json");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| secret_of(&keys(&file, &["create", "--role", "read"])));
        }
    });
    let list = String::from_utf8(keys(&file, &["list"]).stdout).unwrap();
    assert_eq!(list.lines().count(), 8);
}

#[test]
fn with_keys_other_machines_may_come() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys.json");
    let secret = secret_of(&keys(&file, &["create", "--role", "read"]));
    let served = Served::start_with("0.0.0.0:0", directory.path());
    let url = served.url.replace("0.0.0.0", "127.0.0.1");
    let ls = |key: &str| {
        let mut command = endspan();
        command.args(["ls", "--server", &url, "--api-key", key]);
        command.output().unwrap().status.code()
    };
    assert_eq!((ls(&secret), ls("other")), (Some(0), Some(4)));
}
