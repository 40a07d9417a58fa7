//! Measures `endspan serve --store postgres://...` from outside, and what it costs the Postgres.
//!
//! `cargo run --release -p endspan-bench --bin postgres` prints the table of `docs/adr/0004-postgres.md`. Each case has a
//! Postgres of its own, with 2 GB of shared buffers, `max_wal_size` of 8 GB, everything durable and no autovacuum, so that
//! what dies stays to be counted.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use endspan_bench::bodies;
use endspan_bench::http::{self, Requests};
use endspan_bench::process::ServerProcess;
use endspan_bench::statistics::{percentile, print_table};
use endspan_bench::workload::{Ev, Gen, Set, Span, events, raw_bytes, uuid_str};
use endspan_testkit::TestPostgres;
use tokio_postgres::NoTls;

/// Measures a server on Postgres on two workloads.
#[derive(Parser)]
struct Arguments {
    /// The binary to start.
    #[arg(long, default_value = "target/release/endspan")]
    binary: PathBuf,
    /// Only cases whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// How often each case runs; the table shows every run.
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// Prints what each statement took. Needs `pg_stat_statements`, and makes everything slower.
    #[arg(long)]
    statements: bool,
}

const MINIMAL: &str = "x-api-key: bench\r\nx-selected-account-id: bench\r\nprefer: return=minimal\r\n";

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (small, llm) = (Gen::new(Set::Small).all(), Gen::new(Set::Llm).all());
    let raw = (raw_bytes(&small) as f64, raw_bytes(&llm) as f64);
    let singles: Requests = in_end_order(&small).iter().map(|span| post(span)).collect();
    let cases: [(&str, Requests, usize, f64, usize); 5] = [
        ("one small span a POST", singles, 32, raw.0, small.len()),
        ("PUT of 100 small", batches(&items(&small, false, None)), 8, raw.0, small.len()),
        ("PUT of 100 llm", batches(&items(&llm, false, None)), 8, raw.1, llm.len()),
        ("start + end small, natural", batches(&items(&small, true, None)), 8, raw.0, small.len()),
        ("start + end small, 5,000 apart", batches(&items(&small, true, Some(5000))), 8, raw.0, small.len()),
    ];
    let mut rows = Vec::new();
    for (name, requests, connections, raw, spans) in cases {
        if !name.contains(&arguments.only) {
            continue;
        }
        for _ in 0..arguments.runs {
            let bench = Bench::start(&arguments)?;
            let before = bench.figures()?;
            let (server_cpu, postgres_cpu) = (bench.server.cpu_seconds()?, bench.postgres.cpu_seconds()?);
            let load = http::run_closed(bench.server.address, &requests, connections)?;
            let per_100k = 1e5 / spans as f64;
            let server_cpu = (bench.server.cpu_seconds()? - server_cpu) * per_100k;
            let postgres_cpu = (bench.postgres.cpu_seconds()? - postgres_cpu) * per_100k;
            // Sessions report what they did within a second of being idle.
            std::thread::sleep(Duration::from_secs(2));
            let after = bench.figures()?;
            if arguments.statements {
                bench.print_statements(name)?;
            }
            let mut row = vec![
                name.to_owned(),
                format!("{:.0}", spans as f64 / load.wall.as_secs_f64()),
                format!("{server_cpu:.2} / {postgres_cpu:.2}"),
                format!(
                    "{:.0} ({:.2})",
                    (after.wal - before.wal) / spans as f64,
                    (after.wal - before.wal) / raw
                ),
                format!("{:.2}", after.bytes / raw),
                format!("{:.3}", after.dead_spans / spans as f64),
                format!("{:.3}", after.dead_all / spans as f64),
                format!("{:.0} %", after.hot * 100.0),
            ];
            let reads = if name == "PUT of 100 llm" { bench.read_traces(&llm)? } else { String::new() };
            row.push(reads);
            rows.push(row);
            bench.server.stop()?;
        }
    }
    let header = [
        "what",
        "spans/s",
        "CPU-s/100k, server / Postgres",
        "WAL B/span (of raw)",
        "disk of raw",
        "dead spans/span",
        "dead rows/span",
        "HOT",
        "trace of 20, p50 / p99",
    ];
    print_table(&header, &rows);
    Ok(())
}

struct Bench {
    server: ServerProcess,
    postgres: TestPostgres,
    runtime: tokio::runtime::Runtime,
    _data: tempfile::TempDir,
}

/// What Postgres says of itself.
struct Figures {
    wal: f64,
    bytes: f64,
    dead_spans: f64,
    dead_all: f64,
    hot: f64,
}

