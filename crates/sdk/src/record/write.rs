//! A span's record on its way into the log: one small buffer on the stack, payloads by reference.

use endspan_model::limits::MAX_NAME_BYTES;
use endspan_model::{SpanType, Status, Timestamp};

use super::{FLAG_ENDED, FLAG_UNCHECKED, HEAD_BYTES, Tag, VERSION};

/// Everything but payloads fits here for all but the longest names; then a block of the heap is taken.
const STACK_BYTES: usize = 256;
const FIELD_HEAD_BYTES: usize = 5;
/// A UUID as text.
const ID_BYTES: usize = 36;

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

/// A span as the bytes of its fields.
pub(crate) struct Fields<'a> {
    pub(crate) start: Timestamp,
    pub(crate) end: Option<Timestamp>,
    pub(crate) status: Option<Status>,
    pub(crate) span_type: Option<SpanType>,
    /// The payloads are not validated yet.
    pub(crate) unchecked: bool,
    /// Ids, name and other texts.
    pub(crate) texts: [(Tag, Option<&'a [u8]>); 6],
    pub(crate) payloads: [(Tag, Option<&'a [u8]>); 4],
}

impl RawSpan<'_> {
    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields {
            start: self.start,
            end: self.end,
            status: self.status,
            span_type: self.span_type,
            unchecked: false,
            texts: [
                (Tag::TraceId, Some(self.trace_id.as_bytes())),
                (Tag::SpanId, Some(self.id.as_bytes())),
                (Tag::Name, Some(bounded(self.name).as_bytes())),
                (Tag::ParentId, self.parent_id.map(str::as_bytes)),
                (Tag::TaskId, self.task_id.map(str::as_bytes)),
                (Tag::GroupId, self.group_id.map(str::as_bytes)),
            ],
            payloads: [
                (Tag::Input, self.input),
                (Tag::Output, self.output),
                (Tag::Metadata, self.data),
                (Tag::Expected, self.expected),
            ],
        }
    }
}

impl Fields<'_> {
    /// Calls `append` with the parts of the record.
    #[inline]
    pub(crate) fn write<T>(&self, append: impl FnOnce(&[&[u8]]) -> T) -> T {
        let text_bytes: usize =
            self.texts.iter().map(|(_, text)| text.map_or(0, |text| FIELD_HEAD_BYTES + text.len())).sum();
        let need = HEAD_BYTES + text_bytes + self.payloads.len() * FIELD_HEAD_BYTES;
        let mut stack = [0_u8; STACK_BYTES];
        let mut heap;
        let buffer = match stack.get_mut(..need) {
            Some(buffer) => buffer,
            None => {
                heap = vec![0; need];
                heap.as_mut_slice()
            }
        };
        let mut writer = Writer { left: buffer };
        writer.put(&self.head());
        for (tag, text) in self.texts {
            if let Some(text) = text {
                writer.put(&field_head(tag, text.len()));
                writer.put(text);
            }
        }
        for (tag, payload) in self.payloads {
            writer.put(&field_head(tag, payload.map_or(0, <[u8]>::len)));
        }
        let (head, field_heads) = buffer.split_at_checked(HEAD_BYTES + text_bytes).unwrap_or((buffer, &[]));
        let mut parts: [&[u8]; 9] = [head, &[], &[], &[], &[], &[], &[], &[], &[]];
        let mut used = 1;
        for (field_head, (_, payload)) in field_heads.chunks_exact(FIELD_HEAD_BYTES).zip(self.payloads) {
            let Some(payload) = payload else { continue };
            for part in [field_head, payload] {
                if let Some(place) = parts.get_mut(used) {
                    *place = part;
                }
                used += 1;
            }
        }
        append(parts.get(..used).unwrap_or(&parts))
    }

    fn head(&self) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        let end = self.end.unwrap_or(Timestamp::MIN);
        head[0] = VERSION;
        head[1] = if self.end.is_some() { FLAG_ENDED } else { 0 };
        head[1] |= if self.unchecked { FLAG_UNCHECKED } else { 0 };
        head[2] = self.status.map_or(0, Status::code);
        head[3] = self.span_type.map_or(0, SpanType::code);
        head[4..6].copy_from_slice(&self.start.subsec_nanos_below_micro().to_le_bytes());
        head[6..8].copy_from_slice(&end.subsec_nanos_below_micro().to_le_bytes());
        head[8..16].copy_from_slice(&self.start.unix_micros().to_le_bytes());
        head[16..24].copy_from_slice(&end.unix_micros().to_le_bytes());
        head
    }
}

fn field_head(tag: Tag, len: usize) -> [u8; FIELD_HEAD_BYTES] {
    let [a, b, c, d] = u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
    [tag as u8, a, b, c, d]
}

/// Fills a buffer of the right length from its beginning.
struct Writer<'a> {
    left: &'a mut [u8],
}

impl Writer<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let left = std::mem::take(&mut self.left);
        if let Some((place, rest)) = left.split_at_mut_checked(bytes.len()) {
            match (bytes.len(), place.first_chunk_mut(), bytes.first_chunk::<ID_BYTES>()) {
                // New ids, two or three to a record: of a length that is known here, they need no call.
                (ID_BYTES, Some(place), Some(id)) => *place = *id,
                _ => place.copy_from_slice(bytes),
            }
            self.left = rest;
        }
    }
}

/// Cuts a name to what is allowed, between characters.
pub(crate) fn bounded(name: &str) -> &str {
    if name.len() <= MAX_NAME_BYTES {
        return name;
    }
    let end = (0..=MAX_NAME_BYTES).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    name.get(..end).unwrap_or_default()
}
