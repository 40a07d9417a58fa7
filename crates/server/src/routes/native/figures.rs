//! `GET /api/stats`, `GET /api/accounts` and `GET /api/info`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use endspan_model::{DropReason, Timestamp, limits};
use endspan_store::StoreError;
use endspan_wire::time;
use http::{Request, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::refusal::{ReadError, refuse};
use crate::access::guard::Caller;
use crate::app::App;
use crate::clients::Client;
use crate::history;
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
    /// Who sent spans since the start, the last seen first, at most 100.
    clients: Vec<ClientStats>,
    /// What came in the last hour.
    history: HistoryStats,
}

/// What came in steps of equal length since the start, at most in the last hour; the last step is still running.
#[derive(Serialize, ToSchema)]
pub(super) struct HistoryStats {
    step_seconds: u64,
    /// Spans that write requests held, oldest step first.
    received: Vec<u64>,
    /// Of them, those that were refused.
    rejected: Vec<u64>,
}

/// What one client sent since the start.
#[derive(Serialize, ToSchema)]
pub(super) struct ClientStats {
    /// The name that it sent as `User-Agent`, at most 200 characters; empty for those that sent none.
    user_agent: String,
    requests: u64,
    spans: u64,
    /// Of the spans: those that were refused.
    rejected: u64,
    /// Spans that never came, by reason: what its processes say that they gave up since they started. Only SDKs of
    /// endspan say it; reasons that did not occur are left out.
    dropped: BTreeMap<&'static str, u64>,
    /// How many processes said so. One that delivers by several protocols counts for each.
    dropped_instances: u64,
    last_seen: String,
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
    rejected: BTreeMap<&'static str, u64>,
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
    /// Why a span is given up, by the name of the reason, for operators. A client that is newer may name others, which are
    /// counted as `other`.
    drop_reasons: BTreeMap<&'static str, &'static str>,
    /// Whether the server asks for API keys.
    asks_for_keys: bool,
    /// The key that asked; null while the server asks for none.
    key: Option<KeyInfo>,
}

/// What a key may do.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyInfo {
    id: String,
    /// What it is for, in its maker's words.
    name: String,
    /// The account that it is bound to; null for every account.
    #[schema(required)]
    account: Option<String>,
    /// `ingest`, `read`, `metrics`, `admin`.
    roles: Vec<&'static str>,
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
        clients: Vec::new(),
        history: HistoryStats {
            step_seconds: history::STEP_SECONDS,
            received: Vec::new(),
            rejected: Vec::new(),
        },
    };
    match caller.account() {
        None => {
            stats.ingest = Protocol::ALL.iter().map(|protocol| ingest(app, *protocol)).collect();
            stats.clients = clients(app);
            stats.history = history(app);
        }
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

fn clients(app: &App) -> Vec<ClientStats> {
    let figures = |(name, client): (Box<str>, Arc<Client>)| {
        let drops = client.drops();
        ClientStats {
            user_agent: name.into_string(),
            requests: client.requests.load(Ordering::Relaxed),
            spans: client.spans.load(Ordering::Relaxed),
            rejected: client.rejected.load(Ordering::Relaxed),
            dropped: drops.total(),
            dropped_instances: drops.instances(),
            last_seen: client.last_seen().map(moment).unwrap_or_default(),
        }
    };
    app.clients.list().into_iter().map(figures).collect()
}

fn history(app: &App) -> HistoryStats {
    let steps = app.history.read();
    HistoryStats {
        step_seconds: history::STEP_SECONDS,
        received: steps.iter().map(|step| step.received).collect(),
        rejected: steps.iter().map(|step| step.rejected).collect(),
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
pub(super) async fn info(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let caller = Caller::of(request.extensions());
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
                drop_reasons: DropReason::ALL
                    .iter()
                    .map(|reason| (reason.as_str(), reason.meaning()))
                    .collect(),
                asks_for_keys: app.config.keys.is_closed(),
                key: caller.key.as_ref().map(|key| KeyInfo {
                    id: key.id.clone(),
                    name: key.name.clone(),
                    account: key.account.as_ref().map(|account| account.as_str().to_owned()),
                    roles: key.roles.iter().map(|role| role.as_str()).collect(),
                }),
            }),
            Err(error) => refuse(&Problem::from(error)),
        }
    })
    .await
}

/// The accounts that a caller may read.
#[derive(Serialize, ToSchema)]
pub(super) struct Accounts {
    /// By name. An account without spans is not among them.
    accounts: Vec<AccountFigures>,
}

/// What an account has.
#[derive(Serialize, ToSchema)]
pub(super) struct AccountFigures {
    account: String,
    spans: u64,
    traces: u64,
    /// Bytes of payload before compression.
    payload_bytes: u64,
    /// Bytes on disk, as far as that can be told; null for a key that is bound to an account, as accounts share the disk.
    #[schema(required)]
    stored_bytes: Option<u64>,
    /// The earliest start of a span.
    oldest_start: String,
    /// The latest start of a span.
    newest_start: String,
}

/// Lists the accounts that the caller may read, and what each has.
#[utoipa::path(
    get, path = "/api/accounts", tag = "read", operation_id = "list_accounts",
    responses(
        (status = 200, description = "The accounts", body = Accounts),
        (status = 503, description = "The store is not available", body = ReadError),
    )
)]
pub(super) async fn accounts(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let caller = Caller::of(request.extensions());
    observed(&app, Route::NativeFigures, async {
        match app.store.accounts().await {
            Ok(usages) => json(&Accounts {
                accounts: usages
                    .into_iter()
                    .filter(|usage| caller.account().is_none_or(|own| *own == usage.account))
                    .map(|usage| AccountFigures {
                        account: usage.account.as_str().to_owned(),
                        spans: usage.spans,
                        traces: usage.traces,
                        payload_bytes: usage.payload_bytes,
                        stored_bytes: caller.account().is_none().then_some(usage.stored_bytes),
                        oldest_start: moment(usage.oldest_start),
                        newest_start: moment(usage.newest_start),
                    })
                    .collect(),
            }),
            Err(error) => refuse(&Problem::from(error)),
        }
    })
    .await
}

fn moment(moment: Timestamp) -> String {
    let mut text = Vec::new();
    time::push_utc(&mut text, moment);
    String::from_utf8(text).unwrap_or_default()
}
