//! Traces as wholes: pages of summaries, and the structure of one.

use std::{cmp::Reverse, collections::HashSet, fmt::Write as _, time::Instant};

use endspan_model::{AccountId, SpanId, TraceId};
use endspan_store::{
    SpanHeader, TraceFilter, TracePage, TraceQuery, TraceState, TraceSummary, cursor::TraceCursor,
};
use rusqlite::{Row, Rows, params};

use crate::{
    columns::{NameTexts, View},
    compact_id::StoredId,
    error::Result,
    readers::Reading,
    reads::latest,
    row::{FACETS, read_facets, read_id, read_status, read_times, read_type, timestamp},
    text_search::TextSearch,
};

const SUMMARY_ROW: &str = "t.trace_id, h.name, t.start_micros, t.start_nanos, t.end_micros, t.end_nanos, \
     t.span_count, t.open_count, t.error_count, h.status, h.parent_id IS NULL, h.agent_name, t.call_count, \
     t.call_input, t.call_output, t.aggregate_count, t.aggregate_input, t.aggregate_output, t.call_cost_count, \
     t.call_cost, t.aggregate_cost_count, t.aggregate_cost, t.trace_key";

pub(crate) fn list_traces(
    reading: &mut Reading<'_>,
    account: Option<&AccountId>,
    query: &TraceQuery,
) -> Result<TracePage> {
    let after = query.after.as_deref().map(TraceCursor::decode).transpose()?;
    let filter = &query.filter;
    let connection = reading.connection;
    // With a deadline SQLite shows what it passes over, too, so that the place is known when time is up.
    let (passes, narrowed) = match query.deadline {
        Some(_) => (format!("(TRUE{}) IS TRUE", conditions(filter)), String::new()),
        None => ("TRUE".to_owned(), conditions(filter)),
    };
    // Rows come in the order of the index, and reading ends with the page, so that only traces that are passed
    // over cost anything.
    let sql = format!(
        "SELECT {SUMMARY_ROW}, {passes} FROM traces t INDEXED BY traces_by_start CROSS JOIN spans h ON h.sequence = t.head \
         WHERE t.account_key = ?1 AND t.start_micros <= ?2 AND t.start_micros >= ?6 AND (t.start_micros < ?2 \
         OR t.start_nanos < ?3 OR (t.start_nanos = ?3 AND (id_text(t.trace_id) > ?4 OR (id_text(t.trace_id) = ?4 \
         AND ?5)))) AND (?7 IS NULL OR h.agent_name = ?7){narrowed} \
         ORDER BY t.start_micros DESC, t.start_nanos DESC, id_text(t.trace_id)"
    );
    let from_micros = filter.start_from.map_or(i64::MIN, |from| from.unix_micros());
    let accounts = reading.account_keys(account);
    let mut statements =
        accounts.iter().map(|_| connection.prepare_cached(&sql)).collect::<rusqlite::Result<Vec<_>>>()?;
    let mut streams = Vec::with_capacity(accounts.len());
    for (account_key, statement) in accounts.into_iter().zip(&mut statements) {
        let account = reading.account(account_key)?;
        let (micros, nanos, trace_id, comes_after) = match (&after, filter.start_before) {
            (Some(after), _) => (
                after.start_time.unix_micros(),
                after.start_time.subsec_nanos_below_micro(),
                after.trace_id.as_str(),
                account > after.account,
            ),
            (None, Some(before)) => (before.unix_micros(), before.subsec_nanos_below_micro(), "", true),
            // Later than every moment there is.
            (None, None) => (i64::MAX, 0, "", false),
        };
        let parameters =
            params![account_key, micros, nanos, trace_id, comes_after, from_micros, filter.agent.as_deref()];
        let mut stream = Stream { account, rows: statement.query(parameters)?, next: None };
        stream.advance()?;
        streams.push(stream);
    }
    let mut text = TraceText::new(reading, account, filter)?;
    let mut page = TracePage::default();
    loop {
        let first = streams.iter_mut().filter(|stream| stream.next.is_some()).min_by(|left, right| {
            let key = |stream: &Stream<'_>| stream.next.as_ref().map(|next| Reverse(next.summary.start_time));
            let trace_id =
                |stream: &Stream<'_>| stream.next.as_ref().map(|next| next.summary.trace_id.clone());
            key(left)
                .cmp(&key(right))
                .then_with(|| trace_id(left).cmp(&trace_id(right)))
                .then_with(|| left.account.cmp(&right.account))
        });
        let Some(stream) = first else { return Ok(page) };
        let Some(next) = stream.next.take() else { return Ok(page) };
        stream.advance()?;
        let passes = next.passes && filter.matches(&next.summary) && text.is_in(reading, &next)?;
        if passes && page.traces.len() == query.limit as usize {
            page.next = page.traces.last().map(|last| TraceCursor::of(last).encode());
            return Ok(page);
        }
        let is_late = query.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let examined = is_late.then(|| TraceCursor::of(&next.summary).encode());
        page.traces.extend(passes.then_some(next.summary));
        if is_late {
            (page.next, page.is_partial) = (examined, true);
            return Ok(page);
        }
    }
}

