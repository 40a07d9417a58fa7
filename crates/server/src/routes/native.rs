//! The read API of the command line and the web page: traces, spans, the live tail, figures.
//!
//! Without an account header it reads all accounts. Errors are `{"detail": "…"}`, with `"field"` when one is at fault.

mod encode;
mod figures;
mod normal;
mod refusal;
mod search;
mod structure;
mod tail;
mod traces;

use std::sync::Arc;

pub(super) use refusal::{ReadError, refuse};

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(traces::list))
        .routes(routes!(traces::get))
        .routes(routes!(structure::structure))
        .routes(routes!(search::search))
        .routes(routes!(traces::get_span))
        .routes(routes!(normal::span))
        .routes(routes!(normal::usage))
        .routes(routes!(tail::tail))
        .routes(routes!(figures::stats))
        .routes(routes!(figures::accounts))
        .routes(routes!(figures::info))
}
