//! The traces that the writer is busy with.

use std::collections::HashMap;

use endspan_model::{SpanId, Timestamp, TraceId};
use endspan_store::engine::{self, Facts};

use super::lookup::Lookup;
use crate::{
    columns::{NO_DURATION, TraceRow},
    error::Result,
    id_index::HashedMap,
    shared::KeyedHash,
};

/// Traces kept in memory before they are all forgotten and read again when needed.
const MAX_TRACES: usize = 16_384;

/// The place of a trace in the [`TraceTable`].
pub(crate) type TraceIndex = usize;

/// A trace's spans, added up, with the sequence of its head.
pub(crate) type Summary = engine::Summary<i64>;

/// A trace that was touched since the table was last cleared.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) key: i64,
    pub(crate) account_key: i64,
    pub(crate) trace_id: TraceId,
    pub(crate) hash: i64,
    /// The start in the trace's row; `None` while there is no row.
    pub(crate) stored_start: Option<Timestamp>,
    pub(crate) summary: Summary,
    /// Whether the summary differs from the row.
    is_dirty: bool,
}

impl Trace {
    /// Returns what the columns hold of it, and the sequence of its head.
    pub(crate) fn column_row(&self) -> Option<(TraceRow, i64)> {
        let summary = &self.summary;
        let head = summary.head.as_ref()?;
        let start = summary.start.unix_micros();
        let (input, output) = summary.tokens().unwrap_or_default();
        let row = TraceRow {
            start,
            duration: summary.end.map_or(NO_DURATION, |end| end.unix_micros().saturating_sub(start).max(0)),
            tokens: input.saturating_add(output),
            account: self.account_key as u32,
            is_open: summary.open_count > 0,
            has_error: summary.error_count > 0,
        };
        Some((row, head.label))
    }
}

/// The traces that the writer is busy with.
#[derive(Debug)]
pub(crate) struct TraceTable {
    traces: Vec<Trace>,
    by_hash: HashedMap<Vec<TraceIndex>>,
    by_key: HashMap<i64, TraceIndex>,
    /// The traces whose summaries differ from their rows.
    dirty: Vec<TraceIndex>,
    next_key: i64,
}

impl TraceTable {
    pub(crate) fn new(next_key: i64) -> Self {
        Self {
            traces: Vec::new(),
            by_hash: HashedMap::default(),
            by_key: HashMap::new(),
            dirty: Vec::new(),
            next_key,
        }
    }

    /// Forgets everything; what is needed again is read again.
    pub(crate) fn clear(&mut self) {
        self.traces = Vec::new();
        self.by_hash = HashedMap::default();
        self.by_key = HashMap::new();
        self.dirty = Vec::new();
    }

    /// Keeps the table within its bound. Indexes handed out before are void afterwards.
    pub(crate) fn trim(&mut self) {
        if self.traces.len() > MAX_TRACES {
            self.clear();
        }
    }

    pub(crate) fn get(&self, index: TraceIndex) -> Option<&Trace> {
        self.traces.get(index)
    }

    pub(crate) fn get_mut(&mut self, index: TraceIndex) -> Option<&mut Trace> {
        self.traces.get_mut(index)
    }

    /// Brings a span's change into a summary: `old` is what it was in this trace, `new` what it is now.
    pub(crate) fn change(
        &mut self,
        index: TraceIndex,
        sequence: i64,
        id: &SpanId,
        old: Option<&Facts>,
        new: Option<&Facts>,
    ) {
        let Some(trace) = self.traces.get_mut(index) else { return };
        if !std::mem::replace(&mut trace.is_dirty, true) {
            self.dirty.push(index);
        }
        trace.summary.change(id, old, new, || sequence);
    }

    /// Returns the traces whose rows must be written, once.
    pub(crate) fn take_dirty(&mut self) -> Vec<TraceIndex> {
        let dirty = std::mem::take(&mut self.dirty);
        for index in &dirty {
            if let Some(trace) = self.traces.get_mut(*index) {
                trace.is_dirty = false;
            }
        }
        dirty
    }

    /// Returns the trace with this key if it is in the table.
    pub(crate) fn known_key(&self, key: i64) -> Option<TraceIndex> {
        self.by_key.get(&key).copied()
    }

    /// Returns the trace with this identity; a new one if there is none.
    pub(crate) fn find(
        &mut self,
        lookup: &mut Lookup<'_>,
        keyed: KeyedHash,
        account_key: i64,
        trace_id: &TraceId,
    ) -> Result<TraceIndex> {
        let hash = keyed.hash(account_key, trace_id.as_str());
        if let Some(index) = self.known(hash, account_key, trace_id) {
            return Ok(index);
        }
        for stored in lookup.traces_by_hash(hash)? {
            if !self.by_key.contains_key(&stored.key) {
                self.push_stored(stored, hash);
            }
        }
        if let Some(index) = self.known(hash, account_key, trace_id) {
            return Ok(index);
        }
        let key = self.next_key;
        self.next_key += 1;
        Ok(self.push(Trace {
            key,
            account_key,
            trace_id: trace_id.clone(),
            hash,
            stored_start: None,
            summary: Summary::default(),
            is_dirty: false,
        }))
    }

    /// Returns the stored trace with this key.
    pub(crate) fn find_by_key(
        &mut self,
        lookup: &mut Lookup<'_>,
        keyed: KeyedHash,
        key: i64,
    ) -> Result<Option<TraceIndex>> {
        if let Some(index) = self.by_key.get(&key) {
            return Ok(Some(*index));
        }
        let Some(stored) = lookup.trace_by_key(key)? else { return Ok(None) };
        let hash = keyed.hash(stored.account_key, stored.trace_id.as_str());
        Ok(Some(self.push_stored(stored, hash)))
    }

    fn known(&self, hash: i64, account_key: i64, trace_id: &TraceId) -> Option<TraceIndex> {
        self.by_hash.get(&hash)?.iter().copied().find(|index| {
            self.traces
                .get(*index)
                .is_some_and(|trace| trace.account_key == account_key && trace.trace_id == *trace_id)
        })
    }

    fn push_stored(&mut self, stored: super::lookup::StoredTrace, hash: i64) -> TraceIndex {
        self.push(Trace {
            key: stored.key,
            account_key: stored.account_key,
            trace_id: stored.trace_id,
            hash,
            stored_start: Some(stored.summary.start),
            summary: stored.summary,
            is_dirty: false,
        })
    }

    fn push(&mut self, trace: Trace) -> TraceIndex {
        let index = self.traces.len();
        self.by_hash.entry(trace.hash).or_default().push(index);
        self.by_key.insert(trace.key, index);
        self.traces.push(trace);
        index
    }
}
