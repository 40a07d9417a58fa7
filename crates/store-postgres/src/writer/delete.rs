//! Takes spans out: one piece, one transaction, in turn with the groups of all servers.

use std::collections::HashMap;

use deadpool_postgres::Object;
use endspan_model::AccountId;
use endspan_store::{Deleted, Deleting, Deletion};
use tokio_postgres::Row;

use super::{
    columns::{Columns as _, Records, TraceRow},
    commit::{SAME_TRACE, summary_of_spans},
    lookup::{LATEST, LOCK},
    traces::{TRACE_ROW, Trace, read_trace_row},
};
use crate::{
    connections::Parameter,
    error::{EngineError, Result},
    row::get,
    shared::Shared,
};

/// Most spans of one transaction, whatever the caller would take: writes wait for it.
const MAX_PIECE: u32 = 5000;

/// Deletes one piece of what is meant in a scope, `None` for all accounts.
pub(crate) async fn delete(
    shared: &Shared,
    account: Option<&AccountId>,
    deletion: &Deletion,
) -> Result<Deleted> {
    let client = shared.connections.writers.get().await?;
    let deleted = delete_with(&client, shared, account, deletion).await;
    if deleted.is_err() {
        // Whatever is left of the transaction goes with the connection.
        drop(Object::take(client));
    }
    deleted
}

async fn delete_with(
    client: &Object,
    shared: &Shared,
    account: Option<&AccountId>,
    deletion: &Deletion,
) -> Result<Deleted> {
    client.batch_execute("BEGIN").await?;
    client.query(LOCK, &[&shared.lock_key]).await?;
    let most = deletion.max_spans.clamp(1, MAX_PIECE);
    let traces = find_traces(client, shared, account, &deletion.what, most).await?;
    let mut deleted = Deleted::default();
    let mut whole: Vec<&Trace> = Vec::new();
    let mut part: Option<(&Trace, i64)> = None;
    let mut left = i64::from(most);
    for trace in &traces {
        let spans = trace.summary.span_count;
        if spans <= left {
            left -= spans;
            whole.push(trace);
        } else {
            deleted.more = true;
            part = Some((trace, left)).filter(|(_, left)| *left > 0);
            break;
        }
    }
    if traces.is_empty() {
        client.batch_execute("ROLLBACK").await?;
        return Ok(deleted);
    }
    // The rows that tell the latest position may go.
    let latest: i64 = get(&client.query_one(LATEST, &[&0_i64]).await?, 0)?;
    client
        .execute("UPDATE meta SET number = $1 WHERE name = 'position_floor' AND number < $1", &[&latest])
        .await?;
    let mut gone = delete_whole(client, &whole).await?;
    if let Some((trace, count)) = part {
        gone.extend(delete_part(client, trace, count).await?);
    }
    deleted.traces = whole.len() as u64;
    deleted.spans = gone.len() as u64;
    deleted.payload_bytes = bury(client, &gone).await?;
    client.batch_execute("COMMIT").await?;
    Ok(deleted)
}

