use std::collections::{HashMap, HashSet};

use endspan_model::{Span, SpanId};
use serde::Serialize;

use super::{Cost, Dollars, PriceTable};
use crate::normal::{Normal, Usage};

/// The tokens and the money of a trace.
///
/// Frameworks write the usage of a call again on every span around it: on the wrapper of the client, on the
/// agent, on the turn. So usage is counted at the **leaves** only: at spans that carry usage and have no span
/// with usage below them. What stands above is a roll-up: it is compared with what was counted below it, and never
/// added.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Ledger {
    /// The usage of all counted spans together.
    pub usage: Usage,
    /// What the counted spans cost, as far as the price table knows their models.
    pub cost: Dollars,
    /// The counted spans.
    pub counted: Vec<Counted>,
    /// Roll-ups, compared.
    pub rollups: Vec<Rollup>,
    /// Spans that report a call that was counted already.
    pub duplicates: Vec<Duplicate>,
    /// Counted spans whose model has no price: the cost is too low by theirs.
    pub unpriced: usize,
}

/// A span whose usage was counted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Counted {
    /// The span.
    pub span_id: String,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What was counted.
    pub usage: Usage,
    /// What it costs; `None` when the model has no price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// Whether this is no model call but a roll-up with nothing below it: it stands for calls that nobody traced.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rollup_only: bool,
}

/// A roll-up and what was counted below it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rollup {
    /// The span.
    pub span_id: String,
    /// What the span reports.
    pub reported: Usage,
    /// What was counted below it.
    pub counted: Usage,
    /// Whether the two agree. If the span reports more, some calls below it were not traced.
    pub agrees: bool,
}

/// A span that reports the same call as another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Duplicate {
    /// The span that was not counted.
    pub span_id: String,
    /// The span that was.
    pub counted_span_id: String,
}

/// Adds up a trace. The spans are those of one trace, in any order, each with its normal form.
pub fn ledger<'a>(spans: impl IntoIterator<Item = (&'a Span, &'a Normal)>, prices: &PriceTable) -> Ledger {
    let spans: Vec<(&Span, &Normal)> = spans.into_iter().collect();
    let parents: HashMap<&SpanId, Option<&SpanId>> =
        spans.iter().map(|(span, _)| (&span.id, span.parent_id.as_ref())).collect();
    let carrying: Vec<(&Span, &Normal, Usage)> = spans
        .iter()
        .filter_map(|(span, normal)| Some((*span, *normal, normal.usage.filter(|usage| usage.total() > 0)?)))
        .collect();
    let mut above = HashSet::new();
    for (span, ..) in &carrying {
        for ancestor in ancestors(span, &parents) {
            if !above.insert(ancestor) {
                break;
            }
        }
    }

    let mut result = Ledger::default();
    let mut counted_below: HashMap<&SpanId, Usage> = HashMap::new();
    let mut by_response: HashMap<(&str, u64), &SpanId> = HashMap::new();
    for (span, normal, usage) in &carrying {
        if above.contains(&span.id) {
            continue;
        }
        if let Some(response_id) = normal.response_id.as_deref().filter(|id| !id.is_empty()) {
            let first = *by_response.entry((response_id, usage.total())).or_insert(&span.id);
            if first != &span.id {
                result
                    .duplicates
                    .push(Duplicate { span_id: span.id.to_string(), counted_span_id: first.to_string() });
                continue;
            }
        }
        for ancestor in ancestors(span, &parents) {
            counted_below.entry(ancestor).or_default().add(usage);
        }
        // Providers answer under other names than they are asked under: either may have the price.
        let cost = [&normal.response_model, &normal.request_model]
            .into_iter()
            .flatten()
            .find_map(|model| prices.cost(model, usage, span.start_time));
        result.usage.add(usage);
        match &cost {
            Some(cost) => result.cost += cost.total,
            None => result.unpriced += 1,
        }
        result.counted.push(Counted {
            span_id: span.id.to_string(),
            model: normal.model().map(str::to_owned),
            usage: *usage,
            cost,
            rollup_only: !normal.is_model_call(),
        });
    }
    for (span, _, usage) in &carrying {
        if above.contains(&span.id) {
            let counted = counted_below.get(&span.id).copied().unwrap_or_default();
            result.rollups.push(Rollup {
                span_id: span.id.to_string(),
                reported: *usage,
                counted,
                agrees: usage.same_tokens(&counted),
            });
        }
    }
    result
}

/// Returns the ids above a span, nearest first. A parent may be missing, and wrong data may go in circles.
fn ancestors<'a>(
    span: &'a Span,
    parents: &HashMap<&'a SpanId, Option<&'a SpanId>>,
) -> impl Iterator<Item = &'a SpanId> {
    let mut seen = HashSet::from([&span.id]);
    let mut next = span.parent_id.as_ref();
    std::iter::from_fn(move || {
        let current = next.filter(|id| seen.insert(id))?;
        next = parents.get(current).copied().flatten();
        Some(current)
    })
}
