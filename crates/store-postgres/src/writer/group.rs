//! A group of requests, applied in memory on top of what is stored.
//!
//! Each identity that the group touches has one entry, which knows its stored row and its present state. Requests
//! apply to the entries one after the other; several versions of one identity collapse here and reach the
//! database as one. An entry is the truth about its identity: what was found of it is not asked again.

use std::{borrow::Cow, collections::HashMap, convert::Infallible};

use endspan_model::{AccountId, Span, SpanId, SpanPatch, TraceId, merge};
use endspan_store::{Outcome, Rejection, StoredSpan, WriteOperation, WriteRequest, parents};

use super::{
    lookup::{Found, Identity},
    plan::OperationIndex,
    traces::TraceIndex,
};
use crate::{
    error::{EngineError, Result},
    row::StoredRow,
    shared::KeyedHash,
};

type EntryIndex = usize;

/// One identity that the group touches.
#[derive(Debug)]
pub(crate) struct Entry<'r> {
    pub(crate) account_key: i32,
    pub(crate) trace: TraceIndex,
    pub(crate) id: SpanId,
    /// The row that holds this identity now, or will be made to hold it.
    pub(crate) row: Option<StoredRow>,
    pub(crate) state: State<'r>,
}

/// The state of an identity after the requests so far.
#[derive(Debug)]
pub(crate) enum State<'r> {
    /// There is no such span (any more).
    Absent,
    /// The span is as its row says.
    Stored,
    /// The span was written by this group.
    Written(Box<Written<'r>>),
}

/// A span that the group writes.
#[derive(Debug)]
pub(crate) struct Written<'r> {
    pub(crate) span: Cow<'r, Span>,
    /// The position of its latest write.
    pub(crate) version: i64,
    /// The operation that gave the span as it is; `None` after a patch.
    pub(crate) operation: Option<OperationIndex>,
}

impl Entry<'_> {
    fn version(&self) -> Option<i64> {
        match &self.state {
            State::Absent => None,
            State::Stored => self.row.as_ref().map(|row| row.version),
            State::Written(written) => Some(written.version),
        }
    }

    fn is_completed(&self) -> bool {
        match &self.state {
            State::Absent => false,
            State::Stored => self.row.as_ref().is_some_and(|row| row.facts.end.is_some()),
            State::Written(written) => written.span.is_completed(),
        }
    }
}

/// A group of requests on top of what is stored.
pub(crate) struct Group<'r> {
    pub(crate) found: Found,
    pub(crate) entries: Vec<Entry<'r>>,
    keyed: KeyedHash,
    max_span_bytes: usize,
    by_identity: HashMap<Identity, EntryIndex>,
    by_id: HashMap<(i32, SpanId), Vec<EntryIndex>>,
    journal: Vec<Undo<'r>>,
    /// The version of the latest write.
    version: i64,
}

struct Undo<'r> {
    entry: EntryIndex,
    row: Option<StoredRow>,
    state: State<'r>,
}

impl<'r> Group<'r> {
    pub(crate) fn new(found: Found, keyed: KeyedHash, max_span_bytes: usize) -> Self {
        Self {
            version: found.latest,
            found,
            entries: Vec::new(),
            keyed,
            max_span_bytes,
            by_identity: HashMap::new(),
            by_id: HashMap::new(),
            journal: Vec::new(),
        }
    }

    /// Applies a request.
    pub(crate) fn apply(&mut self, index: usize, request: &'r WriteRequest) -> Result<Vec<Outcome>> {
        self.journal.clear();
        let version = self.version;
        let mut outcomes = self.apply_operations(index, request)?;
        let is_rejected = |outcome: &Outcome| matches!(outcome, Outcome::Rejected(_));
        if request.all_or_nothing && outcomes.iter().any(is_rejected) {
            self.roll_back(version);
            for outcome in outcomes.iter_mut().filter(|outcome| !is_rejected(outcome)) {
                *outcome = Outcome::NotStored;
            }
        }
        Ok(outcomes)
    }