/// The text of a filter, looked for trace by trace.
struct TraceText<'q> {
    search: Option<TextSearch<'q>>,
    accounts: Vec<i64>,
    /// Traces that were looked through.
    examined: usize,
    /// The traces that can hold the text, once that was worth finding out.
    candidates: Option<HashSet<u32>>,
}

/// Traces after which it is worth finding out which of the others can hold the text.
const MANY_TRACES: usize = 64;

impl<'q> TraceText<'q> {
    fn new(reading: &Reading<'_>, account: Option<&AccountId>, filter: &'q TraceFilter) -> Result<Self> {
        let search = if filter.text.is_empty() {
            None
        } else {
            Some(TextSearch::new(reading, account, &filter.text, &NameTexts::default())?)
        };
        Ok(Self { search, accounts: reading.account_keys(account), examined: 0, candidates: None })
    }

    fn is_in(&mut self, reading: &mut Reading<'_>, trace: &Listed) -> Result<bool> {
        let Some(search) = &mut self.search else { return Ok(true) };
        let key = trace.trace_key as u32;
        if search.masks().has_trace(key) {
            return Ok(true);
        }
        self.examined += 1;
        if self.examined == MANY_TRACES.min(reading.shared.options.column_segment_rows) {
            let view = reading.shared.columns.view(latest(reading.connection)?, &HashSet::new());
            if let Some(view) = view.filter(View::is_whole) {
                search.name_all(&view.names);
                search.read_filters(reading)?;
                self.candidates = Some(view.traces_with(search.masks(), &self.accounts));
            }
        }
        if self.candidates.as_ref().is_some_and(|candidates| !candidates.contains(&key)) {
            return Ok(false);
        }
        let rows = reading.rows("INDEXED BY spans_by_identity WHERE trace_key = ?1", &[&trace.trace_key])?;
        search.any_holds(reading, rows)
    }
}

/// The traces of one account in the order of the list.
struct Stream<'s> {
    account: AccountId,
    rows: Rows<'s>,
    next: Option<Listed>,
}

/// A trace that comes next in the list.
struct Listed {
    trace_key: i64,
    summary: TraceSummary,
    /// Whether it passes as far as SQLite can tell.
    passes: bool,
}

impl Stream<'_> {
    fn advance(&mut self) -> Result<()> {
        self.next = match self.rows.next()? {
            Some(row) => Some(Listed {
                trace_key: row.get(22)?,
                summary: read_summary(row, &self.account)?,
                passes: row.get(23)?,
            }),
            None => None,
        };
        Ok(())
    }
}

/// What SQLite can tell of a filter without a row becoming a summary. Holds numbers only, no text of the caller.
fn conditions(filter: &TraceFilter) -> String {
    const TOKENS: &str = "(CASE WHEN t.call_count > 0 THEN t.call_input + t.call_output \
         ELSE t.aggregate_input + t.aggregate_output END)";
    let mut sql = String::new();
    let mut bound = |left: &str, comparison: &str, number: Option<u64>| {
        if let Some(number) = number.and_then(|number| i64::try_from(number).ok()) {
            // Writing to a String cannot fail.
            let _ = write!(sql, " AND {left} {comparison} {number}");
        }
    };
    bound(
        "t.end_micros IS NOT NULL AND max(t.end_micros - t.start_micros, 0)",
        ">=",
        filter.min_duration_micros,
    );
    bound(
        "t.end_micros IS NOT NULL AND max(t.end_micros - t.start_micros, 0)",
        "<=",
        filter.max_duration_micros,
    );
    bound(TOKENS, ">=", filter.min_tokens);
    bound(TOKENS, "<=", filter.max_tokens);
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
            " AND (CASE WHEN h.parent_id IS NULL AND h.status IN (2, 3) THEN h.status ELSE t.open_count = 0 END) IN ({})",
            codes.join(", ")
        );
    }
    sql
}

