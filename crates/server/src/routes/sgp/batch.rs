//! `POST` and `PUT /v5/spans/batch`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use endspan_model::{DropReason, Span, SpanId, TraceId, merge};
use endspan_store::{Outcome, WriteOperation};
use endspan_wire::sgp;
use http::Request;

use super::MODE;
use super::refusal::{ErrorDetail, FieldErrors, refuse};
use crate::app::App;
use crate::ingest::{self, Received, WriteBody, read_write, reason_of};
use crate::problem::Problem;
use crate::reply;
use crate::routes::{observed, schema};
use crate::telemetry::{self, Protocol, Route};

/// Stores up to 1000 spans, all or none.
///
/// The same as `PUT`: an id that exists is replaced by the merge rule.
#[utoipa::path(
    post, path = "/v5/spans/batch", tag = "sgp", operation_id = "sgp_batch_insert",
    params(schema::AccountHeader, schema::PreferHeader),
    request_body = schema::SgpBatch,
    responses(
        (status = 200, description = "The spans as stored, one for each trace and id", body = schema::SgpList),
        (status = 400, description = "Ids hold a NUL or have too many bytes", body = FieldErrors),
        (status = 409, description = "A parent lives in another trace, or parents form a cycle", body = FieldErrors),
        (status = 413, description = "The body or a span is too large", body = FieldErrors),
        (status = 422, description = "Fields are missing or malformed", body = FieldErrors),
        (status = 503, description = "Busy, or the store is not available; see Retry-After", body = ErrorDetail),
    )
)]
pub(super) async fn insert(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    observed(&app, Route::SgpBatchInsert, async {
        batch(&app, request).await.unwrap_or_else(|problem| refuse(&problem))
    })
    .await
}

/// Stores up to 1000 spans, new or again, all or none.
///
/// A stored version is replaced unless it is completed and the new one is not; the same holds among items with
/// the same trace and id. With `Prefer: return=minimal` the answer's items are left out.
#[utoipa::path(
    put, path = "/v5/spans/batch", tag = "sgp", operation_id = "sgp_batch_upsert",
    params(schema::AccountHeader, schema::PreferHeader),
    request_body = schema::SgpBatch,
    responses(
        (status = 200, description = "The spans as stored, one for each trace and id", body = schema::SgpList),
        (status = 400, description = "Ids hold a NUL or have too many bytes", body = FieldErrors),
        (status = 409, description = "A parent lives in another trace, or parents form a cycle", body = FieldErrors),
        (status = 413, description = "The body or a span is too large", body = FieldErrors),
        (status = 422, description = "Fields are missing or malformed", body = FieldErrors),
        (status = 503, description = "Busy, or the store is not available; see Retry-After", body = ErrorDetail),
    )
)]
pub(super) async fn upsert(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    observed(&app, Route::SgpBatchUpsert, async {
        batch(&app, request).await.unwrap_or_else(|problem| refuse(&problem))
    })
    .await
}

async fn batch(app: &App, request: Request<Body>) -> Result<Response, Problem> {
    let WriteBody { headers, account, body } = read_write(app, Protocol::Sgp, request, None).await?;
    let bytes = body.bytes.len();
    let (count, accepted) = ingest::compute(bytes, || {
        let items = sgp::decode_batch(&body.bytes)?;
        Ok::<_, Problem>((items.len(), accept(app, items)))
    })?;
    let mut received = Received::new(app, Protocol::Sgp, &headers, count);
    let spans = match accepted {
        Ok(spans) => spans,
        Err(problem) => {
            received.reject_rest(match &problem {
                Problem::Rejected { .. } => DropReason::TooLarge,
                _ => DropReason::Malformed,
            });
            return Err(problem);
        }
    };
    let minimal = reply::prefers_minimal(&headers);
    if spans.is_empty() {
        return Ok(reply::preferred(EMPTY.to_vec(), minimal));
    }
    let (spans, positions) = winners(spans, &mut received);
    let mut answer = match minimal {
        true => Answer::default(),
        false => ingest::compute(bytes, || Answer::of(&account, &spans, bytes)),
    };
    let operations = spans.into_iter().map(WriteOperation::Upsert).collect();
    let outcomes = ingest::write(app, MODE, account.clone(), operations, &mut received).await?;
    let mut rejections = Vec::new();
    for (index, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Outcome::Rejected(rejection) => {
                rejections.push((positions.get(index).copied().unwrap_or(index), rejection));
            }
            Outcome::Superseded if !minimal => {
                if let Some((trace_id, id)) = answer.identity(index) {
                    let stored = app.store.find_span_in_trace(Some(&account), trace_id, id).await?;
                    if let Some(stored) = stored {
                        let mut text = Vec::with_capacity(stored.span.size_bytes() + 256);
                        sgp::encode_span(&mut text, &account, &stored.span, None);
                        answer.replace(index, text);
                    }
                }
            }
            _ => {}
        }
    }
    if !rejections.is_empty() {
        return Err(Problem::Rejected { batch: true, rejections });
    }
    Ok(reply::preferred(if minimal { EMPTY.to_vec() } else { answer.finish() }, minimal))
}

