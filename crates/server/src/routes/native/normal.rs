//! `GET /api/spans/{trace_id}/{span_id}/normal` and `GET /api/traces/{trace_id}/usage`: what spans mean, whatever
//! convention they were written in, and what a trace used and cost.
//!
//! Both are worked out from the stored spans at each request, by the convention table and the price table of the
//! day (`docs/otlp-mapping.md`).

use std::collections::HashSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use endspan_model::{AccountId, Span, SpanId, TraceId};
use endspan_otlp::conventions;
use endspan_otlp::cost::{Cost, Ledger, PriceTable, call_cost, ledger};
use endspan_otlp::normal::{Detail, Normal, normalize, normalize_with};
use endspan_store::{ListOrder, ListQuery, SortDirection, StoredSpan};
use http::request::Parts;
use http::{Request, StatusCode};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::refusal::{ReadError, refuse};
use super::traces::TraceIdPath;
use crate::account::selected_account;
use crate::app::App;
use crate::problem::Problem;
use crate::reply;
use crate::routes::{observed, schema, segment};
use crate::telemetry::Route;
use crate::text::query_pairs;

/// A span with more payload than this is read away from the threads that serve connections.
const MAX_INLINE_BYTES: usize = 64 * 1024;

/// Bytes of payload that a piece of a trace is meant to have: so much is in memory at once, whatever the trace's size.
const PIECE_BYTES: usize = 8 * 1024 * 1024;

/// Spans in the first piece of a trace, and at most in any.
const FIRST_PIECE_SPANS: u32 = 256;
const MAX_PIECE_SPANS: u32 = 4096;

/// What a span means.
#[derive(Serialize, ToSchema)]
pub(super) struct NormalSpan {
    account: String,
    trace_id: String,
    id: String,
    /// The version of the convention table that was applied.
    convention_version: u32,
    normal: Normal,
    /// What the call costs by the price table; null without usage, or for a model without a price. Whether it counts
    /// in the trace says the trace's usage.
    #[schema(required)]
    cost: Option<Cost>,
    prices: Prices,
}

/// What a trace used and cost.
#[derive(Serialize, ToSchema)]
pub(super) struct TraceUsage {
    /// The account that the spans belong to.
    account: String,
    /// Other accounts that hold spans of a trace with this id; without an account header the one with the
    /// earliest span is shown.
    other_accounts: Vec<String>,
    trace_id: String,
    /// The version of the convention table that was applied.
    convention_version: u32,
    #[serde(flatten)]
    ledger: Ledger,
    prices: Prices,
}

/// The price table that was applied.
#[derive(Serialize, ToSchema)]
struct Prices {
    /// The day for which the prices were collected, `YYYY-MM-DD`.
    date: String,
    /// Where they come from.
    source: String,
}

impl Prices {
    fn of(table: &PriceTable) -> Self {
        Self { date: table.date().to_owned(), source: table.source().to_owned() }
    }
}

/// Returns what a span means: operation, model, messages, tool, usage, cost, error.
///
/// The normal form is made by the convention table from whatever instrumentation wrote the span.
#[utoipa::path(
    get, path = "/api/spans/{trace_id}/{span_id}/normal", tag = "read", operation_id = "get_span_normal",
    params(TraceIdPath, schema::SpanIdPath, schema::AccountHeader),
    responses(
        (status = 200, description = "The normal form", body = NormalSpan),
        (status = 404, description = "There is no such span", body = ReadError),
        (status = 422, description = "An id is malformed", body = ReadError),
        (status = 503, description = "The store is not available", body = ReadError),
    )
)]
pub(super) async fn span(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let (parts, _) = request.into_parts();
    observed(&app, Route::NativeSpan, async {
        find_span(&app, &parts).await.unwrap_or_else(|problem| refuse(&problem))
    })
    .await
}

async fn find_span(app: &App, parts: &Parts) -> Result<Response, Problem> {
    let trace_id = segment::last_but_two(parts.uri.path(), "trace_id")?;
    let id = segment::last_but_one(parts.uri.path(), "span_id")?;
    let account = selected_account(&parts.headers)?;
    let (trace_id, span_id) = (TraceId::from(trace_id), SpanId::from(id.as_str()));
    let found = app.store.find_span_in_trace(account.as_ref(), &trace_id, &span_id).await?;
    let Some(stored) = found else { return Err(Problem::NotFound { id }) };
    let prices = Arc::clone(&app.config.prices);
    let is_small = stored.span.size_bytes() <= MAX_INLINE_BYTES;
    let encode = move || {
        let normal = normalize(&stored.span);
        let cost = call_cost(&stored.span, &normal, &prices);
        let answer = NormalSpan {
            account: stored.account.as_str().to_owned(),
            trace_id: stored.span.trace_id.as_str().to_owned(),
            id: stored.span.id.as_str().to_owned(),
            convention_version: conventions::VERSION,
            normal,
            cost,
            prices: Prices::of(&prices),
        };
        serde_json::to_vec(&answer).unwrap_or_default()
    };
    let body = if is_small { encode() } else { work(encode).await? };
    Ok(reply::json(StatusCode::OK, body))
}

/// The query of `GET /api/traces/{trace_id}/usage`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents a query that is read by hand")]
pub(super) struct ArithmeticParameter {
    /// Whether costs come with their lines: tokens times price.
    #[param(default = false)]
    arithmetic: Option<bool>,
}

