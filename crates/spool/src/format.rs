//! The bytes of a segment: constants, the segment header, record heads and their checksum.
//!
//! `docs/spool-format.md` is the normative text. Everything is little-endian; offsets are from the start of the
//! segment. Nothing here does I/O.

/// First eight bytes of a segment that holds records.
pub(crate) const MAGIC: [u8; 8] = *b"ENDSPOOL";
/// First eight bytes of a file whose records are all resolved and which waits to be used again.
pub(crate) const MAGIC_FREE: [u8; 8] = *b"ENDSFREE";
/// Version of the layout that this crate writes, and the only one that it reads.
pub const FORMAT_VERSION: u16 = 1;
/// Bytes of the fixed part of the segment header; the user header follows.
pub(crate) const FIXED_HEADER_BYTES: usize = 128;
/// Largest user header that a segment carries.
pub const MAX_USER_HEADER_BYTES: usize = 32 * 1024;
/// Bytes in front of a record's payload.
pub const RECORD_HEAD_BYTES: usize = 24;
/// Records start at multiples of this.
pub(crate) const RECORD_ALIGN: usize = 8;
/// Largest payload that a length word can express.
pub const MAX_PAYLOAD_BYTES: usize = LENGTH_MASK as usize;

/// Marks are bits 0 to 15.
pub(crate) const MARKS_MASK: u32 = 0xffff;

/// Returns the marks word: the marks twice, so that damage to it is seen.
pub(crate) const fn marks_word(marks: u32) -> u32 {
    (marks & MARKS_MASK) | (marks << 16)
}

/// Returns the marks of which both copies are set. A mark in doubt is no mark: its destination gets the record
/// once more rather than never.
pub(crate) const fn marks_of(word: u32) -> u32 {
    word & (word >> 16) & MARKS_MASK
}

/// Byte 13 of every record head: makes resynchronisation after damage cheap.
pub(crate) const RECORD_MAGIC: u8 = 0xE5;
/// State bits of the length word: space taken, payload being copied.
pub(crate) const RESERVED: u32 = 1 << 30;
/// State bits of the length word: record complete.
pub(crate) const PUBLISHED: u32 = 1 << 31;
pub(crate) const STATE_MASK: u32 = RESERVED | PUBLISHED;
pub(crate) const LENGTH_MASK: u32 = RESERVED - 1;

pub(crate) const SEALED_END_AT: usize = 80;
pub(crate) const ORDER_AT: usize = 88;
pub(crate) const ORDER_CHECK_AT: usize = 96;

const HEADER_CRC_AT: usize = 72;

/// Identity of one process's use of a spool directory: 48 bits of milliseconds, then random bits.
pub(crate) type InstanceId = [u8; 16];

/// Returns the bytes that a record with this payload occupies, head and padding included.
pub(crate) const fn record_bytes(payload_bytes: usize) -> usize {
    (RECORD_HEAD_BYTES + payload_bytes).next_multiple_of(RECORD_ALIGN)
}

/// Returns the offset of the first record behind a user header of this length.
pub(crate) const fn data_start(user_header_bytes: usize) -> usize {
    (FIXED_HEADER_BYTES + user_header_bytes).next_multiple_of(64)
}

/// What every record carries beside its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) payload_bytes: u32,
    pub(crate) crc: u32,
    pub(crate) marks: u32,
    pub(crate) kind: u8,
    pub(crate) flags: u16,
    pub(crate) appended_unix_nanos: u64,
}

impl Head {
    /// Bytes 12 to 24 of the head, in two words.
    pub(crate) fn tail_words(&self) -> (u32, u64) {
        let low = u32::from(self.kind) | (u32::from(RECORD_MAGIC) << 8) | (u32::from(self.flags) << 16);
        (low, self.appended_unix_nanos)
    }

    /// CRC-32 over length, kind, magic, flags, time and payload; not over the marks, which change.
    pub(crate) fn checksum<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
        let (low, nanos) = self.tail_words();
        let mut meta = [0u8; 16];
        let (a, rest) = meta.split_at_mut(4);
        let (b, c) = rest.split_at_mut(4);
        a.copy_from_slice(&self.payload_bytes.to_le_bytes());
        b.copy_from_slice(&low.to_le_bytes());
        c.copy_from_slice(&nanos.to_le_bytes());
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&meta);
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize()
    }
}

