//! `/openapi.json`, made from the routes themselves.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::header;
use utoipa::OpenApi;
use utoipa::openapi::path::{HttpMethod, PathItem};

use super::SGP_LOCAL_PREFIX;
use crate::app::App;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "endspan",
        description = "Span server for AI agents: Agentex and SGP spans APIs, OTLP, a read API and a live tail.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "agentex", description = "The Agentex spans API, with batches"),
        (name = "sgp", description = "The SGP v5 spans API; also under /public"),
        (name = "otlp", description = "OpenTelemetry traces"),
        (name = "read", description = "Reading traces, and the live tail"),
        (name = "operations", description = "Health and metrics"),
    )
)]
struct Head;

/// Returns the document without its paths.
pub(super) fn head() -> utoipa::openapi::OpenApi {
    Head::openapi()
}

/// Gives the second mount of the SGP API operation ids of its own, and every operation that needs a key the answers to
/// requests without one.
pub(super) fn finish(mut openapi: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    for (path, item) in &mut openapi.paths.paths {
        if path.starts_with(SGP_LOCAL_PREFIX) {
            for operation in operations(item) {
                if let Some(id) = &mut operation.operation_id {
                    id.insert_str(0, "public_");
                }
            }
        }
    }
    for (path, item) in &mut openapi.paths.paths {
        if path.starts_with("/health") || path == "/readyz" {
            continue;
        }
        for operation in operations(item) {
            for (status, text) in [
                ("401", "There are keys, and the request has none, or one that is unknown or has expired"),
                ("403", "The key lacks the role, or is bound to another account"),
            ] {
                let response = utoipa::openapi::Response::new(text);
                operation.responses.responses.entry(status.to_owned()).or_insert(response.into());
            }
        }
    }
    openapi
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut utoipa::openapi::path::Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete]
        .into_iter()
        .filter_map(Option::as_mut)
}

/// Returns the route of the document.
pub(super) fn route(openapi: &utoipa::openapi::OpenApi) -> Router<Arc<App>> {
    let mut openapi = openapi.clone();
    let operation = utoipa::openapi::path::OperationBuilder::new()
        .operation_id(Some("openapi"))
        .tag("operations")
        .summary(Some("Returns this document"))
        .response("200", utoipa::openapi::Response::new("The document"))
        .build();
    openapi.paths.paths.insert("/openapi.json".to_owned(), PathItem::new(HttpMethod::Get, operation));
    let text = Bytes::from(openapi.to_json().unwrap_or_default());
    Router::new().route(
        "/openapi.json",
        get(move || async move { ([(header::CONTENT_TYPE, "application/json")], text) }),
    )
}
