//! What the benchmarks share: the workload, a lean HTTP client, a started server to measure, and statistics.
//!
//! Start reading at `src/bin/ingest.rs`; `README.md` beside this crate has the figures.

pub mod bodies;
pub mod http;
pub mod made;
pub mod process;
pub mod statistics;
pub mod workload;
