//! `POST /v5/spans/search` (`sgp-api` section 6).

mod body;
mod cursor;

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use endspan_model::{AccountId, Facets, SpanId};
use endspan_store::search::{SearchStop, SpanPosition, SpanSort};
use endspan_store::{SortDirection, SpanPage, SpanQuery, StoredSpan};
use endspan_wire::{push_string, sgp, time};
use http::request::Parts;
use http::{Request, StatusCode};
use utoipa::{IntoParams, ToSchema};

use self::body::SgpSearch;
use super::refusal::{ErrorDetail, FieldErrors, refuse};
use crate::account::selected_account;
use crate::app::App;
use crate::body::read_json;
use crate::problem::Problem;
use crate::reply;
use crate::routes::{observed, schema};
use crate::telemetry::Route;
use crate::text::{push_assessment_filter, query_pairs, whole_number};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: i64 = 1000;

/// The query of a search.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents a query that is read by hand")]
pub(super) struct SearchParameters {
    /// Only spans that start at this moment or later: ISO 8601, or Unix seconds.
    from_ts: Option<String>,
    /// Only spans that start at this moment or earlier.
    to_ts: Option<String>,
    /// Spans on a page.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u32>,
    /// `start_timestamp` (the default), `duration_ms`, `input_tokens` or `output_tokens`.
    sort_by: Option<String>,
    /// `desc` (the default) or `asc`.
    sort_order: Option<String>,
    /// The page after this: `next_cursor` of a page, or a span's id.
    starting_after: Option<String>,
    /// The page before this: `prev_cursor` of a page, or a span's id.
    ending_before: Option<String>,
    /// Whether a page may end before it is full when it grows too large or takes too long.
    #[param(default = false)]
    allow_partial_results: Option<bool>,
    /// Only spans with an assessment that says this: a type, `approval:rejected`, `rating:3`, `rating:<3`. Repeated for
    /// several, up to 10.
    assessment: Option<Vec<String>>,
}

/// A page of spans.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is written by hand")]
pub(super) struct SgpSearchPage {
    items: Vec<schema::SgpSpan>,
    /// Whether more follow in the direction of paging.
    has_more: bool,
    /// Always 0: totals are not counted.
    total: u64,
    /// Give it as `starting_after`; null when nothing follows.
    #[schema(required)]
    next_cursor: Option<String>,
    /// Give it as `ending_before`; null when nothing precedes, as far as is known.
    #[schema(required)]
    prev_cursor: Option<String>,
    /// `complete`, or `partial` when the time was up.
    search_status: String,
    /// When partial and sorted by start: everything up to this start has been searched.
    #[schema(required)]
    searched_through: Option<String>,
    /// Always `list`.
    object: String,
}

/// Finds spans by filters in the body and paging in the query.
///
/// Filters are ANDed; empty lists and nulls do not filter. Ties of the sort key are broken by trace id, then span id.
#[utoipa::path(
    post, path = "/v5/spans/search", tag = "sgp", operation_id = "sgp_search",
    params(SearchParameters, schema::AccountHeader),
    request_body = SgpSearch,
    responses(
        (status = 200, description = "The page", body = SgpSearchPage),
        (status = 400, description = "SEARCH_RESULT_TOO_LARGE or QUERY_TOO_BROAD, without allow_partial_results",
         body = ErrorDetail),
        (status = 413, description = "The body is too large", body = ErrorDetail),
        (status = 422, description = "A parameter or a filter is malformed", body = FieldErrors),
        (status = 503, description = "Busy, or the store is not available; see Retry-After", body = ErrorDetail),
    )
)]
pub(super) async fn search(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    observed(&app, Route::SgpSearch, async {
        find(&app, request).await.unwrap_or_else(|problem| refuse(&problem))
    })
    .await
}

