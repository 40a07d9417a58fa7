//! What a group must know of the database, read once it is its turn.

use std::collections::{BTreeMap, HashMap, HashSet};

use deadpool_postgres::Object;
use endspan_model::{AccountId, Span, SpanId, TraceId};
use endspan_store::{WriteOperation, WriteRequest, engine::block::Decompressor};
use futures_util::future::{try_join, try_join3};
use tokio_postgres::Row;

use super::traces::{TRACE_ROW, TraceTable, read_trace_row};
use crate::{
    connections::Parameter,
    error::{EngineError, Result},
    reads::load_payloads,
    row::{SPAN_ROW, STORED_ROW, StoredRow, get, read_accounts, read_span_row, read_stored_row},
    schema::PARTITION_SHIFT,
    shared::{KeyedHash, Shared},
};

/// An identity with the key of its account.
pub(crate) type Identity = (i32, TraceId, SpanId);

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The position of the latest write, or the end of the partition before the current one.
    pub(crate) latest: i64,
    /// The current partition.
    pub(crate) partition: i32,
    pub(crate) accounts: HashMap<AccountId, i32>,
    /// The stored rows of every identity that the group names.
    pub(crate) rows: HashMap<Identity, StoredRow>,
    /// The newest row of every id that the group needs in any trace.
    pub(crate) newest: HashMap<(i32, SpanId), StoredRow>,
    /// The spans that patches may change, by the sequence of their rows.
    pub(crate) spans: HashMap<i64, Span>,
    pub(crate) traces: TraceTable,
}

pub(crate) const LOCK: &str = "SELECT pg_advisory_xact_lock($1)";
/// Reads the latest position, as far as it is not below a bound, and the current partition. Not by `now()`: a transaction
/// that began before another one may have its turn behind it.
pub(crate) const LATEST: &str = "SELECT greatest((SELECT max(sequence) FROM spans WHERE sequence >= $1), \
     (SELECT max(version) FROM rewrites), (SELECT number FROM meta WHERE name = 'position_floor'), 0), \
     (SELECT number FROM partitions WHERE begins_at <= clock_timestamp() ORDER BY number DESC LIMIT 1)";

