//! Which request goes where, and what every route shares.

mod agentex;
mod delete;
mod document;
mod fallback;
mod native;
mod ops;
pub(crate) mod otlp;
mod patch;
mod refused;
mod schema;
mod segment;
pub(crate) mod sgp;
mod transfer;
mod ui;

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;

pub(crate) use refused::refuse;
pub(crate) use ui::PAGES;

use crate::app::App;
use crate::telemetry::Route;

/// Where the SGP client's `local` environment looks for its API.
const SGP_LOCAL_PREFIX: &str = "/public";

/// Returns the router of the whole server.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let documented = OpenApiRouter::with_openapi(document::head())
        .merge(agentex::routes())
        .merge(sgp::routes())
        .nest(SGP_LOCAL_PREFIX, sgp::routes())
        .merge(otlp::routes())
        .merge(native::routes())
        .merge(transfer::routes())
        .merge(delete::routes())
        .merge(ops::routes());
    let (router, openapi) = documented.split_for_parts();
    let openapi = document::finish(openapi);
    let paths = fallback::Paths::of(&openapi);
    router
        .merge(document::route(&openapi))
        .merge(ui::routes())
        .fallback(move |request: http::Request<axum::body::Body>| {
            let answer = fallback::not_found(&paths, request.uri());
            async move { answer }
        })
        .method_not_allowed_fallback(fallback::method_not_allowed)
        .with_state(Arc::clone(app))
}

/// Runs a handler's work and counts the request.
async fn observed(app: &App, route: Route, work: impl Future<Output = Response>) -> Response {
    let timer = app.telemetry.begin(route);
    let response = work.await;
    timer.finish(response.status());
    response
}
