//! The ways out: one function per read of the contract, each in one snapshot.

use std::collections::{HashMap, VecDeque};

use endspan_model::{AccountId, SpanId, Timestamp, TraceId};
use endspan_store::{
    AccountUsage, Changes, ListOrder, ListQuery, SortDirection, StoreStats, StoredSpan,
    engine::block::{Block, Decompressor},
};
use tokio_postgres::Row;

use crate::{
    connections::{Parameter, Snapshot},
    error::{EngineError, Result},
    row::{SPAN_ROW, SpanRow, get, read_accounts, read_span_row},
    schema::SCHEMA_VERSION,
    shared::{Shared, block_mark},
};

/// Decompressed blocks that a read keeps for the rows to come, of at most about 512 KiB each.
const KEPT_BLOCKS: usize = 16;
/// Blocks that are asked for at once.
const BLOCKS_AT_ONCE: usize = 32;
/// Accounts whose indexes are merged; beyond it everything is sorted.
pub(crate) const MERGED_ACCOUNTS: usize = 32;
/// Rows of each account that a list over all accounts merges; beyond it everything is sorted.
const MERGED_ROWS: i64 = 10_000;

/// Whose spans are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Everybody's; the keys in the order of the accounts' names.
    All(Vec<i32>),
    One(i32),
    /// The account is not there.
    Nobody,
}

impl Scope {
    /// Returns the condition on the rows of a table, to be followed by others.
    pub(crate) fn condition(&self, table: &str) -> String {
        match self {
            Self::All(_) => "true".to_owned(),
            Self::One(key) => format!("{table}.account_key = {key}"),
            Self::Nobody => "false".to_owned(),
        }
    }

    /// Returns the condition for rows that are found by a hash. It uses no index: on a table that has just been made every
    /// index looks equally good to Postgres, and a plan with the account's would stay in use while the table grows.
    pub(crate) fn filter(&self, table: &str) -> String {
        match self {
            Self::One(key) => format!("{table}.account_key + 0 = {key}"),
            other => other.condition(table),
        }
    }

    /// Returns the last sort key: the place of the account's name; nothing when there is one account.
    pub(crate) fn order(&self, table: &str, direction: &str) -> String {
        match self {
            Self::All(keys) if keys.len() > 1 => {
                let keys: Vec<String> = keys.iter().map(i32::to_string).collect();
                format!(", array_position(ARRAY[{}], {table}.account_key) {direction}", keys.join(", "))
            }
            _ => String::new(),
        }
    }

    /// Returns the keys if it pays to read each account's index by itself.
    pub(crate) fn merged(&self) -> Option<&[i32]> {
        match self {
            Self::All(keys) => {
                Some(keys).filter(|keys| (1..=MERGED_ACCOUNTS).contains(&keys.len())).map(Vec::as_slice)
            }
            Self::One(key) => Some(std::slice::from_ref(key)),
            Self::Nobody => None,
        }
    }
}

/// A read of one snapshot.
pub(crate) struct Reading<'s> {
    pub(crate) shared: &'s Shared,
    pub(crate) snapshot: Snapshot,
    decompressor: Decompressor,
    blocks: VecDeque<(i64, Block)>,
}

impl<'s> Reading<'s> {
    pub(crate) async fn begin(shared: &'s Shared) -> Result<Self> {
        if shared.is_closed() {
            return Err(EngineError::Closed);
        }
        let snapshot = shared.connections.snapshot().await?;
        Ok(Self { shared, snapshot, decompressor: Decompressor::new()?, blocks: VecDeque::new() })
    }

    /// Returns the scope of one account, or of all.
    pub(crate) async fn scope(&mut self, account: Option<&AccountId>) -> Result<Scope> {
        let Some(account) = account else {
            let mut accounts = self.read_accounts().await?;
            accounts.sort_unstable_by(|left, right| left.1.cmp(&right.1));
            return Ok(Scope::All(accounts.into_iter().map(|(key, _)| key).collect()));
        };
        if let Some(key) = self.shared.account_key(account) {
            return Ok(Scope::One(key));
        }
        self.read_accounts().await?;
        Ok(self.shared.account_key(account).map_or(Scope::Nobody, Scope::One))
    }

