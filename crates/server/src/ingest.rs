//! The one way of spans into the store: decoded → checked → redacted → written, each with a counted end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::body::Body;
use endspan_model::{AccountId, DropReason, Span, SpanPatch};
use endspan_store::{Outcome, Rejection, StoreError, WriteOperation, WriteRequest};
use endspan_wire::DecodeError;
use http::{HeaderMap, Request};

use crate::account::selected_account;
use crate::app::App;
use crate::body::{ReadBody, read_json};
use crate::clients::Client;
use crate::problem::Problem;
use crate::telemetry::{self, Protocol};

/// Spans of one request that have not ended yet.
///
/// Every span that a request held ends in exactly one counted outcome. What is still open when this is
/// dropped (the client left, a handler forgot) counts as unacknowledged, so that received spans always
/// equal the sum of outcomes.
#[must_use = "each received span must end in an outcome"]
#[derive(Debug)]
pub(crate) struct Received<'a> {
    app: &'a App,
    protocol: Protocol,
    client: Arc<Client>,
    open: u64,
}

impl<'a> Received<'a> {
    /// Counts the spans that a request holds.
    pub(crate) fn new(app: &'a App, protocol: Protocol, headers: &HeaderMap, spans: usize) -> Self {
        app.telemetry.received(protocol, spans as u64);
        let client = app.clients.saw(headers, spans as u64);
        if let Some(fresh) = client.take_report(headers) {
            app.telemetry.dropped_by_clients(&fresh);
        }
        app.history.count(spans as u64, 0);
        Self { app, protocol, client, open: spans as u64 }
    }

    /// Ends some of the spans.
    pub(crate) fn end(&mut self, outcome: telemetry::Outcome, spans: usize) {
        debug_assert!(spans as u64 <= self.open, "more spans ended than were received");
        let spans = self.open.min(spans as u64);
        self.open -= spans;
        if matches!(outcome, telemetry::Outcome::Rejected(_)) {
            self.client.rejected.fetch_add(spans, Ordering::Relaxed);
            self.app.history.count(0, spans);
        }
        self.app.telemetry.ended(self.protocol, outcome, spans);
    }

    /// Ends some of the spans as rejected.
    pub(crate) fn reject(&mut self, reason: DropReason, spans: usize) {
        self.end(telemetry::Outcome::Rejected(reason), spans);
    }

    /// Passes on what was decoded; if nothing was, every span that is still open ends as malformed.
    pub(crate) fn decoded<T>(&mut self, decoded: Result<T, impl Into<Problem>>) -> Result<T, Problem> {
        decoded.map_err(|error| {
            self.reject_rest(DropReason::Malformed);
            error.into()
        })
    }

    /// Ends every span that is still open as rejected.
    pub(crate) fn reject_rest(&mut self, reason: DropReason) {
        self.reject(reason, usize::try_from(self.open).unwrap_or(usize::MAX));
    }
}

impl Drop for Received<'_> {
    fn drop(&mut self) {
        if self.open > 0 {
            self.app.telemetry.ended(self.protocol, telemetry::Outcome::Unacknowledged, self.open);
        }
    }
}

/// A write request that was read whole.
#[derive(Debug)]
pub(crate) struct WriteBody {
    pub(crate) headers: HeaderMap,
    pub(crate) account: AccountId,
    pub(crate) body: ReadBody,
}

/// Reads a write request. `spans` says how many spans it holds where the route tells; they end as rejected when it
/// cannot be read.
pub(crate) async fn read_write(
    app: &App,
    protocol: Protocol,
    request: Request<Body>,
    spans: Option<usize>,
) -> Result<WriteBody, Problem> {
    let (parts, body) = request.into_parts();
    let account = selected_account(&parts.headers);
    let read = read_json(app, &parts.headers, body).await.map_err(Problem::from);
    match read.and_then(|body| Ok((body, account?))) {
        Ok((body, account)) => {
            app.telemetry.received_bytes(protocol, body.bytes.len());
            Ok(WriteBody { headers: parts.headers, account: account.unwrap_or_default(), body })
        }
        Err(problem) => {
            if let Some(spans) = spans {
                Received::new(app, protocol, &parts.headers, spans).reject_rest(problem.drop_reason());
            }
            Err(problem)
        }
    }
}

