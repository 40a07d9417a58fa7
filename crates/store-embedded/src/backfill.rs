//! Fills the columns of versions 2 and 3 from the payloads of spans that an earlier version stored.

use endspan_model::{Facets, Span, Timestamp};
use endspan_store::engine::block::Decompressor;
use rusqlite::{OptionalExtension, Transaction};

use crate::{
    binding::{Binding, assignments},
    error::Result,
    row::{FACETS, bind_facets},
};

/// Reads every block once and writes what it says of the spans that still point to it, then adds the traces up.
pub(crate) fn facets(transaction: &Transaction<'_>) -> Result<()> {
    let mut decompressor = Decompressor::new()?;
    let mut frames = transaction.prepare("SELECT block_key, frame FROM blocks")?;
    let mut row_of = transaction.prepare("SELECT block_key, block_offset FROM spans WHERE sequence = ?1")?;
    let columns = assignments(FACETS, 2);
    let mut update = transaction.prepare(&format!("UPDATE spans SET {columns} WHERE sequence = ?1"))?;
    let mut rows = frames.query([])?;
    while let Some(row) = rows.next()? {
        let block_key: i64 = row.get(0)?;
        let frame = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        let block = decompressor.decompress(block_key, frame)?;
        for record in block.records() {
            let (offset, record) = record?;
            let place = row_of.query_row([record.mark], |row| {
                Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?))
            });
            if place.optional()? != Some((Some(block_key), i64::try_from(offset).ok())) {
                continue;
            }
            let mut span = Span::new("", "", "", Timestamp::MIN);
            block.load(offset, record.mark, &mut span)?;
            let facets = Facets::of(&span);
            if facets != Facets::default() {
                let mut row = Binding::new(&mut update);
                row.bind(record.mark)?;
                bind_facets(&mut row, &facets)?;
                row.execute()?;
            }
        }
    }
    transaction.execute_batch(SUMS)?;
    Ok(())
}

/// `total` never overflows; its answer is a real number, which becomes a whole one.
const SUMS: &str = "\
    CREATE TEMP TABLE sums AS SELECT trace_key, sum(payload_bytes) AS payload_bytes, \
    sum(usage_kind IS 1 AND (input_tokens IS NOT NULL OR output_tokens IS NOT NULL)) AS call_count, \
    CAST(total(iif(usage_kind IS 1, input_tokens, 0)) AS INTEGER) AS call_input, \
    CAST(total(iif(usage_kind IS 1, output_tokens, 0)) AS INTEGER) AS call_output, \
    sum(usage_kind IS 1 AND cost IS NOT NULL) AS call_cost_count, \
    CAST(total(iif(usage_kind IS 1, cost, 0)) AS INTEGER) AS call_cost, \
    sum(usage_kind IS 2 AND (input_tokens IS NOT NULL OR output_tokens IS NOT NULL)) AS aggregate_count, \
    CAST(total(iif(usage_kind IS 2, input_tokens, 0)) AS INTEGER) AS aggregate_input, \
    CAST(total(iif(usage_kind IS 2, output_tokens, 0)) AS INTEGER) AS aggregate_output, \
    sum(usage_kind IS 2 AND cost IS NOT NULL) AS aggregate_cost_count, \
    CAST(total(iif(usage_kind IS 2, cost, 0)) AS INTEGER) AS aggregate_cost, \
    max(start_micros) AS last_micros FROM spans GROUP BY trace_key;\
    CREATE UNIQUE INDEX temp.sums_by_trace ON sums (trace_key);\
    UPDATE traces SET (payload_bytes, call_count, call_input, call_output, call_cost_count, call_cost, aggregate_count, \
    aggregate_input, aggregate_output, aggregate_cost_count, aggregate_cost, last_micros) = (SELECT payload_bytes, \
    call_count, call_input, call_output, call_cost_count, call_cost, aggregate_count, aggregate_input, aggregate_output, \
    aggregate_cost_count, aggregate_cost, last_micros FROM sums WHERE sums.trace_key = traces.trace_key);\
    UPDATE traces SET last_nanos = (SELECT max(start_nanos) FROM spans WHERE spans.trace_key = traces.trace_key AND \
    spans.start_micros = traces.last_micros);\
    DROP TABLE sums;";
