//! What words, and what runs of three bytes, the searched texts of a block hold.
//!
//! A search for text reads these filters instead of the blocks that they tell it to pass over. Both are bitmaps of hashes
//! over the text as it is searched (escapes resolved, case folded: [`endspan_store::text::searched`]): a word sets three
//! bits, a run of three bytes one. What was put in is always found; other things are found with the chance that their bits
//! are set, which a bound on the share of set bits keeps small.
//!
//! ```text
//! format           1 byte, 1
//! words            1 byte, log2 of the bits of the bitmap of words
//! runs             1 byte, log2 of the bits of the bitmap of runs
//! bitmap of words  bytes, the lowest bit first
//! bitmap of runs   bytes, likewise
//! ```
//!
//! Word: the sum of its bytes times powers of 257, the last byte times 1, multiplied by [`MIX`] and xored with itself shifted
//! right by 29; its three bits are at the bits from 0, 21 and 42 on. Run: the bytes as a number, the first one highest,
//! multiplied by [`MIX`], from bit 40 on. All modulo the size of the bitmap; sums and products modulo 2^64.

use endspan_store::{
    engine::block::{DamagedBlock, records},
    text::{Term, TermForm, searched},
};

const FORMAT: u8 = 1;
const HEAD_BYTES: usize = 3;
/// Bits of the bitmaps before they are folded, for a block of the usual size.
const WORD_BITS: u32 = 17;
const RUN_BITS: u32 = 16;
/// Bits of the largest bitmaps, for a huge block.
const MAX_BITS: u32 = 21;
/// A bitmap is folded to half while at most this share of it is set, in hundredths.
const FULL_PERCENT: usize = 33;
/// Content for which the bitmaps above are meant.
const USUAL_BYTES: usize = 1 << 20;
/// 2^64 divided by the golden ratio.
const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

/// A bitmap of a power of two of bits.
struct Bits {
    words: Vec<u64>,
    mask: u64,
}

impl Bits {
    fn new(log2: u32) -> Self {
        let bits = 1_usize << log2.max(6);
        Self { words: vec![0; bits / 64], mask: bits as u64 - 1 }
    }

    fn set(&mut self, hash: u64) {
        let bit = hash & self.mask;
        if let Some(word) = self.words.get_mut((bit / 64) as usize) {
            *word |= 1 << (bit % 64);
        }
    }

    /// Halves the bitmap as long as it stays sparse, and returns log2 of its bits.
    fn fold(&mut self) -> u8 {
        while self.words.len() > 1 {
            let (low, high) = self.words.split_at(self.words.len() / 2);
            let half: Vec<u64> = low.iter().zip(high).map(|(low, high)| low | high).collect();
            let set: usize = half.iter().map(|word| word.count_ones() as usize).sum();
            if set * 100 > half.len() * 64 * FULL_PERCENT {
                break;
            }
            self.words = half;
        }
        (self.words.len() * 64).trailing_zeros() as u8
    }
}

/// Adds a byte to the sum of a word.
const fn extended(sum: u64, byte: u8) -> u64 {
    (sum << 8).wrapping_add(sum).wrapping_add(byte as u64)
}

fn word_sum(word: &[u8]) -> u64 {
    word.iter().fold(0, |sum, byte| extended(sum, *byte))
}

fn word_bits(sum: u64) -> [u64; 3] {
    let mixed = sum.wrapping_mul(MIX);
    let mixed = mixed ^ (mixed >> 29);
    [mixed, mixed >> 21, mixed >> 42]
}

fn run_bit(run: u32) -> u64 {
    u64::from(run).wrapping_mul(MIX) >> 40
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii()
}

/// Returns the filter of a block's content.
pub(crate) fn build(block_key: i64, content: &[u8]) -> Result<Vec<u8>, DamagedBlock> {
    build_passing_over(block_key, content, repeated)
}

/// Does so with `repeated` to say how much of a text another has said before.
fn build_passing_over(
    block_key: i64,
    content: &[u8],
    repeated: impl Fn(&[u8], &[u8]) -> usize,
) -> Result<Vec<u8>, DamagedBlock> {
    let larger = (content.len() / USUAL_BYTES).checked_ilog2().map_or(0, |log2| log2 + 1);
    let mut words = Bits::new((WORD_BITS + larger).min(MAX_BITS));
    let mut runs = Flags::new((RUN_BITS + larger).min(MAX_BITS));
    let mut recent: [[&[u8]; RECENT]; 3] = [[&[]; RECENT]; 3];
    for (number, record) in records(block_key, content).enumerate() {
        let (_, record) = record?;
        for (whole, recent) in record.searched().into_iter().zip(&mut recent) {
            let repeated = recent.iter().map(|before| repeated(before, whole)).max().unwrap_or(0);
            let text = whole.get(repeated..).unwrap_or_default();
            if let Some(oldest) = recent.get_mut(number % RECENT) {
                *oldest = whole;
            }
            // Text of ASCII without escapes needs no more than lower case, which is seen to byte by byte.
            if text.is_ascii() && memchr::memchr(b'\\', text).is_none() {
                add(text, &mut words, &mut runs);
            } else {
                let text = searched(std::str::from_utf8(text).unwrap_or_default());
                add(text.as_bytes(), &mut words, &mut runs);
            }
        }
    }
    let mut runs = runs.pack();
    let (word_log2, run_log2) = (words.fold(), runs.fold());
    let mut filter = Vec::with_capacity(HEAD_BYTES + (words.words.len() + runs.words.len()) * 8);
    filter.extend([FORMAT, word_log2, run_log2]);
    for word in words.words.iter().chain(&runs.words) {
        filter.extend(word.to_le_bytes());
    }
    Ok(filter)
}

