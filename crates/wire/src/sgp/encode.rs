use endspan_model::{AccountId, Payload, Span, SpanType, Status};

use super::usage::token_usage;
use crate::json::{push_optional_string, push_string};
use crate::shape::{implied_status, push_object};
use crate::time;

/// Who created a span, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The identity's id.
    pub id: String,
    /// What it is.
    pub kind: IdentityKind,
}

/// The kinds of [`Identity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityKind {
    /// A person.
    User,
    /// A program.
    ServiceAccount,
}

impl IdentityKind {
    /// Returns the wire name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ServiceAccount => "service_account",
        }
    }
}

/// Appends a span as the API answers it (`sgp-api` 3.2): every key, nulls included, except the token
/// counts, which are absent when none was reported.
///
/// A missing type reads `STANDALONE`; a missing status reads `ERROR` when the metadata records an error,
/// else `SUCCESS` once the span has ended. Array payloads of other protocols are wrapped as
/// `{"items": [...]}`.
pub fn encode_span(out: &mut Vec<u8>, account: &AccountId, span: &Span, created_by: Option<&Identity>) {
    out.extend_from_slice(b"{\"id\":");
    push_string(out, span.id.as_str());
    out.extend_from_slice(b",\"account_id\":");
    push_string(out, account.as_str());
    out.extend_from_slice(b",\"name\":");
    push_string(out, &span.name);
    out.extend_from_slice(b",\"start_timestamp\":\"");
    time::push_utc(out, span.start_time);
    out.extend_from_slice(b"\",\"trace_id\":");
    push_string(out, span.trace_id.as_str());
    out.extend_from_slice(b",\"end_timestamp\":");
    match span.end_time {
        Some(end_time) => {
            out.push(b'"');
            time::push_utc(out, end_time);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
    push_text(out, b",\"parent_id\":", span.parent_id.as_ref().map(|id| id.as_str()));
    push_text(out, b",\"group_id\":", span.group_id.as_deref());
    push_payload(out, b",\"input\":", span.input.as_ref());
    push_payload(out, b",\"output\":", span.output.as_ref());
    push_payload(out, b",\"metadata\":", span.metadata.as_ref());
    push_payload(out, b",\"expected\":", span.expected.as_ref());
    push_text(out, b",\"status\":", status(span).map(Status::as_str));
    let span_type = span.span_type.unwrap_or(SpanType::Standalone);
    push_text(out, b",\"type\":", Some(span_type.as_str()));
    push_text(out, b",\"application_variant_id\":", span.application_variant_id.as_deref());
    push_text(out, b",\"application_interaction_id\":", span.application_interaction_id.as_deref());
    push_text(out, b",\"obs_trace_id\":", span.obs_trace_id.as_deref());
    push_text(out, b",\"obs_span_id\":", span.obs_span_id.as_deref());
    match created_by {
        Some(identity) => {
            push_text(out, b",\"created_by\":{\"id\":", Some(&identity.id));
            push_text(out, b",\"type\":", Some(identity.kind.as_str()));
            out.extend_from_slice(b",\"object\":\"identity\"}");
        }
        None => out.extend_from_slice(b",\"created_by\":null"),
    }
    let usage = token_usage(span);
    for (key, tokens) in
        [(",\"input_tokens\":", usage.input_tokens), (",\"output_tokens\":", usage.output_tokens)]
    {
        if let Some(tokens) = tokens {
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(itoa::Buffer::new().format(tokens).as_bytes());
        }
    }
    out.extend_from_slice(b",\"object\":\"span\"}");
}

/// Returns the answer of both batches: `{"items":[...],"object":"list"}`.
pub fn encode_list<'a>(
    account: &AccountId,
    spans: impl IntoIterator<Item = &'a Span>,
    created_by: Option<&Identity>,
) -> Vec<u8> {
    let mut out = b"{\"items\":[".to_vec();
    for (index, span) in spans.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        encode_span(&mut out, account, span, created_by);
    }
    out.extend_from_slice(b"],\"object\":\"list\"}");
    out
}

/// Returns the status that the API shows.
fn status(span: &Span) -> Option<Status> {
    span.status
        .or_else(|| implied_status(span.metadata.as_ref()))
        .or_else(|| span.is_completed().then_some(Status::Success))
}

fn push_text(out: &mut Vec<u8>, key: &[u8], text: Option<&str>) {
    out.extend_from_slice(key);
    push_optional_string(out, text);
}

fn push_payload(out: &mut Vec<u8>, key: &[u8], payload: Option<&Payload>) {
    out.extend_from_slice(key);
    match payload {
        Some(payload) => push_object(out, payload.as_bytes()),
        None => out.extend_from_slice(b"null"),
    }
}
