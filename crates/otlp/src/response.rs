//! The answers of the OTLP trace service, in the encoding of the request.

use serde_json::Value;

use crate::decode::RejectedSpan;
use crate::json_text::{push_integer, push_string};
use crate::wire::{Reader, WireError, WriteFields};

/// How a request is encoded; its answer is encoded the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`
    Protobuf,
    /// `application/json`
    Json,
}

impl Encoding {
    /// Returns the encoding for a `Content-Type` header, whose parameters do not matter.
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "application/x-protobuf" | "application/protobuf" | "application/vnd.google.protobuf" => {
                Some(Self::Protobuf)
            }
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }

    /// Returns the value for the `Content-Type` header of an answer.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// What an `ExportTraceServiceResponse` says: how many spans were not taken, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartialSuccess {
    /// Spans of the request that were not stored.
    pub rejected_spans: u64,
    /// The reasons, for people. Empty when every span was stored.
    pub error_message: String,
}

/// Most reasons that an answer spells out.
const MAX_REASONS: usize = 8;

impl PartialSuccess {
    /// Returns what to say about rejected spans: their number, and the first reasons with their places.
    pub fn from_rejected(rejected: &[RejectedSpan]) -> Self {
        let reasons = rejected.iter().map(|span| (span.index, span.error.to_string()));
        Self::from_reasons(reasons)
    }

    /// Returns what to say about spans that were rejected at these places of the request for these reasons.
    pub fn from_reasons(reasons: impl IntoIterator<Item = (usize, String)>) -> Self {
        let mut result = Self::default();
        for (index, reason) in reasons {
            if result.rejected_spans < MAX_REASONS as u64 {
                let separator = if result.error_message.is_empty() { "" } else { "; " };
                result.error_message.push_str(&format!("{separator}span {index}: {reason}"));
            }
            result.rejected_spans += 1;
        }
        if result.rejected_spans > MAX_REASONS as u64 {
            let more = result.rejected_spans - MAX_REASONS as u64;
            result.error_message.push_str(&format!("; and {more} more"));
        }
        result
    }

    /// Reads the body of an answer, in whichever encoding it is; `None` if it is none.
    pub fn decode(body: &[u8]) -> Option<Self> {
        // No protobuf message begins with a brace.
        match body.first() {
            Some(b'{') => Self::decode_json(body),
            _ => Self::decode_protobuf(body).ok(),
        }
    }

    fn decode_protobuf(body: &[u8]) -> Result<Self, WireError> {
        let mut read = Self::default();
        let mut reader = Reader::new(body);
        while let Some(field) = reader.next()? {
            if field.number != 1 {
                continue;
            }
            let mut partial = Reader::new(field.bytes()?);
            while let Some(field) = partial.next()? {
                match field.number {
                    1 => read.rejected_spans = u64::try_from(field.varint()? as i64).unwrap_or(0),
                    2 => read.error_message = String::from_utf8_lossy(field.bytes()?).into_owned(),
                    _ => {}
                }
            }
        }
        Ok(read)
    }

    fn decode_json(body: &[u8]) -> Option<Self> {
        let answer: Value = serde_json::from_slice(body).ok()?;
        let member = |value: &Value, camel: &str, snake: &str| {
            value.get(camel).or_else(|| value.get(snake)).cloned().unwrap_or_default()
        };
        let partial = member(&answer, "partialSuccess", "partial_success");
        let rejected = match member(&partial, "rejectedSpans", "rejected_spans") {
            Value::String(text) => text.parse().ok(),
            number => number.as_u64(),
        };
        let message = member(&partial, "errorMessage", "error_message");
        Some(Self {
            rejected_spans: rejected.unwrap_or(0),
            error_message: message.as_str().unwrap_or_default().to_owned(),
        })
    }

    /// Returns the body of the answer. When everything was stored it says nothing, as OTLP asks for.
    pub fn encode(&self, encoding: Encoding) -> Vec<u8> {
        let mut out = Vec::new();
        let silent = self.rejected_spans == 0 && self.error_message.is_empty();
        match encoding {
            Encoding::Protobuf if silent => {}
            Encoding::Json if silent => out.extend_from_slice(b"{}"),
            Encoding::Protobuf => out.message_field(1, |out| {
                out.varint_field(1, self.rejected_spans);
                out.bytes_field(2, self.error_message.as_bytes());
            }),
            Encoding::Json => {
                out.extend_from_slice(b"{\"partialSuccess\":{\"rejectedSpans\":\"");
                push_integer(&mut out, self.rejected_spans);
                out.extend_from_slice(b"\",\"errorMessage\":");
                push_string(&mut out, &self.error_message);
                out.extend_from_slice(b"}}");
            }
        }
        out
    }
}

/// Returns the body of a failed call: a `google.rpc.Status` with a gRPC status code and a message.
pub fn encode_status(code: i32, message: &str, encoding: Encoding) -> Vec<u8> {
    let mut out = Vec::new();
    match encoding {
        Encoding::Protobuf => {
            out.varint_field(1, i64::from(code) as u64);
            out.bytes_field(2, message.as_bytes());
        }
        Encoding::Json => {
            out.extend_from_slice(b"{\"code\":");
            push_integer(&mut out, code);
            out.extend_from_slice(b",\"message\":");
            push_string(&mut out, message);
            out.push(b'}');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_read_back_in_either_encoding() {
        let silent = PartialSuccess::default();
        let partial = PartialSuccess { rejected_spans: 3, error_message: "span 1: \"bad\"".to_owned() };
        for answer in [silent, partial] {
            for encoding in [Encoding::Protobuf, Encoding::Json] {
                assert_eq!(PartialSuccess::decode(&answer.encode(encoding)), Some(answer.clone()));
            }
        }
        let others = br#"{"partial_success":{"rejected_spans":2}}"#;
        assert_eq!(PartialSuccess::decode(others).unwrap().rejected_spans, 2);
        assert_eq!(PartialSuccess::decode(b"<html>"), None);
        assert_eq!(PartialSuccess::decode(b"{not json"), None);
    }
}
