//! A group of requests, applied in memory on top of what is stored.
//!
//! Each identity that the group touches has one entry, which knows its stored row and its present state. Requests
//! apply to the entries one after the other; several versions of one identity collapse here and reach the
//! disk as one. An entry is the truth about its identity: what the database says of it is not asked again.

use std::collections::HashMap;

use endspan_model::{AccountId, Span, SpanId, SpanPatch, TraceId, merge};
use endspan_store::{Outcome, Rejection, StoredSpan, WriteOperation, WriteRequest, parents};

use super::{
    lookup::Lookup,
    traces::{TraceIndex, TraceTable},
};
use crate::{
    error::{EngineError, Result},
    id_index::HashedMap,
    row::StoredRow,
    shared::{Shared, short_hash},
};

type EntryIndex = usize;

/// One identity that the group touches.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) trace: TraceIndex,
    pub(crate) id: SpanId,
    pub(crate) hash: i64,
    /// The row that holds this identity now, or will be made to hold it.
    pub(crate) row: Option<StoredRow>,
    pub(crate) state: State,
}

/// The state of an identity after the requests so far.
#[derive(Debug)]
pub(crate) enum State {
    /// There is no such span (any more).
    Absent,
    /// The span is as its row says.
    Stored,
    /// The span was written by this group.
    Written {
        /// What it is now.
        span: Box<Span>,
        /// The position of its latest write.
        version: i64,
    },
}

impl Entry {
    fn version(&self) -> Option<i64> {
        match &self.state {
            State::Absent => None,
            State::Stored => self.row.as_ref().map(|row| row.version),
            State::Written { version, .. } => Some(*version),
        }
    }

    fn is_completed(&self) -> bool {
        match &self.state {
            State::Absent => false,
            State::Stored => self.row.as_ref().is_some_and(|row| row.facts.end.is_some()),
            State::Written { span, .. } => span.is_completed(),
        }
    }
}

/// A group of requests on top of what is stored.
pub(crate) struct Group<'w, 'c> {
    pub(crate) lookup: &'w mut Lookup<'c>,
    pub(crate) traces: &'w mut TraceTable,
    shared: &'w Shared,
    pub(crate) entries: Vec<Entry>,
    by_hash: HashedMap<Vec<EntryIndex>>,
    pub(crate) new_accounts: HashMap<AccountId, i64>,
    journal: Vec<Undo>,
    /// The version of the latest write.
    pub(crate) version: i64,
}

struct Undo {
    entry: EntryIndex,
    row: Option<StoredRow>,
    state: State,
}

impl<'w, 'c> Group<'w, 'c> {
    pub(crate) fn new(
        lookup: &'w mut Lookup<'c>,
        traces: &'w mut TraceTable,
        shared: &'w Shared,
        version: i64,
    ) -> Self {
        traces.trim();
        Self {
            lookup,
            traces,
            shared,
            entries: Vec::new(),
            by_hash: HashedMap::default(),
            new_accounts: HashMap::new(),
            journal: Vec::new(),
            version,
        }
    }