/// Finds the traces that come first, enough for a piece and one more.
async fn find_traces(
    client: &Object,
    shared: &Shared,
    account: Option<&AccountId>,
    what: &Deleting,
    most: u32,
) -> Result<Vec<Trace>> {
    let scope = match account {
        Some(account) => {
            let name = account.as_str().as_bytes();
            let rows = client.query("SELECT account_key FROM accounts WHERE account = $1", &[&name]).await?;
            match rows.first() {
                Some(row) => format!("t.account_key = {}", get::<i32>(row, 0)?),
                None => return Ok(Vec::new()),
            }
        }
        None => "true".to_owned(),
    };
    let limit = i64::from(most) + 1;
    let mut parameters: Vec<Parameter<'_>> = vec![&limit];
    let (hash, id, bounds);
    let condition = match what {
        Deleting::Trace(trace_id) => {
            (hash, id) = (shared.keyed.hash(trace_id.as_str()), trace_id.as_str().as_bytes());
            parameters.extend([&hash as Parameter<'_>, &id]);
            "t.trace_hash = $2 AND t.trace_id = $3"
        }
        Deleting::Started { from, before } => {
            let parts =
                |time: endspan_model::Timestamp| (time.unix_micros(), time.subsec_nanos_below_micro() as i16);
            bounds = (parts(from.unwrap_or(endspan_model::Timestamp::MIN)), parts(*before));
            parameters.extend([&bounds.0.0 as Parameter<'_>, &bounds.0.1, &bounds.1.0, &bounds.1.1]);
            "(t.start_micros, t.start_nanos) >= ($2::bigint, $3::smallint) \
             AND (t.newest_micros, t.newest_nanos) < ($4::bigint, $5::smallint) \
             AND t.start_slot >= $2::bigint >> 24 AND t.start_slot <= $4::bigint >> 24"
        }
        Deleting::Oldest => "true",
    };
    let columns: String =
        TRACE_ROW.split(", ").map(|column| format!("t.{column}")).collect::<Vec<_>>().join(", ");
    let rows = client
        .query(
            &format!(
                "SELECT {columns} FROM traces t JOIN accounts a ON a.account_key = t.account_key \
                 WHERE {scope} AND {condition} \
                 ORDER BY t.start_slot, t.start_micros, t.start_nanos, t.trace_id, a.account LIMIT $1"
            ),
            &parameters,
        )
        .await?;
    rows.iter().map(read_trace_row).collect()
}

/// What is asked about a row that goes.
const GONE: &str = "s.version, s.sequence, s.block_key, s.payload_bytes";

async fn delete_whole(client: &Object, traces: &[&Trace]) -> Result<Vec<Row>> {
    let hashes: Vec<i64> = traces.iter().map(|trace| trace.hash).collect();
    let accounts: Vec<i32> = traces.iter().map(|trace| trace.account_key).collect();
    let ids: Vec<&[u8]> = traces.iter().map(|trace| trace.trace_id.as_str().as_bytes()).collect();
    let parameters: [Parameter<'_>; 3] = [&hashes, &accounts, &ids];
    let these =
        "USING unnest($1::bigint[], $2::integer[], $3::bytea[]) AS u (trace_hash, account_key, trace_id)";
    client.execute(&format!("DELETE FROM traces s {these} WHERE {SAME_TRACE}"), &parameters).await?;
    let sql = format!("DELETE FROM spans s {these} WHERE {SAME_TRACE} RETURNING {GONE}");
    Ok(client.query(&sql, &parameters).await?)
}

/// Deletes the spans of a trace that started last, and adds the rest up.
async fn delete_part(client: &Object, trace: &Trace, count: i64) -> Result<Vec<Row>> {
    let trace_id = trace.trace_id.as_str().as_bytes();
    let sql = format!(
        "DELETE FROM spans s WHERE s.sequence IN (SELECT p.sequence FROM spans p WHERE p.trace_hash = $1 \
         AND p.account_key + 0 = $2 AND p.trace_id = $3 ORDER BY p.start_micros DESC, p.start_nanos DESC, p.id DESC LIMIT $4) \
         RETURNING {GONE}"
    );
    let gone = client.query(&sql, &[&trace.hash, &trace.account_key, &trace_id, &count]).await?;
    let rest = Trace {
        account_key: trace.account_key,
        trace_id: trace.trace_id.clone(),
        hash: trace.hash,
        is_stored: true,
        summary: summary_of_spans(client, trace).await?,
        sequences: trace.sequences,
        is_dirty: true,
    };
    let mut records = Records::default();
    if let Some(row) = TraceRow::of(&rest) {
        row.put(&mut records);
        client.execute(&TraceRow::update("traces", SAME_TRACE), &[&records]).await?;
    }
    Ok(gone)
}

/// Cleans up behind rows that are gone; returns how many bytes of payload they had.
async fn bury(client: &Object, gone: &[Row]) -> Result<u64> {
    let mut rewritten: Vec<i64> = Vec::new();
    let mut sequences: Vec<i64> = Vec::with_capacity(gone.len());
    let mut blocks: HashMap<i64, (i32, i64)> = HashMap::new();
    let mut payload_bytes = 0;
    for row in gone {
        let (version, sequence): (i64, i64) = (get(row, 0)?, get(row, 1)?);
        let bytes = i64::from(get::<i32>(row, 3)?);
        payload_bytes += bytes.unsigned_abs();
        sequences.push(sequence);
        if version != sequence {
            rewritten.push(version);
        }
        if let Some(block_key) = get::<Option<i64>>(row, 2)? {
            let (spans, dead) = blocks.entry(block_key).or_default();
            *spans += 1;
            *dead += bytes;
        }
    }
    client.execute("DELETE FROM assessments WHERE sequence = ANY($1::bigint[])", &[&sequences]).await?;
    client.execute("DELETE FROM rewrites WHERE version = ANY($1::bigint[])", &[&rewritten]).await?;
    let (mut keys, mut spans, mut dead) = (Vec::new(), Vec::new(), Vec::new());
    for (key, (count, bytes)) in blocks {
        keys.push(key);
        spans.push(count);
        dead.push(bytes);
    }
    client
        .execute(
            "UPDATE blocks b SET dead_spans = b.dead_spans + u.spans, dead_bytes = b.dead_bytes + u.bytes \
             FROM unnest($1::bigint[], $2::integer[], $3::bigint[]) AS u (block_key, spans, bytes) \
             WHERE b.block_key = u.block_key",
            &[&keys, &spans, &dead],
        )
        .await?;
    client
        .execute("DELETE FROM blocks WHERE block_key = ANY($1::bigint[]) AND dead_spans >= spans", &[&keys])
        .await
        .map_err(EngineError::from)?;
    Ok(payload_bytes)
}
