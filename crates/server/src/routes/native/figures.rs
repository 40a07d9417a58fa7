//! `GET /api/stats` and `GET /api/info`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use endspan_model::limits;
use endspan_store::StoreError;
use http::{Request, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::refusal::{ReadError, refuse};
use crate::access::guard::Caller;
use crate::app::App;
use crate::problem::Problem;
use crate::reply;
use crate::retention::{Reason, usage_of};
use crate::routes::observed;
use crate::telemetry::{Outcome, Protocol, Route};

/// Figures about the store and what the server took in since it started. With a key that is bound to an account:
/// that account's spans, traces and payload before compression; 0 and empty for what belongs to all accounts.
#[derive(Serialize, ToSchema)]
pub(super) struct Stats {
    /// The store engine, for example `embedded`.
    engine: &'static str,
    schema_version: u32,
    /// Stored spans of all accounts.
    spans: u64,
    /// Stored traces of all accounts.
    traces: u64,
    /// Bytes on disk, logs included.
    disk_bytes: u64,
    /// Bytes of payload before compression.
    raw_payload_bytes: u64,
    /// Bytes of payload as stored.
    stored_payload_bytes: u64,
    /// Bytes of stored payload of replaced versions that wait for compaction.
    superseded_payload_bytes: u64,
    uptime_seconds: u64,
    retention: RetentionStats,
    /// Spans taken in since the start, by protocol.
    ingest: Vec<IngestStats>,
}

/// How long spans are kept, and what has gone since the start.
#[derive(Serialize, ToSchema)]
pub(super) struct RetentionStats {
    /// Spans go that are older, in the caller's account; null for never.
    #[schema(required)]
    max_age_seconds: Option<u64>,
    /// The oldest spans go while an account has more bytes; null for never.
    #[schema(required)]
    max_bytes: Option<u64>,
    /// Whether spans are being deleted now.
    running: bool,
    /// When every account was last looked at.
    #[schema(required)]
    last_run: Option<String>,
    /// Whether that ended early because the store failed.
    failed: bool,
    /// Spans deleted since the start, of all accounts; 0 for a key that is bound to an account.
    deleted_by_age: u64,
    deleted_by_size: u64,
    deleted_by_request: u64,
}

/// What one protocol took in.
#[derive(Serialize, ToSchema)]
pub(super) struct IngestStats {
    /// `agentex` or `sgp`.
    protocol: &'static str,
    received: u64,
    stored: u64,
    superseded: u64,
    /// The client left before the answer.
    unacknowledged: u64,
    /// Rejected spans by reason; reasons that did not occur are left out.
    rejected: std::collections::BTreeMap<&'static str, u64>,
}

/// What this server is.
#[derive(Serialize, ToSchema)]
pub(super) struct Info {
    /// Always `endspan`.
    name: &'static str,
    version: &'static str,
    /// The store engine.
    engine: &'static str,
    /// The protocols that spans may be written in.
    protocols: Vec<&'static str>,
    limits: Limits,
}

/// What a client may send at most.
#[derive(Serialize, ToSchema)]
pub(super) struct Limits {
    max_body_bytes: usize,
    max_span_bytes: usize,
    max_batch_spans: usize,
    max_id_bytes: usize,
    max_name_bytes: usize,
    max_payload_depth: usize,
}

fn json(value: &impl Serialize) -> Response {
    // Plain structs of numbers and texts always serialize.
    reply::json(StatusCode::OK, serde_json::to_vec(value).unwrap_or_default())
}

/// Returns figures about the store and the ingest, at most five seconds old.
#[utoipa::path(
    get, path = "/api/stats", tag = "read", operation_id = "stats",
    responses(
        (status = 200, description = "The figures", body = Stats),
        (status = 503, description = "The store is not available", body = ReadError),
    )
)]
pub(super) async fn stats(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let caller = Caller::of(request.extensions());
    observed(&app, Route::NativeFigures, async {
        match figures(&app, &caller).await {
            Ok(stats) => json(&stats),
            Err(error) => refuse(&Problem::from(error)),
        }
    })
    .await
}

