use endspan_model::{AccountId, DropReason, PatchError, Span, SpanId, SpanPatch};

use crate::StoredSpan;

/// One caller's writes: they become durable together, before the call answers.
#[derive(Clone, Debug)]
pub struct WriteRequest {
    /// The owner of every span in the request.
    pub account: AccountId,
    /// The writes, applied in order.
    pub operations: Vec<WriteOperation>,
    /// When set, one rejected operation rejects the whole request and nothing of it is stored
    /// (`sgp-api` section 4). Otherwise each operation stands for itself.
    pub all_or_nothing: bool,
    /// When set, a span whose parent lives only in another trace of the account, or whose parents form a
    /// cycle within the request, is rejected with [`DropReason::InvalidParent`] (`sgp-api` section 4, rule 3).
    /// A parent that is nowhere yet is fine: children may come first.
    ///
    /// The check looks at the request as it came, all its spans counting as present, and at the store as it was
    /// before. It concerns inserts and upserts, not patches. [`parents::on_a_cycle`](crate::parents::on_a_cycle)
    /// says what a cycle is.
    pub check_parents: bool,
}

/// One write.
#[derive(Clone, Debug)]
pub enum WriteOperation {
    /// Stores a new span. An id that the account already has, in any trace, is rejected with
    /// [`DropReason::Duplicate`] and the stored span stays as it is (`agentex-api` rows 3 and 4).
    Insert(Span),
    /// Stores a span under the merge rule: it replaces the version with the same trace and id as a whole,
    /// unless that one is completed and the new one is not.
    Upsert(Span),
    /// Changes the newest span with this id, in whatever trace it is. Reading, changing and writing are one
    /// step: concurrent patches of one span all take effect (`agentex-api` row 47). A patch that would move the
    /// span into a trace that has a span with this id already is rejected with [`DropReason::Duplicate`].
    Patch {
        /// The span to change.
        id: SpanId,
        /// What to change.
        patch: Box<SpanPatch>,
    },
}

impl WriteOperation {
    /// Returns the span that is inserted or upserted; `None` for a patch.
    pub const fn span(&self) -> Option<&Span> {
        match self {
            Self::Insert(span) | Self::Upsert(span) => Some(span),
            Self::Patch { .. } => None,
        }
    }
}

/// What became of one operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The span is durable.
    Stored,
    /// The store already holds a version that wins by the merge rule; that one stays.
    Superseded,
    /// The patched span is durable; this is how it reads now.
    Patched(Box<StoredSpan>),
    /// Nothing was stored for this operation.
    Rejected(Rejection),
    /// The operation was in order, but another one of an all-or-nothing request was not.
    NotStored,
}

/// Why one operation was rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// [`WriteOperation::Patch`] names a span that the account does not have.
    NotFound,
    /// The span itself cannot be stored.
    Span {
        /// The reason under which the span is counted.
        reason: DropReason,
        /// The field at fault, in the model's name, for example `parent_id`.
        field: &'static str,
        /// What was expected, for people.
        message: String,
    },
}

impl Rejection {
    /// The rejection of an [`WriteOperation::Insert`] whose id is taken.
    pub fn duplicate_id() -> Self {
        Self::span(DropReason::Duplicate, "id", "a span with this id exists already")
    }

    /// The rejection of a patch that would move a span onto another one.
    pub fn duplicate_in_trace() -> Self {
        Self::span(DropReason::Duplicate, "trace_id", "the trace has a span with this id already")
    }

    /// The rejection of a span whose parent lives in another trace.
    pub fn parent_in_another_trace() -> Self {
        Self::span(DropReason::InvalidParent, "parent_id", "must be a span of the same trace")
    }

    /// The rejection of a span that descends from itself.
    pub fn parent_cycle() -> Self {
        Self::span(DropReason::InvalidParent, "parent_id", "must not make the span its own ancestor")
    }

    /// The rejection of a span that is larger than the store takes.
    pub fn too_large(limit_bytes: usize) -> Self {
        let message = format!("the span's payloads take more than {limit_bytes} bytes");
        Self::Span { reason: DropReason::TooLarge, field: "span", message }
    }

    fn span(reason: DropReason, field: &'static str, message: &str) -> Self {
        Self::Span { reason, field, message: message.to_owned() }
    }
}

/// A patch that does not fit its span is malformed; the field is the one that does not fit.
impl From<PatchError> for Rejection {
    fn from(error: PatchError) -> Self {
        let field = match error {
            PatchError::CannotMergeMetadata { .. } => "metadata",
            PatchError::EndBeforeStart => "end_time",
            _ => "span",
        };
        Self::Span { reason: DropReason::Malformed, field, message: error.to_string() }
    }
}

/// The answer to a [`WriteRequest`]: one outcome an operation, in the same order.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteResponse {
    /// The outcomes.
    pub outcomes: Vec<Outcome>,
}

impl WriteResponse {
    /// Returns whether every operation was stored, superseded or patched.
    pub fn is_success(&self) -> bool {
        !self.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Rejected(_) | Outcome::NotStored))
    }
}
