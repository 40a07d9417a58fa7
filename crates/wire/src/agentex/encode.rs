use endspan_model::{Payload, Span};

use crate::json::{push_optional_string, push_string};
use crate::shape::push_object_or_objects;
use crate::time;

/// Appends a span as the API answers it: ten keys in order, nulls included, compact.
pub fn encode_span(out: &mut Vec<u8>, span: &Span) {
    out.extend_from_slice(b"{\"id\":");
    push_string(out, span.id.as_str());
    out.extend_from_slice(b",\"trace_id\":");
    push_string(out, span.trace_id.as_str());
    push_text(out, b",\"task_id\":", span.task_id.as_deref());
    push_text(out, b",\"parent_id\":", span.parent_id.as_ref().map(|id| id.as_str()));
    out.extend_from_slice(b",\"name\":");
    push_string(out, &span.name);
    out.extend_from_slice(b",\"start_time\":\"");
    time::push_agentex(out, span.start_time);
    out.push(b'"');
    out.extend_from_slice(b",\"end_time\":");
    match span.end_time {
        Some(end_time) => {
            out.push(b'"');
            time::push_agentex(out, end_time);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
    push_payload(out, b",\"input\":", span.input.as_ref());
    push_payload(out, b",\"output\":", span.output.as_ref());
    push_payload(out, b",\"data\":", span.metadata.as_ref());
    out.push(b'}');
}

/// Returns spans as the answer of `GET /spans`: a bare array.
pub fn encode_list<'a>(spans: impl IntoIterator<Item = &'a Span>) -> Vec<u8> {
    let mut out = vec![b'['];
    for (index, span) in spans.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        encode_span(&mut out, span);
    }
    out.push(b']');
    out
}

/// Appends the body of `POST /spans` as the reference client sends it (`sdk-behaviour` row 41): all ten
/// keys, nulls, times with `+00:00`. It is an item of a batch as well.
///
/// Arrays that hold anything but objects, and scalars, are wrapped as `{"items": [...]}` and
/// `{"value": ...}`, because the API refuses them.
pub fn encode_create(out: &mut Vec<u8>, span: &Span) {
    out.extend_from_slice(b"{\"name\":");
    push_string(out, &span.name);
    out.extend_from_slice(b",\"start_time\":\"");
    time::push_offset(out, span.start_time);
    out.extend_from_slice(b"\",\"trace_id\":");
    push_string(out, span.trace_id.as_str());
    out.extend_from_slice(b",\"id\":");
    push_string(out, span.id.as_str());
    push_payload(out, b",\"data\":", span.metadata.as_ref());
    out.extend_from_slice(b",\"end_time\":");
    match span.end_time {
        Some(end_time) => {
            out.push(b'"');
            time::push_offset(out, end_time);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
    push_payload(out, b",\"input\":", span.input.as_ref());
    push_payload(out, b",\"output\":", span.output.as_ref());
    push_text(out, b",\"parent_id\":", span.parent_id.as_ref().map(|id| id.as_str()));
    push_text(out, b",\"task_id\":", span.task_id.as_deref());
    out.push(b'}');
}

/// Appends the body of `PATCH /spans/{id}` as the reference client sends it (`sdk-behaviour` row 42): no
/// id, no nulls, times with `Z`. Payloads as in [`encode_create`].
pub fn encode_patch(out: &mut Vec<u8>, span: &Span) {
    out.extend_from_slice(b"{\"name\":");
    push_string(out, &span.name);
    out.extend_from_slice(b",\"start_time\":\"");
    time::push_utc(out, span.start_time);
    out.extend_from_slice(b"\",\"trace_id\":");
    push_string(out, span.trace_id.as_str());
    push_present(out, b",\"data\":", span.metadata.as_ref());
    if let Some(end_time) = span.end_time {
        out.extend_from_slice(b",\"end_time\":\"");
        time::push_utc(out, end_time);
        out.push(b'"');
    }
    push_present(out, b",\"input\":", span.input.as_ref());
    push_present(out, b",\"output\":", span.output.as_ref());
    if let Some(parent_id) = &span.parent_id {
        push_text(out, b",\"parent_id\":", Some(parent_id.as_str()));
    }
    if span.task_id.is_some() {
        push_text(out, b",\"task_id\":", span.task_id.as_deref());
    }
    out.push(b'}');
}

/// Returns a batch body of items that were encoded before: `{"items":[...]}`.
pub fn encode_batch<Item: AsRef<[u8]>>(items: &[Item]) -> Vec<u8> {
    const START: &[u8] = b"{\"items\":[";
    const END: &[u8] = b"]}";
    let length = items.iter().map(|item| item.as_ref().len() + 1).sum::<usize>();
    let mut out = Vec::with_capacity(START.len() + length + END.len());
    out.extend_from_slice(START);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(item.as_ref());
    }
    out.extend_from_slice(END);
    out
}

fn push_text(out: &mut Vec<u8>, key: &[u8], text: Option<&str>) {
    out.extend_from_slice(key);
    push_optional_string(out, text);
}

fn push_payload(out: &mut Vec<u8>, key: &[u8], payload: Option<&Payload>) {
    out.extend_from_slice(key);
    match payload {
        Some(payload) => push_object_or_objects(out, payload),
        None => out.extend_from_slice(b"null"),
    }
}

fn push_present(out: &mut Vec<u8>, key: &[u8], payload: Option<&Payload>) {
    if payload.is_some_and(|payload| payload.as_bytes() != b"null") {
        push_payload(out, key, payload);
    }
}
