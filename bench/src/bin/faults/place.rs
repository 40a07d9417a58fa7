//! Where a server of a case runs: its address, its files, its mounts.

use std::collections::HashSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use endspan_bench::process::ServerProcess;

use crate::Setting;

/// A server's address and files, which outlive its processes.
pub(crate) struct Place<'a> {
    setting: &'a Setting,
    listen: String,
    data: PathBuf,
}

impl<'a> Place<'a> {
    pub(crate) fn new(setting: &'a Setting, home: &Path) -> Result<Self> {
        let listen = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        Ok(Self { setting, listen, data: home.join("data") })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Result<ServerProcess> {
        self.start_command(Command::new(&self.setting.binary), &self.data, arguments)
    }

    /// Starts a command that ends with the server's binary, if it is not the binary itself.
    pub(crate) fn start_command(
        &self,
        mut command: Command,
        data: &Path,
        arguments: &[&str],
    ) -> Result<ServerProcess> {
        if Path::new(command.get_program()) != self.setting.binary {
            command.arg(std::path::absolute(&self.setting.binary)?);
        }
        command.args(["serve", "--listen", &self.listen, "--data"]).arg(data).args(arguments);
        ServerProcess::start_command(command, data)
    }

    /// Returns how many spans the server has, after making sure that it has none twice.
    pub(crate) fn stored(&self) -> Result<u64> {
        let exported =
            Command::new(&self.setting.binary).args(["export", "--server", &self.url()]).output()?;
        ensure!(exported.status.success(), "export: {}", String::from_utf8_lossy(&exported.stderr));
        let mut ids = HashSet::new();
        for line in exported.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let span: serde_json::Value = serde_json::from_slice(line)?;
            let id =
                span["span_id"].as_str().or(span["id"].as_str()).context("an exported span without an id")?;
            ensure!(ids.insert(id.to_owned()), "span {id} is stored twice");
        }
        Ok(ids.len() as u64)
    }
}

/// Returns a command that runs a shell script where mounts are its own; arguments follow from `$1` on.
pub(crate) fn in_own_mounts(script: &str) -> Command {
    let mut command = Command::new("unshare");
    // SAFETY: geteuid only reads.
    if unsafe { libc::geteuid() } != 0 {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "sh", "-euc", script, "sh"]);
    command
}
