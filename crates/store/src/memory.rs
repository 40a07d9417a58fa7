//! The contract as the simplest program that fulfils it: an ordered map under one lock.
//!
//! It is the oracle of the differential tests and a store for tests of servers. It keeps nothing on disk, so
//! that its only lie is durability. Every read scans everything: use it for thousands of spans, not for more.

mod assessments;
mod traces;

use std::{
    cmp::Ordering,
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use async_trait::async_trait;
use endspan_model::{AccountId, Facets, Span, SpanId, SpanPatch, TraceId, merge};

use self::traces::trace_order;
use crate::{
    AccountUsage, Assessment, AssessmentList, AssessmentOutcome, AssessmentQuery, AssessmentWrite, Changes,
    Deleted, Deletion, ListOrder, ListQuery, Outcome, Rejection, SortDirection, SpanHeader, SpanPage,
    SpanQuery, SpanStore, StoreError, StoreStats, StoredSpan, TracePage, TraceQuery, TraceSummary,
    WriteOperation, WriteRequest, WriteResponse,
    cursor::TraceCursor,
    parents,
    search::{PageBuilder, SpanPosition},
};

/// A store in memory. See [the module](self).
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

type Identity = (AccountId, TraceId, SpanId);

#[derive(Clone, Debug, Default)]
struct State {
    spans: BTreeMap<Identity, StoredSpan>,
    assessments: BTreeMap<(AccountId, String), Assessment>,
    version: u64,
    closed: bool,
}

impl MemoryStore {
    /// Returns an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn open(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(StoreError::Unavailable("the store is closed".to_owned()));
        }
        Ok(state)
    }
}

impl State {
    fn write(&mut self, request: WriteRequest) -> Vec<Outcome> {
        let before = (self.spans.clone(), self.assessments.clone());
        let invalid_parents = self.invalid_parents(&request);
        let mut outcomes = Vec::with_capacity(request.operations.len());
        for (operation, invalid_parent) in request.operations.into_iter().zip(invalid_parents) {
            outcomes.push(match (invalid_parent, operation) {
                (Some(rejection), _) => Outcome::Rejected(rejection),
                (None, WriteOperation::Insert(span)) => self.insert(&request.account, span),
                (None, WriteOperation::Upsert(span)) => self.upsert(&request.account, span),
                (None, WriteOperation::Patch { id, patch }) => self.patch(&request.account, &id, &patch),
            });
        }
        let rejected = |outcome: &Outcome| matches!(outcome, Outcome::Rejected(_));
        if request.all_or_nothing && outcomes.iter().any(rejected) {
            (self.spans, self.assessments) = before;
            for outcome in outcomes.iter_mut().filter(|outcome| !rejected(outcome)) {
                *outcome = Outcome::NotStored;
            }
        }
        outcomes
    }

    fn insert(&mut self, account: &AccountId, span: Span) -> Outcome {
        if self.of(Some(account)).any(|stored| stored.span.id == span.id) {
            return Outcome::Rejected(Rejection::duplicate_id());
        }
        self.put(account, span);
        Outcome::Stored
    }

    fn upsert(&mut self, account: &AccountId, span: Span) -> Outcome {
        let identity = (account.clone(), span.trace_id.clone(), span.id.clone());
        let existing = self.spans.get(&identity);
        let wins = existing.is_none_or(|existing| {
            merge::decide(existing.span.is_completed(), span.is_completed()) == merge::Winner::Incoming
        });
        if !wins {
            return Outcome::Superseded;
        }
        self.put(account, span);
        Outcome::Stored
    }

    fn patch(&mut self, account: &AccountId, id: &SpanId, patch: &SpanPatch) -> Outcome {
        let Some(mut stored) = self.newest(Some(account), id).cloned() else {
            return Outcome::Rejected(Rejection::NotFound);
        };
        let old_trace = stored.span.trace_id.clone();
        if let Err(error) = patch.apply(&mut stored.span) {
            return Outcome::Rejected(Rejection::from(error));
        }
        let new_trace = stored.span.trace_id.clone();
        if new_trace != old_trace {
            if self.spans.contains_key(&(account.clone(), new_trace.clone(), id.clone())) {
                return Outcome::Rejected(Rejection::duplicate_in_trace());
            }
            for assessment in self.assessments.values_mut() {
                if assessment.account == *account
                    && assessment.span_id == *id
                    && assessment.trace_id == old_trace
                {
                    assessment.trace_id = new_trace.clone();
                }
            }
            self.spans.remove(&(account.clone(), old_trace, id.clone()));
        }
        stored.version = self.put(account, stored.span.clone());
        Outcome::Patched(Box::new(stored))
    }

    fn put(&mut self, account: &AccountId, span: Span) -> u64 {
        self.version += 1;
        let identity = (account.clone(), span.trace_id.clone(), span.id.clone());
        self.spans.insert(identity, StoredSpan { account: account.clone(), span, version: self.version });
        self.version
    }

