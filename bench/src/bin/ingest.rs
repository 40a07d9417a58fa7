//! Measures a started `endspan serve` from outside: ingest, reads, disk, CPU, start-up.
//!
//! `cargo run --release -p endspan-bench --bin ingest` prints the table of `bench/README.md`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use endspan_bench::bodies;
use endspan_bench::http::{self, Load, Requests};
use endspan_bench::process::ServerProcess;
use endspan_bench::statistics::{median, percentile, print_table};
use endspan_bench::workload::{Ev, Gen, Set, Span, events, raw_bytes, uuid_str};

/// Measures a started `endspan serve` on two workloads.
#[derive(Parser)]
struct Arguments {
    /// The binary to start.
    #[arg(long, default_value = "target/release/endspan")]
    binary: PathBuf,
    /// Where the server keeps its data; each run uses a fresh directory below it.
    #[arg(long, default_value = "bench/out")]
    data: PathBuf,
    /// How often each case runs; the table shows medians.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Only cases whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
}

const ACCOUNT: &str = "x-api-key: bench\r\nx-selected-account-id: bench\r\n";
const MINIMAL: &str = "x-api-key: bench\r\nx-selected-account-id: bench\r\nprefer: return=minimal\r\n";

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    std::fs::create_dir_all(&arguments.data)?;
    let bench = Bench { small: Gen::new(Set::Small).all(), llm: Gen::new(Set::Llm).all(), arguments };
    let mut rows = Vec::new();
    bench.single(&mut rows)?;
    bench.batches(&mut rows)?;
    bench.start_and_end(&mut rows)?;
    bench.paced(&mut rows)?;
    bench.read_traces(&mut rows)?;
    bench.start_up(&mut rows)?;
    print_table(&["what", "median", "reach"], &rows);
    Ok(())
}

struct Bench {
    arguments: Arguments,
    small: Vec<Span>,
    llm: Vec<Span>,
}

type Rows = Vec<Vec<String>>;

impl Bench {
    fn wants(&self, case: &str) -> bool {
        case.contains(&self.arguments.only)
    }

    /// Runs `case` on a fresh server as often as asked and returns what it measured each time.
    fn repeat(&self, mut case: impl FnMut(&ServerProcess) -> Result<Vec<f64>>) -> Result<Vec<f64>> {
        let mut columns: Vec<Vec<f64>> = Vec::new();
        for _ in 0..self.arguments.runs {
            let directory = tempfile::tempdir_in(&self.arguments.data)?;
            let server = start(&self.arguments.binary, directory.path())?;
            for (column, value) in case(&server)?.into_iter().enumerate() {
                if columns.len() <= column {
                    columns.push(Vec::new());
                }
                columns[column].push(value);
            }
            server.stop()?;
        }
        Ok(columns.iter_mut().map(|column| median(column)).collect())
    }

    fn single(&self, rows: &mut Rows) -> Result<()> {
        if !self.wants("single") {
            return Ok(());
        }
        let spans = in_end_order(&self.small);
        let requests: Requests = spans
            .iter()
            .map(|span| {
                let mut body = String::new();
                bodies::agentex(span, &mut body);
                http::request("POST", "/spans", "", body.as_bytes())
            })
            .collect();
        let found = self.repeat(|server| {
            let load = http::run_closed(server.address, &requests, 32)?;
            Ok(vec![
                spans.len() as f64 / load.wall.as_secs_f64(),
                server.cpu_seconds()? * 1e5 / spans.len() as f64,
            ])
        })?;
        rows.push(row(
            "one span a POST, 32 connections",
            format!("{:.0} spans/s", found[0]),
            "20,000, aim 35,000",
        ));
        rows.push(row("  server CPU per 100,000 spans", format!("{:.2} s", found[1]), ""));
        Ok(())
    }

    fn batches(&self, rows: &mut Rows) -> Result<()> {
        for (name, spans, reach, reach_disk) in [
            ("small", &self.small, "60,000, aim 80,000", "0.30"),
            ("llm", &self.llm, "20,000, aim 30,000", "0.20"),
        ] {
            for (echo, headers) in [("", MINIMAL), (", items echoed", ACCOUNT)] {
                if !self.wants(&format!("batch {name}{echo}")) {
                    continue;
                }
                let requests = batches(&in_end_order(spans), headers, 100);
                let raw = raw_bytes(spans);
                let found = self.repeat(|server| {
                    let before = server.cpu_seconds()?;
                    let load = http::run_closed(server.address, &requests, 8)?;
                    let cpu = server.cpu_seconds()? - before;
                    let disk = if echo.is_empty() { server.disk_bytes_at_rest() } else { 0 };
                    Ok(vec![
                        spans.len() as f64 / load.wall.as_secs_f64(),
                        cpu * 1e5 / spans.len() as f64,
                        disk as f64 / raw as f64,
                        server.resident_mb()?,
                    ])
                })?;
                let what = format!("PUT of 100 {name} spans, 8 connections{echo}");
                rows.push(row(
                    &what,
                    format!("{:.0} spans/s", found[0]),
                    if echo.is_empty() { reach } else { "" },
                ));
                if echo.is_empty() {
                    let cpu_reach = if name == "small" { "under 3 s" } else { "" };
                    rows.push(row("  server CPU per 100,000 spans", format!("{:.2} s", found[1]), cpu_reach));
                    rows.push(row("  disk of raw JSON, at rest", format!("{:.3}", found[2]), reach_disk));
                    rows.push(row("  resident after the load", format!("{:.0} MB", found[3]), ""));
                }
            }
        }
        Ok(())
    }

