//! `/v5/span-assessments` (`sgp-api` section 9).

mod body;
mod encode;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use endspan_model::{AccountId, SpanId, Timestamp, TraceId};
use endspan_store::assessment::{
    AssessmentContent, AssessmentType, AssessmentsOf, MAX_CONTENT_BYTES, MAX_PER_SPAN,
};
use endspan_store::search::{SpanFilter, SpanSort};
use endspan_store::{
    Assessment, AssessmentOutcome, AssessmentQuery, AssessmentWrite, SortDirection, SpanQuery,
};
use http::{Request, StatusCode};
use utoipa::IntoParams;

use self::body::{AssessmentCreate, AssessmentUpdate, Changes};
use self::encode::{DeletedAssessment, SpanAssessmentList};
pub(in crate::routes) use self::encode::{SpanAssessment, push_assessment, push_assessments};
use super::refusal::{ErrorDetail, FieldErrors, refuse};
use crate::access::Role;
use crate::access::guard::Caller;
use crate::account::selected_account;
use crate::app::App;
use crate::body::read_json;
use crate::problem::{Place, Problem};
use crate::reply;
use crate::routes::{observed, schema, segment};
use crate::telemetry::Route;
use crate::text::query_pairs;

/// Who made an assessment while the server asked nobody for a key.
const NOBODY: &str = "anonymous";
/// Times that a change is tried again because another one came between.
const MAX_TRIES: usize = 16;

/// Why a request is not answered as asked.
enum Refused {
    Problem(Problem),
    Status(StatusCode, &'static str),
}

impl<E: Into<Problem>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self::Problem(error.into())
    }
}

impl Refused {
    fn answer(self) -> Response {
        match self {
            Self::Problem(problem) => refuse(&problem),
            Self::Status(status, detail) => reply::json(status, reply::detail(detail)),
        }
    }
}

const NOT_FOUND: Refused = Refused::Status(StatusCode::NOT_FOUND, "the assessment does not exist");

fn in_body(field: &'static str, message: String) -> Refused {
    Refused::Problem(Problem::Field { place: Place::Body, field, message })
}

fn check(content: &AssessmentContent) -> Result<(), Refused> {
    content.check().map_err(|mismatch| in_body(mismatch.field.as_str(), mismatch.to_string()))?;
    if content.size_bytes() > MAX_CONTENT_BYTES {
        return Err(Refused::Status(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the content is longer than 262144 bytes",
        ));
    }
    Ok(())
}

fn refused_by_store(outcome: AssessmentOutcome) -> Refused {
    match outcome {
        AssessmentOutcome::NoSpan => Refused::Status(StatusCode::NOT_FOUND, "the span does not exist"),
        AssessmentOutcome::SecondOverwrite => Refused::Status(
            StatusCode::CONFLICT,
            "the span has an overwrite already: update or delete that one",
        ),
        AssessmentOutcome::TooMany => {
            // Not `span_id`: of that every mistake is 400.
            in_body("assessments", format!("the span has {MAX_PER_SPAN} assessments already"))
        }
        _ => NOT_FOUND,
    }
}

fn now() -> Timestamp {
    // What stores keep.
    let now = Timestamp::now();
    Timestamp::from_unix_micros(now.unix_micros()).unwrap_or(now)
}

/// Attaches an assessment to a span.
///
/// Without `span_id` it is the trace's root span: the earliest one without a parent. The field of the type must be there
/// and no other, except that a comment goes with every type. A span holds one overwrite at most.
#[utoipa::path(
    post, path = "/v5/span-assessments", tag = "sgp", operation_id = "sgp_assessment_create",
    params(schema::AccountHeader),
    request_body = AssessmentCreate,
    responses(
        (status = 200, description = "The assessment", body = SpanAssessment),
        (status = 404, description = "There is no such span, or the trace has no root", body = ErrorDetail),
        (status = 409, description = "The span has an overwrite already", body = ErrorDetail),
        (status = 413, description = "The body or the content is too large", body = ErrorDetail),
        (status = 422, description = "A field is missing, malformed, or does not go with the type", body = FieldErrors),
        (status = 503, description = "Busy, or the store is not available; see Retry-After", body = ErrorDetail),
    )
)]
pub(super) async fn create(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    observed(&app, Route::SgpAssessmentCreate, async {
        create_assessment(&app, request).await.unwrap_or_else(Refused::answer)
    })
    .await
}

