//! `GET /api/export` and `POST /api/import`: spans as lines of JSON, with everything that the store holds of them.

mod record;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use endspan_model::{AccountId, DropReason, Span, TraceId};
use endspan_store::assessment::AssessmentsOf;
use endspan_store::{
    Assessment, AssessmentOutcome, AssessmentQuery, Outcome, Rejection, SpanStore, StoreError, StoredSpan,
    WriteOperation,
};
use endspan_wire::push_string;
use futures_util::stream;
use http::request::Parts;
use http::{HeaderValue, Request, StatusCode, header};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::record::Line;
use super::native::{ReadError, refuse};
use super::sgp;
use crate::access::guard::Caller;
use crate::account::selected_account;
use crate::app::App;
use crate::body::read_any;
use crate::ingest::{self, Mode, Received, reason_of};
use crate::live::PIECE_SPANS;
use crate::problem::{Place, Problem};
use crate::reply;
use crate::routes::{observed, schema};
use crate::telemetry::{Protocol, Route};
use crate::text::query_pairs;

/// Lines of JSON.
const CONTENT_TYPE: &str = "application/x-ndjson";

/// Most lines in one import.
const MAX_LINES: usize = 1000;

/// Most refused lines that one answer tells of.
const MAX_TOLD: usize = 20;

const MODE: Mode = Mode { all_or_nothing: false, check_parents: false };

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(export)).routes(routes!(import))
}

/// The query of `GET /api/export`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents a query that is read by hand")]
struct ExportParameters {
    /// Only spans of this trace.
    trace_id: Option<String>,
}

/// Returns every stored span as a line of JSON.
///
/// In the order of their latest writes. A span that is written while the export runs comes once or twice, never not at all. The
/// answer breaks off if the store fails: a whole answer is a whole export.
#[utoipa::path(
    get, path = "/api/export", tag = "read", operation_id = "export_spans",
    params(ExportParameters, schema::AccountHeader),
    responses(
        (status = 200, description = "The spans", body = String, content_type = "application/x-ndjson"),
        (status = 422, description = "A parameter is malformed", body = ReadError),
        (status = 503, description = "The store is not available", body = ReadError),
    )
)]
async fn export(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let (parts, _) = request.into_parts();
    observed(&app, Route::Export, async {
        open(&app, &parts).await.unwrap_or_else(|problem| refuse(&problem))
    })
    .await
}

