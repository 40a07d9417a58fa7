//! What filters of traces look at, in memory like the columns of spans.
//!
//! A row a trace, found by its key. Name, agent and status of a trace are those of its head, which the columns of spans know;
//! a trace whose head they do not know passes every such filter, and its row on disk has the last word.

use std::{cmp::Reverse, collections::HashSet, sync::Arc};

use endspan_model::Status;
use endspan_store::{TraceFilter, TraceState, text};

use super::{
    names::{NameTexts, OTHER_NAME},
    segment::NO_DURATION,
};
use crate::shared::KeyedHash;

/// Most rows that are copied when one changes while a reader looks at them.
const MAX_CHUNK_ROWS: usize = 512;

/// What is held of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceRow {
    pub(crate) start: i64,
    /// From the earliest start to the latest end in microseconds; [`NO_DURATION`] without an end.
    pub(crate) duration: i64,
    pub(crate) tokens: i64,
    /// 0 for a trace that is gone, and for a place without a trace.
    pub(crate) account: u32,
    pub(crate) is_open: bool,
    pub(crate) has_error: bool,
}

/// What is known of the span that names a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadRow {
    pub(crate) name: u16,
    pub(crate) agent_name: u32,
    /// The code of its status; 0 for none, and for a head with a parent.
    pub(crate) status: u8,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    row: TraceRow,
    head: Option<HeadRow>,
    /// The position up to which the row tells what is stored; 0 for nothing that was heard of yet.
    version: i64,
}

const NOTHING: Held = Held {
    row: TraceRow {
        start: 0,
        duration: NO_DURATION,
        tokens: 0,
        account: 0,
        is_open: false,
        has_error: false,
    },
    head: None,
    version: 0,
};

type Chunk = Arc<Vec<Held>>;

/// The rows of traces. Keys are given one after the other, so that the key tells the place.
#[derive(Debug)]
pub(super) struct TraceRows {
    chunk_rows: usize,
    /// `None` where no row was heard of, and for old rows that found no room.
    chunks: Vec<Option<Chunk>>,
    held_chunks: usize,
    /// Chunks before this one were let go.
    first_chunk: usize,
    /// No trace that was let go starts later.
    latest_uncovered_start: i64,
    pub(super) is_filled: bool,
}

impl TraceRows {
    pub(super) fn new(segment_rows: usize, is_filled: bool) -> Self {
        Self {
            chunk_rows: segment_rows.clamp(1, MAX_CHUNK_ROWS),
            chunks: Vec::new(),
            held_chunks: 0,
            first_chunk: 0,
            latest_uncovered_start: i64::MIN,
            is_filled,
        }
    }

    /// Notes what a trace is since a position; `None` when it is gone.
    pub(super) fn put(&mut self, key: i64, row: Option<TraceRow>, head: Option<HeadRow>, version: i64) {
        let held = row.map_or(Held { version, ..NOTHING }, |row| Held { row, head, version });
        if let Some(room) = self.room(key) {
            *room = held;
        } else if let Some(row) = row {
            self.latest_uncovered_start = self.latest_uncovered_start.max(row.start);
        }
    }

    /// Notes what a trace was when it was read, unless more was heard of it meanwhile.
    pub(super) fn fill(&mut self, key: i64, row: TraceRow, head: Option<HeadRow>) {
        match self.room(key) {
            Some(room) if room.version == 0 => *room = Held { row, head, version: 0 },
            Some(_) => {}
            None => self.latest_uncovered_start = self.latest_uncovered_start.max(row.start),
        }
    }

    /// Returns the place of a trace; `None` for one that was let go.
    fn room(&mut self, key: i64) -> Option<&mut Held> {
        let key = usize::try_from(key).ok()?;
        let (rows, index) = (self.chunk_rows, key / self.chunk_rows);
        if index < self.first_chunk {
            return None;
        }
        if index >= self.chunks.len() {
            self.chunks.resize(index + 1, None);
        }
        let chunk = self.chunks.get_mut(index)?;
        if chunk.is_none() {
            self.held_chunks += 1;
        }
        let chunk = chunk.get_or_insert_with(|| Arc::new(vec![NOTHING; rows]));
        Arc::make_mut(chunk).get_mut(key % rows)
    }

    pub(super) fn bytes(&self) -> usize {
        self.held_chunks * self.chunk_rows * size_of::<Held>()
    }

    /// Lets the oldest rows go until the rest fits.
    pub(super) fn shrink(&mut self, max_bytes: usize) {
        while self.bytes() > max_bytes && self.held_chunks > 1 {
            let Some(chunk) = self.chunks.get_mut(self.first_chunk) else { return };
            if let Some(chunk) = chunk.take() {
                self.held_chunks -= 1;
                let alive = chunk.iter().filter(|held| held.row.account != 0);
                let latest = alive.map(|held| held.row.start).max();
                self.latest_uncovered_start = self.latest_uncovered_start.max(latest.unwrap_or(i64::MIN));
            }
            self.first_chunk += 1;
        }
    }

    pub(super) fn view(&self, snapshot: i64, names: NameTexts) -> TraceView {
        let chunks = self.chunks.iter().enumerate();
        let chunks = chunks.filter_map(|(index, chunk)| Some((index * self.chunk_rows, chunk.clone()?)));
        TraceView {
            chunks: chunks.collect(),
            latest_uncovered_start: (self.latest_uncovered_start > i64::MIN)
                .then_some(self.latest_uncovered_start),
            snapshot,
            names,
        }
    }
}

