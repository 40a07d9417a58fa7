//! What filters look at, of every row, in columns in memory.
//!
//! A page under any filter must not read every row. So the few facts that filters compare are held in memory, a column
//! each, in segments of rows in the order of their sequence. A scan of a million rows takes a few milliseconds; what it
//! finds are candidates: rows on disk have the last word.
//!
//! The writer keeps the columns behind its commits, before it answers; a reader waits until they have all that its
//! snapshot has. What was rewritten since the snapshot is looked at row by row. Texts are kept as hashes, which may let
//! too many rows pass and never too few; names are numbered, so that parts of names can be looked for.
//!
//! When a store opens, a thread fills the columns from the newest row to the oldest; until it is done, and for rows beyond
//! the bound on memory, searches read rows.

mod load;
mod names;
mod scan;
mod segment;
mod traces;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Condvar, Mutex, MutexGuard};

pub(crate) use self::{
    load::fill,
    names::{NameTexts, OTHER_NAME},
    scan::{Found, Scan, TextMasks},
    segment::{ColumnRow, NO_DURATION},
    traces::{TraceRow, TraceScan, TraceView},
};
use self::{
    names::Names,
    segment::Segment,
    traces::{HeadRow, TraceRows},
};

/// Rewritten rows that are remembered, so that a reader with an older snapshot knows of them.
const MAX_REWRITTEN: usize = 65_536;
/// What part of the memory for columns is for traces.
const TRACES_SHARE: usize = 8;
/// How long a reader waits for the writer to bring the columns up to its snapshot; that takes microseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// The columns of a store.
#[derive(Debug)]
pub(crate) struct Columns {
    state: Mutex<State>,
    applied: Condvar,
    max_bytes: usize,
    segment_rows: usize,
}

#[derive(Debug)]
struct State {
    /// In the order of sequences. Readers scan clones of the pointers; whoever changes a segment meanwhile copies it.
    segments: Vec<Arc<Segment>>,
    names: Names,
    /// Rows below this sequence are not here.
    covered_from: i64,
    is_filled: bool,
    /// They will not be filled.
    is_given_up: bool,
    /// No row that is not here starts later.
    latest_uncovered_start: i64,
    /// The position up to which all writes are here.
    version: i64,
    /// Rows that were written again, with the position of that, oldest first.
    rewritten: VecDeque<(i64, i64)>,
    /// All rewrites after this position are in `rewritten`.
    rewritten_from: i64,
    /// Whether a segment was added since the bytes were counted.
    has_grown: bool,
    /// Changes to rows that are not filled in yet; `None` for rows that are gone.
    waiting: HashMap<i64, Option<ColumnRow>>,
    traces: TraceRows,
}

/// A change to the columns.
#[derive(Debug)]
pub(crate) enum Change {
    /// A row as it is now, and the position of its latest write.
    Put(ColumnRow, i64),
    /// A row's payloads have moved to another block.
    Move {
        /// The row.
        sequence: i64,
        /// Where its payloads are.
        block: u32,
    },
    /// A row is gone.
    Delete(i64),
    /// What a trace is now; `None` when it is gone. Comes after the changes to its spans.
    Trace {
        /// The trace.
        key: i64,
        /// Its row, and the sequence of its head.
        row: Option<(TraceRow, i64)>,
        /// The position from which on it is that.
        version: i64,
    },
}

/// What a reader scans.
#[derive(Debug)]
pub(crate) struct View {
    segments: Vec<Arc<Segment>>,
    /// No row that is not in the view starts later; `None` when all are in it.
    pub(crate) latest_uncovered_start: Option<i64>,
    /// Rows that were written after the reader's snapshot, so that the columns may say otherwise than it.
    pub(crate) rewritten: HashSet<i64>,
    /// The numbers of the names that were asked for.
    wanted_names: Vec<u16>,
    pub(crate) names: NameTexts,
}

