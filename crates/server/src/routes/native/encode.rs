//! The JSON of the read API, spliced from stored text.

use endspan_model::{Facets, Payload, Span, SpanType, Status};
use endspan_store::{StoredSpan, TraceSummary};
use endspan_wire::{push_string, time};
use utoipa::ToSchema;

use crate::routes::sgp::SpanAssessment;

/// One span with everything that the store holds of it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is written by hand")]
pub(super) struct ReadSpan {
    account: String,
    trace_id: String,
    id: String,
    #[schema(required)]
    parent_id: Option<String>,
    name: String,
    start_time: String,
    /// Null while the span runs.
    #[schema(required)]
    end_time: Option<String>,
    /// `SUCCESS`, `ERROR` or `CANCELED`; a completed span without one reads `SUCCESS`, a running one null.
    #[schema(required)]
    status: Option<String>,
    /// One of the 26 types, null when none was given.
    #[schema(required)]
    r#type: Option<String>,
    #[schema(required)]
    task_id: Option<String>,
    #[schema(required)]
    group_id: Option<String>,
    #[schema(required)]
    application_variant_id: Option<String>,
    #[schema(required)]
    application_interaction_id: Option<String>,
    #[schema(required)]
    obs_trace_id: Option<String>,
    #[schema(required)]
    obs_span_id: Option<String>,
    /// The model that was called. Read from the payloads, as the five below; they are left out where payloads were not
    /// read (a whole trace without `payloads=true`).
    model: Option<String>,
    /// What a failed span says: kind and beginning of the message.
    error: Option<String>,
    /// Tokens read by the model.
    input_tokens: Option<u64>,
    /// Tokens written by the model.
    output_tokens: Option<u64>,
    /// Of the tokens read, those that came from a cache.
    cached_tokens: Option<u64>,
    /// What the producer says that the span cost, in units of 10⁻¹² US dollars.
    cost_picodollars: Option<u64>,
    /// The store's position of this version; also the id of its event in the live tail.
    position: u64,
    /// Only with `payloads=true`, as the four below.
    #[schema(value_type = Option<Object>)]
    input: Option<()>,
    #[schema(value_type = Option<Object>)]
    output: Option<()>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<()>,
    #[schema(value_type = Option<Object>)]
    expected: Option<()>,
    #[schema(value_type = Option<Object>)]
    otel: Option<()>,
    /// What is said of it, by creation. Only of one span, not in lists.
    assessments: Option<Vec<SpanAssessment>>,
}

/// One trace, summed up.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is written by hand")]
pub(super) struct ReadTrace {
    account: String,
    trace_id: String,
    /// The root span's name, else the earliest span's.
    name: String,
    start_time: String,
    /// The latest end; null while no span has ended.
    #[schema(required)]
    end_time: Option<String>,
    span_count: u64,
    /// Spans that have not ended.
    open_count: u64,
    /// Spans with the status `ERROR`.
    error_count: u64,
    /// The root span's status.
    #[schema(required)]
    status: Option<String>,
    /// The agent's name, of the span that gives the name.
    #[schema(required)]
    agent: Option<String>,
    /// Tokens read by models, of the calls of the trace, or if none reported any, of its aggregates; null when no
    /// span reported any.
    #[schema(required)]
    input_tokens: Option<u64>,
    /// Tokens written by models, likewise.
    #[schema(required)]
    output_tokens: Option<u64>,
    /// What producers say that it cost, likewise, in units of 10⁻¹² US dollars.
    #[schema(required)]
    cost_picodollars: Option<u64>,
}

/// Which parts of a span are written beside its own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parts {
    /// None: the payloads were not read.
    Fields,
    /// What is told by the payloads, not themselves.
    Facets,
    /// Both.
    Payloads,
}

/// Appends a span.
pub(super) fn push_span(out: &mut Vec<u8>, stored: &StoredSpan, parts: Parts) {
    let span = &stored.span;
    push_text(out, b"{\"account\":", stored.account.as_str());
    push_text(out, b",\"trace_id\":", span.trace_id.as_str());
    push_text(out, b",\"id\":", span.id.as_str());
    push_optional(out, b",\"parent_id\":", span.parent_id.as_ref().map(|id| id.as_str()));
    push_text(out, b",\"name\":", &span.name);
    push_time(out, b",\"start_time\":", Some(span.start_time));
    push_time(out, b",\"end_time\":", span.end_time);
    push_optional(out, b",\"status\":", status(span).map(Status::as_str));
    push_optional(out, b",\"type\":", span.span_type.map(SpanType::as_str));
    push_optional(out, b",\"task_id\":", span.task_id.as_deref());
    push_optional(out, b",\"group_id\":", span.group_id.as_deref());
    push_optional(out, b",\"application_variant_id\":", span.application_variant_id.as_deref());
    push_optional(out, b",\"application_interaction_id\":", span.application_interaction_id.as_deref());
    push_optional(out, b",\"obs_trace_id\":", span.obs_trace_id.as_deref());
    push_optional(out, b",\"obs_span_id\":", span.obs_span_id.as_deref());
    push_number(out, b",\"position\":", stored.version);
    if parts != Parts::Fields {
        push_facets(out, &Facets::of(span));
    }
    if parts == Parts::Payloads {
        push_payload(out, b",\"input\":", span.input.as_ref());
        push_payload(out, b",\"output\":", span.output.as_ref());
        push_payload(out, b",\"metadata\":", span.metadata.as_ref());
        push_payload(out, b",\"expected\":", span.expected.as_ref());
        push_payload(out, b",\"otel\":", span.otel.as_ref());
    }
    out.push(b'}');
}

