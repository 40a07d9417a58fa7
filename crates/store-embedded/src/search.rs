//! The search: candidates in the order of the query, each checked against its row, then against its payloads.
//!
//! The [columns](crate::columns) find candidates in memory; [`SpanFilter`](endspan_store::search::SpanFilter) has the last
//! word. Text is looked for in whole blocks first. For rows that the columns do not have, SQLite narrows by what it can
//! compare: by start, candidates stream from the index and reading ends with the page; by other keys, and for given ids,
//! the candidates are gathered and sorted first.

mod narrowing;

use std::collections::HashMap;

use endspan_model::{AccountId, Facets, TraceId};
use endspan_store::{
    SortDirection, SpanPage, SpanQuery,
    search::{PageBuilder, SpanPosition, SpanSort},
};
use rusqlite::ToSql;

use self::narrowing::{given, narrowed};
use crate::{
    assessments,
    columns::{Found, OTHER_NAME, Scan, View},
    error::Result,
    readers::Reading,
    reads::{latest, trace_id},
    row::{FACETS, SPAN_ROW, SpanRow, read_facets, read_span_row},
    text_search::TextSearch,
};

/// Candidates whose payloads are read together: neighbours share blocks.
const BATCH: usize = 256;
/// Candidates that are held and sorted at first, and at most.
const MIN_HELD: usize = 4096;
const MAX_HELD: usize = 65_536;
/// Where the facets begin in a row that is read as `SPAN_ROW` and the facets.
const FACETS_AT: usize = 21;
/// Where the start is in it, and what SQLite says of the filter behind it.
const START_AT: usize = 7;
const PASSES_AT: usize = FACETS_AT + 11;

/// A row that passed, where it stands in the order.
struct Candidate {
    position: SpanPosition,
    row: SpanRow,
}

pub(crate) fn search_spans(
    reading: &mut Reading<'_>,
    account: Option<&AccountId>,
    query: &SpanQuery,
) -> Result<SpanPage> {
    let accounts = reading.account_keys(account);
    let mut search =
        Search { query, page: PageBuilder::new(query), traces: HashMap::new(), knows_payloads: false };
    if query.limit == 0 {
        return Ok(SpanPage::default());
    }
    let given = given(reading, account, &accounts, &query.filter)?;
    let given = match assessments::matching(reading, &accounts, &query.filter.assessments)? {
        None => given,
        Some(assessed) => Some(match given {
            Some(given) => given.into_iter().filter(|sequence| assessed.contains(sequence)).collect(),
            None => {
                let mut sequences: Vec<i64> = assessed.into_iter().collect();
                sequences.sort_unstable();
                sequences
            }
        }),
    };
    if let Some(sequences) = given {
        search.take_any(reading, &sequences, &accounts)?;
        return Ok(search.page.finish());
    }
    let snapshot = latest(reading.connection)?;
    match reading.shared.columns.view(snapshot, &query.filter.names) {
        Some(view) if view.latest_uncovered_start.is_none() || query.takes_latest_first() => {
            if let Some(below) = search.take_columns(reading, account, &accounts, &view)? {
                search.take_rows(reading, &accounts, Some(below))?;
            }
        }
        _ => search.take_rows(reading, &accounts, None)?,
    }
    Ok(search.page.finish())
}

/// How a query examines spans.
trait Order {
    /// Whether larger keys come first.
    fn is_descending(&self) -> bool;
    /// Whether spans that start later come first.
    fn takes_latest_first(&self) -> bool;
}

impl Order for SpanQuery {
    fn is_descending(&self) -> bool {
        (self.direction == SortDirection::Descending) != self.backward
    }

    fn takes_latest_first(&self) -> bool {
        self.sort == SpanSort::StartTime && self.is_descending()
    }
}

struct Search<'q> {
    query: &'q SpanQuery,
    page: PageBuilder<'q>,
    /// The ids of traces that were met.
    traces: HashMap<i64, TraceId>,
    /// Whether payloads have been looked at before their spans are read.
    knows_payloads: bool,
}

