//! OTLP over HTTP: `POST /v1/traces` (OTLP specification, section OTLP/HTTP).
//!
//! Unlike on the other APIs a span that exists is replaced, whatever its trace says of parents, and spans stand
//! each for itself: the answer's `partial_success` says how many were not stored, and why.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use endspan_otlp::decode::{DecodeError, DecodedRequest, decode_json, decode_protobuf};
use endspan_otlp::response::{Encoding, PartialSuccess, encode_status};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::guard::Refused;
use crate::account::selected_account;
use crate::app::App;
use crate::body::{ReadBody, read_any};
use crate::ingest::{self, Mode, Received, reason_of};
use crate::problem::Problem;
use crate::reply;
use crate::routes::{observed, schema};
use crate::telemetry::{Protocol, Route};
use endspan_model::{AccountId, DropReason};
use endspan_store::{Outcome, Rejection, WriteOperation};

const MODE: Mode = Mode { all_or_nothing: false, check_parents: false };

/// Where OpenTelemetry's exporters send to.
const PATH: &str = "/v1/traces";

/// Where Langfuse's SDKs send OTLP to, so that they only need another host.
const LANGFUSE_PATH: &str = "/api/public/otel/v1/traces";

/// Bodies longer than this are decoded away from the threads that serve connections.
const MAX_INLINE_BYTES: usize = 256 * 1024;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(export)).route(LANGFUSE_PATH, axum::routing::post(export))
}

/// Stores the spans of an OpenTelemetry `ExportTraceServiceRequest`.
///
/// Protobuf or JSON, by `Content-Type`; `gzip` and `zstd`, by `Content-Encoding`. A span that cannot be stored costs
/// no other: `partial_success` in the answer counts them and says why. The answer comes when the others are durable,
/// in the encoding of the request.
#[utoipa::path(
    post, path = "/v1/traces", tag = "otlp", operation_id = "otlp_export_traces",
    params(schema::AccountHeader),
    request_body(
        content((Vec<u8> = "application/x-protobuf"), (serde_json::Value = "application/json")),
        description = "`ExportTraceServiceRequest`",
    ),
    responses(
        (status = 200, description = "`ExportTraceServiceResponse`: stored, except what it says"),
        (status = 400, description = "`google.rpc.Status`: unreadable, or no span in it can be stored"),
        (status = 413, description = "`google.rpc.Status`: the body is too large"),
        (status = 415, description = "`google.rpc.Status`: neither protobuf nor JSON, or an unknown compression"),
        (status = 503, description = "`google.rpc.Status`: busy, or the store is not available; see Retry-After"),
    )
)]
pub(super) async fn export(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    observed(&app, Route::OtlpHttp, async {
        let (parts, body) = request.into_parts();
        let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let Some(encoding) = content_type.and_then(Encoding::from_content_type) else {
            let refusal = Refusal {
                status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
                code: code::INVALID_ARGUMENT,
                message: "content-type: expected application/x-protobuf or application/json".to_owned(),
            };
            return answer(refusal.status, refusal.encode(Encoding::Json), Encoding::Json);
        };
        let stored = async {
            let body = read_any(&app, &parts.headers, body).await.map_err(Problem::from)?;
            let account = selected_account(&parts.headers).map_err(Problem::from)?;
            store(&app, &parts.headers, account.unwrap_or_default(), body, encoding).await
        };
        match stored.await {
            Ok(partial) => answer(StatusCode::OK, partial.encode(encoding), encoding),
            Err(refusal) => answer(refusal.status, refusal.encode(encoding), encoding),
        }
    })
    .await
}

/// The gRPC status codes that are used (`google.rpc.Code`).
pub(crate) mod code {
    pub(crate) const INVALID_ARGUMENT: i32 = 3;
    pub(crate) const PERMISSION_DENIED: i32 = 7;
    pub(crate) const UNAUTHENTICATED: i32 = 16;
    pub(crate) const DEADLINE_EXCEEDED: i32 = 4;
    pub(crate) const RESOURCE_EXHAUSTED: i32 = 8;
    pub(crate) const UNIMPLEMENTED: i32 = 12;
    pub(crate) const UNAVAILABLE: i32 = 14;
}

/// Why nothing of a request was stored.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: i32,
    pub(crate) message: String,
}

