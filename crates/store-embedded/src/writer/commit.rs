//! Brings a group to disk: blocks, rows, summaries and positions in one transaction.

mod publish;
mod swap;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
};

use endspan_model::{AccountId, Facets, Span};
use endspan_store::{
    AssessmentOutcome, AssessmentWrite, Deleted, Deletion,
    engine::{
        Facts,
        block::{BlockBuilder, Compressor, FULL_BYTES, FULL_SPANS},
    },
};
use rusqlite::{Connection, Statement, params};

use self::publish::{column_row, publish};
use super::{
    assess,
    delete::Deleter,
    filters::FilterWriter,
    group::{Entry, Group, State},
    lookup::Lookup,
    rows::RowWriter,
    traces::TraceTable,
};
use crate::{
    columns::Change,
    error::Result,
    precedence::Patience,
    row::{Place, StoredRow},
    shared::Shared,
};

/// A block that loses more than this share of its content is compacted again.
const DEAD_SHARE: i64 = 3;
/// Of what part of its time the writer may give way to reads: one in so many. Ingest keeps its goal of 70 %.
const GIVES_ONE_IN: u32 = 5;
/// Rows after which it looks whether it should.
const GIVES_AFTER_ROWS: usize = 64;

/// Prepared writes of the writer's connection.
pub(crate) struct Committer<'c> {
    connection: &'c Connection,
    begin: Statement<'c>,
    commit: Statement<'c>,
    insert_account: Statement<'c>,
    insert_block: Statement<'c>,
    insert_figures: Statement<'c>,
    count_dead: Statement<'c>,
    insert_id: Statement<'c>,
    set_watermark: Statement<'c>,
    move_payload: Statement<'c>,
    delete_block: Statement<'c>,
    delete_figures: Statement<'c>,
    filters: FilterWriter<'c>,
    rows: RowWriter<'c>,
    deleter: Deleter<'c>,
    compressor: Compressor,
    builder: BlockBuilder,
    next_block: i64,
    folding: Option<Folding>,
    /// What the open transaction changes in the columns.
    changes: Vec<Change>,
    patience: Patience,
}

/// Frozen entries of the id buffer on their way into the tree.
struct Folding {
    entries: Arc<Vec<(i64, i64)>>,
    done: usize,
    watermark: i64,
    /// Rows that were deleted meanwhile.
    deleted: HashSet<i64>,
}

