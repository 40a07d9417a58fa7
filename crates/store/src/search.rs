//! Finding spans: filters, one sort key, keyset paging in both directions (`sgp-api` section 6).

use std::{cmp::Ordering, collections::HashSet, time::Instant};

use endspan_model::{AccountId, Facets, Span, SpanId, SpanType, Status, Timestamp, TraceId};
use serde_json::Value;

use crate::{SortDirection, StoredSpan, assessment::AssessmentFilter, text::TextQuery};

/// Which spans, in which order, and which page of them.
#[derive(Clone, Debug, Default)]
pub struct SpanQuery {
    /// Which spans.
    pub filter: SpanFilter,
    /// The sort key. Ties are broken by trace id, then span id, then account, bytewise and always ascending.
    pub sort: SpanSort,
    /// The direction of the sort key.
    pub direction: SortDirection,
    /// Most spans to return.
    pub limit: u32,
    /// Where the page begins or ends; the span at this place is not on it. It need not be there any more.
    pub from: Option<SpanPosition>,
    /// Whether the page is the one before `from` (the last one, without `from`) instead of the one after it. The
    /// spans come in the same order either way.
    pub backward: bool,
    /// End the page when its spans take more bytes than this; at least one span is returned.
    pub max_bytes: Option<usize>,
    /// End the page at this moment; at least one span is examined, so that following the positions ends.
    pub deadline: Option<Instant>,
}

/// The sort keys of the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SpanSort {
    /// The start.
    #[default]
    StartTime,
    /// Microseconds from start to end; a span without an end counts as 0.
    Duration,
    /// Tokens read; none reported counts as 0.
    InputTokens,
    /// Tokens written; none reported counts as 0.
    OutputTokens,
}

impl SpanSort {
    /// Returns a span's key: a number, and the nanoseconds below it for the start.
    pub fn key(self, span: &Span, facets: &Facets) -> (i64, u16) {
        let count = |tokens: Option<u64>| i64::try_from(tokens.unwrap_or(0)).unwrap_or(i64::MAX);
        match self {
            Self::StartTime => (span.start_time.unix_micros(), span.start_time.subsec_nanos_below_micro()),
            Self::Duration => (duration_micros(span).unwrap_or(0), 0),
            Self::InputTokens => (count(facets.input_tokens), 0),
            Self::OutputTokens => (count(facets.output_tokens), 0),
        }
    }
}

fn duration_micros(span: &Span) -> Option<i64> {
    Some(span.end_time?.unix_micros() - span.start_time.unix_micros())
}

/// A place in the order of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanPosition {
    /// The sort key.
    pub key: (i64, u16),
    /// The trace.
    pub trace_id: TraceId,
    /// The span.
    pub id: SpanId,
    /// The owner.
    pub account: AccountId,
}

impl SpanPosition {
    /// Returns where a span stands.
    pub fn of(account: &AccountId, span: &Span, facets: &Facets, sort: SpanSort) -> Self {
        Self {
            key: sort.key(span, facets),
            trace_id: span.trace_id.clone(),
            id: span.id.clone(),
            account: account.clone(),
        }
    }

    /// Returns the place behind all spans whose key has this number, and before all others. No span stands there.
    pub fn behind(number: i64, query: &SpanQuery) -> Self {
        let descending = (query.direction == SortDirection::Descending) != query.backward;
        Self {
            // More nanoseconds than a microsecond has.
            key: (if descending { number.saturating_sub(1) } else { number }, u16::MAX),
            trace_id: TraceId::from(""),
            id: SpanId::from(""),
            account: AccountId::new(""),
        }
    }

    /// Compares two places in the order of a search.
    pub fn compare(&self, other: &Self, direction: SortDirection) -> Ordering {
        let by_key = match direction {
            SortDirection::Ascending => self.key.cmp(&other.key),
            SortDirection::Descending => other.key.cmp(&self.key),
        };
        by_key
            .then_with(|| self.trace_id.cmp(&other.trace_id))
            .then_with(|| self.id.cmp(&other.id))
            .then_with(|| self.account.cmp(&other.account))
    }
}

impl SpanQuery {
    /// Compares two places in the order in which this query examines spans.
    pub fn compare(&self, left: &SpanPosition, right: &SpanPosition) -> Ordering {
        let order = left.compare(right, self.direction);
        if self.backward { order.reverse() } else { order }
    }

    /// Returns whether a place comes after the one that the page begins from.
    pub fn is_ahead(&self, position: &SpanPosition) -> bool {
        self.from.as_ref().is_none_or(|from| self.compare(position, from) == Ordering::Greater)
    }
}

