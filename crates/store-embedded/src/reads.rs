//! The ways out: one function per read of the contract, each in one snapshot.

use std::collections::HashMap;

use endspan_model::{AccountId, Span, SpanId, TraceId};
use endspan_store::{
    AccountUsage, Changes, ListOrder, ListQuery, SortDirection, StoreStats, StoredSpan, engine::block::Block,
};
use rusqlite::{Connection, OptionalExtension, ToSql, params};

use crate::{
    compact_id::{CompactId, StoredId},
    error::{EngineError, Result},
    readers::Reading,
    row::{SPAN_ROW, SpanRow, read_span_row, timestamp},
    schema::SCHEMA_VERSION,
    shared::short_hash,
};

/// Rows that a list over all accounts takes from each account's index and sorts again; beyond it the whole table
/// is sorted, which SQLite can do on disk.
const MERGE_LIMIT: u64 = 200_000;

impl Reading<'_> {
    /// Returns the keys of the account, or of all accounts.
    pub(crate) fn account_keys(&self, account: Option<&AccountId>) -> Vec<i64> {
        let accounts = self.shared.accounts.read();
        match account {
            Some(account) => accounts.key(account).into_iter().collect(),
            None => accounts.keys().collect(),
        }
    }

    pub(crate) fn account(&self, key: i64) -> Result<AccountId> {
        let known = self.shared.accounts.read().name(key).cloned();
        if let Some(account) = known {
            return Ok(account);
        }
        // Committed in this snapshot, and not published yet.
        let name = self
            .connection
            .prepare_cached("SELECT account FROM accounts WHERE account_key = ?1")?
            .query_row([key], |row| row.get::<_, String>(0))
            .optional()?;
        name.map(AccountId::new).ok_or_else(|| EngineError::damaged(format!("account {key} is not there")))
    }

    /// Returns the keys of the traces with this id.
    pub(crate) fn trace_keys(
        &self,
        account: Option<&AccountId>,
        trace_id: &TraceId,
    ) -> Result<Vec<(i64, i64)>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT trace_key FROM traces INDEXED BY traces_by_hash WHERE trace_hash = ?1 AND account_key = ?2 AND trace_id = ?3",
        )?;
        let mut keys = Vec::new();
        for account_key in self.account_keys(account) {
            let hash = self.shared.keyed.hash(account_key, trace_id.as_str());
            let mut rows = statement.query(params![hash, account_key, CompactId::new(trace_id.as_str())])?;
            while let Some(row) = rows.next()? {
                keys.push((account_key, row.get(0)?));
            }
        }
        Ok(keys)
    }

    pub(crate) fn rows(&self, condition: &str, parameters: &[&dyn ToSql]) -> Result<Vec<SpanRow>> {
        let mut statement =
            self.connection.prepare_cached(&format!("SELECT {SPAN_ROW} FROM spans {condition}"))?;
        statement.query_and_then(parameters, read_span_row)?.collect()
    }

    fn row(&self, sequence: i64) -> Result<Option<SpanRow>> {
        Ok(self.rows("WHERE sequence = ?1", &[&sequence])?.pop())
    }

    /// Turns rows into spans: names their accounts and traces and, if asked, reads their payloads, each block once.
    pub(crate) fn complete(&mut self, rows: Vec<SpanRow>, payloads: bool) -> Result<Vec<StoredSpan>> {
        let mut accounts: HashMap<i64, AccountId> = HashMap::new();
        let mut traces: HashMap<i64, TraceId> = HashMap::new();
        let mut loaded: Vec<StoredSpan> = Vec::with_capacity(rows.len());
        let mut places = Vec::new();
        for row in rows {
            let account = match accounts.get(&row.account_key) {
                Some(account) => account.clone(),
                None => {
                    let account = self.account(row.account_key)?;
                    accounts.entry(row.account_key).or_insert(account).clone()
                }
            };
            let trace_id = match traces.get(&row.trace_key) {
                Some(trace_id) => trace_id.clone(),
                None => {
                    let trace_id = trace_id(self.connection, row.trace_key)?;
                    traces.entry(row.trace_key).or_insert(trace_id).clone()
                }
            };
            if let Some(place) = row.place.filter(|_| payloads) {
                places.push((place.block_key, place.offset, loaded.len(), row.sequence));
            }
            let span = Span { trace_id, ..row.span };
            loaded.push(StoredSpan { account, span, version: row.version.unsigned_abs() });
        }
        places.sort_unstable();
        let mut block: Option<(i64, Block)> = None;
        for (block_key, offset, index, sequence) in places {
            if block.as_ref().is_none_or(|(key, _)| *key != block_key) {
                block = Some((block_key, self.block(block_key)?));
            }
            if let (Some((_, block)), Some(stored)) = (&block, loaded.get_mut(index)) {
                block.load(usize::try_from(offset).unwrap_or(usize::MAX), sequence, &mut stored.span)?;
            }
        }
        Ok(loaded)
    }

    fn block(&mut self, block_key: i64) -> Result<Block> {
        let missing = || EngineError::damaged(format!("block {block_key} is not there"));
        let mut statement =
            self.connection.prepare_cached("SELECT frame FROM blocks WHERE block_key = ?1")?;
        let mut rows = statement.query([block_key])?;
        let row = rows.next()?.ok_or_else(missing)?;
        Ok(self.decompressor.decompress(block_key, row.get_ref(0)?.as_blob().map_err(|_| missing())?)?)
    }

    fn complete_one(&mut self, row: Option<SpanRow>) -> Result<Option<StoredSpan>> {
        Ok(self.complete(row.into_iter().collect(), true)?.pop())
    }
}

