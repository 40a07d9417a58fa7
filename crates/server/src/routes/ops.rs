//! Health and metrics (`agentex-api` section 8).

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{any, get};
use http::{HeaderValue, Method, StatusCode, header};

use crate::app::{App, Phase};
use crate::telemetry;

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/healthz", any(live))
        .route("/readyz", any(ready))
        .route("/healthcheck", any(ready))
        .route("/metrics", get(metrics))
}

/// Answers `GET`; any other method, HEAD included, is 405 with an empty body (`agentex-api` section 8).
fn only_get(method: &Method) -> Option<Response> {
    if method == Method::GET {
        return None;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
    Some(response)
}

fn json(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn live(method: Method) -> Response {
    only_get(&method).unwrap_or_else(|| json(StatusCode::OK, r#"{"status": "ok"}"#.to_owned()))
}

async fn ready(State(app): State<Arc<App>>, method: Method) -> Response {
    if let Some(response) = only_get(&method) {
        return response;
    }
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

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let page = telemetry::render(&app.telemetry, &app.live_figures().await);
    let mut response = Response::new(Body::from(page));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    response
}
