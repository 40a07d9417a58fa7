//! Makes what tells which blocks may hold a text: the filters of settled blocks, and groups of them.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use parking_lot::MutexGuard;
use rusqlite::Connection;
use tokio::sync::oneshot::{Receiver, error::TryRecvError};

use crate::{
    block_filter,
    compactor::Compactor,
    error::{EngineError, Result},
    filter_group::{self, BLOCKS, FilterGroup},
    readers::{Reading, in_snapshot},
    writer::{GroupPiece, Job},
};

/// Most blocks whose filters are made and stored together. A search looks through as many that have none yet.
const FILTERED_BLOCKS: i64 = 24;
/// Most blocks whose filters are made one after the other while spans come in.
const FRESH_BLOCKS: usize = 8;
/// Slices that the writer stores in one transaction, about a megabyte.
const PIECE_SLICES: usize = 256;

/// A group on its way to disk.
pub(crate) struct Grouping<'a> {
    blocks: Vec<i64>,
    answer: Receiver<bool>,
    /// Nobody else makes one meanwhile.
    _alone: MutexGuard<'a, ()>,
}

impl Compactor<'_> {
    /// Makes the filters of some settled blocks that have none and stores them, the latest first. Returns whether there were any.
    pub(crate) fn filter_some(&mut self) -> Result<bool> {
        let (connection, shared) = (self.connection, self.shared);
        let began = Instant::now();
        let (patience, mut paused) = (&mut self.patience, Duration::ZERO);
        let mut reading = Reading { connection, shared, decompressor: &mut self.decompressor };
        let filters = in_snapshot(&mut reading, |reading| {
            let mut blocks = reading.connection.prepare_cached(
                "SELECT block_key, frame FROM block_figures INDEXED BY blocks_unfiltered JOIN blocks USING (block_key) \
                 WHERE settled = 1 AND filtered = 0 ORDER BY block_key DESC LIMIT ?1",
            )?;
            let mut rows = blocks.query([FILTERED_BLOCKS])?;
            let mut filters = Vec::new();
            let mut room = Vec::new();
            while let Some(row) = rows.next()? {
                let block_key: i64 = row.get(0)?;
                let frame = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
                // A block that cannot be read keeps none from being found: it is looked at when it is searched.
                let mut make = || {
                    reading.decompressor.decompress_into(block_key, frame, &mut room)?;
                    block_filter::build(block_key, &room)
                };
                let filter = shared.fresh_filters.get(block_key).or_else(|| make().ok());
                filters.push((block_key, filter));
                paused += patience.give_way(&shared.precedence);
            }
            Ok(filters)
        })?;
        self.filtering += began.elapsed().saturating_sub(paused);
        if filters.is_empty() {
            shared.fresh_filters.clear();
            return Ok(false);
        }
        self.ask("store filters", |reply| Job::Filter(filters, reply)).map(|()| true)
    }

    /// Turns the filters of the oldest blocks that have some of their own into a group, if there are enough. Returns whether
    /// there were.
    pub(crate) fn group_some(&mut self) -> Result<bool> {
        if self.grouping.is_some() {
            return Ok(false);
        }
        // Who else maintains the store must not make the same group.
        let _alone = self.shared.grouping.lock();
        let (connection, shared) = (self.connection, self.shared);
        let began = Instant::now();
        let blocks = shared.options.filter_group_blocks.clamp(1, BLOCKS);
        let mut reading = Reading { connection, shared, decompressor: &mut self.decompressor };
        let gathered = in_snapshot(&mut reading, |reading| {
            let waiting: i64 = reading
                .connection
                .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM block_filters LIMIT ?1)")?
                .query_row([blocks as i64], |row| row.get(0))?;
            if (waiting as usize) < blocks {
                return Ok(None);
            }
            let mut filters: Vec<(i64, Vec<u8>)> = Vec::with_capacity(blocks);
            let mut waiting = reading
                .connection
                .prepare_cached("SELECT block_key, filter FROM block_filters ORDER BY block_key")?;
            let mut rows = waiting.query([])?;
            while let Some(row) = rows.next()?
                && filters.len() < blocks
            {
                let filter = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
                if filter_group::takes(filter) {
                    filters.push((row.get(0)?, filter.to_vec()));
                }
            }
            let group_key = next_group(reading.connection)?;
            Ok((filters.len() == blocks).then_some((group_key, filters)))
        })?;
        let turned =
            gathered.and_then(|(group_key, filters)| Some((group_key, filter_group::turn(&filters)?)));
        self.filtering += began.elapsed();
        let Some((group_key, (group, slices))) = turned else { return Ok(false) };
        let pieces = pieces(group_key, group, &slices);
        self.ask("store a group of filters", |reply| Job::Group(pieces, reply)).map(|()| true)
    }

    /// Makes the filters of some settled blocks that have none and keeps them in memory, the latest first. Returns whether there
    /// were any.
    pub(crate) fn filter_fresh(&mut self) -> Result<bool> {
        let (connection, shared) = (self.connection, self.shared);
        let (patience, mut paused) = (&mut self.patience, Duration::ZERO);
        let began = Instant::now();
        let mut reading = Reading { connection, shared, decompressor: &mut self.decompressor };
        let others = in_snapshot(&mut reading, |reading| {
            let mut lacking = reading.connection.prepare_cached(
                "SELECT block_key FROM block_figures INDEXED BY blocks_unfiltered \
                 WHERE settled = 1 AND filtered = 0 ORDER BY block_key DESC",
            )?;
            let mut frames =
                reading.connection.prepare_cached("SELECT frame FROM blocks WHERE block_key = ?1")?;
            let mut rows = lacking.query([])?;
            let (mut made, mut others, mut room) = (0, Vec::new(), Vec::new());
            while made < FRESH_BLOCKS
                && let Some(row) = rows.next()?
            {
                let block_key: i64 = row.get(0)?;
                if shared.fresh_filters.has(block_key) {
                    continue;
                }
                let mut frames = frames.query([block_key])?;
                let Some(row) = frames.next()? else { continue };
                let frame = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
                let filter = reading.decompressor.decompress_into(block_key, frame, &mut room);
                match filter.and_then(|()| block_filter::build(block_key, &room)) {
                    Ok(filter) if filter_group::takes(&filter) => {
                        shared.fresh_filters.insert(block_key, filter);
                    }
                    filter => others.push((block_key, filter.ok())),
                }
                made += 1;
                paused += patience.give_way(&shared.precedence);
            }
            Ok((made, others))
        })?;
        self.filtering += began.elapsed().saturating_sub(paused);
        let (made, others) = others;
        if !others.is_empty() {
            self.ask("store filters", |reply| Job::Filter(others, reply))?;
        }
        Ok(made > 0)
    }

    /// Turns the filters of the oldest blocks in memory into a group, if there are enough, and has the writer store it. Returns whether
    /// there were.
    pub(crate) fn group_fresh(&mut self) -> Result<bool> {
        let (connection, shared) = (self.connection, self.shared);
        let count = shared.options.filter_group_blocks.clamp(1, BLOCKS);
        if self.grouping.is_some() {
            return Ok(false);
        }
        let Some(mut filters) = shared.fresh_filters.first(count) else { return Ok(false) };
        // Who else maintains the store must not make the same group.
        let alone = shared.grouping.lock();
        let began = Instant::now();
        let mut lacks_one =
            connection.prepare_cached("SELECT 1 FROM block_figures WHERE block_key = ?1 AND filtered = 0")?;
        let mut others = Vec::new();
        for (block_key, _) in &filters {
            if !lacks_one.exists([block_key])? {
                others.push(*block_key);
            }
        }
        if !others.is_empty() {
            // Blocks go, and who maintains the store gives them filters too.
            shared.fresh_filters.remove(others);
            return Ok(true);
        }
        let group_key = next_group(connection)?;
        let turned = filter_group::turn(&filters);
        self.filtering += began.elapsed();
        let blocks = filters.drain(..).map(|(block_key, _)| block_key).collect();
        let Some((group, slices)) = turned else {
            shared.fresh_filters.remove(blocks);
            return Ok(true);
        };
        let pieces = pieces(group_key, group, &slices);
        let answer = self.tell(|reply| Job::Group(pieces, reply))?;
        self.grouping = Some(Grouping { blocks, answer, _alone: alone });
        Ok(true)
    }

    /// Notes the end of what [`Self::group_fresh`] began, if it has ended or `must_end`.
    pub(crate) fn finish_group(&mut self, must_end: bool) -> Result<()> {
        let Some(mut grouping) = self.grouping.take() else { return Ok(()) };
        let stored = if must_end {
            grouping.answer.blocking_recv().ok()
        } else {
            match grouping.answer.try_recv() {
                Err(TryRecvError::Empty) => {
                    self.grouping = Some(grouping);
                    return Ok(());
                }
                answer => answer.ok(),
            }
        };
        match stored {
            Some(true) => {
                self.shared.fresh_filters.note_grouped(&grouping.blocks);
                Ok(())
            }
            Some(false) => Err(EngineError::damaged("the writer could not store a group of filters")),
            None => Err(EngineError::Closed),
        }
    }

    /// Dissolves a group most of whose blocks are gone. Returns whether there was one.
    pub(crate) fn dissolve_some(&mut self) -> Result<bool> {
        let _alone = self.shared.grouping.lock();
        let (connection, shared) = (self.connection, self.shared);
        let mut reading = Reading { connection, shared, decompressor: &mut self.decompressor };
        let sparse = in_snapshot(&mut reading, |reading| {
            let mut groups =
                reading.connection.prepare_cached("SELECT group_key, blocks FROM filter_groups")?;
            let mut is_there =
                reading.connection.prepare_cached("SELECT 1 FROM block_figures WHERE block_key = ?1")?;
            let mut rows = groups.query([])?;
            while let Some(row) = rows.next()? {
                let blocks =
                    FilterGroup::blocks_of(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?);
                let (members, mut alive) = (blocks.len(), Vec::new());
                for block in blocks {
                    if is_there.exists([block])? {
                        alive.push(block);
                    }
                }
                if alive.len() * 2 < members {
                    return Ok(Some((row.get::<_, i64>(0)?, alive)));
                }
            }
            Ok(None)
        })?;
        let Some((group_key, alive)) = sparse else { return Ok(false) };
        self.ask("dissolve filters", |reply| Job::Dissolve(group_key, alive, reply)).map(|()| true)
    }
}

/// Cuts a group into what the writer stores in one transaction each.
fn pieces(group_key: i64, group: FilterGroup, slices: &[Vec<u8>]) -> VecDeque<GroupPiece> {
    let mut group = Some(group);
    let pieces = slices.len().div_ceil(PIECE_SLICES);
    let piece = |(number, slices): (usize, &[Vec<u8>])| GroupPiece {
        group_key,
        first: number * PIECE_SLICES,
        slices: slices.to_vec(),
        group: group.take_if(|_| number + 1 == pieces),
    };
    slices.chunks(PIECE_SLICES).enumerate().map(piece).collect()
}

/// Returns the key of the next group. For whoever holds the lock on making groups.
fn next_group(connection: &Connection) -> Result<i64> {
    let mut latest =
        connection.prepare_cached("SELECT coalesce(max(group_key), 0) + 1 FROM filter_groups")?;
    Ok(latest.query_row([], |row| row.get(0))?)
}
