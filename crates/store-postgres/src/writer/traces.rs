//! The traces that a group touches.

use std::collections::HashMap;

use endspan_model::{SpanId, Status, TraceId};
use endspan_store::engine::{self, Facts, Head, Used};
use tokio_postgres::Row;

use crate::{
    error::{EngineError, Result},
    row::{get, get_optional_text, get_optional_time, get_status, get_text, get_time, read_facts},
};

/// The place of a trace in the [`TraceTable`].
pub(crate) type TraceIndex = usize;

/// A trace's spans, added up, with what its head gives it.
pub(crate) type Summary = engine::Summary<Label>;

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
}

/// What a span gives to its trace when it is the head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) name: String,
    pub(crate) status: Option<Status>,
    pub(crate) agent_name: Option<String>,
}

/// The columns that [`read_trace_row`] reads, in its order.
pub(crate) const TRACE_ROW: &str = "account_key, trace_id, trace_hash, first_sequence, last_sequence, start_micros, \
     start_nanos, end_micros, end_nanos, span_count, open_count, error_count, call_count, call_input, call_output, \
     call_costs, call_cost, aggregate_count, aggregate_input, aggregate_output, aggregate_costs, aggregate_cost, \
     head_micros, head_nanos, head_has_parent, head_id, head_name, head_status, agent_name, newest_micros, \
     newest_nanos, payload_bytes";

/// Reads a row of `traces`.
pub(crate) fn read_trace_row(row: &Row) -> Result<Trace> {
    let count = |at: usize| Ok::<_, EngineError>(i64::from(get::<i32>(row, at)?));
    let used = |at: usize| -> Result<Used> {
        Ok(Used {
            count: count(at)?,
            input: get(row, at + 1)?,
            output: get(row, at + 2)?,
            cost_count: count(at + 3)?,
            cost: get(row, at + 4)?,
        })
    };
    let head = Head {
        start: get_time(row, 22, 23)?,
        has_parent: get(row, 24)?,
        id: SpanId::from(get_text(row, 25)?),
        label: Label {
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
            span_count: count(9)?,
            open_count: count(10)?,
            error_count: count(11)?,
            calls: used(12)?,
            aggregates: used(17)?,
            last_start: get_time(row, 29, 30)?,
            payload_bytes: get(row, 31)?,
            head: Some(head),
            is_stale: false,
        },
        is_dirty: false,
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
        let id = SpanId::from(get_text(row, 11)?);
        let label = Label {
            name: get_text(row, 12)?,
            status: get_status(row, 4)?,
            agent_name: get_optional_text(row, 13)?,
        };
        summary.add(&id, &facts, || label);
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
        new: Option<&Facts>,
        label: impl FnOnce() -> Label,
    ) -> Result<()> {
        let trace =
            self.traces.get_mut(index).ok_or_else(|| EngineError::damaged("a span without a trace"))?;
        trace.is_dirty = true;
        trace.summary.change(id, old, new, label);
        if new.is_some() {
            trace.sequences = (trace.sequences.0.min(sequence), trace.sequences.1.max(sequence));
        }
        Ok(())
    }

    /// Returns the traces whose rows must be written.
    pub(crate) fn dirty(&mut self) -> impl Iterator<Item = &mut Trace> {
        self.traces.iter_mut().filter(|trace| trace.is_dirty)
    }
}
