//! Reading the log in append order.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::format::record_bytes;
use crate::memory::Slot;
use crate::record::Record;
use crate::segment::Segment;
use crate::shared::Shared;
use crate::stats::Notice;

/// A reader of the log, independent of all others: the place in the log where one lane is.
///
/// Yields every record of this process's log that was appended since the oldest one still there, in order.
/// Records in evicted or fully resolved segments are passed over.
#[derive(Debug)]
pub struct Cursor {
    shared: Arc<Shared>,
    interest: u32,
    after: u64,
    segment: Option<Arc<Segment>>,
    offset: usize,
}

impl Cursor {
    pub(crate) fn new(shared: Arc<Shared>, interest: u32) -> Self {
        Self { shared, interest, after: 0, segment: None, offset: 0 }
    }

    /// Appends at most `max_records` records to `out`, as long as their payloads together have at most
    /// `max_payload_bytes` (one is always taken). Returns how many; zero when there is nothing new.
    pub fn poll(&mut self, max_records: usize, max_payload_bytes: usize, out: &mut Vec<Record>) -> usize {
        let mut taken = 0;
        let mut bytes = 0usize;
        if self.shared.context.is_foreign() {
            return 0;
        }
        while taken < max_records {
            let Some(segment) = self.current() else { break };
            // Memory trouble (a file that cannot be mapped now): the next poll tries again.
            let Ok(region) = segment.region() else {
                if segment.is_gone() {
                    continue;
                }
                break;
            };
            let before = taken;
            while taken < max_records {
                match region.slot(self.offset) {
                    Slot::Record(head) => {
                        let size = head.payload_bytes as usize;
                        if taken > 0 && bytes.saturating_add(size) > max_payload_bytes {
                            return taken;
                        }
                        let offset = self.offset;
                        self.offset += record_bytes(size);
                        if self.interest == 0 || head.marks & self.interest != self.interest {
                            out.push(Record::new(&segment, offset as u32, &head));
                            bytes = bytes.saturating_add(size);
                            taken += 1;
                        }
                    }
                    Slot::Empty | Slot::Reserved { .. } => break,
                    Slot::Invalid => {
                        self.report_damage(&segment);
                        break;
                    }
                }
            }
            if taken == before && !self.is_past(&segment, &region) {
                break;
            }
        }
        taken
    }

    /// Returns the next record.
    #[expect(clippy::should_implement_trait, reason = "None now does not mean none later")]
    pub fn next(&mut self) -> Option<Record> {
        let mut out = Vec::with_capacity(1);
        self.poll(1, usize::MAX, &mut out);
        out.pop()
    }

    /// Returns the segment to read, moving to the next one where the current one is finished.
    fn current(&mut self) -> Option<Arc<Segment>> {
        loop {
            match &self.segment {
                Some(segment) => {
                    let finished =
                        segment.is_gone() || segment.sealed_end().is_some_and(|end| self.offset >= end);
                    if !finished {
                        return Some(Arc::clone(segment));
                    }
                    self.after = segment.ordinal();
                    self.segment = None;
                }
                None => {
                    let segment = self.shared.segment_after(self.after)?;
                    self.offset = segment.start;
                    self.segment = Some(segment);
                }
            }
        }
    }

    /// Whether nothing more can come from this segment at this offset.
    fn is_past(&mut self, segment: &Segment, region: &crate::memory::Region) -> bool {
        let Some(end) = segment.sealed_end() else { return false };
        if self.offset >= end || segment.is_gone() {
            return true;
        }
        match region.slot(self.offset) {
            // Published since we looked.
            Slot::Record(_) => true,
            Slot::Reserved { .. } => false,
            // Before the sealed end there is always a record, unless somebody else wrote here.
            Slot::Empty | Slot::Invalid => {
                self.report_damage(segment);
                self.offset = end;
                true
            }
        }
    }

    fn report_damage(&self, segment: &Segment) {
        if !segment.damaged.swap(true, Ordering::Relaxed) {
            self.shared
                .context
                .notices
                .lock()
                .push(Notice::LiveSegmentDamaged { offset: self.offset as u64 });
        }
    }
}
