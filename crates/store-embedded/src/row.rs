//! Span rows: which columns there are, and how a row reads as a span.

use endspan_model::{Facets, Span, SpanId, SpanType, Status, Timestamp, UsageKind};
use endspan_store::engine::{Facts, Usage, stored_count};
use rusqlite::Row;

use crate::{
    binding::Binding,
    compact_id::StoredId,
    error::{EngineError, Result},
};

/// What the writer must know of a stored span to decide about a new version of it.
#[derive(Clone, Debug)]
pub(crate) struct StoredRow {
    pub(crate) sequence: i64,
    /// The position of the latest write.
    pub(crate) version: i64,
    pub(crate) account_key: i64,
    pub(crate) trace_key: i64,
    pub(crate) id: SpanId,
    pub(crate) task_id: Option<String>,
    pub(crate) facts: Facts,
    pub(crate) place: Option<Place>,
    pub(crate) payload_bytes: i64,
}

/// Where a span's payloads are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) block_key: i64,
    pub(crate) offset: i64,
}

/// The columns that [`read_stored_row`] reads, in its order.
pub(crate) const STORED_ROW: &str = "sequence, version, account_key, trace_key, id, start_micros, start_nanos, \
     duration_micros, end_nanos, status, parent_id IS NOT NULL, block_key, block_offset, payload_bytes, task_id, \
     usage_kind, input_tokens, output_tokens, cost";

pub(crate) fn read_stored_row(row: &Row<'_>) -> Result<StoredRow> {
    let sequence = row.get(0)?;
    let (start, end) = read_times(row, 5)?;
    Ok(StoredRow {
        sequence,
        version: row.get::<_, Option<i64>>(1)?.unwrap_or(sequence),
        account_key: row.get(2)?,
        trace_key: row.get(3)?,
        id: SpanId::from(row.get::<_, StoredId>(4)?.0),
        task_id: read_id(row, 14)?,
        facts: Facts {
            start,
            end,
            is_error: read_status(row, 9)? == Some(Status::Error),
            has_parent: row.get(10)?,
            usage: read_usage_kind(row, 15)?
                .map(|kind| Ok::<_, EngineError>(Usage::new(kind, row.get(16)?, row.get(17)?, row.get(18)?)))
                .transpose()?,
            payload_bytes: row.get(13)?,
        },
        place: read_place(row, 11)?,
        payload_bytes: row.get(13)?,
    })
}

/// Reads `start_micros, start_nanos, duration_micros, end_nanos` beginning at a column.
pub(crate) fn read_times(row: &Row<'_>, at: usize) -> Result<(Timestamp, Option<Timestamp>)> {
    let micros: i64 = row.get(at)?;
    let start = timestamp(micros, row.get(at + 1)?)?;
    let end = match row.get::<_, Option<i64>>(at + 2)? {
        Some(duration) => Some(timestamp(micros.saturating_add(duration), row.get(at + 3)?)?),
        None => None,
    };
    Ok((start, end))
}

pub(crate) fn timestamp(micros: i64, nanos: u16) -> Result<Timestamp> {
    Timestamp::from_parts(micros, nanos)
        .ok_or_else(|| EngineError::damaged("a row holds a time out of range"))
}

pub(crate) fn read_status(row: &Row<'_>, at: usize) -> Result<Option<Status>> {
    let known =
        |code| Status::from_code(code).ok_or_else(|| EngineError::damaged("a row holds an unknown status"));
    row.get::<_, Option<u8>>(at)?.map(known).transpose()
}

pub(crate) fn read_type(row: &Row<'_>, at: usize) -> Result<Option<SpanType>> {
    let known =
        |code| SpanType::from_code(code).ok_or_else(|| EngineError::damaged("a row holds an unknown type"));
    row.get::<_, Option<u8>>(at)?.map(known).transpose()
}

pub(crate) fn read_usage_kind(row: &Row<'_>, at: usize) -> Result<Option<UsageKind>> {
    let known = |code| {
        UsageKind::from_code(code).ok_or_else(|| EngineError::damaged("a row holds an unknown kind of usage"))
    };
    row.get::<_, Option<u8>>(at)?.map(known).transpose()
}