impl Columns {
    pub(crate) fn new(max_bytes: usize, segment_rows: usize, latest: i64) -> Self {
        Self {
            state: Mutex::new(State {
                segments: Vec::new(),
                names: Names::default(),
                covered_from: latest + 1,
                is_filled: latest == 0,
                is_given_up: false,
                latest_uncovered_start: i64::MIN,
                version: latest,
                rewritten: VecDeque::new(),
                rewritten_from: latest,
                has_grown: false,
                waiting: HashMap::new(),
                traces: TraceRows::new(segment_rows, latest == 0),
            }),
            applied: Condvar::new(),
            max_bytes,
            segment_rows,
        }
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.max_bytes > 0
    }

    /// Returns the number of a name. Called by the writer before it applies its changes.
    pub(crate) fn name(&self, name: &str) -> u16 {
        self.state.lock().names.number(name)
    }

    /// Applies what a commit did. `version` is the position up to which everything is committed.
    pub(crate) fn apply(&self, changes: impl IntoIterator<Item = Change>, version: i64) {
        let mut state = self.state.lock();
        if !self.is_enabled() || (state.is_given_up && !state.is_filled) {
            return;
        }
        for change in changes {
            match change {
                Change::Put(row, written) => state.put(row, written, self.segment_rows),
                Change::Move { sequence, block } => {
                    state.change(sequence, |segment, at| segment.set_block(at, block))
                }
                Change::Delete(sequence) => state.delete(sequence),
                Change::Trace { .. } if state.is_given_up => {}
                Change::Trace { key, row, version } => {
                    let head = row.and_then(|(_, head)| state.head(head));
                    state.traces.put(key, row.map(|(row, _)| row), head, version);
                }
            }
        }
        let excess = state.rewritten.len().saturating_sub(MAX_REWRITTEN);
        let forgotten = state.rewritten.drain(..excess).next_back();
        if let Some((position, _)) = forgotten {
            state.rewritten_from = position;
        }
        state.version = state.version.max(version);
        state.shrink(self.max_bytes);
        state.traces.shrink(self.max_bytes / TRACES_SHARE);
        drop(state);
        self.applied.notify_all();
    }

    /// Returns what to scan for a snapshot that has all writes up to a position; `None` while the columns are being
    /// filled, and when they cannot tell.
    pub(crate) fn view(&self, snapshot: i64, names: &HashSet<String>) -> Option<View> {
        let mut state = self.state.lock();
        if !self.is_enabled() || !state.is_filled {
            return None;
        }
        self.catch_up(&mut state, snapshot)?;
        if state.rewritten_from > snapshot {
            return None;
        }
        let later = state.rewritten.iter().rev().take_while(|(position, _)| *position > snapshot);
        Some(View {
            rewritten: later.map(|(_, sequence)| *sequence).collect(),
            segments: state.segments.clone(),
            latest_uncovered_start: (state.latest_uncovered_start > i64::MIN)
                .then_some(state.latest_uncovered_start),
            wanted_names: names.iter().filter_map(|name| state.names.known(name)).collect(),
            names: state.names.texts(),
        })
    }

    /// Returns the traces to scan for a snapshot that has all writes up to a position; `None` while they are being filled,
    /// and when they cannot tell.
    pub(crate) fn trace_view(&self, snapshot: i64) -> Option<TraceView> {
        let mut state = self.state.lock();
        if !self.is_enabled() || !state.traces.is_filled {
            return None;
        }
        self.catch_up(&mut state, snapshot)?;
        Some(state.traces.view(snapshot, state.names.texts()))
    }

    /// Waits until all writes up to a position are here.
    fn catch_up(&self, state: &mut MutexGuard<'_, State>, snapshot: i64) -> Option<()> {
        while state.version < snapshot {
            if self.applied.wait_for(state, PATIENCE).timed_out() {
                return None;
            }
        }
        Some(())
    }

    pub(crate) fn has_traces(&self) -> bool {
        self.is_enabled() && self.state.lock().traces.is_filled
    }

    pub(crate) fn is_filled(&self) -> bool {
        self.state.lock().is_filled
    }

