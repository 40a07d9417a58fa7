//! Spans that did not come as OTLP: how they are written as OTLP, and how they come back.
//!
//! The mapping is written in `docs/otlp-mapping.md`. A mapped span carries [`MARKER`]; whoever reads it here
//! gets the span back under its own ids and with its own payloads, so that a span that arrives over two
//! protocols is one span.

use std::borrow::Cow;

use bytes::Bytes;
use endspan_model::{Payload, Span, SpanId, SpanType, Status, TraceId};

use crate::embedded_json::{self, Spacing};
use crate::hex;
use crate::ids::{span_id_bytes, trace_id_bytes};
use crate::json_text::{push_comma, push_string};
use crate::normal::{Detail, ErrorReport, Normal, normalize_with};
use crate::operation::Operation;
use crate::otel_form::OtelForm;
use crate::value::write_text_attribute;
use crate::wire::WriteFields;

/// The attribute that says that endspan has mapped the span; its value is the version of the mapping.
pub(crate) const MARKER: &str = "endspan.form";
/// The scope under which mapped spans are reported.
pub(crate) const SCOPE: &str = "endspan";
/// The version of the mapping.
const FORM: i64 = 1;

/// The field of `Span` number for attributes.
const ATTRIBUTES: u32 = 9;

/// Writes a span's fields as attributes, first those that [`restore`] reads, then what they mean in the words of
/// the conventions, for whoever else reads the span. Returns the span's error, if it has one.
pub(crate) fn write_attributes(out: &mut Vec<u8>, span: &Span) -> Option<ErrorReport> {
    write_integer(out, MARKER, FORM);
    let mut text = |key: &str, value: &str| write_text_attribute(out, ATTRIBUTES, key, value.as_bytes());
    if hex::encode(&trace_id_bytes(span.trace_id.as_str())) != span.trace_id.as_str() {
        text("endspan.trace_id", span.trace_id.as_str());
    }
    if hex::encode(&span_id_bytes(span.id.as_str())) != span.id.as_str() {
        text("endspan.span_id", span.id.as_str());
    }
    if let Some(parent) = &span.parent_id
        && hex::encode(&span_id_bytes(parent.as_str())) != parent.as_str()
    {
        text("endspan.parent_id", parent.as_str());
    }
    if let Some(status) = span.status {
        text("endspan.status", status.as_str());
    }
    if let Some(span_type) = span.span_type {
        text("endspan.type", span_type.as_str());
    }
    for (key, value) in [
        ("endspan.task_id", &span.task_id),
        ("endspan.group_id", &span.group_id),
        ("endspan.application_variant_id", &span.application_variant_id),
        ("endspan.application_interaction_id", &span.application_interaction_id),
        ("obs_trace_id", &span.obs_trace_id),
        ("obs_span_id", &span.obs_span_id),
    ] {
        if let Some(value) = value {
            text(key, value);
        }
    }
    for (key, mime_type, value) in [
        ("input.value", "input.mime_type", &span.input),
        ("output.value", "output.mime_type", &span.output),
        ("metadata", "", &span.metadata),
        ("endspan.expected", "", &span.expected),
    ] {
        let Some(value) = value else { continue };
        text(key, value.as_str());
        if !mime_type.is_empty() {
            text(mime_type, "application/json");
        }
    }
    write_meaning(out, &normalize_with(span, Detail::Summary))
}

