//! Looks for terms in whole blocks, on more than one core.
//!
//! The reader fetches frames; whoever is free, it or a helper, decompresses one into room that is used again, walks the
//! records that are asked for, and looks in their bytes for letters of each term before it resolves escapes and folds
//! case. What is found here has been looked at as [`endspan_store::text`] says.

use std::{collections::HashMap, time::Instant};

use endspan_store::{
    engine::block::{Decompressor, records},
    text::{Term, searched},
};
use parking_lot::{Condvar, Mutex};

use crate::{
    error::{EngineError, Result},
    readers::Reading,
};

/// Blocks from which on a helper is worth its start.
const MIN_BLOCKS: usize = 6;
/// Frames that wait for a helper.
const MAX_WAITING: usize = 4;
/// Most helpers.
const MAX_HELPERS: usize = 3;

/// The rows of a block that are asked for, by sequence, each with the terms that its name holds: a bit a term.
pub(crate) type Wanted = HashMap<i64, u16>;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Hits {
    /// Rows that hold all terms, and rows that were not where they were expected, which must be looked at one by one.
    pub(crate) sequences: Vec<i64>,
    /// How many of the blocks were looked through, from the first on.
    pub(crate) blocks: usize,
}

/// Terms, prepared for looking in bytes.
pub(crate) struct Needles<'q> {
    terms: &'q [Term],
    anchors: Vec<Option<Anchor>>,
    all: u16,
}

impl<'q> Needles<'q> {
    pub(crate) fn new(terms: &'q [Term]) -> Self {
        let anchors = terms.iter().map(|term| term.anchor().map(Anchor::new)).collect();
        Self { terms, anchors, all: all_terms(terms.len()) }
    }

    /// Returns the terms that a name holds.
    pub(crate) fn of_name(&self, name: &str) -> u16 {
        let held = self.terms.iter().enumerate().filter(|(_, term)| term.is_in_name(name));
        held.fold(0, |held, (bit, _)| held | 1 << bit)
    }

    /// Returns whether texts hold every term that is not in the given ones.
    fn are_in(&self, texts: [&[u8]; 3], given: u16) -> bool {
        let missing =
            || self.terms.iter().zip(&self.anchors).enumerate().filter(|(bit, _)| given & (1 << bit) == 0);
        let may_hold = |anchor: &Option<Anchor>| {
            anchor.as_ref().is_none_or(|anchor| {
                texts.iter().any(|text| anchor.is_in(text)) || texts.iter().any(|text| escapes_letters(text))
            })
        };
        if !missing().all(|(_, (_, anchor))| may_hold(anchor)) {
            return false;
        }
        let texts = texts.map(|text| std::str::from_utf8(text).unwrap_or_default());
        let texts = texts.map(searched);
        missing().all(|(_, (term, _))| texts.iter().any(|text| term.is_in_folded(text)))
    }
}

/// Returns a bit for each of so many terms.
pub(crate) fn all_terms(terms: usize) -> u16 {
    ((1_u32 << terms.min(16)) - 1) as u16
}

/// Letters and digits to look for, whatever their case.
struct Anchor {
    lower: Vec<u8>,
    /// Where the letter is that is the rarest in most texts, and its two forms.
    rare: usize,
    forms: (u8, u8),
}

/// Letters and digits, from rare to frequent in the payloads of agents.
const BY_FREQUENCY: &[u8] = b"zqxjkvwybg7983456fpm210uhdclnrsiaote";

impl Anchor {
    fn new(anchor: &str) -> Self {
        let lower = anchor.to_ascii_lowercase().into_bytes();
        let rank = |byte: &u8| BY_FREQUENCY.iter().position(|known| known == byte).unwrap_or(0);
        let rare = lower.iter().enumerate().min_by_key(|(_, byte)| rank(byte)).map_or(0, |(at, _)| at);
        let letter = lower.get(rare).copied().unwrap_or_default();
        Self { rare, forms: (letter, letter.to_ascii_uppercase()), lower }
    }

    fn is_in(&self, text: &[u8]) -> bool {
        let fits = |at: usize| {
            let part = at.checked_sub(self.rare).and_then(|from| text.get(from..from + self.lower.len()));
            part.is_some_and(|part| part.eq_ignore_ascii_case(&self.lower))
        };
        match self.forms {
            (lower, upper) if lower == upper => memchr::memchr_iter(lower, text).any(fits),
            (lower, upper) => memchr::memchr2_iter(lower, upper, text).any(fits),
        }
    }
}

/// Returns whether letters or digits of ASCII may be written as escapes, which no known producer does.
pub(crate) fn escapes_letters(text: &[u8]) -> bool {
    memchr::memmem::find_iter(text, b"\\u00")
        .any(|at| text.get(at + 4).is_some_and(|digit| matches!(digit, b'3'..=b'7')))
}

/// A frame on its way to whoever looks through it.
type Frame = (i64, Vec<u8>, Wanted);

#[derive(Default)]
struct Queue {
    waiting: Vec<Frame>,
    hits: Vec<i64>,
    is_closed: bool,
    failed: Option<crate::error::EngineError>,
}

