//! Span rows: which columns there are, and how a row reads as a span.

use endspan_model::{AccountId, Facets, Span, SpanId, SpanType, Status, Timestamp, TraceId, UsageKind};
use endspan_store::engine::{Facts, Usage};
use tokio_postgres::{Row, types::FromSql};

use crate::error::{EngineError, Result};

/// Reads a column; a type that does not fit is damage, not a panic.
pub(crate) fn get<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T> {
    row.try_get(at).map_err(|_| EngineError::damaged(format!("a row holds no such value in column {at}")))
}

pub(crate) fn get_text(row: &Row, at: usize) -> Result<String> {
    text(get(row, at)?)
}

pub(crate) fn get_optional_text(row: &Row, at: usize) -> Result<Option<String>> {
    get::<Option<&[u8]>>(row, at)?.map(text).transpose()
}

fn text(bytes: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(bytes).map_err(|_| EngineError::damaged("a row holds no text"))?;
    Ok(text.to_owned())
}

/// Reads microseconds and nanoseconds.
pub(crate) fn get_time(row: &Row, micros: usize, nanos: usize) -> Result<Timestamp> {
    let out_of_range = || EngineError::damaged("a row holds a time out of range");
    let below = u16::try_from(get::<i16>(row, nanos)?).map_err(|_| out_of_range())?;
    Timestamp::from_parts(get(row, micros)?, below).ok_or_else(out_of_range)
}

pub(crate) fn get_optional_time(row: &Row, micros: usize, nanos: usize) -> Result<Option<Timestamp>> {
    match get::<Option<i64>>(row, micros)? {
        Some(_) => get_time(row, micros, nanos).map(Some),
        None => Ok(None),
    }
}

fn get_code<T>(row: &Row, at: usize, from_code: impl Fn(u8) -> Option<T>) -> Result<Option<T>> {
    let known = |code: i16| {
        let found = u8::try_from(code).ok().and_then(&from_code);
        found.ok_or_else(|| EngineError::damaged(format!("a row holds an unknown code in column {at}")))
    };
    get::<Option<i16>>(row, at)?.map(known).transpose()
}

pub(crate) fn get_status(row: &Row, at: usize) -> Result<Option<Status>> {
    get_code(row, at, Status::from_code)
}

fn get_usage_kind(row: &Row, at: usize) -> Result<Option<UsageKind>> {
    get_code(row, at, UsageKind::from_code)
}

/// What the writer must know of a stored span to decide about a new version of it.
#[derive(Clone, Debug)]
pub(crate) struct StoredRow {
    pub(crate) sequence: i64,
    pub(crate) version: i64,
    pub(crate) account_key: i32,
    pub(crate) trace_id: TraceId,
    pub(crate) id: SpanId,
    pub(crate) facts: Facts,
    pub(crate) place: Option<Place>,
}

/// Where a span's payloads are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) block_key: i64,
    pub(crate) offset: i32,
}

fn get_place(row: &Row, at: usize) -> Result<Option<Place>> {
    Ok(match get::<Option<i64>>(row, at)? {
        Some(block_key) => Some(Place { block_key, offset: get(row, at + 1)? }),
        None => None,
    })
}

/// The columns that [`read_stored_row`] reads, in its order.
pub(crate) const STORED_ROW: &str = "s.sequence, s.version, s.account_key, s.trace_id, s.id, s.start_micros, \
     s.start_nanos, s.end_micros, s.end_nanos, s.status, s.parent_id IS NOT NULL, s.usage_kind, s.input_tokens, \
     s.output_tokens, s.cost, s.payload_bytes, s.block_key, s.block_offset";

pub(crate) fn read_stored_row(row: &Row) -> Result<StoredRow> {
    Ok(StoredRow {
        sequence: get(row, 0)?,
        version: get(row, 1)?,
        account_key: get(row, 2)?,
        trace_id: TraceId::from(get_text(row, 3)?),
        id: SpanId::from(get_text(row, 4)?),
        facts: read_facts(row, 5)?,
        place: get_place(row, 16)?,
    })
}

