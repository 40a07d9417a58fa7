//! Traces as wholes: pages of summaries, and the structure of one.

use std::{cmp::Reverse, collections::HashSet, fmt::Write as _, time::Instant};

use endspan_model::{AccountId, SpanId, Timestamp, TraceId};
use endspan_store::{
    SpanHeader, TraceFilter, TracePage, TraceQuery, TraceSummary, cursor::TraceCursor, engine::state_codes,
};
use rusqlite::{Row, Rows, params};

use crate::{
    assessments,
    columns::{NameTexts, TraceScan, TraceView},
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

/// Traces that are passed over before the columns are asked which of the others can pass: when rows are looked at, and when
/// payloads are.
const MANY_TRACES: (usize, usize) = (64, 4);
/// Traces of which something is said that are read at once rather than met one by one.
const MANY_ASSESSED: usize = 10_000;
/// Rows of traces that are read together, and candidates that are found at first.
const BATCH: usize = 256;

pub(crate) fn list_traces(
    reading: &mut Reading<'_>,
    account: Option<&AccountId>,
    query: &TraceQuery,
) -> Result<TracePage> {
    let after = query.after.as_deref().map(TraceCursor::decode).transpose()?;
    let bound = match (&after, query.filter.start_before) {
        (Some(after), _) => Bound::After(after.clone()),
        (None, Some(before)) => Bound::At(before.unix_micros()),
        (None, None) => Bound::None,
    };
    let mut list = TraceList {
        query,
        accounts: reading.account_keys(account),
        text: TraceText::new(reading, account, &query.filter)?,
        page: TracePage::default(),
        assessed: None,
        passed_over: 0,
        last: after,
    };
    list.assessed = assessments::matching_traces(reading, &list.accounts, &query.filter.assessments)?;
    if let Some(assessed) = list.assessed.as_ref().filter(|assessed| assessed.len() <= MANY_ASSESSED) {
        let keys: Vec<i64> = assessed.iter().copied().collect();
        let listed = list.read(reading, &keys)?;
        list.take_all(reading, listed)?;
        return Ok(list.page);
    }
    let many = if query.filter.text.is_empty() { MANY_TRACES.0 } else { MANY_TRACES.1 };
    let most = if reading.shared.columns.has_traces() {
        many.min(reading.shared.options.column_segment_rows)
    } else {
        usize::MAX
    };
    if list.take_rows(reading, &bound, most)? {
        return Ok(list.page);
    }
    // Before the view of traces, so that whatever a row says that is not in the snapshot, its trace is known to have changed.
    list.text.narrow(reading, &list.accounts)?;
    let snapshot = latest(reading.connection)?;
    let bound = match reading.shared.columns.trace_view(snapshot) {
        Some(view) => match list.take_columns(reading, &view)? {
            Some(uncovered) => match list.last.take() {
                Some(last) if last.start_time.unix_micros() <= uncovered => Bound::After(last),
                _ => Bound::At(uncovered),
            },
            None => return Ok(list.page),
        },
        None => list.last.take().map_or(bound, Bound::After),
    };
    list.take_rows(reading, &bound, usize::MAX)?;
    Ok(list.page)
}

/// Where in the order of traces a list begins.
enum Bound {
    None,
    /// With traces that start in a microsecond or before.
    At(i64),
    /// Behind a place.
    After(TraceCursor),
}

/// A page that is being filled.
struct TraceList<'q> {
    query: &'q TraceQuery,
    accounts: Vec<i64>,
    text: TraceText<'q>,
    page: TracePage,
    /// The traces of which is said what the filter asks for, if it asks.
    assessed: Option<HashSet<i64>>,
    /// Traces that were looked at and did not pass.
    passed_over: usize,
    /// The place of the latest trace that was looked at.
    last: Option<TraceCursor>,
}