/// The columns that [`read_facets`] reads, in its order.
pub(crate) const FACETS: &str = "input_tokens, output_tokens, usage_kind, agent_id, agent_name, acp_type, \
     cached_tokens, cost, model, error_type, error_message";

/// Binds [`FACETS`].
pub(crate) fn bind_facets(row: &mut Binding<'_, '_>, facets: &Facets) -> Result<()> {
    row.bind_some(stored_count(facets.input_tokens))?;
    row.bind_some(stored_count(facets.output_tokens))?;
    row.bind_some(facets.usage_kind.map(|kind| kind.code()))?;
    row.bind_some(facets.agent_id.as_ref())?;
    row.bind_some(facets.agent_name.as_ref())?;
    row.bind_some(facets.acp_type.as_ref())?;
    row.bind_some(stored_count(facets.cached_tokens))?;
    row.bind_some(stored_count(facets.cost_picodollars))?;
    row.bind_some(facets.model.as_ref())?;
    row.bind_some(facets.error_type.as_ref())?;
    row.bind_some(facets.error_message.as_ref())
}

/// Reads [`FACETS`] beginning at a column.
pub(crate) fn read_facets(row: &Row<'_>, at: usize) -> Result<Facets> {
    let count = |at: usize| Ok::<_, EngineError>(row.get::<_, Option<i64>>(at)?.map(i64::unsigned_abs));
    Ok(Facets {
        input_tokens: count(at)?,
        output_tokens: count(at + 1)?,
        usage_kind: read_usage_kind(row, at + 2)?,
        agent_id: row.get(at + 3)?,
        agent_name: row.get(at + 4)?,
        acp_type: row.get(at + 5)?,
        cached_tokens: count(at + 6)?,
        cost_picodollars: count(at + 7)?,
        model: row.get(at + 8)?,
        error_type: row.get(at + 9)?,
        error_message: row.get(at + 10)?,
    })
}

pub(crate) fn read_place(row: &Row<'_>, at: usize) -> Result<Option<Place>> {
    Ok(match row.get(at)? {
        Some(block_key) => Some(Place { block_key, offset: row.get(at + 1)? }),
        None => None,
    })
}

pub(crate) fn read_id(row: &Row<'_>, at: usize) -> Result<Option<String>> {
    Ok(row.get::<_, Option<StoredId>>(at)?.map(|id| id.0))
}

/// The columns that [`read_span_row`] reads, in its order.
pub(crate) const SPAN_ROW: &str = "sequence, version, account_key, trace_key, id, parent_id, name, start_micros, \
     start_nanos, duration_micros, end_nanos, status, type, task_id, group_id, application_variant_id, \
     application_interaction_id, obs_trace_id, obs_span_id, block_key, block_offset";

/// A row on its way to becoming a span: the trace is still a key, and the payloads are elsewhere.
#[derive(Debug)]
pub(crate) struct SpanRow {
    pub(crate) sequence: i64,
    pub(crate) version: i64,
    pub(crate) account_key: i64,
    pub(crate) trace_key: i64,
    /// The span with an empty trace id and no payloads.
    pub(crate) span: Span,
    pub(crate) place: Option<Place>,
}

pub(crate) fn read_span_row(row: &Row<'_>) -> Result<SpanRow> {
    let sequence = row.get(0)?;
    let id: StoredId = row.get(4)?;
    let (start_time, end_time) = read_times(row, 7)?;
    let span = Span {
        parent_id: read_id(row, 5)?.map(SpanId::from),
        end_time,
        status: read_status(row, 11)?,
        span_type: read_type(row, 12)?,
        task_id: read_id(row, 13)?,
        group_id: read_id(row, 14)?,
        application_variant_id: read_id(row, 15)?,
        application_interaction_id: read_id(row, 16)?,
        obs_trace_id: read_id(row, 17)?,
        obs_span_id: read_id(row, 18)?,
        ..Span::new("", id.0, row.get::<_, String>(6)?, start_time)
    };
    Ok(SpanRow {
        sequence,
        version: row.get::<_, Option<i64>>(1)?.unwrap_or(sequence),
        account_key: row.get(2)?,
        trace_key: row.get(3)?,
        span,
        place: read_place(row, 19)?,
    })
}
