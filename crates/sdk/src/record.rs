//! The record: a span as it stands in the log.
//!
//! Little-endian. A fixed head of 24 bytes, then fields, each a tag, a length and that many bytes. Absent fields
//! take no room; unknown tags are passed over, so that an older reader survives a newer writer. Whether the
//! record is a start or an end is said by the log (its `kind`).
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 1 | version, [`VERSION`] |
//! | 1 | 1 | flags: 1 = has an end time, 2 = payloads are not validated yet |
//! | 2 | 1 | status code, 0 for none |
//! | 3 | 1 | type code, 0 for none |
//! | 4 | 2 + 2 | start and end: nanoseconds below the microsecond |
//! | 8 | 8 + 8 | start and end: microseconds since the Unix epoch |
//! | 24 | 5 + n each | fields: tag (1), length (4), bytes |

use bytes::Bytes;
use endspan_model::{Payload, Span, SpanId, SpanType, Status, Timestamp, TraceId};

use crate::lane::{Phase, SpanKey};

mod write;

pub use write::RawSpan;
pub(crate) use write::{RecordHead, Texts, bounded};

/// Version of the layout that this crate writes, and the newest that it reads.
pub(crate) const VERSION: u8 = 1;

const HEAD_BYTES: usize = 24;
const FLAG_ENDED: u8 = 1;
const FLAG_UNCHECKED: u8 = 2;

/// The log's word for a start record.
pub(crate) const KIND_START: u8 = 1;
/// The log's word for an end record.
pub(crate) const KIND_END: u8 = 2;

/// Returns the log's word for a phase.
pub(crate) const fn kind_of(phase: Phase) -> u8 {
    match phase {
        Phase::Start => KIND_START,
        Phase::End => KIND_END,
    }
}

/// Names of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tag {
    TraceId = 1,
    SpanId = 2,
    ParentId = 3,
    Name = 4,
    TaskId = 5,
    GroupId = 6,
    ApplicationVariantId = 7,
    ApplicationInteractionId = 8,
    ObsTraceId = 9,
    ObsSpanId = 10,
    Input = 11,
    Output = 12,
    Metadata = 13,
    Expected = 14,
    Otel = 15,
}

/// Appends a field.
pub(crate) fn push_field(out: &mut Vec<u8>, tag: Tag, bytes: &[u8]) {
    out.extend_from_slice(&write::field_head(tag, bytes.len()));
    out.extend_from_slice(bytes);
}

/// Appends a span of the model as one record.
pub(crate) fn push_span(out: &mut Vec<u8>, span: &Span) {
    let head = RecordHead {
        start: span.start_time,
        end: span.end_time,
        status: span.status,
        span_type: span.span_type,
        unchecked: false,
    };
    out.extend_from_slice(&head.bytes());
    push_field(out, Tag::TraceId, span.trace_id.as_str().as_bytes());
    push_field(out, Tag::SpanId, span.id.as_str().as_bytes());
    push_field(out, Tag::Name, span.name.as_bytes());
    for (tag, text) in [
        (Tag::ParentId, span.parent_id.as_ref().map(SpanId::as_str)),
        (Tag::TaskId, span.task_id.as_deref()),
        (Tag::GroupId, span.group_id.as_deref()),
        (Tag::ApplicationVariantId, span.application_variant_id.as_deref()),
        (Tag::ApplicationInteractionId, span.application_interaction_id.as_deref()),
        (Tag::ObsTraceId, span.obs_trace_id.as_deref()),
        (Tag::ObsSpanId, span.obs_span_id.as_deref()),
    ] {
        if let Some(text) = text {
            push_field(out, tag, text.as_bytes());
        }
    }
    for (tag, payload) in [
        (Tag::Input, &span.input),
        (Tag::Output, &span.output),
        (Tag::Metadata, &span.metadata),
        (Tag::Expected, &span.expected),
        (Tag::Otel, &span.otel),
    ] {
        if let Some(payload) = payload {
            push_field(out, tag, payload.as_bytes());
        }
    }
}