impl TraceList<'_> {
    /// Takes traces from the index, behind a bound, until the page ends or so many were passed over. Returns whether the page
    /// is whole.
    fn take_rows(&mut self, reading: &mut Reading<'_>, bound: &Bound, most: usize) -> Result<bool> {
        let connection = reading.connection;
        let filter = &self.query.filter;
        // When it matters where reading stands, SQLite shows what it passes over, too.
        let (passes, narrowed) = if self.query.deadline.is_some() || most < usize::MAX {
            (format!("(TRUE{}) IS TRUE", conditions(filter)), String::new())
        } else {
            ("TRUE".to_owned(), conditions(filter))
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
        let mut statements = self
            .accounts
            .iter()
            .map(|_| connection.prepare_cached(&sql))
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let mut streams = Vec::with_capacity(statements.len());
        for (account_key, statement) in self.accounts.iter().zip(&mut statements) {
            let account = reading.account(*account_key)?;
            let (micros, nanos, trace_id, comes_after) = match bound {
                Bound::After(after) => (
                    after.start_time.unix_micros(),
                    after.start_time.subsec_nanos_below_micro(),
                    after.trace_id.as_str(),
                    account > after.account,
                ),
                Bound::At(micros) => (*micros, u16::MAX, "", false),
                Bound::None => (i64::MAX, u16::MAX, "", false),
            };
            let parameters = params![
                account_key,
                micros,
                nanos,
                trace_id,
                comes_after,
                from_micros,
                filter.agent.as_deref()
            ];
            let mut stream = Stream { account, rows: statement.query(parameters)?, next: None };
            stream.advance()?;
            streams.push(stream);
        }
        while self.passed_over < most {
            let first = streams.iter_mut().filter(|stream| stream.next.is_some()).min_by(|left, right| {
                left.next.as_ref().map(Listed::place).cmp(&right.next.as_ref().map(Listed::place))
            });
            let Some(stream) = first else { return Ok(true) };
            let Some(next) = stream.next.take() else { return Ok(true) };
            stream.advance()?;
            if !self.take(reading, next)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes traces that the columns find, behind the latest one that was looked at. Returns the moment from which on back
    /// rows must be read, if they must.
    fn take_columns(&mut self, reading: &mut Reading<'_>, view: &TraceView) -> Result<Option<i64>> {
        let filter = &self.query.filter;
        let scan = TraceScan::new(filter, &self.accounts, view, reading.shared.keyed);
        let mut changed = self.read(reading, &view.changed())?;
        changed.sort_by(|left, right| left.place().cmp(&right.place()));
        let mut changed = changed.into_iter().peekable();
        let mut start_to = self.last.as_ref().map_or(i64::MAX, |last| last.start_time.unix_micros());
        let mut most = BATCH;
        loop {
            let (mut found, more) = scan.latest(view, start_to, most, self.text.candidates.as_ref());
            let last = found.last().map(|last| last.start);
            let uncovered = view.latest_uncovered_start;
            found.retain(|found| uncovered.is_none_or(|uncovered| found.start > uncovered));
            let mut found = &*found;
            while let Some(first) = found.first() {
                let begun = found.get(BATCH - 1).unwrap_or(first).start;
                let end = if found.len() < BATCH {
                    found.len()
                } else {
                    found.partition_point(|found| found.start >= begun)
                };
                let (batch, rest) = found.split_at(end);
                found = rest;
                let keys: Vec<i64> = batch.iter().map(|found| found.key).collect();
                let mut listed = self.read(reading, &keys)?;
                let reached = batch.last().map_or(i64::MAX, |last| last.start);
                let is_reached = |next: &Listed| next.summary.start_time.unix_micros() >= reached;
                listed.extend(std::iter::from_fn(|| changed.next_if(is_reached)));
                if !self.take_all(reading, listed)? {
                    return Ok(None);
                }
            }
            let is_uncovered =
                uncovered.filter(|uncovered| !more || last.is_some_and(|last| last <= *uncovered));
            let next = last.filter(|_| more && is_uncovered.is_none()).and_then(|last| last.checked_sub(1));
            let Some(next) = next else {
                let is_ahead = |next: &Listed| {
                    is_uncovered.is_none_or(|uncovered| next.summary.start_time.unix_micros() > uncovered)
                };
                let rest = std::iter::from_fn(|| changed.next_if(is_ahead)).collect();
                let goes_on = self.take_all(reading, rest)?;
                return Ok(is_uncovered.filter(|_| goes_on));
            };
            start_to = next;
            most *= 4;
        }
    }

    /// Reads the rows of traces, as far as they are in the snapshot and behind the latest one that was looked at.
    fn read(&self, reading: &Reading<'_>, keys: &[i64]) -> Result<Vec<Listed>> {
        let mut statement = reading.connection.prepare_cached(&format!(
            "SELECT {SUMMARY_ROW}, TRUE, t.account_key FROM traces t CROSS JOIN spans h ON h.sequence = t.head \
             WHERE t.trace_key = ?1"
        ))?;
        let mut listed = Vec::with_capacity(keys.len());
        for key in keys {
            let mut rows = statement.query([key])?;
            let Some(row) = rows.next()? else { continue };
            let account_key = row.get(24)?;
            if self.accounts.contains(&account_key) {
                let one = Listed::read(row, &reading.account(account_key)?)?;
                let is_new = self.last.as_ref().is_none_or(|last| one.place() > place_of(last));
                listed.extend(is_new.then_some(one));
            }
        }
        Ok(listed)
    }

    /// Takes traces behind which none of the others comes. Returns whether the page goes on.
    fn take_all(&mut self, reading: &mut Reading<'_>, mut listed: Vec<Listed>) -> Result<bool> {
        listed.sort_by(|left, right| left.place().cmp(&right.place()));
        for next in listed {
            if !self.take(reading, next)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes the trace that comes next. Returns whether the page goes on.
    fn take(&mut self, reading: &mut Reading<'_>, next: Listed) -> Result<bool> {
        let passes = next.passes
            && self.assessed.as_ref().is_none_or(|assessed| assessed.contains(&next.trace_key))
            && self.query.filter.matches(&next.summary)
            && self.text.is_in(reading, next.trace_key)?;
        let page = &mut self.page;
        if passes && page.traces.len() == self.query.limit as usize {
            page.next = page.traces.last().map(|last| TraceCursor::of(last).encode());
            return Ok(false);
        }
        self.passed_over += usize::from(!passes);
        let last = TraceCursor::of(&next.summary);
        page.traces.extend(passes.then_some(next.summary));
        if self.query.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            (page.next, page.is_partial) = (Some(last.encode()), true);
            return Ok(false);
        }
        self.last = Some(last);
        Ok(true)
    }
}

/// The text of a filter, looked for trace by trace.
struct TraceText<'q> {
    search: Option<TextSearch<'q>>,
    /// The traces that can hold the text, once that was found out. Those that changed after the snapshot are not among
    /// them.
    candidates: Option<HashSet<u32>>,
}

impl<'q> TraceText<'q> {
    fn new(reading: &Reading<'_>, account: Option<&AccountId>, filter: &'q TraceFilter) -> Result<Self> {
        let search = if filter.text.is_empty() {
            None
        } else {
            Some(TextSearch::new(reading, account, &filter.text, &NameTexts::default())?)
        };
        Ok(Self { search, candidates: None })
    }

    /// Finds out which traces can hold the text.
    fn narrow(&mut self, reading: &Reading<'_>, accounts: &[i64]) -> Result<()> {
        let Some(search) = &mut self.search else { return Ok(()) };
        let view = reading.shared.columns.view(latest(reading.connection)?, &HashSet::new());
        if let Some(view) = view.filter(|view| view.latest_uncovered_start.is_none()) {
            search.name_all(&view.names);
            search.read_filters(reading)?;
            self.candidates = Some(view.traces_with(search.masks(), accounts));
        }
        Ok(())
    }

    fn is_in(&self, reading: &mut Reading<'_>, trace_key: i64) -> Result<bool> {
        let Some(search) = &self.search else { return Ok(true) };
        if search.masks().has_trace(trace_key as u32) {
            return Ok(true);
        }
        let rows = reading.rows("INDEXED BY spans_by_identity WHERE trace_key = ?1", &[&trace_key])?;
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
        self.next = self.rows.next()?.map(|row| Listed::read(row, &self.account)).transpose()?;
        Ok(())
    }
}

/// A place in the order of the list.
type Place<'a> = (Reverse<Timestamp>, &'a TraceId, &'a AccountId);

fn place_of(cursor: &TraceCursor) -> Place<'_> {
    (Reverse(cursor.start_time), &cursor.trace_id, &cursor.account)
}

impl Listed {
    fn read(row: &Row<'_>, account: &AccountId) -> Result<Self> {
        Ok(Self { trace_key: row.get(22)?, summary: read_summary(row, account)?, passes: row.get(23)? })
    }

    fn place(&self) -> Place<'_> {
        (Reverse(self.summary.start_time), &self.summary.trace_id, &self.summary.account)
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
        let codes = state_codes(&filter.states);
        let _ = write!(
            sql,
            " AND (CASE WHEN h.parent_id IS NULL AND h.status IN (2, 3) THEN h.status ELSE t.open_count = 0 END) IN ({})",
            codes
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
