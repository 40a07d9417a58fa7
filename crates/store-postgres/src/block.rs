//! Payload blocks: the payloads of many spans as one zstd frame.
//!
//! A frame decompresses to records back to back. A record begins where its span's row says, and holds
//!
//! ```text
//! check: the low 14 bits of the hash of its span's id   LEB128
//! for input, output, metadata, expected, otel:
//!   0 if absent, else length + 1                        LEB128
//! the present texts in this order                       bytes
//! ```
//!
//! The frame carries zstd's checksum of its content, so that a damaged block is an error and never a wrong payload.

use bytes::Bytes;
use endspan_model::{Payload, Span};
use zstd::zstd_safe::CParameter;

use crate::error::{EngineError, Result};

/// Bytes at which a block is full. As large as zstd's window at level 1, beyond which nothing is gained, and
/// small enough that reading one span takes about 0.1 ms.
const FULL_BYTES: usize = 512 * 1024;
/// Spans at which a block is full.
const FULL_SPANS: usize = 256;
/// Largest content that a reader accepts; guards against a damaged frame header.
const MAX_CONTENT_BYTES: usize = 1 << 30;
const PAYLOADS: usize = 5;

/// The lengths of a span's payloads.
type Lengths = [Option<usize>; PAYLOADS];

/// A block being filled.
#[derive(Debug, Default)]
pub(crate) struct BlockBuilder {
    content: Vec<u8>,
    spans: usize,
}

fn check_of(id_hash: i64) -> u64 {
    id_hash as u64 & 0x3fff
}

impl BlockBuilder {
    /// Adds a span's payloads and returns the record's offset, or `None` when there is nothing to store.
    pub(crate) fn push(&mut self, id_hash: i64, span: &Span) -> Option<usize> {
        let payloads = [&span.input, &span.output, &span.metadata, &span.expected, &span.otel];
        if payloads.iter().all(|payload| payload.is_none()) {
            return None;
        }
        let offset = self.content.len();
        self.content.reserve(16 + span.payload_bytes());
        push_number(&mut self.content, check_of(id_hash));
        for payload in payloads {
            push_number(&mut self.content, payload.as_ref().map_or(0, |payload| payload.len() as u64 + 1));
        }
        for payload in payloads.into_iter().flatten() {
            self.content.extend_from_slice(payload.as_bytes());
        }
        self.spans += 1;
        Some(offset)
    }

    /// Returns whether the block is full, or a record of this size would push it far beyond.
    pub(crate) fn lacks_room_for(&self, bytes: usize) -> bool {
        self.content.len() >= FULL_BYTES
            || self.spans >= FULL_SPANS
            || (!self.content.is_empty() && self.content.len() + bytes > FULL_BYTES + FULL_BYTES / 4)
    }

    /// Compresses what was added, and begins anew.
    pub(crate) fn finish(&mut self, compressor: &mut Compressor) -> Result<Block> {
        let frame = compressor.0.compress(&self.content)?;
        let block = Block { frame, raw_bytes: self.content.len(), spans: self.spans };
        self.content.clear();
        self.spans = 0;
        Ok(block)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.content.is_empty()
    }
}

/// A block on its way to the database.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) frame: Vec<u8>,
    pub(crate) raw_bytes: usize,
    pub(crate) spans: usize,
}

/// Compresses blocks. Holds about 1 MB of working memory.
pub(crate) struct Compressor(zstd::bulk::Compressor<'static>);

impl Compressor {
    /// Level 1 is what the write path affords.
    pub(crate) fn new() -> Result<Self> {
        let mut compressor = zstd::bulk::Compressor::new(1)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Self(compressor))
    }
}

/// Decompresses blocks.
pub(crate) struct Decompressor(zstd::bulk::Decompressor<'static>);

impl Decompressor {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(zstd::bulk::Decompressor::new()?))
    }

    pub(crate) fn decompress(&mut self, block_key: i64, frame: &[u8]) -> Result<Content> {
        let size = zstd::bulk::Decompressor::upper_bound(frame)
            .filter(|size| (1..=MAX_CONTENT_BYTES).contains(size));
        let content = size.and_then(|size| self.0.decompress(frame, size).ok());
        let content =
            content.ok_or_else(|| EngineError::damaged(format!("block {block_key} does not decompress")))?;
        Ok(Content { key: block_key, bytes: content })
    }
}

