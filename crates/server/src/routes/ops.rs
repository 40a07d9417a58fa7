//! Health and metrics (`agentex-api` section 8).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::MethodFilter;
use http::{HeaderValue, StatusCode, header};
use utoipa::ToSchema;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use crate::app::{App, Phase};
use crate::telemetry;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(only_get(routes!(live)))
        .routes(only_get(routes!(ready)))
        .routes(only_get(routes!(healthcheck)))
        .routes(routes!(metrics))
}

/// Any method but `GET`, `HEAD` included, is 405 with an empty body (`agentex-api` section 8).
fn only_get(routes: UtoipaMethodRouter<Arc<App>>) -> UtoipaMethodRouter<Arc<App>> {
    let (schemas, paths, router) = routes;
    (schemas, paths, router.on(MethodFilter::HEAD, refuse_method).fallback(refuse_method))
}

async fn refuse_method() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
    response
}

/// The answer of a health check.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is written by hand")]
struct Health {
    /// `ok`, `degraded`, `timeout` or `error`.
    status: String,
    /// `{"store": {"healthy": true}}`, where it was checked.
    #[schema(value_type = Option<Object>)]
    checks: Option<()>,
    error: Option<String>,
}

fn json(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Says that the process is alive.
#[utoipa::path(
    get, path = "/healthz", tag = "operations", operation_id = "healthz",
    responses((status = 200, description = "Alive", body = Health))
)]
async fn live() -> Response {
    json(StatusCode::OK, r#"{"status": "ok"}"#.to_owned())
}

/// Says whether the store can take writes.
#[utoipa::path(
    get, path = "/healthcheck", tag = "operations", operation_id = "healthcheck",
    responses(
        (status = 200, description = "Ready", body = Health),
        (status = 503, description = "Not ready, or shutting down", body = Health),
    )
)]
async fn healthcheck(state: State<Arc<App>>) -> Response {
    ready(state).await
}

/// Says whether the store can take writes.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "readyz",
    responses(
        (status = 200, description = "Ready", body = Health),
        (status = 503, description = "Not ready, or shutting down", body = Health),
    )
)]
async fn ready(State(app): State<Arc<App>>) -> Response {
    let unavailable = |text: &str| json(StatusCode::SERVICE_UNAVAILABLE, text.to_owned());
    if *app.phase.borrow() != Phase::Running {
        return unavailable(r#"{"status": "error", "error": "shutting down"}"#);
    }
    match tokio::time::timeout(app.config.health_timeout, app.store.check_health()).await {
        Err(_) => unavailable(r#"{"status": "timeout", "error": "Health check timed out"}"#),
        Ok(Ok(())) => {
            json(StatusCode::OK, r#"{"status": "ok", "checks": {"store": {"healthy": true}}}"#.to_owned())
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "store is not healthy");
            unavailable(
                r#"{"status": "degraded", "checks": {"store": {"healthy": false, "error": "store unavailable"}}}"#,
            )
        }
    }
}

/// Returns the metrics in the Prometheus text format.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "metrics",
    responses((status = 200, description = "The metrics", body = String, content_type = "text/plain"))
)]
async fn metrics(State(app): State<Arc<App>>) -> Response {
    let page = telemetry::render(&app.telemetry, &app.live_figures().await);
    let mut response = Response::new(Body::from(page));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    response
}
