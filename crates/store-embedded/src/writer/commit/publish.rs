//! Tells the readers what is durable now.

use std::collections::HashMap;

use endspan_model::{AccountId, Facets, Span};
use endspan_store::engine::stored_count;

use super::written;
use crate::{
    columns::{Change, ColumnRow, NO_DURATION},
    row::Place,
    shared::Shared,
    writer::{group::Entry, rows::end_of, traces::TraceTable},
};

/// Tells the readers what is durable now.
pub(super) fn publish(
    entries: Vec<Entry>,
    new_accounts: HashMap<AccountId, i64>,
    traces: &TraceTable,
    shared: &Shared,
    changes: &mut Vec<Change>,
) {
    if !new_accounts.is_empty() {
        let mut accounts = shared.accounts.write();
        for (account, key) in new_accounts {
            let is_used =
                |entry: &Entry| traces.get(entry.trace).is_some_and(|trace| trace.account_key == key);
            if entries.iter().any(is_used) {
                accounts.insert(key, account);
            }
        }
    }
    let new_ids = entries
        .iter()
        .filter(|entry| entry.row.is_none())
        .filter_map(|entry| Some((entry.hash, written(entry)?.1)));
    shared.ids.extend(new_ids);
    if let Some(latest) = entries.iter().filter_map(|entry| Some(written(entry)?.1)).max() {
        shared.columns.apply(changes.drain(..), latest);
        shared.advance(latest);
    }
}

pub(super) fn column_row(
    sequence: i64,
    (account_key, trace_key): (i64, i64),
    span: &Span,
    facets: &Facets,
    place: Option<Place>,
    shared: &Shared,
) -> ColumnRow {
    let hash = |text: Option<&str>| text.map_or(0, |text| shared.keyed.text_hash(text));
    ColumnRow {
        sequence,
        start: span.start_time.unix_micros(),
        duration: end_of(span).0.unwrap_or(NO_DURATION),
        input_tokens: stored_count(facets.input_tokens).unwrap_or(0),
        output_tokens: stored_count(facets.output_tokens).unwrap_or(0),
        account: account_key as u32,
        trace: trace_key as u32,
        block: place.map_or(0, |place| place.block_key as u32),
        parent: hash(span.parent_id.as_ref().map(|id| id.as_str())),
        group: hash(span.group_id.as_deref()),
        variant: hash(span.application_variant_id.as_deref()),
        agent_id: hash(facets.agent_id.as_deref()),
        agent_name: hash(facets.agent_name.as_deref()),
        acp_type: hash(facets.acp_type.as_deref()),
        obs_trace: hash(span.obs_trace_id.as_deref()),
        obs_span: hash(span.obs_span_id.as_deref()),
        name: shared.columns.name(&span.name),
        status: span.status.map_or(0, |status| status.code()),
        span_type: span.span_type.map_or(0, |span_type| span_type.code()),
    }
}
