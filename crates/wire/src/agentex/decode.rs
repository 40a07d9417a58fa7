use bytes::Bytes;
use endspan_model::payload::Characters;
use endspan_model::{Payload, Span, SpanPatch, SpanType, new_span_id_text};

use crate::error::DecodeError;
use crate::fields::{Body, Item, ItemResults, Shapes};
use crate::json::member;
use crate::shape::{implied_status, string_value};

const FIELDS: [&str; 10] =
    ["id", "trace_id", "task_id", "parent_id", "name", "start_time", "end_time", "input", "output", "data"];
const ID: usize = 0;
const TRACE_ID: usize = 1;
const TASK_ID: usize = 2;
const PARENT_ID: usize = 3;
const NAME: usize = 4;
const START_TIME: usize = 5;
const END_TIME: usize = 6;
const INPUT: usize = 7;
const OUTPUT: usize = 8;
const DATA: usize = 9;

/// Decodes the body of `POST /spans`. A missing or null id becomes a new random one.
///
/// # Errors
/// [`DecodeError`] for every mistake that the API answers with 422 (`agentex-api` rows 7 to 30).
pub fn decode_create(body: &Bytes) -> Result<Span, DecodeError> {
    let body = Body::new(body)?.unwrap_string()?;
    span(&body.object(&FIELDS)?)
}

/// Decodes the body of `PUT` or `POST /spans/batch`: `{"items": [...]}` or an array, each item as in
/// [`decode_create`].
///
/// # Errors
/// [`DecodeError`] when the body as a whole is unusable: no JSON, no items, more than 1000 of them.
/// A mistake within an item is that item's result.
pub fn decode_batch(body: &Bytes) -> Result<ItemResults, DecodeError> {
    Body::new(body)?.batch(&FIELDS, true, span)
}

/// Decodes the body of `PATCH /spans/{id}`. Null means absent, an `id` is ignored, and `data` merges.
///
/// # Errors
/// [`DecodeError`] for every mistake that the API answers with 422 (`agentex-api` row 44).
pub fn decode_patch(body: &Bytes) -> Result<SpanPatch, DecodeError> {
    let body = Body::new(body)?.unwrap_string()?;
    let item = body.object(&FIELDS)?;
    let data = payload(&item, DATA)?;
    Ok(SpanPatch {
        trace_id: item.id(TRACE_ID)?.map(Into::into),
        parent_id: item.id(PARENT_ID)?.map(Into::into),
        task_id: item.id(TASK_ID)?,
        name: item.name(NAME, Characters::Strict)?,
        start_time: item.time(START_TIME)?,
        end_time: item.time(END_TIME)?,
        status: implied_status(data.as_ref()),
        input: payload(&item, INPUT)?,
        output: payload(&item, OUTPUT)?,
        metadata: None,
        merge_metadata: data,
        ordered: false,
    })
}

fn span(item: &Item<'_, 10>) -> Result<Span, DecodeError> {
    let id = item.id(ID)?;
    let trace_id = item.required(TRACE_ID, "a string", item.id(TRACE_ID)?)?;
    let task_id = item.id(TASK_ID)?;
    let parent_id = item.id(PARENT_ID)?.map(Into::into);
    let name = item.required(NAME, "a string", item.name(NAME, Characters::Strict)?)?;
    let start_time = item.required(START_TIME, "a time", item.time(START_TIME)?)?;
    let metadata = payload(item, DATA)?;
    let mut span = Span::new(trace_id, id.unwrap_or_else(new_span_id_text), name, start_time);
    span.task_id = task_id;
    span.parent_id = parent_id;
    span.end_time = item.time(END_TIME)?;
    span.input = payload(item, INPUT)?;
    span.output = payload(item, OUTPUT)?;
    span.status = implied_status(metadata.as_ref());
    span.span_type = metadata.as_ref().and_then(named_type);
    span.metadata = metadata;
    Ok(span)
}

fn payload(item: &Item<'_, 10>, field: usize) -> Result<Option<Payload>, DecodeError> {
    item.payload(field, Shapes::ObjectOrObjects, Characters::Strict)
}

fn named_type(data: &Payload) -> Option<SpanType> {
    let name = string_value(member(data.as_bytes(), "__span_type__")?)?;
    SpanType::from_name(&name)
}
