//! The vocabulary of endspan: what a span is, and the few rules that every part of the house shares.
//!
//! This crate does no I/O, starts no threads and knows no protocol. It says
//!
//! - what a [`Span`] holds, with its ids, [`Timestamp`]s, [`Status`] and [`SpanType`];
//! - what a [`Payload`] is: JSON text that is validated once and then carried untouched;
//! - the one [merge rule](merge): *completed beats unfinished, else the later write wins*;
//! - the closed list of [drop reasons](DropReason);
//! - the [limits] that protect queues, bodies and stores.
//!
//! Start reading at [`Span`].
#![forbid(unsafe_code)]

mod account;
mod drop_reason;
mod facets;
mod ids;
pub mod limits;
pub mod merge;
mod patch;
pub mod payload;
mod scan;
mod span;
mod span_type;
mod status;
mod time;

pub use account::AccountId;
pub use drop_reason::DropReason;
pub use facets::{Facets, MAX_ERROR_MESSAGE_BYTES, UsageKind};
pub use ids::{SpanId, TraceId, new_span_id_text};
pub use patch::{PatchError, SpanPatch};
pub use payload::{Payload, PayloadError, PayloadShape};
pub use span::Span;
pub use span_type::SpanType;
pub use status::Status;
pub use time::{MicrosText, Timestamp};