    /// Checks the parents of the request as it came, against the store as it was before it.
    fn invalid_parents(&self, request: &WriteRequest) -> Vec<Option<Rejection>> {
        if !request.check_parents {
            return vec![None; request.operations.len()];
        }
        let given = || request.operations.iter().filter_map(WriteOperation::span);
        let on_a_cycle = parents::on_a_cycle(&request.operations);
        let check = |(operation, on_a_cycle): (&WriteOperation, bool)| {
            let span = operation.span()?;
            let parent = span.parent_id.as_ref()?;
            if on_a_cycle {
                return Some(Rejection::parent_cycle());
            }
            let mut traces = (self.of(Some(&request.account)).map(|stored| &stored.span))
                .chain(given())
                .filter(|other| other.id == *parent)
                .map(|other| &other.trace_id)
                .peekable();
            let elsewhere = traces.peek().is_some() && traces.all(|trace| *trace != span.trace_id);
            elsewhere.then(Rejection::parent_in_another_trace)
        };
        request.operations.iter().zip(on_a_cycle).map(check).collect()
    }

    fn of(&self, account: Option<&AccountId>) -> impl Iterator<Item = &StoredSpan> {
        self.spans.values().filter(move |stored| account.is_none_or(|account| stored.account == *account))
    }

    fn newest(&self, account: Option<&AccountId>, id: &SpanId) -> Option<&StoredSpan> {
        self.of(account).filter(|stored| stored.span.id == *id).max_by_key(|stored| stored.version)
    }

    fn list(&self, account: Option<&AccountId>, query: &ListQuery) -> Vec<StoredSpan> {
        let mut found: Vec<&StoredSpan> = self
            .of(account)
            .filter(|stored| query.trace_id.as_ref().is_none_or(|trace| stored.span.trace_id == *trace))
            .filter(|stored| {
                query.task_id.as_ref().is_none_or(|task| {
                    stored.span.task_id.as_ref() == Some(task) || stored.span.trace_id.as_str() == task
                })
            })
            .collect();
        found.sort_by(|left, right| {
            let by_key = compare(&left.span, &right.span, query.order);
            match query.direction {
                SortDirection::Ascending => by_key,
                SortDirection::Descending => by_key.reverse(),
            }
            .then_with(|| left.span.trace_id.cmp(&right.span.trace_id))
            .then_with(|| left.span.id.cmp(&right.span.id))
            .then_with(|| left.account.cmp(&right.account))
        });
        let offset = usize::try_from(query.offset).unwrap_or(usize::MAX);
        found.into_iter().skip(offset).take(query.limit as usize).cloned().collect()
    }
}

/// Absent values are greater than present ones: last ascending, first descending.
fn compare(left: &Span, right: &Span, order: ListOrder) -> Ordering {
    fn absent_last<T: Ord>(left: Option<T>, right: Option<T>) -> Ordering {
        match (left, right) {
            (Some(left), Some(right)) => left.cmp(&right),
            (left, right) => right.is_some().cmp(&left.is_some()),
        }
    }
    match order {
        ListOrder::Id => left.id.cmp(&right.id),
        ListOrder::TraceId => left.trace_id.cmp(&right.trace_id),
        ListOrder::TaskId => absent_last(left.task_id.as_ref(), right.task_id.as_ref()),
        ListOrder::ParentId => absent_last(left.parent_id.as_ref(), right.parent_id.as_ref()),
        ListOrder::Name => left.name.cmp(&right.name),
        ListOrder::StartTime => left.start_time.cmp(&right.start_time),
        ListOrder::EndTime => absent_last(left.end_time, right.end_time),
    }
}

#[async_trait]
impl SpanStore for MemoryStore {
    async fn write(&self, request: WriteRequest) -> Result<WriteResponse, StoreError> {
        Ok(WriteResponse { outcomes: self.open()?.write(request) })
    }

    async fn find_span(
        &self,
        account: Option<&AccountId>,
        id: &SpanId,
    ) -> Result<Option<StoredSpan>, StoreError> {
        Ok(self.open()?.newest(account, id).cloned())
    }

    async fn find_span_in_trace(
        &self,
        account: Option<&AccountId>,
        trace_id: &TraceId,
        id: &SpanId,
    ) -> Result<Option<StoredSpan>, StoreError> {
        let state = self.open()?;
        let found =
            state.of(account).filter(|stored| stored.span.id == *id && stored.span.trace_id == *trace_id);
        Ok(found.max_by_key(|stored| stored.version).cloned())
    }

    async fn list_spans(
        &self,
        account: Option<&AccountId>,
        query: &ListQuery,
    ) -> Result<Vec<StoredSpan>, StoreError> {
        Ok(self.open()?.list(account, query))
    }

    async fn read_trace(
        &self,
        account: Option<&AccountId>,
        trace_id: &TraceId,
        payloads: bool,
    ) -> Result<Vec<StoredSpan>, StoreError> {
        let state = self.open()?;
        let mut spans: Vec<StoredSpan> =
            state.of(account).filter(|stored| stored.span.trace_id == *trace_id).cloned().collect();
        spans.sort_by(|left, right| {
            let key = |stored: &StoredSpan| {
                (stored.span.start_time, stored.span.id.clone(), stored.account.clone())
            };
            key(left).cmp(&key(right))
        });
        if !payloads {
            for StoredSpan { span, .. } in &mut spans {
                span.input = None;
                span.output = None;
                span.metadata = None;
                span.expected = None;
                span.otel = None;
            }
        }
        Ok(spans)
    }