pub(crate) fn find_span(
    reading: &mut Reading<'_>,
    account: Option<&AccountId>,
    id: &SpanId,
) -> Result<Option<StoredSpan>> {
    let accounts = reading.account_keys(account);
    let mut newest: Option<SpanRow> = None;
    for sequence in sequences_of(reading, &reading.account_keys(account), [id])? {
        let row = reading.row(sequence)?;
        let row = row.filter(|row| accounts.contains(&row.account_key) && row.span.id == *id);
        if let Some(row) = row
            && newest.as_ref().is_none_or(|newest| newest.version < row.version)
        {
            newest = Some(row);
        }
    }
    reading.complete_one(newest)
}

/// Returns the rows of these accounts that may hold one of these ids, in whatever trace.
pub(crate) fn sequences_of<'i>(
    reading: &Reading<'_>,
    accounts: &[i64],
    ids: impl IntoIterator<Item = &'i SpanId>,
) -> Result<Vec<i64>> {
    // All of memory is read before the snapshot begins, which is with the first statement: what leaves memory later
    // is in the snapshot's tree already.
    let mut hashes = Vec::new();
    let mut sequences = Vec::new();
    for id in ids {
        for account_key in accounts {
            let hash = reading.shared.keyed.hash(*account_key, id.as_str());
            sequences.extend(reading.shared.ids.find(hash));
            hashes.push(hash);
        }
    }
    let mut indexed =
        reading.connection.prepare_cached("SELECT sequence FROM span_ids WHERE id_hash = ?1")?;
    for hash in hashes {
        for sequence in indexed.query_map([hash], |row| row.get(0))? {
            sequences.push(sequence?);
        }
    }
    sequences.sort_unstable();
    sequences.dedup();
    Ok(sequences)
}

pub(crate) fn find_span_in_trace(
    reading: &mut Reading<'_>,
    account: Option<&AccountId>,
    trace_id: &TraceId,
    id: &SpanId,
) -> Result<Option<StoredSpan>> {
    let mut newest: Option<SpanRow> = None;
    for (account_key, trace_key) in reading.trace_keys(account, trace_id)? {
        let hash = short_hash(reading.shared.keyed.hash(account_key, id.as_str()));
        let rows = reading.rows(
            "INDEXED BY spans_by_identity WHERE trace_key = ?1 AND id_hash = ?2 AND id = ?3",
            &[&trace_key, &hash, &CompactId::new(id.as_str())],
        )?;
        newest = rows.into_iter().chain(newest).max_by_key(|row| row.version);
    }
    reading.complete_one(newest)
}

