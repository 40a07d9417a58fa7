//! `POST /spans`, `PATCH /spans/{span_id}` and both batches.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use endspan_model::{DropReason, SpanId};
use endspan_store::{Outcome, Rejection, WriteOperation};
use endspan_wire::agentex::{self, BatchOutcome};
use http::Request;

use super::refusal::{ErrorBody, ValidationErrorBody, field_name, refuse};
use crate::app::App;
use crate::ingest::{self, Mode, Received, WriteBody, read_write, reason_of};
use crate::problem::Problem;
use crate::reply;
use crate::routes::patch::patch_span;
use crate::routes::{observed, schema};
use crate::telemetry::{Protocol, Route};

const MODE: Mode = Mode { all_or_nothing: false, check_parents: false };

/// Stores a new span.
///
/// The answer comes when the span is durable. With `Prefer: return=minimal` it holds only the ids.
#[utoipa::path(
    post, path = "/spans", tag = "agentex",
    params(schema::AccountHeader, schema::PreferHeader),
    request_body = schema::AgentexSpanCreate,
    responses(
        (status = 200, description = "The stored span", body = schema::AgentexSpan),
        (status = 400, description = "The id exists already", body = ErrorBody),
        (status = 422, description = "A field is missing or malformed", body = ValidationErrorBody),
        (status = 413, description = "The body or the span is too large", body = ErrorBody),
        (status = 503, description = "Busy, or the store is not available; see Retry-After", body = ErrorBody),
    )
)]
pub(super) async fn create(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    observed(&app, Route::AgentexCreate, async {
        create_span(&app, request).await.unwrap_or_else(|problem| refuse(&problem))
    })
    .await
}

async fn create_span(app: &App, request: Request<Body>) -> Result<Response, Problem> {
    let WriteBody { headers, account, body } = read_write(app, Protocol::Agentex, request, Some(1)).await?;
    let mut received = Received::new(app, Protocol::Agentex, &headers, 1);
    let span = ingest::accept(app, &mut received, agentex::decode_create(&body.bytes))?;
    let minimal = reply::prefers_minimal(&headers);
    let mut answer = Vec::with_capacity(if minimal { 128 } else { body.bytes.len() + 256 });
    if minimal {
        schema::push_identity(&mut answer, &span);
    } else {
        agentex::encode_span(&mut answer, &span);
    }
    let operations = vec![WriteOperation::Insert(span)];
    let outcomes = ingest::write(app, MODE, account, operations, &mut received).await?;
    match outcomes.into_iter().next() {
        Some(Outcome::Rejected(rejection)) => Err(Problem::rejected(rejection)),
        _ => Ok(reply::preferred(answer, minimal)),
    }
}

/// Changes the given fields of a span.
///
/// Absent and null fields stay as they are; `data` merges at its top level. Concurrent patches all take effect.
#[utoipa::path(
    patch, path = "/spans/{span_id}", tag = "agentex",
    params(schema::SpanIdPath, schema::AccountHeader),
    request_body = schema::AgentexSpanPatch,
    responses(
        (status = 200, description = "The span as it is now", body = schema::AgentexSpan),
        (status = 400, description = "The new trace has a span with this id", body = ErrorBody),
        (status = 404, description = "There is no such span", body = ErrorBody),
        (status = 422, description = "A field is malformed, or data cannot merge", body = ValidationErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "Busy, or the store is not available; see Retry-After", body = ErrorBody),
    )
)]
pub(super) async fn patch(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    observed(&app, Route::AgentexPatch, async {
        match patch_span(&app, Protocol::Agentex, MODE, request, agentex::decode_patch).await {
            Ok(stored) => {
                let mut answer = Vec::with_capacity(stored.span.size_bytes());
                agentex::encode_span(&mut answer, &stored.span);
                reply::preferred(answer, false)
            }
            Err(problem) => refuse(&problem),
        }
    })
    .await
}

