//! `GET /api/traces/{trace_id}/search`: the spans of a trace that hold a text.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use endspan_model::{Facets, TraceId};
use endspan_store::search::{SearchStop, SpanFilter, SpanPosition};
use endspan_store::{SortDirection, SpanQuery};
use http::request::Parts;
use http::{Request, StatusCode};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::refusal::{ReadError, refuse};
use super::traces::{TraceIdPath, text_query};
use crate::account::selected_account;
use crate::app::App;
use crate::problem::Problem;
use crate::reply;
use crate::routes::{observed, schema, segment};
use crate::telemetry::Route;

/// Most spans that are named: more than a reader steps through.
const MAX_FOUND: usize = 10_000;
/// Spans that are read at a time: their payloads come along.
const PIECE_SPANS: u32 = 500;
/// Bytes of spans that are read at a time.
const PIECE_BYTES: usize = 8 * 1024 * 1024;

/// The query of `GET /api/traces/{trace_id}/search`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents a query that is read by hand")]
pub(super) struct TextParameter {
    /// What to look for in name, input, output and metadata, as `search_texts` of the search of spans. Repeated for several
    /// terms, up to 10 of at least 2 characters; a span holds all of them.
    text: Vec<String>,
}

/// Where a trace holds a text.
#[derive(Serialize, ToSchema)]
pub(super) struct Found {
    /// The spans, by start, then id.
    ids: Vec<String>,
    /// Whether looking ended early, after 2 s or 10,000 spans.
    partial: bool,
}

/// Finds the spans of a trace that hold a text.
#[utoipa::path(
    get, path = "/api/traces/{trace_id}/search", tag = "read", operation_id = "search_trace",
    params(TraceIdPath, TextParameter, schema::AccountHeader),
    responses(
        (status = 200, description = "The spans", body = Found),
        (status = 422, description = "A parameter is malformed", body = ReadError),
        (status = 503, description = "The store is not available", body = ReadError),
    )
)]
pub(super) async fn search(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let (parts, _) = request.into_parts();
    observed(&app, Route::NativeTrace, async {
        find(&app, &parts).await.unwrap_or_else(|problem| refuse(&problem))
    })
    .await
}

async fn find(app: &App, parts: &Parts) -> Result<Response, Problem> {
    let id = segment::last_but_one(parts.uri.path(), "trace_id")?;
    let account = selected_account(&parts.headers)?;
    let text = text_query(parts.uri.query())?;
    if text.is_empty() {
        return Err(Problem::query("text", "expected a text to look for"));
    }
    let filter =
        SpanFilter { trace_ids: [TraceId::from(id)].into_iter().collect(), text, ..SpanFilter::default() };
    let mut query = SpanQuery {
        filter,
        direction: SortDirection::Ascending,
        limit: PIECE_SPANS,
        max_bytes: Some(PIECE_BYTES),
        deadline: Instant::now().checked_add(app.config.trace_text_timeout),
        ..SpanQuery::default()
    };
    let mut found = Found { ids: Vec::new(), partial: false };
    loop {
        let page = app.store.search_spans(account.as_ref(), &query).await?;
        let last = page.spans.last().map(|stored| {
            SpanPosition::of(&stored.account, &stored.span, &Facets::of(&stored.span), query.sort)
        });
        found.ids.extend(page.spans.iter().map(|stored| stored.span.id.as_str().to_owned()));
        found.partial = matches!(page.stopped, Some(SearchStop::Time(_)));
        let Some(last) = last.filter(|_| page.has_more && !found.partial) else { break };
        if found.ids.len() >= MAX_FOUND {
            found.partial = true;
            break;
        }
        query.from = Some(last);
    }
    // Plain texts always serialize.
    Ok(reply::json(StatusCode::OK, serde_json::to_vec(&found).unwrap_or_default()))
}
