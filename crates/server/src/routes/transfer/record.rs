//! One span as a line: its fields as the store holds them, absent ones left out.

mod assessment;

use std::borrow::Cow;

use bytes::Bytes;
use endspan_model::limits::{MAX_ID_BYTES, MAX_NAME_BYTES};
use endspan_model::payload::{Characters, PayloadShape};
use endspan_model::{AccountId, Payload, Span, SpanType, Status, Timestamp};
use endspan_store::Assessment;
use endspan_store::assessment::MAX_PER_SPAN;
use endspan_wire::{push_string, time};
use serde::Deserialize;
use serde_json::value::RawValue;

use self::assessment::AssessmentRecord;
pub(super) use self::assessment::LineAssessment;

/// Why a line is no span.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("{field}: {message}")]
    Field { field: &'static str, message: Cow<'static, str> },
}

/// Unknown fields are refused: a newer server's spans would lose them without a word.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record<'a> {
    #[serde(borrow)]
    account: Cow<'a, str>,
    trace_id: Cow<'a, str>,
    id: Cow<'a, str>,
    parent_id: Option<Cow<'a, str>>,
    name: Cow<'a, str>,
    start_time: Cow<'a, str>,
    end_time: Option<Cow<'a, str>>,
    status: Option<Cow<'a, str>>,
    #[serde(rename = "type")]
    span_type: Option<Cow<'a, str>>,
    task_id: Option<Cow<'a, str>>,
    group_id: Option<Cow<'a, str>>,
    application_variant_id: Option<Cow<'a, str>>,
    application_interaction_id: Option<Cow<'a, str>>,
    obs_trace_id: Option<Cow<'a, str>>,
    obs_span_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    expected: Option<&'a RawValue>,
    #[serde(borrow)]
    otel: Option<&'a RawValue>,
    #[serde(borrow, default)]
    assessments: Vec<AssessmentRecord<'a>>,
}

/// What a line says.
pub(super) struct Line {
    pub(super) account: AccountId,
    pub(super) span: Span,
    pub(super) assessments: Vec<LineAssessment>,
}

/// Appends a span, and what is said of it, as one line, without its end.
pub(super) fn push(out: &mut Vec<u8>, account: &AccountId, span: &Span, assessments: &[&Assessment]) {
    let text = |out: &mut Vec<u8>, key: &str, value: Option<&str>| {
        if let Some(value) = value {
            out.extend_from_slice(key.as_bytes());
            push_string(out, value);
        }
    };
    let moment = |out: &mut Vec<u8>, key: &str, value: Option<Timestamp>| {
        if let Some(value) = value {
            out.extend_from_slice(key.as_bytes());
            push_moment(out, value);
        }
    };
    text(out, "{\"account\":", Some(account.as_str()));
    text(out, ",\"trace_id\":", Some(span.trace_id.as_str()));
    text(out, ",\"id\":", Some(span.id.as_str()));
    text(out, ",\"parent_id\":", span.parent_id.as_ref().map(|id| id.as_str()));
    text(out, ",\"name\":", Some(&span.name));
    moment(out, ",\"start_time\":", Some(span.start_time));
    moment(out, ",\"end_time\":", span.end_time);
    text(out, ",\"status\":", span.status.map(Status::as_str));
    text(out, ",\"type\":", span.span_type.map(SpanType::as_str));
    text(out, ",\"task_id\":", span.task_id.as_deref());
    text(out, ",\"group_id\":", span.group_id.as_deref());
    text(out, ",\"application_variant_id\":", span.application_variant_id.as_deref());
    text(out, ",\"application_interaction_id\":", span.application_interaction_id.as_deref());
    text(out, ",\"obs_trace_id\":", span.obs_trace_id.as_deref());
    text(out, ",\"obs_span_id\":", span.obs_span_id.as_deref());
    for (key, payload) in [
        (",\"input\":", &span.input),
        (",\"output\":", &span.output),
        (",\"metadata\":", &span.metadata),
        (",\"expected\":", &span.expected),
        (",\"otel\":", &span.otel),
    ] {
        if let Some(payload) = payload {
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(payload.as_bytes());
        }
    }
    assessment::push(out, assessments);
    out.push(b'}');
}

/// Appends a moment to the nanosecond, where other answers stop at the microsecond.
fn push_moment(out: &mut Vec<u8>, moment: Timestamp) {
    let mut text = moment.format_micros();
    let nanos = moment.subsec_nanos_below_micro();
    if nanos != 0 {
        if !text.contains('.') {
            text.push_str(".000000");
        }
        text.push_str(&format!("{nanos:03}"));
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"Z\"");
}

