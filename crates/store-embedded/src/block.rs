//! Payload blocks: the payloads of many spans as one zstd frame.
//!
//! A frame decompresses to records back to back. A record begins where its span's row says, and holds
//!
//! ```text
//! sequence number of its row        LEB128
//! for input, output, metadata, expected, otel:
//!   0 if absent, else length + 1    LEB128
//! the present texts in this order   bytes
//! ```
//!
//! The sequence number lets the compactor walk a block without an index from blocks to rows. The frame carries
//! zstd's checksum of its content, so that a damaged block is an error and never a wrong payload.

use bytes::Bytes;
use endspan_model::{Payload, Span};
use zstd::zstd_safe::CParameter;

use crate::error::{EngineError, Result};

/// Bytes at which a block is full. As large as zstd's window at level 1, beyond which nothing is gained, and
/// small enough that reading one span takes about 0.1 ms.
pub(crate) const FULL_BYTES: usize = 512 * 1024;
/// Spans at which a block is full.
pub(crate) const FULL_SPANS: usize = 256;
/// Largest content that a reader accepts; guards against a damaged frame header.
const MAX_CONTENT_BYTES: usize = 1 << 30;
const PAYLOADS: usize = 5;

/// A block being filled.
#[derive(Debug, Default)]
pub(crate) struct BlockBuilder {
    content: Vec<u8>,
    spans: usize,
}

impl BlockBuilder {
    /// Adds a span's payloads and returns the record's offset, or `None` when there is nothing to store.
    pub(crate) fn push(&mut self, sequence: i64, span: &Span) -> Option<usize> {
        let payloads = [&span.input, &span.output, &span.metadata, &span.expected, &span.otel];
        if payloads.iter().all(|payload| payload.is_none()) {
            return None;
        }
        let offset = self.content.len();
        self.content.reserve(16 + span.payload_bytes());
        push_number(&mut self.content, sequence.unsigned_abs());
        for payload in payloads {
            push_number(&mut self.content, payload.as_ref().map_or(0, |payload| payload.len() as u64 + 1));
        }
        for payload in payloads.into_iter().flatten() {
            self.content.extend_from_slice(payload.as_bytes());
        }
        self.spans += 1;
        Some(offset)
    }

    /// Adds a record as it stands in another block and returns its offset here.
    pub(crate) fn push_record(&mut self, record: &[u8]) -> usize {
        let offset = self.content.len();
        self.content.extend_from_slice(record);
        self.spans += 1;
        offset
    }

    pub(crate) fn is_full(&self) -> bool {
        self.content.len() >= FULL_BYTES || self.spans >= FULL_SPANS
    }

    /// Returns whether a record of this size would push a started block far beyond full.
    pub(crate) fn lacks_room_for(&self, bytes: usize) -> bool {
        !self.content.is_empty() && self.content.len() + bytes > FULL_BYTES + FULL_BYTES / 4
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.content.is_empty()
    }

    pub(crate) fn spans(&self) -> usize {
        self.spans
    }

    pub(crate) fn content(&self) -> &[u8] {
        &self.content
    }

    pub(crate) fn content_bytes(&self) -> usize {
        self.content.len()
    }

    pub(crate) fn clear(&mut self) {
        self.content.clear();
        self.spans = 0;
        // One huge span must not pin its memory for good.
        self.content.shrink_to(FULL_BYTES * 2);
    }
}

/// Compresses blocks. Holds about 1 MB of working memory.
pub(crate) struct Compressor(zstd::bulk::Compressor<'static>);

impl Compressor {
    /// `level` 1 is what the write path affords.
    pub(crate) fn new(level: i32) -> Result<Self> {
        let mut compressor = zstd::bulk::Compressor::new(level)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Self(compressor))
    }

    pub(crate) fn compress(&mut self, block: &BlockBuilder) -> Result<Vec<u8>> {
        Ok(self.0.compress(&block.content)?)
    }
}