/// Returns the key of the span that a record belongs to, or `None` if this is no record.
pub(crate) fn key_of(record: &[u8]) -> Option<SpanKey> {
    let mut trace_id = None;
    let mut span_id = None;
    for (tag, bytes) in Fields::of(record)? {
        if tag == Tag::TraceId as u8 {
            trace_id = std::str::from_utf8(bytes).ok();
        } else if tag == Tag::SpanId as u8 {
            span_id = std::str::from_utf8(bytes).ok();
        }
        if let (Some(trace_id), Some(span_id)) = (trace_id, span_id) {
            return Some(SpanKey::of(trace_id, span_id));
        }
    }
    None
}

/// A record as it stands in the log: the fixed head, and its fields by tag.
pub(crate) struct View<'a> {
    pub(crate) start: Timestamp,
    pub(crate) end: Option<Timestamp>,
    pub(crate) status: Option<Status>,
    pub(crate) span_type: Option<SpanType>,
    /// The payloads are not validated yet.
    pub(crate) unchecked: bool,
    fields: [Option<&'a [u8]>; Tag::Otel as usize + 1],
}

impl<'a> View<'a> {
    /// Returns `None` if this is no record of a version that we know.
    pub(crate) fn of(record: &'a [u8]) -> Option<Self> {
        let fields_found = Fields::of(record)?;
        let head: &[u8; HEAD_BYTES] = record.first_chunk()?;
        let [_, flags, status, span_type, start @ .., _, _] = head.first_chunk::<8>()?;
        let end = [head[6], head[7]];
        let i64_at = |at: usize| head.get(at..at + 8)?.try_into().ok().map(i64::from_le_bytes);
        let start = Timestamp::from_parts(i64_at(8)?, u16::from_le_bytes(*start))?;
        let end = match flags & FLAG_ENDED {
            0 => None,
            _ => Some(Timestamp::from_parts(i64_at(16)?, u16::from_le_bytes(end))?),
        };
        let mut fields = [None; Tag::Otel as usize + 1];
        for (tag, bytes) in fields_found {
            if let Some(field) = fields.get_mut(usize::from(tag)) {
                *field = Some(bytes);
            }
        }
        Some(Self {
            start,
            end,
            status: Status::from_code(*status),
            span_type: SpanType::from_code(*span_type),
            unchecked: flags & FLAG_UNCHECKED != 0,
            fields,
        })
    }

    /// Returns the bytes of a field.
    pub(crate) fn bytes(&self, tag: Tag) -> Option<&'a [u8]> {
        self.fields.get(tag as usize).copied().flatten()
    }

    /// Returns a text; an empty one where it is none.
    pub(crate) fn text(&self, tag: Tag) -> Option<&'a str> {
        self.bytes(tag).map(|bytes| std::str::from_utf8(bytes).unwrap_or_default())
    }
}

/// Reads a record back into a span; its payloads share the record's bytes. Returns how many payloads were no
/// acceptable JSON and had to be replaced, or `None` if this is no record of a version that we know.
pub(crate) fn read_span(record: &Bytes) -> Option<(Span, u32)> {
    let view = View::of(record)?;
    let mut replaced = 0;
    let mut payload = |tag| {
        let shared = record.slice_ref(view.bytes(tag)?);
        if !view.unchecked {
            return Some(Payload::from_trusted(shared));
        }
        Some(Payload::parse(shared).unwrap_or_else(|error| {
            replaced += 1;
            crate::payload::placeholder(&error.to_string())
        }))
    };
    let text = |tag| view.text(tag).map(str::to_owned);
    let span = Span {
        trace_id: TraceId::new(view.text(Tag::TraceId).unwrap_or_default()),
        id: SpanId::new(view.text(Tag::SpanId).unwrap_or_default()),
        parent_id: view.text(Tag::ParentId).map(SpanId::new),
        name: text(Tag::Name).unwrap_or_default(),
        start_time: view.start,
        end_time: view.end,
        status: view.status,
        span_type: view.span_type,
        input: payload(Tag::Input),
        output: payload(Tag::Output),
        metadata: payload(Tag::Metadata),
        expected: payload(Tag::Expected),
        task_id: text(Tag::TaskId),
        group_id: text(Tag::GroupId),
        application_variant_id: text(Tag::ApplicationVariantId),
        application_interaction_id: text(Tag::ApplicationInteractionId),
        obs_trace_id: text(Tag::ObsTraceId),
        obs_span_id: text(Tag::ObsSpanId),
        otel: payload(Tag::Otel),
    };
    Some((span, replaced))
}