async fn open(app: &Arc<App>, parts: &Parts) -> Result<Response, Problem> {
    let account = selected_account(&parts.headers)?;
    let mut trace_id = None;
    for (_, value) in query_pairs(parts.uri.query()).filter(|(name, _)| name == "trace_id") {
        let value = value.map_err(|error| Problem::query("trace_id", error.to_string()))?;
        trace_id = (!value.is_empty()).then(|| TraceId::from(value.as_ref()));
    }
    let body = if let Some(trace_id) = trace_id {
        let spans = app.store.read_trace(account.as_ref(), &trace_id, true).await?;
        Body::from(lines_of(&app.store, &spans).await?)
    } else {
        // The first piece is read before anything is answered, so that a store that fails is told by the status.
        let first = app.store.changes(account.as_ref(), 0, PIECE_SPANS).await?;
        let begun = Some((Arc::clone(app), account, Ok(first)));
        Body::from_stream(stream::unfold(begun, |state| async {
            let (app, account, read) = state?;
            match read {
                Ok(changes) => {
                    let lines = match lines_of(&app.store, &changes.spans).await {
                        Ok(lines) => Ok(lines),
                        Err(error) => return Some((Err(failed(&app, &error)), None)),
                    };
                    if changes.spans.len() < PIECE_SPANS as usize {
                        return Some((lines, None));
                    }
                    let next = app.store.changes(account.as_ref(), changes.position, PIECE_SPANS).await;
                    Some((lines, Some((app, account, next))))
                }
                Err(error) => Some((Err(failed(&app, &error)), None)),
            }
        }))
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    Ok(response)
}

fn failed(app: &App, error: &StoreError) -> io::Error {
    app.store_log.failed(error);
    io::Error::other("the store failed")
}

async fn lines_of(store: &Arc<dyn SpanStore>, spans: &[StoredSpan]) -> Result<Bytes, StoreError> {
    let identity =
        |stored: &StoredSpan| (stored.account.clone(), stored.span.trace_id.clone(), stored.span.id.clone());
    let of = AssessmentsOf::Spans(spans.iter().map(identity).collect());
    let query = AssessmentQuery { of, kind: None, max_bytes: usize::MAX };
    let found =
        if spans.is_empty() { Vec::new() } else { store.read_assessments(None, &query).await?.assessments };
    let mut assessments: HashMap<_, Vec<&Assessment>> = HashMap::new();
    for assessment in &found {
        let identity = (&assessment.account, &assessment.trace_id, &assessment.span_id);
        assessments.entry(identity).or_default().push(assessment);
    }
    let sizes = spans.iter().map(|stored| stored.span.size_bytes() + 256);
    let mut out = Vec::with_capacity(sizes.sum());
    for stored in spans {
        let of_it = assessments.get(&(&stored.account, &stored.span.trace_id, &stored.span.id));
        record::push(&mut out, &stored.account, &stored.span, of_it.map_or(&[], Vec::as_slice));
        out.push(b'\n');
    }
    Ok(out.into())
}

/// What became of the lines of an import. A line that cannot be stored costs no other.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is written by hand")]
struct Imported {
    /// Lines that were not blank.
    received: u64,
    stored: u64,
    /// Lines of which the store has a better version already.
    superseded: u64,
    rejected: u64,
    /// Assessments within lines that are stored, now or before.
    assessments_stored: u64,
    /// Assessments that could not be stored, though their spans could.
    assessments_refused: u64,
    /// The first refused lines and assessments, at most 20.
    errors: Vec<ImportError>,
}

/// A refused line.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is written by hand")]
struct ImportError {
    /// From 1.
    line: u64,
    message: String,
}

/// Stores spans from lines of JSON, as `GET /api/export` answers them; at most 1000 lines at once.
///
/// Without an account header every span goes into the account that its line names.
#[utoipa::path(
    post, path = "/api/import", tag = "read", operation_id = "import_spans",
    params(schema::AccountHeader),
    request_body(content = String, content_type = "application/x-ndjson"),
    responses(
        (status = 200, description = "What became of the lines", body = Imported),
        (status = 413, description = "The body is too large", body = ReadError),
        (status = 422, description = "Another content type, or too many lines", body = ReadError),
        (status = 503, description = "Busy, or the store is not available; see Retry-After", body = ReadError),
    )
)]
async fn import(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    observed(&app, Route::Import, async {
        store(&app, request).await.unwrap_or_else(|problem| refuse(&problem))
    })
    .await
}

