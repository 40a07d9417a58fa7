//! The one writer of a segment's memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::format::{Head, RESERVED, record_bytes};
use crate::memory::{Region, fill};

/// The one writer of a region.
#[derive(Debug)]
pub(crate) struct Appender {
    region: Arc<Region>,
    offset: u32,
    /// Without, its records carry no checksums.
    salt: Option<u32>,
}

/// Space for one record, to be filled without the appender's lock.
#[derive(Debug)]
pub(crate) struct Reservation {
    region: Arc<Region>,
    offset: usize,
    salt: Option<u32>,
}

impl Appender {
    /// Makes the region shared and its space behind `start` available to records.
    pub(crate) fn new(region: Region, start: usize, salt: Option<u32>) -> (Arc<Region>, Self) {
        let region = Arc::new(region);
        (Arc::clone(&region), Self { region, offset: start as u32, salt })
    }

    /// Where the next record will start: everything before was reserved.
    #[inline]
    pub(crate) fn offset(&self) -> usize {
        self.offset as usize
    }

    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    #[inline]
    pub(crate) fn has_room(&self, payload_bytes: usize) -> bool {
        self.region.holds(self.offset(), record_bytes(payload_bytes))
    }

    /// Appends a record and returns its offset, or nothing when it does not fit.
    #[inline]
    pub(crate) fn append(&mut self, head: &Head, parts: &[&[u8]]) -> Option<usize> {
        if !self.has_room(head.payload_bytes as usize) {
            return None;
        }
        let offset = self.offset();
        self.offset += record_bytes(head.payload_bytes as usize) as u32;
        fill(&self.region, offset, self.salt, head, parts);
        Some(offset)
    }

    /// Takes the space for a record now, so that it can be filled later by [`Reservation::publish`].
    pub(crate) fn reserve(&mut self, payload_bytes: u32) -> Option<Reservation> {
        if !self.has_room(payload_bytes as usize) {
            return None;
        }
        let offset = self.offset();
        self.offset += record_bytes(payload_bytes as usize) as u32;
        self.region.word(offset)?.store((RESERVED | payload_bytes).to_le(), Ordering::Release);
        Some(Reservation { region: Arc::clone(&self.region), offset, salt: self.salt })
    }
}

impl Reservation {
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    /// Copies the record into its space and publishes it.
    pub(crate) fn publish(self, head: &Head, parts: &[&[u8]]) {
        fill(&self.region, self.offset, self.salt, head, parts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{ORDER_AT, ORDER_CHECK_AT, SEALED_END_AT, SegmentHeader, data_start, salt};
    use crate::memory::Slot;

    /// The fixture was made from the description of the format by other code than this.
    #[test]
    fn version_1_is_written_as_ever() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/spool/v1.seg");
        let fixture = std::fs::read(path).expect("fixture");
        let header = SegmentHeader::decode(&fixture).expect("header");
        let resident = Arc::default();
        let mut region = Region::anonymous(fixture.len(), &resident).expect("memory");
        assert!(region.write(0, &header.encode()));
        let start = data_start(header.user_header.len());
        let (region, mut appender) =
            Appender::new(region, start, Some(salt(&header.instance, header.sequence)));
        let bytes: Vec<u8> = (0..=255).collect();
        let long: Vec<u8> = (0..1500).map(|index| (index % 251) as u8).collect();
        let records: [(u8, u16, u32, &[u8]); 8] = [
            (1, 0, 0, b"nothing marked"),
            (2, 0xBEEF, 1, b"one of two marked"),
            (2, 0, 3, b"resolved"),
            (255, 1, 2, b""),
            (3, 0, 0, &bytes),
            (4, 0, 0, b"torn: never published"),
            (5, 0, 0, "naïve ✓".as_bytes()),
            (6, 0, 0, &long),
        ];
        for (index, (kind, flags, marks, payload)) in (1..).zip(records) {
            let mut head = Head {
                payload_bytes: payload.len() as u32,
                crc: 0,
                marks: 0,
                kind,
                flags,
                appended_unix_nanos: header.created_unix_nanos + index,
            };
            head.crc = head.crc([payload]);
            let (front, back) = payload.split_at(payload.len() / 3);
            let offset = appender.append(&head, &[front, &[], back]).expect("room");
            assert_eq!(region.add_marks(offset, marks), 0);
            if kind == 4 {
                // As a process that died before the last store leaves it.
                let word = RESERVED | head.payload_bytes;
                region.word(offset).expect("word").store(word.to_le(), Ordering::Relaxed);
            }
        }
        region.store_header_word(SEALED_END_AT, appender.offset() as u64);
        region.store_header_word(ORDER_AT, 3);
        region.store_header_word(ORDER_CHECK_AT, !3);
        assert_eq!(region.quiet_bytes(0, fixture.len()).expect("bytes"), fixture);
    }

    #[test]
    fn nothing_is_found_outside_or_before_it_is_published() {
        let resident = Arc::default();
        let region = Region::anonymous(4096, &resident).expect("memory");
        let (region, mut appender) = Appender::new(region, 128, None);
        let head = Head { payload_bytes: 40, crc: 0, marks: 0, kind: 1, flags: 0, appended_unix_nanos: 1 };
        let reservation = appender.reserve(40).expect("room");
        assert_eq!(region.slot(128), Slot::Reserved { bytes: 64 });
        assert_eq!(region.payload(128, 40), None);
        reservation.publish(&head, &[&[7; 40]]);
        assert_eq!(region.slot(128), Slot::Record(head));
        assert_eq!(region.payload(128, 40), Some(&[7; 40][..]));
        assert_eq!(region.payload(128, 39), None);
        assert_eq!(region.slot(192), Slot::Empty);
        for outside in [4080, 4096, 1 << 40, usize::MAX - 7, 3] {
            assert_eq!(region.slot(outside), Slot::Empty);
            assert_eq!(region.payload(outside, 40), None);
        }
        let full = Head { payload_bytes: 4096 - 192 - 24, ..head };
        assert!(appender.append(&Head { payload_bytes: full.payload_bytes + 1, ..full }, &[]).is_none());
        assert!(appender.append(&full, &[&vec![1; full.payload_bytes as usize]]).is_some());
        assert!(appender.reserve(0).is_none());
        assert_eq!(resident.load(Ordering::Relaxed), 4096);
        drop((region, appender));
        assert_eq!(resident.load(Ordering::Relaxed), 0);
    }
}
