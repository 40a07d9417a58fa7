//! Payload blocks: the payloads of many spans as one zstd frame.
//!
//! A frame decompresses to records back to back. A record begins where its span's row says, and holds
//!
//! ```text
//! a mark that is its row's own, not negative   LEB128
//! for input, output, metadata, expected, otel:
//!   0 if absent, else length + 1               LEB128
//! the present texts in this order              bytes
//! ```
//!
//! What the mark is, an engine decides: with it a record can be told to be the right one, and a block can be walked
//! without an index from blocks to rows. The frame carries zstd's checksum of its content, so that a damaged block is
//! an error and never a wrong payload.

use std::io;

use bytes::Bytes;
use endspan_model::{Payload, Span};
use zstd::zstd_safe::CParameter;

/// Bytes at which a block is full. As large as zstd's window at level 1, beyond which nothing is gained, and
/// small enough that reading one span takes about 0.1 ms.
pub const FULL_BYTES: usize = 512 * 1024;
/// Spans at which a block is full.
pub const FULL_SPANS: usize = 256;
/// Largest content that a reader accepts; guards against a damaged frame header.
const MAX_CONTENT_BYTES: usize = 1 << 30;
const PAYLOADS: usize = 5;

/// Bytes that are no block, or not the block that a row speaks of. Names the place, never the content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DamagedBlock(String);

impl DamagedBlock {
    fn frame(block_key: i64) -> Self {
        Self(format!("block {block_key} does not decompress"))
    }

    fn record(block_key: i64, offset: usize) -> Self {
        Self(format!("block {block_key} has no readable record at {offset}"))
    }
}

/// A block being filled.
#[derive(Debug, Default)]
pub struct BlockBuilder {
    content: Vec<u8>,
    spans: usize,
}

impl BlockBuilder {
    /// Adds a span's payloads and returns the record's offset, or `None` when there is nothing to store.
    pub fn push(&mut self, mark: i64, span: &Span) -> Option<usize> {
        let payloads = [&span.input, &span.output, &span.metadata, &span.expected, &span.otel];
        if payloads.iter().all(|payload| payload.is_none()) {
            return None;
        }
        let offset = self.content.len();
        self.content.reserve(16 + span.payload_bytes());
        push_number(&mut self.content, mark.unsigned_abs());
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
    pub fn push_record(&mut self, record: &[u8]) -> usize {
        let offset = self.content.len();
        self.content.extend_from_slice(record);
        self.spans += 1;
        offset
    }

    /// Returns whether the block is full, or a record of this size would push it far beyond.
    pub fn lacks_room_for(&self, bytes: usize) -> bool {
        self.content.len() >= FULL_BYTES
            || self.spans >= FULL_SPANS
            || (!self.content.is_empty() && self.content.len() + bytes > FULL_BYTES + FULL_BYTES / 4)
    }

    /// Returns whether nothing was added.
    pub const fn is_empty(&self) -> bool {
        self.content.is_empty()
    }

    /// Returns how many spans were added.
    pub const fn spans(&self) -> usize {
        self.spans
    }

    /// Returns what was added, as a reader will see it.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.content.clear();
        self.spans = 0;
        // One huge span must not pin its memory for good.
        self.content.shrink_to(FULL_BYTES * 2);
    }
}

/// Compresses blocks. Holds about 1 MB of working memory.
pub struct Compressor(zstd::bulk::Compressor<'static>);

impl Compressor {
    /// Makes one of zstd's level 1, which is what a write path affords.
    ///
    /// # Errors
    /// When zstd finds no memory.
    pub fn new() -> io::Result<Self> {
        let mut compressor = zstd::bulk::Compressor::new(1)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Self(compressor))
    }

    /// Compresses a block into a frame.
    ///
    /// # Errors
    /// When zstd finds no memory.
    pub fn compress(&mut self, block: &BlockBuilder) -> io::Result<Vec<u8>> {
        self.0.compress(&block.content)
    }
}

