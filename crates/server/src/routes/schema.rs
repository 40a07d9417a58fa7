//! The bodies and parameters of the public APIs, for the OpenAPI document. They are read and written by
//! `endspan-wire`; nothing here is ever built.
#![expect(dead_code, reason = "documents bodies that are read and written elsewhere")]

use endspan_model::Span;
use endspan_wire::push_string;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

/// Appends what `Prefer: return=minimal` leaves of a created span: `{"id":"…","trace_id":"…"}`.
pub(crate) fn push_identity(out: &mut Vec<u8>, span: &Span) {
    out.extend_from_slice(b"{\"id\":");
    push_string(out, span.id.as_str());
    out.extend_from_slice(b",\"trace_id\":");
    push_string(out, span.trace_id.as_str());
    out.push(b'}');
}

/// The account.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct AccountHeader {
    /// The account that owns the spans; without it `default` (on `/api`: all accounts).
    #[param(rename = "x-selected-account-id", max_length = 256)]
    account: Option<String>,
}

/// What the client prefers of the answer.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct PreferHeader {
    /// `return=minimal` leaves the stored spans out of the answer.
    #[param(rename = "Prefer")]
    prefer: Option<String>,
}

/// A span's id in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct SpanIdPath {
    /// The span's id, percent-encoded; `%2F` is a slash.
    span_id: String,
}

/// An object, or an array of objects.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum ObjectOrObjects {
    #[schema(value_type = Object)]
    Object(()),
    #[schema(value_type = Vec<Object>)]
    Objects(()),
}

/// A time: ISO 8601 text with or without offset (UTC), or Unix seconds or milliseconds.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Time {
    Text(String),
    Number(f64),
}

/// A span to store.
#[derive(ToSchema)]
pub(crate) struct AgentexSpanCreate {
    /// A new UUID when absent or null.
    id: Option<String>,
    trace_id: String,
    task_id: Option<String>,
    parent_id: Option<String>,
    name: String,
    start_time: Time,
    end_time: Option<Time>,
    input: Option<ObjectOrObjects>,
    output: Option<ObjectOrObjects>,
    data: Option<ObjectOrObjects>,
}

/// Fields to change; absent and null ones stay.
#[derive(ToSchema)]
pub(crate) struct AgentexSpanPatch {
    /// Moves the span to another trace.
    trace_id: Option<String>,
    task_id: Option<String>,
    parent_id: Option<String>,
    name: Option<String>,
    start_time: Option<Time>,
    end_time: Option<Time>,
    input: Option<ObjectOrObjects>,
    output: Option<ObjectOrObjects>,
    /// Merges into the stored object at the top level.
    data: Option<ObjectOrObjects>,
}

/// A stored span. All ten keys are always there.
#[derive(ToSchema)]
pub(crate) struct AgentexSpan {
    id: String,
    trace_id: String,
    #[schema(required)]
    task_id: Option<String>,
    #[schema(required)]
    parent_id: Option<String>,
    name: String,
    /// UTC with `Z`; no fraction or six digits.
    start_time: String,
    #[schema(required)]
    end_time: Option<String>,
    #[schema(required)]
    input: Option<ObjectOrObjects>,
    #[schema(required)]
    output: Option<ObjectOrObjects>,
    #[schema(required)]
    data: Option<ObjectOrObjects>,
}

/// Up to 1000 spans; a bare array of them is accepted as well.
#[derive(ToSchema)]
pub(crate) struct AgentexBatch {
    #[schema(max_items = 1000)]
    items: Vec<AgentexSpanCreate>,
}

/// What became of a batch.
#[derive(ToSchema)]
pub(crate) struct AgentexBatchAnswer {
    stored: u64,
    superseded: u64,
    rejected: u64,
    /// One entry an item, in order; with `Prefer: return=minimal` only the rejected ones.
    items: Vec<AgentexBatchItem>,
}

/// What became of one item.
#[derive(ToSchema)]
pub(crate) struct AgentexBatchItem {
    /// The item's position in the request.
    index: u64,
    /// `stored`, `superseded` (a completed version stays) or `rejected`.
    outcome: String,
    /// The span's id; null when it could not be read.
    #[schema(required)]
    id: Option<String>,
    /// Why it was rejected: `malformed`, `duplicate`, `too_large`, …
    reason: Option<String>,
    /// The path of the field at fault.
    field: Option<String>,
    message: Option<String>,
}

