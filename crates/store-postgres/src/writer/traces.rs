//! The traces that a group touches, and the arithmetic that keeps their summaries exact.

use std::collections::HashMap;

use endspan_model::{SpanId, Status, Timestamp, TraceId, UsageKind};
use endspan_store::engine::{Facts, Usage};
use tokio_postgres::Row;

use crate::{
    error::{EngineError, Result},
    row::{get, get_optional_text, get_optional_time, get_status, get_text, get_time, read_facts},
};

/// The place of a trace in the [`TraceTable`].
pub(crate) type TraceIndex = usize;

/// A trace that the group touches.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) account_key: i32,
    pub(crate) trace_id: TraceId,
    pub(crate) hash: i64,
    /// Whether it has a row.
    pub(crate) is_stored: bool,
    pub(crate) summary: Summary,
    /// Bounds of the sequences of its spans; never narrowed.
    pub(crate) sequences: (i64, i64),
    /// Whether the summary differs from the row.
    pub(crate) is_dirty: bool,
    /// Whether the summary lost a bound or its head, so that it must be added up again.
    pub(crate) must_sum_up: bool,
}

/// A trace's spans, added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) start: Timestamp,
    /// The start of the span that started last.
    pub(crate) newest: Timestamp,
    pub(crate) payload_bytes: i64,
    pub(crate) end: Option<Timestamp>,
    pub(crate) span_count: i32,
    pub(crate) open_count: i32,
    pub(crate) error_count: i32,
    pub(crate) head: Option<Head>,
    pub(crate) calls: Used,
    pub(crate) aggregates: Used,
}

/// What spans of one kind used, added up. A number is small enough ([`Facets`](endspan_model::Facets)) that no trace
/// overflows the sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// Spans that reported tokens.
    pub(crate) count: i32,
    pub(crate) input: i64,
    pub(crate) output: i64,
    /// Spans that reported a cost.
    pub(crate) costs: i32,
    pub(crate) cost: i64,
}

impl Used {
    fn change(&mut self, usage: Usage, sign: i32) {
        if let Some((input, output)) = usage.tokens {
            self.count += sign;
            self.input = self.input.saturating_add(i64::from(sign) * input);
            self.output = self.output.saturating_add(i64::from(sign) * output);
        }
        if let Some(cost) = usage.cost {
            self.costs += sign;
            self.cost = self.cost.saturating_add(i64::from(sign) * cost);
        }
    }
}

/// The span that names its trace: the earliest one without a parent, else the earliest one; ties by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) has_parent: bool,
    pub(crate) start: Timestamp,
    pub(crate) label: Label,
}

/// What a span gives to its trace when it is the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) id: SpanId,
    pub(crate) name: String,
    pub(crate) status: Option<Status>,
    pub(crate) agent_name: Option<String>,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            start: Timestamp::MAX,
            newest: Timestamp::MIN,
            payload_bytes: 0,
            end: None,
            span_count: 0,
            open_count: 0,
            error_count: 0,
            head: None,
            calls: Used::default(),
            aggregates: Used::default(),
        }
    }
}

impl Summary {
    pub(crate) fn add(&mut self, facts: &Facts, id: &SpanId, label: impl FnOnce() -> Label) {
        self.start = self.start.min(facts.start);
        self.newest = self.newest.max(facts.start);
        self.payload_bytes += facts.payload_bytes;
        self.end = self.end.max(facts.end);
        self.span_count += 1;
        self.open_count += i32::from(facts.end.is_none());
        self.error_count += i32::from(facts.is_error);
        self.change_usage(facts, 1);
        let leads = self.head.as_ref().is_none_or(|head| {
            head.label.id == *id
                || (facts.has_parent, facts.start, id) < (head.has_parent, head.start, &head.label.id)
        });
        if leads {
            self.head = Some(Head { has_parent: facts.has_parent, start: facts.start, label: label() });
        }
    }

    fn change_usage(&mut self, facts: &Facts, sign: i32) {
        match facts.usage {
            Some(usage) if usage.kind == UsageKind::Call => self.calls.change(usage, sign),
            Some(usage) => self.aggregates.change(usage, sign),
            None => {}
        }
    }

    /// Takes a span out, to be followed by `add` of its successor if it has one in this trace. Returns whether
    /// a bound or the head may be lost, so that the trace must be added up again.
    fn remove(&mut self, facts: &Facts, id: &SpanId, successor: Option<&Facts>) -> bool {
        self.span_count -= 1;
        self.payload_bytes -= facts.payload_bytes;
        self.open_count -= i32::from(facts.end.is_none());
        self.error_count -= i32::from(facts.is_error);
        self.change_usage(facts, -1);
        let loses_start = facts.start == self.start && successor.is_none_or(|next| next.start > facts.start);
        let loses_newest =
            facts.start == self.newest && successor.is_none_or(|next| next.start < facts.start);
        let loses_end =
            facts.end.is_some() && facts.end == self.end && successor.is_none_or(|next| next.end < facts.end);
        let is_head = self.head.as_ref().is_some_and(|head| head.label.id == *id);
        let loses_head = is_head
            && successor.is_none_or(|next| (next.has_parent, next.start) > (facts.has_parent, facts.start));
        loses_start || loses_newest || loses_end || loses_head
    }
}

