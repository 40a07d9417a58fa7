//! The filters of many blocks together, bit by bit.
//!
//! A search for a word asks three bits of each block's [filter](crate::block_filter); read one by one, the filters of a large
//! store are much to read, most of it for nothing. So the filters of [`BLOCKS`] blocks are turned by a right angle:
//! for each bit of a filter, one bit a block, side by side. What is read is a page for each bit that is asked about, for
//! all blocks of a group at once, and often the first few bits say that no block can hold the term.
//!
//! A row of `filter_slices` holds [`SLICE_BITS`] neighbouring bits of the filter, [`BIT_BYTES`] each: the lowest bit of the first
//! byte is the group's first block. Its key is the group's times 2^20, plus the number of the slice. The bits are those
//! of the bitmap of words, and after them those of the bitmap of runs, both as large as the largest of the group: a
//! smaller bitmap is the larger one folded, so that it is repeated. `filter_groups.blocks` has the keys of the blocks, 8 bytes each,
//! the lowest first.

use rusqlite::{Connection, OptionalExtension};

use crate::{
    block_filter::{Parts, TermBits},
    error::{EngineError, Result},
};

/// Blocks of a group.
pub(crate) const BLOCKS: usize = 128;
/// Bytes that one bit of the filters takes.
const BIT_BYTES: usize = BLOCKS / 8;
/// Bits of a slice; it fills a page of the file.
const SLICE_BITS: usize = 248;
/// Slices of a group at most.
const MAX_SLICES: i64 = 1 << 20;
/// Larger bitmaps are those of huge blocks, which would make a whole group large.
const MAX_LOG2: u8 = 17;
/// Bits that are asked of a term at most. Blocks that have so many of them have it most likely.
const MAX_ASKED: usize = 24;

/// Which blocks of a group are meant: a bit a block.
pub(crate) type Members = u128;

/// A group, as it is stored.
#[derive(Debug)]
pub(crate) struct FilterGroup {
    pub(crate) word_log2: u8,
    pub(crate) run_log2: u8,
    pub(crate) blocks: Vec<i64>,
}

/// Returns whether a filter can be part of a group.
pub(crate) fn takes(filter: &[u8]) -> bool {
    Parts::of(filter).is_some_and(|parts| parts.word_log2 <= MAX_LOG2 && parts.run_log2 <= MAX_LOG2)
}

/// Turns filters. Returns the group and its slices in order; `None` when they are too many or one does not fit.
pub(crate) fn turn<F: AsRef<[u8]>>(filters: &[(i64, F)]) -> Option<(FilterGroup, Vec<Vec<u8>>)> {
    let parts: Vec<Parts<'_>> = filters
        .iter()
        .map(|(_, filter)| Parts::of(filter.as_ref()).filter(|_| takes(filter.as_ref())))
        .collect::<Option<_>>()?;
    let word_log2 = parts.iter().map(|parts| parts.word_log2).max()?;
    let run_log2 = parts.iter().map(|parts| parts.run_log2).max()?;
    if parts.len() > BLOCKS {
        return None;
    }
    let mut turned = Vec::with_capacity(((1 << word_log2) + (1 << run_log2)) * BIT_BYTES);
    let words: Vec<&[u8]> = parts.iter().map(|parts| parts.words).collect();
    let runs: Vec<&[u8]> = parts.iter().map(|parts| parts.runs).collect();
    turn_bitmaps(&words, 1 << word_log2, &mut turned);
    turn_bitmaps(&runs, 1 << run_log2, &mut turned);
    let group = FilterGroup { word_log2, run_log2, blocks: filters.iter().map(|(key, _)| *key).collect() };
    Some((group, turned.chunks(SLICE_BITS * BIT_BYTES).map(<[u8]>::to_vec).collect()))
}

/// Adds the bits of bitmaps of at most `bits` bits, all of which are powers of two of at least 64.
fn turn_bitmaps(bitmaps: &[&[u8]], bits: usize, turned: &mut Vec<u8>) {
    for word in 0..bits / 64 {
        let mut halves = [[0_u64; 64]; 2];
        for (room, bitmap) in halves.iter_mut().flatten().zip(bitmaps) {
            let at = word * 8 % bitmap.len().max(1);
            let bytes = bitmap.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            *room = bytes.map_or(u64::MAX, u64::from_le_bytes);
        }
        for half in &mut halves {
            transpose(half);
        }
        let [low, high] = halves;
        for (low, high) in low.iter().zip(&high) {
            turned.extend(low.to_le_bytes());
            turned.extend(high.to_le_bytes());
        }
    }
}

/// Swaps rows and columns of a square of bits: the lowest bit of each row becomes the first row.
fn transpose(rows: &mut [u64; 64]) {
    let mut width = 32;
    let mut mask = u64::MAX >> 32;
    while width > 0 {
        for block in rows.chunks_exact_mut(width * 2) {
            let (upper, lower) = block.split_at_mut(width);
            for (upper, lower) in upper.iter_mut().zip(lower) {
                let swapped = ((*upper >> width) ^ *lower) & mask;
                *upper ^= swapped << width;
                *lower ^= swapped;
            }
        }
        width /= 2;
        mask ^= mask << width;
    }
}

/// Returns the key of a slice.
pub(crate) fn slice_key(group_key: i64, slice: usize) -> i64 {
    group_key.saturating_mul(MAX_SLICES).saturating_add(slice as i64)
}

/// Returns the keys that slices of a group can have, the last one exclusive.
pub(crate) fn slice_keys(group_key: i64) -> std::ops::Range<i64> {
    slice_key(group_key, 0)..slice_key(group_key.saturating_add(1), 0)
}

