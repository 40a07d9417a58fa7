//! Assessments as JSON.

use axum::response::Response;
use endspan_model::Payload;
use endspan_store::Assessment;
use endspan_wire::{push_string, time};
use http::StatusCode;
use utoipa::ToSchema;

use crate::reply;

/// What somebody said of a span.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is written by hand")]
pub(in crate::routes) struct SpanAssessment {
    assessment_id: String,
    account_id: String,
    trace_id: String,
    span_id: String,
    /// `comment`, `rating`, `approval`, `rubric`, `metadata` or `overwrite`.
    assessment_type: String,
    /// `approved` or `rejected`.
    #[schema(required)]
    approval: Option<String>,
    #[schema(required)]
    comment: Option<String>,
    /// 1 to 5.
    #[schema(required)]
    rating: Option<u8>,
    #[schema(value_type = Option<Object>, required)]
    rubric: Option<()>,
    #[schema(value_type = Option<Object>, required)]
    metadata: Option<()>,
    #[schema(value_type = Option<Object>, required)]
    overwrite: Option<()>,
    /// The id of the key that made it; `anonymous` while the server had no keys.
    created_by: String,
    created_at: String,
    updated_at: String,
    /// Always `span.assessment`.
    object: String,
}

/// The assessments of a span or trace.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is written by hand")]
pub(super) struct SpanAssessmentList {
    items: Vec<SpanAssessment>,
    /// Always false.
    has_more: bool,
    total: u64,
    /// Always `list`.
    object: String,
}

/// A deleted assessment.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is written by hand")]
pub(super) struct DeletedAssessment {
    id: String,
    /// Always true.
    deleted: bool,
    /// Always `span.assessment`.
    object: String,
}

/// Appends assessments between brackets.
pub(in crate::routes) fn push_assessments(out: &mut Vec<u8>, assessments: &[Assessment]) {
    out.push(b'[');
    for (index, assessment) in assessments.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_assessment(out, assessment);
    }
    out.push(b']');
}

/// Appends an assessment.
pub(in crate::routes) fn push_assessment(out: &mut Vec<u8>, assessment: &Assessment) {
    let text = |out: &mut Vec<u8>, key: &str, value: Option<&str>| {
        out.extend_from_slice(key.as_bytes());
        match value {
            Some(value) => push_string(out, value),
            None => out.extend_from_slice(b"null"),
        }
    };
    let payload = |out: &mut Vec<u8>, key: &str, value: &Option<Payload>| {
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(value.as_ref().map_or(b"null", Payload::as_bytes));
    };
    let content = &assessment.content;
    text(out, "{\"assessment_id\":", Some(&assessment.id));
    text(out, ",\"account_id\":", Some(assessment.account.as_str()));
    text(out, ",\"trace_id\":", Some(assessment.trace_id.as_str()));
    text(out, ",\"span_id\":", Some(assessment.span_id.as_str()));
    text(out, ",\"assessment_type\":", Some(content.kind.as_str()));
    text(out, ",\"approval\":", content.approval.map(|approval| approval.as_str()));
    text(out, ",\"comment\":", content.comment.as_deref());
    let rating = content.rating.map_or_else(|| "null".to_owned(), |rating| rating.to_string());
    out.extend_from_slice(format!(",\"rating\":{rating}").as_bytes());
    payload(out, ",\"rubric\":", &content.rubric);
    payload(out, ",\"metadata\":", &content.metadata);
    payload(out, ",\"overwrite\":", &content.overwrite);
    text(out, ",\"created_by\":", Some(&assessment.created_by));
    for (key, moment) in
        [(",\"created_at\":\"", assessment.created_at), (",\"updated_at\":\"", assessment.updated_at)]
    {
        out.extend_from_slice(key.as_bytes());
        time::push_utc(out, moment);
        out.push(b'"');
    }
    out.extend_from_slice(b",\"object\":\"span.assessment\"}");
}

pub(super) fn deleted(id: &str) -> Response {
    let mut out = b"{\"id\":".to_vec();
    push_string(&mut out, id);
    out.extend_from_slice(b",\"deleted\":true,\"object\":\"span.assessment\"}");
    reply::json(StatusCode::OK, out)
}