const EMPTY: &[u8] = b"{\"items\":[],\"object\":\"list\"}";

/// Returns the spans if every item can be stored, redacted.
fn accept(app: &App, items: endspan_wire::ItemResults) -> Result<Vec<Span>, Problem> {
    let mut spans = Vec::with_capacity(items.len());
    let mut errors = Vec::new();
    let mut rejections = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        match item {
            Ok(span) => match ingest::check(app, &span) {
                Ok(()) => spans.push(span),
                Err(rejection) => rejections.push((index, rejection)),
            },
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(Problem::Decode(errors));
    }
    if !rejections.is_empty() {
        debug_assert!(rejections.iter().all(|(_, rejection)| reason_of(rejection) == DropReason::TooLarge));
        return Err(Problem::Rejected { batch: true, rejections });
    }
    for span in &mut spans {
        ingest::redact(app, span);
    }
    Ok(spans)
}

/// Merges items with the same identity (`sgp-api` rows 19 and 20). Returns what is left, each at the place of its
/// first item, and the position of the item that it came from.
fn winners(spans: Vec<Span>, received: &mut Received<'_>) -> (Vec<Span>, Vec<usize>) {
    if !has_repeats(&spans) {
        let positions = (0..spans.len()).collect();
        return (spans, positions);
    }
    let mut places: HashMap<(TraceId, SpanId), usize> = HashMap::with_capacity(spans.len());
    let mut kept: Vec<Span> = Vec::with_capacity(spans.len());
    let mut positions = Vec::with_capacity(spans.len());
    for (index, span) in spans.into_iter().enumerate() {
        match places.entry((span.trace_id.clone(), span.id.clone())) {
            Entry::Vacant(place) => {
                place.insert(kept.len());
                kept.push(span);
                positions.push(index);
            }
            Entry::Occupied(place) => {
                if let Some(existing) = kept.get_mut(*place.get())
                    && merge::merge(existing, span) == merge::Winner::Incoming
                    && let Some(position) = positions.get_mut(*place.get())
                {
                    *position = index;
                }
                received.end(telemetry::Outcome::Superseded, 1);
            }
        }
    }
    (kept, positions)
}

fn has_repeats(spans: &[Span]) -> bool {
    let mut seen = std::collections::HashSet::with_capacity(spans.len());
    !spans.iter().all(|span| seen.insert((&span.trace_id, &span.id)))
}

/// The answer, written before the spans go to the store, so that nothing has to be copied for it.
#[derive(Default)]
struct Answer {
    text: Vec<u8>,
    /// Where each span stands in the text, and which it is.
    items: Vec<(Range<usize>, TraceId, SpanId)>,
    /// Spans that the store already had a better version of, in order.
    replaced: Vec<(usize, Vec<u8>)>,
}

const HEAD: &[u8] = b"{\"items\":[";
const TAIL: &[u8] = b"],\"object\":\"list\"}";

impl Answer {
    fn of(account: &endspan_model::AccountId, spans: &[Span], body_bytes: usize) -> Self {
        let mut text = Vec::with_capacity(body_bytes + 384 * spans.len() + 64);
        let mut items = Vec::with_capacity(spans.len());
        text.extend_from_slice(HEAD);
        for (index, span) in spans.iter().enumerate() {
            if index > 0 {
                text.push(b',');
            }
            let start = text.len();
            sgp::encode_span(&mut text, account, span, None);
            items.push((start..text.len(), span.trace_id.clone(), span.id.clone()));
        }
        text.extend_from_slice(TAIL);
        Self { text, items, replaced: Vec::new() }
    }

    fn identity(&self, index: usize) -> Option<(&TraceId, &SpanId)> {
        self.items.get(index).map(|(_, trace_id, id)| (trace_id, id))
    }

    fn replace(&mut self, index: usize, text: Vec<u8>) {
        self.replaced.push((index, text));
    }

    fn finish(self) -> Vec<u8> {
        if self.replaced.is_empty() {
            return self.text;
        }
        let added: usize = self.replaced.iter().map(|(_, text)| text.len()).sum();
        let mut out = Vec::with_capacity(self.text.len() + added);
        let mut copied = 0;
        for (index, text) in &self.replaced {
            let Some((range, ..)) = self.items.get(*index) else { continue };
            out.extend_from_slice(self.text.get(copied..range.start).unwrap_or_default());
            out.extend_from_slice(text);
            copied = range.end;
        }
        out.extend_from_slice(self.text.get(copied..).unwrap_or_default());
        out
    }
}