impl<'c> Committer<'c> {
    pub(crate) fn prepare(connection: &'c Connection, next_block: i64) -> Result<Self> {
        Ok(Self {
            connection,
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            commit: connection.prepare("COMMIT")?,
            insert_account: connection.prepare("INSERT INTO accounts (account_key, account) VALUES (?1, ?2)")?,
            insert_block: connection.prepare("INSERT INTO blocks (block_key, frame) VALUES (?1, ?2)")?,
            insert_figures: connection.prepare(
                "INSERT INTO block_figures (block_key, settled, spans, raw_bytes, stored_bytes, dead_spans, dead_bytes) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?,
            count_dead: connection.prepare(&format!(
                "UPDATE block_figures SET dead_spans = dead_spans + ?2, dead_bytes = dead_bytes + ?3, \
                 settled = settled AND (dead_bytes + ?3) * {DEAD_SHARE} < raw_bytes AND dead_spans + ?2 < spans \
                 WHERE block_key = ?1"
            ))?,
            insert_id: connection.prepare("INSERT OR IGNORE INTO span_ids (id_hash, sequence) VALUES (?1, ?2)")?,
            set_watermark: connection.prepare(
                "INSERT INTO meta (name, value) VALUES ('id_watermark', ?1) \
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            )?,
            move_payload: connection.prepare(
                "UPDATE spans SET block_key = ?4, block_offset = ?5 \
                 WHERE sequence = ?1 AND block_key = ?2 AND block_offset = ?3",
            )?,
            delete_block: connection.prepare("DELETE FROM blocks WHERE block_key = ?1")?,
            delete_figures: connection.prepare("DELETE FROM block_figures WHERE block_key = ?1")?,
            filters: FilterWriter::prepare(connection)?,
            rows: RowWriter::prepare(connection)?,
            deleter: Deleter::prepare(connection)?,
            compressor: Compressor::new()?,
            builder: BlockBuilder::default(),
            next_block,
            folding: None,
            changes: Vec::new(),
            patience: Patience::one_in(GIVES_ONE_IN),
        })
    }

    /// Makes everything that the group wrote durable, and visible to readers. On an error nothing of it is.
    pub(crate) fn commit(&mut self, group: Group<'_, 'c>, shared: &Shared) -> Result<()> {
        let Group { lookup, traces, mut entries, new_accounts, .. } = group;
        entries.retain(|entry| matches!(entry.state, State::Written { .. }));
        if entries.is_empty() {
            return Ok(());
        }
        self.changes.clear();
        self.begin.execute([])?;
        let written = self.write(&entries, &new_accounts, lookup, traces, shared);
        let written = written.and_then(|()| Ok(self.commit.execute([]).map(drop)?));
        if let Err(error) = written {
            self.roll_back();
            return Err(error);
        }
        self.release_folded(shared);
        publish(entries, new_accounts, traces, shared, &mut self.changes);
        Ok(())
    }

    /// Pauses while reads need the cores. Not between a commit and its publication, for which readers wait.
    pub(crate) fn give_way(&mut self, shared: &Shared) {
        self.patience.give_way(&shared.precedence);
    }

    fn roll_back(&mut self) {
        // Some errors have rolled back already; then this one fails, and that is as good.
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        // Entries that this transaction put into the tree are gone: begin again. They are idempotent.
        if let Some(folding) = &mut self.folding {
            folding.done = 0;
        }
    }

    fn write(
        &mut self,
        entries: &[Entry],
        new_accounts: &HashMap<AccountId, i64>,
        lookup: &mut Lookup<'_>,
        traces: &mut TraceTable,
        shared: &Shared,
    ) -> Result<()> {
        for (account, key) in new_accounts {
            let is_used =
                |entry: &Entry| traces.get(entry.trace).is_some_and(|trace| trace.account_key == *key);
            if entries.iter().any(is_used) {
                self.insert_account.execute(params![key, account.as_str()])?;
            }
        }
        let places = self.write_blocks(entries, shared)?;
        self.write_rows(entries, &places, traces, shared)?;
        let latest = entries.iter().filter_map(|entry| Some(written(entry)?.1)).max().unwrap_or(0);
        write_traces(&mut self.rows, lookup, traces, &mut self.changes, latest)?;
        // Twice as fast as entries come in, so that the frozen ones are gone before the next are due.
        self.fold(shared, (entries.len() * 2).max(64))
    }

    /// Packs the payloads into blocks, span by span within each trace, and returns where each entry's are.
    fn write_blocks(&mut self, entries: &[Entry], shared: &Shared) -> Result<Vec<Option<Place>>> {
        let mut order: Vec<usize> = (0..entries.len()).collect();
        order.sort_by_key(|index| {
            entries.get(*index).map(|entry| (entry.trace, written(entry).map(|span| span.1)))
        });
        let mut places = vec![None; entries.len()];
        self.builder.clear();
        for index in order {
            let Some((entry, (span, version))) =
                entries.get(index).and_then(|entry| Some((entry, written(entry)?)))
            else {
                continue;
            };
            if self.builder.lacks_room_for(span.payload_bytes()) {
                self.give_way(shared);
                self.write_block()?;
            }
            let sequence = entry.row.as_ref().map_or(version, |row| row.sequence);
            let offset = self.builder.push(sequence, span);
            if let (Some(place), Some(offset)) = (places.get_mut(index), offset) {
                *place = Some(Place { block_key: self.next_block, offset: offset as i64 });
            }
        }
        if !self.builder.is_empty() {
            self.write_block()?;
        }
        Ok(places)
    }

    fn write_block(&mut self) -> Result<()> {
        let frame = self.compressor.compress(&self.builder)?;
        let settled =
            self.builder.content().len() >= FULL_BYTES / 2 || self.builder.spans() >= FULL_SPANS / 2;
        let key = self.next_block;
        self.next_block += 1;
        self.insert_block.execute(params![key, frame])?;
        let (spans, raw_bytes) = (self.builder.spans() as i64, self.builder.content().len() as i64);
        self.insert_figures.execute(params![key, settled, spans, raw_bytes, frame.len() as i64, 0, 0])?;
        self.builder.clear();
        Ok(())
    }

    fn write_rows(
        &mut self,
        entries: &[Entry],
        places: &[Option<Place>],
        traces: &mut TraceTable,
        shared: &Shared,
    ) -> Result<()> {
        let mut order: Vec<(i64, usize)> = Vec::with_capacity(entries.len());
        order
            .extend(entries.iter().enumerate().filter_map(|(index, entry)| Some((written(entry)?.1, index))));
        // New rows go to the end of the table in the order of their sequence.
        order.sort_unstable();
        let mut dead: HashMap<i64, (i64, i64)> = HashMap::new();
        let mut moved_away: Vec<&StoredRow> = Vec::new();
        for (count, (version, index)) in order.into_iter().enumerate() {
            if count % GIVES_AFTER_ROWS == 0 {
                self.give_way(shared);
            }
            let Some((entry, (span, _))) =
                entries.get(index).and_then(|entry| Some((entry, written(entry)?)))
            else {
                continue;
            };
            let place = places.get(index).copied().flatten();
            let facets = Facets::of(span);
            let facts = Facts::of(span, &facets);
            let Some(trace) = traces.get(entry.trace) else { continue };
            if shared.columns.is_enabled() {
                let sequence = entry.row.as_ref().map_or(version, |row| row.sequence);
                let row = column_row(sequence, (trace.account_key, trace.key), span, &facets, place, shared);
                self.changes.push(Change::Put(row, version));
            }
            match &entry.row {
                None => {
                    self.rows.insert_span(version, trace, entry.hash, span, &facets, place)?;
                    traces.change(entry.trace, version, &entry.id, None, Some(&facts));
                }
                Some(row) => {
                    self.rows.update_span(row, version, trace, span, &facets, place)?;
                    let stays = row.trace_key == trace.key;
                    let old = stays.then_some(&row.facts);
                    traces.change(entry.trace, row.sequence, &entry.id, old, Some(&facts));
                    if !stays {
                        moved_away.push(row);
                    }
                    if let Some(place) = row.place {
                        let (spans, bytes) = dead.entry(place.block_key).or_default();
                        *spans += 1;
                        *bytes += row.payload_bytes;
                    }
                }
            }
        }
        for row in moved_away {
            if let Some(trace) = traces.known_key(row.trace_key) {
                traces.change(trace, row.sequence, &row.id, Some(&row.facts), None);
            }
        }
        self.bury(&dead)
    }

    /// Counts spans and bytes of payload that died, by block.
    fn bury(&mut self, dead: &HashMap<i64, (i64, i64)>) -> Result<()> {
        for (block_key, (spans, bytes)) in dead {
            self.count_dead.execute([block_key, spans, bytes])?;
        }
        Ok(())
    }

    /// Puts up to `count` frozen entries of the id buffer into the tree, within the open transaction.
    fn fold(&mut self, shared: &Shared, count: usize) -> Result<()> {
        if self.folding.is_none() && shared.ids.active_count() >= shared.options.id_buffer_entries {
            self.freeze(shared);
        }
        let Some(folding) = &mut self.folding else { return Ok(()) };
        let slice = folding.entries.get(folding.done..).unwrap_or_default();
        let slice = slice.get(..count).unwrap_or(slice);
        for (hash, sequence) in slice.iter().filter(|(_, sequence)| !folding.deleted.contains(sequence)) {
            self.insert_id.execute([hash, sequence])?;
        }
        folding.done += slice.len();
        if folding.done == folding.entries.len() {
            self.set_watermark.execute([folding.watermark])?;
        }
        Ok(())
    }

    fn freeze(&mut self, shared: &Shared) {
        let entries = shared.ids.freeze();
        let watermark = entries.iter().map(|entry| entry.1).max().unwrap_or(0);
        self.folding = Some(Folding { entries, done: 0, watermark, deleted: HashSet::new() });
    }

    /// Forgets what a commit has brought into the tree.
    fn release_folded(&mut self, shared: &Shared) {
        if self.folding.take_if(|folding| folding.done == folding.entries.len()).is_some() {
            shared.ids.release();
        }
    }

    /// Puts a slice of the id buffer into the tree in a transaction of its own. Returns whether more is left.
    pub(crate) fn fold_slice(&mut self, shared: &Shared, count: usize) -> Result<bool> {
        if self.folding.is_none() {
            if shared.ids.active_count() == 0 {
                return Ok(false);
            }
            self.freeze(shared);
        }
        self.in_transaction(|committer| committer.fold(shared, count))?;
        self.release_folded(shared);
        Ok(self.folding.is_some() || shared.ids.active_count() > 0)
    }

    /// Deletes a piece in a transaction of its own.
    pub(crate) fn delete(
        &mut self,
        lookup: &mut Lookup<'_>,
        traces: &mut TraceTable,
        shared: &Shared,
        account: Option<&AccountId>,
        deletion: &Deletion,
    ) -> Result<Deleted> {
        let mut piece = None;
        self.changes.clear();
        self.in_transaction(|committer| {
            let Self { deleter, rows, changes, .. } = committer;
            // A deletion has no position; a snapshot of the latest one may be from before it.
            let version = shared.latest() + 1;
            let deleted = deleter.delete(lookup, traces, shared, account, deletion, |lookup, traces| {
                write_traces(rows, lookup, traces, changes, version)
            })?;
            committer.bury(&deleted.dead)?;
            for block_key in deleted.dead.keys() {
                committer.deleter.drop_dead_block(*block_key)?;
            }
            piece = Some(deleted);
            Ok(())
        })?;
        let Some(piece) = piece else { return Ok(Deleted::default()) };
        let gone = piece.ids.iter().map(|(_, sequence)| Change::Delete(*sequence));
        shared.columns.apply(gone.chain(self.changes.drain(..)), shared.latest());
        shared.ids.remove(&piece.ids);
        shared.gone_blocks.fetch_add(piece.dead.len() as u64, Ordering::Relaxed);
        if let Some(folding) = &mut self.folding {
            folding.deleted.extend(piece.ids.iter().map(|(_, sequence)| *sequence));
        }
        Ok(piece.deleted)
    }

    /// Changes an assessment in a transaction of its own.
    pub(crate) fn assess(&mut self, write: &AssessmentWrite, shared: &Shared) -> Result<AssessmentOutcome> {
        let mut outcome = AssessmentOutcome::NotFound;
        self.in_transaction(|committer| {
            outcome = assess::write(committer.connection, shared, write)?;
            Ok(())
        })?;
        Ok(outcome)
    }

    /// Writes filters in a transaction of its own.
    pub(crate) fn write_filters<T>(
        &mut self,
        write: impl FnOnce(&mut FilterWriter<'c>) -> Result<T>,
    ) -> Result<T> {
        self.in_transaction(|committer| write(&mut committer.filters))
    }

    /// Gives free pages at the end of the file back, a few at a time. Returns whether more are left.
    pub(crate) fn vacuum_slice(&mut self, pages: u32) -> Result<bool> {
        let count = |name: &str| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let (free, all) = (count("freelist_count")?, count("page_count")?);
        // Some free pages are the next writes' room.
        if free < 1024 || free < all / 8 {
            return Ok(false);
        }
        let mut vacuum = self.connection.prepare_cached(&format!("PRAGMA incremental_vacuum({pages})"))?;
        let mut freed = vacuum.query([])?;
        // Each step frees a page.
        while freed.next()?.is_some() {}
        Ok(true)
    }

    fn in_transaction<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.begin.execute([])?;
        let done = work(self).and_then(|done| Ok(self.commit.execute([]).map(|_| done)?));
        if done.is_err() {
            self.roll_back();
        }
        done
    }
}

/// Brings the summaries that changed to their rows.
fn write_traces(
    rows: &mut RowWriter<'_>,
    lookup: &mut Lookup<'_>,
    traces: &mut TraceTable,
    changes: &mut Vec<Change>,
    version: i64,
) -> Result<()> {
    for index in traces.take_dirty() {
        let Some(trace) = traces.get_mut(index) else { continue };
        if trace.summary.is_stale {
            trace.summary = lookup.sum_up(trace.key)?;
        }
        rows.write_trace(trace)?;
        changes.push(Change::Trace { key: trace.key, row: trace.column_row(), version });
    }
    Ok(())
}

fn written(entry: &Entry) -> Option<(&Span, i64)> {
    match &entry.state {
        State::Written { span, version } => Some((span, *version)),
        State::Absent | State::Stored => None,
    }
}
