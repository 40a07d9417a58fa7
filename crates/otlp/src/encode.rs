//! Writing model spans as `ExportTraceServiceRequest`s.
//!
//! A span that came in as OTLP goes out as it came. Any other span is mapped, see
//! `foreign` and `docs/otlp-mapping.md`.

use std::collections::HashMap;

use endspan_model::{Payload, Span, Status, Timestamp};
use serde_json::value::RawValue;

use crate::embedded_json::Spacing;
use crate::otel_form::{EventForm, LinkForm, OtelForm, ResourceForm, ScopeForm};
use crate::value::{write_attribute, write_attributes, write_embedded};
use crate::wire::WriteFields;
use crate::{foreign, hex, ids, json};

/// Writes spans as one protobuf request with the default resource of [`Encoder::new`].
pub fn encode_request(spans: &[Span]) -> Vec<u8> {
    Encoder::new().encode_protobuf(spans)
}

/// Writes requests. Holds what is the same for all of them: the resource under which spans that are not of
/// OTLP origin are reported.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// The content of a `Resource` message.
    resource: Vec<u8>,
    /// The content of an `InstrumentationScope` message.
    scope: Vec<u8>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// Returns an encoder whose resource says `telemetry.sdk.name` = `endspan`, its language and version.
    pub fn new() -> Self {
        let mut scope = Vec::new();
        scope.bytes_field(1, foreign::SCOPE.as_bytes());
        scope.bytes_field(2, env!("CARGO_PKG_VERSION").as_bytes());
        Self { resource: Vec::new(), scope }
            .with_resource_attribute("telemetry.sdk.name", "endspan")
            .with_resource_attribute("telemetry.sdk.language", "rust")
            .with_resource_attribute("telemetry.sdk.version", env!("CARGO_PKG_VERSION"))
    }

    /// Adds an attribute to the resource, for example `service.name`.
    #[must_use]
    pub fn with_resource_attribute(mut self, key: &str, value: &str) -> Self {
        crate::value::write_text_attribute(&mut self.resource, 1, key, value.as_bytes());
        self
    }

    /// Writes spans as one protobuf request.
    pub fn encode_protobuf(&self, spans: &[Span]) -> Vec<u8> {
        let mut groups = Groups::default();
        for span in spans {
            let form = span.otel.as_ref().and_then(|otel| serde_json::from_slice(otel.as_bytes()).ok());
            groups.push(span, &form.unwrap_or_default());
        }
        let mut out = Vec::with_capacity(groups.bytes + 64 * groups.resources.len());
        for (resource, scopes) in &groups.resources {
            out.message_field(1, |out| {
                let schema_url = self.write_resource(out, *resource);
                for (scope, spans) in scopes {
                    // Scope and schema first, on the side: then the length is known before the spans are copied.
                    let mut head = Vec::new();
                    let schema_url = self.write_scope(&mut head, *scope);
                    write_text(&mut head, 3, &schema_url);
                    out.tag(2, 2);
                    out.varint((head.len() + spans.len()) as u64);
                    out.extend_from_slice(&head);
                    out.extend_from_slice(spans);
                }
                write_text(out, 3, &schema_url);
            });
        }
        out
    }

    /// Writes spans as one JSON request.
    pub fn encode_json(&self, spans: &[Span]) -> Vec<u8> {
        json::request_to_json(&self.encode_protobuf(spans))
    }

    /// Writes the resource; returns its schema URL.
    fn write_resource(&self, out: &mut Vec<u8>, kept: Kept<'_>) -> String {
        let Kept::Form(raw) = kept else {
            if kept == Kept::Own {
                out.bytes_field(1, &self.resource);
            }
            return String::new();
        };
        let form: ResourceForm<'_> = serde_json::from_str(raw).unwrap_or_default();
        out.message_field(1, |out| {
            write_attribute_object(out, 1, form.attributes);
            write_count(out, 2, form.dropped_attributes_count);
            for entity_ref in &form.entity_refs {
                out.bytes_field(3, &hex::decode_base64(entity_ref).unwrap_or_default());
            }
        });
        form.schema_url
    }

    /// Writes the scope; returns its schema URL.
    fn write_scope(&self, out: &mut Vec<u8>, kept: Kept<'_>) -> String {
        let Kept::Form(raw) = kept else {
            if kept == Kept::Own {
                out.bytes_field(1, &self.scope);
            }
            return String::new();
        };
        let form: ScopeForm<'_> = serde_json::from_str(raw).unwrap_or_default();
        out.message_field(1, |out| {
            write_text(out, 1, &form.name);
            write_text(out, 2, &form.version);
            write_attribute_object(out, 3, form.attributes);
            write_count(out, 4, form.dropped_attributes_count);
        });
        form.schema_url
    }
}