/// Appends a trace's summary.
pub(super) fn push_summary(out: &mut Vec<u8>, trace: &TraceSummary) {
    push_text(out, b"{\"account\":", trace.account.as_str());
    push_text(out, b",\"trace_id\":", trace.trace_id.as_str());
    push_text(out, b",\"name\":", &trace.name);
    push_time(out, b",\"start_time\":", Some(trace.start_time));
    push_time(out, b",\"end_time\":", trace.end_time);
    push_number(out, b",\"span_count\":", trace.span_count);
    push_number(out, b",\"open_count\":", trace.open_count);
    push_number(out, b",\"error_count\":", trace.error_count);
    push_optional(out, b",\"status\":", trace.status.map(Status::as_str));
    push_optional(out, b",\"agent\":", trace.agent_name.as_deref());
    push_count(out, b",\"input_tokens\":", trace.input_tokens);
    push_count(out, b",\"output_tokens\":", trace.output_tokens);
    push_count(out, b",\"cost_picodollars\":", trace.cost_picodollars);
    out.push(b'}');
}

fn push_facets(out: &mut Vec<u8>, facets: &Facets) {
    push_optional(out, b",\"model\":", facets.model.as_deref());
    push_optional(out, b",\"error\":", error_text(facets).as_deref());
    push_count(out, b",\"input_tokens\":", facets.input_tokens);
    push_count(out, b",\"output_tokens\":", facets.output_tokens);
    push_count(out, b",\"cached_tokens\":", facets.cached_tokens);
    push_count(out, b",\"cost_picodollars\":", facets.cost_picodollars);
}

/// Returns what a failed span says in one line: `TimeoutError: no answer in 30 s`.
pub(super) fn error_text(facets: &Facets) -> Option<String> {
    match (&facets.error_type, &facets.error_message) {
        (Some(kind), Some(message)) if message.starts_with(kind.as_str()) => Some(message.clone()),
        (Some(kind), Some(message)) => Some(format!("{kind}: {message}")),
        (one, other) => one.clone().or_else(|| other.clone()),
    }
}

/// Appends a key and a number or null.
fn push_count(out: &mut Vec<u8>, key: &[u8], count: Option<u64>) {
    match count {
        Some(count) => push_number(out, key, count),
        None => push_optional(out, key, None),
    }
}

/// Appends items between brackets.
pub(super) fn push_list<T>(out: &mut Vec<u8>, items: &[T], mut push: impl FnMut(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(b']');
}

/// Appends a key (with what stands before it) and a text.
pub(super) fn push_text(out: &mut Vec<u8>, key: &[u8], text: &str) {
    out.extend_from_slice(key);
    push_string(out, text);
}

/// Appends a key and a text or null.
pub(super) fn push_optional(out: &mut Vec<u8>, key: &[u8], text: Option<&str>) {
    out.extend_from_slice(key);
    match text {
        Some(text) => push_string(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

/// Appends a key and a number.
pub(super) fn push_number(out: &mut Vec<u8>, key: &[u8], number: u64) {
    out.extend_from_slice(key);
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn push_time(out: &mut Vec<u8>, key: &[u8], moment: Option<endspan_model::Timestamp>) {
    out.extend_from_slice(key);
    match moment {
        Some(moment) => {
            out.push(b'"');
            time::push_utc(out, moment);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}

fn push_payload(out: &mut Vec<u8>, key: &[u8], payload: Option<&Payload>) {
    out.extend_from_slice(key);
    out.extend_from_slice(payload.map_or(b"null", Payload::as_bytes));
}

/// Returns the status that a span reads with: a completed one without a status of its own succeeded.
pub(super) fn status(span: &Span) -> Option<Status> {
    span.status.or_else(|| span.is_completed().then_some(Status::Success))
}
