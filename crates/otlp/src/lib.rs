//! OTLP traces to and from the endspan model, and the GenAI conventions read into one normal form.
#![forbid(unsafe_code)]

pub mod conventions;
pub mod cost;
pub mod decode;
mod embedded_json;
pub mod encode;
mod foreign;
mod hex;
pub mod ids;
mod json;
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
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            *repaired = true;
            String::from_utf8_lossy(bytes)
        }
    }
}