impl Search<'_> {
    /// Takes what reading rows finds, if asked only what starts at a moment or before.
    fn take_rows(
        &mut self,
        reading: &mut Reading<'_>,
        accounts: &[i64],
        start_to: Option<i64>,
    ) -> Result<()> {
        match (accounts, self.query.sort) {
            ([account_key], SpanSort::StartTime) => self.stream(reading, *account_key, start_to),
            _ => self.take_by_key(reading, accounts, start_to),
        }
    }

    /// Takes what the columns find. Returns the moment from which on back rows must be read, if they must.
    fn take_columns(
        &mut self,
        reading: &mut Reading<'_>,
        account: Option<&AccountId>,
        accounts: &[i64],
        view: &View,
    ) -> Result<Option<i64>> {
        let query = self.query;
        let descending = query.is_descending();
        let scan = Scan::new(&query.filter, query.sort, descending, accounts, view, reading.shared.keyed);
        let also = self.rewritten(reading, view)?;
        let mut text = if query.filter.text.is_empty() {
            None
        } else {
            Some(TextSearch::new(reading, account, &query.filter.text, &view.names)?)
        };
        let mut most =
            if query.filter.needs_payloads() { BATCH } else { self.page.wanted().clamp(64, MAX_HELD) };
        let mut from = query.from.as_ref().map(|from| from.key.0);
        loop {
            let masks = text.as_ref().map(TextSearch::masks);
            let (mut found, more) = scan.first(view, from, most, masks, &also);
            let below = view.latest_uncovered_start.filter(|uncovered| {
                let before = found.len();
                found.retain(|found| found.key > *uncovered);
                found.len() < before || !more
            });
            let last = found.last().map(|last| last.key);
            let goes_on = match &mut text {
                Some(text) => self.take_text(reading, accounts, found, text)?,
                None => self.take_found(reading, accounts, &found)?,
            };
            if !goes_on {
                return Ok(None);
            }
            if below.is_some() {
                return Ok(below);
            }
            let next =
                last.and_then(|last| if descending { last.checked_sub(1) } else { last.checked_add(1) });
            let (true, Some(next)) = (more, next) else { return Ok(None) };
            if self.page.is_late()
                && let Some(last) = last
            {
                self.page.stop(SpanPosition::behind(last, query));
                return Ok(None);
            }
            if let Some(text) = &mut text {
                text.read_filters(reading)?;
            }
            from = Some(next);
            most = (most * 4).min(MAX_HELD);
        }
    }

    /// Returns rows that were rewritten after the snapshot, as they are in it.
    fn rewritten(&self, reading: &Reading<'_>, view: &View) -> Result<Vec<Found>> {
        let mut rows = reading.connection.prepare_cached(
            "SELECT start_micros, duration_micros, input_tokens, output_tokens, trace_key, block_key FROM spans \
             WHERE sequence = ?1",
        )?;
        let mut found = Vec::new();
        for sequence in &view.rewritten {
            let mut rows = rows.query([sequence])?;
            let Some(row) = rows.next()? else { continue };
            let key = match self.query.sort {
                SpanSort::StartTime => row.get(0)?,
                SpanSort::Duration => row.get::<_, Option<i64>>(1)?.unwrap_or(0),
                SpanSort::InputTokens => row.get::<_, Option<i64>>(2)?.unwrap_or(0),
                SpanSort::OutputTokens => row.get::<_, Option<i64>>(3)?.unwrap_or(0),
            };
            found.push(Found {
                key,
                sequence: *sequence,
                trace: row.get::<_, i64>(4)? as u32,
                block: row.get::<_, Option<i64>>(5)?.unwrap_or(0) as u32,
                name: OTHER_NAME,
            });
        }
        Ok(found)
    }

    /// Takes candidates in the order of their keys. Returns whether the page goes on.
    fn take_found(&mut self, reading: &mut Reading<'_>, accounts: &[i64], found: &[Found]) -> Result<bool> {
        let mut run: Vec<i64> = Vec::new();
        let mut last = None;
        for found in found {
            if let Some(last) = last.replace(found.key).filter(|last| *last != found.key)
                && run.len() >= BATCH
            {
                if !self.take_any(reading, &std::mem::take(&mut run), accounts)? {
                    return Ok(false);
                }
                if self.page.is_late() {
                    self.page.stop(SpanPosition::behind(last, self.query));
                    return Ok(false);
                }
            }
            run.push(found.sequence);
        }
        self.take_any(reading, &run, accounts)
    }

    /// Looks candidates through, block by block, and takes those that hold the text. Returns whether the page goes on.
    fn take_text(
        &mut self,
        reading: &mut Reading<'_>,
        accounts: &[i64],
        found: Vec<Found>,
        text: &mut TextSearch<'_>,
    ) -> Result<bool> {
        let Some(last) = found.last().map(|last| last.key) else { return Ok(true) };
        let (found, is_late) = text.look_through(reading, found, self.query.deadline)?;
        let reached = found.last().map(|last| last.key);
        let holding: Vec<Found> = found.into_iter().filter(|found| text.hits(found)).collect();
        self.knows_payloads = self.query.filter.metadata.is_none();
        if !self.take_found(reading, accounts, &holding)? {
            return Ok(false);
        }
        self.knows_payloads = false;
        if is_late {
            self.page.stop(SpanPosition::behind(reached.unwrap_or(last), self.query));
            return Ok(false);
        }
        Ok(true)
    }

    /// Gathers the keys of all candidates and takes them in the order of the keys.
    fn take_by_key(
        &mut self,
        reading: &mut Reading<'_>,
        accounts: &[i64],
        start_to: Option<i64>,
    ) -> Result<()> {
        let key = match self.query.sort {
            SpanSort::StartTime => "start_micros",
            SpanSort::Duration => "coalesce(duration_micros, 0)",
            SpanSort::InputTokens => "coalesce(input_tokens, 0)",
            SpanSort::OutputTokens => "coalesce(output_tokens, 0)",
        };
        let (condition, parameters) = narrowed(&self.query.filter, 2);
        let mut statement = reading.connection.prepare_cached(&format!(
            "SELECT {key}, sequence FROM spans NOT INDEXED WHERE account_key = ?1{condition}"
        ))?;
        let descending = self.query.is_descending();
        let from = self.query.from.as_ref().map(|from| from.key.0).into_iter().chain(start_to).min();
        let mut keys: Vec<(i64, i64)> = Vec::new();
        for account_key in accounts {
            let mut all: Vec<&dyn ToSql> = vec![account_key];
            all.extend(parameters.iter().map(AsRef::as_ref));
            let mut rows = statement.query(&*all)?;
            while let Some(row) = rows.next()? {
                let key: i64 = row.get(0)?;
                if from.is_none_or(|from| if descending { key <= from } else { key >= from }) {
                    keys.push((key, row.get(1)?));
                }
            }
        }
        drop(statement);
        keys.sort_unstable();
        if descending {
            keys.reverse();
        }
        let mut run: Vec<i64> = Vec::new();
        let mut last = None;
        for (key, sequence) in keys {
            if let Some(last) = last.replace(key).filter(|last| *last != key)
                && run.len() >= BATCH
            {
                if !self.take_any(reading, &std::mem::take(&mut run), accounts)? {
                    return Ok(());
                }
                if self.page.is_late() {
                    self.page.stop(SpanPosition::behind(last, self.query));
                    return Ok(());
                }
            }
            run.push(sequence);
        }
        self.take_any(reading, &run, accounts).map(drop)
    }

    /// Takes rows in the order of the query; whatever comes before or after them is not among them. Holds a bounded
    /// number of candidates at a time and reads the rows again for the next ones. Returns whether the page goes on.
    fn take_any(&mut self, reading: &mut Reading<'_>, sequences: &[i64], accounts: &[i64]) -> Result<bool> {
        let query = self.query;
        let mut most = MIN_HELD.max(self.page.wanted());
        let mut after: Option<SpanPosition> = None;
        let mut statement = reading
            .connection
            .prepare_cached(&format!("SELECT {SPAN_ROW}, {FACETS} FROM spans WHERE sequence = ?1"))?;
        loop {
            let order = |left: &Candidate, right: &Candidate| query.compare(&left.position, &right.position);
            let mut held: Vec<Candidate> = Vec::new();
            let mut dropped = false;
            for sequence in sequences {
                let mut rows = statement.query([sequence])?;
                let Some(row) = rows.next()? else { continue };
                let (row, facets) = (read_span_row(row)?, read_facets(row, FACETS_AT)?);
                if !accounts.contains(&row.account_key) {
                    continue;
                }
                let Some(candidate) = self.check(reading, row, &facets)? else { continue };
                if after.as_ref().is_none_or(|after| query.compare(&candidate.position, after).is_gt()) {
                    held.push(candidate);
                }
                if held.len() >= most * 2 {
                    held.select_nth_unstable_by(most, order);
                    held.truncate(most);
                    dropped = true;
                }
            }
            held.sort_by(order);
            dropped |= held.len() > most;
            held.truncate(most);
            after = held.last().map(|last| last.position.clone());
            if !self.take_sorted(reading, held)? {
                return Ok(false);
            }
            if !dropped {
                return Ok(true);
            }
            most = (most * 4).min(MAX_HELD);
        }
    }

    fn check(
        &mut self,
        reading: &Reading<'_>,
        mut row: SpanRow,
        facets: &Facets,
    ) -> Result<Option<Candidate>> {
        let trace_id = match self.traces.get(&row.trace_key) {
            Some(trace_id) => trace_id.clone(),
            None => {
                let trace_id = trace_id(reading.connection, row.trace_key)?;
                self.traces.entry(row.trace_key).or_insert(trace_id).clone()
            }
        };
        row.span.trace_id = trace_id;
        if !self.query.filter.matches_row(&row.span, facets) {
            return Ok(None);
        }
        let account = reading.account(row.account_key)?;
        let position = SpanPosition::of(&account, &row.span, facets, self.query.sort);
        Ok(self.query.is_ahead(&position).then_some(Candidate { position, row }))
    }

    /// Takes candidates that are in order. Returns whether the page goes on.
    fn take_sorted(&mut self, reading: &mut Reading<'_>, candidates: Vec<Candidate>) -> Result<bool> {
        let mut candidates = candidates.into_iter();
        loop {
            let batch: Vec<Candidate> = candidates.by_ref().take(self.batch_size()).collect();
            if batch.is_empty() {
                return Ok(true);
            }
            if !self.take(reading, batch)? {
                return Ok(false);
            }
        }
    }

    /// Takes candidates by their start, from the index, until the page ends.
    fn stream(&mut self, reading: &mut Reading<'_>, account_key: i64, start_to: Option<i64>) -> Result<()> {
        let query = self.query;
        let descending = query.is_descending();
        let (comparison, order) = if descending { ("<=", "DESC") } else { (">=", "ASC") };
        let (condition, parameters) = narrowed(&query.filter, 3);
        let sql = format!(
            "SELECT {SPAN_ROW}, {FACETS}, (TRUE{condition}) IS TRUE FROM spans INDEXED BY spans_by_start \
             WHERE account_key = ?1 AND start_micros {comparison} ?2 ORDER BY start_micros {order}"
        );
        let mut statement = reading.connection.prepare_cached(&sql)?;
        let bound = if descending { query.filter.start_to } else { query.filter.start_from };
        let bound = bound.map(|bound| bound.unix_micros()).into_iter().chain(start_to).min();
        let from = query.from.as_ref().map(|from| from.key.0);
        let begin = match (bound, from, descending) {
            (Some(bound), Some(from), true) => bound.min(from),
            (Some(bound), Some(from), false) => bound.max(from),
            (bound, from, true) => bound.or(from).unwrap_or(i64::MAX),
            (bound, from, false) => bound.or(from).unwrap_or(i64::MIN),
        };
        let end = if descending { query.filter.start_from } else { query.filter.start_to };
        let end = end.map(|end| end.unix_micros());
        let mut all: Vec<&dyn ToSql> = vec![&account_key, &begin];
        all.extend(parameters.iter().map(AsRef::as_ref));
        let mut rows = statement.query(&*all)?;
        // Rows of one microsecond come in any order; a batch ends only between two microseconds.
        let mut batch: Vec<Candidate> = Vec::new();
        let mut micros = None;
        let mut read = 0;
        while let Some(row) = rows.next()? {
            let start: i64 = row.get(START_AT)?;
            if end.is_some_and(|end| if descending { start < end } else { start > end }) {
                break;
            }
            if let Some(passed) = micros.replace(start).filter(|last| *last != start) {
                read += 1;
                let is_late = read % 64 == 0 && self.page.is_late();
                if is_late || batch.len() >= self.batch_size() {
                    batch.sort_by(|left, right| query.compare(&left.position, &right.position));
                    if !self.take_sorted(reading, std::mem::take(&mut batch))? {
                        return Ok(());
                    }
                }
                if is_late {
                    self.page.stop(SpanPosition::behind(passed, query));
                    return Ok(());
                }
            }
            // What does not pass comes out all the same, so that the time is looked at.
            if row.get::<_, bool>(PASSES_AT)? {
                let (row, facets) = (read_span_row(row)?, read_facets(row, FACETS_AT)?);
                batch.extend(self.check(reading, row, &facets)?);
            }
        }
        drop(rows);
        drop(statement);
        batch.sort_by(|left, right| query.compare(&left.position, &right.position));
        self.take_sorted(reading, batch).map(drop)
    }

    fn batch_size(&self) -> usize {
        if self.query.filter.needs_payloads() && !self.knows_payloads {
            BATCH
        } else {
            self.page.wanted().clamp(1, BATCH)
        }
    }

    /// Takes candidates that come next, in order. Returns whether the page goes on.
    fn take(&mut self, reading: &mut Reading<'_>, batch: Vec<Candidate>) -> Result<bool> {
        let (positions, rows): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|candidate| (candidate.position, candidate.row)).unzip();
        let spans = reading.complete(rows, true)?;
        for (position, stored) in positions.into_iter().zip(spans) {
            let passes = self.query.filter.matches_payloads(&stored.span);
            if (passes && !self.page.push(stored)) || !self.page.check_time(|| position) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facets_follow_the_columns_of_a_span() {
        assert_eq!(SPAN_ROW.split(',').count(), FACETS_AT);
        assert_eq!(SPAN_ROW.split(", ").nth(START_AT), Some("start_micros"));
        assert_eq!(FACETS.split(',').count(), 11);
    }
}
