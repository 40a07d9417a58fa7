//! The form of [`Span::otel`](endspan_model::Span::otel): one JSON object with everything about an OTLP span
//! that has no field of its own in the model. Members with nothing to say are left out.
//!
//! | member | holds |
//! |---|---|
//! | `kind` | the span kind's number |
//! | `flags`, `trace_state` | as they came |
//! | `status_code` | only when it is none of 0, 1, 2 |
//! | `status_message` | the text of the status |
//! | `no_start_time` | `true` when the start was missing and the end stands in for it |
//! | `json`, `json_spaced` | keys of attributes that were JSON text: compact, or with a space after separators |
//! | `dropped_attributes_count`, `dropped_events_count`, `dropped_links_count` | as they came |
//! | `events` | array of `{"time_unix_nano": text, "name", "attributes", "dropped_attributes_count"}` |
//! | `links` | array of `{"trace_id": hex, "span_id": hex, "trace_state", "attributes", "dropped_attributes_count", "flags"}` |
//! | `unknown_fields` | base64 of protobuf fields of the span message that this version does not know |
//! | `utf8_repaired` | `true` when some text was not UTF-8 and holds U+FFFD now |
//! | `mapped` | `true` when endspan itself had mapped the span to OTLP, see [`foreign`](crate::encode) |
//! | `attributes` | attributes that others added to a mapped span on its way |
//! | `scope` | `{"name", "version", "attributes", "dropped_attributes_count", "schema_url"}` |
//! | `resource` | `{"attributes", "dropped_attributes_count", "schema_url", "entity_refs"}` |
//!
//! Attribute values have the form of [`value`](crate::value).

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json_text::{push_comma, push_integer, push_key, push_string};
use crate::value::{AttributesObject, Repairs};
use crate::wire::{Reader, WireError};
use crate::{hex, text};

/// The members `"scope":…,"resource":…` that all spans of one scope share, without braces.
#[derive(Debug, Default)]
pub(crate) struct ScopeText(pub(crate) Vec<u8>);

/// Returns the object of a resource, or nothing if there is none.
pub(crate) fn push_resource(
    resource: Option<&[u8]>,
    schema_url: &[u8],
    repaired: &mut bool,
) -> Result<Vec<u8>, WireError> {
    let mut out = Vec::new();
    if resource.is_none() && schema_url.is_empty() {
        return Ok(out);
    }
    let mut repairs = Repairs::default();
    let mut attributes = AttributesObject::default();
    let mut dropped = 0;
    let mut entity_refs = Vec::new();
    let mut reader = Reader::new(resource.unwrap_or_default());
    while let Some(field) = reader.next()? {
        match field.number {
            1 => attributes.push(field.bytes()?, &mut repairs)?,
            2 => dropped = field.varint()? as u32,
            3 => {
                push_comma(&mut entity_refs);
                entity_refs.push(b'"');
                hex::push_base64(&mut entity_refs, field.bytes()?);
                entity_refs.push(b'"');
            }
            _ => {}
        }
    }
    out.push(b'{');
    attributes.push_member(&mut out);
    push_count(&mut out, "dropped_attributes_count", dropped);
    push_text(&mut out, "schema_url", schema_url, &mut repairs);
    if !entity_refs.is_empty() {
        push_key(&mut out, "entity_refs");
        out.push(b'[');
        out.extend_from_slice(&entity_refs);
        out.push(b']');
    }
    out.push(b'}');
    *repaired |= repairs.utf8;
    Ok(out)
}

/// Returns the members that all spans of a scope share.
pub(crate) fn push_scope(
    resource: &[u8],
    scope: Option<&[u8]>,
    schema_url: &[u8],
    repaired: &mut bool,
) -> Result<ScopeText, WireError> {
    let mut out = Vec::new();
    let mut repairs = Repairs::default();
    if scope.is_some() || !schema_url.is_empty() {
        let mut attributes = AttributesObject::default();
        let (mut name, mut version): (&[u8], &[u8]) = (&[], &[]);
        let mut dropped = 0;
        let mut reader = Reader::new(scope.unwrap_or_default());
        while let Some(field) = reader.next()? {
            match field.number {
                1 => name = field.bytes()?,
                2 => version = field.bytes()?,
                3 => attributes.push(field.bytes()?, &mut repairs)?,
                4 => dropped = field.varint()? as u32,
                _ => {}
            }
        }
        push_key(&mut out, "scope");
        out.push(b'{');
        push_text(&mut out, "name", name, &mut repairs);
        push_text(&mut out, "version", version, &mut repairs);
        attributes.push_member(&mut out);
        push_count(&mut out, "dropped_attributes_count", dropped);
        push_text(&mut out, "schema_url", schema_url, &mut repairs);
        out.push(b'}');
    }
    if !resource.is_empty() {
        push_key(&mut out, "resource");
        out.extend_from_slice(resource);
    }
    *repaired |= repairs.utf8;
    Ok(ScopeText(out))
}

