//! `GET /spans/{span_id}`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use endspan_model::SpanId;
use endspan_wire::agentex;
use http::request::Parts;
use http::{Request, StatusCode};

use super::refusal::{ErrorBody, ValidationErrorBody, refuse};
use crate::account::selected_account;
use crate::app::App;
use crate::problem::Problem;
use crate::reply;
use crate::routes::{observed, schema, segment};
use crate::telemetry::Route;

/// Returns one span: the newest with this id, in whatever trace it is.
#[utoipa::path(
    get, path = "/spans/{span_id}", tag = "agentex",
    params(schema::SpanIdPath, schema::AccountHeader),
    responses(
        (status = 200, description = "The span", body = schema::AgentexSpan),
        (status = 404, description = "There is no such span", body = ErrorBody),
        (status = 422, description = "The id is malformed", body = ValidationErrorBody),
        (status = 503, description = "The store is not available; see Retry-After", body = ErrorBody),
    )
)]
pub(super) async fn get(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let (parts, _) = request.into_parts();
    observed(&app, Route::AgentexGet, async {
        find(&app, &parts).await.unwrap_or_else(|problem| refuse(&problem))
    })
    .await
}

async fn find(app: &App, parts: &Parts) -> Result<Response, Problem> {
    let id = segment::last(parts.uri.path(), "span_id")?;
    let account = selected_account(&parts.headers)?.unwrap_or_default();
    let found = app.store.find_span(Some(&account), &SpanId::from(id.as_str())).await?;
    let Some(stored) = found else { return Err(Problem::NotFound { id }) };
    let mut answer = Vec::with_capacity(stored.span.size_bytes());
    agentex::encode_span(&mut answer, &stored.span);
    Ok(reply::json(StatusCode::OK, answer))
}
