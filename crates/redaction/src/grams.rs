//! Finds, in one pass, the places of a text where one of many short texts may stand.
//!
//! Every text looked for is at least four bytes long, so of any two neighbouring positions one begins three
//! of its bytes: the pass looks up three bytes at every other position in a bitmap that fits the
//! first-level cache, and only where that hits the four bytes at the two places in question.

/// Bits of the map of three bytes: 8 kB.
const THREE_BITS: u32 = 16;
/// Bits of the map of four bytes: 16 kB.
const FOUR_BITS: u32 = 17;
/// Entries of the index into the patterns.
const INDEX_BITS: u32 = 10;
/// Makes ASCII letters lower case, and other bytes something definite.
const FOLD: u32 = 0x2020_2020;
/// 2^32 divided by the golden ratio: Fibonacci hashing takes the high bits of a product with it.
const GOLDEN: u32 = 0x9E37_79B9;

/// Four bytes with letters folded to lower case.
pub(crate) type Gram = u32;

/// Returns the gram of four bytes.
pub(crate) const fn gram(bytes: [u8; 4]) -> Gram {
    u32::from_le_bytes(bytes) | FOLD
}

#[inline]
const fn hash(value: u32, bits: u32) -> usize {
    (value.wrapping_mul(GOLDEN) >> (32 - bits)) as usize
}

#[inline]
const fn three(word: u32) -> usize {
    hash((word | FOLD) << 8, THREE_BITS)
}

/// A set of grams, and which patterns each one belongs to.
pub(crate) struct Grams {
    threes: Box<[u64; 1 << (THREE_BITS - 6)]>,
    fours: Box<[u64; 1 << (FOUR_BITS - 6)]>,
    /// Sorted by hash.
    patterns: Vec<(Gram, u16)>,
    /// Where the patterns of each hash begin.
    index: Vec<u32>,
}

impl Grams {
    pub(crate) fn new(mut patterns: Vec<(Gram, u16)>) -> Self {
        patterns.sort_unstable_by_key(|(gram, pattern)| (hash(*gram, 32), *pattern));
        patterns.dedup();
        let mut threes = Box::new([0_u64; 1 << (THREE_BITS - 6)]);
        let mut fours = Box::new([0_u64; 1 << (FOUR_BITS - 6)]);
        let set = |map: &mut [u64], slot: usize| {
            if let Some(word) = map.get_mut(slot / 64) {
                *word |= 1 << (slot % 64);
            }
        };
        for (gram, _) in &patterns {
            set(&mut *threes, three(*gram));
            set(&mut *threes, three(*gram >> 8));
            set(&mut *fours, hash(*gram, FOUR_BITS));
        }
        let index = (0..=1 << INDEX_BITS)
            .map(|entry: usize| patterns.partition_point(|(gram, _)| hash(*gram, INDEX_BITS) < entry) as u32)
            .collect();
        Self { threes, fours, patterns, index }
    }

    #[inline]
    fn has_three(&self, word: u32) -> bool {
        let slot = three(word);
        self.threes.get(slot / 64).is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }

    fn has_four(&self, text: &[u8], at: usize) -> bool {
        text.get(at..).and_then(|rest| rest.first_chunk::<4>()).is_some_and(|bytes| {
            let slot = hash(gram(*bytes), FOUR_BITS);
            self.fours.get(slot / 64).is_some_and(|word| word >> (slot % 64) & 1 == 1)
        })
    }

    /// Returns the next position from `from` on whose four bytes may be a gram.
    pub(crate) fn next(&self, text: &[u8], from: usize) -> Option<usize> {
        let mut at = from;
        while let Some(chunk) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            let word = u64::from_le_bytes(*chunk);
            let hits = [0, 2, 4].map(|offset| self.has_three((word >> (offset * 8)) as u32));
            if hits != [false; 3] {
                for (offset, hit) in [0, 2, 4].into_iter().zip(hits) {
                    let position = at + offset;
                    if hit && position > from && self.has_four(text, position - 1) {
                        return Some(position - 1);
                    }
                    if hit && self.has_four(text, position) {
                        return Some(position);
                    }
                }
            }
            at += 6;
        }
        // A gram may begin one byte before the last place looked at.
        (at.saturating_sub(1).max(from)..text.len()).find(|position| self.has_four(text, *position))
    }

    /// Returns the patterns that the four bytes at `at` are a gram of.
    pub(crate) fn patterns_at<'a>(&'a self, text: &[u8], at: usize) -> impl Iterator<Item = u16> + use<'a> {
        let found = text
            .get(at..)
            .and_then(|rest| rest.first_chunk::<4>())
            .map(|bytes| gram(*bytes))
            .unwrap_or_default();
        let entry = hash(found, INDEX_BITS);
        let bound = |entry: usize| self.index.get(entry).copied().unwrap_or_default() as usize;
        let candidates = self.patterns.get(bound(entry)..bound(entry + 1)).unwrap_or_default();
        candidates.iter().filter(move |(gram, _)| *gram == found).map(|(_, pattern)| *pattern)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Grams, gram};

    proptest! {
        #[test]
        fn no_place_is_missed(text in "[a-dA-D\"]{0,60}", from in 0..60_usize) {
            let looked_for = [*b"abca", *b"ddcb", *b"\"aaa"].map(gram);
            let grams = Grams::new(looked_for.iter().zip(0..).map(|(gram, index)| (*gram, index)).collect());
            let mut found = Vec::new();
            let mut at = from;
            while let Some(position) = grams.next(text.as_bytes(), at) {
                prop_assert!(position >= at);
                found.extend(grams.patterns_at(text.as_bytes(), position).map(|pattern| (position, pattern)));
                at = position + 1;
            }
            let expected: Vec<_> = text
                .as_bytes()
                .windows(4)
                .enumerate()
                .skip(from)
                .filter_map(|(position, window)| {
                    let here = gram(window.try_into().unwrap());
                    Some((position, looked_for.iter().position(|gram| *gram == here)? as u16))
                })
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}
