//! A started `endspan serve`, and what the operating system says of it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A server process on a data directory of its own.
pub struct ServerProcess {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it listens for OTLP over gRPC.
    pub grpc_address: Option<SocketAddr>,
    /// From the start of the process to the first answer of `/healthz`.
    pub ready_after: Duration,
    data: PathBuf,
}

impl ServerProcess {
    /// Starts `binary serve` on free ports of loopback.
    pub fn start(binary: &Path, data: &Path) -> Result<Self> {
        Self::start_with(binary, data, &[])
    }

    /// Starts it with more arguments.
    pub fn start_with(binary: &Path, data: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(binary);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(arguments);
        Self::start_command(command, data)
    }

    /// Starts a command that ends up as `endspan serve` on a data directory.
    pub fn start_command(mut command: Command, data: &Path) -> Result<Self> {
        let begin = Instant::now();
        let mut child =
            command.stdout(Stdio::piped()).spawn().with_context(|| format!("start {command:?}"))?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("stdout")?).read_line(&mut line)?;
        let mut addresses = find_addresses(&line);
        let address = addresses.next().with_context(|| format!("no address in {line:?}"))?;
        let grpc_address = addresses.next();
        let health = crate::http::request("GET", "/healthz", "", b"");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (status, _) =
            runtime.block_on(async { crate::http::Connection::open(address).await?.send(&health).await })?;
        if status != 200 {
            bail!("/healthz answers {status}");
        }
        Ok(Self { child, address, grpc_address, ready_after: begin.elapsed(), data: data.to_owned() })
    }

    /// Returns the process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills the process, which can do nothing about it.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Returns user and system CPU seconds so far.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit_once(')').context("stat")?.1.split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        // SAFETY: sysconf only reads a constant of the system.
        Ok(ticks / unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64)
    }

    /// Returns resident megabytes.
    pub fn resident_mb(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS")).context("VmRSS")?;
        let kilobytes: f64 = line.split_whitespace().nth(1).context("VmRSS")?.parse()?;
        Ok(kilobytes / 1024.0)
    }

    /// Returns the most resident megabytes that there ever were.
    pub fn peak_resident_mb(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmHWM")).context("VmHWM")?;
        let kilobytes: f64 = line.split_whitespace().nth(1).context("VmHWM")?.parse()?;
        Ok(kilobytes / 1024.0)
    }

    /// Returns bytes of the data directory.
    pub fn disk_bytes(&self) -> u64 {
        directory_bytes(&self.data)
    }

    /// Waits until the data directory has stopped changing for five seconds, at most 30 s, and returns its bytes.
    pub fn disk_bytes_at_rest(&self) -> u64 {
        let begin = Instant::now();
        let (mut bytes, mut since) = (self.disk_bytes(), Instant::now());
        while since.elapsed() < Duration::from_secs(5) && begin.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(100));
            let now = self.disk_bytes();
            if now != bytes {
                (bytes, since) = (now, Instant::now());
            }
        }
        bytes
    }

    /// Asks for a graceful stop and waits for it.
    pub fn stop(mut self) -> Result<()> {
        // SAFETY: signals a child that this value owns and has not reaped.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        let status = self.child.wait()?;
        if !status.success() {
            bail!("server stopped with {status}");
        }
        Ok(())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn find_addresses(line: &str) -> impl Iterator<Item = SocketAddr> {
    line.split(|c: char| c.is_whitespace() || c == '/' || c == '"' || c == ',')
        .filter_map(|word| word.parse().ok())
}

/// Returns the bytes of all files below a directory.
pub fn directory_bytes(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => directory_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
