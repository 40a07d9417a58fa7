//! A started server, spans to put in, and the command's output as text that does not change from run to run.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Returns a command without the developer's own settings.
pub(crate) fn endspan() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_endspan"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["ENDSPAN_", "AGENTEX_", "SGP_", "NO_COLOR", "CLICOLOR"]
            .iter()
            .any(|start| name.starts_with(start))
        {
            command.env_remove(&name);
        }
    }
    command.env("COLUMNS", "100").stdin(Stdio::null());
    command
}

/// A running `endspan serve`; killed when dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) url: String,
    data: PathBuf,
    owned: Option<tempfile::TempDir>,
}

impl Served {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        let mut served = Self::start_with("127.0.0.1:0", &data);
        served.owned = Some(directory);
        served
    }

    pub(crate) fn start_with(listen: &str, data: &Path) -> Self {
        Self::start_with_more(listen, data, &[])
    }

    pub(crate) fn start_with_more(listen: &str, data: &Path, arguments: &[&str]) -> Self {
        let mut child = endspan()
            .args(["serve", "--listen", listen, "--data"])
            .arg(data)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("endspan starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a first line");
        let url = line
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .map(|url| url.trim_end_matches(','));
        let url = url.unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
        Self { child, url, data: data.to_owned(), owned: None }
    }

    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes spans in the SGP form.
    pub(crate) fn put(&self, account: &str, items: &[serde_json::Value]) {
        let body = serde_json::json!({ "items": items }).to_string();
        let mut stream = TcpStream::connect(self.address()).expect("the server listens");
        let head = format!(
            "PUT /v5/spans/batch HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
             x-api-key: k\r\nx-selected-account-id: {account}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(body.as_bytes()))
            .expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// Returns the body that a route answers with.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).expect("the server listens");
        let request = format!("GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200"), "{answer}");
        body.to_owned()
    }

    /// Returns a reading command against this server.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Command {
        let mut command = endspan();
        command.args(arguments).env("ENDSPAN_SERVER", &self.url);
        command
    }

    /// Asks the server to stop as `kill` does, and returns how it ended.
    pub(crate) fn stop(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").arg(pid).status().expect("kill runs");
        assert!(sent.success());
        self.child.wait().expect("it ends").code()
    }

    /// Replaces what differs from run to run.
    pub(crate) fn steady(&self, text: &str) -> String {
        text.replace(&self.url, "[URL]")
            .replace(self.address(), "[ADDRESS]")
            .replace(&*self.data.to_string_lossy(), "[DATA]")
    }

    /// Runs a reading command and shows everything that a user sees.
    pub(crate) fn transcript(&self, arguments: &[&str]) -> String {
        self.steady(&transcript(&mut self.ask(arguments)))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command and shows exit code, output and errors.
pub(crate) fn transcript(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the command runs");
    format!(
        "exit {}\n--- stdout\n{}--- stderr\n{}",
        status.code().map_or("by signal".to_owned(), |code| code.to_string()),
        String::from_utf8_lossy(&stdout),
        without_error_numbers(&String::from_utf8_lossy(&stderr))
    )
}

/// Takes out what differs from system to system: `(os error 111)`.
fn without_error_numbers(text: &str) -> String {
    let mut rest = text;
    let mut kept = String::new();
    while let Some((before, after)) = rest.split_once(" (os error ") {
        kept.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    kept + rest
}
