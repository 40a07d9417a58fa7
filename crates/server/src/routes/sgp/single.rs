//! `POST /v5/spans`, `GET` and `PATCH /v5/spans/{span_id}`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use endspan_model::SpanId;
use endspan_store::{Outcome, StoredSpan, WriteOperation};
use endspan_wire::sgp;
use http::request::Parts;
use http::{Request, StatusCode};

use super::MODE;
use super::refusal::{ErrorDetail, FieldErrors, refuse};
use crate::account::selected_account;
use crate::app::App;
use crate::ingest::{self, Received, WriteBody, read_write};
use crate::problem::Problem;
use crate::reply;
use crate::routes::patch::patch_span;
use crate::routes::{observed, schema, segment};
use crate::telemetry::{Protocol, Route};

/// Stores a span, new or again.
///
/// A stored version with the same trace and id is replaced unless it is completed and this one is not. The
/// answer comes when the span is durable. With `Prefer: return=minimal` it holds only the ids.
#[utoipa::path(
    post, path = "/v5/spans", tag = "sgp", operation_id = "sgp_create",
    params(schema::AccountHeader, schema::PreferHeader),
    request_body = schema::SgpSpanCreate,
    responses(
        (status = 200, description = "The span as stored", body = schema::SgpSpan),
        (status = 400, description = "An id holds a NUL or has too many bytes", body = FieldErrors),
        (status = 409, description = "The parent lives in another trace", body = FieldErrors),
        (status = 413, description = "The body or the span is too large", body = FieldErrors),
        (status = 422, description = "A field is missing or malformed", body = FieldErrors),
        (status = 503, description = "Busy, or the store is not available; see Retry-After", body = ErrorDetail),
    )
)]
pub(super) async fn create(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    observed(&app, Route::SgpCreate, async {
        create_span(&app, request).await.unwrap_or_else(|problem| refuse(&problem))
    })
    .await
}

async fn create_span(app: &App, request: Request<Body>) -> Result<Response, Problem> {
    let WriteBody { headers, account, body } = read_write(app, Protocol::Sgp, request, Some(1)).await?;
    let mut received = Received::new(app, Protocol::Sgp, &headers, 1);
    let span = ingest::accept(app, &mut received, sgp::decode_create(&body.bytes))?;
    let minimal = reply::prefers_minimal(&headers);
    let identity = (span.trace_id.clone(), span.id.clone());
    let mut answer = Vec::with_capacity(if minimal { 128 } else { body.bytes.len() + 512 });
    if minimal {
        schema::push_identity(&mut answer, &span);
    } else {
        sgp::encode_span(&mut answer, &account, &span, None);
    }
    let operations = vec![WriteOperation::Upsert(span)];
    let outcomes = ingest::write(app, MODE, account.clone(), operations, &mut received).await?;
    match outcomes.into_iter().next() {
        Some(Outcome::Rejected(rejection)) => return Err(Problem::rejected(rejection)),
        Some(Outcome::Superseded) if !minimal => {
            let (trace_id, id) = identity;
            if let Some(stored) = app.store.find_span_in_trace(Some(&account), &trace_id, &id).await? {
                return Ok(reply::json(StatusCode::OK, encode(&stored)));
            }
        }
        _ => {}
    }
    Ok(reply::preferred(answer, minimal))
}

fn encode(stored: &StoredSpan) -> Vec<u8> {
    let mut answer = Vec::with_capacity(stored.span.size_bytes() + 256);
    sgp::encode_span(&mut answer, &stored.account, &stored.span, None);
    answer
}

/// Returns one span: the newest with this id, in whatever trace it is.
#[utoipa::path(
    get, path = "/v5/spans/{span_id}", tag = "sgp", operation_id = "sgp_get",
    params(schema::SpanIdPath, schema::AccountHeader),
    responses(
        (status = 200, description = "The span", body = schema::SgpSpan),
        (status = 400, description = "The id is malformed", body = FieldErrors),
        (status = 404, description = "There is no such span", body = ErrorDetail),
        (status = 422, description = "The account header is malformed", body = FieldErrors),
        (status = 503, description = "The store is not available; see Retry-After", body = ErrorDetail),
    )
)]
pub(super) async fn get(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let (parts, _) = request.into_parts();
    observed(&app, Route::SgpGet, async {
        find(&app, &parts).await.unwrap_or_else(|problem| refuse(&problem))
    })
    .await
}

async fn find(app: &App, parts: &Parts) -> Result<Response, Problem> {
    let id = segment::last(parts.uri.path(), "span_id")?;
    let account = selected_account(&parts.headers)?.unwrap_or_default();
    let found = app.store.find_span(Some(&account), &SpanId::from(id.as_str())).await?;
    let Some(stored) = found else { return Err(Problem::NotFound { id }) };
    Ok(reply::json(StatusCode::OK, encode(&stored)))
}

/// Changes name, end_timestamp, output, metadata or status of a span; given fields replace.
#[utoipa::path(
    patch, path = "/v5/spans/{span_id}", tag = "sgp", operation_id = "sgp_patch",
    params(schema::SpanIdPath, schema::AccountHeader),
    request_body = schema::SgpSpanPatch,
    responses(
        (status = 200, description = "The span as it is now", body = schema::SgpSpan),
        (status = 400, description = "The id is malformed", body = FieldErrors),
        (status = 404, description = "There is no such span", body = ErrorDetail),
        (status = 413, description = "The body is too large", body = ErrorDetail),
        (status = 422, description = "A field is malformed", body = FieldErrors),
        (status = 503, description = "Busy, or the store is not available; see Retry-After", body = ErrorDetail),
    )
)]
pub(super) async fn patch(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    observed(&app, Route::SgpPatch, async {
        match patch_span(&app, Protocol::Sgp, MODE, request, sgp::decode_patch).await {
            Ok(stored) => reply::json(StatusCode::OK, encode(&stored)),
            Err(problem) => refuse(&problem),
        }
    })
    .await
}