/// What a text must share with another beyond a place for the first two bytes from there on, as they are searched, to be
/// shared as well: a space, and the longest escape, of a character that is written as two.
const BEYOND: usize = 16;

/// Returns how many bytes at the beginning of a text need not be looked at, since another text began with them: agents send
/// the same conversation again and again. What is left begins with a space, at which words end and which is never within
/// an escape.
fn repeated(before: &[u8], text: &[u8]) -> usize {
    let chunks = before.chunks_exact(CHUNK).zip(text.chunks_exact(CHUNK));
    let same = chunks.take_while(|(before, text)| before == text).count() * CHUNK;
    let shared = text.get(..same.saturating_sub(BEYOND)).unwrap_or_default();
    memchr::memrchr(b' ', shared).unwrap_or(0)
}

/// Records before one whose texts it may begin with: other spans stand between two calls of a model.
const RECENT: usize = 4;

/// Bytes that are compared at once.
const CHUNK: usize = 64;

/// A bitmap with a byte a bit: setting one is a store and nothing else.
struct Flags {
    flags: Vec<u8>,
    mask: u64,
}

impl Flags {
    fn new(log2: u32) -> Self {
        let bits = 1_usize << log2.max(6);
        Self { flags: vec![0; bits], mask: bits as u64 - 1 }
    }

    fn set(&mut self, hash: u64) {
        if let Some(flag) = self.flags.get_mut((hash & self.mask) as usize) {
            *flag = 1;
        }
    }

    fn pack(&self) -> Bits {
        let pack = |flags: &[u8]| flags.iter().rev().fold(0, |word, flag| word << 1 | u64::from(*flag));
        Bits { words: self.flags.chunks(64).map(pack).collect(), mask: self.mask }
    }
}

/// For each byte its lower case, and whether it is part of a word.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which would say so")]
const BYTES: [(u8, bool); 256] = {
    let mut bytes = [(0, false); 256];
    let mut byte = 0;
    while byte < 256 {
        bytes[byte] = ((byte as u8).to_ascii_lowercase(), is_word(byte as u8));
        byte += 1;
    }
    bytes
};

fn add(text: &[u8], words: &mut Bits, runs: &mut Flags) {
    let (mut sum, mut run, mut in_word) = (0_u64, 0_u32, false);
    for (at, byte) in text.iter().enumerate() {
        let Some((byte, is_word)) = BYTES.get(usize::from(*byte)).copied() else { continue };
        run = (run << 8 | u32::from(byte)) & 0xff_ffff;
        if at >= 2 {
            runs.set(run_bit(run));
        }
        if is_word {
            sum = extended(sum, byte);
            in_word = true;
        } else if in_word {
            word_bits(sum).into_iter().for_each(|bit| words.set(bit));
            (sum, in_word) = (0, false);
        }
    }
    if in_word {
        word_bits(sum).into_iter().for_each(|bit| words.set(bit));
    }
}

/// What a filter must hold for a block to hold a term.
#[derive(Debug)]
pub(crate) struct TermBits {
    words: Vec<[u64; 3]>,
    runs: Vec<u64>,
}

impl TermBits {
    pub(crate) fn new(term: &Term) -> Self {
        match term.form() {
            TermForm::Words(words) => {
                let words = words.iter().map(|word| word_bits(word_sum(word.as_bytes()))).collect();
                Self { words, runs: Vec::new() }
            }
            TermForm::Substring(text) => {
                // The first and the last word of it may be parts of longer ones.
                let mut words: Vec<&[u8]> = text.as_bytes().split(|byte| !is_word(*byte)).collect();
                words.pop();
                let words = words.into_iter().skip(1).filter(|word| !word.is_empty());
                let run = |run: &[u8]| run_bit(run.iter().fold(0, |run, byte| run << 8 | u32::from(*byte)));
                Self {
                    words: words.map(|word| word_bits(word_sum(word))).collect(),
                    runs: text.as_bytes().windows(3).map(run).collect(),
                }
            }
        }
    }

    /// Returns whether the block of a filter may hold the term. A filter of another format tells nothing.
    pub(crate) fn may_be_in(&self, filter: &[u8]) -> bool {
        let Some(parts) = Parts::of(filter) else { return true };
        let is_set = |bits: &[u8], hash: u64| {
            let bit = hash as usize & (bits.len() * 8 - 1);
            bits.get(bit / 8).is_some_and(|byte| byte & (1 << (bit % 8)) != 0)
        };
        self.words.iter().flatten().all(|bit| is_set(parts.words, *bit))
            && self.runs.iter().all(|bit| is_set(parts.runs, *bit))
    }