async fn find(app: &App, request: Request<Body>) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let account = selected_account(&parts.headers)?.unwrap_or_default();
    let body = read_json(app, &parts.headers, body).await?;
    let Paging { mut query, start, partial } = parse(&parts)?;
    let of_query = std::mem::replace(&mut query.filter, body::decode(&body.bytes)?);
    (query.filter.start_from, query.filter.start_to) = (of_query.start_from, of_query.start_to);
    query.filter.assessments.extend(of_query.assessments);
    if let Some((field, text)) = start {
        query.from = Some(find_start(app, &account, &query, field, &text).await?);
    }
    query.max_bytes = Some(app.config.max_search_bytes);
    query.deadline = Instant::now().checked_add(app.config.search_timeout);
    let page = app.store.search_spans(Some(&account), &query).await?;
    match &page.stopped {
        Some(SearchStop::Bytes) if !partial => {
            return Ok(too_much("SEARCH_RESULT_TOO_LARGE: ask for fewer spans, or allow_partial_results"));
        }
        Some(SearchStop::Time(_)) if !partial => {
            return Ok(too_much("QUERY_TOO_BROAD: narrow the time window, or allow_partial_results"));
        }
        _ => {}
    }
    Ok(reply::json(StatusCode::OK, encode(&account, &query, &page)))
}

fn too_much(detail: &str) -> Response {
    reply::json(StatusCode::BAD_REQUEST, reply::detail(detail))
}

