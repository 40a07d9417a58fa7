//! The statements that write rows of spans and traces.

use endspan_model::{Facets, Span, Timestamp};
use rusqlite::{Connection, Statement, params};

use super::traces::Trace;
use crate::{
    compact_id::CompactId,
    error::Result,
    row::{Place, StoredRow, stored_count},
    shared::short_hash,
};

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
        Ok(Self {
            insert_span: connection.prepare(
                "INSERT INTO spans (sequence, account_key, trace_key, id_hash, id, parent_id, name, start_micros, \
                 start_nanos, duration_micros, end_nanos, status, type, task_id, group_id, application_variant_id, \
                 application_interaction_id, obs_trace_id, obs_span_id, block_key, block_offset, payload_bytes, \
                 input_tokens, output_tokens, usage_kind, agent_id, agent_name, acp_type, cached_tokens, cost, model, \
                 error_type, error_message) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, \
                 ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33)",
            )?,
            // Leaves every indexed column alone, so that no index is touched.
            update_span: connection.prepare(
                "UPDATE spans SET version = ?2, parent_id = ?3, name = ?4, start_nanos = ?5, duration_micros = ?6, \
                 end_nanos = ?7, status = ?8, type = ?9, group_id = ?10, application_variant_id = ?11, \
                 application_interaction_id = ?12, obs_trace_id = ?13, obs_span_id = ?14, block_key = ?15, \
                 block_offset = ?16, payload_bytes = ?17, input_tokens = ?18, output_tokens = ?19, usage_kind = ?20, \
                 agent_id = ?21, agent_name = ?22, acp_type = ?23, cached_tokens = ?24, cost = ?25, \
                 model = ?26, error_type = ?27, error_message = ?28 WHERE sequence = ?1",
            )?,
            update_span_and_keys: connection.prepare(
                "UPDATE spans SET version = ?2, parent_id = ?3, name = ?4, start_nanos = ?5, duration_micros = ?6, \
                 end_nanos = ?7, status = ?8, type = ?9, group_id = ?10, application_variant_id = ?11, \
                 application_interaction_id = ?12, obs_trace_id = ?13, obs_span_id = ?14, block_key = ?15, \
                 block_offset = ?16, payload_bytes = ?17, input_tokens = ?18, output_tokens = ?19, usage_kind = ?20, \
                 agent_id = ?21, agent_name = ?22, acp_type = ?23, cached_tokens = ?24, cost = ?25, \
                 model = ?26, error_type = ?27, error_message = ?28, trace_key = ?29, start_micros = ?30, \
                 task_id = ?31 WHERE sequence = ?1",
            )?,
            insert_rewrite: connection.prepare("INSERT INTO rewrites (version, sequence) VALUES (?1, ?2)")?,
            delete_rewrite: connection.prepare("DELETE FROM rewrites WHERE version = ?1")?,
            insert_trace: connection.prepare(
                "INSERT INTO traces (trace_key, account_key, trace_hash, trace_id, start_micros, start_nanos, \
                 end_micros, end_nanos, span_count, open_count, error_count, head, call_count, call_input, \
                 call_output, aggregate_count, aggregate_input, aggregate_output, last_micros, last_nanos, \
                 payload_bytes, call_cost_count, call_cost, aggregate_cost_count, aggregate_cost) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, \
                 ?21, ?22, ?23, ?24, ?25)",
            )?,
            update_trace: connection.prepare(
                "UPDATE traces SET end_micros = ?2, end_nanos = ?3, span_count = ?4, open_count = ?5, \
                 error_count = ?6, head = ?7, call_count = ?8, call_input = ?9, call_output = ?10, \
                 aggregate_count = ?11, aggregate_input = ?12, aggregate_output = ?13, last_micros = ?14, \
                 last_nanos = ?15, payload_bytes = ?16, call_cost_count = ?17, call_cost = ?18, \
                 aggregate_cost_count = ?19, aggregate_cost = ?20 WHERE trace_key = ?1",
            )?,
            update_trace_and_start: connection.prepare(
                "UPDATE traces SET end_micros = ?2, end_nanos = ?3, span_count = ?4, open_count = ?5, \
                 error_count = ?6, head = ?7, call_count = ?8, call_input = ?9, call_output = ?10, \
                 aggregate_count = ?11, aggregate_input = ?12, aggregate_output = ?13, last_micros = ?14, \
                 last_nanos = ?15, payload_bytes = ?16, call_cost_count = ?17, call_cost = ?18, \
                 aggregate_cost_count = ?19, aggregate_cost = ?20, start_micros = ?21, start_nanos = ?22 WHERE trace_key = ?1",
            )?,
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
        let (duration_micros, end_nanos) = end_of(span);
        self.insert_span.execute(params![
            sequence,
            trace.account_key,
            trace.key,
            short_hash(hash),
            CompactId::new(span.id.as_str()),
            span.parent_id.as_ref().map(|id| CompactId::new(id.as_str())),
            span.name,
            span.start_time.unix_micros(),
            span.start_time.subsec_nanos_below_micro(),
            duration_micros,
            end_nanos,
            span.status.map(|status| status.code()),
            span.span_type.map(|span_type| span_type.code()),
            compact(&span.task_id),
            compact(&span.group_id),
            compact(&span.application_variant_id),
            compact(&span.application_interaction_id),
            compact(&span.obs_trace_id),
            compact(&span.obs_span_id),
            place.map(|place| place.block_key),
            place.map(|place| place.offset),
            span.payload_bytes() as i64,
            stored_count(facets.input_tokens),
            stored_count(facets.output_tokens),
            facets.usage_kind.map(|kind| kind.code()),
            facets.agent_id,
            facets.agent_name,
            facets.acp_type,
            stored_count(facets.cached_tokens),
            stored_count(facets.cost_picodollars),
            facets.model,
            facets.error_type,
            facets.error_message,
        ])?;
        Ok(())
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
        let (duration_micros, end_nanos) = end_of(span);
        let parent_id = span.parent_id.as_ref().map(|id| CompactId::new(id.as_str()));
        let start_nanos = span.start_time.subsec_nanos_below_micro();
        let (status, span_type) = (span.status.map(|one| one.code()), span.span_type.map(|one| one.code()));
        let (block_key, offset) = (place.map(|place| place.block_key), place.map(|place| place.offset));
        let payload_bytes = span.payload_bytes() as i64;
        let usage_kind = facets.usage_kind.map(|kind| kind.code());
        let group_id = compact(&span.group_id);
        let variant_id = compact(&span.application_variant_id);
        let interaction_id = compact(&span.application_interaction_id);
        let (obs_trace_id, obs_span_id) = (compact(&span.obs_trace_id), compact(&span.obs_span_id));
        if keeps_keys {
            self.update_span.execute(params![
                row.sequence,
                version,
                parent_id,
                span.name,
                start_nanos,
                duration_micros,
                end_nanos,
                status,
                span_type,
                group_id,
                variant_id,
                interaction_id,
                obs_trace_id,
                obs_span_id,
                block_key,
                offset,
                payload_bytes,
                stored_count(facets.input_tokens),
                stored_count(facets.output_tokens),
                usage_kind,
                facets.agent_id,
                facets.agent_name,
                facets.acp_type,
                stored_count(facets.cached_tokens),
                stored_count(facets.cost_picodollars),
                facets.model,
                facets.error_type,
                facets.error_message,
            ])?;
        } else {
            self.update_span_and_keys.execute(params![
                row.sequence,
                version,
                parent_id,
                span.name,
                start_nanos,
                duration_micros,
                end_nanos,
                status,
                span_type,
                group_id,
                variant_id,
                interaction_id,
                obs_trace_id,
                obs_span_id,
                block_key,
                offset,
                payload_bytes,
                stored_count(facets.input_tokens),
                stored_count(facets.output_tokens),
                usage_kind,
                facets.agent_id,
                facets.agent_name,
                facets.acp_type,
                stored_count(facets.cached_tokens),
                stored_count(facets.cost_picodollars),
                facets.model,
                facets.error_type,
                facets.error_message,
                trace.key,
                span.start_time.unix_micros(),
                compact(&span.task_id),
            ])?;
        }
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
        let end_micros = summary.end.map(Timestamp::unix_micros);
        let end_nanos = summary.end.map(Timestamp::subsec_nanos_below_micro);
        let (start_micros, start_nanos) =
            (summary.start.unix_micros(), summary.start.subsec_nanos_below_micro());
        let (calls, aggregates) = (summary.calls, summary.aggregates);
        match trace.stored_start {
            None => self.insert_trace.execute(params![
                trace.key,
                trace.account_key,
                trace.hash,
                CompactId::new(trace.trace_id.as_str()),
                start_micros,
                start_nanos,
                end_micros,
                end_nanos,
                summary.span_count,
                summary.open_count,
                summary.error_count,
                head.sequence,
                calls.count,
                calls.input,
                calls.output,
                aggregates.count,
                aggregates.input,
                aggregates.output,
                summary.last.unix_micros(),
                summary.last.subsec_nanos_below_micro(),
                summary.payload_bytes,
                calls.cost_count,
                calls.cost,
                aggregates.cost_count,
                aggregates.cost,
            ])?,
            Some(start) if start == summary.start => self.update_trace.execute(params![
                trace.key,
                end_micros,
                end_nanos,
                summary.span_count,
                summary.open_count,
                summary.error_count,
                head.sequence,
                calls.count,
                calls.input,
                calls.output,
                aggregates.count,
                aggregates.input,
                aggregates.output,
                summary.last.unix_micros(),
                summary.last.subsec_nanos_below_micro(),
                summary.payload_bytes,
                calls.cost_count,
                calls.cost,
                aggregates.cost_count,
                aggregates.cost,
            ])?,
            Some(_) => self.update_trace_and_start.execute(params![
                trace.key,
                end_micros,
                end_nanos,
                summary.span_count,
                summary.open_count,
                summary.error_count,
                head.sequence,
                calls.count,
                calls.input,
                calls.output,
                aggregates.count,
                aggregates.input,
                aggregates.output,
                summary.last.unix_micros(),
                summary.last.subsec_nanos_below_micro(),
                summary.payload_bytes,
                calls.cost_count,
                calls.cost,
                aggregates.cost_count,
                aggregates.cost,
                start_micros,
                start_nanos,
            ])?,
        };
        trace.stored_start = Some(summary.start);
        Ok(())
    }
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