    async fn read_accounts(&mut self) -> Result<Vec<(i32, AccountId)>> {
        let rows = self.snapshot.query("SELECT account_key, account FROM accounts", &[]).await?;
        let accounts = read_accounts(&rows)?;
        self.shared.remember_accounts(accounts.iter().cloned());
        Ok(accounts)
    }

    pub(crate) async fn account(&mut self, key: i32) -> Result<AccountId> {
        if let Some(account) = self.shared.account(key) {
            return Ok(account);
        }
        self.read_accounts().await?;
        let missing = || EngineError::damaged(format!("account {key} is not there"));
        self.shared.account(key).ok_or_else(missing)
    }

    pub(crate) async fn rows(&mut self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<SpanRow>> {
        self.snapshot.query(sql, parameters).await?.iter().map(read_span_row).collect()
    }

    /// Turns rows into spans: names their accounts and, if asked, reads their payloads, each block once.
    pub(crate) async fn complete(
        &mut self,
        mut rows: Vec<SpanRow>,
        payloads: bool,
    ) -> Result<Vec<StoredSpan>> {
        if payloads {
            self.load(&mut rows).await?;
        }
        let mut accounts: HashMap<i32, AccountId> = HashMap::new();
        let mut spans = Vec::with_capacity(rows.len());
        for row in rows {
            let account = match accounts.get(&row.account_key) {
                Some(account) => account.clone(),
                None => {
                    let account = self.account(row.account_key).await?;
                    accounts.entry(row.account_key).or_insert(account).clone()
                }
            };
            spans.push(StoredSpan { account, span: row.span, version: row.version.unsigned_abs() });
        }
        Ok(spans)
    }

    async fn load(&mut self, rows: &mut [SpanRow]) -> Result<()> {
        let mut waiting: Vec<&mut SpanRow> = Vec::new();
        for row in rows {
            let Some(place) = row.place else { continue };
            match self.blocks.iter().find(|(key, _)| *key == place.block_key) {
                Some((_, content)) => load_one(content, row)?,
                None => waiting.push(row),
            }
        }
        waiting.sort_by_key(|row| row.place.map(|place| (place.block_key, place.offset)));
        let mut keys: Vec<i64> =
            waiting.iter().filter_map(|row| row.place).map(|place| place.block_key).collect();
        keys.dedup();
        let mut waiting = waiting.into_iter().peekable();
        for keys in keys.chunks(BLOCKS_AT_ONCE) {
            let frames = self
                .snapshot
                .query("SELECT block_key, frame FROM blocks WHERE block_key = ANY($1::bigint[]) ORDER BY block_key", &[&keys])
                .await?;
            for frame in &frames {
                let key = get(frame, 0)?;
                let content = self.decompressor.decompress(key, get(frame, 1)?)?;
                while let Some(row) =
                    waiting.next_if(|row| row.place.is_some_and(|place| place.block_key <= key))
                {
                    load_one(&content, row)?;
                }
                self.blocks.push_back((key, content));
                if self.blocks.len() > KEPT_BLOCKS {
                    self.blocks.pop_front();
                }
            }
        }
        match waiting.next().and_then(|row| row.place) {
            Some(place) => Err(missing_block(place.block_key)),
            None => Ok(()),
        }
    }
}

fn missing_block(key: i64) -> EngineError {
    EngineError::damaged(format!("block {key} is not there"))
}

fn load_one(content: &Block, row: &mut SpanRow) -> Result<()> {
    let Some(place) = row.place else { return Ok(()) };
    let offset = usize::try_from(place.offset).unwrap_or(usize::MAX);
    if place.block_key != content.key() {
        return Err(missing_block(place.block_key));
    }
    Ok(content.load(offset, block_mark(row.id_hash), &mut row.span)?)
}

/// Gives rows their payloads from rows of `block_key, frame`.
pub(crate) fn load_payloads(
    decompressor: &mut Decompressor,
    rows: &mut [SpanRow],
    frames: &[Row],
) -> Result<()> {
    let mut blocks = HashMap::with_capacity(frames.len());
    for frame in frames {
        let key: i64 = get(frame, 0)?;
        blocks.insert(key, decompressor.decompress(key, get(frame, 1)?)?);
    }
    for row in rows {
        if let Some(place) = row.place {
            load_one(blocks.get(&place.block_key).ok_or_else(|| missing_block(place.block_key))?, row)?;
        }
    }
    Ok(())
}

pub(crate) async fn find_span(
    reading: &mut Reading<'_>,
    account: Option<&AccountId>,
    id: &SpanId,
) -> Result<Option<StoredSpan>> {
    let scope = known_scope(reading, account).await?;
    let sql = format!(
        "SELECT {SPAN_ROW} FROM spans s WHERE s.id_hash = $1 AND s.id = $2 AND {} ORDER BY s.version DESC LIMIT 1",
        scope.filter("s")
    );
    let hash = reading.shared.keyed.hash(id.as_str());
    let rows = reading.rows(&sql, &[&hash, &id.as_str().as_bytes()]).await?;
    Ok(reading.complete(rows, true).await?.pop())
}

/// The scope for reads that sort nothing by account, without asking who there is.
pub(crate) async fn known_scope(reading: &mut Reading<'_>, account: Option<&AccountId>) -> Result<Scope> {
    match account {
        None => Ok(Scope::All(Vec::new())),
        account => reading.scope(account).await,
    }
}

pub(crate) async fn find_span_in_trace(
    reading: &mut Reading<'_>,
    account: Option<&AccountId>,
    trace_id: &TraceId,
    id: &SpanId,
) -> Result<Option<StoredSpan>> {
    let scope = known_scope(reading, account).await?;
    let sql = format!(
        "SELECT {SPAN_ROW} FROM spans s WHERE s.trace_hash = $1 AND s.id_hash = $2 AND s.trace_id = $3 AND s.id = $4 \
         AND {} ORDER BY s.version DESC LIMIT 1",
        scope.filter("s")
    );
    let keyed = reading.shared.keyed;
    let hashes = (keyed.hash(trace_id.as_str()), keyed.hash(id.as_str()));
    let texts = (trace_id.as_str().as_bytes(), id.as_str().as_bytes());
    let rows = reading.rows(&sql, &[&hashes.0, &hashes.1, &texts.0, &texts.1]).await?;
    Ok(reading.complete(rows, true).await?.pop())
}

/// Reads the rows of a trace, in no order.
pub(crate) async fn trace_rows(
    reading: &mut Reading<'_>,
    account: Option<&AccountId>,
    trace_id: &TraceId,
) -> Result<Vec<SpanRow>> {
    let scope = known_scope(reading, account).await?;
    let sql = format!(
        "SELECT {SPAN_ROW} FROM spans s WHERE s.trace_hash = $1 AND s.trace_id = $2 AND {}",
        scope.filter("s")
    );
    let hash = reading.shared.keyed.hash(trace_id.as_str());
    reading.rows(&sql, &[&hash, &trace_id.as_str().as_bytes()]).await
}

pub(crate) async fn read_trace(
    reading: &mut Reading<'_>,
    account: Option<&AccountId>,
    trace_id: &TraceId,
    payloads: bool,
) -> Result<Vec<StoredSpan>> {
    let rows = trace_rows(reading, account, trace_id).await?;
    let mut spans = reading.complete(rows, payloads).await?;
    spans.sort_by(|left, right| {
        (left.span.start_time.cmp(&right.span.start_time))
            .then_with(|| left.span.id.cmp(&right.span.id))
            .then_with(|| left.account.cmp(&right.account))
    });
    Ok(spans)
}

pub(crate) async fn list_spans(
    reading: &mut Reading<'_>,
    account: Option<&AccountId>,
    query: &ListQuery,
) -> Result<Vec<StoredSpan>> {
    let Ok(offset) = i64::try_from(query.offset) else { return Ok(Vec::new()) };
    let limit = i64::from(query.limit);
    let scope = reading.scope(account).await?;
    let direction = match query.direction {
        SortDirection::Ascending => "ASC",
        SortDirection::Descending => "DESC",
    };
    // Absent values are last ascending and first descending, as Postgres has it.
    let keys: Vec<String> =
        order_columns(query.order).iter().map(|column| format!("s.{column} {direction}")).collect();
    let order = format!("{}, s.trace_id, s.id", keys.join(", "));
    let by_account = scope.order("s", "ASC");

    let keyed = reading.shared.keyed;
    let trace_id = query.trace_id.as_ref().map_or("", |trace_id| trace_id.as_str());
    let task_id = query.task_id.as_deref().unwrap_or("");
    let hashes = (keyed.hash(trace_id), keyed.hash(task_id));
    let texts = (trace_id.as_bytes(), task_id.as_bytes());
    let (is_filtered, wanted) =
        (query.trace_id.is_some() || query.task_id.is_some(), limit.saturating_add(offset));
    let source = match scope.merged() {
        Some(accounts) if !is_filtered && query.order == ListOrder::StartTime && wanted <= MERGED_ROWS => {
            let each: Vec<String> = accounts
                .iter()
                .map(|key| {
                    format!(
                        "(SELECT * FROM spans s WHERE s.account_key = {key} ORDER BY {order} LIMIT {wanted})"
                    )
                })
                .collect();
            format!("({}) s WHERE true", each.join(" UNION ALL "))
        }
        _ => format!("spans s WHERE {}", scope.condition("s")),
    };
    let mut conditions = String::new();
    if query.trace_id.is_some() {
        conditions.push_str(" AND s.trace_hash = $3 AND s.trace_id = $4");
    }
    if query.task_id.is_some() {
        conditions.push_str(
            " AND ((s.task_hash = $5 AND s.task_id = $6) OR (s.trace_hash = $5 AND s.trace_id = $6))",
        );
    }
    // All parameters are always there, so that they need no numbering.
    let sql = format!(
        "SELECT {SPAN_ROW} FROM {source}{conditions} AND ($3::bigint, $4::bytea, $5::bigint, $6::bytea) IS NOT NULL \
         ORDER BY {order}{by_account} LIMIT $1 OFFSET $2"
    );
    let parameters: [Parameter<'_>; 6] = [&limit, &offset, &hashes.0, &texts.0, &hashes.1, &texts.1];
    let rows = reading.rows(&sql, &parameters).await?;
    reading.complete(rows, true).await
}

fn order_columns(order: ListOrder) -> &'static [&'static str] {
    match order {
        ListOrder::Id => &["id"],
        ListOrder::TraceId => &["trace_id"],
        ListOrder::TaskId => &["task_id"],
        ListOrder::ParentId => &["parent_id"],
        ListOrder::Name => &["name"],
        ListOrder::StartTime => &["start_micros", "start_nanos"],
        ListOrder::EndTime => &["end_micros", "end_nanos"],
    }
}

pub(crate) async fn changes(
    reading: &mut Reading<'_>,
    account: Option<&AccountId>,
    position: u64,
    limit: u32,
) -> Result<Changes> {
    let Ok(from) = i64::try_from(position) else { return Ok(Changes { spans: Vec::new(), position }) };
    let scope = known_scope(reading, account).await?;
    let condition = scope.condition("s");
    let sql = format!(
        "(SELECT {SPAN_ROW} FROM spans s WHERE s.sequence > $1 AND s.version = s.sequence AND {condition} \
         ORDER BY s.sequence LIMIT $2) UNION ALL \
         (SELECT {SPAN_ROW} FROM rewrites r JOIN spans s ON s.sequence = r.sequence AND s.version = r.version \
         WHERE r.version > $1 AND {condition} ORDER BY r.version LIMIT $2)"
    );
    let wanted = i64::from(limit) + 1;
    let mut rows = reading.rows(&sql, &[&from, &wanted]).await?;
    rows.sort_unstable_by_key(|row| row.version);
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let spans = reading.complete(rows, true).await?;
    let position = match spans.last() {
        Some(last) if more => last.version,
        None if more => position,
        _ => position.max(latest(reading).await?),
    };
    Ok(Changes { spans, position })
}

/// Returns the position of the latest write of the snapshot.
pub(crate) async fn latest(reading: &mut Reading<'_>) -> Result<u64> {
    let sql = "SELECT greatest((SELECT max(sequence) FROM spans), (SELECT max(version) FROM rewrites), \
         (SELECT number FROM meta WHERE name = 'position_floor'), 0)";
    let rows = reading.snapshot.query(sql, &[]).await?;
    Ok(rows.first().map_or(Ok(0), |row| get::<i64>(row, 0))?.unsigned_abs())
}

/// Adds the traces of each account up.
pub(crate) async fn accounts(reading: &mut Reading<'_>) -> Result<Vec<AccountUsage>> {
    let disk_bytes = stats_of_disk(reading).await?;
    let sql = "SELECT account_key, sum(span_count)::bigint, count(*), sum(payload_bytes)::bigint, \
         min(ARRAY[start_micros, start_nanos]), max(ARRAY[newest_micros, newest_nanos]) FROM traces GROUP BY account_key";
    let rows = reading.snapshot.query(sql, &[]).await?;
    let mut accounts = Vec::with_capacity(rows.len());
    for row in &rows {
        let number = |at: usize| Ok::<_, EngineError>(get::<i64>(row, at)?.unsigned_abs());
        let time = |at: usize| {
            let parts: Vec<i64> = get(row, at)?;
            let time = match *parts.as_slice() {
                [micros, nanos] => {
                    u16::try_from(nanos).ok().and_then(|nanos| Timestamp::from_parts(micros, nanos))
                }
                _ => None,
            };
            time.ok_or_else(|| EngineError::damaged("a trace holds a time out of range"))
        };
        accounts.push(AccountUsage {
            account: reading.account(get(row, 0)?).await?,
            spans: number(1)?,
            traces: number(2)?,
            payload_bytes: number(3)?,
            stored_bytes: 0,
            oldest_start: time(4)?,
            newest_start: time(5)?,
        });
    }
    // Rows take room, too: a span counts like a kilobyte of payload.
    let weight = |usage: &AccountUsage| u128::from(usage.payload_bytes) + 1024 * u128::from(usage.spans);
    let total = accounts.iter().map(weight).sum::<u128>().max(1);
    for usage in &mut accounts {
        usage.stored_bytes =
            u64::try_from(u128::from(disk_bytes) * weight(usage) / total).unwrap_or(u64::MAX);
    }
    accounts.sort_unstable_by(|left, right| left.account.cmp(&right.account));
    Ok(accounts)
}

async fn stats_of_disk(reading: &mut Reading<'_>) -> Result<u64> {
    let rows = reading.snapshot.query(&format!("SELECT {DISK_BYTES}"), &[]).await?;
    Ok(rows.first().map_or(Ok(0), |row| get::<i64>(row, 0))?.unsigned_abs())
}

/// What the tables of the schema take, with their indexes.
const DISK_BYTES: &str = "(SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c \
     WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r')";

pub(crate) async fn stats(reading: &mut Reading<'_>) -> Result<StoreStats> {
    let sql = format!(
        "SELECT (SELECT count(*) FROM spans), (SELECT count(*) FROM traces), {DISK_BYTES}, \
         raw_bytes, stored_bytes, dead_bytes FROM (SELECT coalesce(sum(raw_bytes), 0)::bigint AS raw_bytes, \
         coalesce(sum(octet_length(frame)), 0)::bigint AS stored_bytes, \
         coalesce(sum(octet_length(frame) * dead_bytes / greatest(raw_bytes, 1)), 0)::bigint AS dead_bytes FROM blocks) b"
    );
    let rows = reading.snapshot.query(&sql, &[]).await?;
    let row = rows.first().ok_or_else(|| EngineError::damaged("no figures"))?;
    let number = |at: usize| Ok::<_, EngineError>(get::<i64>(row, at)?.unsigned_abs());
    Ok(StoreStats {
        engine: "postgres",
        schema_version: SCHEMA_VERSION,
        spans: number(0)?,
        traces: number(1)?,
        disk_bytes: number(2)?,
        raw_payload_bytes: number(3)?,
        stored_payload_bytes: number(4)?,
        superseded_payload_bytes: number(5)?,
    })
}
