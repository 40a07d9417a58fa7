//! `GET /api/tail`: server-sent events of spans as they are stored.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use endspan_model::{AccountId, TraceId};
use endspan_store::StoredSpan;
use futures_util::stream;
use http::request::Parts;
use http::{HeaderValue, Request, header};
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep, sleep_until};
use utoipa::IntoParams;

use super::encode::{Parts as SpanParts, push_span};
use super::refusal::{ReadError, refuse};
use super::traces::payloads;
use crate::account::selected_account;
use crate::app::{App, Phase};
use crate::live::{self, PIECE_SPANS, SubscribeError, Subscription};
use crate::problem::{Place, Problem};
use crate::routes::{observed, schema};
use crate::telemetry::Route;
use crate::text::query_pairs;

const LAST_EVENT_ID: &str = "last-event-id";

/// How long to wait when the store does not answer.
const RETRY: Duration = Duration::from_secs(1);

/// The query of `GET /api/tail`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents a query that is read by hand")]
pub(super) struct TailParameters {
    /// Only spans of this trace.
    trace_id: Option<String>,
    /// Whether spans come with their payloads.
    #[param(default = false)]
    payloads: Option<bool>,
    /// Begin behind this position; 0 is before everything. Without it (and without Last-Event-ID) only what is
    /// stored from now on.
    after: Option<u64>,
}

/// Where a tail that was cut goes on.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "documents a header that is read by hand")]
pub(super) struct LastEventId {
    /// The id of the last event seen; outranks `after`.
    #[param(rename = "Last-Event-ID")]
    last_event_id: Option<u64>,
}

/// Streams spans as they are stored.
///
/// Server-sent events: first `ready`, then `span` with a span as data. An event's id is the span's position
/// in the store, so that a client that comes back with `Last-Event-ID` misses nothing. A span that is stored
/// again meanwhile comes once, in its latest version.
#[utoipa::path(
    get, path = "/api/tail", tag = "read", operation_id = "tail",
    params(TailParameters, LastEventId, schema::AccountHeader),
    responses(
        (status = 200, description = "The stream", body = String, content_type = "text/event-stream"),
        (status = 422, description = "A parameter is malformed", body = ReadError),
        (status = 503, description = "Too many tails are open, or the store is not available", body = ReadError),
    )
)]
pub(super) async fn tail(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let (parts, _) = request.into_parts();
    observed(&app, Route::NativeTail, async {
        open(&app, &parts).await.unwrap_or_else(|problem| refuse(&problem))
    })
    .await
}

async fn open(app: &Arc<App>, parts: &Parts) -> Result<Response, Problem> {
    let query = parts.uri.query();
    let payloads = payloads(query)?;
    let (mut trace_id, mut after) = (None, None);
    for (name, value) in query_pairs(query) {
        match name.as_ref() {
            "trace_id" => {
                let value = value.map_err(|error| Problem::query("trace_id", error.to_string()))?;
                trace_id = (!value.is_empty()).then(|| TraceId::from(value.as_ref()));
            }
            "after" => {
                let position = value.ok().and_then(|value| value.parse().ok());
                after = Some(position.ok_or_else(|| Problem::query("after", "expected a position"))?);
            }
            _ => {}
        }
    }
    if let Some(value) = parts.headers.get(LAST_EVENT_ID) {
        let position = value.to_str().ok().and_then(|text| text.trim().parse().ok());
        after = Some(position.ok_or_else(|| Problem::Field {
            place: Place::Header,
            field: LAST_EVENT_ID,
            message: "expected the id of an event".to_owned(),
        })?);
    }
    let account = selected_account(&parts.headers)?;
    let subscription = live::subscribe(app).await.map_err(|error| match error {
        SubscribeError::TooMany => Problem::Overloaded,
        SubscribeError::Store(error) => Problem::Store(error),
    })?;
    let position = after.unwrap_or(subscription.position);
    let tail = Tail {
        app: Arc::clone(app),
        subscription,
        phase: app.phase.clone(),
        account,
        trace_id,
        payloads,
        position,
        greeted: false,
        caught_up: after.is_none(),
        last_sent: Instant::now(),
    };
    let events = stream::unfold(tail, |mut tail| async {
        let text = tail.next().await?;
        Some((Ok::<_, Infallible>(text), tail))
    });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

struct Tail {
    app: Arc<App>,
    subscription: Subscription,
    phase: watch::Receiver<Phase>,
    account: Option<AccountId>,
    trace_id: Option<TraceId>,
    payloads: bool,
    /// Everything up to here was sent or is not wanted.
    position: u64,
    greeted: bool,
    /// Whether the next piece of the ring may continue at `position`.
    caught_up: bool,
    last_sent: Instant,
}

impl Tail {
    /// Returns the next text to send; `None` at shutdown.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.greeted {
            self.greeted = true;
            let position = self.position;
            return Some(
                format!("event: ready\nid: {position}\ndata: {{\"position\":{position}}}\n\n").into(),
            );
        }
        loop {
            if *self.phase.borrow() != Phase::Running {
                return None;
            }
            let news = if self.caught_up { self.wait().await? } else { self.catch_up().await };
            if !news.is_empty() {
                self.last_sent = Instant::now();
                return Some(news.into());
            }
        }
    }

    /// Reads the store from where this tail is.
    async fn catch_up(&mut self) -> Vec<u8> {
        match self.app.store.changes(self.account.as_ref(), self.position, PIECE_SPANS).await {
            Ok(changes) => {
                self.caught_up = changes.spans.len() < PIECE_SPANS as usize;
                let news = self.events(&changes.spans);
                self.position = self.position.max(changes.position);
                news
            }
            Err(error) => {
                self.app.store_log.failed(&error);
                sleep(RETRY).await;
                Vec::new()
            }
        }
    }

    /// Waits for a piece of the ring, the time for a sign of life, or shutdown.
    async fn wait(&mut self) -> Option<Vec<u8>> {
        let heartbeat = sleep_until(self.last_sent + self.app.config.heartbeat);
        tokio::select! {
            piece = self.subscription.pieces.recv() => match piece {
                Ok(piece) if piece.to <= self.position => {}
                Ok(piece) if piece.from <= self.position => {
                    let news = self.events(&piece.spans);
                    self.position = piece.to;
                    return Some(news);
                }
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => self.caught_up = false,
                Err(broadcast::error::RecvError::Closed) => return None,
            },
            () = heartbeat => {
                // The id moves on although nothing was sent, so that a resumed tail starts from here.
                return Some(format!(": alive\nid: {}\n\n", self.position).into_bytes());
            }
            changed = self.phase.changed() => changed.ok()?,
        }
        Some(Vec::new())
    }

    fn events(&self, spans: &[StoredSpan]) -> Vec<u8> {
        let mut out = Vec::new();
        for stored in spans {
            let wanted = stored.version > self.position
                && self.account.as_ref().is_none_or(|account| *account == stored.account)
                && self.trace_id.as_ref().is_none_or(|trace_id| *trace_id == stored.span.trace_id);
            if wanted {
                out.extend_from_slice(b"event: span\nid: ");
                out.extend_from_slice(itoa::Buffer::new().format(stored.version).as_bytes());
                out.extend_from_slice(b"\ndata: ");
                let parts = if self.payloads { SpanParts::Payloads } else { SpanParts::Facets };
                push_span(&mut out, stored, parts);
                out.extend_from_slice(b"\n\n");
            }
        }
        out
    }
}
