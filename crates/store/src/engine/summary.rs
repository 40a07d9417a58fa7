//! A trace's spans, added up, and the arithmetic that keeps the sums exact as spans come, change and go.

use endspan_model::{SpanId, Timestamp, UsageKind};

use super::{Facts, Usage};

/// A trace's spans, added up. `L` is what an engine keeps of the span that heads the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary<L> {
    /// The earliest start of a span.
    pub start: Timestamp,
    /// The latest start of a span.
    pub last_start: Timestamp,
    /// The latest end of a span; `None` while none has ended.
    pub end: Option<Timestamp>,
    /// How many spans there are.
    pub span_count: i64,
    /// How many of them run.
    pub open_count: i64,
    /// How many of them failed.
    pub error_count: i64,
    /// Bytes of their payloads.
    pub payload_bytes: i64,
    /// The span that names the trace; `None` without spans.
    pub head: Option<Head<L>>,
    /// What calls used.
    pub calls: Used,
    /// What spans used that add up others.
    pub aggregates: Used,
    /// Whether a bound or the head was lost, so that the spans must be added up again.
    pub is_stale: bool,
}

/// The span that names its trace: the earliest one without a parent, else the earliest one; ties by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head<L> {
    /// Whether it names a parent.
    pub has_parent: bool,
    /// When it began.
    pub start: Timestamp,
    /// Its id, unique in its trace.
    pub id: SpanId,
    /// What else the engine keeps of it.
    pub label: L,
}

/// What spans of one kind used, added up. A count is small enough ([`Facets`](endspan_model::Facets)) that no trace
/// overflows the sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Spans that reported tokens.
    pub count: i64,
    /// Tokens read.
    pub input: i64,
    /// Tokens written.
    pub output: i64,
    /// Spans that reported a cost.
    pub cost_count: i64,
    /// In units of 10⁻¹² dollars.
    pub cost: i64,
}

impl Used {
    const fn change(&mut self, usage: Usage, sign: i64) {
        if let Some((input, output)) = usage.tokens {
            self.count += sign;
            self.input = self.input.saturating_add(sign * input);
            self.output = self.output.saturating_add(sign * output);
        }
        if let Some(cost) = usage.cost {
            self.cost_count += sign;
            self.cost = self.cost.saturating_add(sign * cost);
        }
    }
}

impl<L> Default for Summary<L> {
    fn default() -> Self {
        Self {
            start: Timestamp::MAX,
            last_start: Timestamp::MIN,
            end: None,
            span_count: 0,
            open_count: 0,
            error_count: 0,
            payload_bytes: 0,
            head: None,
            calls: Used::default(),
            aggregates: Used::default(),
            is_stale: false,
        }
    }
}

impl<L> Summary<L> {
    /// Brings a span's change in: `old` is what it was in this trace, `new` what it is now. Tells by
    /// [`is_stale`](Self::is_stale) when the sums cannot follow.
    pub fn change(
        &mut self,
        id: &SpanId,
        old: Option<&Facts>,
        new: Option<&Facts>,
        label: impl FnOnce() -> L,
    ) {
        if let Some(old) = old {
            self.remove(id, old, new);
        }
        if let Some(new) = new {
            self.add(id, new, label);
        }
        if self.span_count == 0 {
            *self = Self::default();
        }
    }

    /// Adds a span that is not in it yet.
    pub fn add(&mut self, id: &SpanId, facts: &Facts, label: impl FnOnce() -> L) {
        self.start = self.start.min(facts.start);
        self.last_start = self.last_start.max(facts.start);
        self.end = self.end.max(facts.end);
        self.count(facts, 1);
        let leads = self.head.as_ref().is_none_or(|head| {
            head.id == *id || (facts.has_parent, facts.start, id) < (head.has_parent, head.start, &head.id)
        });
        if leads {
            let (has_parent, start) = (facts.has_parent, facts.start);
            self.head = Some(Head { has_parent, start, id: id.clone(), label: label() });
        }
    }