/// Decompresses blocks.
pub(crate) struct Decompressor(zstd::bulk::Decompressor<'static>);

impl Decompressor {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(zstd::bulk::Decompressor::new()?))
    }

    pub(crate) fn decompress(&mut self, block_key: i64, frame: &[u8]) -> Result<Block> {
        let size = zstd::bulk::Decompressor::upper_bound(frame)
            .filter(|size| (1..=MAX_CONTENT_BYTES).contains(size));
        let content = size.and_then(|size| self.0.decompress(frame, size).ok());
        let content =
            content.ok_or_else(|| EngineError::damaged(format!("block {block_key} does not decompress")))?;
        Ok(Block { key: block_key, content: content.into() })
    }
}

impl Decompressor {
    /// Decompresses into room that is used again.
    pub(crate) fn decompress_into(&mut self, block_key: i64, frame: &[u8], room: &mut Vec<u8>) -> Result<()> {
        let size = zstd::bulk::Decompressor::upper_bound(frame)
            .filter(|size| (1..=MAX_CONTENT_BYTES).contains(size));
        room.clear();
        // One huge block must not pin its memory for good.
        room.shrink_to(FULL_BYTES * 4);
        let done = size.and_then(|size| {
            room.reserve(size);
            self.0.decompress_to_buffer(frame, room).ok()
        });
        done.map(drop).ok_or_else(|| EngineError::damaged(format!("block {block_key} does not decompress")))
    }
}

/// What text is looked for in.
pub(crate) struct ScannedRecord<'a> {
    pub(crate) sequence: i64,
    pub(crate) input: &'a [u8],
    pub(crate) output: &'a [u8],
    pub(crate) metadata: &'a [u8],
}

/// Walks all records of a block's content.
pub(crate) fn scan_records(
    block_key: i64,
    content: &[u8],
) -> impl Iterator<Item = Result<ScannedRecord<'_>>> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        if offset >= content.len() {
            return None;
        }
        let at = offset;
        let Some(record) = parse(content, at) else {
            offset = usize::MAX;
            return Some(Err(EngineError::damaged(format!(
                "block {block_key} has no readable record at {at}"
            ))));
        };
        offset += record.bytes.len();
        let mut rest = record.bytes.get(record.head_bytes..).unwrap_or_default();
        let mut next = |length: Option<usize>| {
            let (text, after) = rest.split_at_checked(length.unwrap_or(0)).unwrap_or_default();
            rest = after;
            text
        };
        let [input, output, metadata, ..] = record.lengths;
        let (input, output, metadata) = (next(input), next(output), next(metadata));
        Some(Ok(ScannedRecord { sequence: record.sequence, input, output, metadata }))
    })
}

/// A decompressed block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    key: i64,
    content: Bytes,
}

/// One span's record in a block.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) sequence: i64,
    /// The whole record, to be copied into another block.
    pub(crate) bytes: &'a [u8],
    lengths: [Option<usize>; PAYLOADS],
    head_bytes: usize,
}

impl Block {
    pub(crate) fn record(&self, offset: usize) -> Result<Record<'_>> {
        self.parse(offset).ok_or_else(|| self.damaged(offset))
    }

    /// Reads the record of a row and gives its payloads to the span.
    pub(crate) fn load(&self, offset: usize, sequence: i64, span: &mut Span) -> Result<()> {
        let record = self.record(offset)?;
        if record.sequence != sequence {
            return Err(self.damaged(offset));
        }
        // Each span gets its own bytes: a slice would keep the whole block alive for as long as one span is held.
        let record_bytes = Bytes::copy_from_slice(record.bytes);
        let mut at = record.head_bytes;
        let mut next = |length: Option<usize>| {
            length.map(|length| {
                let text = record_bytes.slice(at..at + length);
                at += length;
                Payload::from_trusted(text)
            })
        };
        let [input, output, metadata, expected, otel] = record.lengths.map(&mut next);
        span.input = input;
        span.output = output;
        span.metadata = metadata;
        span.expected = expected;
        span.otel = otel;
        Ok(())
    }

    /// Walks all records with their offsets.
    pub(crate) fn records(&self) -> impl Iterator<Item = Result<(usize, Record<'_>)>> {
        let mut offset = 0;
        std::iter::from_fn(move || {
            if offset >= self.content.len() {
                return None;
            }
            let at = offset;
            Some(match self.record(at) {
                Ok(record) => {
                    offset += record.bytes.len();
                    Ok((at, record))
                }
                Err(error) => {
                    offset = usize::MAX;
                    Err(error)
                }
            })
        })
    }

    fn parse(&self, offset: usize) -> Option<Record<'_>> {
        parse(&self.content, offset)
    }

    fn damaged(&self, offset: usize) -> EngineError {
        EngineError::damaged(format!("block {} has no readable record at {offset}", self.key))
    }
}

