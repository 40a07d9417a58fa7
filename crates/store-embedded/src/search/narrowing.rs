//! What the indexes and SQLite can tell of a filter before a row becomes a span.

use std::collections::HashSet;

use endspan_model::{AccountId, SpanType, Status};
use endspan_store::search::SpanFilter;
use rusqlite::{ToSql, params};

use crate::{
    compact_id::CompactId, error::Result, readers::Reading, reads::sequences_of, shared::short_hash,
};

/// Returns the rows that ids in the filter lead to, a superset of what is wanted; `None` when it gives no ids.
pub(super) fn given(
    reading: &Reading<'_>,
    account: Option<&AccountId>,
    accounts: &[i64],
    filter: &SpanFilter,
) -> Result<Option<Vec<i64>>> {
    let mut found = HashSet::new();
    if !filter.spans.is_empty() {
        let mut statement = reading.connection.prepare_cached(
            "SELECT sequence FROM spans INDEXED BY spans_by_identity WHERE trace_key = ?1 AND id_hash = ?2 AND id = ?3",
        )?;
        for (trace_id, id) in &filter.spans {
            for (account_key, trace_key) in reading.trace_keys(account, trace_id)? {
                let hash = short_hash(reading.shared.keyed.hash(account_key, id.as_str()));
                let parameters = params![trace_key, hash, CompactId::new(id.as_str())];
                for sequence in statement.query_map(parameters, |row| row.get::<_, i64>(0))? {
                    found.insert(sequence?);
                }
            }
        }
    } else if !filter.span_ids.is_empty() {
        return Ok(Some(sequences_of(reading, accounts, &filter.span_ids)?));
    } else if !filter.trace_ids.is_empty() {
        let mut statement = reading
            .connection
            .prepare_cached("SELECT sequence FROM spans INDEXED BY spans_by_identity WHERE trace_key = ?1")?;
        for trace_id in &filter.trace_ids {
            for (_, trace_key) in reading.trace_keys(account, trace_id)? {
                for sequence in statement.query_map([trace_key], |row| row.get::<_, i64>(0))? {
                    found.insert(sequence?);
                }
            }
        }
    } else {
        return Ok(None);
    }
    let mut sequences: Vec<i64> = found.into_iter().collect();
    sequences.sort_unstable();
    Ok(Some(sequences))
}

/// Returns what SQLite can tell of a filter, with its parameters in order, the first of which gets a number.
pub(super) fn narrowed(filter: &SpanFilter, first: usize) -> (String, Vec<Box<dyn ToSql>>) {
    let mut sql = String::new();
    let mut parameters: Vec<Box<dyn ToSql>> = Vec::new();
    if filter.parents_only {
        sql.push_str(" AND parent_id IS NULL");
    }
    for (comparison, bound) in [(">=", filter.min_duration_micros), ("<=", filter.max_duration_micros)] {
        if let Some(bound) = bound {
            sql.push_str(&format!(" AND duration_micros {comparison} {bound}"));
        }
    }
    if !filter.statuses.is_empty() {
        let codes = list(filter.statuses.iter().map(|status| status.code()));
        let bare = if filter.statuses.contains(&Status::Success) {
            " OR (status IS NULL AND duration_micros IS NOT NULL)"
        } else {
            ""
        };
        sql.push_str(&format!(" AND (status IN ({codes}){bare})"));
    }
    if !filter.types.is_empty() {
        let codes = list(filter.types.iter().map(|span_type| span_type.code()));
        let bare = if filter.types.contains(&SpanType::Standalone) { " OR type IS NULL" } else { "" };
        sql.push_str(&format!(" AND (type IN ({codes}){bare})"));
    }
    for (column, texts) in [
        ("name", &filter.names),
        ("agent_id", &filter.agent_ids),
        ("agent_name", &filter.agent_names),
        ("acp_type", &filter.acp_types),
    ] {
        if !texts.is_empty() {
            let first = first + parameters.len();
            let places: Vec<String> =
                (first..first + texts.len()).map(|number| format!("?{number}")).collect();
            let places = places.join(", ");
            // Past SQLite's limit on parameters the row is checked by the filter alone.
            if texts.len() <= 1000 {
                sql.push_str(&format!(" AND {column} IN ({places})"));
                parameters.extend(texts.iter().map(|text| Box::new(text.clone()) as Box<dyn ToSql>));
            }
        }
    }
    (sql, parameters)
}

fn list(codes: impl Iterator<Item = u8>) -> String {
    codes.map(|code| code.to_string()).collect::<Vec<_>>().join(", ")
}
