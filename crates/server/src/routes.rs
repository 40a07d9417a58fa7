//! Which request goes where.

mod ops;

use std::sync::Arc;

use axum::Router;

use crate::app::App;

/// Returns the router of the whole server.
pub(crate) fn router(app: &Arc<App>) -> Router {
    ops::routes().with_state(Arc::clone(app))
}
