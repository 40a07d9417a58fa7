//! The embedded engine: spans in one SQLite file, payloads in compressed blocks, nothing to install.
//!
//! Narrow rows hold what is searched and sorted; the payloads of many spans together make one zstd block, since
//! agents repeat themselves from span to span. One thread writes and commits groups of whatever is waiting; a few
//! threads read; one merges small blocks into large ones grouped by trace; one carries the log into the file.
//! `docs/adr/0002-embedded-store.md` says why.
//!
//! Start reading at [`EmbeddedStore`], then `writer` for the way in and `reads` for the ways out.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod assessments;
mod backfill;
mod binding;
mod block_filter;
mod checkpoint;
mod columns;
mod compact_id;
mod compactor;
mod directory;
mod error;
mod filter_group;
mod filter_maker;
mod fresh_filters;
mod id_index;
mod options;
mod precedence;
mod queue;
mod readers;
mod reads;
mod row;
mod schema;
mod search;
mod shared;
mod store;
mod text_scan;
mod text_search;
mod trace_reads;
mod writer;

pub use error::OpenError;
pub use options::Options;
pub use store::EmbeddedStore;