    /// Applies a request as a whole or, on an error, not at all.
    pub(crate) fn apply(&mut self, request: WriteRequest) -> Result<Vec<Outcome>> {
        self.journal.clear();
        let version = self.version;
        let all_or_nothing = request.all_or_nothing;
        let applied = self.apply_operations(request);
        let is_rejected = |outcome: &Outcome| matches!(outcome, Outcome::Rejected(_));
        match applied {
            Ok(mut outcomes) if all_or_nothing && outcomes.iter().any(is_rejected) => {
                self.roll_back(version);
                for outcome in outcomes.iter_mut().filter(|outcome| !is_rejected(outcome)) {
                    *outcome = Outcome::NotStored;
                }
                Ok(outcomes)
            }
            Err(error) => {
                self.roll_back(version);
                Err(error)
            }
            applied => applied,
        }
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

    fn apply_operations(&mut self, request: WriteRequest) -> Result<Vec<Outcome>> {
        let account = request.account.clone();
        let account_key = self.account_key(&account);
        let invalid = self.invalid_parents(account_key, &request)?;
        let mut invalid = invalid.into_iter();
        let mut outcomes = Vec::with_capacity(request.operations.len());
        for operation in request.operations {
            if let Some(rejection) = invalid.next().flatten() {
                outcomes.push(Outcome::Rejected(rejection));
                continue;
            }
            outcomes.push(match operation {
                WriteOperation::Insert(span) => self.insert(account_key, span)?,
                WriteOperation::Upsert(span) => self.upsert(account_key, span)?,
                WriteOperation::Patch { id, patch } => self.patch(account_key, &account, &id, &patch)?,
            });
        }
        Ok(outcomes)
    }

    fn insert(&mut self, account_key: i64, span: Span) -> Result<Outcome> {
        if let Some(rejection) = self.too_large(&span) {
            return Ok(Outcome::Rejected(rejection));
        }
        if self.exists(account_key, &span.id)? {
            return Ok(Outcome::Rejected(Rejection::duplicate_id()));
        }
        let entry = self.entry(account_key, &span)?;
        self.put(entry, span);
        Ok(Outcome::Stored)
    }

    fn upsert(&mut self, account_key: i64, span: Span) -> Result<Outcome> {
        if let Some(rejection) = self.too_large(&span) {
            return Ok(Outcome::Rejected(rejection));
        }
        let index = self.entry(account_key, &span)?;
        let was_completed = self.entries.get(index).is_some_and(Entry::is_completed);
        if merge::decide(was_completed, span.is_completed()) == merge::Winner::Existing {
            return Ok(Outcome::Superseded);
        }
        self.put(index, span);
        Ok(Outcome::Stored)
    }

    fn patch(
        &mut self,
        account_key: i64,
        account: &AccountId,
        id: &SpanId,
        patch: &SpanPatch,
    ) -> Result<Outcome> {
        let Some(index) = self.newest(account_key, id)? else {
            return Ok(Outcome::Rejected(Rejection::NotFound));
        };
        let mut span = self.load(index)?;
        if let Err(error) = patch.apply(&mut span) {
            return Ok(Outcome::Rejected(Rejection::from(error)));
        }
        if let Some(rejection) = self.too_large(&span) {
            return Ok(Outcome::Rejected(rejection));
        }
        let target = self.entry(account_key, &span)?;
        if target != index {
            if self.entries.get(target).is_some_and(|entry| entry.version().is_some()) {
                return Ok(Outcome::Rejected(Rejection::duplicate_in_trace()));
            }
            let row = self.replace(index, None, State::Absent);
            self.replace(target, row, State::Absent);
        }
        self.put(target, span.clone());
        let stored = StoredSpan { account: account.clone(), span, version: self.version.unsigned_abs() };
        Ok(Outcome::Patched(Box::new(stored)))
    }

    fn too_large(&self, span: &Span) -> Option<Rejection> {
        let limit = self.shared.options.max_span_bytes;
        (span.payload_bytes() > limit).then(|| Rejection::too_large(limit))
    }

    /// Writes a span into its entry.
    fn put(&mut self, index: EntryIndex, span: Span) {
        self.version += 1;
        let state = State::Written { span: Box::new(span), version: self.version };
        if let Some(entry) = self.entries.get_mut(index) {
            let state = std::mem::replace(&mut entry.state, state);
            self.journal.push(Undo { entry: index, row: entry.row.clone(), state });
        }
    }

    /// Changes the row and the state of an entry and returns its row.
    fn replace(&mut self, index: EntryIndex, row: Option<StoredRow>, state: State) -> Option<StoredRow> {
        let entry = self.entries.get_mut(index)?;
        let row = std::mem::replace(&mut entry.row, row);
        let state = std::mem::replace(&mut entry.state, state);
        self.journal.push(Undo { entry: index, row: row.clone(), state });
        row
    }

    fn account_key(&mut self, account: &AccountId) -> i64 {
        let accounts = self.shared.accounts.read();
        if let Some(key) = accounts.key(account).or_else(|| self.new_accounts.get(account).copied()) {
            return key;
        }
        let key = accounts.next_key() + self.new_accounts.len() as i64;
        self.new_accounts.insert(account.clone(), key);
        key
    }

    /// Returns the entry of a span's identity.
    fn entry(&mut self, account_key: i64, span: &Span) -> Result<EntryIndex> {
        let trace = self.traces.find(self.lookup, self.shared.keyed, account_key, &span.trace_id)?;
        self.entry_in(account_key, trace, &span.id)
    }

    fn entry_in(&mut self, account_key: i64, trace: TraceIndex, id: &SpanId) -> Result<EntryIndex> {
        let hash = self.shared.keyed.hash(account_key, id.as_str());
        let mut known = self.by_hash.get(&hash).into_iter().flatten().copied();
        let is_it = |index: &EntryIndex| {
            self.entries.get(*index).is_some_and(|entry| entry.trace == trace && entry.id == *id)
        };
        if let Some(index) = known.find(is_it) {
            return Ok(index);
        }
        let stored_trace = self.traces.get(trace).filter(|trace| trace.stored_start.is_some());
        let row = match stored_trace.map(|trace| trace.key) {
            Some(trace_key) => self.lookup.by_identity(trace_key, short_hash(hash), id)?,
            None => None,
        };
        Ok(self.push(trace, id.clone(), hash, row))
    }

    fn push(&mut self, trace: TraceIndex, id: SpanId, hash: i64, row: Option<StoredRow>) -> EntryIndex {
        let index = self.entries.len();
        let state = if row.is_some() { State::Stored } else { State::Absent };
        self.entries.push(Entry { trace, id, hash, row, state });
        self.by_hash.entry(hash).or_default().push(index);
        index
    }

    /// Returns the span of an entry, with its payloads.
    fn load(&mut self, index: EntryIndex) -> Result<Span> {
        let entry = self.entries.get(index);
        let (trace, sequence) = match entry.map(|entry| (&entry.state, &entry.row, entry.trace)) {
            Some((State::Written { span, .. }, ..)) => return Ok((**span).clone()),
            Some((State::Stored, Some(row), trace)) => (trace, row.sequence),
            _ => return Err(EngineError::damaged("an entry without a span")),
        };
        let mut span = self.lookup.whole_span(sequence)?;
        if let Some(trace) = self.traces.get(trace) {
            span.trace_id = trace.trace_id.clone();
        }
        Ok(span)
    }

    /// Returns the stored rows of an account's id for which the group has no entry, one by one, until `accept`
    /// says that it has seen enough.
    fn scan_stored(
        &mut self,
        account_key: i64,
        id: &SpanId,
        mut accept: impl FnMut(&mut Self, i64, StoredRow) -> Result<bool>,
    ) -> Result<()> {
        let hash = self.shared.keyed.hash(account_key, id.as_str());
        // Many spans may share an id, each in a trace of its own: the tree is read in small steps.
        let mut sequences = self.shared.ids.find(hash);
        let mut below = i64::MAX;
        loop {
            for sequence in &sequences {
                let row = self.lookup.by_sequence(*sequence)?;
                let row = row.filter(|row| row.account_key == account_key && row.id == *id);
                if let Some(row) = row.filter(|row| !self.has_entry(hash, row))
                    && accept(self, hash, row)?
                {
                    return Ok(());
                }
            }
            sequences = self.lookup.sequences_by_id(hash, below)?;
            match sequences.last() {
                Some(last) => below = *last,
                None => return Ok(()),
            }
        }
    }

    fn has_entry(&self, hash: i64, row: &StoredRow) -> bool {
        self.by_hash.get(&hash).into_iter().flatten().any(|index| {
            self.entries.get(*index).is_some_and(|entry| {
                let trace = self.traces.get(entry.trace);
                entry.id == row.id && trace.is_some_and(|trace| trace.key == row.trace_key)
            })
        })
    }

    /// Returns whether the account has a span with this id, in any trace.
    fn exists(&mut self, account_key: i64, id: &SpanId) -> Result<bool> {
        let hash = self.shared.keyed.hash(account_key, id.as_str());
        if self.alive(hash, account_key, id).next().is_some() {
            return Ok(true);
        }
        let mut found = false;
        self.scan_stored(account_key, id, |_, _, _| {
            found = true;
            Ok(true)
        })?;
        Ok(found)
    }

    /// Returns the entry of the newest span of the account with this id.
    fn newest(&mut self, account_key: i64, id: &SpanId) -> Result<Option<EntryIndex>> {
        self.scan_stored(account_key, id, |group, hash, row| {
            let trace = group.traces.find_by_key(group.lookup, group.shared.keyed, row.trace_key)?;
            let trace = trace.ok_or_else(|| EngineError::damaged("a span without a trace"))?;
            group.push(trace, row.id.clone(), hash, Some(row));
            Ok(false)
        })?;
        let hash = self.shared.keyed.hash(account_key, id.as_str());
        Ok(self.alive(hash, account_key, id).max_by_key(|(_, entry)| entry.version()).map(|(index, _)| index))
    }

    fn alive(&self, hash: i64, account_key: i64, id: &SpanId) -> impl Iterator<Item = (EntryIndex, &Entry)> {
        self.by_hash.get(&hash).into_iter().flatten().filter_map(move |index| {
            let entry = self.entries.get(*index)?;
            let is_ours = self.traces.get(entry.trace)?.account_key == account_key;
            (is_ours && entry.id == *id && entry.version().is_some()).then_some((*index, entry))
        })
    }

    fn invalid_parents(
        &mut self,
        account_key: i64,
        request: &WriteRequest,
    ) -> Result<Vec<Option<Rejection>>> {
        parents::invalid(request, |id, trace_id| match trace_id {
            Some(trace_id) => self.is_in_trace(account_key, trace_id, id),
            None => self.exists(account_key, id),
        })
    }

    fn is_in_trace(&mut self, account_key: i64, trace_id: &TraceId, id: &SpanId) -> Result<bool> {
        let trace = self.traces.find(self.lookup, self.shared.keyed, account_key, trace_id)?;
        let index = self.entry_in(account_key, trace, id)?;
        Ok(self.entries.get(index).is_some_and(|entry| entry.version().is_some()))
    }
}
