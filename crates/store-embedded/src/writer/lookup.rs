//! What the writer reads to decide: rows, traces, whole spans. Nothing here changes the database.

use endspan_model::{Span, SpanId, Timestamp, TraceId};
use endspan_store::engine::{Head, Used, block::Decompressor};
use rusqlite::{Connection, Row, Statement};

use super::traces::Summary;
use crate::{
    compact_id::{CompactId, StoredId},
    error::{EngineError, Result},
    row::{SPAN_ROW, STORED_ROW, StoredRow, read_span_row, read_stored_row, timestamp},
};

/// Prepared reads of the writer's connection.
pub(crate) struct Lookup<'c> {
    by_identity: Statement<'c>,
    by_sequence: Statement<'c>,
    sequences_by_id: Statement<'c>,
    trace_by_hash: Statement<'c>,
    trace_by_key: Statement<'c>,
    spans_of_trace: Statement<'c>,
    whole_span: Statement<'c>,
    frame: Statement<'c>,
    decompressor: Decompressor,
}

/// A trace as its row says.
#[derive(Debug)]
pub(crate) struct StoredTrace {
    pub(crate) key: i64,
    pub(crate) account_key: i64,
    pub(crate) trace_id: TraceId,
    pub(crate) summary: Summary,
}

const TRACE_ROW: &str = "t.trace_key, t.account_key, t.trace_id, t.start_micros, t.start_nanos, t.end_micros, \
     t.end_nanos, t.span_count, t.open_count, t.error_count, t.head, h.parent_id IS NOT NULL, h.start_micros, \
     h.start_nanos, h.id, t.call_count, t.call_input, t.call_output, t.aggregate_count, t.aggregate_input, \
     t.aggregate_output, t.last_micros, t.last_nanos, t.payload_bytes, t.call_cost_count, t.call_cost, \
     t.aggregate_cost_count, t.aggregate_cost FROM traces t JOIN spans h ON h.sequence = t.head";

impl<'c> Lookup<'c> {
    pub(crate) fn prepare(connection: &'c Connection) -> Result<Self> {
        Ok(Self {
            by_identity: connection.prepare(&format!(
                "SELECT {STORED_ROW} FROM spans INDEXED BY spans_by_identity WHERE trace_key = ?1 AND id_hash = ?2 AND id = ?3"
            ))?,
            by_sequence: connection.prepare(&format!("SELECT {STORED_ROW} FROM spans WHERE sequence = ?1"))?,
            sequences_by_id: connection
                .prepare("SELECT sequence FROM span_ids WHERE id_hash = ?1 AND sequence < ?2 ORDER BY sequence DESC LIMIT 64")?,
            trace_by_hash: connection.prepare(&format!("SELECT {TRACE_ROW} WHERE t.trace_hash = ?1"))?,
            trace_by_key: connection.prepare(&format!("SELECT {TRACE_ROW} WHERE t.trace_key = ?1"))?,
            spans_of_trace: connection.prepare(&format!(
                "SELECT {STORED_ROW} FROM spans INDEXED BY spans_by_identity WHERE trace_key = ?1"
            ))?,
            whole_span: connection.prepare(&format!("SELECT {SPAN_ROW} FROM spans WHERE sequence = ?1"))?,
            frame: connection.prepare("SELECT frame FROM blocks WHERE block_key = ?1")?,
            decompressor: Decompressor::new()?,
        })
    }

    pub(crate) fn by_identity(
        &mut self,
        trace_key: i64,
        short_hash: i64,
        id: &SpanId,
    ) -> Result<Option<StoredRow>> {
        let mut rows = self.by_identity.query((trace_key, short_hash, CompactId::new(id.as_str())))?;
        rows.next()?.map(read_stored_row).transpose()
    }

    pub(crate) fn by_sequence(&mut self, sequence: i64) -> Result<Option<StoredRow>> {
        let mut rows = self.by_sequence.query([sequence])?;
        rows.next()?.map(read_stored_row).transpose()
    }

    /// Returns some of the sequences that the tree holds for a hash, latest first, below one that is known.
    pub(crate) fn sequences_by_id(&mut self, hash: i64, below: i64) -> Result<Vec<i64>> {
        let rows = self.sequences_by_id.query_map([hash, below], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    pub(crate) fn traces_by_hash(&mut self, hash: i64) -> Result<Vec<StoredTrace>> {
        self.trace_by_hash.query_and_then([hash], read_trace)?.collect()
    }

    pub(crate) fn trace_by_key(&mut self, key: i64) -> Result<Option<StoredTrace>> {
        let mut rows = self.trace_by_key.query([key])?;
        rows.next()?.map(read_trace).transpose()
    }

    /// Adds the spans of a trace up again.
    pub(crate) fn sum_up(&mut self, trace_key: i64) -> Result<Summary> {
        let mut summary = Summary::default();
        let mut rows = self.spans_of_trace.query([trace_key])?;
        while let Some(row) = rows.next()? {
            let row = read_stored_row(row)?;
            summary.add(&row.id, &row.facts, || row.sequence);
        }
        Ok(summary)
    }

    /// Returns a span with its payloads. The trace id is left to the caller.
    pub(crate) fn whole_span(&mut self, sequence: i64) -> Result<Span> {
        let mut rows = self.whole_span.query([sequence])?;
        let row = rows.next()?.map(read_span_row).transpose()?;
        let mut row =
            row.ok_or_else(|| EngineError::damaged(format!("span {sequence} is indexed and not there")))?;
        if let Some(place) = row.place {
            let mut frames = self.frame.query([place.block_key])?;
            let frame = frames.next()?;
            let missing = || EngineError::damaged(format!("block {} is not there", place.block_key));
            let frame = frame.ok_or_else(missing)?.get_ref(0)?.as_blob().map_err(|_| missing())?;
            let block = self.decompressor.decompress(place.block_key, frame)?;
            block.load(usize::try_from(place.offset).unwrap_or(usize::MAX), sequence, &mut row.span)?;
        }
        Ok(row.span)
    }
}

fn read_trace(row: &Row<'_>) -> Result<StoredTrace> {
    let end: Option<Timestamp> = match row.get::<_, Option<i64>>(5)? {
        Some(micros) => Some(timestamp(micros, row.get(6)?)?),
        None => None,
    };
    let used = |at: usize, cost_at: usize| -> Result<Used> {
        Ok(Used {
            count: row.get(at)?,
            input: row.get(at + 1)?,
            output: row.get(at + 2)?,
            cost_count: row.get(cost_at)?,
            cost: row.get(cost_at + 1)?,
        })
    };
    Ok(StoredTrace {
        key: row.get(0)?,
        account_key: row.get(1)?,
        trace_id: TraceId::from(row.get::<_, StoredId>(2)?.0),
        summary: Summary {
            start: timestamp(row.get(3)?, row.get(4)?)?,
            end,
            span_count: row.get(7)?,
            open_count: row.get(8)?,
            error_count: row.get(9)?,
            head: Some(Head {
                label: row.get(10)?,
                has_parent: row.get(11)?,
                start: timestamp(row.get(12)?, row.get(13)?)?,
                id: SpanId::from(row.get::<_, StoredId>(14)?.0),
            }),
            calls: used(15, 24)?,
            aggregates: used(18, 26)?,
            last_start: timestamp(row.get(21)?, row.get(22)?)?,
            payload_bytes: row.get(23)?,
            is_stale: false,
        },
    })
}