/// A page of spans.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpanPage {
    /// The spans, in the order of the query.
    pub spans: Vec<StoredSpan>,
    /// Whether more follow in the direction of paging, as far as is known.
    pub has_more: bool,
    /// Why the page ended before it was full.
    pub stopped: Option<SearchStop>,
}

/// Why a page ended early.
#[derive(Clone, Debug, PartialEq)]
pub enum SearchStop {
    /// The next span would have exceeded [`SpanQuery::max_bytes`].
    Bytes,
    /// [`SpanQuery::deadline`] came; everything up to this place was examined.
    Time(SpanPosition),
}

/// Which spans to find. Empty lists and absent values let every span pass; the others must all hold.
#[derive(Clone, Debug, Default)]
pub struct SpanFilter {
    /// Only spans that start at this moment or later.
    pub start_from: Option<Timestamp>,
    /// Only spans that start at this moment or earlier.
    pub start_to: Option<Timestamp>,
    /// Only spans of these traces.
    pub trace_ids: HashSet<TraceId>,
    /// Only spans with these ids, in any trace.
    pub span_ids: HashSet<SpanId>,
    /// Only exactly these spans.
    pub spans: HashSet<(TraceId, SpanId)>,
    /// No spans of these traces.
    pub excluded_trace_ids: HashSet<TraceId>,
    /// No spans with these ids; not looked at when `excluded_spans` holds anything.
    pub excluded_span_ids: HashSet<SpanId>,
    /// Not these spans.
    pub excluded_spans: HashSet<(TraceId, SpanId)>,
    /// Only direct children of these.
    pub parent_ids: HashSet<SpanId>,
    /// Only spans without a parent.
    pub parents_only: bool,
    /// Only spans of this group.
    pub group_id: Option<String>,
    /// Only spans with one of these names.
    pub names: HashSet<String>,
    /// Only spans with one of these statuses; a completed span without one counts as SUCCESS.
    pub statuses: Vec<Status>,
    /// Only spans of one of these types; a span without one counts as STANDALONE.
    pub types: Vec<SpanType>,
    /// Only spans with one of these `application_variant_id`s.
    pub application_variant_ids: HashSet<String>,
    /// Only spans of agents with one of these ACP types.
    pub acp_types: HashSet<String>,
    /// Only spans of one of these agents, by id.
    pub agent_ids: HashSet<String>,
    /// Only spans of one of these agents, by name.
    pub agent_names: HashSet<String>,
    /// Only spans that ran in one of these observability traces.
    pub obs_trace_ids: HashSet<String>,
    /// Only spans that ran in one of these observability spans.
    pub obs_span_ids: HashSet<String>,
    /// Only completed spans that took at least this long.
    pub min_duration_micros: Option<i64>,
    /// Only completed spans that took at most this long.
    pub max_duration_micros: Option<i64>,
    /// Only spans whose metadata says this.
    pub metadata: Option<MetadataFilter>,
    /// Only spans that hold this text.
    pub text: TextQuery,
    /// Only spans that have, for each of these, an assessment that says so. Not a matter of row or payloads: engines look
    /// it up beside them.
    pub assessments: Vec<AssessmentFilter>,
}

impl SpanFilter {
    /// Returns whether a span passes everything that can be told without its payloads.
    pub fn matches_row(&self, span: &Span, facets: &Facets) -> bool {
        fn one_of<T: std::hash::Hash + Eq>(list: &HashSet<T>, value: Option<&T>) -> bool {
            list.is_empty() || value.is_some_and(|value| list.contains(value))
        }
        let pair = |list: &HashSet<(TraceId, SpanId)>| {
            !list.is_empty() && list.contains(&(span.trace_id.clone(), span.id.clone()))
        };
        let excluded = if self.excluded_spans.is_empty() {
            self.excluded_span_ids.contains(&span.id)
        } else {
            pair(&self.excluded_spans)
        };
        let status = span.status.or_else(|| span.is_completed().then_some(Status::Success));
        let span_type = span.span_type.unwrap_or(SpanType::Standalone);
        let micros = duration_micros(span);
        self.start_from.is_none_or(|from| span.start_time >= from)
            && self.start_to.is_none_or(|to| span.start_time <= to)
            && one_of(&self.trace_ids, Some(&span.trace_id))
            && one_of(&self.span_ids, Some(&span.id))
            && (self.spans.is_empty() || pair(&self.spans))
            && !self.excluded_trace_ids.contains(&span.trace_id)
            && !excluded
            && one_of(&self.parent_ids, span.parent_id.as_ref())
            && !(self.parents_only && span.parent_id.is_some())
            && (self.group_id.is_none() || self.group_id == span.group_id)
            && one_of(&self.names, Some(&span.name))
            && (self.statuses.is_empty() || status.is_some_and(|status| self.statuses.contains(&status)))
            && (self.types.is_empty() || self.types.contains(&span_type))
            && one_of(&self.application_variant_ids, span.application_variant_id.as_ref())
            && one_of(&self.acp_types, facets.acp_type.as_ref())
            && one_of(&self.agent_ids, facets.agent_id.as_ref())
            && one_of(&self.agent_names, facets.agent_name.as_ref())
            && one_of(&self.obs_trace_ids, span.obs_trace_id.as_ref())
            && one_of(&self.obs_span_ids, span.obs_span_id.as_ref())
            && self.min_duration_micros.is_none_or(|min| micros.is_some_and(|micros| micros >= min))
            && self.max_duration_micros.is_none_or(|max| micros.is_some_and(|micros| micros <= max))
    }