    /// Waits until the columns are filled, or will never be.
    pub(crate) fn wait_until_filled(&self) {
        let mut state = self.state.lock();
        while self.is_enabled() && !state.traces.is_filled && !state.is_given_up {
            self.applied.wait(&mut state);
        }
    }

    /// Leaves what is not filled unused for good.
    pub(crate) fn give_up(&self) {
        let mut state = self.state.lock();
        if !state.traces.is_filled {
            state.is_given_up = true;
            state.traces = TraceRows::new(self.segment_rows, false);
            if !state.is_filled {
                state.waiting = HashMap::new();
                state.segments = Vec::new();
            }
            drop(state);
            self.applied.notify_all();
        }
    }
}

impl State {
    /// Returns the segment that has, or would have, a sequence.
    fn segment_of(&self, sequence: i64) -> Option<usize> {
        self.segments.partition_point(|segment| segment.first_sequence() <= sequence).checked_sub(1)
    }

    fn put(&mut self, row: ColumnRow, written: i64, segment_rows: usize) {
        if written != row.sequence {
            self.rewritten.push_back((written, row.sequence));
        }
        if row.sequence < self.covered_from {
            if self.is_filled {
                self.latest_uncovered_start = self.latest_uncovered_start.max(row.start);
            } else {
                self.waiting.insert(row.sequence, Some(row));
            }
            return;
        }
        if let Some(segment) = self.segment_of(row.sequence).and_then(|index| self.segments.get_mut(index)) {
            if let Some(at) = segment.find(row.sequence) {
                Arc::make_mut(segment).set(at, &row);
                return;
            }
            // Rows come in the order of their sequence, so that a new one goes to the end of the last segment.
            if segment.last_sequence() < row.sequence && segment.len() < segment_rows {
                Arc::make_mut(segment).push(&row);
                return;
            }
        }
        self.has_grown = true;
        let mut segment = Segment::default();
        segment.push(&row);
        let at = self.segments.partition_point(|segment| segment.first_sequence() <= row.sequence);
        self.segments.insert(at, Arc::new(segment));
    }

    fn change(&mut self, sequence: i64, change: impl FnOnce(&mut Segment, usize)) {
        let segment = self.segment_of(sequence).and_then(|index| self.segments.get_mut(index));
        if let Some((segment, at)) =
            segment.and_then(|segment| segment.find(sequence).map(|at| (segment, at)))
        {
            change(Arc::make_mut(segment), at);
        }
    }

    /// Returns what is known of the span that names a trace.
    fn head(&self, sequence: i64) -> Option<HeadRow> {
        let segment = self.segments.get(self.segment_of(sequence)?)?;
        let at = segment.find(sequence)?;
        let is_root = segment.parent.get(at) == 0;
        Some(HeadRow {
            name: segment.name.get(at),
            agent_name: segment.agent_name.get(at),
            status: if is_root { segment.status.get(at) } else { 0 },
        })
    }

    fn delete(&mut self, sequence: i64) {
        if sequence < self.covered_from && !self.is_filled {
            self.waiting.insert(sequence, None);
            return;
        }
        self.change(sequence, Segment::delete);
        if let Some(index) = self.segment_of(sequence)
            && self.segments.get(index).is_some_and(|segment| segment.is_dead())
        {
            self.segments.remove(index);
        }
    }

    /// Lets the oldest rows go until the rest fits.
    fn shrink(&mut self, max_bytes: usize) {
        // While the columns are filled, whoever fills them stops at the bound.
        if !self.is_filled || !std::mem::take(&mut self.has_grown) {
            return;
        }
        let mut bytes: usize = self.segments.iter().map(|segment| segment.bytes()).sum();
        while bytes > max_bytes && self.segments.len() > 1 {
            let oldest = self.segments.remove(0);
            bytes -= oldest.bytes();
            self.covered_from = oldest.last_sequence() + 1;
            self.latest_uncovered_start = self.latest_uncovered_start.max(oldest.latest_start());
        }
    }
}
