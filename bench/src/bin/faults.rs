//! Loss cases: what of an agent's spans arrives when things go wrong, and whether the account closes.
//!
//! `cargo run --release -p endspan-bench --bin faults` prints the table of `bench/README.md`. Each agent is a
//! process of its own with a spool of its own; the backend is scripted and counts distinct spans.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use endspan::{Environment, SgpExporter, Tracer};
use endspan_bench::statistics::print_table;
use endspan_testkit::{FakeBackend, Protocol, Reply};

/// Measures what is lost when things go wrong.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// The agent of a case, a process of its own.
    #[command(hide = true)]
    Agent {
        /// The backend.
        url: String,
        /// The spool.
        spool: std::path::PathBuf,
        /// How many spans.
        spans: u64,
        /// How many a second; 0 is flat out.
        rate: u64,
        /// What it does at the end.
        end: End,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
enum End {
    /// Waits to be killed.
    Hang,
    /// Shuts down, 30 s allowed.
    Shutdown,
    /// Leaves without shutting down.
    Exit,
}

impl End {
    fn name(self) -> &'static str {
        match self {
            Self::Hang => "hang",
            Self::Shutdown => "shutdown",
            Self::Exit => "exit",
        }
    }
}

fn main() -> Result<()> {
    match Arguments::parse().role {
        Some(Role::Agent { url, spool, spans, rate, end }) => agent(&url, &spool, spans, rate, end),
        None => cases(),
    }
}

fn agent(url: &str, spool: &Path, spans: u64, rate: u64, end: End) -> Result<()> {
    let nothing = || Environment::fixed([]);
    let exporter =
        SgpExporter::builder().environment(nothing()).base_url(url).api_key("k").account_id("a").build();
    // Leaked, as in most programs: it lives as long as the process.
    let tracer: &'static Tracer = Box::leak(Box::new(
        Tracer::builder().environment(nothing()).spool_directory(spool).exporter(exporter).build(),
    ));
    let trace = tracer.trace("faults");
    let input = serde_json::json!({"messages": [{"role": "user", "content": "why is the sky blue?"}]});
    let begin = Instant::now();
    for number in 0..spans {
        if let Some(interval) = 1_000_000_u64.checked_div(rate) {
            let due = begin + Duration::from_micros(interval * number);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        trace.span(format!("step-{number}")).input(&input).start().end();
    }
    println!("ended");
    match end {
        End::Hang => std::thread::sleep(Duration::from_secs(600)),
        End::Shutdown => println!("{}", tracer.shutdown_within(Duration::from_secs(30))),
        End::Exit => {}
    }
    Ok(())
}

/// Starts an agent and waits until its last span has ended.
fn start(
    url: &str,
    spool: &Path,
    spans: u64,
    rate: u64,
    end: End,
) -> Result<(Child, BufReader<std::process::ChildStdout>)> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["agent", url])
        .arg(spool)
        .args([spans.to_string(), rate.to_string(), end.name().to_owned()])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("stdout")?);
    let mut line = String::new();
    lines.read_line(&mut line)?;
    ensure!(line.trim() == "ended", "the agent died early: {line:?}");
    Ok((child, lines))
}

/// Lets an agent run to its end and returns the account that it printed.
fn finish(url: &str, spool: &Path, spans: u64, rate: u64, end: End) -> Result<String> {
    let (mut child, mut lines) = start(url, spool, spans, rate, end)?;
    let mut account = String::new();
    lines.read_to_string(&mut account)?;
    ensure!(child.wait()?.success(), "the agent failed");
    Ok(account.trim().to_owned())
}

fn cases() -> Result<()> {
    let mut rows = Vec::new();
    let mut case = |name: &str,
                    made: u64,
                    expected: u64,
                    peers: &str,
                    run: &dyn Fn(&FakeBackend, &Path) -> Result<String>| {
        let backend = FakeBackend::start();
        let spool = tempfile::tempdir()?;
        let account = run(&backend, spool.path()).with_context(|| name.to_owned())?;
        let stored = backend.stored(Protocol::Sgp).len() as u64;
        rows.push(vec![
            name.to_owned(),
            made.to_string(),
            (made - stored).to_string(),
            expected.to_string(),
            peers.to_owned(),
            account,
        ]);
        anyhow::Ok(())
    };
    case(
        "SIGKILL right after the last span, then a restart",
        5000,
        0,
        "100 / 904 / 20",
        &|backend, spool| {
            let (mut child, _lines) = start(&backend.url(), spool, 5000, 0, End::Hang)?;
            child.kill()?;
            child.wait()?;
            let before = backend.stored(Protocol::Sgp).len();
            let account = finish(&backend.url(), spool, 0, 0, End::Shutdown)?;
            Ok(format!("{before} before the kill; restart: {account}"))
        },
    )?;
    case("backend answers 503 for 10 s, 200 spans/s", 4000, 0, "1,762 / 512 / 25", &|backend, spool| {
        backend.always(Reply::status(503));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_secs(10));
                backend.always(Reply::Serve);
            });
            finish(&backend.url(), spool, 4000, 200, End::Shutdown)
        })
    })?;
    case(
        "backend refuses connections for 10 s, 200 spans/s",
        4000,
        0,
        "1,742 / 512 / 27",
        &|backend, spool| {
            let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
            let target: SocketAddr = backend.url().trim_start_matches("http://").parse()?;
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_secs(10));
                forward(address, target)
            });
            finish(&format!("http://{address}"), spool, 4000, 200, End::Shutdown)
        },
    )?;
    case("one refused span in 1,000", 1000, 1, "100 / 512 / 1", &|backend, spool| {
        backend.refuse(|span| span["name"] == "step-500");
        let account = finish(&backend.url(), spool, 1000, 0, End::Shutdown)?;
        Ok(format!("{} requests; {account}", backend.requests().len()))
    })?;
    let slow = |latency_ms| Reply::After(Duration::from_millis(latency_ms), Box::new(Reply::Serve));
    case(
        "shutdown with 10,000 queued, 1,000 ms latency, 30 s",
        10_000,
        0,
        "700 / – / –",
        &|backend, spool| {
            backend.always(slow(1000));
            finish(&backend.url(), spool, 10_000, 0, End::Shutdown)
        },
    )?;
    case(
        "exit without shutdown, 10,000 queued, 150 ms latency",
        10_000,
        0,
        "5,400 / 5,904 / 0",
        &|backend, spool| {
            backend.always(slow(150));
            finish(&backend.url(), spool, 10_000, 0, End::Exit)?;
            let before = backend.stored(Protocol::Sgp).len();
            let account = finish(&backend.url(), spool, 0, 0, End::Shutdown)?;
            Ok(format!("{before} at the exit; next start: {account}"))
        },
    )?;
    let lost: Vec<bool> = rows.iter().map(|row| row[2] == row[3]).collect();
    print_table(
        &["case", "spans", "lost", "to reach", "reference / OpenTelemetry / best peer", "account"],
        &rows,
    );
    ensure!(lost.iter().all(|as_expected| *as_expected), "more was lost than may be");
    Ok(())
}

/// Listens on an address and hands every connection on.
fn forward(address: SocketAddr, target: SocketAddr) -> Result<()> {
    for stream in TcpListener::bind(address)?.incoming() {
        let (client, server) = (stream?, TcpStream::connect(target)?);
        for (mut from, mut to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Both);
            });
        }
    }
    Ok(())
}