/// What the query says.
struct Paging {
    query: SpanQuery,
    /// The cursor, and the parameter that it came in.
    start: Option<(&'static str, String)>,
    partial: bool,
}

fn parse(parts: &Parts) -> Result<Paging, Problem> {
    let mut query = SpanQuery { limit: DEFAULT_LIMIT, ..SpanQuery::default() };
    let (mut start, mut partial) = ([None, None], false);
    for (name, value) in query_pairs(parts.uri.query()) {
        const KNOWN: [&str; 9] = [
            "from_ts",
            "to_ts",
            "limit",
            "sort_by",
            "sort_order",
            "starting_after",
            "ending_before",
            "allow_partial_results",
            "assessment",
        ];
        let Some(field) = KNOWN.into_iter().find(|known| *known == name) else { continue };
        let value = value.map_err(|error| Problem::query(field, error.to_string()))?;
        // The id of a span may be empty, but no cursor and no other parameter is.
        if value.is_empty() {
            continue;
        }
        let moment = || {
            let found = time::parse_text(value.as_bytes()).or_else(|| time::parse_number(value.as_bytes()));
            found.ok_or_else(|| Problem::query(field, "expected a time: ISO 8601 text or Unix seconds"))
        };
        match field {
            "assessment" => push_assessment_filter(&mut query.filter.assessments, &value)?,
            "from_ts" => query.filter.start_from = Some(moment()?),
            "to_ts" => query.filter.start_to = Some(moment()?),
            "limit" => {
                let limit = whole_number(&value).filter(|limit| (1..=MAX_LIMIT).contains(limit));
                query.limit = limit
                    .and_then(|limit| u32::try_from(limit).ok())
                    .ok_or_else(|| Problem::query("limit", "expected a whole number from 1 to 1000"))?;
            }
            "sort_by" => query.sort = sort(&value)?,
            "sort_order" => {
                query.direction = match value.as_ref() {
                    "asc" => SortDirection::Ascending,
                    "desc" => SortDirection::Descending,
                    _ => return Err(Problem::query("sort_order", "expected asc or desc")),
                }
            }
            "starting_after" => start[0] = Some(value.into_owned()),
            "ending_before" => start[1] = Some(value.into_owned()),
            _ => {
                partial = match value.as_ref() {
                    "true" | "1" => true,
                    "false" | "0" => false,
                    _ => return Err(Problem::query(field, "expected true or false")),
                }
            }
        }
    }
    if let (Some(from), Some(to)) = (query.filter.start_from, query.filter.start_to)
        && from > to
    {
        return Err(Problem::query("from_ts", "must not be after to_ts"));
    }
    let start = match start {
        [Some(_), Some(_)] => {
            return Err(Problem::query("ending_before", "cannot be combined with starting_after"));
        }
        [Some(after), None] => Some(("starting_after", after)),
        [None, Some(before)] => {
            query.backward = true;
            Some(("ending_before", before))
        }
        [None, None] => None,
    };
    Ok(Paging { query, start, partial })
}

fn sort(name: &str) -> Result<SpanSort, Problem> {
    match name {
        "start_timestamp" => Ok(SpanSort::StartTime),
        "duration_ms" => Ok(SpanSort::Duration),
        "input_tokens" => Ok(SpanSort::InputTokens),
        "output_tokens" => Ok(SpanSort::OutputTokens),
        _ => Err(Problem::query(
            "sort_by",
            "expected start_timestamp, duration_ms, input_tokens or output_tokens",
        )),
    }
}

/// Returns the place that a cursor names: one of ours, or a span of the account. A span id that several traces have means
/// that of the only trace that the filter names, else the newest.
async fn find_start(
    app: &App,
    account: &AccountId,
    query: &SpanQuery,
    field: &'static str,
    text: &str,
) -> Result<SpanPosition, Problem> {
    match cursor::decode(text, query, account) {
        Some(Ok(position)) => return Ok(position),
        Some(Err(cursor::OtherOrder)) => {
            return Err(Problem::query(field, "is the cursor of a search in another order"));
        }
        None => {}
    }
    let id = SpanId::from(text);
    let mut traces = query.filter.trace_ids.iter();
    let found = match (traces.next(), traces.next()) {
        (Some(trace_id), None) => app.store.find_span_in_trace(Some(account), trace_id, &id).await?,
        _ => app.store.find_span(Some(account), &id).await?,
    };
    let stored =
        found.ok_or_else(|| Problem::query(field, "expected a cursor, or the id of a stored span"))?;
    Ok(position_of(&stored, query.sort))
}

fn position_of(stored: &StoredSpan, sort: SpanSort) -> SpanPosition {
    SpanPosition::of(&stored.account, &stored.span, &Facets::of(&stored.span), sort)
}

fn encode(account: &AccountId, query: &SpanQuery, page: &SpanPage) -> Vec<u8> {
    let first = page.spans.first().map(|stored| position_of(stored, query.sort));
    let last = page.spans.last().map(|stored| position_of(stored, query.sort));
    let through = match &page.stopped {
        Some(SearchStop::Time(through)) => Some(through.clone()),
        _ => None,
    };
    // Ahead is where more was found; behind is where the page came from.
    let ahead = |edge: Option<SpanPosition>| through.clone().or(edge).filter(|_| page.has_more);
    let behind = |edge: Option<SpanPosition>| edge.filter(|_| query.from.is_some());
    let (next, previous) =
        if query.backward { (behind(last), ahead(first)) } else { (ahead(last), behind(first)) };

    let sizes = page.spans.iter().map(|stored| stored.span.size_bytes() + 512);
    let mut out = Vec::with_capacity(256 + sizes.sum::<usize>());
    out.extend_from_slice(b"{\"items\":[");
    for (index, stored) in page.spans.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        sgp::encode_span(&mut out, account, &stored.span, None);
    }
    out.extend_from_slice(if page.has_more { b"],\"has_more\":true" } else { b"],\"has_more\":false" });
    out.extend_from_slice(b",\"total\":0");
    for (key, position) in [(&b",\"next_cursor\":"[..], next), (b",\"prev_cursor\":", previous)] {
        out.extend_from_slice(key);
        match position {
            Some(position) => push_string(&mut out, &cursor::encode(&position, query)),
            None => out.extend_from_slice(b"null"),
        }
    }
    let status = if through.is_some() { "partial" } else { "complete" };
    out.extend_from_slice(b",\"search_status\":");
    push_string(&mut out, status);
    out.extend_from_slice(b",\"searched_through\":");
    let start = through.filter(|_| query.sort == SpanSort::StartTime);
    match start
        .and_then(|through| endspan_model::Timestamp::from_parts(through.key.0, through.key.1.min(999)))
    {
        Some(start) => {
            out.push(b'"');
            time::push_utc(&mut out, start);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"object\":\"list\"}");
    out
}
