//! The statements that write what tells which blocks may hold a text.

use rusqlite::{Connection, Statement, params};

use crate::{
    error::Result,
    filter_group::{FilterGroup, slice_key, slice_keys},
};

/// Prepared writes of filters.
pub(crate) struct FilterWriter<'c> {
    insert: Statement<'c>,
    delete: Statement<'c>,
    set_filtered: Statement<'c>,
    unset_filtered: Statement<'c>,
    insert_slice: Statement<'c>,
    delete_slices: Statement<'c>,
    insert_group: Statement<'c>,
    delete_group: Statement<'c>,
}

/// A part of a new group: some slices, and with the last of them the group itself.
#[derive(Debug)]
pub(crate) struct GroupPiece {
    pub(crate) group_key: i64,
    /// The number of the first slice.
    pub(crate) first: usize,
    pub(crate) slices: Vec<Vec<u8>>,
    pub(crate) group: Option<FilterGroup>,
}

impl<'c> FilterWriter<'c> {
    pub(crate) fn prepare(connection: &'c Connection) -> Result<Self> {
        Ok(Self {
            insert: connection
                .prepare("INSERT OR REPLACE INTO block_filters (block_key, filter) VALUES (?1, ?2)")?,
            delete: connection.prepare("DELETE FROM block_filters WHERE block_key = ?1")?,
            set_filtered: connection
                .prepare("UPDATE block_figures SET filtered = 1 WHERE block_key = ?1 AND filtered = 0")?,
            unset_filtered: connection
                .prepare("UPDATE block_figures SET filtered = 0 WHERE block_key = ?1")?,
            insert_slice: connection
                .prepare("INSERT OR REPLACE INTO filter_slices (slice_key, bits) VALUES (?1, ?2)")?,
            delete_slices: connection
                .prepare("DELETE FROM filter_slices WHERE slice_key >= ?1 AND slice_key < ?2")?,
            insert_group: connection.prepare(
                "INSERT INTO filter_groups (group_key, word_log2, run_log2, blocks) VALUES (?1, ?2, ?3, ?4)",
            )?,
            delete_group: connection.prepare("DELETE FROM filter_groups WHERE group_key = ?1")?,
        })
    }

    /// Stores what filter a block has, `None` for one that gets none. A block that is gone gets none either, and one that has a
    /// filter, which may be part of a group by now, no second one.
    pub(crate) fn store(&mut self, block_key: i64, filter: Option<&[u8]>) -> Result<()> {
        let lacks_one = self.set_filtered.execute([block_key])? > 0;
        if let Some(filter) = filter.filter(|_| lacks_one) {
            self.insert.execute(params![block_key, filter])?;
        }
        Ok(())
    }

    /// Deletes the filter that a block has of its own.
    pub(crate) fn delete(&mut self, block_key: i64) -> Result<()> {
        self.delete.execute([block_key])?;
        Ok(())
    }

    /// Stores a part of a new group. With the last one the filters that blocks had of their own go.
    pub(crate) fn store_piece(&mut self, piece: &GroupPiece) -> Result<()> {
        if piece.first == 0 {
            // What a group that was never finished has left.
            self.delete_slices.execute([slice_key(piece.group_key, 0), i64::MAX])?;
        }
        for (number, slice) in (piece.first..).zip(&piece.slices) {
            self.insert_slice.execute(params![slice_key(piece.group_key, number), slice])?;
        }
        if let Some(group) = &piece.group {
            self.insert_group.execute(params![
                piece.group_key,
                group.word_log2,
                group.run_log2,
                group.block_bytes()
            ])?;
            for block in &group.blocks {
                self.set_filtered.execute([block])?;
                self.delete.execute([block])?;
            }
        }
        Ok(())
    }

    /// Deletes a group. The blocks of it that are there wait for filters of their own again.
    pub(crate) fn dissolve(&mut self, group_key: i64, alive: &[i64]) -> Result<()> {
        for block in alive {
            self.unset_filtered.execute([block])?;
        }
        self.delete_group.execute([group_key])?;
        let keys = slice_keys(group_key);
        self.delete_slices.execute([keys.start, keys.end])?;
        Ok(())
    }
}