/// The fields of a record in order, as far as they are whole.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn of(record: &'a [u8]) -> Option<Self> {
        if *record.first()? != VERSION {
            return None;
        }
        record.get(HEAD_BYTES..).map(Self)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = self.0.split_at_checked(5)?;
        let (&tag, len) = head.split_first()?;
        let len = u32::from_le_bytes(len.try_into().ok()?) as usize;
        let (bytes, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((tag, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn full_span() -> Span {
        let mut span =
            Span::new("trace", "span", "name ü", Timestamp::from_unix_nanos(1_234_567_891).unwrap());
        span.end_time = Some(Timestamp::MAX);
        span.parent_id = Some("parent".into());
        span.status = Some(Status::Canceled);
        span.span_type = Some(SpanType::Reranking);
        span.input = Some(Payload::parse(r#"{"b":1.0,"a":[]}"#.to_owned()).unwrap());
        span.output = Some(Payload::parse(r#"[{"x":"y"}]"#.to_owned()).unwrap());
        span.metadata = Some(Payload::parse(r#"{"__error__":{}}"#.to_owned()).unwrap());
        span.expected = Some(Payload::empty_object());
        span.otel = Some(Payload::empty_object());
        span.task_id = Some("task".into());
        span.group_id = Some("group".into());
        span.application_variant_id = Some("variant".into());
        span.application_interaction_id = Some("interaction".into());
        span.obs_trace_id = Some("0".repeat(32));
        span.obs_span_id = Some("1".repeat(16));
        span
    }

    #[test]
    fn a_span_comes_back_as_it_was() {
        for span in [full_span(), Span::new("", "", "", Timestamp::MIN)] {
            let mut out = Vec::new();
            push_span(&mut out, &span);
            assert_eq!(key_of(&out), Some(SpanKey::of(span.trace_id.as_str(), span.id.as_str())));
            assert_eq!(read_span(&Bytes::from(out)), Some((span, 0)));
        }
    }

    #[test]
    fn version_1_is_read_for_ever() {
        let mut out = vec![1, 1, 1, 26, 1, 0, 2, 0];
        out.extend_from_slice(&1_000_000_i64.to_le_bytes());
        out.extend_from_slice(&2_000_000_i64.to_le_bytes());
        out.extend_from_slice(
            b"\x01\x01\0\0\0t\x02\x01\0\0\0s\x04\x01\0\0\0n\x0b\x02\0\0\0{}\xff\x01\0\0\0?",
        );
        let (span, replaced) = read_span(&Bytes::from(out)).unwrap();
        assert_eq!(replaced, 0);
        assert_eq!(span.start_time.unix_nanos(), 1_000_000_001);
        assert_eq!(span.end_time.unwrap().unix_nanos(), 2_000_000_002);
        assert_eq!((span.trace_id.as_str(), span.id.as_str(), span.name.as_str()), ("t", "s", "n"));
        assert_eq!(span.input.unwrap().as_str(), "{}");
        assert_eq!(span.span_type, Some(SpanType::Standalone));
        assert_eq!(span.status, Some(Status::Success));
    }

    #[test]
    fn unchecked_payloads_are_checked_when_read() {
        let mut out = Vec::new();
        let head =
            RecordHead { start: Timestamp::MIN, end: None, status: None, span_type: None, unchecked: true };
        out.extend_from_slice(&head.bytes());
        push_field(&mut out, Tag::Input, br#"{"a": 1}"#);
        push_field(&mut out, Tag::Output, br#"{"a":NaN}"#);
        let (span, replaced) = read_span(&Bytes::from(out)).unwrap();
        assert_eq!(replaced, 1);
        assert_eq!(span.input.unwrap().as_str(), r#"{"a":1}"#);
        assert!(span.output.unwrap().get("__unencodable__").is_some());
    }

    proptest! {
        #[test]
        fn damage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), version in any::<bool>()) {
            let mut bytes = bytes;
            if version && let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            let _ = key_of(&bytes);
            let _ = read_span(&Bytes::from(bytes));
        }

        #[test]
        fn a_cut_record_never_panics(cut in 0_usize..400) {
            let mut out = Vec::new();
            push_span(&mut out, &full_span());
            out.truncate(cut);
            let _ = key_of(&out);
            let _ = read_span(&Bytes::from(out));
        }
    }
}
