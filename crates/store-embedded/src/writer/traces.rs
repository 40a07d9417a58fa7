//! The traces that the writer is busy with, and the arithmetic that keeps their summaries exact.

use std::collections::HashMap;

use endspan_model::{SpanId, Timestamp, TraceId, UsageKind};
use endspan_store::engine::{Facts, Usage};

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
    /// Whether the summary lost a bound or its head, so that it must be added up again.
    pub(crate) must_sum_up: bool,
}

impl Trace {
    /// Returns what the columns hold of it, and the sequence of its head.
    pub(crate) fn column_row(&self) -> Option<(TraceRow, i64)> {
        let summary = &self.summary;
        let head = summary.head.as_ref()?;
        let start = summary.start.unix_micros();
        let used = if summary.calls.count > 0 { summary.calls } else { summary.aggregates };
        let row = TraceRow {
            start,
            duration: summary.end.map_or(NO_DURATION, |end| end.unix_micros().saturating_sub(start).max(0)),
            tokens: used.input.saturating_add(used.output),
            account: self.account_key as u32,
            is_open: summary.open_count > 0,
            has_error: summary.error_count > 0,
        };
        Some((row, head.sequence))
    }
}

/// A trace's spans, added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) start: Timestamp,
    pub(crate) end: Option<Timestamp>,
    pub(crate) span_count: i64,
    pub(crate) open_count: i64,
    pub(crate) error_count: i64,
    pub(crate) head: Option<Head>,
    pub(crate) calls: Used,
    pub(crate) aggregates: Used,
    /// The latest start of a span.
    pub(crate) last: Timestamp,
    pub(crate) payload_bytes: i64,
}

/// What spans of one kind used, added up. A count is small enough ([`Facets`](endspan_model::Facets)) that no trace
/// overflows the sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// Spans that reported tokens.
    pub(crate) count: i64,
    pub(crate) input: i64,
    pub(crate) output: i64,
    /// Spans that reported a cost.
    pub(crate) cost_count: i64,
    pub(crate) cost: i64,
}

impl Used {
    fn change(&mut self, usage: Usage, sign: i64) {
        if let Some((input, output)) = usage.tokens {
            self.count += sign;
            self.input = self.input.saturating_add(sign * input);
            self.output = self.output.saturating_add(sign * output);
        }
        if let Some(cost) = usage.cost {
            self.cost_count += sign;
            self.cost = self.cost.saturating_add(sign * cost);
        }
    }
}

/// The span that names its trace: the earliest one without a parent, else the earliest one; ties by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) sequence: i64,
    pub(crate) has_parent: bool,
    pub(crate) start: Timestamp,
    pub(crate) id: SpanId,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            start: Timestamp::MAX,
            end: None,
            span_count: 0,
            open_count: 0,
            error_count: 0,
            head: None,
            calls: Used::default(),
            aggregates: Used::default(),
            last: Timestamp::MIN,
            payload_bytes: 0,
        }
    }
}

impl Summary {
    pub(crate) fn add(&mut self, facts: &Facts, sequence: i64, id: &SpanId) {
        self.start = self.start.min(facts.start);
        self.last = self.last.max(facts.start);
        self.payload_bytes += facts.payload_bytes;
        self.end = self.end.max(facts.end);
        self.span_count += 1;
        self.open_count += i64::from(facts.end.is_none());
        self.error_count += i64::from(facts.is_error);
        self.change_used(facts, 1);
        let leads = self.head.as_ref().is_none_or(|head| {
            head.sequence == sequence
                || (facts.has_parent, facts.start, id) < (head.has_parent, head.start, &head.id)
        });
        if leads {
            let (has_parent, start) = (facts.has_parent, facts.start);
            self.head = Some(Head { sequence, has_parent, start, id: id.clone() });
        }
    }

    fn change_used(&mut self, facts: &Facts, sign: i64) {
        match facts.usage {
            Some(usage) if usage.kind == UsageKind::Call => self.calls.change(usage, sign),
            Some(usage) => self.aggregates.change(usage, sign),
            None => {}
        }
    }

    /// Takes a span out, to be followed by `add` of its successor if it has one in this trace. Returns whether
    /// a bound or the head may be lost, so that the trace must be added up again.
    fn remove(&mut self, facts: &Facts, sequence: i64, successor: Option<&Facts>) -> bool {
        self.span_count -= 1;
        self.open_count -= i64::from(facts.end.is_none());
        self.error_count -= i64::from(facts.is_error);
        self.change_used(facts, -1);
        self.payload_bytes -= facts.payload_bytes;
        let loses_start = facts.start == self.start && successor.is_none_or(|next| next.start > facts.start);
        let loses_last = facts.start == self.last && successor.is_none_or(|next| next.start < facts.start);
        let loses_end =
            facts.end.is_some() && facts.end == self.end && successor.is_none_or(|next| next.end < facts.end);
        let is_head = self.head.as_ref().is_some_and(|head| head.sequence == sequence);
        let loses_head = is_head
            && successor.is_none_or(|next| (next.has_parent, next.start) > (facts.has_parent, facts.start));
        loses_start || loses_last || loses_end || loses_head
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
        if let Some(old) = old {
            trace.must_sum_up |= trace.summary.remove(old, sequence, new);
        }
        if let Some(new) = new {
            trace.summary.add(new, sequence, id);
        }
        if trace.summary.span_count == 0 {
            trace.summary = Summary::default();
            trace.must_sum_up = false;
        }
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
            must_sum_up: false,
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
            must_sum_up: false,
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