/// Returns what a trace used and cost, counted once.
///
/// Usage is added up over model calls with no usage below them. Spans above that repeat it are compared, never
/// added; two spans with the same answer of a provider are one call.
#[utoipa::path(
    get, path = "/api/traces/{trace_id}/usage", tag = "read", operation_id = "get_trace_usage",
    params(TraceIdPath, ArithmeticParameter, schema::AccountHeader),
    responses(
        (status = 200, description = "The ledger", body = TraceUsage),
        (status = 404, description = "There is no such trace", body = ReadError),
        (status = 422, description = "A parameter is malformed", body = ReadError),
        (status = 503, description = "The store is not available", body = ReadError),
    )
)]
pub(super) async fn usage(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let (parts, _) = request.into_parts();
    observed(&app, Route::NativeTrace, async {
        find_usage(&app, &parts).await.unwrap_or_else(|problem| refuse(&problem))
    })
    .await
}

async fn find_usage(app: &App, parts: &Parts) -> Result<Response, Problem> {
    let id = segment::last_but_one(parts.uri.path(), "trace_id")?;
    let arithmetic = arithmetic(parts.uri.query())?;
    let selected = selected_account(&parts.headers)?;
    let trace_id = TraceId::from(id.as_str());
    let headers = app.store.read_structure(selected.as_ref(), &trace_id).await?;
    let Some(first) = headers.first() else { return Err(Problem::NotFound { id }) };
    let account = first.account.clone();
    let mut other_accounts: Vec<String> = Vec::new();
    for header in headers.iter().filter(|header| header.account != account) {
        if !other_accounts.iter().any(|other| other == header.account.as_str()) {
            other_accounts.push(header.account.as_str().to_owned());
        }
    }
    drop(headers);

    let spans = read_meanings(app, &account, &trace_id).await?;
    let prices = Arc::clone(&app.config.prices);
    let body = work(move || {
        let mut ledger = ledger(spans.iter().map(|(span, normal)| (span, normal)), &prices);
        if !arithmetic {
            forget_arithmetic(&mut ledger);
        }
        let answer = TraceUsage {
            account: account.as_str().to_owned(),
            other_accounts,
            trace_id: id,
            convention_version: conventions::VERSION,
            ledger,
            prices: Prices::of(&prices),
        };
        serde_json::to_vec(&answer).unwrap_or_default()
    })
    .await?;
    Ok(reply::json(StatusCode::OK, body))
}

/// Reads a trace piece by piece, and keeps of each span what the ledger needs.
async fn read_meanings(
    app: &App,
    account: &AccountId,
    trace_id: &TraceId,
) -> Result<Vec<(Span, Normal)>, Problem> {
    let mut kept: Vec<(Span, Normal)> = Vec::new();
    // A span that arrives meanwhile moves the others on, so that one may come twice.
    let mut seen: HashSet<SpanId> = HashSet::new();
    let mut query = ListQuery {
        trace_id: Some(trace_id.clone()),
        order: ListOrder::StartTime,
        direction: SortDirection::Ascending,
        limit: FIRST_PIECE_SPANS,
        ..ListQuery::default()
    };
    loop {
        let piece = app.store.list_spans(Some(account), &query).await?;
        let count = piece.len();
        let is_last = count < query.limit as usize;
        query.offset += count as u64;
        let bytes: usize = piece.iter().map(|stored| stored.span.size_bytes()).sum();
        query.limit = next_limit(count, bytes);
        let read =
            if bytes <= MAX_INLINE_BYTES { meanings(piece) } else { work(move || meanings(piece)).await? };
        kept.extend(read.into_iter().filter(|(span, _)| seen.insert(span.id.clone())));
        if is_last {
            return Ok(kept);
        }
    }
}

/// Runs work that takes long away from the threads that serve connections.
async fn work<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    // It can only fail when the server stops.
    tokio::task::spawn_blocking(work).await.map_err(|_| Problem::Overloaded)
}

/// Returns how many spans the next piece should have, if spans go on as they were.
fn next_limit(count: usize, bytes: usize) -> u32 {
    let fitting = PIECE_BYTES / (bytes / count.max(1)).max(1);
    u32::try_from(fitting).unwrap_or(u32::MAX).clamp(1, MAX_PIECE_SPANS)
}

fn meanings(piece: Vec<StoredSpan>) -> Vec<(Span, Normal)> {
    let read = |stored: StoredSpan| {
        let mut span = stored.span;
        let normal = normalize_with(&span, Detail::Summary);
        for payload in
            [&mut span.input, &mut span.output, &mut span.metadata, &mut span.expected, &mut span.otel]
        {
            *payload = None;
        }
        (span, normal)
    };
    piece.into_iter().map(read).collect()
}

fn forget_arithmetic(ledger: &mut Ledger) {
    ledger.models.iter_mut().for_each(|model| model.lines.clear());
    ledger.counted.iter_mut().filter_map(|counted| counted.cost.as_mut()).for_each(|cost| cost.lines.clear());
}

/// Returns `arithmetic=true|false` of a query.
fn arithmetic(query: Option<&str>) -> Result<bool, Problem> {
    let mut arithmetic = false;
    for (_, value) in query_pairs(query).filter(|(name, _)| name == "arithmetic") {
        arithmetic = match value.as_deref() {
            Ok("true" | "1") => true,
            Ok("false" | "0" | "") => false,
            _ => return Err(Problem::query("arithmetic", "expected true or false")),
        };
    }
    Ok(arithmetic)
}
