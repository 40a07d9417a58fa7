//! The SGP v5 spans API (`sgp-api`).

mod assessments;
mod batch;
mod refusal;
mod search;
mod single;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) use self::assessments::{SpanAssessment, import_assessment, push_assessments};

use crate::app::App;
use crate::ingest::Mode;

/// One bad span fails the request, and parents are checked (`sgp-api` section 4).
const MODE: Mode = Mode { all_or_nothing: true, check_parents: true };

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(single::create))
        .routes(routes!(single::get, single::patch))
        .routes(routes!(batch::insert, batch::upsert))
        .routes(routes!(search::search))
        .routes(routes!(assessments::create, assessments::list))
        .routes(routes!(assessments::get, assessments::update, assessments::delete))
        // A span may be called "batch" or "search".
        .route("/v5/spans/search", axum::routing::get(single::get).patch(single::patch))
        .route("/v5/spans/batch", axum::routing::get(single::get).patch(single::patch))
}
