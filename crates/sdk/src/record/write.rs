//! A span's record on its way into the log: texts in one small buffer, payloads by reference.

use endspan_model::limits::MAX_NAME_BYTES;
use endspan_model::{SpanType, Status, Timestamp};

use super::{FLAG_ENDED, FLAG_UNCHECKED, HEAD_BYTES, Tag, VERSION};

/// Head, ids and name fit here for all but the longest names; then a block of the heap is taken.
const TEXTS_BYTES: usize = 240;
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

/// What stands in the head of a record on its way.
#[derive(Clone, Copy)]
pub(crate) struct RecordHead {
    pub(crate) start: Timestamp,
    pub(crate) end: Option<Timestamp>,
    pub(crate) status: Option<Status>,
    pub(crate) span_type: Option<SpanType>,
    /// The payloads are not validated yet.
    pub(crate) unchecked: bool,
}

/// The payloads of a record, in its order.
pub(crate) type Payloads<'a> = [(Tag, Option<&'a [u8]>); 4];

impl RawSpan<'_> {
    /// Calls `append` with the parts of the record.
    pub(crate) fn write<T>(&self, append: impl FnOnce(&[&[u8]]) -> T) -> T {
        let head = RecordHead {
            start: self.start,
            end: self.end,
            status: self.status,
            span_type: self.span_type,
            unchecked: false,
        };
        let mut texts = Texts::EMPTY;
        texts.fill(&[
            (Tag::TraceId, Some(self.trace_id.as_bytes())),
            (Tag::SpanId, Some(self.id.as_bytes())),
            (Tag::Name, Some(bounded(self.name).as_bytes())),
            (Tag::ParentId, self.parent_id.map(str::as_bytes)),
            (Tag::TaskId, self.task_id.map(str::as_bytes)),
            (Tag::GroupId, self.group_id.map(str::as_bytes)),
        ]);
        let payloads = [
            (Tag::Input, self.input),
            (Tag::Output, self.output),
            (Tag::Metadata, self.data),
            (Tag::Expected, self.expected),
        ];
        texts.write(&head, payloads, append)
    }
}

/// A record up to its payloads: room for the head, then ids, name and other texts, as they go into the log. Made once for a
/// span, and used for its start and for its end.
pub(crate) struct Texts {
    place: [u8; TEXTS_BYTES],
    /// Texts that are too long for the place.
    heap: Vec<u8>,
    len: u32,
}

impl Texts {
    pub(crate) const EMPTY: Self = Self { place: [0; TEXTS_BYTES], heap: Vec::new(), len: 0 };

    /// Puts the texts in place, where there are none.
    #[inline]
    pub(crate) fn fill(&mut self, texts: &[(Tag, Option<&[u8]>); 6]) {
        let texts_bytes: usize =
            texts.iter().map(|(_, text)| text.map_or(0, |text| FIELD_HEAD_BYTES + text.len())).sum();
        let len = HEAD_BYTES + texts_bytes;
        self.len = u32::try_from(len).unwrap_or(u32::MAX);
        let place = match self.place.get_mut(HEAD_BYTES..len) {
            Some(place) => place,
            None => {
                self.heap = vec![0; len];
                self.heap.get_mut(HEAD_BYTES..).unwrap_or_default()
            }
        };
        let mut writer = Writer { left: place };
        for (tag, text) in texts {
            if let Some(text) = text {
                writer.put(&field_head(*tag, text.len()));
                writer.put(text);
            }
        }
    }

    /// Forgets the texts.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
        if !self.heap.is_empty() {
            self.heap = Vec::new();
        }
    }

    fn bytes(&self) -> &[u8] {
        if self.heap.is_empty() {
            self.place.get(..self.len as usize).unwrap_or_default()
        } else {
            &self.heap
        }
    }

    /// Returns a text by its tag; empty if there is none.
    pub(crate) fn text(&self, tag: Tag) -> &[u8] {
        let fields = super::Fields(self.bytes().get(HEAD_BYTES..).unwrap_or_default());
        fields.into_iter().find(|(found, _)| *found == tag as u8).map_or(&[], |(_, text)| text)
    }

    /// Calls `append` with the parts of the record.
    #[inline]
    pub(crate) fn write<T>(
        &mut self,
        head: &RecordHead,
        payloads: Payloads<'_>,
        append: impl FnOnce(&[&[u8]]) -> T,
    ) -> T {
        let front = if self.heap.is_empty() { self.place.as_mut_slice() } else { self.heap.as_mut_slice() };
        if let Some(place) = front.first_chunk_mut() {
            *place = head.bytes();
        }
        let heads = payloads.map(|(tag, payload)| field_head(tag, payload.map_or(0, <[u8]>::len)));
        let mut parts: [&[u8]; 9] = [self.bytes(), &[], &[], &[], &[], &[], &[], &[], &[]];
        let mut used = 1;
        for (field_head, (_, payload)) in heads.iter().zip(payloads) {
            let Some(payload) = payload else { continue };
            for part in [field_head.as_slice(), payload] {
                if let Some(place) = parts.get_mut(used) {
                    *place = part;
                }
                used += 1;
            }
        }
        append(parts.get(..used).unwrap_or(&parts))
    }
}

impl RecordHead {
    /// Returns the head as it stands in the log.
    pub(super) fn bytes(&self) -> [u8; HEAD_BYTES] {
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

/// A field's tag and length; its bytes follow.
pub(super) fn field_head(tag: Tag, len: usize) -> [u8; FIELD_HEAD_BYTES] {
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