fn parse(content: &[u8], offset: usize) -> Option<Record<'_>> {
    let content = content.get(offset..)?;
    let mut rest = content;
    let sequence = i64::try_from(take_number(&mut rest)?).ok()?;
    let mut lengths = [None; PAYLOADS];
    let mut total = 0_usize;
    for length in &mut lengths {
        *length = usize::try_from(take_number(&mut rest)?).ok()?.checked_sub(1);
        total = total.checked_add(length.unwrap_or(0))?;
    }
    let head_bytes = content.len() - rest.len();
    let bytes = content.get(..head_bytes.checked_add(total)?)?;
    Some(Record { sequence, bytes, lengths, head_bytes })
}

fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use endspan_model::Timestamp;
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    fn span(payloads: &[Option<String>]) -> Span {
        let mut given =
            payloads.iter().map(|text| text.clone().map(|text| Payload::from_trusted(text.into())));
        let mut next = || given.next().flatten();
        Span {
            input: next(),
            output: next(),
            metadata: next(),
            expected: next(),
            otel: next(),
            ..Span::new("t", "s", "n", Timestamp::MIN)
        }
    }

    proptest! {
        #[test]
        fn payloads_come_back(spans in vec((0..i64::MAX, vec(option::of(".{0,200}"), 5)), 1..20)) {
            let mut builder = BlockBuilder::default();
            let mut expected = Vec::new();
            for (sequence, payloads) in &spans {
                let span = span(payloads);
                if let Some(offset) = builder.push(*sequence, &span) {
                    expected.push((offset, *sequence, span));
                }
            }
            // A block without content is never written.
            prop_assume!(!builder.is_empty());
            let frame = Compressor::new(1).unwrap().compress(&builder).unwrap();
            let block = Decompressor::new().unwrap().decompress(1, &frame).unwrap();
            for (offset, sequence, span) in &expected {
                let mut loaded = Span::new("t", "s", "n", Timestamp::MIN);
                block.load(*offset, *sequence, &mut loaded).unwrap();
                prop_assert_eq!(&loaded, span);
            }
            let walked: Vec<_> = block.records().map(|record| record.unwrap()).map(|(at, record)| (at, record.sequence)).collect();
            let offsets: Vec<_> = expected.iter().map(|(offset, sequence, _)| (*offset, *sequence)).collect();
            prop_assert_eq!(walked, offsets);
        }

        #[test]
        fn damage_is_an_error(position in 0_usize..10_000, flip in 1_u8.., cut in 0_usize..10_000) {
            let mut builder = BlockBuilder::default();
            for sequence in 0..50 {
                builder.push(sequence, &span(&[Some(format!("{{\"value\":{sequence}}}")), None, Some("{}".repeat(9))]));
            }
            let frame = Compressor::new(1).unwrap().compress(&builder).unwrap();
            let mut flipped = frame.clone();
            let at = position % flipped.len();
            flipped[at] ^= flip;
            if let Ok(block) = Decompressor::new().unwrap().decompress(1, &flipped) {
                prop_assert_eq!(&block.content[..], &builder.content[..]);
            }
            let cut = &frame[..cut % frame.len()];
            prop_assert!(Decompressor::new().unwrap().decompress(1, cut).is_err());
        }

        #[test]
        fn any_content_parses_or_fails_cleanly(content in vec(any::<u8>(), 0..200), offset in 0_usize..210) {
            let block = Block { key: 1, content: content.into() };
            let _ = block.record(offset);
            let _ = block.load(offset, 0, &mut span(&[]));
            prop_assert!(block.records().count() <= 200);
        }
    }
}
