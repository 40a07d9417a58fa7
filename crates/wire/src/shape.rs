//! Payloads in the form that an API takes, and what the reserved keys in `data` say.

use endspan_model::{Payload, PayloadShape, Status};

use crate::json::{member, unescape};

/// The key under which an array stands where an API takes only objects.
pub(crate) const WRAPPED_ARRAY: &[u8] = b"items";
/// The key under which a scalar stands where an API takes only objects.
pub(crate) const WRAPPED_SCALAR: &[u8] = b"value";

/// Appends a payload as an object: an array becomes `{"items": [...]}`, a scalar `{"value": ...}`, `null`
/// becomes `{}`.
pub(crate) fn push_object(out: &mut Vec<u8>, payload: &[u8]) {
    match payload.first() {
        Some(b'{') => out.extend_from_slice(payload),
        Some(b'[') => push_wrapped(out, WRAPPED_ARRAY, payload),
        Some(b'n') | None => out.extend_from_slice(b"{}"),
        Some(_) => push_wrapped(out, WRAPPED_SCALAR, payload),
    }
}

/// Appends a payload as the Agentex API takes it: objects, arrays of objects and null as they are, other
/// arrays and scalars wrapped as by [`push_object`].
pub(crate) fn push_object_or_objects(out: &mut Vec<u8>, payload: &Payload) {
    match payload.shape() {
        PayloadShape::Object | PayloadShape::ArrayOfObjects => out.extend_from_slice(payload.as_bytes()),
        PayloadShape::Null => out.extend_from_slice(b"null"),
        PayloadShape::Array | PayloadShape::Scalar => push_object(out, payload.as_bytes()),
    }
}

fn push_wrapped(out: &mut Vec<u8>, key: &[u8], payload: &[u8]) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(key);
    out.extend_from_slice(b"\":");
    out.extend_from_slice(payload);
    out.push(b'}');
}

/// Returns the text of a raw JSON string, or `None` for any other value.
pub(crate) fn string_value(raw: &[u8]) -> Option<String> {
    let content = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    Some(unescape(content).into_owned())
}

/// Returns the raw `__error__` value of `data` if it is an object (`sdk-behaviour` section 4).
pub(crate) fn error_record(data: Option<&[u8]>) -> Option<&[u8]> {
    member(data?, "__error__").filter(|value| value.starts_with(b"{"))
}

/// Returns the status that `data` implies: an error when it records one, otherwise none.
pub(crate) fn implied_status(data: Option<&Payload>) -> Option<Status> {
    error_record(data.map(Payload::as_bytes)).map(|_| Status::Error)
}