    /// Returns the places of the bits that must be set, in bitmaps of words and of runs that stand one behind the other.
    pub(crate) fn bits(&self, word_log2: u8, run_log2: u8) -> impl Iterator<Item = usize> {
        let bits = |log2: u8| 1_usize << (log2 & 63);
        let (words, runs) = (bits(word_log2), bits(run_log2));
        let in_words = self.words.iter().flatten().map(move |hash| *hash as usize & (words - 1));
        in_words.chain(self.runs.iter().map(move |hash| words + (*hash as usize & (runs - 1))))
    }
}

/// The bitmaps of a filter.
pub(crate) struct Parts<'a> {
    pub(crate) word_log2: u8,
    pub(crate) run_log2: u8,
    pub(crate) words: &'a [u8],
    pub(crate) runs: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Takes a filter apart; `None` when it has another format.
    pub(crate) fn of(filter: &'a [u8]) -> Option<Self> {
        let ([FORMAT, word_log2, run_log2], bits) = filter.split_first_chunk::<HEAD_BYTES>()? else {
            return None;
        };
        let bytes = |log2: u8| 1_usize.checked_shl(u32::from(log2).checked_sub(3)?);
        let (words, runs) = bits.split_at_checked(bytes(*word_log2)?)?;
        (bytes(*run_log2)? == runs.len()).then_some(Self {
            word_log2: *word_log2,
            run_log2: *run_log2,
            words,
            runs,
        })
    }
}

#[cfg(test)]
mod tests {
    use endspan_model::{Payload, Span, Timestamp};
    use endspan_store::{engine::block::BlockBuilder, text::TextQuery};
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn filter(texts: &[String]) -> (Vec<Span>, Vec<u8>) {
        let spans: Vec<Span> = texts
            .iter()
            .map(|text| Span {
                input: Some(Payload::from_value(&serde_json::json!({ "text": text })).unwrap()),
                ..Span::new("t", "s", "", Timestamp::MIN)
            })
            .collect();
        let mut builder = BlockBuilder::default();
        for (sequence, span) in (1..).zip(&spans) {
            builder.push(sequence, span);
        }
        (spans, build(1, builder.content()).unwrap())
    }

    proptest! {
        #[test]
        fn what_is_there_is_found(texts in vec("(\\PC|[a-c \n\"-]){0,40}", 1..6), from in 0_usize..40, length in 2_usize..12) {
            let (spans, filter) = filter(&texts);
            for text in &texts {
                let part: String = text.chars().skip(from % text.chars().count().max(1)).take(length).collect();
                let Ok(query) = TextQuery::parse(&[&part]) else { continue };
                if spans.iter().any(|span| query.matches(span)) {
                    for term in query.terms() {
                        prop_assert!(TermBits::new(term).may_be_in(&filter), "{term:?}");
                    }
                }
            }
        }

        #[test]
        fn what_is_passed_over_was_there_before(
            parts in vec("(\\PC|[ab \"\\\\\n]|\u{1F600}|é){0,60}", 1..5),
            ends in vec("[a-c \n]{0,20}", 2..9),
        ) {
            let mut builder = BlockBuilder::default();
            for (number, end) in ends.iter().enumerate() {
                let text = parts.concat().repeat(3) + end;
                let text = if number % 3 == 1 { end.clone() } else { text };
                let input = Some(Payload::from_value(&serde_json::json!({ "text": text })).unwrap());
                builder.push(1, &Span { input, ..Span::new("t", "s", "", Timestamp::MIN) });
            }
            let whole = build_passing_over(1, builder.content(), |_, _| 0).unwrap();
            prop_assert_eq!(build(1, builder.content()).unwrap(), whole);
        }

        #[test]
        fn any_bytes_are_a_filter(filter in vec(any::<u8>(), 0..40)) {
            let query = TextQuery::parse(&["some words", "a/b-c"]).unwrap();
            for term in query.terms() {
                let _ = TermBits::new(term).may_be_in(&filter);
            }
        }
    }

    #[test]
    fn what_is_not_there_is_seldom_found() {
        let texts: Vec<String> =
            (0..3000).map(|number| format!("word{number} and text-{number}/x")).collect();
        let (_, filter) = filter(&texts);
        let found = |term: &dyn Fn(u32) -> String| {
            let terms = (0..1000).map(|number| TextQuery::parse(&[term(number)]).unwrap());
            terms.filter(|query| TermBits::new(&query.terms()[0]).may_be_in(&filter)).count()
        };
        assert!(found(&|number| format!("other{number}")) < 60);
        assert!(found(&|number| format!("quux{number}, ")) < 60);
        assert_eq!(found(&|number| format!("word{number} and")), 1000);
        assert!(filter.len() < 20_000, "{} bytes", filter.len());
    }
}
