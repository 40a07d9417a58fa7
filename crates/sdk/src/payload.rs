//! What a caller hands over as input, output or data, and how it becomes JSON text.

use std::fmt;

use bytes::Bytes;
use endspan_model::Payload;
use serde::Serialize;
use serde_json::Value;

mod encode;
mod member;

pub(crate) use member::{member_text, set_member};

/// The key of the placeholder that stands where a payload could not be encoded.
pub const UNENCODABLE: &str = "__unencodable__";

/// A payload on its way into a span: JSON text, made once, on the caller's thread.
///
/// Anything goes in, and nothing fails: what cannot be encoded becomes
/// `{"__unencodable__": {"reason": …}}`, which is counted ([`Stats::unencodable`](crate::Stats)).
///
/// | from | cost |
/// |---|---|
/// | [`Payload`] | moved; it was validated when it was made |
/// | [`PayloadSource::json`] | moved; validated later, on endspan's own thread |
/// | `&Value`, `Value` | encoded now: what you do with the value afterwards does not show |
/// | [`PayloadSource::of`] any `Serialize` | encoded now |
/// | `&str`, `String` | encoded as a JSON string |
///
/// ```
/// use endspan::PayloadSource;
/// use serde_json::json;
///
/// let messages = json!({"messages": [{"role": "user", "content": "hello"}]});
/// let source = PayloadSource::from(&messages);
/// let raw = PayloadSource::json(r#"{"already": "encoded"}"#);
/// # let _ = (source, raw);
/// ```
#[derive(Clone)]
pub struct PayloadSource {
    pub(crate) text: Text,
    pub(crate) checked: bool,
    pub(crate) failed: bool,
}

/// JSON text, owned or shared.
#[derive(Clone)]
pub(crate) enum Text {
    Owned(Vec<u8>),
    Shared(Bytes),
}

impl Text {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Owned(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl PayloadSource {
    /// Takes JSON text as it is. It is validated on endspan's own thread; text that is no JSON is replaced there
    /// by a placeholder.
    pub fn json(text: impl Into<Bytes>) -> Self {
        Self { text: Text::Shared(text.into()), checked: false, failed: false }
    }

    /// Encodes a value that implements `Serialize`. Floating point numbers that JSON cannot hold become `null`.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        match encode::to_json(value) {
            Ok(text) => Self::encoded(text),
            Err(error) => Self::failed(&error.to_string()),
        }
    }

    /// Stands for a value that could not be encoded, with the reason.
    pub fn unencodable(reason: &str) -> Self {
        Self::failed(reason)
    }

    fn encoded(text: Vec<u8>) -> Self {
        Self { text: Text::Owned(text), checked: true, failed: false }
    }

    fn failed(reason: &str) -> Self {
        Self { text: Text::Shared(placeholder(reason).bytes().clone()), checked: true, failed: true }
    }

    /// Returns whether this is what the reference treats as "not given" (`sdk-behaviour` rows 6 and 17): `null`,
    /// `false`, `0`, and empty objects, arrays and texts.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self.text.as_bytes(), b"null" | b"{}" | b"[]" | b"\"\"" | b"0" | b"0.0" | b"false" | b"")
    }
}

/// Returns `{"__unencodable__":{"reason":…}}`.
pub(crate) fn placeholder(reason: &str) -> Payload {
    let mut text = Vec::with_capacity(reason.len() + 40);
    text.extend_from_slice(b"{\"");
    text.extend_from_slice(UNENCODABLE.as_bytes());
    text.extend_from_slice(b"\":{\"reason\":");
    endspan_wire::push_string(&mut text, reason);
    text.extend_from_slice(b"}}");
    Payload::from_trusted(text.into())
}

impl From<Payload> for PayloadSource {
    fn from(payload: Payload) -> Self {
        Self { text: Text::Shared(payload.bytes().clone()), checked: true, failed: false }
    }
}

impl From<&Payload> for PayloadSource {
    fn from(payload: &Payload) -> Self {
        payload.clone().into()
    }
}

impl From<&Value> for PayloadSource {
    fn from(value: &Value) -> Self {
        let mut text = Vec::with_capacity(encode::expected_bytes());
        if encode::push_value(&mut text, value) {
            encode::remember_bytes(text.len());
            Self::encoded(text)
        } else {
            Self::failed("nested too deep")
        }
    }
}

impl From<Value> for PayloadSource {
    fn from(value: Value) -> Self {
        Self::from(&value)
    }
}

impl From<&str> for PayloadSource {
    fn from(text: &str) -> Self {
        let mut out = Vec::with_capacity(text.len() + 2);
        endspan_wire::push_string(&mut out, text);
        Self::encoded(out)
    }
}

impl From<String> for PayloadSource {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<Box<serde_json::value::RawValue>> for PayloadSource {
    fn from(raw: Box<serde_json::value::RawValue>) -> Self {
        let text: Box<str> = raw.into();
        Self::json(String::from(text))
    }
}

impl fmt::Debug for PayloadSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PayloadSource({})", String::from_utf8_lossy(self.text.as_bytes()))
    }
}

#[cfg(test)]
mod tests;
