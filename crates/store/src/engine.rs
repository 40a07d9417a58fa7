//! What every engine that groups writes is built of: the [`Backlog`] that gathers them, the [`Facts`] and the
//! [`Summary`] that keep summaries of traces exact, and the [`block`]s that payloads are stored in.

mod backlog;
pub mod block;
mod facts;
mod summary;

pub use backlog::{Answer, Backlog, BacklogLimits, QueuedWrite};
pub use facts::{Facts, Usage, state_codes, stored_count};
pub use summary::{Head, Summary, Used};