/// Bodies from this size on are worked on beside the threads that serve connections.
const LARGE_BODY_BYTES: usize = 2 * 1024 * 1024;

/// Decodes or encodes in memory. For a large body the thread is first taken out of the pool that serves connections,
/// so that nobody waits for it.
pub(crate) fn compute<T>(body_bytes: usize, work: impl FnOnce() -> T) -> T {
    let many_threads = || {
        tokio::runtime::Handle::try_current()
            .is_ok_and(|handle| handle.runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread)
    };
    if body_bytes >= LARGE_BODY_BYTES && many_threads() { tokio::task::block_in_place(work) } else { work() }
}

/// How a request's spans are to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    pub(crate) all_or_nothing: bool,
    pub(crate) check_parents: bool,
}

/// Writes operations and returns one outcome each, in order. All of them end in `received`.
///
/// Spans are expected to have passed [`check`].
pub(crate) async fn write(
    app: &App,
    mode: Mode,
    account: AccountId,
    operations: Vec<WriteOperation>,
    received: &mut Received<'_>,
) -> Result<Vec<Outcome>, StoreError> {
    let start = Instant::now();
    let request = WriteRequest {
        account,
        operations,
        all_or_nothing: mode.all_or_nothing,
        check_parents: mode.check_parents,
    };
    let written = app.store.write(request).await;
    app.telemetry.store_write_duration.record_duration(start.elapsed());
    match written {
        Ok(response) => {
            let cause = cause_of(&response.outcomes);
            for outcome in &response.outcomes {
                received.end(counted(outcome, cause), 1);
            }
            app.live.stored();
            Ok(response.outcomes)
        }
        Err(error) => {
            app.telemetry.store_write_failures.add(1);
            app.store_log.failed(&error);
            received.reject_rest(match error {
                StoreError::Overloaded(_) => DropReason::Overloaded,
                _ => DropReason::StoreUnavailable,
            });
            Err(error)
        }
    }
}

/// Takes the one span of a request from its decoder to where it can be written: decoded, checked, redacted.
pub(crate) fn accept(
    app: &App,
    received: &mut Received<'_>,
    decoded: Result<Span, DecodeError>,
) -> Result<Span, Problem> {
    let mut span = received.decoded(decoded)?;
    if let Err(rejection) = check(app, &span) {
        received.reject_rest(reason_of(&rejection));
        return Err(Problem::rejected(rejection));
    }
    redact(app, &mut span);
    Ok(span)
}

/// Takes credentials out of a span, unless that is switched off.
pub(crate) fn redact(app: &App, span: &mut Span) {
    if let Some(redactor) = &app.config.redactor {
        app.telemetry.redacted(&redactor.redact_span(span));
    }
}

/// Takes credentials out of a patch, unless that is switched off.
pub(crate) fn redact_patch(app: &App, patch: &mut SpanPatch) {
    if let Some(redactor) = &app.config.redactor {
        app.telemetry.redacted(&redactor.redact_patch(patch));
    }
}

/// Checks what every protocol asks of a span.
pub(crate) fn check(app: &App, span: &Span) -> Result<(), Rejection> {
    let limit = app.config.max_span_bytes;
    if span.payload_bytes() > limit { Err(Rejection::too_large(limit)) } else { Ok(()) }
}

/// Returns the reason under which a rejection counts.
pub(crate) const fn reason_of(rejection: &Rejection) -> DropReason {
    match rejection {
        Rejection::NotFound => DropReason::Rejected,
        Rejection::Span { reason, .. } => *reason,
    }
}

/// Returns why an all-or-nothing request was not stored: the reason of its first rejected span.
fn cause_of(outcomes: &[Outcome]) -> DropReason {
    let rejection = outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Rejected(rejection) => Some(reason_of(rejection)),
        _ => None,
    });
    rejection.unwrap_or(DropReason::Rejected)
}

const fn counted(outcome: &Outcome, cause: DropReason) -> telemetry::Outcome {
    match outcome {
        Outcome::Stored | Outcome::Patched(_) => telemetry::Outcome::Stored,
        Outcome::Superseded => telemetry::Outcome::Superseded,
        Outcome::Rejected(rejection) => telemetry::Outcome::Rejected(reason_of(rejection)),
        Outcome::NotStored => telemetry::Outcome::Rejected(cause),
    }
}
