//! Puts what the compactor made in the place of the blocks that it made it of.

use std::sync::atomic::Ordering;

use rusqlite::params;

use super::{Committer, DEAD_SHARE};
use crate::{columns::Change, compactor::Swap, error::Result, shared::Shared};

impl Committer<'_> {
    /// Replaces old blocks, or a part of them, by a new one.
    pub(crate) fn swap(&mut self, swap: &Swap, shared: &Shared) -> Result<()> {
        let block_key = self.next_block;
        self.next_block += 1;
        self.changes.clear();
        self.in_transaction(|committer| committer.write_swap(swap, block_key))?;
        shared.columns.apply(self.changes.drain(..), shared.latest());
        shared.gone_blocks.fetch_add(swap.drained.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn write_swap(&mut self, swap: &Swap, block_key: i64) -> Result<()> {
        if let Some(block) = &swap.block {
            let spans = block.records.len() as i64;
            let (mut dead_spans, mut dead_bytes) = (0, 0);
            for record in &block.records {
                let moved = self.move_payload.execute([
                    record.sequence,
                    record.from.block_key,
                    record.from.offset,
                    block_key,
                    record.offset,
                ])?;
                // The span was replaced or deleted while the compactor worked.
                if moved == 0 {
                    dead_spans += 1;
                    dead_bytes += record.bytes;
                } else {
                    self.changes.push(Change::Move { sequence: record.sequence, block: block_key as u32 });
                }
            }
            if dead_spans < spans {
                self.insert_block.execute(params![block_key, block.frame])?;
                self.insert_figures.execute(params![
                    block_key,
                    block.settled && dead_bytes * DEAD_SHARE < block.content_bytes,
                    spans,
                    block.content_bytes,
                    block.frame.len() as i64,
                    dead_spans,
                    dead_bytes,
                ])?;
                if let Some(filter) = &block.filter {
                    self.filters.store(block_key, Some(filter))?;
                }
            }
        }
        for old in &swap.drained {
            self.delete_block.execute([old])?;
            self.delete_figures.execute([old])?;
            self.filters.delete(*old)?;
        }
        Ok(())
    }
}