impl Refusal {
    fn malformed(message: String) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: code::INVALID_ARGUMENT, message }
    }

    fn encode(&self, encoding: Encoding) -> Vec<u8> {
        encode_status(self.code, &self.message, encoding)
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        // Whatever is wrong with the request is 400 in OTLP, which must not be tried again.
        let status = match problem.status() {
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            status => status,
        };
        let code = match status {
            StatusCode::SERVICE_UNAVAILABLE => code::UNAVAILABLE,
            StatusCode::PAYLOAD_TOO_LARGE => code::RESOURCE_EXHAUSTED,
            StatusCode::REQUEST_TIMEOUT => code::DEADLINE_EXCEEDED,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => code::UNIMPLEMENTED,
            _ => code::INVALID_ARGUMENT,
        };
        Self { status, code, message: problem.message() }
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        Self::malformed(error.to_string())
    }
}

/// Returns whether a path is one that spans are exported to.
pub(crate) fn is_otlp(path: &str) -> bool {
    path == PATH || path == LANGFUSE_PATH
}

impl From<&Refused> for Refusal {
    fn from(refused: &Refused) -> Self {
        let code = match refused {
            Refused::Unauthorized { .. } => code::UNAUTHENTICATED,
            Refused::Forbidden(_) => code::PERMISSION_DENIED,
        };
        Self { status: refused.status(), code, message: refused.message().to_owned() }
    }
}

/// Returns the answer to an export that was not let in, in the encoding of the request.
pub(crate) fn refuse_access(refused: &Refused, headers: &HeaderMap) -> Response {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let encoding = content_type.and_then(Encoding::from_content_type).unwrap_or(Encoding::Json);
    let refusal = Refusal::from(refused);
    answer(refusal.status, refusal.encode(encoding), encoding)
}

fn answer(status: StatusCode, body: Vec<u8>, encoding: Encoding) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(encoding.content_type());
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    reply::advise(&mut response);
    response
}

/// Stores what a body holds.
///
/// # Errors
/// [`Refusal`] when nothing was stored.
pub(crate) async fn store(
    app: &App,
    headers: &HeaderMap,
    account: AccountId,
    body: ReadBody,
    encoding: Encoding,
) -> Result<PartialSuccess, Refusal> {
    app.telemetry.received_bytes(Protocol::Otlp, body.bytes.len());
    let DecodedRequest { spans, rejected } = decode(&body.bytes, encoding).await?;
    let mut received = Received::new(app, Protocol::Otlp, headers, spans.len() + rejected.len());
    let mut reasons: Vec<(usize, String)> = Vec::new();
    for span in &rejected {
        received.reject(span.reason(), 1);
        reasons.push((span.index, span.error.to_string()));
    }
    let mut positions = Vec::with_capacity(spans.len());
    let mut operations = Vec::with_capacity(spans.len());
    let taken: Vec<usize> = rejected.iter().map(|span| span.index).collect();
    let places = (0..).filter(|place| taken.binary_search(place).is_err());
    for (place, mut span) in places.zip(spans) {
        match ingest::check(app, &span) {
            Ok(()) => {
                ingest::redact(app, &mut span);
                positions.push(place);
                operations.push(WriteOperation::Upsert(span));
            }
            Err(rejection) => {
                received.reject(reason_of(&rejection), 1);
                reasons.push((place, told(&rejection)));
            }
        }
    }
    let mut stored = false;
    if !operations.is_empty() {
        let outcomes = ingest::write(app, MODE, account, operations, &mut received)
            .await
            .map_err(|error| Refusal::from(Problem::from(error)))?;
        for (place, outcome) in positions.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Rejected(rejection) => reasons.push((place, told(&rejection))),
                _ => stored = true,
            }
        }
    }
    reasons.sort_by_key(|(place, _)| *place);
    let partial = PartialSuccess::from_reasons(reasons);
    if !stored && partial.rejected_spans > 0 {
        return Err(Refusal::malformed(format!("no span can be stored: {}", partial.error_message)));
    }
    Ok(partial)
}

async fn decode(body: &Bytes, encoding: Encoding) -> Result<DecodedRequest, Refusal> {
    let decode = match encoding {
        Encoding::Protobuf => decode_protobuf,
        Encoding::Json => decode_json,
    };
    if body.len() <= MAX_INLINE_BYTES {
        return Ok(decode(body)?);
    }
    let body = body.clone();
    match tokio::task::spawn_blocking(move || decode(&body)).await {
        Ok(decoded) => Ok(decoded?),
        Err(_) => Err(Refusal {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: code::UNAVAILABLE,
            message: "the server is shutting down".to_owned(),
        }),
    }
}

fn told(rejection: &Rejection) -> String {
    match rejection {
        Rejection::NotFound => DropReason::Rejected.to_string(),
        Rejection::Span { field, message, .. } => format!("{field}: {message}"),
    }
}