async fn create_assessment(app: &App, request: Request<Body>) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let account = selected_account(&parts.headers)?.unwrap_or_default();
    let body = read_json(app, &parts.headers, body).await?;
    let created = body::decode_create(&body.bytes)?;
    let kind = created.changes.kind.ok_or_else(|| in_body("assessment_type", "missing".to_owned()))?;
    let mut content = created.changes.applied_to(AssessmentContent::new(kind));
    check(&content)?;
    redact(app, &mut content);
    let trace_id = TraceId::from(created.trace_id);
    let span_id = match created.span_id {
        Some(span_id) => SpanId::from(span_id),
        None => root_of(app, &account, &trace_id).await?,
    };
    let created_at = now();
    let assessment = Assessment {
        id: endspan_model::new_span_id_text(),
        account,
        trace_id,
        span_id,
        content,
        created_by: Caller::of(&parts.extensions).key.map_or_else(|| NOBODY.to_owned(), |key| key.id.clone()),
        created_at,
        updated_at: created_at,
        revision: 1,
    };
    match app.store.write_assessment(AssessmentWrite::Put(assessment.clone())).await? {
        AssessmentOutcome::Done => Ok(answer(&assessment)),
        outcome => Err(refused_by_store(outcome)),
    }
}

fn answer(assessment: &Assessment) -> Response {
    let mut out = Vec::with_capacity(assessment.size_bytes() + 512);
    push_assessment(&mut out, assessment);
    reply::json(StatusCode::OK, out)
}

/// Returns the earliest span of a trace without a parent.
async fn root_of(app: &App, account: &AccountId, trace_id: &TraceId) -> Result<SpanId, Refused> {
    let filter =
        SpanFilter { trace_ids: [trace_id.clone()].into(), parents_only: true, ..SpanFilter::default() };
    let (sort, direction) = (SpanSort::StartTime, SortDirection::Ascending);
    let query = SpanQuery { filter, sort, direction, limit: 1, ..SpanQuery::default() };
    let page = app.store.search_spans(Some(account), &query).await?;
    let root = page.spans.into_iter().next().map(|stored| stored.span.id);
    root.ok_or(Refused::Status(StatusCode::NOT_FOUND, "the trace does not exist, or has no root span"))
}

/// Takes credentials out, unless that is switched off.
fn redact(app: &App, content: &mut AssessmentContent) {
    let Some(redactor) = &app.config.redactor else { return };
    let AssessmentContent { comment, rubric, metadata, overwrite, .. } = content;
    for payload in [rubric, metadata, overwrite].into_iter().flatten() {
        if let Some((redacted, counts)) = redactor.redact(payload) {
            app.telemetry.redacted(&counts);
            *payload = redacted;
        }
    }
    if let Some(comment) = comment {
        let mut counts = Default::default();
        redactor.redact_text(comment, &mut counts);
        app.telemetry.redacted(&counts);
    }
}

/// An assessment's id in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "documents a path that is read by hand")]
struct AssessmentIdPath {
    /// The assessment's id.
    span_assessment_id: String,
}

async fn find(app: &App, account: &AccountId, id: &str) -> Result<Assessment, Refused> {
    let query = AssessmentQuery { of: AssessmentsOf::Id(id.to_owned()), kind: None, max_bytes: usize::MAX };
    let found = app.store.read_assessments(Some(account), &query).await?;
    found.assessments.into_iter().next().ok_or(NOT_FOUND)
}

/// Returns one assessment.
#[utoipa::path(
    get, path = "/v5/span-assessments/{span_assessment_id}", tag = "sgp", operation_id = "sgp_assessment_get",
    params(AssessmentIdPath, schema::AccountHeader),
    responses(
        (status = 200, description = "The assessment", body = SpanAssessment),
        (status = 404, description = "There is no such assessment", body = ErrorDetail),
        (status = 422, description = "The id or the account header is malformed", body = FieldErrors),
        (status = 503, description = "The store is not available; see Retry-After", body = ErrorDetail),
    )
)]
pub(super) async fn get(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let (parts, _) = request.into_parts();
    let work = async {
        let id = segment::last(parts.uri.path(), "span_assessment_id")?;
        let account = selected_account(&parts.headers)?.unwrap_or_default();
        Ok(answer(&find(&app, &account, &id).await?))
    };
    observed(&app, Route::SgpAssessmentGet, async { work.await.unwrap_or_else(Refused::answer) }).await
}

