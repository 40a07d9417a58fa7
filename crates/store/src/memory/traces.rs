//! Traces in memory: their summaries, what accounts hold of them, and deletion.

use std::collections::BTreeMap;

use endspan_model::{AccountId, Facets, Span, SpanId, Timestamp, TraceId, UsageKind};

use super::State;
use crate::{AccountUsage, Deleted, Deleting, Deletion, TraceSummary, text::TextQuery};

impl State {
    pub(super) fn summaries(&self, account: Option<&AccountId>) -> Vec<TraceSummary> {
        let mut traces: BTreeMap<(&AccountId, &TraceId), Vec<&Span>> = BTreeMap::new();
        for stored in self.of(account) {
            traces.entry((&stored.account, &stored.span.trace_id)).or_default().push(&stored.span);
        }
        let mut summaries: Vec<TraceSummary> = traces
            .into_iter()
            .filter_map(|((account, trace_id), spans)| {
                let by_start = |span: &&&Span| (span.start_time, span.id.clone());
                let root = spans.iter().filter(|span| span.parent_id.is_none()).min_by_key(by_start);
                let head = root.or_else(|| spans.iter().min_by_key(by_start))?;
                let facets: Vec<Facets> = spans.iter().map(|span| Facets::of(span)).collect();
                // Of the calls if one says any of it, else of the aggregates.
                let sum = |says: fn(&Facets) -> bool, count: fn(&Facets) -> Option<u64>| {
                    let of = |kind| {
                        let of_kind = |facets: &&Facets| facets.usage_kind == Some(kind) && says(facets);
                        let mut counts = facets.iter().filter(of_kind).map(count).peekable();
                        counts.peek().is_some().then(|| counts.flatten().fold(0, u64::saturating_add))
                    };
                    of(UsageKind::Call).or_else(|| of(UsageKind::Aggregate))
                };
                let says_tokens =
                    |facets: &Facets| facets.input_tokens.is_some() || facets.output_tokens.is_some();
                Some(TraceSummary {
                    account: account.clone(),
                    trace_id: trace_id.clone(),
                    name: head.name.clone(),
                    start_time: spans.iter().map(|span| span.start_time).min()?,
                    end_time: spans.iter().filter_map(|span| span.end_time).max(),
                    span_count: spans.len() as u64,
                    open_count: spans.iter().filter(|span| !span.is_completed()).count() as u64,
                    error_count: spans
                        .iter()
                        .filter(|span| span.status == Some(endspan_model::Status::Error))
                        .count() as u64,
                    status: root.and_then(|root| root.status),
                    agent_name: Facets::of(head).agent_name,
                    input_tokens: sum(says_tokens, |facets| facets.input_tokens),
                    output_tokens: sum(says_tokens, |facets| facets.output_tokens),
                    cost_picodollars: sum(
                        |facets| facets.cost_picodollars.is_some(),
                        |facets| facets.cost_picodollars,
                    ),
                })
            })
            .collect();
        summaries.sort_by_key(trace_order);
        summaries
    }

    pub(super) fn delete(&mut self, account: Option<&AccountId>, deletion: &Deletion) -> Deleted {
        let mut traces: BTreeMap<(AccountId, TraceId), Vec<(Timestamp, SpanId)>> = BTreeMap::new();
        for stored in self.of(account) {
            let trace = (stored.account.clone(), stored.span.trace_id.clone());
            traces.entry(trace).or_default().push((stored.span.start_time, stored.span.id.clone()));
        }
        traces.retain(|(_, trace_id), spans| match &deletion.what {
            Deleting::Trace(wanted) => wanted == trace_id,
            Deleting::Started { from, before } => {
                spans.iter().all(|(start, _)| from.is_none_or(|from| *start >= from) && start < before)
            }
            Deleting::Oldest => true,
        });
        let mut traces: Vec<_> = traces.into_iter().collect();
        traces.sort_by_key(|((account, trace_id), spans)| {
            (spans.iter().map(|(start, _)| *start).min(), trace_id.clone(), account.clone())
        });
        let mut deleted = Deleted::default();
        for ((account, trace_id), mut spans) in traces {
            spans.sort();
            while let Some((_, id)) = spans.pop() {
                if deleted.spans >= u64::from(deletion.max_spans.max(1)) {
                    deleted.more = true;
                    return deleted;
                }
                self.assessments.retain(|_, assessment| {
                    assessment.account != account
                        || assessment.trace_id != trace_id
                        || assessment.span_id != id
                });
                let gone = self.spans.remove(&(account.clone(), trace_id.clone(), id));
                deleted.spans += 1;
                deleted.payload_bytes += gone.map_or(0, |stored| stored.span.payload_bytes() as u64);
            }
            deleted.traces += 1;
        }
        deleted
    }

    pub(super) fn usage(&self) -> Vec<AccountUsage> {
        let mut accounts: BTreeMap<&AccountId, AccountUsage> = BTreeMap::new();
        for stored in self.of(None) {
            let start = stored.span.start_time;
            let usage = accounts.entry(&stored.account).or_insert_with(|| AccountUsage {
                account: stored.account.clone(),
                spans: 0,
                traces: 0,
                payload_bytes: 0,
                stored_bytes: 0,
                oldest_start: start,
                newest_start: start,
            });
            usage.spans += 1;
            usage.payload_bytes += stored.span.payload_bytes() as u64;
            usage.stored_bytes = usage.payload_bytes;
            usage.oldest_start = usage.oldest_start.min(start);
            usage.newest_start = usage.newest_start.max(start);
        }
        for summary in self.summaries(None) {
            if let Some(usage) = accounts.get_mut(&summary.account) {
                usage.traces += 1;
            }
        }
        accounts.into_values().collect()
    }

    /// Returns whether a span of a trace holds a text.
    pub(super) fn trace_holds(&self, trace: &TraceSummary, text: &TextQuery) -> bool {
        text.is_empty()
            || (self.of(Some(&trace.account)))
                .any(|stored| stored.span.trace_id == trace.trace_id && text.matches(&stored.span))
    }
}

pub(super) fn trace_order(summary: &TraceSummary) -> (std::cmp::Reverse<Timestamp>, TraceId, AccountId) {
    (std::cmp::Reverse(summary.start_time), summary.trace_id.clone(), summary.account.clone())
}