/// Where a resource or scope comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kept<'a> {
    /// The span did not come as OTLP: the encoder's own.
    Own,
    /// The span came without one.
    Absent,
    /// The span came with this one.
    Form(&'a str),
}

/// The encoded spans of each scope.
type Scopes<'a> = Vec<(Kept<'a>, Vec<u8>)>;

/// Spans by resource and scope, in the order in which these first appear.
#[derive(Debug, Default)]
struct Groups<'a> {
    resources: Vec<(Kept<'a>, Scopes<'a>)>,
    places: HashMap<(Kept<'a>, Kept<'a>), (usize, usize)>,
    bytes: usize,
}

impl<'a> Groups<'a> {
    fn push(&mut self, span: &Span, form: &OtelForm<'a>) {
        let kept = |raw: Option<&'a RawValue>| match (raw, &span.otel) {
            (Some(raw), _) => Kept::Form(raw.get()),
            (None, Some(_)) => Kept::Absent,
            (None, None) => Kept::Own,
        };
        let (resource, scope) = (kept(form.resource), kept(form.scope));
        let resources = &mut self.resources;
        let place = *self.places.entry((resource, scope)).or_insert_with(|| {
            let at = resources.iter().position(|(one, _)| *one == resource).unwrap_or(resources.len());
            if at == resources.len() {
                resources.push((resource, Vec::new()));
            }
            let scopes = resources.get_mut(at).map(|(_, scopes)| scopes);
            let scope_at = scopes.map_or(0, |scopes| {
                scopes.push((scope, Vec::new()));
                scopes.len() - 1
            });
            (at, scope_at)
        });
        let scopes = self.resources.get_mut(place.0).map(|(_, scopes)| scopes);
        if let Some((_, out)) = scopes.and_then(|scopes| scopes.get_mut(place.1)) {
            let before = out.len();
            out.message_field(2, |out| write_span(out, span, form));
            self.bytes += out.len() - before;
        }
    }
}

fn write_span(out: &mut Vec<u8>, span: &Span, form: &OtelForm<'_>) {
    out.bytes_field(1, &ids::trace_id_bytes(span.trace_id.as_str()));
    out.bytes_field(2, &ids::span_id_bytes(span.id.as_str()));
    write_text(out, 3, &form.trace_state);
    if let Some(parent) = &span.parent_id {
        out.bytes_field(4, &ids::span_id_bytes(parent.as_str()));
    }
    write_text(out, 5, &span.name);
    if form.kind != 0 {
        out.varint_field(6, form.kind as u64);
    }
    if !form.no_start_time {
        out.fixed64_field(7, unix_nanos(span.start_time));
    }
    if let Some(end_time) = span.end_time {
        out.fixed64_field(8, unix_nanos(end_time));
    }
    let mapped = span.otel.is_none() || form.mapped;
    let mut error = None;
    if mapped {
        error = foreign::write_attributes(out, span);
        if let Some(others) = form.attributes {
            let others = Payload::from_trusted(bytes::Bytes::copy_from_slice(others.get().as_bytes()));
            write_members(out, others.members().unwrap_or_default(), form);
        }
    } else {
        for payload in [&span.input, &span.output, &span.metadata].into_iter().flatten() {
            write_payload(out, payload, form);
        }
    }
    write_count(out, 10, form.dropped_attributes_count);
    if let Some(error) = error.as_ref().filter(|_| span.otel.is_none()) {
        foreign::write_exception_event(out, 11, unix_nanos(span.end_time.unwrap_or(span.start_time)), error);
    }
    for event in &form.events {
        out.message_field(11, |out| write_event(out, event));
    }
    write_count(out, 12, form.dropped_events_count);
    for link in &form.links {
        out.message_field(13, |out| write_link(out, link));
    }
    write_count(out, 14, form.dropped_links_count);
    let said = error.as_ref().and_then(|error| error.message.as_deref()).unwrap_or_default();
    let message = if form.status_message.is_empty() { said } else { &form.status_message };
    let code = form.status_code.unwrap_or(match span.status {
        Some(Status::Success) => 1,
        Some(Status::Error) => 2,
        // An Agentex span says only by its error that it has failed.
        Some(Status::Canceled) | None => i64::from(error.is_some()) * 2,
    });
    if code != 0 || !message.is_empty() {
        out.message_field(15, |out| {
            write_text(out, 2, message);
            if code != 0 {
                out.varint_field(3, code as u64);
            }
        });
    }
    if form.flags != 0 {
        out.fixed32_field(16, form.flags);
    }
    out.extend_from_slice(&hex::decode_base64(&form.unknown_fields).unwrap_or_default());
}

