//! Requests that are not let in, in the words of the API that they were meant for.

use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};

use super::otlp;
use crate::access::guard::Refused;
use crate::reply;

/// What a client should do about a 401 (RFC 6750).
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"endspan\"");

/// Returns the answer to a request that was not let in.
pub(crate) fn refuse(refused: &Refused, parts: &Parts) -> Response {
    let path = parts.uri.path();
    let agentex = path == "/spans" || path.starts_with("/spans/");
    let mut response = if otlp::is_otlp(path) {
        otlp::refuse_access(refused, &parts.headers)
    } else {
        let message = if agentex { refused.agentex_message() } else { refused.message() };
        reply::json(refused.status(), reply::detail(message))
    };
    if refused.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
    }
    response
}
