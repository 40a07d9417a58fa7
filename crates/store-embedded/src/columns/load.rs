//! Fills the columns from the rows, newest first.

use std::{collections::HashSet, sync::Arc};

use rusqlite::{Connection, Row, types::ValueRef};

use super::{
    State, TRACES_SHARE,
    segment::{ColumnRow, NO_DURATION, Segment},
    traces::TraceRow,
};
use crate::{compact_id, error::Result, shared::Shared};

/// Fills the columns and then lets readers use them. Gives up when the store closes.
pub(crate) fn fill(connection: &Connection, shared: &Shared) -> Result<()> {
    if !shared.columns.is_enabled() || shared.columns.is_filled() {
        return Ok(());
    }
    fill_spans(connection, shared)?;
    fill_traces(connection, shared)
}

fn fill_spans(connection: &Connection, shared: &Shared) -> Result<()> {
    let columns = &shared.columns;
    let mut statement = connection.prepare(
        "SELECT sequence, start_micros, duration_micros, input_tokens, output_tokens, account_key, trace_key, block_key, \
         parent_id, group_id, application_variant_id, agent_id, agent_name, acp_type, obs_trace_id, obs_span_id, name, \
         status, type FROM spans NOT INDEXED WHERE sequence < ?1 ORDER BY sequence DESC LIMIT ?2",
    )?;
    let mut below = columns.state.lock().covered_from;
    let mut bytes = 0;
    loop {
        let mut rows = statement.query((below, columns.segment_rows as i64))?;
        let mut read = Vec::with_capacity(columns.segment_rows);
        while let Some(row) = rows.next()? {
            read.push(read_row(row, shared)?);
        }
        if read.is_empty() {
            columns.state.lock().finish(i64::MIN, i64::MIN);
            columns.applied.notify_all();
            return Ok(());
        }
        if shared.is_closed() {
            return Ok(());
        }
        read.reverse();
        below = read.first().map_or(below, |row| row.sequence);
        bytes += columns.state.lock().install(read, below);
        if bytes > columns.max_bytes {
            let latest = latest_start_below(connection, below)?;
            columns.state.lock().finish(below, latest);
            columns.applied.notify_all();
            return Ok(());
        }
    }
}

/// Fills in the traces, newest first. Their heads are looked up in the columns of spans.
fn fill_traces(connection: &Connection, shared: &Shared) -> Result<()> {
    let columns = &shared.columns;
    let mut statement = connection.prepare(
        "SELECT trace_key, account_key, start_micros, end_micros, open_count > 0, error_count > 0, head, call_count > 0, \
         call_input, call_output, aggregate_input, aggregate_output FROM traces NOT INDEXED WHERE trace_key < ?1 \
         ORDER BY trace_key DESC LIMIT ?2",
    )?;
    let mut below = i64::MAX;
    loop {
        let mut rows = statement.query((below, columns.segment_rows as i64))?;
        let mut read = Vec::new();
        while let Some(row) = rows.next()? {
            let start: i64 = row.get(2)?;
            let tokens_at = if row.get(7)? { 8 } else { 10 };
            let (input, output): (i64, i64) = (row.get(tokens_at)?, row.get(tokens_at + 1)?);
            let trace = TraceRow {
                start,
                duration: row
                    .get::<_, Option<i64>>(3)?
                    .map_or(NO_DURATION, |end| end.saturating_sub(start).max(0)),
                tokens: input.saturating_add(output),
                account: row.get::<_, i64>(1)? as u32,
                is_open: row.get(4)?,
                has_error: row.get(5)?,
            };
            read.push((row.get::<_, i64>(0)?, trace, row.get::<_, i64>(6)?));
        }
        if shared.is_closed() {
            return Ok(());
        }
        let mut state = columns.state.lock();
        for (key, trace, head) in &read {
            let head = state.head(*head);
            state.traces.fill(*key, *trace, head);
        }
        state.traces.shrink(columns.max_bytes / TRACES_SHARE);
        let Some((last, ..)) = read.last() else {
            state.traces.is_filled = true;
            drop(state);
            columns.applied.notify_all();
            return Ok(());
        };
        below = *last;
    }
}

/// Returns the latest start of the rows below a sequence.
fn latest_start_below(connection: &Connection, sequence: i64) -> Result<i64> {
    let mut latest = i64::MIN;
    let mut accounts = connection.prepare("SELECT account_key FROM accounts")?;
    let mut first = connection.prepare(
        "SELECT start_micros FROM spans INDEXED BY spans_by_start WHERE account_key = ?1 AND +sequence < ?2 \
         ORDER BY start_micros DESC LIMIT 1",
    )?;
    let keys: Vec<i64> = accounts.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for key in keys {
        let mut rows = first.query((key, sequence))?;
        if let Some(row) = rows.next()? {
            latest = latest.max(row.get(0)?);
        }
    }
    Ok(latest)
}

fn read_row(row: &Row<'_>, shared: &Shared) -> Result<ColumnRow> {
    let hash = |at: usize| -> Result<u32> {
        Ok(match row.get_ref(at)? {
            ValueRef::Null => 0,
            value => shared.keyed.text_hash(&compact_id::to_text(value).map_err(rusqlite::Error::from)?),
        })
    };
    let code = |at: usize| -> Result<u8> { Ok(row.get::<_, Option<u8>>(at)?.unwrap_or(0)) };
    let key = |at: usize| -> Result<u32> { Ok(row.get::<_, Option<i64>>(at)?.unwrap_or(0) as u32) };
    Ok(ColumnRow {
        sequence: row.get(0)?,
        start: row.get(1)?,
        duration: row.get::<_, Option<i64>>(2)?.unwrap_or(NO_DURATION),
        input_tokens: row.get::<_, Option<i64>>(3)?.unwrap_or(0),
        output_tokens: row.get::<_, Option<i64>>(4)?.unwrap_or(0),
        account: key(5)?,
        trace: key(6)?,
        block: key(7)?,
        parent: hash(8)?,
        group: hash(9)?,
        variant: hash(10)?,
        agent_id: hash(11)?,
        agent_name: hash(12)?,
        acp_type: hash(13)?,
        obs_trace: hash(14)?,
        obs_span: hash(15)?,
        name: shared.columns.name(row.get_ref(16)?.as_str().map_err(rusqlite::Error::from)?),
        status: code(17)?,
        span_type: code(18)?,
    })
}

impl State {
    /// Puts rows below all others in, as they are now. Returns the bytes that they take.
    fn install(&mut self, read: Vec<ColumnRow>, from: i64) -> usize {
        let mut segment = Segment::default();
        let mut met = HashSet::new();
        for row in read {
            // What was written or deleted while the rows were read.
            match self.waiting.remove(&row.sequence) {
                Some(Some(row)) => segment.push(&row),
                Some(None) => {
                    segment.push(&row);
                    segment.delete(segment.len() - 1);
                }
                None => segment.push(&row),
            }
            met.insert(row.sequence);
        }
        self.covered_from = from;
        let bytes = segment.bytes();
        if !segment.is_dead() {
            self.segments.insert(0, Arc::new(segment));
        }
        bytes
    }

    fn finish(&mut self, covered_from: i64, latest_uncovered_start: i64) {
        self.covered_from = covered_from;
        let rewritten = self.waiting.drain().filter_map(|(_, row)| row).map(|row| row.start).max();
        self.latest_uncovered_start = latest_uncovered_start.max(rewritten.unwrap_or(i64::MIN));
        self.is_filled = true;
    }
}
