//! Where strings end in JSON text, found 64 bytes at a time.
//!
//! Messages and arguments are mostly string, with a quote or a backslash every few dozen bytes. Looking for each of
//! them alone costs more than looking at all bytes at once: one bit for each byte says whether a quote stands there
//! that ends or begins a string. How backslashes are told apart from escaped ones is in Langdale and Lemire,
//! "Parsing gigabytes of JSON per second" (2019), section 3.1.1.

/// Bytes that are looked at together.
pub(crate) const BLOCK: usize = 64;

/// What stands in a block; the lowest bit is the first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Marks {
    quotes: u64,
    backslashes: u64,
}

/// Walks over text block by block.
#[derive(Clone, Debug)]
pub(crate) struct Blocks<'t> {
    text: &'t [u8],
    /// Where the block stands that was looked at.
    start: usize,
    /// Quotes that no backslash takes the meaning from.
    quotes: u64,
    /// Backslashes that take the meaning from the byte behind them.
    escapes: u64,
    /// Bytes that may always stand behind such a backslash, those of almost all escapes.
    plain: u64,
    /// 1 if the next block's first byte has lost its meaning.
    carry: u64,
}

impl<'t> Blocks<'t> {
    pub(crate) fn new(text: &'t [u8]) -> Self {
        let mut blocks = Self { text, start: 0, quotes: 0, escapes: 0, plain: 0, carry: 0 };
        blocks.look();
        blocks
    }

    /// Returns the position of the quote that ends the string whose content begins at `at`, and shows the escapes of
    /// the content by the positions of their backslashes; those of a quote or a backslash are right in any case, and
    /// may be left out. `None` if the string does not end, or if an escape is refused. Positions must not go back.
    #[inline]
    pub(crate) fn string_end(
        &mut self,
        at: usize,
        mut escape: impl FnMut(&'t [u8], usize) -> bool,
    ) -> Option<usize> {
        while at >= self.start + BLOCK {
            self.advance()?;
        }
        let mut content = u64::MAX << (at - self.start);
        loop {
            let quotes = self.quotes & content;
            // Everything before the first quote; all bits if there is none.
            let escapes = self.escapes & content & (quotes.wrapping_sub(1) & !quotes);
            // The byte behind the last one of the block is not known here.
            let mut escapes = escapes & !(self.plain >> 1);
            while escapes != 0 {
                if !escape(self.text, self.start + escapes.trailing_zeros() as usize) {
                    return None;
                }
                escapes &= escapes - 1;
            }
            if quotes != 0 {
                return Some(self.start + quotes.trailing_zeros() as usize);
            }
            self.advance()?;
            content = u64::MAX;
        }
    }

    fn advance(&mut self) -> Option<()> {
        self.start += BLOCK;
        if self.start >= self.text.len() {
            return None;
        }
        self.look();
        Some(())
    }

    #[inline]
    fn look(&mut self) {
        let rest = self.text.get(self.start..).unwrap_or_default();
        let marks = match rest.first_chunk::<BLOCK>() {
            Some(block) => marks(block),
            None => {
                let mut padded = [b' '; BLOCK];
                for (into, byte) in padded.iter_mut().zip(rest) {
                    *into = *byte;
                }
                marks(&padded)
            }
        };
        let (escaped, escapes) = self.escaped(marks.backslashes);
        self.quotes = marks.quotes & !escaped;
        self.escapes = escapes;
        self.plain = marks.quotes | marks.backslashes;
    }

    /// Returns which bytes have lost their meaning, and the backslashes that took it.
    #[inline]
    fn escaped(&mut self, backslashes: u64) -> (u64, u64) {
        const ODD: u64 = 0xAAAA_AAAA_AAAA_AAAA;
        if backslashes == 0 {
            return (std::mem::take(&mut self.carry), 0);
        }
        let candidates = backslashes & !self.carry;
        let behind_or_odd = candidates << 1 | ODD;
        let runs = behind_or_odd.wrapping_sub(candidates) ^ ODD;
        let escaped = runs ^ (backslashes | self.carry);
        let escapes = runs & backslashes;
        self.carry = escapes >> 63;
        (escaped, escapes)
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn marks(block: &[u8; BLOCK]) -> Marks {
    // SAFETY: sixteen-byte vectors (SSE2) are part of this architecture; every processor of it has them.
    #[expect(unsafe_code, reason = "the only way to ask for vectors")]
    unsafe {
        marks_by_vectors(block)
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn marks_by_vectors(block: &[u8; BLOCK]) -> Marks {
    use std::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8};
    let word = |bytes: &[u8]| match bytes.first_chunk::<8>() {
        Some(bytes) => i64::from_le_bytes(*bytes),
        None => 0,
    };
    let bits = |equal: __m128i| u64::from(_mm_movemask_epi8(equal) as u16);
    let mut marks = Marks::default();
    let (vectors, _) = block.as_chunks::<16>();
    for (index, bytes) in vectors.iter().enumerate() {
        let (low, high) = bytes.split_at(8);
        let vector = _mm_set_epi64x(word(high), word(low));
        let is = |byte: u8| bits(_mm_cmpeq_epi8(vector, _mm_set1_epi8(byte as i8)));
        marks.quotes |= is(b'"') << (16 * index);
        marks.backslashes |= is(b'\\') << (16 * index);
    }
    marks
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn marks(block: &[u8; BLOCK]) -> Marks {
    marks_by_bytes(block)
}

/// What [`marks`] must return, in the plainest way.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn marks_by_bytes(block: &[u8; BLOCK]) -> Marks {
    let mut marks = Marks::default();
    for (index, byte) in block.iter().enumerate() {
        marks.quotes |= u64::from(*byte == b'"') << index;
        marks.backslashes |= u64::from(*byte == b'\\') << index;
    }
    marks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same, one byte after the other.
    fn string_end(text: &[u8], mut at: usize) -> (Option<usize>, Vec<usize>) {
        let mut escapes = Vec::new();
        loop {
            match text.get(at) {
                None => return (None, escapes),
                Some(b'"') => return (Some(at), escapes),
                Some(b'\\') => {
                    escapes.push(at);
                    at += 2;
                }
                Some(_) => at += 1,
            }
        }
    }

    proptest! {
        #[test]
        fn marks_are_those_of_single_bytes(block in prop::collection::vec(any::<u8>(), BLOCK)) {
            let block: [u8; BLOCK] = block.try_into().unwrap();
            prop_assert_eq!(marks(&block), marks_by_bytes(&block));
        }

        #[test]
        fn strings_end_where_they_end(
            text in prop::collection::vec(prop_oneof![Just(b'"'), Just(b'\\'), Just(b'n'), Just(b'a')], 0..300),
        ) {
            let mut blocks = Blocks::new(&text);
            let mut at = 0;
            while at < text.len() {
                let (expected, expected_escapes) = string_end(&text, at);
                let mut escapes = Vec::new();
                let end = blocks.string_end(at, |_, escape| { escapes.push(escape); true });
                prop_assert_eq!(end, expected);
                let special = |at: &&usize| !matches!(text.get(**at + 1), Some(b'"' | b'\\'));
                let expected_escapes: Vec<usize> = expected_escapes.iter().filter(special).copied().collect();
                escapes.retain(|at| special(&at));
                prop_assert_eq!(escapes, expected_escapes);
                let Some(end) = end else { break };
                // Outside strings there are no backslashes in text that is read on.
                at = end + 1;
            }
        }
    }
}
