use bytes::Bytes;
use endspan_model::limits::{MAX_ID_BYTES, MAX_NAME_BYTES};
use endspan_model::{Payload, Span, SpanId, Status, Timestamp, TraceId};

use super::SpanError;
use crate::conventions::{self, Field, Side};
use crate::embedded_json::Spacing;
use crate::json_text::{push_comma, push_integer, push_key, push_string};
use crate::operation::Operation;
use crate::otel_form::{self, ScopeText, push_count, push_text};
use crate::value::{KeyValue, Repairs, push_attribute_value};
use crate::wire::{Reader, WireError};
use crate::{foreign, hex, text};

/// Texts from this length on get an allocation of their own.
const LONG_BYTES: usize = 8 * 1024;

/// Room for what stands around a long attribute.
const ROOM_BYTES: usize = 128;

/// Buffers that every span of a request reuses.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    input: Vec<u8>,
    output: Vec<u8>,
    metadata: Vec<u8>,
    events: Vec<u8>,
    links: Vec<u8>,
    json_keys: Vec<u8>,
    json_spaced_keys: Vec<u8>,
    unknown: Vec<u8>,
    otel: Vec<u8>,
}

/// What the attributes say about fields of the model.
#[derive(Debug, Default)]
struct Found {
    operation: Option<(u16, Operation)>,
    conversation: Option<(u16, String)>,
    observed_trace_id: Option<String>,
    observed_span_id: Option<String>,
    mapped: bool,
}

/// The plain fields of a span message.
#[derive(Debug, Default)]
struct Plain<'a> {
    trace_id: &'a [u8],
    span_id: &'a [u8],
    parent_id: &'a [u8],
    trace_state: &'a [u8],
    name: &'a [u8],
    flags: u32,
    kind: u64,
    start: u64,
    end: u64,
    dropped_attributes: u64,
    dropped_events: u64,
    dropped_links: u64,
    status_code: u64,
    status_message: &'a [u8],
}

impl Scratch {
    fn clear(&mut self) {
        for buffer in [
            &mut self.input,
            &mut self.output,
            &mut self.metadata,
            &mut self.events,
            &mut self.links,
            &mut self.json_keys,
            &mut self.json_spaced_keys,
            &mut self.unknown,
            &mut self.otel,
        ] {
            buffer.clear();
        }
    }

    /// Reads one span message.
    pub(super) fn read(
        &mut self,
        message: &[u8],
        context: &ScopeText,
        repaired: bool,
    ) -> Result<Span, SpanError> {
        self.clear();
        let mut repairs = Repairs { utf8: repaired };
        let mut found = Found::default();
        let plain = self.fields(message, &mut found, &mut repairs)?;
        let trace_id = id("trace_id", plain.trace_id, 16)?;
        let span_id = id("span_id", plain.span_id, 8)?;
        let parent_id = match plain.parent_id {
            none if none.iter().all(|byte| *byte == 0) => None,
            some => Some(SpanId::new(id("parent_span_id", some, 8)?)),
        };
        let started = if plain.start == 0 { plain.end } else { plain.start };
        if started == 0 {
            return Err(SpanError::NoTime);
        }
        if plain.name.len() > MAX_NAME_BYTES {
            return Err(SpanError::NameTooLong);
        }
        let name = text(plain.name, &mut repairs.utf8).into_owned();
        self.write_otel(&plain, found.mapped, context, &mut repairs);

        let mut span = Span::new(TraceId::new(trace_id), SpanId::new(span_id), name, timestamp(started));
        span.parent_id = parent_id;
        span.end_time = (plain.end != 0).then(|| timestamp(plain.end));
        span.status = match plain.status_code {
            1 => Some(Status::Success),
            2 => Some(Status::Error),
            _ => None,
        };
        span.span_type = found.operation.and_then(|(_, operation)| operation.span_type());
        span.group_id = found.conversation.map(|(_, conversation)| conversation);
        span.obs_trace_id = found.observed_trace_id;
        span.obs_span_id = found.observed_span_id;
        self.take_payloads(&mut span);
        if found.mapped {
            foreign::restore(&mut span);
        }
        Ok(span)
    }