/// The columns that [`read_trace_row`] reads, in its order.
pub(crate) const TRACE_ROW: &str = "account_key, trace_id, trace_hash, first_sequence, last_sequence, start_micros, \
     start_nanos, end_micros, end_nanos, span_count, open_count, error_count, call_count, call_input, call_output, \
     call_costs, call_cost, aggregate_count, aggregate_input, aggregate_output, aggregate_costs, aggregate_cost, \
     head_micros, head_nanos, head_has_parent, head_id, head_name, head_status, agent_name, newest_micros, \
     newest_nanos, payload_bytes";

/// Reads a row of `traces`.
pub(crate) fn read_trace_row(row: &Row) -> Result<Trace> {
    let used = |at: usize| -> Result<Used> {
        Ok(Used {
            count: get(row, at)?,
            input: get(row, at + 1)?,
            output: get(row, at + 2)?,
            costs: get(row, at + 3)?,
            cost: get(row, at + 4)?,
        })
    };
    let head = Head {
        start: get_time(row, 22, 23)?,
        has_parent: get(row, 24)?,
        label: Label {
            id: SpanId::from(get_text(row, 25)?),
            name: get_text(row, 26)?,
            status: get_status(row, 27)?,
            agent_name: get_optional_text(row, 28)?,
        },
    };
    Ok(Trace {
        account_key: get(row, 0)?,
        trace_id: TraceId::from(get_text(row, 1)?),
        hash: get(row, 2)?,
        is_stored: true,
        sequences: (get(row, 3)?, get(row, 4)?),
        summary: Summary {
            start: get_time(row, 5, 6)?,
            end: get_optional_time(row, 7, 8)?,
            span_count: get(row, 9)?,
            open_count: get(row, 10)?,
            error_count: get(row, 11)?,
            calls: used(12)?,
            aggregates: used(17)?,
            newest: get_time(row, 29, 30)?,
            payload_bytes: get(row, 31)?,
            head: Some(head),
        },
        is_dirty: false,
        must_sum_up: false,
    })
}

/// The columns that [`sum_up`] reads, in its order.
pub(crate) const SUMMED_ROW: &str = "s.start_micros, s.start_nanos, s.end_micros, s.end_nanos, s.status, \
     s.parent_id IS NOT NULL, s.usage_kind, s.input_tokens, s.output_tokens, s.cost, s.payload_bytes, \
     s.id, s.name, s.agent_name";

/// Adds all rows of a trace up.
pub(crate) fn sum_up(rows: &[Row]) -> Result<Summary> {
    let mut summary = Summary::default();
    for row in rows {
        let facts = read_facts(row, 0)?;
        let label = Label {
            id: SpanId::from(get_text(row, 11)?),
            name: get_text(row, 12)?,
            status: get_status(row, 4)?,
            agent_name: get_optional_text(row, 13)?,
        };
        summary.add(&facts, &label.id.clone(), || label);
    }
    Ok(summary)
}

/// The traces that the group touches.
#[derive(Debug, Default)]
pub(crate) struct TraceTable {
    traces: Vec<Trace>,
    by_identity: HashMap<(i32, TraceId), TraceIndex>,
}

impl TraceTable {
    /// Takes a trace that was read.
    pub(crate) fn insert(&mut self, trace: Trace) {
        let key = (trace.account_key, trace.trace_id.clone());
        if !self.by_identity.contains_key(&key) {
            self.by_identity.insert(key, self.traces.len());
            self.traces.push(trace);
        }
    }

    /// Returns the trace with this identity if it is in the table.
    pub(crate) fn known(&self, account_key: i32, trace_id: &TraceId) -> Option<TraceIndex> {
        self.by_identity.get(&(account_key, trace_id.clone())).copied()
    }

    /// Returns the trace with this identity; a new one if there is none.
    pub(crate) fn find(&mut self, account_key: i32, trace_id: &TraceId, hash: i64) -> TraceIndex {
        if let Some(index) = self.known(account_key, trace_id) {
            return index;
        }
        self.insert(Trace {
            account_key,
            trace_id: trace_id.clone(),
            hash,
            is_stored: false,
            summary: Summary::default(),
            sequences: (i64::MAX, 0),
            is_dirty: false,
            must_sum_up: false,
        });
        self.traces.len() - 1
    }

    /// Brings a span's change into a summary: `old` is what it was in this trace, `new` what it is now.
    pub(crate) fn change(
        &mut self,
        index: TraceIndex,
        sequence: i64,
        id: &SpanId,
        old: Option<&Facts>,
        new: Option<(&Facts, &dyn Fn() -> Label)>,
    ) -> Result<()> {
        let trace =
            self.traces.get_mut(index).ok_or_else(|| EngineError::damaged("a span without a trace"))?;
        trace.is_dirty = true;
        if let Some(old) = old {
            trace.must_sum_up |= trace.summary.remove(old, id, new.map(|(facts, _)| facts));
        }
        if let Some((facts, label)) = new {
            trace.summary.add(facts, id, label);
            trace.sequences = (trace.sequences.0.min(sequence), trace.sequences.1.max(sequence));
        }
        if trace.summary.span_count == 0 {
            trace.summary = Summary::default();
            trace.must_sum_up = false;
        }
        Ok(())
    }

    /// Returns the traces whose rows must be written.
    pub(crate) fn dirty(&mut self) -> impl Iterator<Item = &mut Trace> {
        self.traces.iter_mut().filter(|trace| trace.is_dirty)
    }
}
