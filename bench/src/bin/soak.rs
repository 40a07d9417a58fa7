//! A server at more than it can take, for as long as one likes: is its memory bounded, is whoever it refuses told when to come
//! again, and is every span there that it acknowledged?
//!
//! `soak --binary target/release/endspan --seconds 300 --slow-sync-ms 40 --max-mb 900`
//!
//! `--idle N` instead opens N connections, sends one request on each, and says what one costs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use endspan_bench::http::{Connection, request};
use endspan_bench::process::ServerProcess;
use endspan_bench::statistics::print_table;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

#[derive(Parser)]
struct Arguments {
    /// The server.
    #[arg(long)]
    binary: PathBuf,
    /// How long to write.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Connections that write as fast as they can.
    #[arg(long, default_value_t = 400)]
    connections: usize,
    /// Connections that begin a body and never end it.
    #[arg(long, default_value_t = 50)]
    stalled: usize,
    /// Spans of one request.
    #[arg(long, default_value_t = 40)]
    spans: usize,
    /// Bytes of payload of one span.
    #[arg(long, default_value_t = 50_000)]
    payload_bytes: usize,
    /// The server's --max-in-flight-bytes.
    #[arg(long, default_value = "256MiB")]
    in_flight: String,
    /// Every sync of the disk takes this much longer. Needs `cc`.
    #[arg(long, default_value_t = 0)]
    slow_sync_ms: u64,
    /// Fail when the server ever held more.
    #[arg(long)]
    max_mb: Option<f64>,
    /// Only open so many connections and leave them idle.
    #[arg(long)]
    idle: Option<usize>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let directory = tempfile::tempdir()?;
    if let Some(count) = arguments.idle {
        return idle(&arguments.binary, directory.path(), count, &runtime);
    }
    let server = start(&arguments, directory.path())?;
    let before = server.resident_mb()?;
    let told = Arc::new(Told::default());
    let begin = Instant::now();
    runtime.block_on(load(&arguments, server.address, &told));
    let seconds = begin.elapsed().as_secs_f64();
    let peak = server.peak_resident_mb()?;
    let acknowledged = std::mem::take(&mut *told.acknowledged.lock().expect("no panic"));
    let missing = runtime.block_on(missing(server.address, &acknowledged, arguments.spans))?;
    let at_rest = server.resident_mb()?;
    server.stop()?;

    let statuses = told.statuses.lock().expect("no panic").clone();
    let silent = told.silent.load(Ordering::Relaxed);
    let spans = acknowledged.len() * arguments.spans;
    let megabytes = (spans * arguments.payload_bytes) as f64 / 1e6;
    let count = |status: u16| statuses.get(&status).copied().unwrap_or(0);
    let row = |what: &str, measured: String, limit: &str| vec![what.to_owned(), measured, limit.to_owned()];
    print_table(
        &["overload", "measured", "limit"],
        &[
            row("acknowledged", format!("{spans} spans, {megabytes:.0} MB of payload in {seconds:.0} s"), ""),
            row("requests taken / refused with 503", format!("{} / {}", count(200), count(503)), ""),
            row("connections broken", told.broken.load(Ordering::Relaxed).to_string(), ""),
            row("spans acknowledged and lost", missing.to_string(), "0"),
            row("refusals without Retry-After", silent.to_string(), "0"),
            row("resident before / after", format!("{before:.0} / {at_rest:.0} MB"), ""),
            row(
                "resident at most, MB",
                format!("{peak:.0}"),
                &arguments.max_mb.map(|most| format!("{most:.0}")).unwrap_or_default(),
            ),
        ],
    );
    let strange = statuses.keys().any(|status| !matches!(status, 200 | 408 | 429 | 503));
    if missing > 0 || silent > 0 || strange || spans == 0 {
        bail!("not as promised");
    }
    if let Some(most) = arguments.max_mb.filter(|most| peak > *most) {
        bail!("{peak:.0} MB are more than {most:.0} MB");
    }
    Ok(())
}

/// Starts the server, with syncs that take longer if asked for.
fn start(arguments: &Arguments, directory: &Path) -> Result<ServerProcess> {
    let mut command = Command::new(&arguments.binary);
    if arguments.slow_sync_ms > 0 {
        command.env("LD_PRELOAD", slow_sync(directory, arguments.slow_sync_ms)?);
    }
    let data = directory.join("data");
    command.args(["serve", "--listen", "127.0.0.1:0", "--max-in-flight-bytes", &arguments.in_flight]);
    command.arg("--data").arg(&data);
    ServerProcess::start_command(command, &data)
}

/// Makes a library whose `fsync` and `fdatasync` sleep first: what a busy disk looks like to a program.
fn slow_sync(directory: &Path, millis: u64) -> Result<PathBuf> {
    let source = directory.join("slow.c");
    let library = directory.join("slow.so");
    let text = format!(
        "#include <sys/syscall.h>\n#include <unistd.h>\n\
         int fsync(int f) {{ usleep({micros}); return syscall(SYS_fsync, f); }}\n\
         int fdatasync(int f) {{ usleep({micros}); return syscall(SYS_fdatasync, f); }}\n",
        micros = millis * 1000
    );
    std::fs::write(&source, text)?;
    let made = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).status();
    if !made.context("cc")?.success() {
        bail!("cc could not make the slow disk");
    }
    Ok(library)
}

