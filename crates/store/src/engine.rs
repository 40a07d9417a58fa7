//! What every engine that groups writes is built of: the [`Backlog`] that gathers them, and the [`Facts`] that keep
//! summaries of traces exact.

mod backlog;
mod facts;

pub use backlog::{Answer, Backlog, BacklogLimits, QueuedWrite};
pub use facts::{Facts, Usage, stored_count};
