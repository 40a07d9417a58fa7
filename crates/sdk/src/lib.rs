//! Spans of AI agents, off the hot path and accounted for.
//!
//! *Write each span once, at its end. Never slow the agent. Never lose a span without saying so.*
//!
//! ```no_run
//! use endspan::{SgpExporter, Tracer};
//! use serde_json::json;
//!
//! let tracer = Tracer::builder().exporter(SgpExporter::from_env()).build();
//! let trace = tracer.trace("conversation-17");
//! let answer = trace.span("answer").input(&json!({"question": "why?"})).in_scope(|span| {
//!     let answer = "because";
//!     span.set_output(&json!({"answer": answer}));
//!     answer
//! });
//! # let _ = answer;
//! println!("{}", tracer.shutdown());
//! ```
//!
//! One span's way: [`Span::end`] encodes one record, once, on the caller's thread, straight into the log, which is queue
//! and crash spool in one (a memory-mapped file that survives SIGKILL). endspan's own thread reads the log and hands
//! each record to a [`lane`] for each destination; the lane batches, sends, retries, splits and accounts; an
//! [`exporter`] makes the request and judges the answer. A slow, hanging or dead destination never delays another.
//!
//! What this crate refuses to do: block the caller, fail or panic into it, or lose a span uncounted. For each
//! destination `accepted = delivered + superseded + dropped(reason) + spooled + pending`, at every moment; see
//! [`Tracer::stats`] and [`Report`].
//!
//! Start reading at [`Tracer`], [`Trace`] and [`Span`]; for your own destinations at [`exporter::Exporter`]; for the
//! inside at [`lane`].
#![deny(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod account;
mod activity;
mod clock;
mod context;
mod diagnostics;
#[doc(hidden)]
pub mod engine;
mod error_record;
mod exit;
pub mod exporter;
mod ids;
pub mod lane;
mod live;
mod metrics;
mod moment;
#[cfg(feature = "otel")]
mod otel;
mod payload;
mod record;
pub mod settings;
mod span;
mod trace;
#[cfg(feature = "otlp")]
mod trace_context;
mod tracer;
pub mod transport;
mod usage;
mod worker;

pub use account::{Account, DestinationStats, Drops, Report, Stats};
pub use activity::{Activity, ExportKind, Exports, Sample};
pub use endspan_model as model;
pub use endspan_model::{DropReason, Payload, SpanType, Status, Timestamp};
#[cfg(feature = "otlp")]
pub use exporter::OtlpExporter;
pub use exporter::{AgentexExporter, SgpExporter};
pub use moment::Moment;
pub use payload::{PayloadSource, UNENCODABLE};
pub use record::RawSpan;
pub use settings::Environment;
pub use span::{Current, Span, SpanBuilder};
pub use trace::Trace;
#[cfg(feature = "otlp")]
pub use trace_context::TraceContext;
pub use tracer::{RawStart, Tracer, TracerBuilder};
pub use usage::{TurnUsage, Usage};
