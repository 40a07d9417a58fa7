//! The statements that write rows of spans and traces.

use endspan_model::{Facets, Span, Timestamp};
use rusqlite::{Connection, Statement};

use super::traces::{Summary, Trace};
use crate::{
    binding::{Binding, assignments, count, places},
    compact_id::CompactId,
    error::Result,
    row::{FACETS, Place, StoredRow, bind_facets},
    shared::short_hash,
};

/// What is written of every span first.
const SPAN_KEYS: &str = "sequence, account_key, trace_key, id_hash, id, start_micros, task_id";
/// What a later version of a span may change without touching an index, with the facets behind it.
const SPAN_VALUES: &str = "parent_id, name, start_nanos, duration_micros, end_nanos, status, type, group_id, \
     application_variant_id, application_interaction_id, obs_trace_id, obs_span_id, block_key, block_offset, payload_bytes";
/// What an index of spans holds and a later version may change.
const SPAN_INDEXED: &str = "trace_key, start_micros, task_id";
const TRACE_KEYS: &str = "account_key, trace_hash, trace_id";
const TRACE_VALUES: &str = "end_micros, end_nanos, span_count, open_count, error_count, head, call_count, call_input, \
     call_output, aggregate_count, aggregate_input, aggregate_output, last_micros, last_nanos, payload_bytes, \
     call_cost_count, call_cost, aggregate_cost_count, aggregate_cost";
const TRACE_START: &str = "start_micros, start_nanos";

/// Prepared writes of rows.
pub(crate) struct RowWriter<'c> {
    insert_span: Statement<'c>,
    update_span: Statement<'c>,
    update_span_and_keys: Statement<'c>,
    insert_rewrite: Statement<'c>,
    delete_rewrite: Statement<'c>,
    insert_trace: Statement<'c>,
    update_trace: Statement<'c>,
    update_trace_and_start: Statement<'c>,
    delete_trace: Statement<'c>,
}

impl<'c> RowWriter<'c> {
    pub(crate) fn prepare(connection: &'c Connection) -> Result<Self> {
        let insert = |table: &str, columns: &str| {
            connection
                .prepare(&format!("INSERT INTO {table} ({columns}) VALUES ({})", places(count(columns))))
        };
        // The parameters are the key, then the columns.
        let update = |table: &str, key: &str, columns: &str| {
            let columns = assignments(columns, 2);
            connection.prepare(&format!("UPDATE {table} SET {columns} WHERE {key} = ?1"))
        };
        let span = format!("version, {SPAN_VALUES}, {FACETS}");
        Ok(Self {
            insert_span: insert("spans", &format!("{SPAN_KEYS}, {SPAN_VALUES}, {FACETS}"))?,
            // Leaves every indexed column alone, so that no index is touched.
            update_span: update("spans", "sequence", &span)?,
            update_span_and_keys: update("spans", "sequence", &format!("{span}, {SPAN_INDEXED}"))?,
            insert_rewrite: connection.prepare("INSERT INTO rewrites (version, sequence) VALUES (?1, ?2)")?,
            delete_rewrite: connection.prepare("DELETE FROM rewrites WHERE version = ?1")?,
            insert_trace: insert(
                "traces",
                &format!("trace_key, {TRACE_VALUES}, {TRACE_START}, {TRACE_KEYS}"),
            )?,
            update_trace: update("traces", "trace_key", TRACE_VALUES)?,
            update_trace_and_start: update("traces", "trace_key", &format!("{TRACE_VALUES}, {TRACE_START}"))?,
            delete_trace: connection.prepare("DELETE FROM traces WHERE trace_key = ?1")?,
        })
    }

    pub(crate) fn insert_span(
        &mut self,
        sequence: i64,
        trace: &Trace,
        hash: i64,
        span: &Span,
        facets: &Facets,
        place: Option<Place>,
    ) -> Result<()> {
        let mut row = Binding::new(&mut self.insert_span);
        row.bind(sequence)?;
        row.bind(trace.account_key)?;
        row.bind(trace.key)?;
        row.bind(short_hash(hash))?;
        row.bind(CompactId::new(span.id.as_str()))?;
        row.bind(span.start_time.unix_micros())?;
        row.bind_some(compact(&span.task_id))?;
        bind_values(&mut row, span, place)?;
        bind_facets(&mut row, facets)?;
        row.execute()
    }