    async fn read_structure(
        &self,
        account: Option<&AccountId>,
        trace_id: &TraceId,
    ) -> Result<Vec<SpanHeader>, StoreError> {
        let spans = self.read_trace(account, trace_id, true).await?;
        Ok(spans.iter().map(SpanHeader::of).collect())
    }

    async fn list_traces(
        &self,
        account: Option<&AccountId>,
        query: &TraceQuery,
    ) -> Result<TracePage, StoreError> {
        let after = query.after.as_deref().map(TraceCursor::decode).transpose()?;
        let state = self.open()?;
        let mut summaries = state.summaries(account);
        if let Some(after) = after {
            let after = (std::cmp::Reverse(after.start_time), after.trace_id, after.account);
            summaries.retain(|trace| trace_order(trace) > after);
        }
        let mut page = TracePage::default();
        let cursor = |trace: &TraceSummary| TraceCursor::of(trace).encode();
        for trace in summaries {
            let assessments = &query.filter.assessments;
            let passes = query.filter.matches(&trace)
                && state.trace_holds(&trace, &query.filter.text)
                && state.is_assessed(&trace.account, assessments, |assessment| {
                    assessment.trace_id == trace.trace_id
                });
            if passes && page.traces.len() == query.limit as usize {
                page.next = page.traces.last().map(cursor);
                break;
            }
            let examined = cursor(&trace);
            page.traces.extend(passes.then_some(trace));
            if query.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                (page.next, page.is_partial) = (Some(examined), true);
                break;
            }
        }
        Ok(page)
    }

    async fn search_spans(
        &self,
        account: Option<&AccountId>,
        query: &SpanQuery,
    ) -> Result<SpanPage, StoreError> {
        let state = self.open()?;
        let mut examined: Vec<(SpanPosition, &StoredSpan)> = (state.of(account))
            .filter_map(|stored| {
                let facets = Facets::of(&stored.span);
                let position = SpanPosition::of(&stored.account, &stored.span, &facets, query.sort);
                let is_of = |assessment: &Assessment| {
                    assessment.trace_id == stored.span.trace_id && assessment.span_id == stored.span.id
                };
                let passes = query.is_ahead(&position)
                    && query.filter.matches_row(&stored.span, &facets)
                    && state.is_assessed(&stored.account, &query.filter.assessments, is_of);
                passes.then_some((position, stored))
            })
            .collect();
        examined.sort_by(|(left, _), (right, _)| query.compare(left, right));
        let mut page = PageBuilder::new(query);
        for (position, stored) in examined {
            let passes = query.filter.matches_payloads(&stored.span);
            if (passes && !page.push(stored.clone())) || !page.check_time(|| position) {
                break;
            }
        }
        Ok(page.finish())
    }

    async fn changes(
        &self,
        account: Option<&AccountId>,
        position: u64,
        limit: u32,
    ) -> Result<Changes, StoreError> {
        let state = self.open()?;
        let mut spans: Vec<StoredSpan> =
            state.of(account).filter(|stored| stored.version > position).cloned().collect();
        spans.sort_by_key(|stored| stored.version);
        let more = spans.len() > limit as usize;
        spans.truncate(limit as usize);
        let position = match spans.last() {
            Some(last) if more => last.version,
            None if more => position,
            _ => position.max(state.version),
        };
        Ok(Changes { spans, position })
    }

    async fn delete(&self, account: Option<&AccountId>, deletion: &Deletion) -> Result<Deleted, StoreError> {
        Ok(self.open()?.delete(account, deletion))
    }

    async fn write_assessment(&self, write: AssessmentWrite) -> Result<AssessmentOutcome, StoreError> {
        Ok(self.open()?.assess(write))
    }

    async fn read_assessments(
        &self,
        account: Option<&AccountId>,
        query: &AssessmentQuery,
    ) -> Result<AssessmentList, StoreError> {
        Ok(self.open()?.assessments(account, query))
    }

    async fn accounts(&self) -> Result<Vec<AccountUsage>, StoreError> {
        Ok(self.open()?.usage())
    }

    async fn latest_position(&self) -> Result<u64, StoreError> {
        Ok(self.open()?.version)
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        let state = self.open()?;
        let payload_bytes = state.of(None).map(|stored| stored.span.payload_bytes() as u64).sum();
        Ok(StoreStats {
            engine: "memory",
            schema_version: 1,
            spans: state.spans.len() as u64,
            traces: state.summaries(None).len() as u64,
            disk_bytes: 0,
            raw_payload_bytes: payload_bytes,
            stored_payload_bytes: payload_bytes,
            superseded_payload_bytes: 0,
        })
    }

    async fn check_health(&self) -> Result<(), StoreError> {
        self.open().map(drop)
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        Ok(())
    }
}
