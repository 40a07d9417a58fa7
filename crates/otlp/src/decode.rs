//! Reading `ExportTraceServiceRequest`s: OTLP bytes in, model spans out.
//!
//! Each span stands for itself: one that cannot be read is rejected with its reason and costs no other.
//! How each part is kept is written in `docs/otlp-mapping.md`.

mod span;

use endspan_model::{DropReason, Span};

use crate::json;
use crate::otel_form::{ScopeText, push_resource, push_scope};
use crate::wire::{Reader, WireError};

/// What a request held.
#[derive(Debug, Default)]
pub struct DecodedRequest {
    /// The spans that can be stored, in the order of the request.
    pub spans: Vec<Span>,
    /// The spans that cannot, in the order of the request.
    pub rejected: Vec<RejectedSpan>,
}

/// A span that cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedSpan {
    /// Its place among all spans of the request, from 0.
    pub index: usize,
    /// What is wrong with it.
    pub error: SpanError,
}

impl RejectedSpan {
    /// Returns the reason under which the span is counted.
    pub const fn reason(&self) -> DropReason {
        DropReason::Malformed
    }
}

/// Why one span of a request cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpanError {
    /// An id has the wrong length, or is all zeros.
    #[error("{field}: must be {expected} bytes and not all zero, got {got} bytes")]
    Id {
        /// The field.
        field: &'static str,
        /// Bytes that the protocol asks for.
        expected: usize,
        /// Bytes that came.
        got: usize,
    },
    /// The name is longer than a span's name may be.
    #[error("name: longer than {limit} bytes", limit = endspan_model::limits::MAX_NAME_BYTES)]
    NameTooLong,
    /// Neither start nor end is given.
    #[error("start_time_unix_nano: missing")]
    NoTime,
    /// The bytes of the span are no span message.
    #[error("span: {0}")]
    Wire(#[from] WireError),
    /// The JSON of the span is no span.
    #[error("span: {0}")]
    Json(String),
}

/// Why a request as a whole cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The body is no protobuf message.
    #[error("body: {0}")]
    Wire(#[from] WireError),
    /// The body is no JSON object.
    #[error("body: {0}")]
    Json(String),
    /// The body holds data, but no span: most often another signal, or keys that are not OTLP's.
    #[error("body: {bytes} bytes hold no span{hint}")]
    NoSpans {
        /// The size of the body.
        bytes: usize,
        /// What stands there instead.
        hint: String,
    },
}

/// Reads a protobuf body. An empty body is an empty request.
///
/// # Errors
/// [`DecodeError`] when the body as a whole is unreadable, or holds data but no span.
pub fn decode_protobuf(body: &[u8]) -> Result<DecodedRequest, DecodeError> {
    let mut decoder = Decoder::default();
    let mut unknown = Vec::new();
    let mut reader = Reader::new(body);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => decoder.resource_spans(field.bytes()?)?,
            number => unknown.push(number),
        }
    }
    let request = decoder.request;
    if request.spans.is_empty() && request.rejected.is_empty() && !body.is_empty() {
        let hint = match unknown.as_slice() {
            [] => ": resource_spans is empty".to_owned(),
            fields => format!(", only unknown fields {fields:?}"),
        };
        return Err(DecodeError::NoSpans { bytes: body.len(), hint });
    }
    Ok(request)
}

/// Reads a JSON body. Keys may be in camel case (as OTLP has it) or snake case, ids hex or base64, 64-bit numbers
/// text or numbers, enums names or numbers; `null` counts as not given. `{}` is an empty request.
///
/// # Errors
/// [`DecodeError`] when the body as a whole is unreadable, or holds data but no span.
pub fn decode_json(body: &[u8]) -> Result<DecodedRequest, DecodeError> {
    let transcoded = json::request_to_protobuf(body).map_err(DecodeError::Json)?;
    let mut decoder = Decoder { json_errors: transcoded.span_errors, ..Decoder::default() };
    let mut reader = Reader::new(&transcoded.protobuf);
    while let Some(field) = reader.next()? {
        decoder.resource_spans(field.bytes()?)?;
    }
    let request = decoder.request;
    if request.spans.is_empty() && request.rejected.is_empty() && !transcoded.unknown_keys.is_empty() {
        let hint = format!(", only unknown keys {:?}", transcoded.unknown_keys);
        return Err(DecodeError::NoSpans { bytes: body.len(), hint });
    }
    Ok(request)
}

#[derive(Debug, Default)]
struct Decoder {
    request: DecodedRequest,
    scratch: span::Scratch,
    /// Errors of spans whose JSON could not be transcoded, last first.
    json_errors: Vec<(usize, String)>,
    seen: usize,
}

impl Decoder {
    fn resource_spans(&mut self, message: &[u8]) -> Result<(), WireError> {
        let mut scopes = Vec::new();
        let mut resource: &[u8] = &[];
        let mut has_resource = false;
        let mut schema_url: &[u8] = &[];
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            match field.number {
                1 => {
                    resource = field.bytes()?;
                    has_resource = true;
                }
                // 1000 is where scope_spans stood while they were instrumentation_library_spans.
                2 | 1000 => scopes.push(field.bytes()?),
                3 => schema_url = field.bytes()?,
                _ => {}
            }
        }
        let mut repaired = false;
        let resource = push_resource(has_resource.then_some(resource), schema_url, &mut repaired)?;
        for scope in scopes {
            self.scope_spans(scope, &resource, repaired)?;
        }
        Ok(())
    }

    fn scope_spans(&mut self, message: &[u8], resource: &[u8], repaired: bool) -> Result<(), WireError> {
        let mut scope: Option<&[u8]> = None;
        let mut schema_url: &[u8] = &[];
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            match field.number {
                1 => scope = Some(field.bytes()?),
                3 => schema_url = field.bytes()?,
                _ => {}
            }
        }
        let mut repaired = repaired;
        let context = push_scope(resource, scope, schema_url, &mut repaired)?;
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            if field.number == 2 {
                self.span(field.bytes()?, &context, repaired);
            }
        }
        Ok(())
    }

    fn span(&mut self, message: &[u8], context: &ScopeText, repaired: bool) {
        let index = self.seen;
        self.seen += 1;
        let result = match self.json_errors.pop_if(|(at, _)| *at == index) {
            Some((_, message)) => Err(SpanError::Json(message)),
            None => self.scratch.read(message, context, repaired),
        };
        match result {
            Ok(span) => self.request.spans.push(span),
            Err(error) => self.request.rejected.push(RejectedSpan { index, error }),
        }
    }
}
