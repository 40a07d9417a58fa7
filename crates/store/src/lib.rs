//! The contract between the server and its store engines.
//!
//! - [`SpanStore`] says in prose what every engine promises: durability, identity, order, paging, ownership.
//! - [`WriteRequest`] and its [`Outcome`]s are the only way in.
//! - [`ListQuery`], [`TraceQuery`] and the rest of [`query`] are the ways out.
//! - [`assessment`] is what is said of spans, beside them.
//! - [`cursor`] and [`parents`] hold the two pieces of the contract that engines would otherwise all write again.
//! - With the feature `testing`, `memory` is the contract as the simplest program that fulfils it, and
//!   `conformance` the battery of tests that every engine runs.
//!
//! This crate stores nothing itself. Start reading at [`SpanStore`].
#![forbid(unsafe_code)]

pub mod assessment;
#[cfg(feature = "testing")]
pub mod conformance;
mod contract;
pub mod cursor;
mod deletion;
pub mod engine;
mod error;
#[cfg(feature = "testing")]
pub mod memory;
pub mod parents;
pub mod query;
pub mod search;
pub mod text;
mod write;

pub use assessment::{Assessment, AssessmentList, AssessmentOutcome, AssessmentQuery, AssessmentWrite};
pub use contract::SpanStore;
pub use deletion::{AccountUsage, Deleted, Deleting, Deletion};
pub use error::StoreError;
pub use query::{
    Changes, ListOrder, ListQuery, SortDirection, SpanHeader, StoreStats, StoredSpan, TraceFilter, TracePage,
    TraceQuery, TraceState, TraceSummary,
};
pub use search::{SpanPage, SpanQuery};
pub use write::{Outcome, Rejection, WriteOperation, WriteRequest, WriteResponse};
