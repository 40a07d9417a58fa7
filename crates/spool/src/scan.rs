//! Reading a segment that may be damaged: every intact record, and a word for everything else.

use std::sync::Arc;

use crate::format::{
    self, FIXED_HEADER_BYTES, Head, RECORD_ALIGN, SEALED_END_AT, SegmentHeader, record_bytes,
};
use crate::memory::{Region, Slot};
use crate::record::Record;
use crate::recovery::DamageKind;
use crate::segment::Segment;

/// All intact records of an adopted segment.
pub(crate) fn walk(region: &Region, segment: &Arc<Segment>) -> Vec<Record> {
    let salt = format::salt(&segment.identity.instance, segment.sequence);
    let mut records = Vec::new();
    let mut offset = FIXED_HEADER_BYTES;
    while let Some((at, head)) = find_record(region, offset, region.len(), salt) {
        records.push(Record::new(segment, at as u32, &head));
        offset = at + record_bytes(head.payload_bytes as usize);
    }
    records
}

/// What stands in a segment.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Intact records by offset.
    pub(crate) records: Vec<(u32, Head)>,
    /// Offset, bytes, records lost, kind.
    pub(crate) damage: Vec<(usize, usize, u64, DamageKind)>,
}

/// Reads a whole segment. Without a header, records are looked for everywhere; `blank` says that it is missing because the
/// beginning is all zero.
pub(crate) fn scan(region: &Region, header: Option<&SegmentHeader>, blank: bool, salt: u32) -> Scan {
    let len = region.len();
    let mut found = Scan::default();
    let sealed_end = usize::try_from(region.load_header_word(SEALED_END_AT))
        .ok()
        .filter(|end| *end >= FIXED_HEADER_BYTES && end.is_multiple_of(RECORD_ALIGN));
    let Some(header) = header else {
        // Where records start is not known: look for them everywhere. The damage itself was reported with the header.
        let mut offset = FIXED_HEADER_BYTES;
        if blank {
            if first_content(region, 0).is_none() {
                return found;
            }
            found.damage.push((0, FIXED_HEADER_BYTES.min(len), 0, DamageKind::Header));
        }
        while let Some((at, head)) = find_record(region, offset, len, salt) {
            if !found.records.is_empty() && at > offset {
                found.damage.push((offset, at - offset, 0, DamageKind::Garbage));
            }
            found.records.push((at as u32, head));
            offset = at + record_bytes(head.payload_bytes as usize);
        }
        if let Some(end) = last_content(region, offset) {
            found.damage.push((offset, end - offset, 0, DamageKind::Garbage));
        }
        return found;
    };
    let mut offset = header.data_start();
    while offset < len {
        let slot = region.slot(offset);
        let (kind, lost, from) = match slot {
            Slot::Record(head) if is_intact(region, offset, &head, salt) => {
                found.records.push((offset as u32, head));
                offset += record_bytes(head.payload_bytes as usize);
                continue;
            }
            Slot::Record(_) => (DamageKind::Checksum, 1, offset + RECORD_ALIGN),
            Slot::Reserved { bytes } if follows_torn(region, offset + bytes, salt) => {
                found.damage.push((offset, bytes, 1, DamageKind::Torn));
                offset += bytes;
                continue;
            }
            Slot::Reserved { .. } | Slot::Invalid => (DamageKind::Garbage, 0, offset + RECORD_ALIGN),
            Slot::Empty => {
                let expected = sealed_end.filter(|end| *end > offset);
                match first_content(region, offset) {
                    None => {
                        if let Some(end) = expected {
                            let kind = if end > len { DamageKind::Truncated } else { DamageKind::Gap };
                            found.damage.push((offset, end - offset, 0, kind));
                        }
                        return found;
                    }
                    Some(content) => (DamageKind::Gap, 0, content / RECORD_ALIGN * RECORD_ALIGN),
                }
            }
        };
        let next = find_record(region, from, len, salt).map_or(len, |(at, _)| at);
        let end = if next < len { next } else { last_content(region, offset).unwrap_or(len) };
        let kind = if next == len && kind == DamageKind::Gap { DamageKind::Garbage } else { kind };
        let cut = next == len && header.capacity_bytes > len as u64;
        let kind = if cut { DamageKind::Truncated } else { kind };
        found.damage.push((offset, end.saturating_sub(offset), lost, kind));
        offset = next;
    }
    let told = found.damage.iter().any(|(.., kind)| *kind == DamageKind::Truncated);
    if header.capacity_bytes > len as u64 && !told && sealed_end.is_none_or(|end| end > len) {
        let missing = sealed_end.map_or(header.capacity_bytes, |end| end as u64) - len as u64;
        found.damage.push((len, usize::try_from(missing).unwrap_or(usize::MAX), 0, DamageKind::Truncated));
    }
    found
}

pub(crate) fn is_intact(region: &Region, offset: usize, head: &Head, salt: u32) -> bool {
    region
        .payload(offset, head.payload_bytes)
        .is_some_and(|payload| head.checksum(payload) ^ salt == head.crc)
}

/// Whether what follows a torn record makes its length credible.
fn follows_torn(region: &Region, offset: usize, salt: u32) -> bool {
    match region.slot(offset) {
        Slot::Record(head) => is_intact(region, offset, &head, salt),
        Slot::Reserved { .. } => true,
        Slot::Empty => first_content(region, offset).is_none(),
        Slot::Invalid => false,
    }
}

/// Returns the first intact record at or behind `from`.
fn find_record(region: &Region, from: usize, end: usize, salt: u32) -> Option<(usize, Head)> {
    let mut offset = from.next_multiple_of(RECORD_ALIGN);
    while offset < end {
        match region.slot(offset) {
            Slot::Record(head) if is_intact(region, offset, &head, salt) => return Some((offset, head)),
            _ => offset += RECORD_ALIGN,
        }
    }
    None
}

const ZEROS: [u8; 4096] = [0; 4096];

/// Returns the offset of the first byte at or behind `from` that is not zero.
fn first_content(region: &Region, from: usize) -> Option<usize> {
    let bytes = region.quiet_bytes(from, region.len().checked_sub(from)?)?;
    let mut at = 0;
    for chunk in bytes.chunks(ZEROS.len()) {
        if Some(chunk) != ZEROS.get(..chunk.len()) {
            return chunk.iter().position(|byte| *byte != 0).map(|within| from + at + within);
        }
        at += chunk.len();
    }
    None
}

/// Returns the offset behind the last byte behind `from` that is not zero.
fn last_content(region: &Region, from: usize) -> Option<usize> {
    let bytes = region.quiet_bytes(from, region.len().checked_sub(from)?)?;
    bytes.iter().rposition(|byte| *byte != 0).map(|within| from + within + 1)
}
