use bytes::Bytes;
use endspan_model::payload::Characters;
use endspan_model::{Payload, Span, SpanPatch, SpanType, Status, new_span_id_text};

use crate::error::{DecodeError, DecodeErrorKind};
use crate::fields::{Body, Item, ItemResults, Shapes};

const FIELDS: [&str; 18] = [
    "name",
    "id",
    "trace_id",
    "start_timestamp",
    "input",
    "output",
    "metadata",
    "status",
    "type",
    "end_timestamp",
    "parent_id",
    "group_id",
    "expected",
    "application_variant_id",
    "application_interaction_id",
    "obs_trace_id",
    "obs_span_id",
    "object",
];
const NAME: usize = 0;
const ID: usize = 1;
const TRACE_ID: usize = 2;
const START: usize = 3;
const INPUT: usize = 4;
const OUTPUT: usize = 5;
const METADATA: usize = 6;
const STATUS: usize = 7;
const TYPE: usize = 8;
const END: usize = 9;
const PARENT_ID: usize = 10;
const GROUP_ID: usize = 11;
const EXPECTED: usize = 12;
const VARIANT_ID: usize = 13;
const INTERACTION_ID: usize = 14;
const OBS_TRACE_ID: usize = 15;
const OBS_SPAN_ID: usize = 16;

/// Decodes the body of `POST /v5/spans`. A missing or null id becomes a new random one.
///
/// # Errors
/// [`DecodeError`]; see [`DecodeErrorKind::is_bad_request`] for the choice between 400 and 422.
pub fn decode_create(body: &Bytes) -> Result<Span, DecodeError> {
    span(&Body::new(body)?.object(&FIELDS)?)
}

/// Decodes the body of `POST` or `PUT /v5/spans/batch`: `{"items": [...]}`. The API stores all or nothing,
/// which is the caller's to keep; the results say which items are wrong.
///
/// # Errors
/// [`DecodeError`] when the body as a whole is unusable: no JSON, no items, more than 1000 of them.
pub fn decode_batch(body: &Bytes) -> Result<ItemResults, DecodeError> {
    Body::new(body)?.batch(&FIELDS, false, span)
}

/// Decodes the body of `PATCH /v5/spans/{id}`: name, end_timestamp, output, metadata and status. Null
/// means absent; other fields are ignored; `metadata` replaces.
///
/// # Errors
/// As for [`decode_create`].
pub fn decode_patch(body: &Bytes) -> Result<SpanPatch, DecodeError> {
    let body = Body::new(body)?;
    let item = body.object(&FIELDS)?;
    Ok(SpanPatch {
        name: item.name(NAME, Characters::Replace)?,
        end_time: item.time(END)?,
        status: item.choice(STATUS, STATUS_NAMES, Status::from_name)?,
        output: payload(&item, OUTPUT)?,
        metadata: payload(&item, METADATA)?,
        ordered: true,
        ..SpanPatch::default()
    })
}

const STATUS_NAMES: &str = "SUCCESS, ERROR or CANCELED";

fn span(item: &Item<'_, 18>) -> Result<Span, DecodeError> {
    let id = item.id(ID)?;
    let trace_id = item.required(TRACE_ID, "a string", item.id(TRACE_ID)?)?;
    let name = item.required(NAME, "a string", item.name(NAME, Characters::Replace)?)?;
    let start_time = item.required(START, "a time", item.time(START)?)?;
    let mut span = Span::new(trace_id, id.unwrap_or_else(new_span_id_text), name, start_time);
    span.end_time = item.time(END)?;
    if span.end_time.is_some_and(|end_time| end_time < start_time) {
        let expected = "a time not before start_timestamp";
        return Err(item.error(END, expected, DecodeErrorKind::EndBeforeStart));
    }
    span.parent_id = item.id(PARENT_ID)?.map(Into::into);
    span.group_id = item.id(GROUP_ID)?;
    span.input = payload(item, INPUT)?;
    span.output = payload(item, OUTPUT)?;
    span.metadata = payload(item, METADATA)?;
    span.expected = payload(item, EXPECTED)?;
    span.status = item.choice(STATUS, STATUS_NAMES, Status::from_name)?;
    span.span_type = item.choice(TYPE, "one of the 26 span types", SpanType::from_name)?;
    span.application_variant_id = item.replaced_id(VARIANT_ID)?;
    span.application_interaction_id = item.replaced_id(INTERACTION_ID)?;
    span.obs_trace_id = item.hex(OBS_TRACE_ID, 32, "32 lower-case hexadecimal digits")?;
    span.obs_span_id = item.hex(OBS_SPAN_ID, 16, "16 lower-case hexadecimal digits")?;
    if span.obs_span_id.is_some() && span.obs_trace_id.is_none() {
        let kind = DecodeErrorKind::WithoutCompanion { companion: "obs_trace_id" };
        return Err(item.error(OBS_SPAN_ID, "an obs_trace_id beside it", kind));
    }
    Ok(span)
}

fn payload(item: &Item<'_, 18>, field: usize) -> Result<Option<Payload>, DecodeError> {
    item.payload(field, Shapes::Object, Characters::Replace)
}
