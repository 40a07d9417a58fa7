//! Fills the columns of version 2 from the payloads of spans that an earlier version stored.

use endspan_model::{Facets, Span, Timestamp};
use rusqlite::{OptionalExtension, Transaction, params};

use crate::{block::Decompressor, error::Result, row::stored_count};

/// Reads every block once and writes what it says of the spans that still point to it, then adds the traces up.
pub(crate) fn facets(transaction: &Transaction<'_>) -> Result<()> {
    let mut decompressor = Decompressor::new()?;
    let mut frames = transaction.prepare("SELECT block_key, frame FROM blocks")?;
    let mut row_of = transaction.prepare("SELECT block_key, block_offset FROM spans WHERE sequence = ?1")?;
    let mut update = transaction.prepare(
        "UPDATE spans SET input_tokens = ?2, output_tokens = ?3, usage_kind = ?4, agent_id = ?5, agent_name = ?6, \
         acp_type = ?7 WHERE sequence = ?1",
    )?;
    let mut rows = frames.query([])?;
    while let Some(row) = rows.next()? {
        let block_key: i64 = row.get(0)?;
        let frame = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        let block = decompressor.decompress(block_key, frame)?;
        for record in block.records() {
            let (offset, record) = record?;
            let place = row_of.query_row([record.sequence], |row| {
                Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?))
            });
            if place.optional()? != Some((Some(block_key), i64::try_from(offset).ok())) {
                continue;
            }
            let mut span = Span::new("", "", "", Timestamp::MIN);
            block.load(offset, record.sequence, &mut span)?;
            let facets = Facets::of(&span);
            if facets != Facets::default() {
                update.execute(params![
                    record.sequence,
                    stored_count(facets.input_tokens),
                    stored_count(facets.output_tokens),
                    facets.usage_kind.map(|kind| kind.code()),
                    facets.agent_id,
                    facets.agent_name,
                    facets.acp_type,
                ])?;
            }
        }
    }
    transaction.execute_batch(
        "UPDATE traces SET (call_count, call_input, call_output, aggregate_count, aggregate_input, aggregate_output) = \
         (SELECT sum(usage_kind IS 1), total((usage_kind IS 1) * coalesce(input_tokens, 0)), \
         total((usage_kind IS 1) * coalesce(output_tokens, 0)), sum(usage_kind IS 2), \
         total((usage_kind IS 2) * coalesce(input_tokens, 0)), total((usage_kind IS 2) * coalesce(output_tokens, 0)) \
         FROM spans WHERE spans.trace_key = traces.trace_key) \
         WHERE trace_key IN (SELECT trace_key FROM spans WHERE usage_kind IS NOT NULL);\
         UPDATE traces SET call_input = CAST(call_input AS INTEGER), call_output = CAST(call_output AS INTEGER), \
         aggregate_input = CAST(aggregate_input AS INTEGER), aggregate_output = CAST(aggregate_output AS INTEGER) \
         WHERE call_count > 0 OR aggregate_count > 0;",
    )?;
    Ok(())
}
