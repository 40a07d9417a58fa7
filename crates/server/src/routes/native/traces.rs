//! `GET /api/traces`, `GET /api/traces/{trace_id}`, `GET /api/spans/{trace_id}/{span_id}`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use endspan_model::{AccountId, SpanId, Timestamp, TraceId};
use endspan_store::assessment::AssessmentsOf;
use endspan_store::text::TextQuery;
use endspan_store::{AssessmentList, AssessmentQuery, TraceQuery, TraceState};
use endspan_wire::time;
use http::request::Parts;
use http::{Request, StatusCode};
use utoipa::{IntoParams, ToSchema};

use super::encode::{
    Parts as SpanParts, ReadSpan, ReadTrace, push_list, push_optional, push_span, push_summary, push_text,
};
use super::refusal::{ReadError, refuse};
use crate::account::selected_account;
use crate::app::App;
use crate::problem::Problem;
use crate::reply;
use crate::routes::sgp::{SpanAssessment, push_assessments};
use crate::routes::{observed, schema, segment};
use crate::telemetry::Route;
use crate::text::{push_assessment_filter, query_pairs, whole_number};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: i64 = 1000;

/// The query of `GET /api/traces`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents a query that is read by hand")]
pub(super) struct TracesParameters {
    /// Traces on a page.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u32>,
    /// `next` of the page before.
    after: Option<String>,
    /// Only traces that start at this moment or later: ISO 8601, or Unix seconds.
    start_after: Option<String>,
    /// Only traces that start before this moment.
    start_before: Option<String>,
    /// Only traces whose name contains this text; letter case does not count.
    name: Option<String>,
    /// Only traces that stand so: `error` or `canceled` by the root's status, else `running` while a span has not
    /// ended, else `ok`. Several with commas between them.
    #[param(example = "error,running")]
    status: Option<String>,
    /// Only traces of the agent with exactly this name.
    agent: Option<String>,
    /// Only traces with, or without, a span of the status `ERROR`.
    has_error: Option<bool>,
    /// Only traces that took at least this long, from the earliest start to the latest end.
    min_duration_ms: Option<u64>,
    /// Only traces that took at most this long.
    max_duration_ms: Option<u64>,
    /// Only traces with at least this many tokens, in and out together.
    min_tokens: Option<u64>,
    /// Only traces with at most this many tokens.
    max_tokens: Option<u64>,
    /// Only traces with a span that holds all of these terms, in its name, input, output or metadata; as `search_texts`
    /// of the search of spans. Repeated for several terms, up to 10 of at least 2 characters.
    text: Option<Vec<String>>,
    /// Only traces with an assessment of some span that says this: a type, `approval:rejected`, `rating:3`, `rating:<3`.
    /// Repeated for several, up to 10.
    assessment: Option<Vec<String>>,
}

/// A page of traces.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is written by hand")]
pub(super) struct TracesPage {
    traces: Vec<ReadTrace>,
    /// Give it as `after` to get the next page; null at the end.
    #[schema(required)]
    next: Option<String>,
    /// Whether the page ended because looking for text took long; `next` goes on from there.
    partial: bool,
}

/// Lists traces, newest first.
#[utoipa::path(
    get, path = "/api/traces", tag = "read", operation_id = "list_traces",
    params(TracesParameters, schema::AccountHeader),
    responses(
        (status = 200, description = "The page", body = TracesPage),
        (status = 422, description = "A parameter is malformed", body = ReadError),
        (status = 503, description = "The store is not available", body = ReadError),
    )
)]
pub(super) async fn list(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let (parts, _) = request.into_parts();
    observed(&app, Route::NativeTraces, async {
        find_page(&app, &parts).await.unwrap_or_else(|problem| refuse(&problem))
    })
    .await
}

async fn find_page(app: &App, parts: &Parts) -> Result<Response, Problem> {
    let account = selected_account(&parts.headers)?;
    let query = parse(parts.uri.query(), app.config.trace_text_timeout)?;
    let page = app.store.list_traces(account.as_ref(), &query).await?;
    let mut answer = b"{\"traces\":".to_vec();
    push_list(&mut answer, &page.traces, push_summary);
    push_optional(&mut answer, b",\"next\":", page.next.as_deref());
    answer.extend_from_slice(if page.is_partial { b",\"partial\":true}" } else { b",\"partial\":false}" });
    Ok(reply::json(StatusCode::OK, answer))
}

/// Returns the terms of a query's `text`; empty ones ask for nothing.
pub(super) fn text_query(query: Option<&str>) -> Result<TextQuery, Problem> {
    let mut terms = Vec::new();
    for (_, value) in query_pairs(query).filter(|(name, _)| name == "text") {
        let term = value.map_err(|error| Problem::query("text", error.to_string()))?;
        if !term.is_empty() {
            terms.push(term);
        }
    }
    TextQuery::parse(&terms).map_err(|error| Problem::query("text", error.to_string()))
}

