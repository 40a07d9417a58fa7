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

/// Bytes of a place in a file of held records: the record, then where its successor is.
pub(crate) const SLOT_BYTES: usize = 512;
/// Where in a place its successor stands: sequence (u64) and offset (u32) of the record that takes its place.
pub(crate) const SUCCESSOR_AT: usize = SLOT_BYTES - 16;
/// Largest payload of a held record.
pub(crate) const MAX_HELD_BYTES: usize = SUCCESSOR_AT - RECORD_HEAD_BYTES;

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

    /// The checksum of a record with this payload: over length, kind, magic, flags, time and payload; not over the
    /// marks, which change.
    pub(crate) fn checksum(&self, payload: &[u8]) -> u32 {
        if payload.len() < CRC_BYTES { self.fold(payload) } else { self.crc([payload]) }
    }

    /// The checksum of long payloads: CRC-32.
    pub(crate) fn crc<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
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

    /// The checksum of short payloads: four sums of folded products, which a processor works out side by side.
    #[inline]
    pub(crate) fn fold(&self, payload: &[u8]) -> u32 {
        let (low, nanos) = self.tail_words();
        let mut lanes = FOLD_KEYS;
        lanes[0] ^= u64::from(self.payload_bytes) | u64::from(low) << 32;
        lanes[1] ^= nanos;
        let mut blocks = payload.chunks_exact(64);
        for block in &mut blocks {
            for (lane, pair) in lanes.iter_mut().zip(block.chunks_exact(16)) {
                *lane = fold_pair(*lane, pair);
            }
        }
        let mut pairs = blocks.remainder().chunks_exact(16);
        for (lane, pair) in lanes.iter_mut().zip(&mut pairs) {
            *lane = fold_pair(*lane, pair);
        }
        let rest = pairs.remainder();
        let mut last = [0; 16];
        if let Some(place) = last.get_mut(..rest.len()) {
            place.copy_from_slice(rest);
        }
        let [a, b, c, d] = lanes;
        let all = fold(fold(a, b ^ FOLD_KEYS[2]) ^ FOLD_KEYS[0], fold(c, d ^ FOLD_KEYS[1]) ^ FOLD_KEYS[3]);
        let all = fold_pair(all, &last);
        (all ^ all >> 32) as u32
    }
}

/// Records with shorter payloads than this have a folded checksum, others a CRC-32, whose instructions need long runs of
/// bytes to be fast.
pub(crate) const CRC_BYTES: usize = 1024;

/// The fractional parts of the square roots of 2, 3, 5 and 7, as in SHA-512; odd, so that no product loses bits.
const FOLD_KEYS: [u64; 4] =
    [0x6a09_e667_f3bc_c909, 0xbb67_ae85_84ca_a73b, 0x3c6e_f372_fe94_f82b, 0xa54f_f53a_5f1d_36f1];

/// Both halves of the product, XORed.
#[inline]
const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

/// Takes sixteen bytes into a sum.
#[inline]
fn fold_pair(sum: u64, pair: &[u8]) -> u64 {
    let (low, high) = pair.split_at_checked(8).unwrap_or_default();
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    fold(word(low) ^ FOLD_KEYS[0], word(high) ^ sum)
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
    /// Zero in a segment of the log, [`SLOT_BYTES`] in a file of held records.
    pub(crate) slot_bytes: u32,
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
        out.extend_from_slice(&self.slot_bytes.to_le_bytes());
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
        let slot_bytes = u32_at(68)?;
        if slot_bytes != 0 && slot_bytes as usize != SLOT_BYTES {
            return Err(HeaderFault::Corrupt);
        }
        Ok(Self {
            slot_bytes,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_moved_byte_changes_the_checksum() {
        let bytes: Vec<u8> = (0..200_u32).map(|index| (index * 37 % 251) as u8).collect();
        for length in (0..130).chain([199]) {
            let payload = &bytes[..length];
            let head = Head {
                payload_bytes: length as u32,
                crc: 0,
                marks: 0,
                kind: 2,
                flags: 3,
                appended_unix_nanos: 5,
            };
            let whole = head.checksum(payload);
            for bit in 0..8 * length {
                let mut damaged = payload.to_vec();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert_ne!(head.checksum(&damaged), whole, "bit {bit} of {length} bytes");
            }
            if length > 1 {
                let mut turned = payload.to_vec();
                turned.rotate_left(1);
                assert_ne!(head.checksum(&turned), whole);
                let mut zeroed = payload.to_vec();
                zeroed[length / 2..].fill(0);
                assert_ne!(head.checksum(&zeroed), whole);
            }
            for bit in 0..64 {
                let later = Head { appended_unix_nanos: head.appended_unix_nanos ^ 1 << bit, ..head };
                assert_ne!(later.checksum(payload), whole);
            }
            for other in [
                Head { payload_bytes: head.payload_bytes + 1, ..head },
                Head { kind: 1, ..head },
                Head { flags: 2, ..head },
            ] {
                assert_ne!(other.checksum(payload), whole);
            }
            assert_eq!(Head { marks: 1, ..head }.checksum(payload), whole, "marks change");
        }
    }
}