/// Returns the figures of everything, or of the caller's account alone.
async fn figures(app: &App, caller: &Caller) -> Result<Stats, StoreError> {
    let store = app.stats().await?;
    let mut stats = Stats {
        engine: store.engine,
        schema_version: store.schema_version,
        spans: store.spans,
        traces: store.traces,
        disk_bytes: store.disk_bytes,
        raw_payload_bytes: store.raw_payload_bytes,
        stored_payload_bytes: store.stored_payload_bytes,
        superseded_payload_bytes: store.superseded_payload_bytes,
        uptime_seconds: app.started.elapsed().as_secs(),
        retention: retention(app, caller),
        ingest: Vec::new(),
    };
    match caller.account() {
        None => stats.ingest = Protocol::ALL.iter().map(|protocol| ingest(app, *protocol)).collect(),
        Some(account) => {
            // What the engine cannot tell apart by account is not told.
            let (spans, traces, payload_bytes) = usage_of(&app.store.accounts().await?, account);
            (stats.spans, stats.traces) = (spans, traces);
            (stats.raw_payload_bytes, stats.superseded_payload_bytes) = (payload_bytes, 0);
            // Its share of the disk follows from how well the others' spans compress.
            (stats.stored_payload_bytes, stats.disk_bytes) = (0, 0);
        }
    }
    Ok(stats)
}

fn retention(app: &App, caller: &Caller) -> RetentionStats {
    let retention = &app.config.retention;
    let limits = caller.account().map_or(retention.default, |account| retention.limits(account));
    let state = app.retention.get();
    let deleted = |reason| if caller.account().is_none() { app.telemetry.deleted_spans(reason) } else { 0 };
    RetentionStats {
        max_age_seconds: limits.max_age.map(|age| age.as_secs()),
        max_bytes: limits.max_bytes,
        running: state.running,
        last_run: state.last_run.map(|moment| format!("{}Z", moment.format_micros())),
        failed: state.failed,
        deleted_by_age: deleted(Reason::Age),
        deleted_by_size: deleted(Reason::Size),
        deleted_by_request: deleted(Reason::Request),
    }
}

fn ingest(app: &App, protocol: Protocol) -> IngestStats {
    let count = |outcome| app.telemetry.outcome_count(protocol, outcome);
    let rejected = endspan_model::DropReason::ALL
        .iter()
        .map(|reason| (reason.as_str(), count(Outcome::Rejected(*reason))))
        .filter(|(_, count)| *count > 0);
    IngestStats {
        protocol: protocol.as_str(),
        received: app.telemetry.received_count(protocol),
        stored: count(Outcome::Stored),
        superseded: count(Outcome::Superseded),
        unacknowledged: count(Outcome::Unacknowledged),
        rejected: rejected.collect(),
    }
}

/// Returns what this server is and what it takes.
#[utoipa::path(
    get, path = "/api/info", tag = "read", operation_id = "info",
    responses(
        (status = 200, description = "The server", body = Info),
        (status = 503, description = "The store is not available", body = ReadError),
    )
)]
pub(super) async fn info(State(app): State<Arc<App>>) -> Response {
    observed(&app, Route::NativeFigures, async {
        match app.stats().await {
            Ok(store) => json(&Info {
                name: "endspan",
                version: env!("CARGO_PKG_VERSION"),
                engine: store.engine,
                protocols: Protocol::ALL.iter().map(|protocol| protocol.as_str()).collect(),
                limits: Limits {
                    max_body_bytes: app.config.max_body_bytes,
                    max_span_bytes: app.config.max_span_bytes,
                    max_batch_spans: limits::MAX_BATCH_SPANS,
                    max_id_bytes: limits::MAX_ID_BYTES,
                    max_name_bytes: limits::MAX_NAME_BYTES,
                    max_payload_depth: limits::MAX_PAYLOAD_DEPTH,
                },
            }),
            Err(error) => refuse(&Problem::from(error)),
        }
    })
    .await
}
