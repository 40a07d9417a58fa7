use std::collections::HashMap;

use endspan_model::Span;
use serde::Serialize;

use super::tree::Tree;
use super::{Cost, CostLine, Dollars, PriceTable};
use crate::normal::{Normal, Usage};

/// The tokens and the money of a trace.
///
/// Frameworks write the usage of a call again on every span around it: on the wrapper of the client, on the
/// agent, on the turn. So usage is counted at the **leaves** only: at spans that carry usage and have no span
/// with usage below them. What stands above is a roll-up: it is compared with what was counted below it, and never
/// added.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Ledger {
    /// The usage of all counted spans together.
    pub usage: Usage,
    /// What the counted spans cost, as far as the price table knows their models.
    pub cost: Dollars,
    /// The same for each model, the dearest first.
    pub models: Vec<ModelTotal>,
    /// The counted spans.
    pub counted: Vec<Counted>,
    /// Roll-ups, compared.
    pub rollups: Vec<Rollup>,
    /// Spans that report a call that was counted already.
    pub duplicates: Vec<Duplicate>,
    /// Counted spans whose model has no price: the cost is too low by theirs.
    pub unpriced: usize,
}

/// What one model was used for.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelTotal {
    /// The model as the spans name it; `None` for those that name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How many counted spans.
    pub calls: usize,
    /// Their usage together.
    pub usage: Usage,
    /// What they cost together, as far as they have a price.
    pub cost: Dollars,
    /// How that comes about: tokens of one kind at one price.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<CostLine>,
    /// How many of them have no price.
    #[serde(skip_serializing_if = "is_zero")]
    pub unpriced: usize,
}

/// A span whose usage was counted.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Duplicate {
    /// The span that was not counted.
    pub span_id: String,
    /// The span that was.
    pub counted_span_id: String,
}

/// Adds up a trace. The spans are those of one trace, in any order, each with its normal form.
///
/// Parents that go in a circle are taken for a tree whose root is the circle's earliest span: nothing in it is lost
/// or counted twice.
pub fn ledger<'a>(spans: impl IntoIterator<Item = (&'a Span, &'a Normal)>, prices: &PriceTable) -> Ledger {
    let spans: Vec<(&Span, &Normal)> = spans.into_iter().collect();
    let tree = Tree::new(spans.iter().map(|(span, _)| *span));
    let usages: Vec<Option<Usage>> =
        spans.iter().map(|(_, normal)| normal.usage.filter(|usage| usage.total() > 0)).collect();
    let mut carrying_below = vec![false; spans.len()];
    tree.fold_up(&mut carrying_below, |child, place, below| {
        *below |= *child || usages.get(place).is_some_and(Option::is_some);
    });

    let mut result = Ledger::default();
    let mut models = Models::default();
    let mut counted = vec![None; spans.len()];
    let mut by_response: HashMap<(&str, u64), &str> = HashMap::new();
    for ((((span, normal), usage), below), counted) in
        spans.iter().zip(&usages).zip(&carrying_below).zip(&mut counted)
    {
        let Some(usage) = usage.filter(|_| !below) else { continue };
        if let Some(response_id) = normal.response_id.as_deref().filter(|id| !id.is_empty()) {
            let first = *by_response.entry((response_id, usage.total())).or_insert(span.id.as_str());
            if first != span.id.as_str() {
                result
                    .duplicates
                    .push(Duplicate { span_id: span.id.to_string(), counted_span_id: first.to_owned() });
                continue;
            }
        }
        *counted = Some(usage);
        let cost = call_cost(span, normal, prices);
        result.usage.add(&usage);
        match &cost {
            Some(cost) => result.cost += cost.total,
            None => result.unpriced += 1,
        }
        models.add(normal.model(), &usage, cost.as_ref());
        result.counted.push(Counted {
            span_id: span.id.to_string(),
            model: normal.model().map(str::to_owned),
            usage,
            cost,
            rollup_only: !normal.is_model_call(),
        });
    }
    result.models = models.into_totals();

    let mut counted_below: Vec<Usage> = vec![Usage::default(); spans.len()];
    tree.fold_up(&mut counted_below, |child, place, below| {
        below.add(child);
        if let Some(Some(own)) = counted.get(place) {
            below.add(own);
        }
    });
    for ((((span, _), usage), below), counted) in
        spans.iter().zip(&usages).zip(&carrying_below).zip(counted_below)
    {
        if let Some(reported) = usage.filter(|_| *below) {
            let agrees = reported.same_tokens(&counted);
            result.rollups.push(Rollup { span_id: span.id.to_string(), reported, counted, agrees });
        }
    }
    result
}

/// Returns what the model call of a span costs; `None` without usage or without a price.
pub fn call_cost(span: &Span, normal: &Normal, prices: &PriceTable) -> Option<Cost> {
    let usage = normal.usage.as_ref()?;
    // Providers answer under other names than they are asked under: either may have the price.
    [&normal.response_model, &normal.request_model]
        .into_iter()
        .flatten()
        .find_map(|model| prices.cost(model, usage, span.start_time))
}

/// Totals by model, in the order of first use until they are sorted.
#[derive(Default)]
struct Models {
    totals: Vec<ModelTotal>,
    places: HashMap<Option<String>, usize>,
}

impl Models {
    fn add(&mut self, model: Option<&str>, usage: &Usage, cost: Option<&Cost>) {
        let model = model.map(str::to_owned);
        let place = *self.places.entry(model.clone()).or_insert_with(|| {
            self.totals.push(ModelTotal { model, ..ModelTotal::default() });
            self.totals.len() - 1
        });
        let Some(total) = self.totals.get_mut(place) else { return };
        total.calls += 1;
        total.usage.add(usage);
        let Some(cost) = cost else {
            total.unpriced += 1;
            return;
        };
        total.cost += cost.total;
        for line in &cost.lines {
            let same = |other: &&mut CostLine| {
                (other.kind, other.dollars_per_million) == (line.kind, line.dollars_per_million)
            };
            match total.lines.iter_mut().find(same) {
                Some(known) => {
                    known.tokens = known.tokens.saturating_add(line.tokens);
                    known.amount += line.amount;
                }
                None => total.lines.push(line.clone()),
            }
        }
    }

    fn into_totals(mut self) -> Vec<ModelTotal> {
        self.totals.sort_by(|a, b| b.cost.cmp(&a.cost).then_with(|| a.model.cmp(&b.model)));
        self.totals
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}
