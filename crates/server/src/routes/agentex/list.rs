//! `GET /spans` (`agentex-api` section 6).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use endspan_model::TraceId;
use endspan_store::{ListOrder, ListQuery, SortDirection};
use endspan_wire::agentex;
use http::request::Parts;
use http::{Request, StatusCode};
use utoipa::IntoParams;

use super::refusal::{ErrorBody, ValidationErrorBody, refuse};
use crate::account::selected_account;
use crate::app::App;
use crate::problem::Problem;
use crate::reply;
use crate::routes::{observed, schema};
use crate::telemetry::Route;
use crate::text::{query_pairs, whole_number};

const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 1000;

/// The query of `GET /spans`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents a query that is read by hand")]
pub(super) struct ListParameters {
    /// Only spans of this trace.
    trace_id: Option<String>,
    /// Only spans with this task id, or with a trace id equal to it.
    task_id: Option<String>,
    /// Spans on a page.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u32>,
    /// The page, from 1.
    #[param(minimum = 1, default = 1)]
    page_number: Option<u64>,
    /// One of id, trace_id, task_id, parent_id, name, start_time, end_time; any other name is start_time.
    #[param(default = "start_time")]
    order_by: Option<String>,
    /// `desc` in any letter case; everything else is ascending.
    #[param(default = "desc")]
    order_direction: Option<String>,
}

/// Lists spans.
#[utoipa::path(
    get, path = "/spans", tag = "agentex",
    params(ListParameters, schema::AccountHeader),
    responses(
        (status = 200, description = "The page; empty past the end", body = Vec<schema::AgentexSpan>),
        (status = 422, description = "A parameter is malformed", body = ValidationErrorBody),
        (status = 503, description = "The store is not available; see Retry-After", body = ErrorBody),
    )
)]
pub(super) async fn list(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let (parts, _) = request.into_parts();
    observed(&app, Route::AgentexList, async {
        find_page(&app, &parts).await.unwrap_or_else(|problem| refuse(&problem))
    })
    .await
}

async fn find_page(app: &App, parts: &Parts) -> Result<Response, Problem> {
    let query = parse(parts.uri.query())?;
    let account = selected_account(&parts.headers)?.unwrap_or_default();
    let stored = app.store.list_spans(Some(&account), &query).await?;
    Ok(reply::json(StatusCode::OK, agentex::encode_list(stored.iter().map(|stored| &stored.span))))
}

fn parse(query: Option<&str>) -> Result<ListQuery, Problem> {
    let (mut limit, mut page) = (DEFAULT_LIMIT, 1_i64);
    let mut parsed = ListQuery::default();
    for (name, value) in query_pairs(query) {
        let known = match name.as_ref() {
            "trace_id" => "trace_id",
            "task_id" => "task_id",
            "limit" => "limit",
            "page_number" => "page_number",
            "order_by" => "order_by",
            "order_direction" => "order_direction",
            _ => continue,
        };
        let value = value.map_err(|error| Problem::query(known, error.to_string()))?;
        let filled = !value.is_empty();
        match known {
            "trace_id" => parsed.trace_id = filled.then(|| TraceId::from(value.as_ref())),
            "task_id" => parsed.task_id = filled.then(|| value.into_owned()),
            "limit" => limit = number("limit", &value, MAX_LIMIT)?,
            "page_number" => page = number("page_number", &value, i64::MAX)?,
            "order_by" => parsed.order = order(&value)?,
            _ => parsed.direction = direction(&value),
        }
    }
    let offset = (page - 1).checked_mul(limit).and_then(|offset| u64::try_from(offset).ok());
    parsed.offset = offset.ok_or_else(|| Problem::query("page_number", "lies beyond every page"))?;
    parsed.limit = u32::try_from(limit).unwrap_or(1);
    Ok(parsed)
}

fn number(field: &'static str, text: &str, most: i64) -> Result<i64, Problem> {
    whole_number(text).filter(|number| (1..=most).contains(number)).ok_or_else(|| {
        let range = if most == i64::MAX { "from 1".to_owned() } else { format!("from 1 to {most}") };
        Problem::query(field, format!("expected a whole number {range}"))
    })
}

/// Names that the reference knows but cannot sort by are mistakes; names that it does not know are ignored
/// (`agentex-api` rows 53 and 54).
fn order(name: &str) -> Result<ListOrder, Problem> {
    Ok(match name {
        "id" => ListOrder::Id,
        "trace_id" => ListOrder::TraceId,
        "task_id" => ListOrder::TaskId,
        "parent_id" => ListOrder::ParentId,
        "name" => ListOrder::Name,
        "end_time" => ListOrder::EndTime,
        "input" | "output" | "data" | "metadata" | "registry" | "__table__" | "__tablename__" => {
            return Err(Problem::query(
                "order_by",
                "expected one of id, trace_id, task_id, parent_id, name, start_time, end_time",
            ));
        }
        _ => ListOrder::StartTime,
    })
}

fn direction(text: &str) -> SortDirection {
    if text.eq_ignore_ascii_case("desc") { SortDirection::Descending } else { SortDirection::Ascending }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_repeated_parameter_counts() {
        let parsed = parse(Some("limit=5&trace_id=a&limit=7&trace_id=&page_number=3")).unwrap();
        assert_eq!((parsed.limit, parsed.offset, parsed.trace_id), (7, 14, None));
    }

    #[test]
    fn unknown_parameters_may_hold_anything() {
        assert_eq!(parse(Some("x=%ff&%zz=1")).unwrap().limit, 50);
        assert!(parse(Some("trace_id=%ff")).is_err());
    }
}
