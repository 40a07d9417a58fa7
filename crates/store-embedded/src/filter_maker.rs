//! Makes what tells which blocks may hold a text: the filters of settled blocks, and groups of them.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::{
    block_filter,
    compactor::Compactor,
    error::Result,
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
        self.store_group(group_key, group, &slices).map(|()| true)
    }

    /// Has the writer store a group, some slices at a time.
    fn store_group(&mut self, group_key: i64, group: FilterGroup, slices: &[Vec<u8>]) -> Result<()> {
        let mut group = Some(group);
        let pieces = slices.len().div_ceil(PIECE_SLICES);
        for (number, slices) in slices.chunks(PIECE_SLICES).enumerate() {
            let group = group.take_if(|_| number + 1 == pieces);
            let slices = slices.to_vec();
            let piece = GroupPiece { group_key, first: number * PIECE_SLICES, slices, group };
            self.ask("store a group of filters", |reply| Job::Group(piece, reply))?;
        }
        Ok(())
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

    /// Turns the filters of the oldest blocks in memory into a group, if there are enough. Returns whether there were.
    pub(crate) fn group_fresh(&mut self) -> Result<bool> {
        let shared = self.shared;
        let Some(mut filters) =
            shared.fresh_filters.first(shared.options.filter_group_blocks.clamp(1, BLOCKS))
        else {
            return Ok(false);
        };
        let _alone = shared.grouping.lock();
        let began = Instant::now();
        let count = filters.len();
        let mut lacks_one = self
            .connection
            .prepare_cached("SELECT 1 FROM block_figures WHERE block_key = ?1 AND filtered = 0")?;
        let mut gone = Vec::new();
        for (block_key, _) in &filters {
            if !lacks_one.exists([block_key])? {
                gone.push(*block_key);
            }
        }
        // Blocks go, and who maintains the store makes filters too.
        filters.retain(|(block_key, _)| !gone.contains(block_key));
        shared.fresh_filters.remove(gone);
        if filters.len() < count {
            return Ok(true);
        }
        let group_key = next_group(self.connection)?;
        let turned = filter_group::turn(&filters);
        self.filtering += began.elapsed();
        let blocks: Vec<i64> = filters.iter().map(|(block_key, _)| *block_key).collect();
        if let Some((group, slices)) = turned {
            self.store_group(group_key, group, &slices)?;
        }
        shared.fresh_filters.note_grouped(&blocks);
        Ok(true)
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

/// Returns the key of the next group. For whoever holds the lock on making groups.
fn next_group(connection: &Connection) -> Result<i64> {
    let mut latest =
        connection.prepare_cached("SELECT coalesce(max(group_key), 0) + 1 FROM filter_groups")?;
    Ok(latest.query_row([], |row| row.get(0))?)
}