impl FilterGroup {
    /// Returns the blocks in the form in which they are stored.
    pub(crate) fn block_bytes(&self) -> Vec<u8> {
        self.blocks.iter().flat_map(|block| block.to_le_bytes()).collect()
    }

    /// Reads the blocks of a group from their stored form.
    pub(crate) fn blocks_of(bytes: &[u8]) -> Vec<i64> {
        bytes.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
    }

    /// Returns the blocks that may hold a term.
    fn holding(&self, term: &TermBits, mut bit: impl FnMut(usize) -> Result<Members>) -> Result<Members> {
        let mut members = Members::MAX;
        for at in term.bits(self.word_log2, self.run_log2).take(MAX_ASKED) {
            members &= bit(at)?;
            if members == 0 {
                break;
            }
        }
        Ok(members)
    }
}

/// Returns the highest key of a block that a group tells of.
pub(crate) fn latest_block(connection: &Connection) -> Result<i64> {
    let mut latest = 0;
    let mut groups = connection.prepare("SELECT blocks FROM filter_groups")?;
    let mut rows = groups.query([])?;
    while let Some(row) = rows.next()? {
        let blocks = FilterGroup::blocks_of(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?);
        latest = blocks.into_iter().fold(latest, i64::max);
    }
    Ok(latest)
}

/// Calls for every block of every group with the terms that it may hold, a bit a term.
pub(crate) fn each_block(
    connection: &Connection,
    terms: &[TermBits],
    mut each: impl FnMut(i64, u16),
) -> Result<()> {
    let mut groups =
        connection.prepare_cached("SELECT group_key, word_log2, run_log2, blocks FROM filter_groups")?;
    let mut slice = connection.prepare_cached("SELECT bits FROM filter_slices WHERE slice_key = ?1")?;
    let mut rows = groups.query([])?;
    while let Some(row) = rows.next()? {
        let group_key: i64 = row.get(0)?;
        let group = FilterGroup {
            word_log2: row.get(1)?,
            run_log2: row.get(2)?,
            blocks: FilterGroup::blocks_of(row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?),
        };
        let mut bit = |at: usize| -> Result<Members> {
            let key = slice_key(group_key, at / SLICE_BITS);
            let from = at % SLICE_BITS * BIT_BYTES;
            let found = slice.query_row([key], |row| {
                let bits = row.get_ref(0)?.as_blob()?.get(from..from + BIT_BYTES);
                Ok(bits.and_then(|bits| bits.try_into().ok()).map(Members::from_le_bytes))
            });
            let missing = || EngineError::damaged(format!("slice {key} of filters is not there"));
            found.optional()?.flatten().ok_or_else(missing)
        };
        let holding: Vec<Members> =
            terms.iter().map(|term| group.holding(term, &mut bit)).collect::<Result<_>>()?;
        for (place, block) in group.blocks.iter().enumerate() {
            let held =
                holding.iter().enumerate().filter(|(_, members)| **members >> (place % BLOCKS) & 1 != 0);
            each(*block, held.fold(0, |held, (term, _)| held | 1 << term));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// A filter of bitmaps of these sizes with some bits set.
    fn filter(word_log2: u8, run_log2: u8, set: &[usize]) -> Vec<u8> {
        let (words, runs) = (1_usize << word_log2, 1_usize << run_log2);
        let mut filter = vec![0; 3 + (words + runs) / 8];
        filter[..3].copy_from_slice(&[1, word_log2, run_log2]);
        for bit in set {
            let bit = bit % (words + runs);
            filter[3 + bit / 8] |= 1 << (bit % 8);
        }
        filter
    }

    proptest! {
        #[test]
        fn a_bit_of_a_group_is_the_bit_of_the_filter(
            filters in vec((6_u8..10, 6_u8..9, vec(any::<usize>(), 0..60)), 1..=BLOCKS),
        ) {
            let filters: Vec<(i64, Vec<u8>)> = filters
                .iter()
                .enumerate()
                .map(|(key, (words, runs, set))| (key as i64 + 7, filter(*words, *runs, set)))
                .collect();
            let (group, slices) = turn(&filters).unwrap();
            prop_assert_eq!(FilterGroup::blocks_of(&group.block_bytes()), group.blocks.clone());
            let turned = slices.concat();
            let words = 1 << group.word_log2;
            prop_assert_eq!(turned.len(), (words + (1 << group.run_log2)) * BIT_BYTES);
            prop_assert!(slices.iter().all(|slice| slice.len() <= 4000));
            for (at, bytes) in turned.chunks(BIT_BYTES).enumerate() {
                let members = Members::from_le_bytes(bytes.try_into().unwrap());
                for (place, (_, filter)) in filters.iter().enumerate() {
                    let parts = Parts::of(filter).unwrap();
                    let (bitmap, bit) = if at < words { (parts.words, at) } else { (parts.runs, at - words) };
                    let bit = bit % (bitmap.len() * 8);
                    let is_set = bitmap[bit / 8] & (1 << (bit % 8)) != 0;
                    prop_assert_eq!(members >> place & 1 != 0, is_set);
                }
            }
        }
    }

    #[test]
    fn filters_that_do_not_fit_make_no_group() {
        let usual = filter(8, 8, &[]);
        assert!(takes(&usual));
        assert!(!takes(&filter(MAX_LOG2 + 1, 8, &[])));
        assert!(!takes(b"another format"));
        assert!(turn(&vec![(1, usual.clone()); BLOCKS]).is_some());
        assert!(turn(&vec![(1, usual); BLOCKS + 1]).is_none());
        assert!(turn::<Vec<u8>>(&[]).is_none());
    }
}
