//! The Agentex spans API (`agentex-api`), with batches.

mod list;
mod read;
mod refusal;
mod write;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(write::create, list::list))
        .routes(routes!(read::get, write::patch))
        .routes(routes!(write::batch_insert, write::batch_upsert))
        // A span may be called "batch".
        .route("/spans/batch", axum::routing::get(read::get).patch(write::patch))
}