impl Bench {
    fn start(arguments: &Arguments) -> Result<Self> {
        let mut settings = vec!["autovacuum=off", "shared_buffers=2GB", "max_wal_size=8GB"];
        if arguments.statements {
            settings.extend([
                "shared_preload_libraries=pg_stat_statements",
                "pg_stat_statements.track_planning=on",
            ]);
        }
        let postgres = TestPostgres::private_with(&settings).context("there is no Postgres here")?;
        let data = tempfile::tempdir()?;
        let url = postgres.url();
        let server =
            ServerProcess::start_with(&arguments.binary, data.path(), &["--store", &url, "--migrate"])?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { server, postgres, runtime, _data: data })
    }

    fn figures(&self) -> Result<Figures> {
        self.runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.postgres.url(), NoTls).await?;
            let connection = tokio::spawn(connection);
            let row = client
                .query_one(
                    "SELECT (pg_current_wal_insert_lsn() - '0/0')::float8, \
                     (SELECT sum(pg_total_relation_size(c.oid))::float8 FROM pg_class c \
                     WHERE c.relnamespace = 'endspan'::regnamespace AND c.relkind = 'r'), \
                     coalesce(sum(n_dead_tup) FILTER (WHERE relname LIKE 'spans%'), 0)::float8, \
                     coalesce(sum(n_dead_tup), 0)::float8, \
                     coalesce(sum(n_tup_hot_upd)::float8 / nullif(sum(n_tup_upd), 0), 1) \
                     FROM pg_stat_user_tables WHERE schemaname = 'endspan'",
                    &[],
                )
                .await?;
            drop(client);
            connection.await??;
            Ok(Figures {
                wal: row.try_get(0)?,
                bytes: row.try_get(1)?,
                dead_spans: row.try_get(2)?,
                dead_all: row.try_get(3)?,
                hot: row.try_get(4)?,
            })
        })
    }

    fn print_statements(&self, case: &str) -> Result<()> {
        self.runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.postgres.url(), NoTls).await?;
            let connection = tokio::spawn(connection);
            client.batch_execute("CREATE EXTENSION pg_stat_statements").await?;
            let found = client
                .query(
                    "SELECT calls, rows, total_exec_time, total_plan_time, plans, wal_bytes::float8, \
                     regexp_replace(left(query, 90), '\\s+', ' ', 'g') \
                     FROM pg_stat_statements ORDER BY total_exec_time + total_plan_time DESC LIMIT 16",
                    &[],
                )
                .await?;
            drop(client);
            connection.await??;
            let mut rows = Vec::with_capacity(found.len());
            for row in &found {
                let calls: i64 = row.try_get(0)?;
                let each = |total: f64| format!("{:.1}", total * 1000.0 / calls as f64);
                rows.push(vec![
                    calls.to_string(),
                    format!("{:.1}", row.try_get::<_, i64>(1)? as f64 / calls as f64),
                    format!("{:.0}", row.try_get::<_, f64>(2)?),
                    each(row.try_get(2)?),
                    each(row.try_get(3)?),
                    row.try_get::<_, i64>(4)?.to_string(),
                    format!("{:.0}", row.try_get::<_, f64>(5)? / calls as f64),
                    row.try_get(6)?,
                ]);
            }
            println!("\n{case}:");
            let header = ["calls", "rows", "ms", "µs a call", "µs planning", "plans", "WAL B", "statement"];
            print_table(&header, &rows);
            Ok(())
        })
    }

    fn read_traces(&self, spans: &[Span]) -> Result<String> {
        let mut traces: Vec<String> = spans.iter().map(|span| uuid_str(&span.trace_id)).collect();
        traces.dedup();
        let headers = "x-api-key: bench\r\nx-selected-account-id: bench\r\n";
        let reads: Requests = traces
            .iter()
            .map(|id| http::request("GET", &format!("/spans?trace_id={id}&limit=100"), headers, b""))
            .collect();
        let mut load = http::run_closed(self.server.address, &reads, 1)?;
        let latencies = &mut load.latencies_ms;
        Ok(format!("{:.2} / {:.2} ms", percentile(latencies, 0.5), percentile(latencies, 0.99)))
    }
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

fn items(spans: &[Span], starts: bool, lag: Option<usize>) -> Vec<String> {
    events(spans, starts, lag)
        .into_iter()
        .map(|event| {
            let mut item = String::new();
            match event {
                Ev::Start(index) => bodies::sgp_item(&spans[index], true, &mut item),
                Ev::End(index) => bodies::sgp_item(&spans[index], false, &mut item),
            }
            item
        })
        .collect()
}

fn post(span: &Span) -> Vec<u8> {
    let mut body = String::new();
    bodies::agentex(span, &mut body);
    http::request("POST", "/spans", "", body.as_bytes())
}

fn batches(items: &[String]) -> Requests {
    let put = |chunk: &[String]| {
        let body = format!("{{\"items\":[{}]}}", chunk.join(","));
        http::request("PUT", "/v5/spans/batch", MINIMAL, body.as_bytes())
    };
    items.chunks(100).map(put).collect()
}
