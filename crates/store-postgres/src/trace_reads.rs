//! Traces as wholes: pages of summaries, and the structure of one.

use std::{fmt::Write as _, time::Instant};

use endspan_model::{AccountId, TraceId};
use endspan_store::{
    SpanHeader, TraceFilter, TracePage, TraceQuery, TraceSummary, cursor::TraceCursor, engine::state_codes,
};

use crate::{
    assessments::trace_condition,
    connections::Parameter,
    error::Result,
    reads::{Reading, Scope, trace_rows},
    row::{SPAN_ROW, get},
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
    let scope = reading.scope(account).await?;
    let mut page = TracePage::default();
    if scope == Scope::Nobody {
        return Ok(page);
    }
    let limit = query.limit as usize;
    declare(reading, &scope, query, after.as_ref()).await?;
    let count = (limit + 1).min(BATCH);
    loop {
        let rows = reading.snapshot.fetch(count).await?;
        let is_last = rows.len() < count;
        for row in &rows {
            let trace = read_trace_row(row)?;
            let may_pass: bool = get(row, PASSES_AT)?;
            let hash = trace.hash;
            let account = reading.account(trace.account_key).await?;
            let Some(summary) = summary_of(account, trace.trace_id, trace.summary) else { continue };
            if after.as_ref().is_some_and(|after| !is_behind(&summary, after)) {
                continue;
            }
            let passes = may_pass
                && query.filter.matches(&summary)
                && holds_text(reading, hash, trace.account_key, &summary, &query.filter).await?;
            if passes && page.traces.len() == limit {
                page.next = page.traces.last().map(|last| TraceCursor::of(last).encode());
                return Ok(page);
            }
            let is_late = query.deadline.is_some_and(|deadline| Instant::now() >= deadline);
            let examined = is_late.then(|| TraceCursor::of(&summary).encode());
            page.traces.extend(passes.then_some(summary));
            if is_late {
                (page.next, page.is_partial) = (examined, true);
                return Ok(page);
            }
        }
        if is_last {
            return Ok(page);
        }
    }
}

/// Where a row says whether its trace passes as far as Postgres can tell.
const PASSES_AT: usize = 32;

/// Opens a cursor over the traces in the order of the list, beginning about where the page does.
async fn declare(
    reading: &mut Reading<'_>,
    scope: &Scope,
    query: &TraceQuery,
    after: Option<&TraceCursor>,
) -> Result<()> {
    let begin = after.map(|after| after.start_time).or(query.filter.start_before);
    let begin_slot = begin.map_or(i64::MAX, |begin| begin.unix_micros() >> SLOT_SHIFT);
    let begin_micros = begin.map_or(i64::MAX, |begin| begin.unix_micros());
    let begin_nanos = begin.map_or(0, |begin| begin.subsec_nanos_below_micro()) as i16;
    let begin_id = after.map_or("", |after| after.trace_id.as_str()).as_bytes();
    let end_slot = query.filter.start_from.map_or(i64::MIN, |from| from.unix_micros() >> SLOT_SHIFT);
    // With a deadline Postgres shows what it passes over, too, so that the place is known when time is up.
    let (passes, narrowed) = match query.deadline {
        Some(_) => (conditions(&query.filter), String::new()),
        None => (String::new(), conditions(&query.filter)),
    };
    let place = format!(
        "t.start_slot <= $1 AND t.start_slot >= $5 AND (t.start_micros < $2 OR (t.start_micros = $2 AND \
         (t.start_nanos < $3 OR (t.start_nanos = $3 AND t.trace_id >= $4)))) \
         AND ($6::bytea IS NULL OR t.agent_name = $6){narrowed}"
    );
    let source = match scope.merged() {
        Some(accounts) => {
            let each: Vec<String> = accounts
                .iter()
                .map(|key| format!("SELECT * FROM traces t WHERE t.account_key = {key} AND {place}"))
                .collect();
            format!("({})", each.join(" UNION ALL "))
        }
        None => format!("(SELECT * FROM traces t WHERE {place})"),
    };
    let sql = format!(
        "SELECT {TRACE_ROW}, coalesce((true{passes}), false) FROM {source} t \
         ORDER BY t.start_slot DESC, t.start_micros DESC, t.start_nanos DESC, t.trace_id{}",
        scope.order("t", "ASC")
    );
    let agent = query.filter.agent.as_ref().map(String::as_bytes);
    let parameters: [Parameter<'_>; 6] =
        [&begin_slot, &begin_micros, &begin_nanos, &begin_id, &end_slot, &agent];
    reading.snapshot.declare(&sql, &parameters).await
}

fn is_behind(summary: &TraceSummary, after: &TraceCursor) -> bool {
    after
        .start_time
        .cmp(&summary.start_time)
        .then_with(|| summary.trace_id.cmp(&after.trace_id))
        .then_with(|| summary.account.cmp(&after.account))
        .is_gt()
}

/// Returns whether a span of the trace holds the text of the filter.
async fn holds_text(
    reading: &mut Reading<'_>,
    hash: i64,
    account_key: i32,
    trace: &TraceSummary,
    filter: &TraceFilter,
) -> Result<bool> {
    if filter.text.is_empty() || filter.text.names_trace(&trace.trace_id) {
        return Ok(true);
    }
    let sql = format!(
        "SELECT {SPAN_ROW} FROM spans s WHERE s.trace_hash = $1 AND s.account_key + 0 = $2 AND s.trace_id = $3 \
         ORDER BY s.block_key, s.block_offset"
    );
    let trace_id = trace.trace_id.as_str().as_bytes();
    let mut rows = reading.rows(&sql, &[&hash, &account_key, &trace_id]).await?.into_iter();
    loop {
        let batch: Vec<_> = rows.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            return Ok(false);
        }
        if reading.complete(batch, true).await?.iter().any(|stored| filter.text.matches(&stored.span)) {
            return Ok(true);
        }
    }
}

fn summary_of(account: AccountId, trace_id: TraceId, summary: Summary) -> Option<TraceSummary> {
    let (tokens, cost) = (summary.tokens(), summary.cost());
    let head = summary.head?;
    Some(TraceSummary {
        account,
        trace_id,
        name: head.label.name,
        start_time: summary.start,
        end_time: summary.end,
        span_count: summary.span_count.unsigned_abs(),
        open_count: summary.open_count.unsigned_abs(),
        error_count: summary.error_count.unsigned_abs(),
        status: head.label.status.filter(|_| !head.has_parent),
        agent_name: head.label.agent_name,
        input_tokens: tokens.map(|(input, _)| input.unsigned_abs()),
        output_tokens: tokens.map(|(_, output)| output.unsigned_abs()),
        cost_picodollars: cost.map(i64::unsigned_abs),
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
        let codes = state_codes(&filter.states);
        let _ = write!(
            sql,
            " AND (CASE WHEN NOT t.head_has_parent AND t.head_status IN (2, 3) THEN t.head_status \
             WHEN t.open_count = 0 THEN 1 ELSE 0 END) IN ({})",
            codes
        );
    }
    sql.push_str(&trace_condition(&filter.assessments));
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