    fn fields<'a>(
        &mut self,
        message: &'a [u8],
        found: &mut Found,
        repairs: &mut Repairs,
    ) -> Result<Plain<'a>, WireError> {
        let mut plain = Plain::default();
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            match field.number {
                1 => plain.trace_id = field.bytes()?,
                2 => plain.span_id = field.bytes()?,
                3 => plain.trace_state = field.bytes()?,
                4 => plain.parent_id = field.bytes()?,
                5 => plain.name = field.bytes()?,
                6 => plain.kind = field.varint()?,
                7 => plain.start = field.fixed64()?,
                8 => plain.end = field.fixed64()?,
                9 => self.attribute(field.bytes()?, found, repairs)?,
                10 => plain.dropped_attributes = field.varint()?,
                11 => otel_form::push_event(&mut self.events, field.bytes()?, repairs)?,
                12 => plain.dropped_events = field.varint()?,
                13 => otel_form::push_link(&mut self.links, field.bytes()?, repairs)?,
                14 => plain.dropped_links = field.varint()?,
                15 => (plain.status_code, plain.status_message) = status(field.bytes()?)?,
                16 => plain.flags = field.fixed32()?,
                _ => self.unknown.extend_from_slice(field.raw),
            }
        }
        Ok(plain)
    }

    /// Appends an attribute to the side it belongs to.
    fn attribute(
        &mut self,
        message: &[u8],
        found: &mut Found,
        repairs: &mut Repairs,
    ) -> Result<(), WireError> {
        let pair = KeyValue::read(message)?;
        let key = text(pair.key, &mut repairs.utf8);
        let rule = conventions::find(&key);
        let side = rule.map_or(Side::Metadata, |rule| rule.rule.field.side());
        if let Some(rule) = rule {
            found.note(rule.rule.field, rule.rank, &pair);
        } else if key == foreign::MARKER {
            found.mapped = true;
        }
        let out = match side {
            Side::Input => &mut self.input,
            Side::Output => &mut self.output,
            Side::Metadata => &mut self.metadata,
        };
        if pair.value.len() >= LONG_BYTES && out.is_empty() {
            // Most often the one long attribute of this side.
            out.reserve_exact(key.len() + pair.value.len() + ROOM_BYTES);
        }
        out.push(if out.is_empty() { b'{' } else { b',' });
        push_string(out, &key);
        out.push(b':');
        let keys = match push_attribute_value(out, pair.value, repairs)? {
            None => return Ok(()),
            Some(Spacing::None) => &mut self.json_keys,
            Some(Spacing::AfterSeparators) => &mut self.json_spaced_keys,
        };
        push_comma(keys);
        push_string(keys, &key);
        Ok(())
    }

    /// Writes what has no field in the model.
    fn write_otel(&mut self, plain: &Plain<'_>, mapped: bool, context: &ScopeText, repairs: &mut Repairs) {
        let out = &mut self.otel;
        out.push(b'{');
        for (key, number) in [("kind", plain.kind), ("status_code", plain.status_code)] {
            if number != 0 && (key == "kind" || number > 2) {
                push_key(out, key);
                push_integer(out, number as i64);
            }
        }
        push_count(out, "flags", plain.flags);
        push_text(out, "trace_state", plain.trace_state, repairs);
        push_text(out, "status_message", plain.status_message, repairs);
        push_flag(out, "no_start_time", plain.start == 0);
        push_flag(out, "mapped", mapped);
        push_count(out, "dropped_attributes_count", plain.dropped_attributes as u32);
        push_count(out, "dropped_events_count", plain.dropped_events as u32);
        push_count(out, "dropped_links_count", plain.dropped_links as u32);
        for (key, list) in [
            ("json", &self.json_keys),
            ("json_spaced", &self.json_spaced_keys),
            ("events", &self.events),
            ("links", &self.links),
        ] {
            if !list.is_empty() {
                push_key(out, key);
                out.push(b'[');
                out.extend_from_slice(list);
                out.push(b']');
            }
        }
        if !self.unknown.is_empty() {
            push_key(out, "unknown_fields");
            out.push(b'"');
            hex::push_base64(out, &self.unknown);
            out.push(b'"');
        }
        push_flag(out, "utf8_repaired", repairs.utf8);
        if !context.0.is_empty() {
            push_comma(out);
            out.extend_from_slice(&context.0);
        }
        out.push(b'}');
    }

    /// Moves the texts into one allocation that the span's payloads share; long ones are not copied again.
    fn take_payloads(&mut self, span: &mut Span) {
        for side in [&mut self.input, &mut self.output, &mut self.metadata] {
            if !side.is_empty() {
                side.push(b'}');
            }
        }
        span.input = take_long(&mut self.input);
        span.output = take_long(&mut self.output);
        span.metadata = take_long(&mut self.metadata);
        let parts = [&self.input, &self.output, &self.metadata, &self.otel];
        let mut all = Vec::with_capacity(parts.into_iter().map(Vec::len).sum());
        for part in parts {
            all.extend_from_slice(part);
        }
        let all = Bytes::from(all);
        let mut at = 0;
        let mut next = |part: &Vec<u8>, into: &mut Option<Payload>| {
            let from = at;
            at += part.len();
            if !part.is_empty() {
                *into = Some(Payload::from_trusted(all.slice(from..at)));
            }
        };
        next(&self.input, &mut span.input);
        next(&self.output, &mut span.output);
        next(&self.metadata, &mut span.metadata);
        next(&self.otel, &mut span.otel);
    }
}

