//! The lowest entry: records whose payloads are JSON text already. For bindings to other languages.

use std::cell::RefCell;
use std::time::Duration;

use endspan_model::{SpanType, Status, Timestamp};

use super::Tracer;
use crate::account::Report;
use crate::ids;
use crate::lane::Phase;
use crate::record::{self, Head, Tag};

/// Buffers of this size are kept for the next record.
const KEPT_SCRATCH_BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A span as borrowed parts.
///
/// The payloads must be well-formed JSON text, compact, in UTF-8, nested at most
/// [`MAX_PAYLOAD_DEPTH`](endspan_model::limits::MAX_PAYLOAD_DEPTH) deep: they are not looked at again. Text that is none
/// makes its span unreadable for its destinations.
#[derive(Clone, Copy, Debug)]
pub struct RawSpan<'a> {
    /// The trace's id.
    pub trace_id: &'a str,
    /// The span's id.
    pub id: &'a str,
    /// The parent's id.
    pub parent_id: Option<&'a str>,
    /// The name.
    pub name: &'a str,
    /// When it started.
    pub start: Timestamp,
    /// When it ended; without, this is a start.
    pub end: Option<Timestamp>,
    /// How the work ended.
    pub status: Option<Status>,
    /// What kind of work this is.
    pub span_type: Option<SpanType>,
    /// The Agentex task.
    pub task_id: Option<&'a str>,
    /// The group of traces (SGP).
    pub group_id: Option<&'a str>,
    /// The input.
    pub input: Option<&'a [u8]>,
    /// The output.
    pub output: Option<&'a [u8]>,
    /// The data (SGP calls it metadata).
    pub data: Option<&'a [u8]>,
    /// What the output should have been (SGP).
    pub expected: Option<&'a [u8]>,
}

impl Tracer {
    /// Hands over a span whose payloads are encoded already: as an end if it has an end time, else as a start.
    ///
    /// A start is kept for the case that this process dies before the span ends, and goes to exporters that write
    /// starts.
    pub fn submit_raw(&self, span: &RawSpan<'_>) {
        if !self.pipeline.enabled {
            return;
        }
        let mut texts = SCRATCH
            .try_with(|kept| {
                kept.try_borrow_mut().map(|mut kept| std::mem::take(&mut *kept)).unwrap_or_default()
            })
            .unwrap_or_default();
        texts.clear();
        let head = Head {
            start: span.start,
            end: span.end,
            status: span.status,
            span_type: span.span_type,
            unchecked: false,
        };
        record::push_head(&mut texts, &head);
        for (tag, text) in [
            (Tag::TraceId, Some(span.trace_id)),
            (Tag::SpanId, Some(span.id)),
            (Tag::Name, Some(bounded(span.name))),
            (Tag::ParentId, span.parent_id),
            (Tag::TaskId, span.task_id),
            (Tag::GroupId, span.group_id),
        ] {
            if let Some(text) = text {
                record::push_field(&mut texts, tag, text.as_bytes());
            }
        }
        let head_end = texts.len();
        let payloads = [
            (Tag::Input, span.input),
            (Tag::Output, span.output),
            (Tag::Metadata, span.data),
            (Tag::Expected, span.expected),
        ];
        // The heads of the payload fields, five bytes each, stand at the end of the buffer.
        for (tag, payload) in payloads {
            record::push_field_head(&mut texts, tag, payload.map_or(0, <[u8]>::len));
        }
        let (head, field_heads) = texts.split_at(head_end);
        let mut parts: [&[u8]; 9] = [head, &[], &[], &[], &[], &[], &[], &[], &[]];
        let mut used = 1;
        for (field_head, (_, payload)) in field_heads.chunks_exact(5).zip(payloads) {
            let Some(payload) = payload else { continue };
            for part in [field_head, payload] {
                if let Some(place) = parts.get_mut(used) {
                    *place = part;
                }
                used += 1;
            }
        }
        let phase = if span.end.is_some() { Phase::End } else { Phase::Start };
        self.pipeline.append(phase, span.end.unwrap_or(span.start), parts.get(..used).unwrap_or(&parts));
        if texts.capacity() <= KEPT_SCRATCH_BYTES {
            let _ = SCRATCH.try_with(|kept| kept.try_borrow_mut().map(|mut kept| *kept = texts));
        }
    }

    /// Makes a new span id, the text of a UUID.
    pub fn new_id(now: Timestamp) -> [u8; 36] {
        match ids::new_id(now) {
            ids::IdText::Uuid(text) => text,
            ids::IdText::Text(_) => [b'0'; 36],
        }
    }

    /// Returns whether spans go anywhere.
    pub fn is_enabled(&self) -> bool {
        self.pipeline.enabled
    }

    /// Returns whether any exporter writes starts, so that starts should hold their payloads.
    pub fn writes_starts(&self) -> bool {
        self.pipeline.writes_starts
    }

    /// Counts payloads that a binding replaced by a placeholder.
    pub fn note_unencodable(&self, count: u64) {
        if let Some(live) = self.pipeline.current() {
            live.counters.note_unencodable(count);
        }
    }

    /// Shuts down as the normal end of the process does: what cannot be delivered now may stay in the spool at once.
    pub fn shutdown_at_exit(&self, timeout: Duration) -> Report {
        self.pipeline.shut_down(timeout, true)
    }
}

/// Cuts a name to what is allowed, between characters.
fn bounded(name: &str) -> &str {
    let limit = endspan_model::limits::MAX_NAME_BYTES;
    if name.len() <= limit {
        return name;
    }
    let end = (0..=limit).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    name.get(..end).unwrap_or_default()
}
