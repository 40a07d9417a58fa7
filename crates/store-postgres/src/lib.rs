//! The Postgres engine: spans in a Postgres that a team runs anyway, several servers on one database.
//!
//! Narrow rows hold what is searched and sorted; the payloads of many spans together make one zstd block in a
//! table beside them. Each server gathers whatever is waiting into groups; the servers take turns, one group one
//! transaction. `docs/adr/0004-postgres.md` says why.
//!
//! Start reading at [`PostgresStore`], then `writer` for the way in and `reads` for the ways out.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod assessments;
mod connections;
mod error;
mod import;
mod maintenance;
mod options;
mod queue;
mod reads;
mod row;
mod schema;
mod search;
mod shared;
mod store;
mod tls;
mod trace_reads;
mod url;
mod writer;

pub use error::OpenError;
pub use import::{Comparison, ImportError, ImportOptions, Progress, compare_agentex, import_agentex};
pub use options::Options;
pub use schema::{Migrated, migrate};
pub use store::PostgresStore;