    fn roll_back(&mut self, version: i64) {
        for undo in self.journal.drain(..).rev() {
            if let Some(entry) = self.entries.get_mut(undo.entry) {
                entry.row = undo.row;
                entry.state = undo.state;
            }
        }
        self.version = version;
    }

    fn apply_operations(&mut self, index: usize, request: &'r WriteRequest) -> Result<Vec<Outcome>> {
        let account_key = *self
            .found
            .accounts
            .get(&request.account)
            .ok_or_else(|| EngineError::damaged("an account without a key"))?;
        let mut invalid = self.invalid_parents(account_key, request).into_iter();
        let mut outcomes = Vec::with_capacity(request.operations.len());
        for (number, operation) in request.operations.iter().enumerate() {
            if let Some(rejection) = invalid.next().flatten() {
                outcomes.push(Outcome::Rejected(rejection));
                continue;
            }
            let place = (index, number);
            outcomes.push(match operation {
                WriteOperation::Insert(span) => self.insert(account_key, span, place),
                WriteOperation::Upsert(span) => self.upsert(account_key, span, place),
                WriteOperation::Patch { id, patch } => {
                    self.patch(account_key, &request.account, id, patch)?
                }
            });
        }
        Ok(outcomes)
    }

    fn insert(&mut self, account_key: i32, span: &'r Span, operation: OperationIndex) -> Outcome {
        if let Some(rejection) = self.too_large(span) {
            return Outcome::Rejected(rejection);
        }
        if self.exists(account_key, &span.id) {
            return Outcome::Rejected(Rejection::duplicate_id());
        }
        let entry = self.entry(account_key, &span.trace_id, &span.id);
        self.put(entry, Cow::Borrowed(span), Some(operation));
        Outcome::Stored
    }

    fn upsert(&mut self, account_key: i32, span: &'r Span, operation: OperationIndex) -> Outcome {
        if let Some(rejection) = self.too_large(span) {
            return Outcome::Rejected(rejection);
        }
        let index = self.entry(account_key, &span.trace_id, &span.id);
        let was_completed = self.entries.get(index).is_some_and(Entry::is_completed);
        if merge::decide(was_completed, span.is_completed()) == merge::Winner::Existing {
            return Outcome::Superseded;
        }
        self.put(index, Cow::Borrowed(span), Some(operation));
        Outcome::Stored
    }

    fn patch(
        &mut self,
        account_key: i32,
        account: &AccountId,
        id: &SpanId,
        patch: &SpanPatch,
    ) -> Result<Outcome> {
        let Some(index) = self.newest(account_key, id) else {
            return Ok(Outcome::Rejected(Rejection::NotFound));
        };
        let mut span = self.load(index)?;
        if let Err(error) = patch.apply(&mut span) {
            return Ok(Outcome::Rejected(Rejection::from(error)));
        }
        if let Some(rejection) = self.too_large(&span) {
            return Ok(Outcome::Rejected(rejection));
        }
        let target = self.entry(account_key, &span.trace_id, &span.id);
        if target != index {
            if self.entries.get(target).is_some_and(|entry| entry.version().is_some()) {
                return Ok(Outcome::Rejected(Rejection::duplicate_in_trace()));
            }
            let row = self.replace(index, None, State::Absent);
            self.replace(target, row, State::Absent);
        }
        self.put(target, Cow::Owned(span.clone()), None);
        let stored = StoredSpan { account: account.clone(), span, version: self.version.unsigned_abs() };
        Ok(Outcome::Patched(Box::new(stored)))
    }

    fn too_large(&self, span: &Span) -> Option<Rejection> {
        let limit = self.max_span_bytes;
        (span.payload_bytes() > limit).then(|| Rejection::too_large(limit))
    }

    /// Writes a span into its entry.
    fn put(&mut self, index: EntryIndex, span: Cow<'r, Span>, operation: Option<OperationIndex>) {
        self.version += 1;
        let state = State::Written(Box::new(Written { span, version: self.version, operation }));
        if let Some(entry) = self.entries.get_mut(index) {
            let state = std::mem::replace(&mut entry.state, state);
            self.journal.push(Undo { entry: index, row: entry.row.clone(), state });
        }
    }

