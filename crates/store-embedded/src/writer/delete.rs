//! Takes spans out, one bounded piece in one transaction.
//!
//! Rows go, and their entries in every index with them; summaries of traces follow as for any other change; payloads
//! count as dead. A block with nothing alive goes at once, others when the compactor finds them worth its while. Freed
//! pages are room for what comes next, and go back to the system when there are many.

use std::collections::HashMap;

use endspan_model::{AccountId, Timestamp};
use endspan_store::{Deleted, Deleting, Deletion};
use rusqlite::{Connection, OptionalExtension, Statement, params};

use super::{lookup::Lookup, traces::TraceTable};
use crate::{
    compact_id::CompactId,
    error::{EngineError, Result},
    row::{STORED_ROW, StoredRow, read_stored_row},
    shared::Shared,
};

/// Most spans of one piece: what a waiting write waits for, some 20 ms.
const MAX_SPANS: u32 = 1024;

/// Prepared deletions of the writer's connection.
pub(crate) struct Deleter<'c> {
    latest_spans: Statement<'c>,
    delete_span: Statement<'c>,
    delete_rewrite: Statement<'c>,
    delete_assessments: Statement<'c>,
    delete_id: Statement<'c>,
    delete_dead_block: Statement<'c>,
    delete_frame: Statement<'c>,
    delete_filter: Statement<'c>,
    set_latest: Statement<'c>,
    trace_by_id: Statement<'c>,
    trace_within: Statement<'c>,
    oldest_trace: Statement<'c>,
}

/// What a piece deleted.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    pub(crate) deleted: Deleted,
    /// The hash of the id and the sequence of each row that is gone.
    pub(crate) ids: Vec<(i64, i64)>,
    /// Spans and bytes of payload that died, by block.
    pub(crate) dead: HashMap<i64, (i64, i64)>,
}

impl<'c> Deleter<'c> {
    pub(crate) fn prepare(connection: &'c Connection) -> Result<Self> {
        Ok(Self {
            latest_spans: connection.prepare(&format!(
                "SELECT {STORED_ROW} FROM spans INDEXED BY spans_by_identity WHERE trace_key = ?1 \
                 ORDER BY start_micros DESC, start_nanos DESC, id_text(id) DESC LIMIT ?2"
            ))?,
            delete_span: connection.prepare("DELETE FROM spans WHERE sequence = ?1")?,
            delete_assessments: connection.prepare("DELETE FROM assessments WHERE sequence = ?1")?,
            delete_rewrite: connection.prepare("DELETE FROM rewrites WHERE version = ?1")?,
            delete_id: connection.prepare("DELETE FROM span_ids WHERE id_hash = ?1 AND sequence = ?2")?,
            delete_dead_block: connection
                .prepare("DELETE FROM block_figures WHERE block_key = ?1 AND dead_spans >= spans")?,
            delete_frame: connection.prepare("DELETE FROM blocks WHERE block_key = ?1")?,
            delete_filter: connection.prepare("DELETE FROM block_filters WHERE block_key = ?1")?,
            set_latest: connection.prepare(
                "INSERT INTO meta (name, value) VALUES ('latest', ?1) \
                 ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
            )?,
            trace_by_id: connection.prepare(
                "SELECT trace_key FROM traces INDEXED BY traces_by_hash \
                 WHERE trace_hash = ?1 AND account_key = ?2 AND trace_id = ?3",
            )?,
            trace_within: connection.prepare(
                "SELECT trace_key FROM traces INDEXED BY traces_by_start WHERE account_key = ?1 \
                 AND start_micros >= ?2 AND start_micros <= ?4 AND (start_micros > ?2 OR start_nanos >= ?3) \
                 AND (last_micros, last_nanos) < (?4, ?5) ORDER BY start_micros LIMIT 1",
            )?,
            oldest_trace: connection.prepare(
                "SELECT start_micros, start_nanos, id_text(trace_id), trace_key FROM traces INDEXED BY traces_by_start \
                 WHERE account_key = ?1 ORDER BY start_micros, start_nanos, id_text(trace_id) LIMIT 1",
            )?,
        })
    }