/// A decompressed block.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    key: i64,
    bytes: Vec<u8>,
}

impl Content {
    /// Returns the key of the block.
    pub(crate) const fn key(&self) -> i64 {
        self.key
    }

    /// Reads the record of a row and gives its payloads to the span.
    pub(crate) fn load(&self, offset: usize, id_hash: i64, span: &mut Span) -> Result<()> {
        let damaged =
            || EngineError::damaged(format!("block {} has no readable record at {offset}", self.key));
        let (check, lengths, texts) = self.parse(offset).ok_or_else(damaged)?;
        if check != check_of(id_hash) {
            return Err(damaged());
        }
        // Each span gets its own bytes: a slice would keep the whole block alive for as long as one span is held.
        let mut rest = Bytes::copy_from_slice(texts);
        let mut next =
            |length: Option<usize>| length.map(|length| Payload::from_trusted(rest.split_to(length)));
        let [input, output, metadata, expected, otel] = lengths.map(&mut next);
        span.input = input;
        span.output = output;
        span.metadata = metadata;
        span.expected = expected;
        span.otel = otel;
        Ok(())
    }

    fn parse(&self, offset: usize) -> Option<(u64, Lengths, &[u8])> {
        let mut rest = self.bytes.get(offset..)?;
        let check = take_number(&mut rest)?;
        let mut lengths = [None; PAYLOADS];
        let mut total = 0_usize;
        for length in &mut lengths {
            *length = usize::try_from(take_number(&mut rest)?).ok()?.checked_sub(1);
            total = total.checked_add(length.unwrap_or(0))?;
        }
        Some((check, lengths, rest.get(..total)?))
    }
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

    use super::*;

    fn span(number: usize) -> Span {
        let text = |text: String| Some(Payload::from_trusted(text.into()));
        Span {
            input: (!number.is_multiple_of(3)).then(|| text(format!("{{\"n\":{number}}}"))).flatten(),
            output: text("\"x\"".repeat(number)),
            otel: number.is_multiple_of(2).then(|| text("{}".to_owned())).flatten(),
            ..Span::new("t", "s", "n", Timestamp::MIN)
        }
    }

    fn bare() -> Span {
        Span::new("t", "s", "n", Timestamp::MIN)
    }

    #[test]
    fn payloads_come_back() {
        let mut builder = BlockBuilder::default();
        assert_eq!(builder.push(7, &bare()), None);
        let offsets: Vec<_> = (0..60).map(|n| builder.push(n as i64 * -977, &span(n)).unwrap()).collect();
        let block = builder.finish(&mut Compressor::new().unwrap()).unwrap();
        assert!(builder.is_empty());
        let content = Decompressor::new().unwrap().decompress(1, &block.frame).unwrap();
        for (n, offset) in offsets.into_iter().enumerate() {
            let mut loaded = bare();
            content.load(offset, n as i64 * -977, &mut loaded).unwrap();
            assert_eq!(loaded, span(n));
            assert!(content.load(offset, n as i64 * -977 + 1, &mut loaded).is_err());
        }
    }

    #[test]
    fn damage_is_an_error() {
        let mut builder = BlockBuilder::default();
        for n in 0..50 {
            builder.push(1, &span(n));
        }
        let block = builder.finish(&mut Compressor::new().unwrap()).unwrap();
        let whole = Decompressor::new().unwrap().decompress(1, &block.frame).unwrap();
        for at in 0..block.frame.len() {
            let mut flipped = block.frame.clone();
            flipped[at] ^= 0x10;
            if let Ok(content) = Decompressor::new().unwrap().decompress(1, &flipped) {
                assert_eq!(content.bytes, whole.bytes);
            }
            assert!(Decompressor::new().unwrap().decompress(1, &block.frame[..at]).is_err());
        }
        for offset in 0..whole.bytes.len() + 2 {
            let _ = whole.load(offset, 1, &mut bare());
        }
    }
}
