//! A span's records: one at its start, one at its end, straight into the log.

use endspan_model::Timestamp;
use endspan_spool::Held;

use super::Open;
use crate::ids::IdText;
use crate::lane::Phase;
use crate::payload::PayloadSource;
use crate::record::{RecordFields, Tag, bounded};

/// A start record holds the input and the data only up to this size, unless starts are written anywhere. The start is
/// there for the case that this process dies; a large input would be copied twice for it.
const START_PAYLOAD_BYTES: usize = 1024;

impl Open {
    #[inline]
    pub(super) fn write_start(&mut self) {
        let Some(inner) = &self.trace.inner else { return };
        if !inner.pipeline.records_starts() {
            return;
        }
        let most = if inner.pipeline.writes_starts() { usize::MAX } else { START_PAYLOAD_BYTES };
        self.held = self.write(None, most, |at, parts| inner.pipeline.append_start(at, parts));
    }

    #[inline]
    pub(super) fn write_end(&mut self, end: Timestamp) {
        let held = self.held.take();
        let Some(inner) = &self.trace.inner else { return };
        if inner.pipeline.is_enabled() {
            self.write(Some(end), usize::MAX, |at, parts| {
                inner.pipeline.append_releasing(Phase::End, at, parts, held);
                None
            });
        }
    }

    #[inline]
    fn write(
        &self,
        end: Option<Timestamp>,
        most: usize,
        append: impl FnOnce(Timestamp, &[&[u8]]) -> Option<Held>,
    ) -> Option<Held> {
        let inner = self.trace.inner.as_ref()?;
        let fits = |payload: &&PayloadSource| payload.text.as_bytes().len() <= most;
        let payloads =
            [self.input.as_ref(), self.output.as_ref(), self.data.as_ref(), self.expected.as_deref()]
                .map(|payload| payload.filter(fits));
        let unchecked = payloads.iter().flatten().any(|payload| !payload.checked);
        let [input, output, data, expected] =
            payloads.map(|payload| payload.map(|payload| payload.text.as_bytes()));
        let task_id = self.task_id.as_ref().or(inner.task_id.as_ref());
        let record = RecordFields {
            start: self.start,
            end,
            status: self.status,
            span_type: self.span_type,
            unchecked,
            texts: [
                (Tag::TraceId, Some(inner.trace_id.as_bytes())),
                (Tag::SpanId, Some(self.id.as_bytes())),
                (Tag::Name, Some(bounded(&self.name).as_bytes())),
                (Tag::ParentId, self.parent_id.as_ref().map(IdText::as_bytes)),
                (Tag::TaskId, task_id.map(|task_id| task_id.as_bytes())),
                (Tag::GroupId, inner.group_id.as_ref().map(|group_id| group_id.as_bytes())),
            ],
            payloads: [
                (Tag::Input, input),
                (Tag::Output, output),
                (Tag::Metadata, data),
                (Tag::Expected, expected),
            ],
        };
        let at = end.unwrap_or(self.start);
        record.write(|parts| append(at, parts))
    }
}
