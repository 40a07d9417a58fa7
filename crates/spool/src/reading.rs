//! Payloads of many records at a time.

use std::sync::Arc;

use crate::error::ReadError;
use crate::memory::Region;
use crate::record::Record;
use crate::segment::Segment;

/// Borrowed payloads of records, which mostly stand beside each other: their segment is asked for its memory once, not for each.
///
/// The segments stay in memory while the value lives, so hold it for a request, not for a backlog.
#[derive(Debug, Default)]
pub struct Payloads {
    regions: Vec<(Arc<Segment>, Arc<Region>)>,
    places: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    region: usize,
    offset: u32,
    payload_bytes: u32,
}

impl Payloads {
    /// Makes an empty collection with room for so many records.
    #[must_use]
    pub fn with_capacity(records: usize) -> Self {
        Self { regions: Vec::new(), places: Vec::with_capacity(records) }
    }

    /// Adds a record's payload.
    ///
    /// # Errors
    ///
    /// As [`Record::payload`]; nothing is added then.
    pub fn push(&mut self, record: &Record) -> Result<(), ReadError> {
        if self.regions.last().is_none_or(|(segment, _)| !Arc::ptr_eq(segment, &record.segment)) {
            self.regions.push((Arc::clone(&record.segment), record.segment.region()?));
        }
        let Some((_, region)) = self.regions.last() else { return Err(ReadError::Damaged) };
        if region.payload(record.offset as usize, record.payload_bytes).is_none() {
            return Err(ReadError::Damaged);
        }
        let (offset, payload_bytes) = (record.offset, record.payload_bytes);
        self.places.push(Place { region: self.regions.len() - 1, offset, payload_bytes });
        Ok(())
    }

    /// Adds a record's payload and returns it.
    ///
    /// # Errors
    ///
    /// As [`Payloads::push`].
    pub fn read(&mut self, record: &Record) -> Result<&[u8], ReadError> {
        self.push(record)?;
        self.get(self.places.len() - 1).ok_or(ReadError::Damaged)
    }

    /// Returns a payload by its place in the order in which they were added.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let place = self.places.get(index)?;
        self.regions.get(place.region)?.1.payload(place.offset as usize, place.payload_bytes)
    }

    /// Returns the payloads in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.places.len()).map_while(|index| self.get(index))
    }

    /// Returns how many payloads there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Log, Meta, Opened, Options};

    #[test]
    fn payloads_of_several_segments_come_back_in_order_and_gone_ones_are_refused() {
        let Opened { log, mut consumer } =
            Log::open(Options { required_marks: 1, segment_bytes: 4096, ..Options::default() }).unwrap();
        let texts: Vec<Vec<u8>> = (0..40_u8).map(|index| vec![index; 1000]).collect();
        for text in &texts {
            log.append(Meta::kind(1), &[text]).unwrap();
            consumer.maintain();
        }
        let mut records = Vec::new();
        consumer.poll(100, usize::MAX, &mut records);
        assert!(records.first().unwrap().position().segment < records.last().unwrap().position().segment);
        let mut payloads = Payloads::with_capacity(records.len());
        assert!(payloads.is_empty());
        for record in &records {
            payloads.push(record).unwrap();
        }
        assert_eq!(payloads.len(), 40);
        assert_eq!(payloads.iter().collect::<Vec<_>>(), texts);
        assert_eq!(payloads.get(40), None);
        // Back to an earlier segment.
        assert_eq!(payloads.read(&records[0]).unwrap(), texts[0]);
        drop(payloads);
        for record in &records {
            record.resolve(1);
        }
        consumer.maintain();
        let mut payloads = Payloads::default();
        assert!(payloads.push(&records[0]).is_err());
        assert!(payloads.is_empty());
    }
}