/// Writes a side of an OTLP span: each member is an attribute. What another API put in its place and is no object
/// becomes one attribute.
fn write_payload(out: &mut Vec<u8>, payload: &Payload, form: &OtelForm<'_>) {
    match payload.members() {
        Some(members) => write_members(out, members, form),
        None => write_attribute(out, 9, "endspan.value", payload.as_bytes()),
    }
}

fn write_members(out: &mut Vec<u8>, members: Vec<(String, Payload)>, form: &OtelForm<'_>) {
    for (key, value) in members {
        let json = value.as_bytes();
        let embedded = matches!(json.first(), Some(b'{' | b'['));
        if embedded && form.json.contains(&key) {
            write_embedded(out, 9, &key, json, Spacing::None);
        } else if embedded && form.json_spaced.contains(&key) {
            write_embedded(out, 9, &key, json, Spacing::AfterSeparators);
        } else {
            write_attribute(out, 9, &key, json);
        }
    }
}

fn write_event(out: &mut Vec<u8>, event: &EventForm<'_>) {
    match event.time_unix_nano.parse() {
        Ok(0) | Err(_) => {}
        Ok(time) => out.fixed64_field(1, time),
    }
    write_text(out, 2, &event.name);
    write_attribute_object(out, 3, event.attributes);
    write_count(out, 4, event.dropped_attributes_count);
}

fn write_link(out: &mut Vec<u8>, link: &LinkForm<'_>) {
    out.bytes_field(1, &hex::decode(&link.trace_id).unwrap_or_default());
    out.bytes_field(2, &hex::decode(&link.span_id).unwrap_or_default());
    write_text(out, 3, &link.trace_state);
    write_attribute_object(out, 4, link.attributes);
    write_count(out, 5, link.dropped_attributes_count);
    if link.flags != 0 {
        out.fixed32_field(6, link.flags);
    }
}

fn write_attribute_object(out: &mut Vec<u8>, number: u32, object: Option<&RawValue>) {
    if let Some(object) = object {
        write_attributes(out, number, object.get());
    }
}

fn write_text(out: &mut Vec<u8>, number: u32, text: &str) {
    if !text.is_empty() {
        out.bytes_field(number, text.as_bytes());
    }
}

fn write_count(out: &mut Vec<u8>, number: u32, count: u32) {
    if count != 0 {
        out.varint_field(number, u64::from(count));
    }
}

/// OTLP counts from 1970 in 64 bits and reads 0 as not given: times outside that are moved to its edge.
fn unix_nanos(time: Timestamp) -> u64 {
    let nanos = time.unix_nanos();
    if nanos < 1 { 1 } else { u64::try_from(nanos).unwrap_or(u64::MAX) }
}