/// Appends an event as an object.
pub(crate) fn push_event(out: &mut Vec<u8>, message: &[u8], repairs: &mut Repairs) -> Result<(), WireError> {
    let mut attributes = AttributesObject::default();
    let mut name: &[u8] = &[];
    let (mut time, mut dropped) = (0_u64, 0);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => time = field.fixed64()?,
            2 => name = field.bytes()?,
            3 => attributes.push(field.bytes()?, repairs)?,
            4 => dropped = field.varint()? as u32,
            _ => {}
        }
    }
    push_comma(out);
    out.push(b'{');
    if time != 0 {
        push_key(out, "time_unix_nano");
        out.push(b'"');
        push_integer(out, time);
        out.push(b'"');
    }
    push_text(out, "name", name, repairs);
    attributes.push_member(out);
    push_count(out, "dropped_attributes_count", dropped);
    out.push(b'}');
    Ok(())
}

/// Appends a link as an object.
pub(crate) fn push_link(out: &mut Vec<u8>, message: &[u8], repairs: &mut Repairs) -> Result<(), WireError> {
    let mut attributes = AttributesObject::default();
    let (mut trace_id, mut span_id, mut trace_state): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
    let (mut dropped, mut flags) = (0, 0);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            1 => trace_id = field.bytes()?,
            2 => span_id = field.bytes()?,
            3 => trace_state = field.bytes()?,
            4 => attributes.push(field.bytes()?, repairs)?,
            5 => dropped = field.varint()? as u32,
            6 => flags = field.fixed32()?,
            _ => {}
        }
    }
    push_comma(out);
    out.push(b'{');
    push_text(out, "trace_id", hex::encode(trace_id).as_bytes(), repairs);
    push_text(out, "span_id", hex::encode(span_id).as_bytes(), repairs);
    push_text(out, "trace_state", trace_state, repairs);
    attributes.push_member(out);
    push_count(out, "dropped_attributes_count", dropped);
    push_count(out, "flags", flags);
    out.push(b'}');
    Ok(())
}

/// Appends a text member, unless it is empty.
pub(crate) fn push_text(out: &mut Vec<u8>, key: &str, bytes: &[u8], repairs: &mut Repairs) {
    if !bytes.is_empty() {
        push_key(out, key);
        push_string(out, &text(bytes, &mut repairs.utf8));
    }
}

/// Appends a number member, unless it is 0.
pub(crate) fn push_count(out: &mut Vec<u8>, key: &str, count: u32) {
    if count != 0 {
        push_key(out, key);
        push_integer(out, count);
    }
}

/// The object, read back.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct OtelForm<'a> {
    pub(crate) kind: i64,
    pub(crate) flags: u32,
    pub(crate) trace_state: String,
    pub(crate) status_code: Option<i64>,
    pub(crate) status_message: String,
    pub(crate) no_start_time: bool,
    pub(crate) json: Vec<String>,
    pub(crate) json_spaced: Vec<String>,
    pub(crate) dropped_attributes_count: u32,
    pub(crate) dropped_events_count: u32,
    pub(crate) dropped_links_count: u32,
    #[serde(borrow)]
    pub(crate) events: Vec<EventForm<'a>>,
    #[serde(borrow)]
    pub(crate) links: Vec<LinkForm<'a>>,
    pub(crate) unknown_fields: String,
    pub(crate) mapped: bool,
    #[serde(borrow)]
    pub(crate) attributes: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) scope: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) resource: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EventForm<'a> {
    pub(crate) time_unix_nano: String,
    pub(crate) name: String,
    #[serde(borrow)]
    pub(crate) attributes: Option<&'a RawValue>,
    pub(crate) dropped_attributes_count: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LinkForm<'a> {
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    pub(crate) trace_state: String,
    #[serde(borrow)]
    pub(crate) attributes: Option<&'a RawValue>,
    pub(crate) dropped_attributes_count: u32,
    pub(crate) flags: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ScopeForm<'a> {
    pub(crate) name: String,
    pub(crate) version: String,
    #[serde(borrow)]
    pub(crate) attributes: Option<&'a RawValue>,
    pub(crate) dropped_attributes_count: u32,
    pub(crate) schema_url: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ResourceForm<'a> {
    #[serde(borrow)]
    pub(crate) attributes: Option<&'a RawValue>,
    pub(crate) dropped_attributes_count: u32,
    pub(crate) schema_url: String,
    pub(crate) entity_refs: Vec<String>,
}
