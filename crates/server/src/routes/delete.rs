//! `DELETE /api/traces/{trace_id}` and `DELETE /api/traces`: taking traces out of the store.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use endspan_model::{Timestamp, TraceId};
use endspan_store::{Deleted, Deleting};
use endspan_wire::time;
use http::request::Parts;
use http::{Request, StatusCode};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::native::{ReadError, refuse};
use crate::account::selected_account;
use crate::app::App;
use crate::problem::Problem;
use crate::reply;
use crate::retention::{self, PIECE_SPANS, Reason};
use crate::routes::{observed, schema, segment};
use crate::telemetry::Route;
use crate::text::query_pairs;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(delete_trace)).routes(routes!(delete_range))
}

/// What a request deleted. It is durable.
#[derive(Serialize, ToSchema)]
struct Deletion {
    spans: u64,
    traces: u64,
    /// Bytes of payload before compression.
    payload_bytes: u64,
    /// Whether the time was up before everything was deleted: send the same again.
    more: bool,
}

/// A trace's id in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "documents a path that is read by hand")]
struct TraceIdPath {
    /// The trace's id, percent-encoded; `%2F` is a slash.
    trace_id: String,
}

/// Which traces to delete.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents a query that is read by hand")]
struct RangeParameters {
    /// Only traces whose spans all started before this moment: ISO 8601, or Unix seconds. Required.
    start_before: String,
    /// Only traces whose spans all started at this moment or later.
    start_after: Option<String>,
}

/// Deletes a trace with everything in it.
///
/// Needs the role `admin`. Without an account header, and a key bound to one, in every account.
#[utoipa::path(
    delete, path = "/api/traces/{trace_id}", tag = "read", operation_id = "delete_trace",
    params(TraceIdPath, schema::AccountHeader),
    responses(
        (status = 200, description = "What was deleted", body = Deletion),
        (status = 404, description = "There is no such trace", body = ReadError),
        (status = 422, description = "The id is malformed", body = ReadError),
        (status = 503, description = "The store is not available", body = ReadError),
    )
)]
async fn delete_trace(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let (parts, _) = request.into_parts();
    observed(&app, Route::NativeDelete, async {
        let work = async {
            let id = segment::last(parts.uri.path(), "trace_id")?;
            let deleted = delete(&app, &parts, Deleting::Trace(TraceId::from(id.as_str()))).await?;
            if deleted.spans == 0 { Err(Problem::NotFound { id }) } else { Ok(answer(&deleted)) }
        };
        work.await.unwrap_or_else(|problem| refuse(&problem))
    })
    .await
}

/// Deletes the traces all of whose spans started within a range of time.
///
/// Needs the role `admin`. A trace with any span beyond the range stays whole. Without an account header, and a key
/// bound to one, in every account.
#[utoipa::path(
    delete, path = "/api/traces", tag = "read", operation_id = "delete_traces",
    params(RangeParameters, schema::AccountHeader),
    responses(
        (status = 200, description = "What was deleted", body = Deletion),
        (status = 422, description = "A parameter is missing or malformed", body = ReadError),
        (status = 503, description = "The store is not available", body = ReadError),
    )
)]
async fn delete_range(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let (parts, _) = request.into_parts();
    observed(&app, Route::NativeDelete, async {
        let work = async { Ok(answer(&delete(&app, &parts, range(parts.uri.query())?).await?)) };
        work.await.unwrap_or_else(|problem: Problem| refuse(&problem))
    })
    .await
}

/// Unknown parameters are mistakes here: one that was meant to narrow the range must not be overlooked.
fn range(query: Option<&str>) -> Result<Deleting, Problem> {
    let (mut from, mut before) = (None, None);
    for (name, value) in query_pairs(query) {
        let (field, place) = match name.as_ref() {
            "start_after" => ("start_after", &mut from),
            "start_before" => ("start_before", &mut before),
            _ => return Err(Problem::query("query", "takes start_before and start_after only")),
        };
        let moment = value.ok().and_then(|value| moment(&value));
        *place = Some(
            moment.ok_or_else(|| Problem::query(field, "expected a time: ISO 8601 text or Unix seconds"))?,
        );
    }
    let before = before.ok_or_else(|| Problem::query("start_before", "is required"))?;
    Ok(Deleting::Started { from, before })
}

fn moment(text: &str) -> Option<Timestamp> {
    time::parse_text(text.as_bytes()).or_else(|| time::parse_number(text.as_bytes()))
}

async fn delete(app: &App, parts: &Parts, what: Deleting) -> Result<Deleted, Problem> {
    let account = selected_account(&parts.headers)?;
    let start = Instant::now();
    let timeout = app.config.delete_timeout;
    let piece = |deleted: &Deleted| (deleted.spans == 0 || start.elapsed() < timeout).then_some(PIECE_SPANS);
    Ok(retention::delete(app, account.as_ref(), what, Reason::Request, piece).await?)
}

fn answer(deleted: &Deleted) -> Response {
    let Deleted { spans, traces, payload_bytes, more } = *deleted;
    let body = Deletion { spans, traces, payload_bytes, more };
    reply::json(StatusCode::OK, serde_json::to_vec(&body).unwrap_or_default())
}
