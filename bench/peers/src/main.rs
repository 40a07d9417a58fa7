//! The endspan SDK beside its peers, in one run on one machine.
//!
//! `hot-path`: what a span costs the thread that makes it. The unit is one trace of ten spans (a root and nine
//! children), reported per span; the children carry `input` and `output`, half the payload each. Bursts with
//! the real background worker running, then a flush outside the clock. Cells are medians.
//!
//! `pipeline`: spans made flat out by one thread until a local HTTP sink has acknowledged all of them.
//!
//! `memory`: how much the process grows by while its backend is dead.
//!
//! `all` does these one after the other. Read `README.md` in `bench/` for the figures and what they mean.

mod hot_path;
mod memory;
mod payload;
mod pipeline;
mod sink;
mod subjects;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measures the endspan SDK beside its peers.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The caller's cost per finished span.
    HotPath {
        /// Samples per cell.
        #[arg(long, default_value_t = 11)]
        samples: usize,
        /// Only subjects whose name contains this.
        #[arg(long, default_value = "")]
        only: String,
        /// Only cases whose name contains this.
        #[arg(long, default_value = "")]
        case: String,
    },
    /// Spans a second and CPU from one producer to a local HTTP sink.
    Pipeline {
        /// Runs per cell; the table shows medians.
        #[arg(long, default_value_t = 5)]
        runs: usize,
    },
    /// Memory while the backend is dead, against the bound.
    Memory,
    /// All of it, one after the other.
    All,
    /// One cell of `memory`, a process of its own.
    #[command(hide = true)]
    MemoryCell {
        /// How the backend is dead.
        dead: memory::Dead,
        /// How many spans.
        spans: u64,
        /// Bytes of payload a span.
        bytes: usize,
        /// Whether there is a spool.
        #[arg(action = clap::ArgAction::Set)]
        spool: bool,
    },
    /// The sink of `pipeline`, a process of its own: answers every request with 200.
    #[command(hide = true)]
    Sink {
        /// How long each answer takes.
        #[arg(long, default_value_t = 0)]
        delay_ms: u64,
    },
    /// One cell of `pipeline`, a process of its own.
    #[command(hide = true)]
    Cell {
        /// Who.
        subject: pipeline::Who,
        /// Bytes of payload a span.
        bytes: usize,
        /// How many spans.
        spans: usize,
        /// The sink.
        address: String,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().what {
        What::HotPath { samples, only, case } => hot_path::run(samples, &only, &case),
        What::Pipeline { runs } => pipeline::run(runs),
        What::Memory => memory::run(),
        What::All => {
            hot_path::run(11, "", "")?;
            println!();
            pipeline::run(5)?;
            println!();
            memory::run()
        }
        What::MemoryCell { dead, spans, bytes, spool } => memory::cell(dead, spans, bytes, spool),
        What::Sink { delay_ms } => sink::serve(delay_ms),
        What::Cell { subject, bytes, spans, address } => pipeline::cell(subject, bytes, spans, &address),
    }
}