    fn start_and_end(&self, rows: &mut Rows) -> Result<()> {
        if !self.wants("start and end") {
            return Ok(());
        }
        let spans = &self.small;
        let end_only = batches(&in_end_order(spans), MINIMAL, 100);
        for (what, lag) in [("natural distance", None), ("5,000 spans apart", Some(5000))] {
            let mut items = Vec::new();
            for event in events(spans, true, lag) {
                let mut item = String::new();
                match event {
                    Ev::Start(index) => bodies::sgp_item(&spans[index], true, &mut item),
                    Ev::End(index) => bodies::sgp_item(&spans[index], false, &mut item),
                }
                items.push(item);
            }
            let both: Requests = items.chunks(100).map(|chunk| put(chunk, MINIMAL)).collect();
            let mut ratios = Vec::new();
            for _ in 0..self.arguments.runs {
                let mut rates = Vec::new();
                for requests in [&end_only, &both] {
                    let directory = tempfile::tempdir_in(&self.arguments.data)?;
                    let server = start(&self.arguments.binary, directory.path())?;
                    let load = http::run_closed(server.address, requests, 8)?;
                    rates.push(spans.len() as f64 / load.wall.as_secs_f64());
                    server.stop()?;
                }
                ratios.push(rates[1] / rates[0]);
            }
            rows.push(row(
                &format!("start + end of end-only, {what}"),
                format!("{:.0} %", median(&mut ratios) * 100.0),
                "55 %",
            ));
        }
        Ok(())
    }

    fn paced(&self, rows: &mut Rows) -> Result<()> {
        if !self.wants("paced") {
            return Ok(());
        }
        let spans = in_end_order(&self.small);
        let requests: Requests = spans
            .iter()
            .take(50_000)
            .map(|span| {
                let mut body = String::new();
                bodies::agentex(span, &mut body);
                http::request("POST", "/spans", "", body.as_bytes())
            })
            .collect();
        let found = self.repeat(|server| {
            let Load { mut latencies_ms, .. } = http::run_paced(server.address, &requests, 64, 5000.0)?;
            Ok(vec![percentile(&mut latencies_ms, 0.5), percentile(&mut latencies_ms, 0.99)])
        })?;
        rows.push(row(
            "single-span write at 5,000/s, p50 / p99",
            format!("{:.2} / {:.2} ms", found[0], found[1]),
            "p99 under 10 ms",
        ));
        Ok(())
    }

    fn read_traces(&self, rows: &mut Rows) -> Result<()> {
        if !self.wants("read traces") {
            return Ok(());
        }
        let fill = batches(&in_end_order(&self.llm), MINIMAL, 100);
        let mut traces: Vec<String> = self.llm.iter().map(|span| uuid_str(&span.trace_id)).collect();
        traces.dedup();
        let reads: Requests = traces
            .iter()
            .map(|id| http::request("GET", &format!("/spans?trace_id={id}&limit=100"), ACCOUNT, b""))
            .collect();
        let found = self.repeat(|server| {
            http::run_closed(server.address, &fill, 8)?;
            let mut load = http::run_closed(server.address, &reads, 1)?;
            Ok(vec![percentile(&mut load.latencies_ms, 0.5), percentile(&mut load.latencies_ms, 0.99)])
        })?;
        rows.push(row(
            "trace of 20 llm spans, p50 / p99",
            format!("{:.2} / {:.2} ms", found[0], found[1]),
            "p99 under 5 ms",
        ));
        Ok(())
    }

    fn start_up(&self, rows: &mut Rows) -> Result<()> {
        if !self.wants("start-up") {
            return Ok(());
        }
        let found = self.repeat(|server| {
            std::thread::sleep(Duration::from_secs(1));
            Ok(vec![server.ready_after.as_secs_f64() * 1e3, server.resident_mb()?])
        })?;
        rows.push(row("serve to first answer", format!("{:.0} ms", found[0]), "under 1 s"));
        rows.push(row("idle memory", format!("{:.1} MB", found[1]), "under 50 MB"));
        let bytes = std::fs::metadata(&self.arguments.binary)?.len();
        rows.push(row("the binary, server, store and pages", format!("{:.1} MB", bytes as f64 / 1e6), ""));
        Ok(())
    }
}

fn start(binary: &Path, data: &Path) -> Result<ServerProcess> {
    ServerProcess::start(binary, data)
}

fn row(what: &str, value: String, reach: &str) -> Vec<String> {
    vec![what.to_owned(), value, reach.to_owned()]
}

fn in_end_order(spans: &[Span]) -> Vec<&Span> {
    events(spans, false, None)
        .into_iter()
        .filter_map(|event| match event {
            Ev::End(index) => Some(&spans[index]),
            Ev::Start(_) => None,
        })
        .collect()
}

fn batches(spans: &[&Span], headers: &str, size: usize) -> Requests {
    spans
        .chunks(size)
        .map(|chunk| {
            let items: Vec<String> = chunk
                .iter()
                .map(|span| {
                    let mut item = String::new();
                    bodies::sgp_item(span, false, &mut item);
                    item
                })
                .collect();
            put(&items, headers)
        })
        .collect()
}

fn put(items: &[String], headers: &str) -> Vec<u8> {
    let body = format!("{{\"items\":[{}]}}", items.join(","));
    http::request("PUT", "/v5/spans/batch", headers, body.as_bytes())
}