/// Looks through blocks in their order until a deadline. The first `least` of them are looked through in any case.
pub(crate) fn scan_blocks(
    reading: &mut Reading<'_>,
    needles: &Needles<'_>,
    blocks: Vec<(i64, Wanted)>,
    least: usize,
    deadline: Option<Instant>,
) -> Result<Hits> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let helpers = if blocks.len() < MIN_BLOCKS { 0 } else { (cores - 1).min(MAX_HELPERS) };
    let queue = Mutex::new(Queue::default());
    let changed = Condvar::new();
    let mut hits = Hits::default();
    let connection = reading.connection;
    let mut frames = connection.prepare_cached("SELECT frame FROM blocks WHERE block_key = ?1")?;
    std::thread::scope(|scope| -> Result<()> {
        for _ in 0..helpers {
            scope.spawn(|| help(&queue, &changed, needles));
        }
        // However this ends, the helpers must end.
        let _close = CloseOnDrop { queue: &queue, changed: &changed };
        let mut room = Vec::new();
        for (index, (block_key, wanted)) in blocks.into_iter().enumerate() {
            if index >= least && deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break;
            }
            hits.blocks += 1;
            let mut rows = frames.query([block_key])?;
            let Some(row) = rows.next()? else {
                // It was compacted away before this snapshot, and the columns had not heard of it.
                hits.sequences.extend(wanted.into_keys());
                continue;
            };
            let frame = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
            if helpers > 0 {
                let mut queue = queue.lock();
                if queue.waiting.len() < MAX_WAITING {
                    queue.waiting.push((block_key, frame.to_vec(), wanted));
                    drop(queue);
                    changed.notify_one();
                    continue;
                }
            }
            look_through(
                reading.decompressor,
                &mut room,
                block_key,
                frame,
                wanted,
                needles,
                &mut hits.sequences,
            )?;
        }
        loop {
            let next = queue.lock().waiting.pop();
            let Some((block_key, frame, wanted)) = next else { return Ok(()) };
            look_through(
                reading.decompressor,
                &mut room,
                block_key,
                &frame,
                wanted,
                needles,
                &mut hits.sequences,
            )?;
        }
    })?;
    let queue = queue.into_inner();
    if let Some(error) = queue.failed {
        return Err(error);
    }
    hits.sequences.extend(queue.hits);
    Ok(hits)
}

struct CloseOnDrop<'a> {
    queue: &'a Mutex<Queue>,
    changed: &'a Condvar,
}

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.queue.lock().is_closed = true;
        self.changed.notify_all();
    }
}

fn help(queue: &Mutex<Queue>, changed: &Condvar, needles: &Needles<'_>) {
    let mut hits = Vec::new();
    let worked = Decompressor::new().map_err(EngineError::from).and_then(|mut decompressor| {
        let mut room = Vec::new();
        loop {
            let mut state = queue.lock();
            while state.waiting.is_empty() && !state.is_closed {
                changed.wait(&mut state);
            }
            let Some((block_key, frame, wanted)) = state.waiting.pop() else { return Ok(()) };
            drop(state);
            look_through(&mut decompressor, &mut room, block_key, &frame, wanted, needles, &mut hits)?;
        }
    });
    let mut state = queue.lock();
    state.hits.append(&mut hits);
    if let Err(error) = worked {
        state.failed = Some(error);
    }
}

fn look_through(
    decompressor: &mut Decompressor,
    room: &mut Vec<u8>,
    block_key: i64,
    frame: &[u8],
    mut wanted: Wanted,
    needles: &Needles<'_>,
    hits: &mut Vec<i64>,
) -> Result<()> {
    decompressor.decompress_into(block_key, frame, room)?;
    for record in records(block_key, room) {
        let (_, record) = record?;
        if let Some(given) = wanted.remove(&record.mark)
            && (given == needles.all || needles.are_in(record.searched(), given))
        {
            hits.push(record.mark);
        }
    }
    // What is not here any more was moved.
    hits.extend(wanted.into_keys());
    Ok(())
}

#[cfg(test)]
mod tests {
    use endspan_store::text::TextQuery;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn anchors_are_found_whatever_their_case(before in "[ -~]{0,30}", anchor in "[a-zA-Z0-9]{1,12}", after in "[ -~é]{0,30}") {
            let text = format!("{before}{anchor}{after}");
            let wanted = Anchor::new(&anchor.to_ascii_lowercase());
            prop_assert!(wanted.is_in(text.as_bytes()));
            prop_assert!(wanted.is_in(text.to_ascii_uppercase().as_bytes()));
            let without = text.to_ascii_lowercase().replace(&anchor.to_ascii_lowercase(), "-");
            let is_there = without.contains(&anchor.to_ascii_lowercase());
            prop_assert_eq!(wanted.is_in(without.as_bytes()), is_there);
        }
    }

    #[test]
    fn letters_in_escapes_are_not_passed_over() {
        let query = TextQuery::parse(&["hello", "n\u{e9}e"]).unwrap();
        let needles = Needles::new(query.terms());
        let texts = |input: &'static str| [input.as_bytes(), b"", b"[\"n\\u00e9e\"]"];
        assert!(needles.are_in(texts("[\"\\u0068ello\"]"), 0));
        assert!(!needles.are_in(texts("[\"\\u00e9ello\"]"), 0));
        assert!(needles.are_in(texts("[]"), 1));
    }
}