/// What assessments to list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents a query that is read by hand")]
struct ListParameters {
    /// Those of the spans with this id, in any trace. Either this or `trace_id`.
    span_id: Option<String>,
    /// Those of all spans of this trace.
    trace_id: Option<String>,
    /// Only those of this type.
    assessment_type: Option<String>,
}

/// Lists the assessments of a span or of a trace, by creation.
#[utoipa::path(
    get, path = "/v5/span-assessments", tag = "sgp", operation_id = "sgp_assessment_list",
    params(ListParameters, schema::AccountHeader),
    responses(
        (status = 200, description = "The assessments; none if there is no such span or trace", body = SpanAssessmentList),
        (status = 400, description = "Neither span_id nor trace_id, or both; or SEARCH_RESULT_TOO_LARGE", body = ErrorDetail),
        (status = 422, description = "A parameter is malformed", body = FieldErrors),
        (status = 503, description = "The store is not available; see Retry-After", body = ErrorDetail),
    )
)]
pub(super) async fn list(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let (parts, _) = request.into_parts();
    let work = async {
        let account = selected_account(&parts.headers)?.unwrap_or_default();
        let query = list_query(parts.uri.query(), app.config.max_search_bytes)?;
        let found = app.store.read_assessments(Some(&account), &query).await?;
        if found.is_cut {
            let detail = "SEARCH_RESULT_TOO_LARGE: ask for one span, or one assessment_type";
            return Err(Refused::Status(StatusCode::BAD_REQUEST, detail));
        }
        let mut out = b"{\"items\":".to_vec();
        push_assessments(&mut out, &found.assessments);
        let total = found.assessments.len();
        out.extend_from_slice(
            format!(",\"has_more\":false,\"total\":{total},\"object\":\"list\"}}").as_bytes(),
        );
        Ok(reply::json(StatusCode::OK, out))
    };
    observed(&app, Route::SgpAssessmentList, async { work.await.unwrap_or_else(Refused::answer) }).await
}

fn list_query(query: Option<&str>, max_bytes: usize) -> Result<AssessmentQuery, Refused> {
    let (mut span_id, mut trace_id, mut kind) = (None, None, None);
    for (name, value) in query_pairs(query) {
        let (field, place) = match name.as_ref() {
            "span_id" => ("span_id", &mut span_id),
            "trace_id" => ("trace_id", &mut trace_id),
            "assessment_type" => {
                let value = value.map_err(|error| Problem::query("assessment_type", error.to_string()))?;
                let found = AssessmentType::from_name(&value);
                let found = found.ok_or_else(|| Problem::query("assessment_type", body::TYPES))?;
                kind = Some(found);
                continue;
            }
            _ => continue,
        };
        // Named differently from the path's span_id, of which a mistake is 400.
        let value = value.map_err(|error| match field {
            "span_id" => Problem::query("query", format!("span_id: {error}")),
            field => Problem::query(field, error.to_string()),
        })?;
        *place = Some(value.into_owned());
    }
    let of = match (span_id, trace_id) {
        (Some(span_id), None) => AssessmentsOf::SpanId(SpanId::from(span_id)),
        (None, Some(trace_id)) => AssessmentsOf::Trace(TraceId::from(trace_id)),
        _ => {
            return Err(Refused::Status(StatusCode::BAD_REQUEST, "expected either span_id or trace_id"));
        }
    };
    Ok(AssessmentQuery { of, kind, max_bytes })
}

/// Returns whether a caller may change an assessment: its creator, or who may do everything.
fn may_change(caller: &Caller, assessment: &Assessment) -> bool {
    caller.key.as_ref().is_none_or(|key| key.allows(Role::Admin) || key.id == assessment.created_by)
}

const NOT_YOURS: Refused =
    Refused::Status(StatusCode::FORBIDDEN, "only its creator or a key with the role admin may change it");

