//! Where strings end in JSON text, and whether control characters stand in it, found 64 bytes at a time.
//!
//! Messages and arguments are mostly string, with a quote or a backslash every few dozen bytes. Looking for each of
//! them alone costs more than looking at all bytes at once: one bit for each byte says whether a quote stands there
//! that ends or begins a string. How backslashes are told apart from escaped ones is in Langdale and Lemire,
//! "Parsing gigabytes of JSON per second" (2019), section 3.1.1.

/// Bytes that one mark word stands for.
pub(crate) const BLOCK: usize = 64;

/// Blocks that are looked at in one go, so that asking for the processor's vectors costs little.
const BATCH: usize = 16;

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
    /// What was looked at ahead.
    batch: [Marks; BATCH],
    /// Whether a control character stands in what was looked at.
    control: bool,
    /// Where the block ends that is walked over; 0 before the first.
    end: usize,
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
    pub(crate) const fn new(text: &'t [u8]) -> Self {
        const NOTHING: Marks = Marks { quotes: 0, backslashes: 0 };
        Self {
            text,
            batch: [NOTHING; BATCH],
            control: false,
            end: 0,
            quotes: 0,
            escapes: 0,
            plain: 0,
            carry: 0,
        }
    }

    /// Returns whether a control character stands anywhere in the strings that were passed, or near them.
    pub(crate) const fn met_control(&self) -> bool {
        self.control
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
        while at >= self.end {
            self.advance()?;
        }
        let mut content = u64::MAX << (at % BLOCK);
        loop {
            let start = self.end - BLOCK;
            let quotes = self.quotes & content;
            // Everything before the first quote; all bits if there is none.
            let escapes = self.escapes & content & (quotes.wrapping_sub(1) & !quotes);
            // The byte behind the last one of the block is not known here.
            let mut escapes = escapes & !(self.plain >> 1);
            while escapes != 0 {
                if !escape(self.text, start + escapes.trailing_zeros() as usize) {
                    return None;
                }
                escapes &= escapes - 1;
            }
            if quotes != 0 {
                return Some(start + quotes.trailing_zeros() as usize);
            }
            self.advance()?;
            content = u64::MAX;
        }
    }

    /// Goes to the next block.
    #[inline]
    fn advance(&mut self) -> Option<()> {
        if self.end >= self.text.len() {
            return None;
        }
        let place = self.end / BLOCK % BATCH;
        if place == 0 {
            self.look_ahead();
        }
        self.end += BLOCK;
        let marks = self.batch.get(place).copied().unwrap_or_default();
        let (escaped, escapes) = self.escaped(marks.backslashes);
        self.quotes = marks.quotes & !escaped;
        self.escapes = escapes;
        self.plain = marks.quotes | marks.backslashes;
        Some(())
    }

    #[inline(never)]
    fn look_ahead(&mut self) {
        let rest = self.text.get(self.end..).unwrap_or_default();
        self.control |= look_at(rest, &mut self.batch);
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

/// Marks the blocks at the start of the text, and returns whether a control character stands in them.
fn look_at(text: &[u8], batch: &mut [Marks; BATCH]) -> bool {
    let (blocks, tail) = text.as_chunks::<BLOCK>();
    if let Some(blocks) = blocks.first_chunk::<BATCH>() {
        return mark(blocks, batch);
    }
    let mut last = [b' '; BLOCK];
    for (into, byte) in last.iter_mut().zip(tail) {
        *into = *byte;
    }
    let (whole, behind) = batch.split_at_mut_checked(blocks.len()).unwrap_or_default();
    let control = mark(blocks, whole);
    control | mark(&[last], behind.get_mut(..1).unwrap_or_default())
}

/// Marks each block, and returns whether a control character stands in one.
#[cfg(target_arch = "x86_64")]
fn mark(blocks: &[[u8; BLOCK]], into: &mut [Marks]) -> bool {
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has just said that it has these vectors.
        #[expect(unsafe_code, reason = "the only way to ask for longer vectors than all processors have")]
        return unsafe { mark_by_avx2(blocks, into) };
    }
    // SAFETY: sixteen-byte vectors (SSE2) are part of this architecture; every processor of it has them.
    #[expect(unsafe_code, reason = "the only way to ask for vectors")]
    unsafe {
        mark_by_sse2(blocks, into)
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn mark_by_avx2(blocks: &[[u8; BLOCK]], into: &mut [Marks]) -> bool {
    use std::arch::x86_64::{
        __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_min_epu8, _mm256_movemask_epi8,
        _mm256_set1_epi8,
    };
    let vector = |bytes: &[u8; 32]| -> __m256i {
        // SAFETY: the reference is to 32 readable bytes, and this load asks for no alignment.
        #[expect(unsafe_code, reason = "the plain way to load a vector")]
        unsafe {
            _mm256_loadu_si256(bytes.as_ptr().cast())
        }
    };
    let bits = |equal: __m256i| u64::from(_mm256_movemask_epi8(equal) as u32);
    let both = |low: u64, high: u64| low | high << 32;
    let (quote, backslash) = (_mm256_set1_epi8(b'"' as i8), _mm256_set1_epi8(b'\\' as i8));
    let mut least = _mm256_set1_epi8(b' ' as i8);
    for (block, marks) in blocks.iter().zip(into) {
        let ([low, high], _) = block.as_chunks::<32>() else { continue };
        let (low, high) = (vector(low), vector(high));
        let is =
            |byte: __m256i| both(bits(_mm256_cmpeq_epi8(low, byte)), bits(_mm256_cmpeq_epi8(high, byte)));
        *marks = Marks { quotes: is(quote), backslashes: is(backslash) };
        least = _mm256_min_epu8(least, _mm256_min_epu8(low, high));
    }
    // Where nothing was smaller than a space, the spaces are still all there.
    bits(_mm256_cmpeq_epi8(least, _mm256_set1_epi8(b' ' as i8))) != u64::from(u32::MAX)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
fn mark_by_sse2(blocks: &[[u8; BLOCK]], into: &mut [Marks]) -> bool {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_set1_epi8,
    };
    let vector = |bytes: &[u8; 16]| -> __m128i {
        // SAFETY: the reference is to 16 readable bytes, and this load asks for no alignment.
        #[expect(unsafe_code, reason = "the plain way to load a vector")]
        unsafe {
            _mm_loadu_si128(bytes.as_ptr().cast())
        }
    };
    let bits = |equal: __m128i| u64::from(_mm_movemask_epi8(equal) as u16);
    let (quote, backslash) = (_mm_set1_epi8(b'"' as i8), _mm_set1_epi8(b'\\' as i8));
    let mut least = _mm_set1_epi8(b' ' as i8);
    for (block, marks) in blocks.iter().zip(into) {
        *marks = Marks::default();
        let (parts, _) = block.as_chunks::<16>();
        for (index, part) in parts.iter().enumerate() {
            let part = vector(part);
            marks.quotes |= bits(_mm_cmpeq_epi8(part, quote)) << (16 * index);
            marks.backslashes |= bits(_mm_cmpeq_epi8(part, backslash)) << (16 * index);
            least = _mm_min_epu8(least, part);
        }
    }
    bits(_mm_cmpeq_epi8(least, _mm_set1_epi8(b' ' as i8))) != u64::from(u16::MAX)
}

#[cfg(not(target_arch = "x86_64"))]
fn mark(blocks: &[[u8; BLOCK]], into: &mut [Marks]) -> bool {
    mark_by_bytes(blocks, into)
}

/// What [`mark`] must do, in the plainest way.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn mark_by_bytes(blocks: &[[u8; BLOCK]], into: &mut [Marks]) -> bool {
    let mut least = b' ';
    for (block, marks) in blocks.iter().zip(into) {
        *marks = Marks::default();
        for (index, byte) in block.iter().enumerate() {
            marks.quotes |= u64::from(*byte == b'"') << index;
            marks.backslashes |= u64::from(*byte == b'\\') << index;
        }
        least = block.iter().fold(least, |least, byte| least.min(*byte));
    }
    least < b' '
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
        fn marks_are_those_of_single_bytes(
            bytes in prop::collection::vec(prop_oneof![Just(b'"'), Just(b'\\'), any::<u8>(), b' '..], 2 * BLOCK),
        ) {
            let (blocks, _) = bytes.as_chunks::<BLOCK>();
            let (mut found, mut expected) = ([Marks::default(); 2], [Marks::default(); 2]);
            let control = mark(blocks, &mut found);
            prop_assert_eq!(control, mark_by_bytes(blocks, &mut expected));
            prop_assert_eq!(control, bytes.iter().any(|byte| *byte < b' '));
            prop_assert_eq!(found, expected);
            #[cfg(target_arch = "x86_64")]
            {
                let mut found = [Marks::default(); 2];
                // SAFETY: every processor of this architecture has these vectors.
                #[expect(unsafe_code, reason = "the only way to ask for vectors")]
                let control_too = unsafe { mark_by_sse2(blocks, &mut found) };
                prop_assert_eq!((control_too, found), (control, expected));
            }
        }

        #[test]
        fn strings_end_where_they_end(
            text in prop::collection::vec(prop_oneof![Just(b'"'), Just(b'\\'), Just(b'n'), Just(b'a')], 0..2_500),
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
