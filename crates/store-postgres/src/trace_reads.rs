//! Traces as wholes: pages of summaries, and the structure of one.

use std::fmt::Write as _;

use endspan_model::{AccountId, TraceId};
use endspan_store::{
    SpanHeader, TraceFilter, TracePage, TraceQuery, TraceState, TraceSummary, cursor::TraceCursor,
};

use crate::{
    connections::Parameter,
    error::Result,
    reads::{Reading, Scope, trace_rows},
    writer::{SLOT_SHIFT, Summary, TRACE_ROW, read_trace_row},
};

/// Rows that are taken from the database at once when a filter may pass over some.
const BATCH: usize = 200;

pub(crate) async fn list_traces(
    reading: &mut Reading<'_>,
    account: Option<&AccountId>,
    query: &TraceQuery,
) -> Result<TracePage> {
    let after = query.after.as_deref().map(TraceCursor::decode).transpose()?;
    let limit = query.limit as usize;
    let scope = reading.scope(account).await?;
    if limit == 0 || scope == Scope::Nobody {
        return Ok(TracePage::default());
    }
    let begin = after.as_ref().map(|after| after.start_time).or(query.filter.start_before);
    let begin_slot = begin.map_or(i64::MAX, |begin| begin.unix_micros() >> SLOT_SHIFT);
    let begin_micros = begin.map_or(i64::MAX, |begin| begin.unix_micros());
    let begin_nanos = begin.map_or(0, |begin| begin.subsec_nanos_below_micro()) as i16;
    let begin_id = after.as_ref().map_or("", |after| after.trace_id.as_str()).as_bytes();
    let end_slot = query.filter.start_from.map_or(i64::MIN, |from| from.unix_micros() >> SLOT_SHIFT);
    let conditions = format!(
        "t.start_slot <= $1 AND t.start_slot >= $5 AND (t.start_micros < $2 OR (t.start_micros = $2 AND \
         (t.start_nanos < $3 OR (t.start_nanos = $3 AND t.trace_id >= $4)))) \
         AND ($6::bytea IS NULL OR t.agent_name = $6){}",
        conditions(&query.filter)
    );
    let source = match scope.merged() {
        Some(accounts) => {
            let each: Vec<String> = accounts
                .iter()
                .map(|key| format!("SELECT * FROM traces t WHERE t.account_key = {key} AND {conditions}"))
                .collect();
            format!("({})", each.join(" UNION ALL "))
        }
        None => format!("(SELECT * FROM traces t WHERE {conditions})"),
    };
    let sql = format!(
        "SELECT {TRACE_ROW} FROM {source} t ORDER BY t.start_slot DESC, t.start_micros DESC, t.start_nanos DESC, \
         t.trace_id{}",
        scope.order("t", "ASC")
    );
    let agent = query.filter.agent.as_ref().map(String::as_bytes);
    let parameters: [Parameter<'_>; 6] =
        [&begin_slot, &begin_micros, &begin_nanos, &begin_id, &end_slot, &agent];

    let mut traces: Vec<TraceSummary> = Vec::new();
    reading.snapshot.declare(&sql, &parameters).await?;
    loop {
        let rows = reading.snapshot.fetch((limit + 1).min(BATCH)).await?;
        let is_last = rows.len() < (limit + 1).min(BATCH);
        for row in &rows {
            let trace = read_trace_row(row)?;
            let account = reading.account(trace.account_key).await?;
            let Some(summary) = summary_of(account, trace.trace_id, trace.summary) else { continue };
            let is_ahead = after.as_ref().is_none_or(|after| {
                let key = |start, trace_id: &TraceId, account: &AccountId| {
                    (std::cmp::Reverse(start), trace_id.clone(), account.clone())
                };
                key(summary.start_time, &summary.trace_id, &summary.account)
                    > key(after.start_time, &after.trace_id, &after.account)
            });
            if is_ahead && query.filter.matches(&summary) {
                traces.push(summary);
            }
        }
        if traces.len() > limit || is_last {
            break;
        }
    }
    let more = traces.len() > limit;
    traces.truncate(limit);
    let next = traces.last().filter(|_| more).map(|last| {
        let (start_time, trace_id, account) = (last.start_time, last.trace_id.clone(), last.account.clone());
        TraceCursor { start_time, trace_id, account }.encode()
    });
    Ok(TracePage { traces, next })
}

fn summary_of(account: AccountId, trace_id: TraceId, summary: Summary) -> Option<TraceSummary> {
    let head = summary.head?;
    let tokens = match (summary.calls.count, summary.aggregates.count) {
        (0, 0) => None,
        (0, _) => Some(summary.aggregates),
        _ => Some(summary.calls),
    };
    Some(TraceSummary {
        account,
        trace_id,
        name: head.label.name,
        start_time: summary.start,
        end_time: summary.end,
        span_count: u64::from(summary.span_count.unsigned_abs()),
        open_count: u64::from(summary.open_count.unsigned_abs()),
        error_count: u64::from(summary.error_count.unsigned_abs()),
        status: head.label.status.filter(|_| !head.has_parent),
        agent_name: head.label.agent_name,
        input_tokens: tokens.map(|tokens| tokens.input.unsigned_abs()),
        output_tokens: tokens.map(|tokens| tokens.output.unsigned_abs()),
    })
}

/// What Postgres can tell of a filter without a row becoming a summary. Holds numbers only, no text of the caller.
fn conditions(filter: &TraceFilter) -> String {
    const TOKENS: &str = "(CASE WHEN t.call_count > 0 THEN t.call_input + t.call_output \
         ELSE t.aggregate_input + t.aggregate_output END)";
    const MICROS: &str = "greatest(t.end_micros - t.start_micros, 0)";
    let mut sql = String::new();
    let mut bound = |left: &str, comparison: &str, number: Option<u64>| {
        if let Some(number) = number.and_then(|number| i64::try_from(number).ok()) {
            // Writing to a String cannot fail.
            let _ = write!(sql, " AND {left} {comparison} {number}");
        }
    };
    bound(MICROS, ">=", filter.min_duration_micros);
    bound(MICROS, "<=", filter.max_duration_micros);
    bound(TOKENS, ">=", filter.min_tokens);
    bound(TOKENS, "<=", filter.max_tokens);
    if filter.min_duration_micros.is_some() || filter.max_duration_micros.is_some() {
        sql.push_str(" AND t.end_micros IS NOT NULL");
    }
    match filter.has_error {
        Some(true) => sql.push_str(" AND t.error_count > 0"),
        Some(false) => sql.push_str(" AND t.error_count = 0"),
        None => {}
    }
    if !filter.states.is_empty() {
        let codes: Vec<&str> = filter
            .states
            .iter()
            .map(|state| match state {
                TraceState::Error => "2",
                TraceState::Canceled => "3",
                TraceState::Running => "0",
                TraceState::Ok => "1",
            })
            .collect();
        let _ = write!(
            sql,
            " AND (CASE WHEN NOT t.head_has_parent AND t.head_status IN (2, 3) THEN t.head_status \
             WHEN t.open_count = 0 THEN 1 ELSE 0 END) IN ({})",
            codes.join(", ")
        );
    }
    sql
}

pub(crate) async fn read_structure(
    reading: &mut Reading<'_>,
    account: Option<&AccountId>,
    trace_id: &TraceId,
) -> Result<Vec<SpanHeader>> {
    let mut headers = Vec::new();
    for row in trace_rows(reading, account, trace_id).await? {
        headers.push(SpanHeader {
            account: reading.account(row.account_key).await?,
            id: row.span.id,
            parent_id: row.span.parent_id,
            name: row.span.name,
            start_time: row.span.start_time,
            end_time: row.span.end_time,
            status: row.span.status,
            span_type: row.span.span_type,
            facets: row.facets,
            version: row.version.unsigned_abs(),
        });
    }
    headers.sort_by(|left, right| {
        (left.start_time.cmp(&right.start_time))
            .then_with(|| left.id.cmp(&right.id))
            .then_with(|| left.account.cmp(&right.account))
    });
    Ok(headers)
}