    /// Returns whether payloads must be read to tell.
    pub fn needs_payloads(&self) -> bool {
        self.metadata.is_some() || !self.text.is_empty()
    }

    /// Returns whether a span with its payloads passes what [`matches_row`](Self::matches_row) does not tell.
    pub fn matches_payloads(&self, span: &Span) -> bool {
        self.metadata.as_ref().is_none_or(|metadata| metadata.matches(span)) && self.text.matches(span)
    }
}

/// What a span's metadata must say (`sgp-api` 6.3).
#[derive(Clone, Debug, PartialEq)]
pub enum MetadataFilter {
    /// All of these.
    All(Vec<MetadataFilter>),
    /// One of these.
    Any(Vec<MetadataFilter>),
    /// The value under this key equals one of these.
    Key(String, Vec<Value>),
}

impl MetadataFilter {
    /// Returns whether a span's metadata says it.
    pub fn matches(&self, span: &Span) -> bool {
        let metadata = span.metadata.as_ref().map_or(Value::Null, endspan_model::Payload::to_value);
        self.matches_value(&metadata)
    }

    fn matches_value(&self, metadata: &Value) -> bool {
        match self {
            Self::All(filters) => filters.iter().all(|filter| filter.matches_value(metadata)),
            Self::Any(filters) => filters.iter().any(|filter| filter.matches_value(metadata)),
            Self::Key(key, values) => metadata
                .as_object()
                .and_then(|members| members.get(key))
                .is_some_and(|stored| values.iter().any(|value| equal(stored, value))),
        }
    }
}

/// JSON values are equal when their numbers are, however those are written, and whatever the order of keys.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| right.get(key).is_some_and(|other| equal(value, other)))
        }
        (left, right) => left == right,
    }
}

/// Takes examined spans in order and makes a page of them.
#[derive(Debug)]
pub struct PageBuilder<'a> {
    query: &'a SpanQuery,
    page: SpanPage,
    bytes: usize,
}

impl<'a> PageBuilder<'a> {
    /// Begins an empty page.
    pub fn new(query: &'a SpanQuery) -> Self {
        Self { query, page: SpanPage::default(), bytes: 0 }
    }

    /// Returns how many more spans the page can use, one beyond its end included.
    pub fn wanted(&self) -> usize {
        (self.query.limit as usize + 1).saturating_sub(self.page.spans.len())
    }

    /// Adds the next span that was found. Returns whether the page goes on.
    pub fn push(&mut self, stored: StoredSpan) -> bool {
        if self.page.spans.len() >= self.query.limit as usize {
            self.page.has_more = true;
            return false;
        }
        self.bytes += stored.span.size_bytes();
        if !self.page.spans.is_empty() && self.query.max_bytes.is_some_and(|most| self.bytes > most) {
            self.page.has_more = true;
            self.page.stopped = Some(SearchStop::Bytes);
            return false;
        }
        self.page.spans.push(stored);
        true
    }

    /// Ends the page if its time has come, everything up to a place having been examined. Returns whether it goes on.
    pub fn check_time(&mut self, examined: impl FnOnce() -> SpanPosition) -> bool {
        if self.is_late() {
            self.stop(examined());
            return false;
        }
        true
    }

    /// Returns whether the page's time has come.
    pub fn is_late(&self) -> bool {
        self.query.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Ends the page for its time, everything up to a place having been examined.
    pub fn stop(&mut self, examined: SpanPosition) {
        self.page.has_more = true;
        self.page.stopped = Some(SearchStop::Time(examined));
    }

    /// Returns the page.
    pub fn finish(mut self) -> SpanPage {
        if self.query.backward {
            self.page.spans.reverse();
        }
        self.page
    }
}