fn read_summary(row: &Row<'_>, account: &AccountId) -> Result<TraceSummary> {
    let has_root: bool = row.get(10)?;
    let number = |at: usize| -> Result<u64> { Ok(row.get::<_, i64>(at)?.unsigned_abs()) };
    let tokens = match (number(12)?, number(15)?) {
        (0, 0) => None,
        (0, _) => Some((number(16)?, number(17)?)),
        _ => Some((number(13)?, number(14)?)),
    };
    let cost = match (number(18)?, number(20)?) {
        (0, 0) => None,
        (0, _) => Some(number(21)?),
        _ => Some(number(19)?),
    };
    Ok(TraceSummary {
        account: account.clone(),
        trace_id: TraceId::from(row.get::<_, StoredId>(0)?.0),
        name: row.get(1)?,
        start_time: timestamp(row.get(2)?, row.get(3)?)?,
        end_time: match row.get::<_, Option<i64>>(4)? {
            Some(micros) => Some(timestamp(micros, row.get(5)?)?),
            None => None,
        },
        span_count: number(6)?,
        open_count: number(7)?,
        error_count: number(8)?,
        status: read_status(row, 9)?.filter(|_| has_root),
        agent_name: row.get(11)?,
        input_tokens: tokens.map(|(input, _)| input),
        output_tokens: tokens.map(|(_, output)| output),
        cost_picodollars: cost,
    })
}

pub(crate) fn read_structure(
    reading: &mut Reading<'_>,
    account: Option<&AccountId>,
    trace_id: &TraceId,
) -> Result<Vec<SpanHeader>> {
    let mut headers = Vec::new();
    let mut statement = reading.connection.prepare_cached(&format!(
        "SELECT sequence, version, id, parent_id, name, start_micros, start_nanos, duration_micros, end_nanos, status, \
         type, {FACETS} FROM spans WHERE sequence = ?1"
    ))?;
    // The index holds the rows of a trace in the order of a hash. Sorted by their place in the table they are read
    // page by page, each page once.
    let mut index = reading
        .connection
        .prepare_cached("SELECT sequence FROM spans INDEXED BY spans_by_identity WHERE trace_key = ?1")?;
    for (account_key, trace_key) in reading.trace_keys(account, trace_id)? {
        let account = reading.account(account_key)?;
        let mut sequences: Vec<i64> =
            index.query_map([trace_key], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        sequences.sort_unstable();
        headers.reserve(sequences.len());
        for sequence in sequences {
            let mut rows = statement.query([sequence])?;
            if let Some(row) = rows.next()? {
                headers.push(read_header(row, &account)?);
            }
        }
    }
    headers.sort_by(|left, right| {
        left.start_time
            .cmp(&right.start_time)
            .then_with(|| left.id.cmp(&right.id))
            .then_with(|| left.account.cmp(&right.account))
    });
    Ok(headers)
}

fn read_header(row: &Row<'_>, account: &AccountId) -> Result<SpanHeader> {
    let sequence: i64 = row.get(0)?;
    let (start_time, end_time) = read_times(row, 5)?;
    Ok(SpanHeader {
        account: account.clone(),
        id: SpanId::from(row.get::<_, StoredId>(2)?.0),
        parent_id: read_id(row, 3)?.map(SpanId::from),
        name: row.get(4)?,
        start_time,
        end_time,
        status: read_status(row, 9)?,
        span_type: read_type(row, 10)?,
        facets: read_facets(row, 11)?,
        version: row.get::<_, Option<i64>>(1)?.unwrap_or(sequence).unsigned_abs(),
    })
}