/// Decompresses blocks.
pub struct Decompressor(zstd::bulk::Decompressor<'static>);

impl Decompressor {
    /// Makes one.
    ///
    /// # Errors
    /// When zstd finds no memory.
    pub fn new() -> io::Result<Self> {
        Ok(Self(zstd::bulk::Decompressor::new()?))
    }

    /// Decompresses a frame; the key of its block is for messages.
    ///
    /// # Errors
    /// [`DamagedBlock`].
    pub fn decompress(&mut self, block_key: i64, frame: &[u8]) -> Result<Block, DamagedBlock> {
        let content = content_bytes(frame).and_then(|size| self.0.decompress(frame, size).ok());
        let content = content.ok_or_else(|| DamagedBlock::frame(block_key))?;
        Ok(Block { key: block_key, content: content.into() })
    }

    /// Decompresses into room that is used again, for [`records`].
    ///
    /// # Errors
    /// [`DamagedBlock`].
    pub fn decompress_into(
        &mut self,
        block_key: i64,
        frame: &[u8],
        room: &mut Vec<u8>,
    ) -> Result<(), DamagedBlock> {
        room.clear();
        // One huge block must not pin its memory for good.
        room.shrink_to(FULL_BYTES * 4);
        let done = content_bytes(frame).and_then(|size| {
            room.reserve(size);
            self.0.decompress_to_buffer(frame, room).ok()
        });
        done.map(drop).ok_or_else(|| DamagedBlock::frame(block_key))
    }
}

fn content_bytes(frame: &[u8]) -> Option<usize> {
    zstd::bulk::Decompressor::upper_bound(frame).filter(|size| (1..=MAX_CONTENT_BYTES).contains(size))
}

/// A decompressed block.
#[derive(Clone, Debug)]
pub struct Block {
    key: i64,
    content: Bytes,
}

impl Block {
    /// Returns the key that it was decompressed with.
    pub const fn key(&self) -> i64 {
        self.key
    }

    /// Reads the record at an offset, whatever its mark.
    ///
    /// # Errors
    /// [`DamagedBlock`].
    pub fn record(&self, offset: usize) -> Result<Record<'_>, DamagedBlock> {
        parse(&self.content, offset).ok_or_else(|| DamagedBlock::record(self.key, offset))
    }

    /// Reads the record of a row and gives its payloads to the span.
    ///
    /// # Errors
    /// [`DamagedBlock`], also when the record there has another mark.
    pub fn load(&self, offset: usize, mark: i64, span: &mut Span) -> Result<(), DamagedBlock> {
        let record = self.record(offset)?;
        if record.mark != mark {
            return Err(DamagedBlock::record(self.key, offset));
        }
        // Each span gets its own bytes: a slice would keep the whole block alive for as long as one span is held.
        let mut rest = Bytes::copy_from_slice(record.texts());
        let mut next =
            |length: Option<usize>| length.map(|length| Payload::from_trusted(rest.split_to(length)));
        let [input, output, metadata, expected, otel] = record.lengths.map(&mut next);
        span.input = input;
        span.output = output;
        span.metadata = metadata;
        span.expected = expected;
        span.otel = otel;
        Ok(())
    }

    /// Walks all records with their offsets. An error is the last.
    pub fn records(&self) -> impl Iterator<Item = Result<(usize, Record<'_>), DamagedBlock>> {
        records(self.key, &self.content)
    }
}

/// One span's record in a block.
#[derive(Debug)]
pub struct Record<'a> {
    /// What tells it from other records.
    pub mark: i64,
    /// The whole record, to be copied into another block.
    pub bytes: &'a [u8],
    lengths: [Option<usize>; PAYLOADS],
    head_bytes: usize,
}

impl<'a> Record<'a> {
    /// Returns input, output and metadata; empty what is absent.
    pub fn searched(&self) -> [&'a [u8]; 3] {
        let mut rest = self.texts();
        let [input, output, metadata, ..] = self.lengths;
        [input, output, metadata].map(|length| {
            let (text, after) = rest.split_at_checked(length.unwrap_or(0)).unwrap_or_default();
            rest = after;
            text
        })
    }

    fn texts(&self) -> &'a [u8] {
        self.bytes.get(self.head_bytes..).unwrap_or_default()
    }
}

/// Walks all records of a block's content with their offsets. An error is the last.
pub fn records(
    block_key: i64,
    content: &[u8],
) -> impl Iterator<Item = Result<(usize, Record<'_>), DamagedBlock>> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        if offset >= content.len() {
            return None;
        }
        let at = offset;
        let record = parse(content, at);
        offset = record.as_ref().map_or(usize::MAX, |record| at + record.bytes.len());
        Some(record.map(|record| (at, record)).ok_or_else(|| DamagedBlock::record(block_key, at)))
    })
}

fn parse(content: &[u8], offset: usize) -> Option<Record<'_>> {
    let content = content.get(offset..)?;
    let mut rest = content;
    let mark = i64::try_from(take_number(&mut rest)?).ok()?;
    let mut lengths = [None; PAYLOADS];
    let mut total = 0_usize;
    for length in &mut lengths {
        *length = usize::try_from(take_number(&mut rest)?).ok()?.checked_sub(1);
        total = total.checked_add(length.unwrap_or(0))?;
    }
    let head_bytes = content.len() - rest.len();
    let bytes = content.get(..head_bytes.checked_add(total)?)?;
    Some(Record { mark, bytes, lengths, head_bytes })
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
            for (mark, payloads) in &spans {
                let span = span(payloads);
                if let Some(offset) = builder.push(*mark, &span) {
                    expected.push((offset, *mark, span));
                }
            }
            // A block without content is never written.
            prop_assume!(!builder.is_empty());
            let frame = Compressor::new().unwrap().compress(&builder).unwrap();
            let block = Decompressor::new().unwrap().decompress(1, &frame).unwrap();
            for (offset, mark, span) in &expected {
                let mut loaded = Span::new("t", "s", "n", Timestamp::MIN);
                block.load(*offset, *mark, &mut loaded).unwrap();
                prop_assert!(block.load(*offset, *mark ^ 1, &mut loaded.clone()).is_err());
                prop_assert_eq!(&loaded, span);
            }
            let walked: Vec<_> = block.records().map(|record| record.unwrap()).map(|(at, record)| (at, record.mark)).collect();
            let offsets: Vec<_> = expected.iter().map(|(offset, mark, _)| (*offset, *mark)).collect();
            prop_assert_eq!(walked, offsets);
        }

        #[test]
        fn damage_is_an_error(position in 0_usize..10_000, flip in 1_u8.., cut in 0_usize..10_000) {
            let mut builder = BlockBuilder::default();
            for mark in 0..50 {
                builder.push(mark, &span(&[Some(format!("{{\"value\":{mark}}}")), None, Some("{}".repeat(9))]));
            }
            let frame = Compressor::new().unwrap().compress(&builder).unwrap();
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