/// A span to store.
#[derive(ToSchema)]
pub(crate) struct SgpSpanCreate {
    name: String,
    start_timestamp: Time,
    trace_id: String,
    /// A new UUID when absent. At most 256 characters and 256 UTF-8 bytes.
    #[schema(max_length = 256)]
    id: Option<String>,
    #[schema(max_length = 256)]
    group_id: Option<String>,
    /// A span of the same trace; it may arrive later.
    parent_id: Option<String>,
    /// Not before `start_timestamp`.
    end_timestamp: Option<Time>,
    #[schema(value_type = Option<Object>)]
    input: Option<()>,
    #[schema(value_type = Option<Object>)]
    output: Option<()>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<()>,
    #[schema(value_type = Option<Object>)]
    expected: Option<()>,
    status: Option<SpanStatus>,
    r#type: Option<SpanTypeName>,
    application_variant_id: Option<String>,
    application_interaction_id: Option<String>,
    #[schema(pattern = "^[0-9a-f]{32}$")]
    obs_trace_id: Option<String>,
    /// Only together with `obs_trace_id`.
    #[schema(pattern = "^[0-9a-f]{16}$")]
    obs_span_id: Option<String>,
}

/// How the work ended.
#[derive(ToSchema)]
#[schema(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum SpanStatus {
    Success,
    Error,
    Canceled,
}

/// What kind of work it is.
#[derive(ToSchema)]
#[schema(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum SpanTypeName {
    TextInput,
    TextOutput,
    CompletionInput,
    Completion,
    KbRetrieval,
    KbInput,
    Reranking,
    ExternalEndpoint,
    PromptEngineering,
    DocumentInput,
    MapReduce,
    DocumentSearch,
    DocumentPrompt,
    Custom,
    CodeExecution,
    DataManipulation,
    Evaluation,
    FileRetrieval,
    KbAddChunk,
    KbManagement,
    Guardrail,
    OutputGuardrail,
    Tracer,
    AgentTracer,
    AgentWorkflow,
    Standalone,
}

/// Fields to change; absent and null ones stay, others are ignored.
#[derive(ToSchema)]
pub(crate) struct SgpSpanPatch {
    name: Option<String>,
    /// Not before the stored start.
    end_timestamp: Option<Time>,
    #[schema(value_type = Option<Object>)]
    output: Option<()>,
    /// Replaces the stored metadata as a whole.
    #[schema(value_type = Option<Object>)]
    metadata: Option<()>,
    status: Option<SpanStatus>,
}

/// A stored span.
#[derive(ToSchema)]
pub(crate) struct SgpSpan {
    id: String,
    account_id: String,
    name: String,
    start_timestamp: String,
    trace_id: String,
    #[schema(required)]
    end_timestamp: Option<String>,
    #[schema(required)]
    parent_id: Option<String>,
    #[schema(required)]
    group_id: Option<String>,
    #[schema(value_type = Option<Object>, required)]
    input: Option<()>,
    #[schema(value_type = Option<Object>, required)]
    output: Option<()>,
    #[schema(value_type = Option<Object>, required)]
    metadata: Option<()>,
    #[schema(value_type = Option<Object>, required)]
    expected: Option<()>,
    #[schema(required)]
    status: Option<SpanStatus>,
    r#type: SpanTypeName,
    #[schema(required)]
    application_variant_id: Option<String>,
    #[schema(required)]
    application_interaction_id: Option<String>,
    #[schema(required)]
    obs_trace_id: Option<String>,
    #[schema(required)]
    obs_span_id: Option<String>,
    #[schema(required)]
    created_by: Option<Identity>,
    /// Absent when the producer reported none.
    input_tokens: Option<i64>,
    /// Absent when the producer reported none.
    output_tokens: Option<i64>,
    /// Always `span`.
    object: String,
}

/// Who created a span; not recorded while the server has no keys.
#[derive(ToSchema)]
pub(crate) struct Identity {
    id: String,
    /// `user` or `service_account`.
    r#type: String,
    /// Always `identity`.
    object: String,
}

/// Up to 1000 spans.
#[derive(ToSchema)]
pub(crate) struct SgpBatch {
    #[schema(max_items = 1000)]
    items: Vec<SgpSpanCreate>,
}

/// Stored spans.
#[derive(ToSchema)]
pub(crate) struct SgpList {
    items: Vec<SgpSpan>,
    /// Always `list`.
    object: String,
}