async fn store(app: &App, request: Request<Body>) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let account = selected_account(&parts.headers)?;
    // A web page cannot send this type to another site unasked.
    let content_type = parts.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if !content_type.starts_with(CONTENT_TYPE.as_bytes()) {
        let message = format!("expected {CONTENT_TYPE}");
        return Err(Problem::Field { place: Place::Header, field: "content-type", message });
    }
    let read = read_any(app, &parts.headers, body).await?;
    app.telemetry.received_bytes(Protocol::Import, read.bytes.len());
    let lines: Vec<(usize, Bytes)> = lines(&read.bytes);
    let mut received = Received::new(app, Protocol::Import, &parts.headers, lines.len());
    if lines.len() > MAX_LINES {
        received.reject_rest(DropReason::TooLarge);
        let message = format!("holds more than {MAX_LINES} lines");
        return Err(Problem::Field { place: Place::Body, field: "body", message });
    }
    let mut answer = Answer::default();
    let mut assessments: Vec<(usize, Assessment)> = Vec::new();
    let accepted = ingest::compute(read.bytes.len(), || {
        let mut accepted: Vec<(AccountId, Vec<(usize, Span)>)> = Vec::new();
        for (line, text) in &lines {
            match record::parse(text) {
                Ok(Line { account: owner, mut span, assessments: said }) => {
                    if let Err(rejection) = ingest::check(app, &span) {
                        received.reject(reason_of(&rejection), 1);
                        answer.reject(*line, told(&rejection));
                        continue;
                    }
                    ingest::redact(app, &mut span);
                    let owner = account.clone().unwrap_or(owner);
                    assessments.extend(said.into_iter().map(|said| (*line, said.of(&owner, &span))));
                    match accepted.iter_mut().find(|(account, _)| *account == owner) {
                        Some((_, spans)) => spans.push((*line, span)),
                        None => accepted.push((owner, vec![(*line, span)])),
                    }
                }
                Err(error) => {
                    received.reject(DropReason::Malformed, 1);
                    answer.reject(*line, error.to_string());
                }
            }
        }
        accepted
    });
    for (owner, spans) in accepted {
        let places: Vec<usize> = spans.iter().map(|(line, _)| *line).collect();
        let operations = spans.into_iter().map(|(_, span)| WriteOperation::Upsert(span)).collect();
        let outcomes = ingest::write(app, MODE, owner, operations, &mut received).await?;
        for (line, outcome) in places.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Superseded => answer.superseded += 1,
                Outcome::Rejected(rejection) => answer.reject(line, told(&rejection)),
                _ => answer.stored += 1,
            }
        }
    }
    let caller = Caller::of(&parts.extensions);
    for (line, assessment) in assessments {
        match sgp::import_assessment(app, &caller, assessment).await? {
            AssessmentOutcome::Done | AssessmentOutcome::Superseded => answer.assessments_stored += 1,
            outcome => answer.refuse_assessment(line, outcome),
        }
    }
    Ok(reply::json(StatusCode::OK, answer.encode()))
}

/// Returns the lines that are not blank, numbered from 1.
fn lines(body: &Bytes) -> Vec<(usize, Bytes)> {
    let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(index, line)| (index + 1, body.slice_ref(line)))
        .collect()
}

fn told(rejection: &Rejection) -> String {
    match rejection {
        Rejection::NotFound => DropReason::Rejected.to_string(),
        Rejection::Span { field, message, .. } => format!("{field}: {message}"),
    }
}

#[derive(Default)]
struct Answer {
    stored: u64,
    superseded: u64,
    rejected: u64,
    assessments_stored: u64,
    assessments_refused: u64,
    errors: Vec<(usize, String)>,
}

impl Answer {
    fn reject(&mut self, line: usize, message: String) {
        self.rejected += 1;
        if self.errors.len() < MAX_TOLD {
            self.errors.push((line, message));
        }
    }

    fn refuse_assessment(&mut self, line: usize, outcome: AssessmentOutcome) {
        self.assessments_refused += 1;
        if self.errors.len() < MAX_TOLD {
            let message = match outcome {
                AssessmentOutcome::SecondOverwrite => "assessments: the span has another overwrite",
                AssessmentOutcome::TooMany => "assessments: the span has too many",
                AssessmentOutcome::NotFound => "assessments: one with this id was made by another key",
                _ => "assessments: the span is not stored",
            };
            self.errors.push((line, message.to_owned()));
        }
    }

    fn encode(&self) -> Vec<u8> {
        let Self { stored, superseded, rejected, assessments_stored, assessments_refused, errors } = self;
        let received = stored + superseded + rejected;
        let mut out = format!(
            "{{\"received\":{received},\"stored\":{stored},\"superseded\":{superseded},\"rejected\":{rejected},\"assessments_stored\":{assessments_stored},\"assessments_refused\":{assessments_refused},\"errors\":["
        )
        .into_bytes();
        for (index, (line, message)) in errors.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            out.extend_from_slice(format!("{comma}{{\"line\":{line},\"message\":").as_bytes());
            push_string(&mut out, message);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
        out
    }
}