/// What the server said.
#[derive(Default)]
struct Told {
    statuses: Mutex<BTreeMap<u16, u64>>,
    /// Refusals without Retry-After.
    silent: AtomicU64,
    /// Connections that ended without an answer.
    broken: AtomicU64,
    /// Requests that were answered 200, by number.
    acknowledged: Mutex<Vec<u64>>,
    next: AtomicU64,
}

async fn load(arguments: &Arguments, address: SocketAddr, told: &Arc<Told>) {
    let deadline = Instant::now() + Duration::from_secs(arguments.seconds);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..arguments.connections {
        let (told, spans, payload_bytes) = (Arc::clone(told), arguments.spans, arguments.payload_bytes);
        tasks.spawn(async move {
            while Instant::now() < deadline {
                if write(address, &told, deadline, spans, payload_bytes).await.is_err() {
                    told.broken.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
    }
    for _ in 0..arguments.stalled {
        tasks.spawn(async move {
            while Instant::now() < deadline {
                let Ok(mut stream) = TcpStream::connect(address).await else { continue };
                let head = "PUT /v5/spans/batch HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                    content-length: 1000000\r\n\r\n{\"items\":[";
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = stream.write_all(&[b' '; 200_000]).await;
                tokio::time::sleep(deadline.saturating_duration_since(Instant::now()).min(Duration::from_secs(40))).await;
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

/// Sends requests over one connection until it breaks or the time is over.
async fn write(
    address: SocketAddr,
    told: &Told,
    deadline: Instant,
    spans: usize,
    payload_bytes: usize,
) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    while Instant::now() < deadline {
        let number = told.next.fetch_add(1, Ordering::Relaxed);
        let body = body(number, spans, payload_bytes);
        let request = request("PUT", "/v5/spans/batch", "prefer: return=minimal\r\n", &body);
        let (status, _) = connection.send(&request).await?;
        *told.statuses.lock().expect("no panic").entry(status).or_default() += 1;
        match status {
            200 => told.acknowledged.lock().expect("no panic").push(number),
            429 | 503 if !connection.has_header("retry-after") => {
                told.silent.fetch_add(1, Ordering::Relaxed);
            }
            408 => return Ok(()),
            _ => {}
        }
    }
    Ok(())
}

/// A batch, which is one trace, of payloads that hardly compress.
fn body(number: u64, spans: usize, payload_bytes: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut body = b"{\"items\":[".to_vec();
    for index in 0..spans {
        let comma = if index > 0 { "," } else { "" };
        body.extend_from_slice(
            format!(
                "{comma}{{\"id\":\"{number}-{index}\",\"trace_id\":\"soak-{number}\",\"name\":\"span\",\
                 \"start_timestamp\":\"2026-01-01T00:00:00Z\",\"end_timestamp\":\"2026-01-01T00:00:01Z\",\"input\":{{\"t\":\""
            )
            .as_bytes(),
        );
        let end = body.len() + payload_bytes;
        while body.len() < end {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            body.extend_from_slice(format!("{state:016x} ").as_bytes());
        }
        body.extend_from_slice(b"\"}}");
    }
    body.extend_from_slice(b"]}");
    body
}

/// Counts the spans of acknowledged requests that cannot be read.
async fn missing(address: SocketAddr, acknowledged: &[u64], spans: usize) -> Result<usize> {
    let mut connection = Connection::open(address).await?;
    let mut missing = 0;
    for number in acknowledged {
        let path = format!("/api/traces/soak-{number}");
        let (status, length) = connection.send(&request("GET", &path, "", b"")).await?;
        let found = match status {
            200 => {
                let trace: serde_json::Value = serde_json::from_slice(connection.body(length))?;
                trace["spans"].as_array().map_or(0, Vec::len)
            }
            _ => 0,
        };
        missing += spans.saturating_sub(found);
    }
    Ok(missing)
}

/// Opens connections, one request each, and says what they cost the server.
fn idle(binary: &Path, directory: &Path, count: usize, runtime: &tokio::runtime::Runtime) -> Result<()> {
    let server = ServerProcess::start_with(
        binary,
        &directory.join("data"),
        &["--max-connections", "1000000", "--header-timeout", "10m"],
    )?;
    let before = server.resident_mb()?;
    let address = server.address;
    let health = request("GET", "/healthz", "", b"");
    let open = runtime.block_on(async {
        let mut open = Vec::with_capacity(count);
        for index in 0..count {
            // An address of this machine has some 28,000 ports to come from.
            let from = format!("127.0.0.{}:0", 2 + index / 20_000);
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(from.parse()?)?;
            let Ok(stream) = socket.connect(address).await else { break };
            let mut connection = Connection::of(stream);
            match connection.send(&health).await {
                Ok((200, _)) => open.push(connection),
                _ => break,
            }
        }
        anyhow::Ok(open)
    })?;
    std::thread::sleep(Duration::from_secs(1));
    let after = server.resident_mb()?;
    let each = (after - before) * 1024.0 * 1024.0 / open.len().max(1) as f64;
    println!(
        "{} idle connections: {before:.1} MB before, {after:.1} MB with them, {each:.0} bytes each",
        open.len()
    );
    drop(open);
    server.stop()
}

fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is ours, and the calls read and write nothing else.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}