/// Empty values ask for nothing; the last of a repeated parameter counts, but for `assessment` and `text`.
fn parse(query: Option<&str>, text_timeout: Duration) -> Result<TraceQuery, Problem> {
    let mut parsed = TraceQuery { limit: DEFAULT_LIMIT, ..TraceQuery::default() };
    let filter = &mut parsed.filter;
    for (name, value) in query_pairs(query) {
        const KNOWN: [&str; 13] = [
            "limit",
            "after",
            "start_after",
            "start_before",
            "name",
            "status",
            "agent",
            "has_error",
            "min_duration_ms",
            "max_duration_ms",
            "min_tokens",
            "max_tokens",
            "assessment",
        ];
        let Some(field) = KNOWN.into_iter().find(|known| *known == name) else { continue };
        let value = value.map_err(|error| Problem::query(field, error.to_string()))?;
        let text = (!value.is_empty()).then(|| value.as_ref());
        let number = || text.map(|text| count(field, text)).transpose();
        let micros = || Ok::<_, Problem>(number()?.map(|ms| ms.saturating_mul(1000)));
        match field {
            "limit" => {
                let limit = whole_number(&value).filter(|limit| (1..=MAX_LIMIT).contains(limit));
                parsed.limit = limit
                    .and_then(|limit| u32::try_from(limit).ok())
                    .ok_or_else(|| Problem::query("limit", "expected a whole number from 1 to 1000"))?;
            }
            "after" => parsed.after = text.map(str::to_owned),
            "start_after" => filter.start_from = text.map(|text| moment(field, text)).transpose()?,
            "start_before" => filter.start_before = text.map(|text| moment(field, text)).transpose()?,
            "name" => filter.name = text.map(str::to_owned),
            "status" => filter.states = text.map(states).transpose()?.unwrap_or_default(),
            "agent" => filter.agent = text.map(str::to_owned),
            "has_error" => filter.has_error = text.map(|text| truth(field, text)).transpose()?,
            "min_duration_ms" => filter.min_duration_micros = micros()?,
            "max_duration_ms" => filter.max_duration_micros = micros()?,
            "min_tokens" => filter.min_tokens = number()?,
            "assessment" => {
                if let Some(text) = text {
                    push_assessment_filter(&mut filter.assessments, text)?;
                }
            }
            _ => filter.max_tokens = number()?,
        }
    }
    filter.text = text_query(query)?;
    if !filter.text.is_empty() {
        // The page ends then, with a cursor that goes on: a reader sees what was found so far.
        parsed.deadline = Instant::now().checked_add(text_timeout);
    }
    Ok(parsed)
}

fn count(field: &'static str, text: &str) -> Result<u64, Problem> {
    whole_number(text)
        .and_then(|number| u64::try_from(number).ok())
        .ok_or_else(|| Problem::query(field, "expected a whole number from 0"))
}

fn moment(field: &'static str, text: &str) -> Result<Timestamp, Problem> {
    let found = time::parse_text(text.as_bytes()).or_else(|| time::parse_number(text.as_bytes()));
    found.ok_or_else(|| Problem::query(field, "expected a time: ISO 8601 text or Unix seconds"))
}

fn truth(field: &'static str, text: &str) -> Result<bool, Problem> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Problem::query(field, "expected true or false")),
    }
}

fn states(text: &str) -> Result<Vec<TraceState>, Problem> {
    let state = |word: &str| match word.trim().to_ascii_lowercase().as_str() {
        "ok" => Ok(TraceState::Ok),
        "error" => Ok(TraceState::Error),
        "running" => Ok(TraceState::Running),
        "canceled" => Ok(TraceState::Canceled),
        _ => {
            Err(Problem::query("status", "expected ok, error, running or canceled, with commas between them"))
        }
    };
    text.split(',').map(state).collect()
}

/// The query of `GET /api/traces/{trace_id}`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents a query that is read by hand")]
pub(super) struct PayloadsParameter {
    /// Whether spans come with input, output, metadata, expected and otel.
    #[param(default = false)]
    payloads: Option<bool>,
}

/// A trace's id in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "documents a path that is read by hand")]
pub(super) struct TraceIdPath {
    /// The trace's id, percent-encoded; `%2F` is a slash.
    trace_id: String,
}

/// A whole trace.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is written by hand")]
pub(super) struct Trace {
    trace_id: String,
    /// By start, then id.
    spans: Vec<ReadSpan>,
    /// What is said of them, by creation.
    assessments: Vec<SpanAssessment>,
    /// Whether there are more than fit: then ask for those of a span.
    assessments_cut: bool,
}

