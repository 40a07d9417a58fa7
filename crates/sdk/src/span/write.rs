//! A span's records: one at its start, one at its end, straight into the log.

use std::cell::RefCell;

use endspan_model::Timestamp;

use super::Open;
use crate::ids::IdText;
use crate::lane::Phase;
use crate::payload::PayloadSource;
use crate::record::{self, Head, Tag};
use crate::tracer::Pipeline;

/// A start record holds the input and the data only up to this size, unless starts are written anywhere. The start is
/// there for the case that this process dies; a large input would be copied twice for it.
const START_PAYLOAD_BYTES: usize = 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Buffers of this size are kept for the next record.
const KEPT_SCRATCH_BYTES: usize = 64 * 1024;

/// A payload with its field.
type Field<'a> = (Tag, &'a PayloadSource);

impl Open {
    pub(super) fn write_start(&self) {
        let Some(inner) = &self.trace.inner else { return };
        if !inner.pipeline.records_starts() {
            return;
        }
        let all = inner.pipeline.writes_starts();
        let fits = |payload: &&PayloadSource| all || payload.text.as_bytes().len() <= START_PAYLOAD_BYTES;
        let input = self.input.as_ref().filter(fits).map(|input| (Tag::Input, input));
        let data = self.data.as_ref().filter(fits).map(|data| (Tag::Metadata, data));
        self.write(&inner.pipeline, Phase::Start, None, [input, data, None, None]);
    }

    pub(super) fn write_end(&self, end: Timestamp) {
        let Some(inner) = &self.trace.inner else { return };
        if !inner.pipeline.is_enabled() {
            return;
        }
        let payloads = [
            self.input.as_ref().map(|input| (Tag::Input, input)),
            self.output.as_ref().map(|output| (Tag::Output, output)),
            self.data.as_ref().map(|data| (Tag::Metadata, data)),
            self.expected.as_deref().map(|expected| (Tag::Expected, expected)),
        ];
        self.write(&inner.pipeline, Phase::End, Some(end), payloads);
    }

    fn write(
        &self,
        pipeline: &Pipeline,
        phase: Phase,
        end: Option<Timestamp>,
        payloads: [Option<Field<'_>>; 4],
    ) {
        let mut kept = SCRATCH.try_with(|scratch| {
            scratch.try_borrow_mut().map(|mut scratch| std::mem::take(&mut *scratch)).ok()
        });
        let mut scratch = match &mut kept {
            Ok(Some(kept)) => std::mem::take(kept),
            _ => Vec::new(),
        };
        scratch.clear();
        let head = Head {
            start: self.start,
            end,
            status: self.status,
            span_type: self.span_type,
            unchecked: payloads.iter().flatten().any(|(_, payload)| !payload.checked),
        };
        self.push_texts(&mut scratch, &head);
        let texts = scratch.len();
        // The heads of the payload fields, five bytes each, stand at the end of the buffer.
        for (tag, payload) in payloads.iter().flatten() {
            record::push_field_head(&mut scratch, *tag, payload.text.as_bytes().len());
        }
        let (texts, mut heads) = scratch.split_at(texts);
        let mut parts: [&[u8]; 9] = [texts, &[], &[], &[], &[], &[], &[], &[], &[]];
        let mut used = 1;
        for (_, payload) in payloads.iter().flatten() {
            let (head, rest) = heads.split_at_checked(5).unwrap_or((heads, &[]));
            heads = rest;
            for part in [head, payload.text.as_bytes()] {
                if let Some(place) = parts.get_mut(used) {
                    *place = part;
                }
                used += 1;
            }
        }
        pipeline.append(phase, end.unwrap_or(self.start), parts.get(..used).unwrap_or(&parts));
        if scratch.capacity() <= KEPT_SCRATCH_BYTES {
            let _ = SCRATCH.try_with(|kept| kept.try_borrow_mut().map(|mut kept| *kept = scratch));
        }
    }

    fn push_texts(&self, out: &mut Vec<u8>, head: &Head) {
        record::push_head(out, head);
        let Some(inner) = &self.trace.inner else { return };
        record::push_field(out, Tag::TraceId, inner.trace_id.as_bytes());
        record::push_field(out, Tag::SpanId, self.id.as_bytes());
        record::push_field(out, Tag::Name, self.name.as_bytes());
        for (tag, text) in [
            (Tag::ParentId, self.parent_id.as_ref().map(IdText::as_bytes)),
            (Tag::TaskId, self.task_id.as_ref().or(inner.task_id.as_ref()).map(|text| text.as_bytes())),
            (Tag::GroupId, inner.group_id.as_ref().map(|text| text.as_bytes())),
        ] {
            if let Some(text) = text {
                record::push_field(out, tag, text);
            }
        }
    }
}