/// Reads what [`push`] wrote.
pub(super) fn parse(line: &Bytes) -> Result<Line, RecordError> {
    let record: Record<'_> = serde_json::from_slice(line)?;
    let account = id("account", record.account)?;
    if account.trim() != account || account.is_empty() || account.contains(char::is_control) {
        return Err(wrong("account", "expected visible text"));
    }
    if record.name.len() > MAX_NAME_BYTES {
        return Err(wrong("name", "too long"));
    }
    let trace_id = id("trace_id", record.trace_id)?;
    let start_time = moment("start_time", &record.start_time)?;
    let mut span = Span::new(trace_id, id("id", record.id)?, record.name, start_time);
    span.end_time = record.end_time.map(|text| moment("end_time", &text)).transpose()?;
    if span.end_time.is_some_and(|end| end < start_time) {
        return Err(wrong("end_time", "before start_time"));
    }
    span.parent_id = record.parent_id.map(|text| id("parent_id", text)).transpose()?.map(Into::into);
    span.status = name("status", record.status, Status::from_name)?;
    span.span_type = name("type", record.span_type, SpanType::from_name)?;
    let optional = |field, text: Option<Cow<'_, str>>| text.map(|text| id(field, text)).transpose();
    span.task_id = optional("task_id", record.task_id)?;
    span.group_id = optional("group_id", record.group_id)?;
    span.application_variant_id = optional("application_variant_id", record.application_variant_id)?;
    span.application_interaction_id =
        optional("application_interaction_id", record.application_interaction_id)?;
    span.obs_trace_id = hexadecimal("obs_trace_id", record.obs_trace_id, 32)?;
    span.obs_span_id = hexadecimal("obs_span_id", record.obs_span_id, 16)?;
    span.input = payload(line, "input", record.input)?;
    span.output = payload(line, "output", record.output)?;
    span.metadata = payload(line, "metadata", record.metadata)?;
    span.expected = payload(line, "expected", record.expected)?;
    span.otel = payload(line, "otel", record.otel)?;
    if span.otel.as_ref().is_some_and(|otel| otel.shape() != PayloadShape::Object) {
        return Err(wrong("otel", "expected an object"));
    }
    if record.assessments.len() > MAX_PER_SPAN {
        return Err(wrong("assessments", "too many"));
    }
    let assessments = record.assessments.into_iter().map(|record| assessment::read(line, record));
    Ok(Line { account: AccountId::new(account), span, assessments: assessments.collect::<Result<_, _>>()? })
}

const fn wrong(field: &'static str, message: &'static str) -> RecordError {
    RecordError::Field { field, message: Cow::Borrowed(message) }
}

fn id(field: &'static str, text: Cow<'_, str>) -> Result<String, RecordError> {
    if text.len() > MAX_ID_BYTES {
        return Err(wrong(field, "too long"));
    }
    if text.contains('\0') {
        return Err(wrong(field, "holds a NUL character"));
    }
    Ok(text.into_owned())
}

fn moment(field: &'static str, text: &str) -> Result<Timestamp, RecordError> {
    time::parse_text(text.as_bytes()).ok_or_else(|| wrong(field, "expected a time"))
}

fn name<T>(
    field: &'static str,
    text: Option<Cow<'_, str>>,
    find: fn(&str) -> Option<T>,
) -> Result<Option<T>, RecordError> {
    text.map(|text| find(&text).ok_or_else(|| wrong(field, "unknown"))).transpose()
}

fn hexadecimal(
    field: &'static str,
    text: Option<Cow<'_, str>>,
    digits: usize,
) -> Result<Option<String>, RecordError> {
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match text {
        Some(text) if text.len() != digits || !is_hex(&text) => {
            Err(wrong(field, "expected lower-case hexadecimal digits"))
        }
        text => Ok(text.map(Cow::into_owned)),
    }
}

fn payload(
    line: &Bytes,
    field: &'static str,
    text: Option<&RawValue>,
) -> Result<Option<Payload>, RecordError> {
    let Some(text) = text else { return Ok(None) };
    let payload = Payload::from_json(line.slice_ref(text.get().as_bytes()), Characters::Strict)
        .map_err(|error| RecordError::Field { field, message: error.to_string().into() })?;
    if payload.shape() == PayloadShape::Scalar {
        return Err(wrong(field, "expected an object or an array"));
    }
    Ok(Some(payload))
}