    /// Deletes a piece within the open transaction. Summaries are written by `write_traces` after each trace.
    pub(crate) fn delete(
        &mut self,
        lookup: &mut Lookup<'_>,
        traces: &mut TraceTable,
        shared: &Shared,
        account: Option<&AccountId>,
        deletion: &Deletion,
        mut write_traces: impl FnMut(&mut Lookup<'_>, &mut TraceTable) -> Result<()>,
    ) -> Result<Piece> {
        let mut piece = Piece::default();
        let mut left = deletion.max_spans.clamp(1, MAX_SPANS);
        let mut next = self.next_trace(shared, account, &deletion.what)?;
        while let Some(trace_key) = next.filter(|_| left > 0) {
            let index = traces.find_by_key(lookup, shared.keyed, trace_key)?;
            let index =
                index.ok_or_else(|| EngineError::damaged(format!("trace {trace_key} is not there")))?;
            let rows: Vec<StoredRow> = self
                .latest_spans
                .query_and_then(params![trace_key, left], read_stored_row)?
                .collect::<Result<_>>()?;
            if rows.is_empty() {
                return Err(EngineError::damaged(format!("trace {trace_key} has no spans")));
            }
            for row in rows {
                left = left.saturating_sub(1);
                self.delete_row(shared, &row, &mut piece)?;
                traces.change(index, row.sequence, &row.id, Some(&row.facts), None);
            }
            write_traces(lookup, traces)?;
            let is_gone = traces.get(index).is_none_or(|trace| trace.stored_start.is_none());
            piece.deleted.traces += u64::from(is_gone);
            next = self.next_trace(shared, account, &deletion.what)?;
        }
        piece.deleted.more = next.is_some();
        self.set_latest.execute([shared.latest()])?;
        Ok(piece)
    }

    fn delete_row(&mut self, shared: &Shared, row: &StoredRow, piece: &mut Piece) -> Result<()> {
        let hash = shared.keyed.hash(row.account_key, row.id.as_str());
        self.delete_span.execute([row.sequence])?;
        self.delete_assessments.execute([row.sequence])?;
        if row.version != row.sequence {
            self.delete_rewrite.execute([row.version])?;
        }
        self.delete_id.execute([hash, row.sequence])?;
        piece.ids.push((hash, row.sequence));
        if let Some(place) = row.place {
            let (spans, bytes) = piece.dead.entry(place.block_key).or_default();
            *spans += 1;
            *bytes += row.payload_bytes;
        }
        piece.deleted.spans += 1;
        piece.deleted.payload_bytes += row.payload_bytes.unsigned_abs();
        Ok(())
    }

    /// Drops a block if nothing in it is alive.
    pub(crate) fn drop_dead_block(&mut self, block_key: i64) -> Result<()> {
        if self.delete_dead_block.execute([block_key])? > 0 {
            self.delete_frame.execute([block_key])?;
            self.delete_filter.execute([block_key])?;
        }
        Ok(())
    }

    /// Returns the trace that is deleted next.
    fn next_trace(
        &mut self,
        shared: &Shared,
        account: Option<&AccountId>,
        what: &Deleting,
    ) -> Result<Option<i64>> {
        let accounts: Vec<i64> = {
            let accounts = shared.accounts.read();
            match account {
                Some(account) => accounts.key(account).into_iter().collect(),
                None => accounts.keys().collect(),
            }
        };
        let parts = |time: Timestamp| (time.unix_micros(), time.subsec_nanos_below_micro());
        let mut oldest: Option<(i64, u16, String, AccountId, i64)> = None;
        for account_key in accounts {
            let found = match what {
                Deleting::Trace(trace_id) => {
                    let hash = shared.keyed.hash(account_key, trace_id.as_str());
                    let parameters = params![hash, account_key, CompactId::new(trace_id.as_str())];
                    self.trace_by_id.query_row(parameters, |row| row.get(0)).optional()?
                }
                Deleting::Started { from, before } => {
                    let (from, before) = (parts(from.unwrap_or(Timestamp::MIN)), parts(*before));
                    let parameters = params![account_key, from.0, from.1, before.0, before.1];
                    self.trace_within.query_row(parameters, |row| row.get(0)).optional()?
                }
                Deleting::Oldest => {
                    let first = self.oldest_trace.query_row([account_key], |row| {
                        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                    });
                    let account = shared.accounts.read().name(account_key).cloned().unwrap_or_default();
                    let first =
                        first.optional()?.map(|(micros, nanos, id, key)| (micros, nanos, id, account, key));
                    oldest = first.into_iter().chain(oldest).min();
                    None
                }
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(oldest.map(|(.., trace_key)| trace_key))
    }
}
