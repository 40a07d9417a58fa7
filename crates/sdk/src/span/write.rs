//! A span's records: one at its start, one at its end, straight into the log.

use endspan_model::Timestamp;

use super::Open;
use crate::ids::IdText;
use crate::lane::Phase;
use crate::payload::PayloadSource;
use crate::record::RawSpan;

/// A start record holds the input and the data only up to this size, unless starts are written anywhere. The start is
/// there for the case that this process dies; a large input would be copied twice for it.
const START_PAYLOAD_BYTES: usize = 1024;

impl Open {
    #[inline]
    pub(super) fn write_start(&self) {
        let Some(inner) = &self.trace.inner else { return };
        if !inner.pipeline.records_starts() {
            return;
        }
        let most = if inner.pipeline.writes_starts() { usize::MAX } else { START_PAYLOAD_BYTES };
        self.write(Phase::Start, None, most);
    }

    #[inline]
    pub(super) fn write_end(&self, end: Timestamp) {
        self.write(Phase::End, Some(end), usize::MAX);
    }

    fn write(&self, phase: Phase, end: Option<Timestamp>, most: usize) {
        let Some(inner) = &self.trace.inner else { return };
        if !inner.pipeline.is_enabled() {
            return;
        }
        let fits = |payload: &&PayloadSource| payload.text.as_bytes().len() <= most;
        let payloads =
            [self.input.as_ref(), self.output.as_ref(), self.data.as_ref(), self.expected.as_deref()]
                .map(|payload| payload.filter(fits));
        let unchecked = payloads.iter().flatten().any(|payload| !payload.checked);
        let [input, output, data, expected] =
            payloads.map(|payload| payload.map(|payload| payload.text.as_bytes()));
        let record = RawSpan {
            trace_id: inner.trace_id.as_str(),
            id: self.id.as_str(),
            parent_id: self.parent_id.as_ref().map(IdText::as_str),
            name: &self.name,
            start: self.start,
            end,
            status: self.status,
            span_type: self.span_type,
            task_id: self.task_id.as_deref().or(inner.task_id.as_deref()),
            group_id: inner.group_id.as_deref(),
            input,
            output,
            data,
            expected,
        };
        let at = end.unwrap_or(self.start);
        record.write(unchecked, |parts| inner.pipeline.append(phase, at, parts));
    }
}
