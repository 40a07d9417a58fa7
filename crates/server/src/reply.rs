//! Answers: JSON bytes with a status, and what a client prefers of them.

use axum::body::Body;
use axum::response::Response;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::problem::{Problem, RETRY_AFTER_SECONDS};

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Returns an answer of JSON text.
pub(crate) fn json(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Returns an answer of JSON text that says that `return=minimal` was heard, if it was.
pub(crate) fn preferred(body: Vec<u8>, minimal: bool) -> Response {
    let mut response = json(StatusCode::OK, body);
    if minimal {
        response.headers_mut().insert(PREFERENCE_APPLIED, HeaderValue::from_static("return=minimal"));
    }
    response
}

/// Returns whether the client asks for `return=minimal` (RFC 7240).
pub(crate) fn prefers_minimal(headers: &HeaderMap) -> bool {
    headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split([',', ';']).any(|preference| {
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            name.trim().eq_ignore_ascii_case("return")
                && value.trim().trim_matches('"').eq_ignore_ascii_case("minimal")
        })
    })
}

/// Adds what the status of an answer asks a client to do.
pub(crate) fn advise(response: &mut Response) {
    let (name, value) = match response.status() {
        StatusCode::SERVICE_UNAVAILABLE => (header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS)),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            (header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd"))
        }
        StatusCode::REQUEST_TIMEOUT => (header::CONNECTION, HeaderValue::from_static("close")),
        _ => return,
    };
    response.headers_mut().insert(name, value);
}

/// Returns the answer to a problem, in the words of an API.
pub(crate) fn problem(problem: &Problem, status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = json(status, body);
    advise(&mut response);
    tracing::debug!(status = status.as_u16(), kind = problem.kind(), "request refused");
    response
}

/// Returns `{"detail":"…"}`, the form of errors that no API's own code makes.
pub(crate) fn detail(text: &str) -> Vec<u8> {
    let mut body = b"{\"detail\":".to_vec();
    endspan_wire::push_string(&mut body, text);
    body.push(b'}');
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minimal(value: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(PREFER, HeaderValue::from_static(value));
        prefers_minimal(&headers)
    }

    #[test]
    fn the_preference_is_found_among_others() {
        for value in [
            "return=minimal",
            "respond-async, return=minimal",
            "Return = \"Minimal\"",
            "wait=1;x, return=minimal",
        ] {
            assert!(minimal(value), "{value}");
        }
        for value in ["return=representation", "minimal", "", "return", "handling=minimal"] {
            assert!(!minimal(value), "{value}");
        }
    }
}
