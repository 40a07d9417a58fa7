//! Problems in the words of the Agentex API (`agentex-api` section 7).

use axum::response::Response;
use endspan_model::DropReason;
use endspan_store::Rejection;
use endspan_wire::push_string;
use http::StatusCode;
use utoipa::ToSchema;

use crate::problem::Problem;
use crate::reply;

/// The code of every validation error.
const VALIDATION_CODE: u32 = 10422;

const DUPLICATE: &str = "Item already exists. Please check all unique constraints and try again.";

/// An error: not found, duplicate, too large, overloaded.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is written by hand")]
pub(crate) struct ErrorBody {
    /// What is wrong, for people.
    message: String,
    /// The HTTP status again.
    code: u16,
    /// Always null.
    data: Option<bool>,
}

/// An error in a field of the request.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is written by hand")]
pub(crate) struct ValidationErrorBody {
    /// Always 10422.
    status_code: u32,
    /// Which field, what was expected, what was found; for people.
    message: String,
    /// Always null.
    data: Option<bool>,
}

/// Returns the API's name of a field of the model.
pub(super) fn field_name(field: &'static str) -> &'static str {
    if field == "metadata" { "data" } else { field }
}

/// Returns the answer to a problem.
pub(super) fn refuse(problem: &Problem) -> Response {
    let status = problem.status();
    let mut body = Vec::with_capacity(160);
    if status == StatusCode::UNPROCESSABLE_ENTITY {
        body.extend_from_slice(b"{\"status_code\":");
        body.extend_from_slice(VALIDATION_CODE.to_string().as_bytes());
        body.extend_from_slice(b",\"message\":");
        push_string(&mut body, &message(problem));
    } else {
        body.extend_from_slice(b"{\"message\":");
        push_string(&mut body, &message(problem));
        body.extend_from_slice(b",\"code\":");
        body.extend_from_slice(status.as_str().as_bytes());
    }
    body.extend_from_slice(b",\"data\":null}");
    reply::problem(problem, status, body)
}

fn message(problem: &Problem) -> String {
    if let Problem::Rejected { rejections, .. } = problem
        && let [(_, Rejection::Span { reason, field, message })] = rejections.as_slice()
    {
        return match (reason, *field) {
            (DropReason::Duplicate, "id") => DUPLICATE.to_owned(),
            // A patch's own message names the field already.
            (_, "metadata") => message.clone(),
            (_, field) => format!("{}: {message}", field_name(field)),
        };
    }
    problem.message()
}