/// Returns `payloads=true|false` of a query.
pub(super) fn payloads(query: Option<&str>) -> Result<bool, Problem> {
    let mut payloads = false;
    for (_, value) in query_pairs(query).filter(|(name, _)| name == "payloads") {
        payloads = match value.as_deref() {
            Ok("true" | "1") => true,
            Ok("false" | "0" | "") => false,
            _ => return Err(Problem::query("payloads", "expected true or false")),
        };
    }
    Ok(payloads)
}

/// Returns every span of a trace.
#[utoipa::path(
    get, path = "/api/traces/{trace_id}", tag = "read", operation_id = "get_trace",
    params(TraceIdPath, PayloadsParameter, schema::AccountHeader),
    responses(
        (status = 200, description = "The trace", body = Trace),
        (status = 404, description = "There is no such trace", body = ReadError),
        (status = 422, description = "A parameter is malformed", body = ReadError),
        (status = 503, description = "The store is not available", body = ReadError),
    )
)]
pub(super) async fn get(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let (parts, _) = request.into_parts();
    observed(&app, Route::NativeTrace, async {
        find_trace(&app, &parts).await.unwrap_or_else(|problem| refuse(&problem))
    })
    .await
}

async fn find_trace(app: &App, parts: &Parts) -> Result<Response, Problem> {
    let id = segment::last(parts.uri.path(), "trace_id")?;
    let payloads = payloads(parts.uri.query())?;
    let account = selected_account(&parts.headers)?;
    let spans = app.store.read_trace(account.as_ref(), &TraceId::from(id.as_str()), payloads).await?;
    if spans.is_empty() {
        return Err(Problem::NotFound { id });
    }
    let sizes = spans.iter().map(|stored| stored.span.size_bytes() + 256);
    let mut answer = Vec::with_capacity(sizes.sum());
    push_text(&mut answer, b"{\"trace_id\":", &id);
    answer.extend_from_slice(b",\"spans\":");
    let parts = if payloads { SpanParts::Payloads } else { SpanParts::Fields };
    push_list(&mut answer, &spans, |out, stored| push_span(out, stored, parts));
    let assessments =
        read_assessments(app, account.as_ref(), AssessmentsOf::Trace(TraceId::from(id.as_str()))).await?;
    answer.extend_from_slice(b",\"assessments\":");
    push_assessments(&mut answer, &assessments.assessments);
    answer.extend_from_slice(format!(",\"assessments_cut\":{}}}", assessments.is_cut).as_bytes());
    Ok(reply::json(StatusCode::OK, answer))
}

/// Returns one span with its payloads.
#[utoipa::path(
    get, path = "/api/spans/{trace_id}/{span_id}", tag = "read", operation_id = "get_span",
    params(TraceIdPath, schema::SpanIdPath, schema::AccountHeader),
    responses(
        (status = 200, description = "The span", body = ReadSpan),
        (status = 404, description = "There is no such span", body = ReadError),
        (status = 422, description = "An id is malformed", body = ReadError),
        (status = 503, description = "The store is not available", body = ReadError),
    )
)]
pub(super) async fn get_span(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let (parts, _) = request.into_parts();
    observed(&app, Route::NativeSpan, async {
        find_span(&app, &parts).await.unwrap_or_else(|problem| refuse(&problem))
    })
    .await
}

async fn find_span(app: &App, parts: &Parts) -> Result<Response, Problem> {
    let trace_id = segment::last_but_one(parts.uri.path(), "trace_id")?;
    let id = segment::last(parts.uri.path(), "span_id")?;
    let account = selected_account(&parts.headers)?;
    let (trace_id, span_id) = (TraceId::from(trace_id), SpanId::from(id.as_str()));
    let found = app.store.find_span_in_trace(account.as_ref(), &trace_id, &span_id).await?;
    let Some(stored) = found else { return Err(Problem::NotFound { id }) };
    let mut answer = Vec::with_capacity(stored.span.size_bytes() + 256);
    push_span(&mut answer, &stored, SpanParts::Payloads);
    let of = AssessmentsOf::Spans(vec![(stored.account.clone(), trace_id, span_id)]);
    let assessments = read_assessments(app, account.as_ref(), of).await?;
    // Into the object that was just closed.
    answer.pop();
    answer.extend_from_slice(b",\"assessments\":");
    push_assessments(&mut answer, &assessments.assessments);
    answer.push(b'}');
    Ok(reply::json(StatusCode::OK, answer))
}

async fn read_assessments(
    app: &App,
    account: Option<&AccountId>,
    of: AssessmentsOf,
) -> Result<AssessmentList, Problem> {
    // Those of one span always fit.
    let max_bytes = match of {
        AssessmentsOf::Spans(_) => usize::MAX,
        _ => app.config.max_search_bytes,
    };
    Ok(app.store.read_assessments(account, &AssessmentQuery { of, kind: None, max_bytes }).await?)
}