    /// Returns what the trace used in tokens: of the calls if one says so, else of the aggregates.
    pub fn tokens(&self) -> Option<(i64, i64)> {
        let told = [self.calls, self.aggregates].into_iter().find(|used| used.count > 0);
        told.map(|used| (used.input, used.output))
    }

    /// Returns what the trace cost, in units of 10⁻¹² dollars: of the calls if one says so, else of the aggregates.
    pub fn cost(&self) -> Option<i64> {
        [self.calls, self.aggregates].into_iter().find(|used| used.cost_count > 0).map(|used| used.cost)
    }

    /// Takes a span out, to be followed by `add` of its successor if it has one in this trace.
    fn remove(&mut self, id: &SpanId, facts: &Facts, successor: Option<&Facts>) {
        self.count(facts, -1);
        let loses_start = facts.start == self.start && successor.is_none_or(|next| next.start > facts.start);
        let loses_last =
            facts.start == self.last_start && successor.is_none_or(|next| next.start < facts.start);
        let loses_end =
            facts.end.is_some() && facts.end == self.end && successor.is_none_or(|next| next.end < facts.end);
        let is_head = self.head.as_ref().is_some_and(|head| head.id == *id);
        let loses_head = is_head
            && successor.is_none_or(|next| (next.has_parent, next.start) > (facts.has_parent, facts.start));
        self.is_stale |= loses_start || loses_last || loses_end || loses_head;
    }

    fn count(&mut self, facts: &Facts, sign: i64) {
        self.span_count += sign;
        self.open_count += sign * i64::from(facts.end.is_none());
        self.error_count += sign * i64::from(facts.is_error);
        self.payload_bytes += sign * facts.payload_bytes;
        match facts.usage {
            Some(usage) if usage.kind == UsageKind::Call => self.calls.change(usage, sign),
            Some(usage) => self.aggregates.change(usage, sign),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    fn facts() -> impl Strategy<Value = Facts> {
        let usage = (any::<bool>(), option::of(0..50_i64), option::of(0..50_i64), option::of(0..50_i64));
        let usage = usage.prop_map(|(is_call, input, output, cost)| {
            let kind = if is_call { UsageKind::Call } else { UsageKind::Aggregate };
            Usage::new(kind, input, output, cost)
        });
        (0..5_i64, option::of(0..5_i64), any::<(bool, bool)>(), option::of(usage), 0..9_i64).prop_map(
            |(start, end, (is_error, has_parent), usage, payload_bytes)| {
                let time = |micros| Timestamp::from_parts(micros, 0).unwrap();
                Facts { start: time(start), end: end.map(time), is_error, has_parent, usage, payload_bytes }
            },
        )
    }

    fn sum_up(spans: &BTreeMap<u8, Facts>) -> Summary<u8> {
        let mut summary = Summary::default();
        for (number, facts) in spans {
            summary.add(&SpanId::from(number.to_string()), facts, || *number);
        }
        summary
    }

    proptest! {
        /// A summary that does not call itself stale is what adding all spans up gives.
        #[test]
        fn changes_one_by_one_give_what_adding_up_gives(changes in vec((0..6_u8, option::of(facts())), 1..40)) {
            let mut spans = BTreeMap::new();
            let mut summary = Summary::default();
            for (number, new) in changes {
                let old = match new {
                    Some(facts) => spans.insert(number, facts),
                    None => spans.remove(&number),
                };
                summary.change(&SpanId::from(number.to_string()), old.as_ref(), new.as_ref(), || number);
                let whole = sum_up(&spans);
                if summary.is_stale {
                    prop_assert_eq!((summary.span_count, summary.payload_bytes), (whole.span_count, whole.payload_bytes));
                    summary = whole;
                }
                prop_assert_eq!(&summary, &sum_up(&spans));
            }
        }
    }
}
