//! Fills a running span server with the workload: for looking at, and for figures of a store of some size.
//!
//! `cargo run --release -p endspan-bench --bin fill -- --server 127.0.0.1:5003 --spans 1000000`

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use endspan_bench::bodies;
use endspan_bench::http::{self, Requests};
use endspan_bench::workload::{Gen, Set};

/// Writes traces of 20 spans each to a running span server.
#[derive(Parser)]
struct Arguments {
    /// Where the server listens.
    #[arg(long, default_value = "127.0.0.1:5003")]
    server: SocketAddr,
    /// How many spans, rounded down to whole traces.
    #[arg(long, default_value_t = 100_000)]
    spans: u64,
    /// `small` (2.1 kB a span) or `llm` (11.8 kB).
    #[arg(long, default_value = "small")]
    set: String,
    /// The account that they are written to.
    #[arg(long, default_value = "default")]
    account: String,
}

/// Traces that are made, then sent, at a time: bounds the memory.
const TRACES_AT_ONCE: u64 = 2_000;
const SPANS_A_TRACE: u64 = 20;
const CONNECTIONS: usize = 4;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let set = Set::parse(&arguments.set)
        .ok_or_else(|| anyhow::anyhow!("no set '{}'; there are small and llm", arguments.set))?;
    let workload = Gen::new(set);
    let headers = format!("x-selected-account-id: {}\r\nprefer: return=minimal\r\n", arguments.account);
    let traces = arguments.spans / SPANS_A_TRACE;
    let begun = Instant::now();
    for first in (0..traces).step_by(TRACES_AT_ONCE as usize) {
        let last = traces.min(first + TRACES_AT_ONCE);
        let spans: Vec<_> = (first..last).flat_map(|number| workload.trace(number)).collect();
        let requests: Requests = spans
            .chunks(500)
            .map(|chunk| {
                let mut body = String::from("{\"items\":[");
                for (index, span) in chunk.iter().enumerate() {
                    if index > 0 {
                        body.push(',');
                    }
                    bodies::sgp_item(span, false, &mut body);
                }
                body.push_str("]}");
                http::request("PUT", "/v5/spans/batch", &headers, body.as_bytes())
            })
            .collect();
        http::run_closed(arguments.server, &requests, CONNECTIONS)?;
    }
    println!("{} spans in {} traces, {:.1} s", traces * SPANS_A_TRACE, traces, begun.elapsed().as_secs_f64());
    Ok(())
}
