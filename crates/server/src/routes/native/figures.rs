//! `GET /api/stats` and `GET /api/info`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use endspan_model::limits;
use http::{Request, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::refusal::{ReadError, refuse};
use crate::access::guard::Caller;
use crate::app::App;
use crate::problem::Problem;
use crate::reply;
use crate::routes::observed;
use crate::telemetry::{Outcome, Protocol, Route};

/// Figures about the store and what the server took in since it started.
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
    /// Spans taken in since the start, by protocol.
    ingest: Vec<IngestStats>,
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
        if caller.account().is_some() {
            let detail = "these figures count all accounts; the key is bound to one";
            return reply::json(StatusCode::FORBIDDEN, reply::detail(detail));
        }
        match app.stats().await {
            Ok(store) => json(&Stats {
                engine: store.engine,
                schema_version: store.schema_version,
                spans: store.spans,
                traces: store.traces,
                disk_bytes: store.disk_bytes,
                raw_payload_bytes: store.raw_payload_bytes,
                stored_payload_bytes: store.stored_payload_bytes,
                superseded_payload_bytes: store.superseded_payload_bytes,
                uptime_seconds: app.started.elapsed().as_secs(),
                ingest: Protocol::ALL.iter().map(|protocol| ingest(&app, *protocol)).collect(),
            }),
            Err(error) => refuse(&Problem::from(error)),
        }
    })
    .await
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