/// Reads `start_micros, start_nanos, end_micros, end_nanos, status, has_parent, usage_kind, input_tokens,
/// output_tokens, cost, payload_bytes` beginning at a column.
pub(crate) fn read_facts(row: &Row, at: usize) -> Result<Facts> {
    let usage = match get_usage_kind(row, at + 6)? {
        Some(kind) => Some(Usage::new(kind, get(row, at + 7)?, get(row, at + 8)?, get(row, at + 9)?)),
        None => None,
    };
    Ok(Facts {
        start: get_time(row, at, at + 1)?,
        end: get_optional_time(row, at + 2, at + 3)?,
        is_error: get_status(row, at + 4)? == Some(Status::Error),
        has_parent: get(row, at + 5)?,
        usage,
        payload_bytes: get::<i32>(row, at + 10)?.into(),
    })
}

/// The columns that [`read_span_row`] reads, in its order.
pub(crate) const SPAN_ROW: &str = "s.sequence, s.version, s.account_key, s.id_hash, s.trace_id, s.id, s.parent_id, \
     s.name, s.start_micros, s.start_nanos, s.end_micros, s.end_nanos, s.status, s.span_type, s.task_id, s.group_id, \
     s.application_variant_id, s.application_interaction_id, s.obs_trace_id, s.obs_span_id, s.block_key, \
     s.block_offset, s.input_tokens, s.output_tokens, s.usage_kind, s.agent_id, s.agent_name, s.acp_type, \
     s.cached_tokens, s.cost, s.model, s.error_type, s.error_message";

/// A row on its way to becoming a span: the payloads are elsewhere.
#[derive(Debug)]
pub(crate) struct SpanRow {
    pub(crate) version: i64,
    pub(crate) account_key: i32,
    pub(crate) id_hash: i64,
    /// The span without payloads.
    pub(crate) span: Span,
    pub(crate) place: Option<Place>,
    pub(crate) facets: Facets,
}

pub(crate) fn read_span_row(row: &Row) -> Result<SpanRow> {
    let count = |at: usize| Ok::<_, EngineError>(get::<Option<i64>>(row, at)?.map(i64::unsigned_abs));
    let start_time = get_time(row, 8, 9)?;
    let span = Span {
        parent_id: get_optional_text(row, 6)?.map(SpanId::from),
        end_time: get_optional_time(row, 10, 11)?,
        status: get_status(row, 12)?,
        span_type: get_code(row, 13, SpanType::from_code)?,
        task_id: get_optional_text(row, 14)?,
        group_id: get_optional_text(row, 15)?,
        application_variant_id: get_optional_text(row, 16)?,
        application_interaction_id: get_optional_text(row, 17)?,
        obs_trace_id: get_optional_text(row, 18)?,
        obs_span_id: get_optional_text(row, 19)?,
        ..Span::new(get_text(row, 4)?, get_text(row, 5)?, get_text(row, 7)?, start_time)
    };
    Ok(SpanRow {
        version: get(row, 1)?,
        account_key: get(row, 2)?,
        id_hash: get(row, 3)?,
        span,
        place: get_place(row, 20)?,
        facets: Facets {
            input_tokens: count(22)?,
            output_tokens: count(23)?,
            usage_kind: get_usage_kind(row, 24)?,
            agent_id: get_optional_text(row, 25)?,
            agent_name: get_optional_text(row, 26)?,
            acp_type: get_optional_text(row, 27)?,
            cached_tokens: count(28)?,
            cost_picodollars: count(29)?,
            model: get_optional_text(row, 30)?,
            error_type: get_optional_text(row, 31)?,
            error_message: get_optional_text(row, 32)?,
        },
    })
}

/// Reads rows of `account_key, account`.
pub(crate) fn read_accounts(rows: &[Row]) -> Result<Vec<(i32, AccountId)>> {
    rows.iter().map(|row| Ok((get(row, 0)?, AccountId::new(get_text(row, 1)?)))).collect()
}