/// Stores up to 1000 new spans.
///
/// Each item stands for itself: the answer says what became of each. An id that exists is rejected.
/// With `Prefer: return=minimal` only rejected items are listed.
#[utoipa::path(
    post, path = "/spans/batch", tag = "agentex",
    params(schema::AccountHeader, schema::PreferHeader),
    request_body = schema::AgentexBatch,
    responses(
        (status = 200, description = "What became of each item", body = schema::AgentexBatchAnswer),
        (status = 422, description = "The body as a whole is unusable", body = ValidationErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "Busy, or the store is not available; see Retry-After", body = ErrorBody),
    )
)]
pub(super) async fn batch_insert(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    observed(&app, Route::AgentexBatchInsert, async {
        batch(&app, request, WriteOperation::Insert).await.unwrap_or_else(|problem| refuse(&problem))
    })
    .await
}

/// Stores up to 1000 spans, new or again.
///
/// Each item stands for itself. A stored version is replaced unless it is completed and the item is not.
/// With `Prefer: return=minimal` only rejected items are listed.
#[utoipa::path(
    put, path = "/spans/batch", tag = "agentex",
    params(schema::AccountHeader, schema::PreferHeader),
    request_body = schema::AgentexBatch,
    responses(
        (status = 200, description = "What became of each item", body = schema::AgentexBatchAnswer),
        (status = 422, description = "The body as a whole is unusable", body = ValidationErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 503, description = "Busy, or the store is not available; see Retry-After", body = ErrorBody),
    )
)]
pub(super) async fn batch_upsert(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    observed(&app, Route::AgentexBatchUpsert, async {
        batch(&app, request, WriteOperation::Upsert).await.unwrap_or_else(|problem| refuse(&problem))
    })
    .await
}

async fn batch(
    app: &App,
    request: Request<Body>,
    operation: fn(endspan_model::Span) -> WriteOperation,
) -> Result<Response, Problem> {
    let WriteBody { headers, account, body } = read_write(app, Protocol::Agentex, request, None).await?;
    let items = ingest::compute(body.bytes.len(), || agentex::decode_batch(&body.bytes))?;
    let mut received = Received::new(app, Protocol::Agentex, &headers, items.len());
    let minimal = reply::prefers_minimal(&headers);
    let mut operations = Vec::with_capacity(items.len());
    // What became of each item; filled in order, those that go to the store when it has answered.
    let mut results: Vec<(Option<SpanId>, Option<BatchOutcome>)> = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        match item {
            Err(error) => {
                received.reject(DropReason::Malformed, 1);
                results.push((None, Some(error.into())));
            }
            Ok(mut span) => match ingest::check(app, &span) {
                Err(rejection) => {
                    received.reject(reason_of(&rejection), 1);
                    results.push((Some(span.id), Some(rejected(index, rejection))));
                }
                Ok(()) => {
                    ingest::redact(app, &mut span);
                    results.push((Some(span.id.clone()), None));
                    operations.push(operation(span));
                }
            },
        }
    }
    if !operations.is_empty() {
        let outcomes = ingest::write(app, MODE, account, operations, &mut received).await?;
        let mut outcomes = outcomes.into_iter();
        for (index, (_, result)) in results.iter_mut().enumerate() {
            if result.is_none() {
                *result = outcomes.next().map(|outcome| match outcome {
                    Outcome::Superseded => BatchOutcome::Superseded,
                    Outcome::Rejected(rejection) => rejected(index, rejection),
                    _ => BatchOutcome::Stored,
                });
            }
        }
    }
    let listed =
        results.iter().filter_map(|(id, outcome)| Some((id.as_ref().map(SpanId::as_str), outcome.as_ref()?)));
    Ok(reply::preferred(agentex::encode_batch_answer(listed, minimal), minimal))
}

fn rejected(index: usize, rejection: Rejection) -> BatchOutcome {
    match rejection {
        Rejection::NotFound => BatchOutcome::Rejected {
            reason: DropReason::Rejected,
            field: None,
            message: "not found".to_owned(),
        },
        Rejection::Span { reason, field, message } => BatchOutcome::Rejected {
            reason,
            field: Some(format!("items[{index}].{}", field_name(field))),
            message,
        },
    }
}
