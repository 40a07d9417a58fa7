//! What the `PATCH` of both APIs does: one span is read, changed and written in one step.

use axum::body::Body;
use bytes::Bytes;
use endspan_model::{SpanId, SpanPatch};
use endspan_store::{Outcome, Rejection, StoredSpan, WriteOperation};
use endspan_wire::DecodeError;
use http::Request;

use super::segment;
use crate::app::App;
use crate::ingest::{self, Mode, Received, WriteBody, read_write};
use crate::problem::Problem;
use crate::telemetry::Protocol;

/// Changes the span that the path names by what the body says, and returns it as it is now.
pub(super) async fn patch_span(
    app: &App,
    protocol: Protocol,
    mode: Mode,
    request: Request<Body>,
    decode: fn(&Bytes) -> Result<SpanPatch, DecodeError>,
) -> Result<StoredSpan, Problem> {
    let id = segment::last(request.uri().path(), "span_id");
    let WriteBody { headers, account, body } = read_write(app, protocol, request, Some(1)).await?;
    let mut received = Received::new(app, protocol, &headers, 1);
    let decoded = id.and_then(|id| Ok::<_, Problem>((id, decode(&body.bytes)?)));
    let (id, mut patch) = received.decoded(decoded)?;
    ingest::redact_patch(app, &mut patch);
    let operations = vec![WriteOperation::Patch { id: SpanId::from(id.as_str()), patch: Box::new(patch) }];
    let outcomes = ingest::write(app, mode, account, operations, &mut received).await?;
    match outcomes.into_iter().next() {
        Some(Outcome::Patched(stored)) => Ok(*stored),
        Some(Outcome::Rejected(rejection)) if rejection != Rejection::NotFound => {
            Err(Problem::rejected(rejection))
        }
        _ => Err(Problem::NotFound { id }),
    }
}