fn write_meaning(out: &mut Vec<u8>, normal: &Normal) -> Option<ErrorReport> {
    let operation = normal.operation.as_ref();
    let agent = normal.agent.as_ref();
    let error = normal.error.as_ref();
    for (key, value) in [
        ("gen_ai.operation.name", operation.map(Operation::as_str)),
        ("openinference.span.kind", operation.map(Operation::openinference_kind)),
        ("gen_ai.provider.name", normal.provider.as_deref()),
        ("gen_ai.request.model", normal.request_model.as_deref()),
        ("gen_ai.response.model", normal.response_model.as_deref()),
        ("gen_ai.tool.name", normal.tool.as_ref().and_then(|tool| tool.name.as_deref())),
        ("gen_ai.agent.name", agent.and_then(|agent| agent.name.as_deref())),
        ("gen_ai.agent.id", agent.and_then(|agent| agent.id.as_deref())),
        ("gen_ai.conversation.id", normal.conversation.as_deref()),
        ("session.id", normal.conversation.as_deref()),
        ("user.id", normal.user.as_deref()),
        ("error.type", error.and_then(|error| error.kind.as_deref())),
    ] {
        if let Some(value) = value {
            write_text_attribute(out, ATTRIBUTES, key, value.as_bytes());
        }
    }
    let usage = normal.usage.unwrap_or_default();
    for (key, count) in [
        ("gen_ai.usage.input_tokens", usage.input_tokens),
        ("gen_ai.usage.output_tokens", usage.output_tokens),
        ("gen_ai.usage.cache_read.input_tokens", usage.cache_read_tokens),
        ("gen_ai.usage.cache_creation.input_tokens", usage.cache_write_tokens),
        ("gen_ai.usage.reasoning.output_tokens", usage.reasoning_tokens),
    ] {
        if let Some(count) = count {
            write_integer(out, key, i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
    error.cloned()
}

fn write_integer(out: &mut Vec<u8>, key: &str, value: i64) {
    out.message_field(ATTRIBUTES, |out| {
        out.bytes_field(1, key.as_bytes());
        out.message_field(2, |out| out.varint_field(3, value as u64));
    });
}

/// Writes the event that says an exception was recorded, as field `number` of a span.
pub(crate) fn write_exception_event(out: &mut Vec<u8>, number: u32, unix_nanos: u64, error: &ErrorReport) {
    out.message_field(number, |out| {
        out.fixed64_field(1, unix_nanos);
        out.bytes_field(2, b"exception");
        for (key, value) in [("exception.type", &error.kind), ("exception.message", &error.message)] {
            if let Some(value) = value {
                write_text_attribute(out, 3, key, value.as_bytes());
            }
        }
    });
}

/// Turns a span that was read as plain OTLP, but carries the marker, back into the span that was mapped.
/// Attributes that others added on the way move to `otel`.
pub(crate) fn restore(span: &mut Span) {
    let sides = [span.input.take(), span.output.take(), span.metadata.take()];
    span.group_id = None;
    span.status = None;
    span.span_type = None;
    span.obs_trace_id = None;
    span.obs_span_id = None;
    let mut others = Vec::new();
    let otel = span.otel.clone();
    let form = otel.as_ref().and_then(|otel| serde_json::from_slice(otel.as_bytes()).ok());
    let form: OtelForm<'_> = form.unwrap_or_default();
    let members = sides.iter().flatten().filter_map(Payload::members).flatten();
    for (key, value) in members {
        let text = || plain_text(&key, &value, &form);
        match key.as_str() {
            "endspan.trace_id" => set(text().map(TraceId::from), &mut span.trace_id),
            "endspan.span_id" => set(text().map(SpanId::from), &mut span.id),
            "endspan.parent_id" => span.parent_id = text().map(SpanId::from),
            "endspan.status" => span.status = text().and_then(|name| Status::from_name(&name)),
            "endspan.type" => span.span_type = text().and_then(|name| SpanType::from_name(&name)),
            "endspan.task_id" => span.task_id = text(),
            "endspan.group_id" => span.group_id = text(),
            "endspan.application_variant_id" => span.application_variant_id = text(),
            "endspan.application_interaction_id" => span.application_interaction_id = text(),
            "obs_trace_id" => span.obs_trace_id = text(),
            "obs_span_id" => span.obs_span_id = text(),
            "input.value" => span.input = payload(&value),
            "output.value" => span.output = payload(&value),
            "metadata" => span.metadata = payload(&value),
            "endspan.expected" => span.expected = payload(&value),
            key if is_derived(key) => {}
            key => {
                push_comma(&mut others);
                push_string(&mut others, key);
                others.push(b':');
                others.extend_from_slice(value.as_bytes());
            }
        }
    }
    if !others.is_empty()
        && let Some(rest) = span.otel.as_ref().and_then(|otel| otel.as_bytes().strip_prefix(b"{"))
    {
        let mut otel = b"{\"attributes\":{".to_vec();
        otel.extend_from_slice(&others);
        otel.extend_from_slice(b"},");
        otel.extend_from_slice(rest);
        // The object is never empty: it holds at least the mark that the span was mapped.
        span.otel = Some(Payload::from_trusted(Bytes::from(otel)));
    }
}

fn set<T>(new: Option<T>, field: &mut T) {
    if let Some(new) = new {
        *field = new;
    }
}

/// Returns the text of an attribute, also where it was kept as the JSON that it is.
fn plain_text(key: &str, value: &Payload, form: &OtelForm<'_>) -> Option<String> {
    if !matches!(value.as_bytes().first(), Some(b'{' | b'[')) {
        return serde_json::from_slice(value.as_bytes()).ok();
    }
    let spaced = form.json_spaced.iter().any(|one| one == key);
    let spacing = if spaced { Spacing::AfterSeparators } else { Spacing::None };
    String::from_utf8(embedded_json::restore(value.as_bytes(), spacing)).ok()
}

/// Returns the payload whose JSON text an attribute held: kept as the JSON that it is, or still as text.
fn payload(value: &Payload) -> Option<Payload> {
    match serde_json::from_slice::<Cow<'_, str>>(value.as_bytes()) {
        Ok(text) => Payload::parse(text.into_owned()).ok(),
        Err(_) => Some(value.clone()),
    }
}

/// Returns whether an attribute only repeats, in other words, what the restored fields say.
fn is_derived(key: &str) -> bool {
    matches!(
        key,
        "session.id"
            | "user.id"
            | "input.mime_type"
            | "output.mime_type"
            | "openinference.span.kind"
            | "error.type"
    ) || key.starts_with("gen_ai.")
        || key.starts_with("endspan.")
}