/// Takes a text that is long and fills its buffer, which is then the payload's.
fn take_long(part: &mut Vec<u8>) -> Option<Payload> {
    let is_full = part.len() >= LONG_BYTES && part.capacity() - part.len() <= part.len() / 8;
    is_full.then(|| Payload::from_trusted(Bytes::from(std::mem::take(part))))
}

impl Found {
    #[inline]
    fn note(&mut self, field: Field, rank: u16, pair: &KeyValue<'_>) {
        match field {
            Field::Operation if self.operation.as_ref().is_none_or(|(best, _)| rank < *best) => {
                // MLflow writes texts as JSON text.
                let word = pair.string_value().unwrap_or_default().trim_matches('"');
                self.operation = Some((rank, Operation::from_word(word)));
            }
            Field::Conversation if self.conversation.as_ref().is_none_or(|(best, _)| rank < *best) => {
                if let Some(id) = pair.string_value().filter(|id| is_group_id(id)) {
                    self.conversation = Some((rank, id.to_owned()));
                }
            }
            Field::ObservedTraceId => self.observed_trace_id = observed_id(pair, 32),
            Field::ObservedSpanId => self.observed_span_id = observed_id(pair, 16),
            _ => {}
        }
    }
}

/// Returns whether a conversation's id can be the group's: what cannot stays an attribute only.
fn is_group_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_ID_BYTES && !id.contains('\0')
}

fn push_flag(out: &mut Vec<u8>, key: &str, set: bool) {
    if set {
        push_key(out, key);
        out.extend_from_slice(b"true");
    }
}

/// Returns an observability id if it has the form that the model asks for.
fn observed_id(pair: &KeyValue<'_>, digits: usize) -> Option<String> {
    let id = pair.string_value()?;
    let fits = id.len() == digits && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    fits.then(|| id.to_owned())
}

fn id(field: &'static str, bytes: &[u8], expected: usize) -> Result<String, SpanError> {
    if bytes.len() != expected || bytes.iter().all(|byte| *byte == 0) {
        return Err(SpanError::Id { field, expected, got: bytes.len() });
    }
    Ok(hex::encode(bytes))
}

fn timestamp(unix_nanos: u64) -> Timestamp {
    // Every u64 lies before the year 2555.
    Timestamp::from_unix_nanos(i128::from(unix_nanos)).unwrap_or(Timestamp::MAX)
}

fn status(message: &[u8]) -> Result<(u64, &[u8]), WireError> {
    let (mut code, mut text): (u64, &[u8]) = (0, &[]);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next()? {
        match field.number {
            2 => text = field.bytes()?,
            3 => code = field.varint()?,
            _ => {}
        }
    }
    Ok((code, text))
}