pub(crate) fn read_trace(
    reading: &mut Reading<'_>,
    account: Option<&AccountId>,
    trace_id: &TraceId,
    payloads: bool,
) -> Result<Vec<StoredSpan>> {
    let mut rows = Vec::new();
    for (_, trace_key) in reading.trace_keys(account, trace_id)? {
        rows.extend(reading.rows("INDEXED BY spans_by_identity WHERE trace_key = ?1", &[&trace_key])?);
    }
    let mut spans = reading.complete(rows, payloads)?;
    spans.sort_by(|left, right| {
        let key = |stored: &StoredSpan| stored.span.start_time;
        key(left)
            .cmp(&key(right))
            .then_with(|| left.span.id.cmp(&right.span.id))
            .then_with(|| left.account.cmp(&right.account))
    });
    Ok(spans)
}

pub(crate) fn list_spans(
    reading: &mut Reading<'_>,
    account: Option<&AccountId>,
    query: &ListQuery,
) -> Result<Vec<StoredSpan>> {
    let Ok(offset) = i64::try_from(query.offset) else { return Ok(Vec::new()) };
    let limit = i64::from(query.limit);
    let accounts = reading.account_keys(account);
    let wanted = query.offset.saturating_add(u64::from(query.limit));
    let sequences = if query.trace_id.is_some() || query.task_id.is_some() {
        filtered(reading, account, query, limit, offset)?
    } else if let [account_key] = *accounts {
        page(reading, "account_key = ?3", &[&account_key], query, limit, offset)?
    } else if wanted.saturating_mul(accounts.len() as u64) > MERGE_LIMIT {
        page(reading, "?3", &[&true], query, limit, offset)?
    } else {
        let mut first = Vec::new();
        for account_key in accounts {
            first.extend(page(reading, "account_key = ?3", &[&account_key], query, limit + offset, 0)?);
        }
        page(
            reading,
            "sequence IN (SELECT value FROM json_each(?3))",
            &[&json(&first)],
            query,
            limit,
            offset,
        )?
    };
    let mut rows = Vec::with_capacity(sequences.len());
    for sequence in sequences {
        rows.extend(reading.row(sequence)?);
    }
    reading.complete(rows, true)
}

/// The spans of a trace, of a task, or of both.
fn filtered(
    reading: &Reading<'_>,
    account: Option<&AccountId>,
    query: &ListQuery,
    limit: i64,
    offset: i64,
) -> Result<Vec<i64>> {
    let keys = |trace_id: &TraceId| -> Result<String> {
        let keys: Vec<i64> = reading.trace_keys(account, trace_id)?.into_iter().map(|(_, key)| key).collect();
        Ok(json(&keys))
    };
    let of_trace = query.trace_id.as_ref().map(keys).transpose()?;
    let Some(task_id) = &query.task_id else {
        let condition = "trace_key IN (SELECT value FROM json_each(?3))";
        return page(reading, condition, &[&of_trace], query, limit, offset);
    };
    let of_task_trace = keys(&TraceId::from(task_id.as_str()))?;
    let task_id = CompactId::new(task_id);
    if of_trace.is_some() {
        let condition = "trace_key IN (SELECT value FROM json_each(?3)) \
             AND (task_id = ?4 OR trace_key IN (SELECT value FROM json_each(?5)))";
        return page(reading, condition, &[&of_trace, &task_id, &of_task_trace], query, limit, offset);
    }
    let accounts = json(&reading.account_keys(account));
    let condition = "sequence IN (\
             SELECT sequence FROM spans WHERE account_key IN (SELECT value FROM json_each(?3)) AND task_id = ?4 \
             UNION SELECT sequence FROM spans WHERE trace_key IN (SELECT value FROM json_each(?5)))";
    page(reading, condition, &[&accounts, &task_id, &of_task_trace], query, limit, offset)
}

