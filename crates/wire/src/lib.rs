//! The JSON bodies of the Agentex spans API and the SGP v5 spans API, to and from the model.
//!
//! The server decodes requests and encodes answers with it, the SDK encodes requests. It knows no HTTP and
//! does no I/O; status codes, headers and error bodies are the server's.
//!
//! Decoding is one pass over the body: syntax, nesting, escapes and numbers are checked while the fields
//! are found, and payloads are slices of the body, not copies. A mistake in one item of a batch is that
//! item's alone; only text that is no JSON at all spoils a body.
//!
//! Start reading at [`agentex`] and [`sgp`]; the rules that the APIs leave open are in `docs/mapping.md`.
#![forbid(unsafe_code)]

pub mod agentex;
mod drop_report;
pub mod error;
mod fields;
mod json;
pub mod sgp;
mod shape;
pub mod time;

pub use drop_report::DropReport;
pub use error::{DecodeError, DecodeErrorKind};
pub use fields::ItemResults;
pub use json::push_string;
