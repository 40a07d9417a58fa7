//! OTLP traces to and from the endspan model, and the GenAI conventions read into one normal form.
//!
//! - [`decode`] reads `ExportTraceServiceRequest`s (protobuf, and JSON more tolerant than the specification) into
//!   [`Span`](endspan_model::Span)s; [`encode`] writes them. What came as OTLP goes out as it came; spans of
//!   other origin are mapped, and come back as they were. One malformed span costs one span.
//! - [`response`] writes the answers of the trace service.
//! - [`normal`] reads what a span says about a model call, a tool or an agent, whatever convention it was written in,
//!   by the versioned [`conventions`] table. It is applied when spans are read, never when they are stored.
//! - [`cost`] adds up the tokens and the money of a trace so that nothing counts twice.
//!
//! This is the only crate that knows OTLP. It does no I/O, and refuses to keep what it can recompute: nothing of the
//! normal form is ever stored. The mapping is written in `docs/otlp-mapping.md`. Start reading at
//! [`decode::decode_protobuf`] and [`normal::normalize`].
#![deny(unsafe_code)]

pub mod conventions;
#[cfg(feature = "prices")]
pub mod cost;
pub mod decode;
mod embedded_json;
pub mod encode;
mod foreign;
mod hex;
pub mod ids;
mod json;
mod json_blocks;
mod json_text;
pub mod normal;
pub mod operation;
mod otel_form;
pub mod response;
mod schema;
mod value;
mod wire;

use std::borrow::Cow;

/// Returns bytes as text; what is not UTF-8 becomes U+FFFD and is noted.
fn text<'a>(bytes: &'a [u8], repaired: &mut bool) -> Cow<'a, str> {
    match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            *repaired = true;
            String::from_utf8_lossy(bytes)
        }
    }
}
