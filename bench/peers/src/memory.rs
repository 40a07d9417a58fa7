//! Memory while a backend is dead: what the process grows by, at most, against the bound that it was given.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::payload::chat;

/// The bound on spans in memory that endspan has by default.
const BOUND_BYTES: f64 = (64 << 20) as f64;
/// How long the process is watched after its last span.
const WATCH: Duration = Duration::from_secs(3);

/// How the backend is dead.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Dead {
    /// Connections are refused.
    Refuses,
    /// Connections are made, and requests are never answered.
    Hangs,
}

/// Prints the table.
pub fn run() -> Result<()> {
    println!("| dead backend | spans | peak growth, MiB | of the bound | at the end, MiB | kept |");
    println!("|---|---|---|---|---|---|");
    let program = std::env::current_exe()?;
    for (spans, bytes) in [("50000", "300"), ("5000", "10000")] {
        for dead in ["refuses", "hangs"] {
            for (name, spool) in [("spool on (default)", "true"), ("spool off", "false")] {
                let cell = Command::new(&program)
                    .args(["memory-cell", dead, spans, bytes, spool])
                    .stderr(Stdio::inherit())
                    .output()?;
                ensure!(cell.status.success(), "{dead} {name} failed");
                let text = String::from_utf8(cell.stdout)?;
                let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
                let [peak, end, kept] = numbers[..] else { anyhow::bail!("{text}") };
                println!(
                    "| {dead}, {name} | {spans} x {bytes} B | {:.1} | {:.2} | {:.1} | {kept} |",
                    peak / f64::from(1 << 20),
                    peak / BOUND_BYTES,
                    end / f64::from(1 << 20),
                );
            }
        }
    }
    Ok(())
}

/// Runs one cell: prints peak and final growth in bytes, and the spans that are kept.
pub fn cell(dead: Dead, spans: u64, bytes: usize, spool: bool) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    if matches!(dead, Dead::Refuses) {
        drop(listener);
    } else {
        std::mem::forget(listener);
    }
    let directory = tempfile::tempdir()?;
    let exporter = endspan::SgpExporter::builder()
        .api_key("bench")
        .account_id("bench")
        .base_url(format!("http://{address}"))
        .build();
    let builder = endspan::Tracer::builder().environment(endspan::Environment::fixed([])).exporter(exporter);
    let half = chat(bytes / 2);
    let before = resident_bytes()?;
    let tracer = if spool { builder.spool_directory(directory.path()) } else { builder.spool(false) }.build();
    let peak = Arc::new(AtomicU64::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let watcher = std::thread::spawn({
        let (peak, done) = (Arc::clone(&peak), Arc::clone(&done));
        move || -> Result<()> {
            while !done.load(Ordering::Relaxed) {
                peak.fetch_max(resident_bytes()?, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        }
    });
    let trace = tracer.new_trace();
    for _ in 0..spans {
        let mut span = trace.span("child").start();
        span.set_input(&half);
        span.set_output(&half);
        span.end();
    }
    std::thread::sleep(WATCH);
    let end = resident_bytes()?;
    done.store(true, Ordering::Relaxed);
    watcher.join().ok().context("watcher")??;
    let stats = tracer.stats();
    let account = &stats.destinations.first().context("destination")?.account;
    let kept = account.pending;
    let accounted = kept + account.dropped.total() + account.delivered + account.superseded;
    ensure!(accounted == account.accepted && account.accepted == spans, "the account is open: {account}");
    println!("{} {} {kept}", peak.load(Ordering::Relaxed).saturating_sub(before), end.saturating_sub(before));
    tracer.shutdown_within(Duration::ZERO);
    Ok(())
}

/// Pages of the process in memory, those of mapped files included.
fn resident_bytes() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = text.split_whitespace().nth(1).context("statm")?.parse()?;
    Ok(pages * 4096)
}
