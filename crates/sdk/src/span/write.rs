//! A span's records: one at its start, one at its end, straight into the log.

use endspan_model::Timestamp;

use super::Open;
use crate::lane::Phase;
use crate::payload::PayloadSource;
use crate::record::{RecordHead, Tag};
use crate::tracer::Pipeline;

/// A start record holds the input and the data only up to this size, unless starts are written anywhere. The start is
/// there for the case that this process dies; a large input would be copied twice for it.
const START_PAYLOAD_BYTES: usize = 1024;

impl Open {
    #[inline]
    pub(super) fn write_start(&mut self) {
        let (start, mut most) = (self.start, START_PAYLOAD_BYTES);
        match &self.trace.inner {
            Some(inner) if inner.pipeline.writes_starts() => most = usize::MAX,
            Some(inner) if inner.pipeline.records_starts() => {}
            _ => return,
        }
        self.held = self.write(None, most, |pipeline, parts| pipeline.append_start(start, parts)).flatten();
    }

    #[inline]
    pub(super) fn write_end(&mut self, end: Timestamp) {
        let held = self.held.take();
        self.write(Some(end), usize::MAX, |pipeline, parts| {
            if pipeline.is_enabled() {
                pipeline.append_releasing(Phase::End, end, parts, held);
            }
        });
    }

    #[inline]
    fn write<T>(
        &mut self,
        end: Option<Timestamp>,
        most: usize,
        append: impl FnOnce(&Pipeline, &[&[u8]]) -> T,
    ) -> Option<T> {
        let inner = self.trace.inner.as_ref()?;
        let fits = |payload: &&PayloadSource| payload.text.as_bytes().len() <= most;
        let payloads =
            [self.input.as_ref(), self.output.as_ref(), self.data.as_ref(), self.expected.as_deref()]
                .map(|payload| payload.filter(fits));
        let unchecked = payloads.iter().flatten().any(|payload| !payload.checked);
        let [input, output, data, expected] =
            payloads.map(|payload| payload.map(|payload| payload.text.as_bytes()));
        let head =
            RecordHead { start: self.start, end, status: self.status, span_type: self.span_type, unchecked };
        let payloads =
            [(Tag::Input, input), (Tag::Output, output), (Tag::Metadata, data), (Tag::Expected, expected)];
        Some(self.texts.write(&head, payloads, |parts| append(&inner.pipeline, parts)))
    }
}