fn json(numbers: &[i64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
    format!("[{}]", numbers.join(","))
}

/// Returns a page of sequences in the order of a query. The parameters of the condition begin at `?3`.
fn page(
    reading: &Reading<'_>,
    condition: &str,
    parameters: &[&dyn ToSql],
    query: &ListQuery,
    limit: i64,
    offset: i64,
) -> Result<Vec<i64>> {
    let order = order_by(query.order, query.direction);
    let mut statement = reading.connection.prepare_cached(&format!(
        "SELECT sequence FROM spans s WHERE {condition} ORDER BY {order}, \
         (SELECT id_text(t.trace_id) FROM traces t WHERE t.trace_key = s.trace_key), id_text(s.id), \
         (SELECT a.account FROM accounts a WHERE a.account_key = s.account_key) LIMIT ?1 OFFSET ?2"
    ))?;
    let mut all: Vec<&dyn ToSql> = vec![&limit, &offset];
    all.extend(parameters);
    let rows = statement.query_map(&*all, |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn order_by(order: ListOrder, direction: SortDirection) -> String {
    let columns: &[&str] = match order {
        ListOrder::Id => &["id_text(s.id)"],
        ListOrder::TraceId => &["(SELECT id_text(t.trace_id) FROM traces t WHERE t.trace_key = s.trace_key)"],
        ListOrder::TaskId => &["id_text(s.task_id)"],
        ListOrder::ParentId => &["id_text(s.parent_id)"],
        ListOrder::Name => &["s.name"],
        ListOrder::StartTime => &["s.start_micros", "s.start_nanos"],
        ListOrder::EndTime => &["s.start_micros + s.duration_micros", "s.end_nanos"],
    };
    // Only columns that may be absent need a word about nulls, which would keep an index from being used.
    let nulls = matches!(order, ListOrder::TaskId | ListOrder::ParentId | ListOrder::EndTime);
    let suffix = match (direction, nulls) {
        (SortDirection::Ascending, true) => "ASC NULLS LAST",
        (SortDirection::Ascending, false) => "ASC",
        (SortDirection::Descending, true) => "DESC NULLS FIRST",
        (SortDirection::Descending, false) => "DESC",
    };
    columns.iter().map(|column| format!("{column} {suffix}")).collect::<Vec<_>>().join(", ")
}

pub(crate) fn trace_id(connection: &Connection, trace_key: i64) -> Result<TraceId> {
    let mut statement = connection.prepare_cached("SELECT trace_id FROM traces WHERE trace_key = ?1")?;
    let id: Option<StoredId> = statement.query_row([trace_key], |row| row.get(0)).optional()?;
    let id = id.ok_or_else(|| EngineError::damaged(format!("trace {trace_key} is not there")))?;
    Ok(TraceId::from(id.0))
}

pub(crate) fn changes(
    reading: &mut Reading<'_>,
    account: Option<&AccountId>,
    position: u64,
    limit: u32,
) -> Result<Changes> {
    let Ok(from) = i64::try_from(position) else { return Ok(Changes { spans: Vec::new(), position }) };
    let connection = reading.connection;
    let account_key = match account {
        Some(account) => match reading.account_keys(Some(account)).pop() {
            Some(key) => Some(key),
            None => {
                return Ok(Changes {
                    spans: Vec::new(),
                    position: position.max(latest(connection)?.unsigned_abs()),
                });
            }
        },
        None => None,
    };
    let wanted = i64::from(limit) + 1;
    let mut found: Vec<(i64, i64)> = Vec::new();
    for sql in [
        "SELECT sequence, sequence FROM spans NOT INDEXED WHERE sequence > ?1 AND version IS NULL \
         AND (?2 IS NULL OR account_key = ?2) ORDER BY sequence LIMIT ?3",
        "SELECT r.version, r.sequence FROM rewrites r CROSS JOIN spans s ON s.sequence = r.sequence \
         WHERE r.version > ?1 AND (?2 IS NULL OR s.account_key = ?2) ORDER BY r.version LIMIT ?3",
    ] {
        let mut statement = connection.prepare_cached(sql)?;
        let rows =
            statement.query_map(params![from, account_key, wanted], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for row in rows {
            found.push(row?);
        }
    }
    found.sort_unstable();
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let position = match found.last() {
        Some((last, _)) if more => last.unsigned_abs(),
        None if more => position,
        _ => position.max(latest(connection)?.unsigned_abs()),
    };
    let mut rows = Vec::with_capacity(found.len());
    for (_, sequence) in found {
        rows.extend(reading.row(sequence)?);
    }
    Ok(Changes { spans: reading.complete(rows, true)?, position })
}

/// Returns the position of the latest write in this snapshot.
pub(crate) fn latest(connection: &Connection) -> Result<i64> {
    let mut statement = connection.prepare_cached(
        "SELECT max(coalesce((SELECT max(sequence) FROM spans), 0), \
         coalesce((SELECT max(version) FROM rewrites), 0), \
         coalesce((SELECT value FROM meta WHERE name = 'latest'), 0))",
    )?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// Returns what each account has, by its traces. What it takes on disk is its payloads' share of all blocks.
pub(crate) fn accounts(reading: &mut Reading<'_>) -> Result<Vec<AccountUsage>> {
    let connection = reading.connection;
    let number = |value: i64| value.unsigned_abs();
    let mut usages = connection.prepare_cached(
        "SELECT account_key, sum(span_count), count(*), sum(payload_bytes), min(start_micros), max(last_micros) \
         FROM traces GROUP BY account_key",
    )?;
    let mut nanos = connection.prepare_cached(
        "SELECT (SELECT min(start_nanos) FROM spans INDEXED BY spans_by_start WHERE account_key = ?1 AND start_micros = ?2), \
         (SELECT max(start_nanos) FROM spans INDEXED BY spans_by_start WHERE account_key = ?1 AND start_micros = ?3)",
    )?;
    let (raw, stored) = connection.query_row(
        "SELECT coalesce(sum(raw_bytes - dead_bytes), 0), coalesce(sum(stored_bytes), 0) FROM block_figures",
        [],
        |row| Ok((number(row.get(0)?), number(row.get(1)?))),
    )?;
    let mut accounts = Vec::new();
    let mut rows = usages.query([])?;
    while let Some(row) = rows.next()? {
        let account_key: i64 = row.get(0)?;
        let (oldest, newest): (i64, i64) = (row.get(4)?, row.get(5)?);
        let (oldest_nanos, newest_nanos) =
            nanos.query_row([account_key, oldest, newest], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let payload_bytes = number(row.get(3)?);
        let share = u128::from(payload_bytes) * u128::from(stored) / u128::from(raw.max(1));
        accounts.push(AccountUsage {
            account: reading.account(account_key)?,
            spans: number(row.get(1)?),
            traces: number(row.get(2)?),
            payload_bytes,
            stored_bytes: u64::try_from(share).unwrap_or(u64::MAX),
            oldest_start: timestamp(oldest, oldest_nanos)?,
            newest_start: timestamp(newest, newest_nanos)?,
        });
    }
    accounts.sort_by(|left, right| left.account.cmp(&right.account));
    Ok(accounts)
}

pub(crate) fn stats(reading: &mut Reading<'_>, disk_bytes: u64) -> Result<StoreStats> {
    let connection = reading.connection;
    let number = |value: i64| value.unsigned_abs();
    let (spans, traces) =
        connection.query_row("SELECT coalesce(sum(span_count), 0), count(*) FROM traces", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })?;
    let (raw, stored, dead) = connection.query_row(
        "SELECT coalesce(sum(raw_bytes), 0), coalesce(sum(stored_bytes), 0), \
         coalesce(sum(stored_bytes * dead_bytes / max(raw_bytes, 1)), 0) FROM block_figures",
        [],
        |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)),
    )?;
    Ok(StoreStats {
        engine: "embedded",
        schema_version: SCHEMA_VERSION,
        spans: number(spans),
        traces: number(traces),
        disk_bytes,
        raw_payload_bytes: number(raw),
        stored_payload_bytes: number(stored),
        superseded_payload_bytes: number(dead),
    })
}
