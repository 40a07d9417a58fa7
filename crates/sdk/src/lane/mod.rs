//! One destination's way of working, as a pure state machine.
//!
//! A [`Lane`] is told of records ([`Lane::accept`]), of answers ([`Lane::complete`]) and of the time
//! ([`Lane::poll`]); it says what to send and what became of each record ([`Effect`]). It does no I/O, reads no
//! clock and starts nothing, so that production and the deterministic simulation drive the very same code.
//!
//! What it holds true, whatever the destination does:
//!
//! - accepted = delivered + superseded + dropped(reason) + pending, at every moment;
//! - of one span at most one request is under way, and a start never follows its end;
//! - requests in flight never exceed `concurrency`, and a destination that is down sees one at a time;
//! - a span that the destination refuses for its content costs itself only, in O(log n) further requests.

mod circuit;
mod config;
mod entries;
mod item;
mod machine;
mod outcome;
mod retry;
mod sending;

pub use circuit::Health;
pub use config::{LaneConfig, StartMode};
pub(crate) use item::KeyMap;
pub use item::{Dispatch, Effect, Item, Phase, RequestId, Resolution, SpanKey};
pub use machine::{Lane, LaneCounts};
pub use outcome::{Failure, Outcome, SpanOutcome};

#[cfg(test)]
mod tests;