    /// Brings a row to a new version. The indexes are touched only if a column of theirs changes.
    pub(crate) fn update_span(
        &mut self,
        row: &StoredRow,
        version: i64,
        trace: &Trace,
        span: &Span,
        facets: &Facets,
        place: Option<Place>,
    ) -> Result<()> {
        let keeps_keys = row.trace_key == trace.key
            && row.facts.start.unix_micros() == span.start_time.unix_micros()
            && row.task_id == span.task_id;
        let statement = if keeps_keys { &mut self.update_span } else { &mut self.update_span_and_keys };
        let mut new = Binding::new(statement);
        new.bind(row.sequence)?;
        new.bind(version)?;
        bind_values(&mut new, span, place)?;
        bind_facets(&mut new, facets)?;
        if !keeps_keys {
            new.bind(trace.key)?;
            new.bind(span.start_time.unix_micros())?;
            new.bind_some(compact(&span.task_id))?;
        }
        new.execute()?;
        if row.version != row.sequence {
            self.delete_rewrite.execute([row.version])?;
        }
        self.insert_rewrite.execute([version, row.sequence])?;
        Ok(())
    }

    /// Makes a trace's row say what its summary says.
    pub(crate) fn write_trace(&mut self, trace: &mut Trace) -> Result<()> {
        let summary = &trace.summary;
        let Some(head) = &summary.head else {
            if trace.stored_start.take().is_some() {
                self.delete_trace.execute([trace.key])?;
            }
            return Ok(());
        };
        let is_new = trace.stored_start.is_none();
        let keeps_start = trace.stored_start == Some(summary.start);
        let mut row = Binding::new(match (is_new, keeps_start) {
            (true, _) => &mut self.insert_trace,
            (false, true) => &mut self.update_trace,
            (false, false) => &mut self.update_trace_and_start,
        });
        row.bind(trace.key)?;
        bind_summary(&mut row, summary, head.label)?;
        if !keeps_start {
            row.bind(summary.start.unix_micros())?;
            row.bind(summary.start.subsec_nanos_below_micro())?;
        }
        if is_new {
            row.bind(trace.account_key)?;
            row.bind(trace.hash)?;
            row.bind(CompactId::new(trace.trace_id.as_str()))?;
        }
        row.execute()?;
        trace.stored_start = Some(summary.start);
        Ok(())
    }
}

/// Binds [`SPAN_VALUES`].
fn bind_values(row: &mut Binding<'_, '_>, span: &Span, place: Option<Place>) -> Result<()> {
    let (duration_micros, end_nanos) = end_of(span);
    row.bind_some(span.parent_id.as_ref().map(|id| CompactId::new(id.as_str())))?;
    row.bind(&span.name)?;
    row.bind(span.start_time.subsec_nanos_below_micro())?;
    row.bind_some(duration_micros)?;
    row.bind_some(end_nanos)?;
    row.bind_some(span.status.map(|status| status.code()))?;
    row.bind_some(span.span_type.map(|span_type| span_type.code()))?;
    row.bind_some(compact(&span.group_id))?;
    row.bind_some(compact(&span.application_variant_id))?;
    row.bind_some(compact(&span.application_interaction_id))?;
    row.bind_some(compact(&span.obs_trace_id))?;
    row.bind_some(compact(&span.obs_span_id))?;
    row.bind_some(place.map(|place| place.block_key))?;
    row.bind_some(place.map(|place| place.offset))?;
    row.bind(span.payload_bytes() as i64)
}

/// Binds [`TRACE_VALUES`].
fn bind_summary(row: &mut Binding<'_, '_>, summary: &Summary, head: i64) -> Result<()> {
    row.bind_some(summary.end.map(Timestamp::unix_micros))?;
    row.bind_some(summary.end.map(Timestamp::subsec_nanos_below_micro))?;
    let (calls, aggregates) = (summary.calls, summary.aggregates);
    for number in [summary.span_count, summary.open_count, summary.error_count, head] {
        row.bind(number)?;
    }
    for number in [calls.count, calls.input, calls.output] {
        row.bind(number)?;
    }
    for number in [aggregates.count, aggregates.input, aggregates.output] {
        row.bind(number)?;
    }
    row.bind(summary.last_start.unix_micros())?;
    row.bind(summary.last_start.subsec_nanos_below_micro())?;
    row.bind(summary.payload_bytes)?;
    for number in [calls.cost_count, calls.cost, aggregates.cost_count, aggregates.cost] {
        row.bind(number)?;
    }
    Ok(())
}

pub(crate) fn end_of(span: &Span) -> (Option<i64>, Option<u16>) {
    let end = span.end_time;
    (
        end.map(|end| end.unix_micros() - span.start_time.unix_micros()),
        end.map(Timestamp::subsec_nanos_below_micro),
    )
}

fn compact(text: &Option<String>) -> Option<CompactId<'_>> {
    text.as_deref().map(CompactId::new)
}
