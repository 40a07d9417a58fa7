//! Problems in the words of the read API.

use axum::response::Response;
use endspan_store::StoreError;
use endspan_wire::push_string;
use utoipa::ToSchema;

use crate::problem::Problem;
use crate::reply;

/// An error.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is written by hand")]
pub(in crate::routes) struct ReadError {
    /// What is wrong, for people.
    detail: String,
    /// The parameter at fault, where one is.
    field: Option<String>,
}

/// Returns the answer to a problem.
pub(in crate::routes) fn refuse(problem: &Problem) -> Response {
    let (field, detail) = match problem {
        Problem::Field { field, message, .. } => (Some(*field), message.clone()),
        Problem::Store(StoreError::InvalidQuery { field, message }) => (Some(*field), message.clone()),
        Problem::NotFound { id } => (None, format!("'{id}' does not exist")),
        problem => (None, problem.message()),
    };
    let mut body = reply::detail(&detail);
    if let Some(field) = field {
        body.pop();
        body.extend_from_slice(b",\"field\":");
        push_string(&mut body, field);
        body.push(b'}');
    }
    reply::problem(problem, problem.status(), body)
}
