//! Faults in one run: what of an agent's spans arrives when things go wrong, and whether the account closes.
//!
//! `cargo run --release -p endspan-bench --bin faults` prints the table of `bench/README.md`, and fails when more is lost
//! than may be, or when something is lost and not reported. Each agent is a process of its own with a spool of its own.
//!
//! - [`delivery`]: what happens to the agent and its backend, which is scripted and counts distinct spans.
//! - [`server`]: what happens to an `endspan serve`, on each store engine; its export says what it has.
//! - [`surroundings`]: disks that are full, clocks that jump.

mod agent;
mod delivery;
mod place;
mod server;
mod surroundings;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use endspan_bench::statistics::print_table;

use crate::agent::End;

/// Measures what is lost when things go wrong.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// The server to start.
    #[arg(long, default_value = "target/release/endspan")]
    binary: PathBuf,
    /// Only cases whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
}

#[derive(Subcommand)]
enum Role {
    /// The agent of a case, a process of its own.
    #[command(hide = true)]
    Agent {
        /// The backend.
        url: String,
        /// The spool.
        spool: PathBuf,
        /// How many spans.
        spans: u64,
        /// How many a second; 0 is flat out.
        rate: u64,
        /// What it does at the end.
        end: End,
    },
}

/// What a case is, and what may be lost in it.
struct Case {
    name: &'static str,
    /// Spans that the agent ends.
    spans: u64,
    /// How many may be lost; `None`: as many as are reported.
    to_reach: Option<u64>,
    /// What the reference's SGP path, OpenTelemetry for Python and the best peer lose.
    peers: &'static str,
    run: fn(&Setting) -> Result<Outcome>,
}

/// What cases need.
struct Setting {
    binary: PathBuf,
    spans: u64,
}

/// What came of a case.
struct Outcome {
    /// Distinct spans that the backend has.
    stored: u64,
    /// Spans that the SDK reported as given up.
    dropped: u64,
    /// What else there is to say.
    account: String,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(Role::Agent { url, spool, spans, rate, end }) = arguments.role {
        return agent::run(&url, &spool, spans, rate, end);
    }
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    for case in [delivery::CASES, server::CASES, surroundings::CASES].into_iter().flatten() {
        if !case.name.contains(&arguments.only) {
            continue;
        }
        let setting = Setting { binary: arguments.binary.clone(), spans: case.spans };
        let outcome = (case.run)(&setting).context(case.name)?;
        ensure!(outcome.stored <= case.spans, "{}: {} spans stored", case.name, outcome.stored);
        let lost = case.spans - outcome.stored;
        if lost != outcome.dropped || case.to_reach.is_some_and(|most| lost > most) {
            failed.push(case.name);
        }
        rows.push(vec![
            case.name.to_owned(),
            case.spans.to_string(),
            lost.to_string(),
            outcome.dropped.to_string(),
            case.to_reach.map_or("all reported".to_owned(), |most| most.to_string()),
            case.peers.to_owned(),
            outcome.account,
        ]);
    }
    print_table(
        &[
            "case",
            "spans",
            "lost",
            "of them reported",
            "to reach",
            "reference / OpenTelemetry / best peer",
            "account",
        ],
        &rows,
    );
    ensure!(failed.is_empty(), "more was lost, or less reported, than may be: {failed:?}");
    Ok(())
}