/// Begins the transaction, waits for the turn, and reads.
pub(crate) async fn begin(client: &Object, shared: &Shared, requests: &[WriteRequest]) -> Result<Found> {
    let mut found = Found::default();
    let lock = client.prepare_cached(LOCK).await?;
    let latest = client.prepare_cached(LATEST).await?;
    let names: HashSet<&AccountId> = requests.iter().map(|request| &request.account).collect();
    for account in &names {
        if let Some(key) = shared.account_key(account) {
            found.accounts.insert((*account).clone(), key);
        }
    }
    let lock_key = [&shared.lock_key as Parameter<'_>];
    let known = shared.partition();
    let bound = i64::from(known) << PARTITION_SHIFT;
    let bound = [&bound as Parameter<'_>];
    let turn = try_join3(
        client.batch_execute("BEGIN"),
        client.query(&lock, &lock_key),
        client.query_one(&latest, &bound),
    );
    let row = if found.accounts.len() == names.len() {
        let keys = Keys::of(requests, &found.accounts, shared.keyed);
        let ((_, _, row), ()) = try_join_engine(turn, read_keys(client, &keys, &mut found)).await?;
        row
    } else {
        let (_, _, row) = turn.await?;
        add_accounts(client, &names, &mut found.accounts).await?;
        let keys = Keys::of(requests, &found.accounts, shared.keyed);
        read_keys(client, &keys, &mut found).await?;
        row
    };
    found.partition = get(&row, 1)?;
    shared.set_partition(found.partition);
    if found.partition < known {
        // Restored, or its clock set back: the bound was wrong.
        return Err(EngineError::WentBack);
    }
    found.latest = get::<i64>(&row, 0)?.max(i64::from(found.partition) << PARTITION_SHIFT);
    // The clock of another primary may be behind.
    found.partition = i32::try_from(found.latest >> PARTITION_SHIFT).unwrap_or(i32::MAX);
    if requests.iter().flat_map(|request| &request.operations).any(|operation| operation.span().is_none()) {
        read_patched(client, shared.keyed, &mut found).await?;
    }
    Ok(found)
}

/// Polls both from the beginning, so that their statements go out together in this order.
async fn try_join_engine<A, B>(
    left: impl Future<Output = std::result::Result<A, tokio_postgres::Error>>,
    right: impl Future<Output = Result<B>>,
) -> Result<(A, B)> {
    try_join(async { Ok::<_, EngineError>(left.await?) }, right).await
}

/// Gives keys to accounts that this server has not met.
async fn add_accounts(
    client: &Object,
    names: &HashSet<&AccountId>,
    keys: &mut HashMap<AccountId, i32>,
) -> Result<()> {
    let unknown: Vec<&[u8]> =
        names.iter().filter(|name| !keys.contains_key(**name)).map(|name| name.as_str().as_bytes()).collect();
    // One at a time: nobody else has the turn.
    let insert = client
        .prepare_cached(
            "INSERT INTO accounts (account) SELECT n FROM unnest($1::bytea[]) n \
             WHERE NOT EXISTS (SELECT FROM accounts a WHERE a.account = n)",
        )
        .await?;
    let select = client
        .prepare_cached("SELECT account_key, account FROM accounts WHERE account = ANY($1::bytea[])")
        .await?;
    let parameters: [Parameter<'_>; 1] = [&unknown];
    let both = try_join(client.execute(&insert, &parameters), client.query(&select, &parameters));
    let (_, rows) = both.await?;
    keys.extend(read_accounts(&rows)?.into_iter().map(|(key, account)| (account, key)));
    Ok(())
}

/// What must be looked up.
#[derive(Debug, Default)]
struct Keys {
    /// Hashes of traces and of ids in them.
    identities: HashSet<(i64, i64)>,
    trace_hashes: HashSet<i64>,
    /// Ids that are needed in whatever trace they are; sorted, so that plans of equal groups are equal.
    anywhere: BTreeMap<(i32, SpanId), i64>,
}

impl Keys {
    fn of(requests: &[WriteRequest], accounts: &HashMap<AccountId, i32>, keyed: KeyedHash) -> Self {
        let mut keys = Self::default();
        for request in requests {
            let Some(account_key) = accounts.get(&request.account) else { continue };
            for operation in &request.operations {
                keys.add(*account_key, operation, request.check_parents, keyed);
            }
        }
        keys
    }

    fn add(&mut self, account_key: i32, operation: &WriteOperation, check_parents: bool, keyed: KeyedHash) {
        match operation {
            WriteOperation::Insert(span) | WriteOperation::Upsert(span) => {
                if matches!(operation, WriteOperation::Insert(_)) {
                    // An id that is nowhere is not in this trace.
                    self.add_anywhere(account_key, &span.id, keyed);
                    self.trace_hashes.insert(keyed.hash(span.trace_id.as_str()));
                } else {
                    self.add_identity(&span.trace_id, &span.id, keyed);
                }
                if let Some(parent) = span.parent_id.as_ref().filter(|_| check_parents) {
                    self.add_identity(&span.trace_id, parent, keyed);
                    self.add_anywhere(account_key, parent, keyed);
                }
            }
            WriteOperation::Patch { id, patch } => {
                self.add_anywhere(account_key, id, keyed);
                if let Some(trace_id) = &patch.trace_id {
                    self.add_identity(trace_id, id, keyed);
                }
            }
        }
    }

    fn add_identity(&mut self, trace_id: &TraceId, id: &SpanId, keyed: KeyedHash) {
        let trace_hash = keyed.hash(trace_id.as_str());
        self.trace_hashes.insert(trace_hash);
        self.identities.insert((trace_hash, keyed.hash(id.as_str())));
    }

    fn add_anywhere(&mut self, account_key: i32, id: &SpanId, keyed: KeyedHash) {
        self.anywhere.entry((account_key, id.clone())).or_insert_with(|| keyed.hash(id.as_str()));
    }
}

/// Polls all of its parts from the beginning, so that their statements go out together.
async fn read_keys(client: &Object, keys: &Keys, found: &mut Found) -> Result<()> {
    let traces = read_traces(client, &keys.trace_hashes);
    let (traces, identities, newest) =
        try_join3(traces, read_identities(client, keys), read_newest(client, keys)).await?;
    for row in &traces {
        found.traces.insert(read_trace_row(row)?);
    }
    for row in &identities {
        let row = read_stored_row(row)?;
        found.rows.insert((row.account_key, row.trace_id.clone(), row.id.clone()), row);
    }
    for row in &newest {
        let row = read_stored_row(row)?;
        found.newest.insert((row.account_key, row.id.clone()), row);
    }
    Ok(())
}

async fn read_traces(client: &Object, hashes: &HashSet<i64>) -> Result<Vec<Row>> {
    if hashes.is_empty() {
        return Ok(Vec::new());
    }
    let hashes: Vec<i64> = hashes.iter().copied().collect();
    let statement = client
        .prepare_cached(&format!("SELECT {TRACE_ROW} FROM traces WHERE trace_hash = ANY($1::bigint[])"))
        .await?;
    Ok(client.query(&statement, &[&hashes]).await?)
}

async fn read_identities(client: &Object, keys: &Keys) -> Result<Vec<Row>> {
    if keys.identities.is_empty() {
        return Ok(Vec::new());
    }
    let (trace_hashes, id_hashes): (Vec<i64>, Vec<i64>) = keys.identities.iter().copied().unzip();
    // For a new trace nothing is looked up. What an index could be used for wrongly is added to zero: see `Scope::filter`.
    let statement = client
        .prepare_cached(&format!(
            "SELECT {STORED_ROW} FROM unnest($1::bigint[], $2::bigint[]) AS k (trace_hash, id_hash) \
             CROSS JOIN LATERAL (SELECT FROM traces t WHERE t.trace_hash = k.trace_hash LIMIT 1) t \
             CROSS JOIN LATERAL (SELECT * FROM spans c WHERE c.trace_hash = k.trace_hash \
             AND c.id_hash = k.id_hash OFFSET 0) s"
        ))
        .await?;
    Ok(client.query(&statement, &[&trace_hashes, &id_hashes]).await?)
}

async fn read_newest(client: &Object, keys: &Keys) -> Result<Vec<Row>> {
    if keys.anywhere.is_empty() {
        return Ok(Vec::new());
    }
    let mut columns: (Vec<i64>, Vec<i32>, Vec<&[u8]>) = Default::default();
    for ((account_key, id), hash) in &keys.anywhere {
        columns.0.push(*hash);
        columns.1.push(*account_key);
        columns.2.push(id.as_str().as_bytes());
    }
    let statement = client
        .prepare_cached(&format!(
            "SELECT {STORED_ROW} FROM unnest($1::bigint[], $2::integer[], $3::bytea[]) AS k (id_hash, account_key, id) \
             CROSS JOIN LATERAL (SELECT * FROM spans c WHERE c.id_hash = k.id_hash \
             AND c.account_key + 0 = k.account_key AND c.id = k.id ORDER BY c.version DESC LIMIT 1) s"
        ))
        .await?;
    Ok(client.query(&statement, &[&columns.0, &columns.1, &columns.2]).await?)
}

/// Reads the spans that patches may change, and the traces that they are in.
async fn read_patched(client: &Object, keyed: KeyedHash, found: &mut Found) -> Result<()> {
    let sequences: Vec<i64> = found.newest.values().map(|row| row.sequence).collect();
    let trace_hashes: HashSet<i64> =
        found.newest.values().map(|row| keyed.hash(row.trace_id.as_str())).collect();
    let spans = client
        .prepare_cached(&format!("SELECT {SPAN_ROW} FROM spans s WHERE s.sequence = ANY($1::bigint[])"))
        .await?;
    let blocks = client
        .prepare_cached(
            "SELECT block_key, frame FROM blocks WHERE block_key IN \
             (SELECT block_key FROM spans s WHERE s.sequence = ANY($1::bigint[]))",
        )
        .await?;
    let of_spans = [&sequences as Parameter<'_>];
    let both = try_join(client.query(&spans, &of_spans), client.query(&blocks, &of_spans));
    let ((rows, frames), trace_rows) = try_join_engine(both, read_traces(client, &trace_hashes)).await?;
    for row in &trace_rows {
        found.traces.insert(read_trace_row(row)?);
    }
    let mut loaded = Vec::with_capacity(rows.len());
    let mut numbers = Vec::with_capacity(rows.len());
    for row in &rows {
        numbers.push(get::<i64>(row, 0)?);
        loaded.push(read_span_row(row)?);
    }
    load_payloads(&mut Decompressor::new()?, &mut loaded, &frames)?;
    found.spans = numbers.into_iter().zip(loaded.into_iter().map(|row| row.span)).collect();
    Ok(())
}