/// Changes what an assessment says.
///
/// Given fields replace, null takes a field away, and what comes out must fit the type. Span and trace stay.
#[utoipa::path(
    patch, path = "/v5/span-assessments/{span_assessment_id}", tag = "sgp", operation_id = "sgp_assessment_update",
    params(AssessmentIdPath, schema::AccountHeader),
    request_body = AssessmentUpdate,
    responses(
        (status = 200, description = "The assessment as it is now", body = SpanAssessment),
        (status = 403, description = "Neither its creator nor an admin", body = ErrorDetail),
        (status = 404, description = "There is no such assessment", body = ErrorDetail),
        (status = 409, description = "The span has another overwrite", body = ErrorDetail),
        (status = 413, description = "The body or the content is too large", body = ErrorDetail),
        (status = 422, description = "A field is malformed, or does not go with the type", body = FieldErrors),
        (status = 503, description = "Busy, or the store is not available; see Retry-After", body = ErrorDetail),
    )
)]
pub(super) async fn update(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    observed(&app, Route::SgpAssessmentUpdate, async {
        update_assessment(&app, request).await.unwrap_or_else(Refused::answer)
    })
    .await
}

async fn update_assessment(app: &App, request: Request<Body>) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let id = segment::last(parts.uri.path(), "span_assessment_id");
    let account = selected_account(&parts.headers)?.unwrap_or_default();
    let body = read_json(app, &parts.headers, body).await?;
    let changes: Changes = body::decode_update(&body.bytes)?;
    let id = id?;
    let caller = Caller::of(&parts.extensions);
    for _ in 0..MAX_TRIES {
        let stored = find(app, &account, &id).await?;
        if !may_change(&caller, &stored) {
            return Err(NOT_YOURS);
        }
        let mut content = changes.clone().applied_to(stored.content.clone());
        check(&content)?;
        redact(app, &mut content);
        let updated = Assessment { content, updated_at: now(), revision: stored.revision + 1, ..stored };
        match app.store.write_assessment(AssessmentWrite::Replace(updated.clone())).await? {
            AssessmentOutcome::Done => return Ok(answer(&updated)),
            AssessmentOutcome::Superseded => {}
            outcome => return Err(refused_by_store(outcome)),
        }
    }
    Err(Refused::Problem(Problem::Overloaded))
}

/// Stores an assessment of another store. Who is no admin signs for it, and leaves those of others alone:
/// [`AssessmentOutcome::NotFound`].
pub(in crate::routes) async fn import_assessment(
    app: &App,
    caller: &Caller,
    mut assessment: Assessment,
) -> Result<AssessmentOutcome, Problem> {
    redact(app, &mut assessment.content);
    if let Some(key) = caller.key.as_ref().filter(|key| !key.allows(Role::Admin)) {
        let of = AssessmentsOf::Id(assessment.id.clone());
        let query = AssessmentQuery { of, kind: None, max_bytes: usize::MAX };
        let stored = app.store.read_assessments(Some(&assessment.account), &query).await?;
        if stored.assessments.iter().any(|stored| stored.created_by != key.id) {
            return Ok(AssessmentOutcome::NotFound);
        }
        assessment.created_by.clone_from(&key.id);
    }
    Ok(app.store.write_assessment(AssessmentWrite::Put(assessment)).await?)
}

/// Deletes an assessment for good.
#[utoipa::path(
    delete, path = "/v5/span-assessments/{span_assessment_id}", tag = "sgp", operation_id = "sgp_assessment_delete",
    params(AssessmentIdPath, schema::AccountHeader),
    responses(
        (status = 200, description = "It is gone", body = DeletedAssessment),
        (status = 403, description = "Neither its creator nor an admin", body = ErrorDetail),
        (status = 404, description = "There is no such assessment", body = ErrorDetail),
        (status = 422, description = "The id or the account header is malformed", body = FieldErrors),
        (status = 503, description = "The store is not available; see Retry-After", body = ErrorDetail),
    )
)]
pub(super) async fn delete(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let (parts, _) = request.into_parts();
    let work = async {
        let id = segment::last(parts.uri.path(), "span_assessment_id")?;
        let account = selected_account(&parts.headers)?.unwrap_or_default();
        let stored = find(&app, &account, &id).await?;
        if !may_change(&Caller::of(&parts.extensions), &stored) {
            return Err(NOT_YOURS);
        }
        let write = AssessmentWrite::Delete { account, id: stored.id.clone() };
        match app.store.write_assessment(write).await? {
            AssessmentOutcome::Done => Ok(encode::deleted(&stored.id)),
            outcome => Err(refused_by_store(outcome)),
        }
    };
    observed(&app, Route::SgpAssessmentDelete, async { work.await.unwrap_or_else(Refused::answer) }).await
}