    /// Changes the row and the state of an entry and returns its row.
    fn replace(&mut self, index: EntryIndex, row: Option<StoredRow>, state: State<'r>) -> Option<StoredRow> {
        let entry = self.entries.get_mut(index)?;
        let row = std::mem::replace(&mut entry.row, row);
        let state = std::mem::replace(&mut entry.state, state);
        self.journal.push(Undo { entry: index, row: row.clone(), state });
        row
    }

    /// Returns the entry of an identity.
    fn entry(&mut self, account_key: i32, trace_id: &TraceId, id: &SpanId) -> EntryIndex {
        let identity = (account_key, trace_id.clone(), id.clone());
        if let Some(index) = self.by_identity.get(&identity) {
            return *index;
        }
        let row = self.found.rows.remove(&identity);
        self.push(identity, row)
    }

    fn push(&mut self, identity: Identity, row: Option<StoredRow>) -> EntryIndex {
        let index = self.entries.len();
        let (account_key, trace_id, id) = &identity;
        let trace = self.found.traces.find(*account_key, trace_id, self.keyed.hash(trace_id.as_str()));
        let state = if row.is_some() { State::Stored } else { State::Absent };
        self.by_id.entry((*account_key, id.clone())).or_default().push(index);
        self.entries.push(Entry { account_key: *account_key, trace, id: id.clone(), row, state });
        self.by_identity.insert(identity, index);
        index
    }

    /// Returns the span of an entry, with its payloads.
    fn load(&self, index: EntryIndex) -> Result<Span> {
        let entry = self.entries.get(index);
        match entry.map(|entry| (&entry.state, &entry.row)) {
            Some((State::Written(written), _)) => Ok((*written.span).clone()),
            Some((State::Stored, Some(row))) => self
                .found
                .spans
                .get(&row.sequence)
                .cloned()
                .ok_or_else(|| EngineError::damaged("a patched span that was not read")),
            _ => Err(EngineError::damaged("an entry without a span")),
        }
    }

    /// Returns whether the account has a span with this id, in any trace.
    fn exists(&self, account_key: i32, id: &SpanId) -> bool {
        // A row may leave its trace within the group, but its id stays.
        self.found.newest.contains_key(&(account_key, id.clone()))
            || self.alive(account_key, id).next().is_some()
    }

    /// Returns the entry of the newest span of the account with this id.
    fn newest(&mut self, account_key: i32, id: &SpanId) -> Option<EntryIndex> {
        if let Some(row) = self.found.newest.get(&(account_key, id.clone())) {
            let identity = (account_key, row.trace_id.clone(), id.clone());
            if !self.by_identity.contains_key(&identity) {
                let row = row.clone();
                self.push(identity, Some(row));
            }
        }
        self.alive(account_key, id).max_by_key(|(_, entry)| entry.version()).map(|(index, _)| index)
    }

    fn alive(&self, account_key: i32, id: &SpanId) -> impl Iterator<Item = (EntryIndex, &Entry<'r>)> {
        let indexes = self.by_id.get(&(account_key, id.clone()));
        indexes.into_iter().flatten().filter_map(|index| {
            let entry = self.entries.get(*index)?;
            entry.version().is_some().then_some((*index, entry))
        })
    }

    fn invalid_parents(&mut self, account_key: i32, request: &WriteRequest) -> Vec<Option<Rejection>> {
        let checked = parents::invalid(request, |id, trace_id| {
            Ok::<_, Infallible>(match trace_id {
                Some(trace_id) => self.is_in_trace(account_key, trace_id, id),
                None => self.exists(account_key, id),
            })
        });
        match checked {
            Ok(invalid) => invalid,
            Err(never) => match never {},
        }
    }

    fn is_in_trace(&mut self, account_key: i32, trace_id: &TraceId, id: &SpanId) -> bool {
        let index = self.entry(account_key, trace_id, id);
        self.entries.get(index).is_some_and(|entry| entry.version().is_some())
    }
}