/// What a reader of traces scans.
#[derive(Debug)]
pub(crate) struct TraceView {
    /// With the key of the first row of each.
    chunks: Vec<(usize, Chunk)>,
    /// No trace that is not in the view starts later; `None` when all are in it.
    pub(crate) latest_uncovered_start: Option<i64>,
    snapshot: i64,
    names: NameTexts,
}

impl TraceView {
    /// Walks the traces that are there, with their keys.
    fn held(&self) -> impl Iterator<Item = (i64, &Held)> {
        let chunks = self.chunks.iter().flat_map(|(first, chunk)| {
            chunk.iter().enumerate().map(move |(at, held)| ((first + at) as i64, held))
        });
        chunks.filter(|(_, held)| held.row.account != 0)
    }

    /// Returns the traces that changed after the snapshot, so that only the snapshot tells what they were.
    pub(crate) fn changed(&self) -> Vec<i64> {
        self.held().filter(|(_, held)| held.version > self.snapshot).map(|(key, _)| key).collect()
    }
}

/// A trace that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FoundTrace {
    pub(crate) start: i64,
    pub(crate) key: i64,
}

/// What to look for among traces.
pub(crate) struct TraceScan<'q> {
    filter: &'q TraceFilter,
    accounts: Vec<u32>,
    /// Whether the name of a number passes, if names matter.
    names: Option<Vec<bool>>,
    agent: Option<u32>,
    starts: (i64, i64),
    durations: Option<(i64, i64)>,
    tokens: Option<(i64, i64)>,
}

impl<'q> TraceScan<'q> {
    pub(crate) fn new(filter: &'q TraceFilter, accounts: &[i64], view: &TraceView, keyed: KeyedHash) -> Self {
        let bounds = |least: Option<u64>, most: Option<u64>| {
            let number = |bound: u64| i64::try_from(bound).unwrap_or(i64::MAX);
            (least.is_some() || most.is_some())
                .then(|| (least.map_or(0, number), most.map_or(i64::MAX, number)))
        };
        Self {
            filter,
            accounts: accounts.iter().map(|key| *key as u32).collect(),
            names: filter
                .name
                .as_ref()
                .map(|wanted| view.names.iter().map(|name| text::contains(name, wanted)).collect()),
            agent: filter.agent.as_ref().map(|agent| keyed.text_hash(agent)),
            starts: (
                filter.start_from.map_or(i64::MIN, |from| from.unix_micros()),
                filter.start_before.map_or(i64::MAX, |before| before.unix_micros()),
            ),
            durations: bounds(filter.min_duration_micros, filter.max_duration_micros),
            tokens: bounds(filter.min_tokens, filter.max_tokens),
        }
    }

    /// Returns at least `most` traces that start last among those that may pass and start at a moment or before, or all
    /// there are, latest first; those with the last start all of them. Says whether there may be more. Leaves out those that
    /// [changed](TraceView::changed).
    pub(crate) fn latest(
        &self,
        view: &TraceView,
        start_to: i64,
        most: usize,
        only: Option<&HashSet<u32>>,
    ) -> (Vec<FoundTrace>, bool) {
        let mut found = Vec::new();
        for (key, held) in view.held() {
            let row = &held.row;
            let passes = row.start <= start_to
                && held.version <= view.snapshot
                && self.accounts.contains(&row.account)
                && self.passes(held)
                && only.is_none_or(|only| only.contains(&(key as u32)));
            if passes {
                found.push(FoundTrace { start: row.start, key });
            }
        }
        let mut is_cut = false;
        if found.len() > most && most > 0 {
            let (_, last, _) = found.select_nth_unstable_by_key(most - 1, |found| Reverse(found.start));
            let last = last.start;
            let all = found.len();
            found.retain(|found| found.start >= last);
            is_cut = found.len() < all;
        }
        found.sort_unstable_by_key(|found| (Reverse(found.start), found.key));
        (found, is_cut)
    }

    fn passes(&self, held: &Held) -> bool {
        let row = &held.row;
        row.start >= self.starts.0
            && row.start <= self.starts.1
            && self.filter.has_error.is_none_or(|has_error| has_error == row.has_error)
            && self.durations.is_none_or(|(least, most)| {
                row.duration != NO_DURATION && row.duration >= least && row.duration <= most
            })
            && self.tokens.is_none_or(|(least, most)| row.tokens >= least && row.tokens <= most)
            && held.head.is_none_or(|head| self.passes_head(row, head))
    }

    fn passes_head(&self, row: &TraceRow, head: HeadRow) -> bool {
        // A name that is not told apart may hold anything.
        self.names.as_ref().is_none_or(|names| {
            head.name == OTHER_NAME || names.get(usize::from(head.name)).is_none_or(|passes| *passes)
        }) && self.agent.is_none_or(|agent| agent == head.agent_name)
            && (self.filter.states.is_empty() || self.filter.states.contains(&state(row, head)))
    }
}

fn state(row: &TraceRow, head: HeadRow) -> TraceState {
    match Status::from_code(head.status) {
        Some(Status::Error) => TraceState::Error,
        Some(Status::Canceled) => TraceState::Canceled,
        _ if row.is_open => TraceState::Running,
        _ => TraceState::Ok,
    }
}