/// The checksum of a record is XORed with this, so that a record left over from an earlier use of the same
/// file, or copied from another segment, never passes for one of this segment.
pub(crate) fn salt(instance: &InstanceId, sequence: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(instance);
    hasher.update(&sequence.to_le_bytes());
    hasher.finalize()
}

/// The segment header, without its two mutable words (sealed end, order).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) instance: InstanceId,
    pub(crate) sequence: u64,
    pub(crate) capacity_bytes: u64,
    pub(crate) created_unix_nanos: u64,
    pub(crate) required_marks: u32,
    pub(crate) process_id: u32,
    pub(crate) user_header: Vec<u8>,
}

/// Why a segment header was not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// Shorter than its own header says, or than the smallest header.
    Short,
    /// All zero: the file was created and never used.
    Blank,
    /// A recycled file between two uses.
    Free,
    /// Some other file.
    Magic,
    /// Written by a version that this crate does not know.
    Version(u16),
    /// The checksum does not match, or a field is out of range.
    Corrupt,
}

impl SegmentHeader {
    pub(crate) fn data_start(&self) -> usize {
        data_start(self.user_header.len())
    }

    /// Returns the header's bytes up to the first record. The sealed end and the order are zero.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let start = self.data_start();
        let mut out = Vec::with_capacity(start);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&0u16.to_le_bytes());
        out.extend_from_slice(&(start as u32).to_le_bytes());
        out.extend_from_slice(&self.instance);
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.capacity_bytes.to_le_bytes());
        out.extend_from_slice(&self.created_unix_nanos.to_le_bytes());
        out.extend_from_slice(&self.required_marks.to_le_bytes());
        out.extend_from_slice(&(self.user_header.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.process_id.to_le_bytes());
        out.extend_from_slice(&0u32.to_le_bytes());
        debug_assert_eq!(out.len(), HEADER_CRC_AT);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&out);
        hasher.update(&self.user_header);
        out.extend_from_slice(&hasher.finalize().to_le_bytes());
        out.resize(FIXED_HEADER_BYTES, 0);
        out.extend_from_slice(&self.user_header);
        out.resize(start, 0);
        out
    }

    /// Reads a header from the beginning of a segment file.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let magic: [u8; 8] = array(bytes, 0).ok_or(HeaderFault::Short)?;
        if magic == MAGIC_FREE {
            return Err(HeaderFault::Free);
        }
        if magic == [0; 8] && bytes.iter().all(|b| *b == 0) {
            return Err(HeaderFault::Blank);
        }
        if magic != MAGIC {
            return Err(HeaderFault::Magic);
        }
        let version = u16::from_le_bytes(array(bytes, 8).ok_or(HeaderFault::Short)?);
        if version != FORMAT_VERSION {
            return Err(HeaderFault::Version(version));
        }
        let fixed = bytes.get(..FIXED_HEADER_BYTES).ok_or(HeaderFault::Short)?;
        let u32_at = |at| array(fixed, at).map(u32::from_le_bytes).ok_or(HeaderFault::Short);
        let u64_at = |at| array(fixed, at).map(u64::from_le_bytes).ok_or(HeaderFault::Short);
        let user_bytes = u32_at(60)? as usize;
        if user_bytes > MAX_USER_HEADER_BYTES || u32_at(12)? as usize != data_start(user_bytes) {
            return Err(HeaderFault::Corrupt);
        }
        let user_header =
            bytes.get(FIXED_HEADER_BYTES..FIXED_HEADER_BYTES + user_bytes).ok_or(HeaderFault::Short)?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(fixed.get(..HEADER_CRC_AT).ok_or(HeaderFault::Short)?);
        hasher.update(user_header);
        if hasher.finalize() != u32_at(HEADER_CRC_AT)? {
            return Err(HeaderFault::Corrupt);
        }
        Ok(Self {
            instance: array(fixed, 16).ok_or(HeaderFault::Short)?,
            sequence: u64_at(32)?,
            capacity_bytes: u64_at(40)?,
            created_unix_nanos: u64_at(48)?,
            required_marks: u32_at(56)?,
            process_id: u32_at(64)?,
            user_header: user_header.to_vec(),
        })
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}
