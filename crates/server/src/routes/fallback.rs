//! Requests that no route takes (`agentex-api` rows 66 to 68).

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, Uri, header};

use crate::reply;

/// The paths that the server knows, as segments; a parameter is `None`.
#[derive(Clone, Debug)]
pub(super) struct Paths(Arc<[Vec<Option<String>>]>);

impl Paths {
    pub(super) fn of(openapi: &utoipa::openapi::OpenApi) -> Self {
        let segments = |path: &String| {
            path.split('/')
                .skip(1)
                .map(|segment| (!segment.starts_with('{')).then(|| segment.to_owned()))
                .collect()
        };
        Self(openapi.paths.paths.keys().map(segments).collect())
    }

    fn contain(&self, path: &str) -> bool {
        self.0.iter().any(|known| {
            let mut segments = path.split('/').skip(1);
            let mut known = known.iter();
            loop {
                match (segments.next(), known.next()) {
                    (None, None) => return true,
                    (Some(segment), Some(Some(name))) if segment == name => {}
                    (Some(segment), Some(None)) if !segment.is_empty() => {}
                    _ => return false,
                }
            }
        })
    }
}

/// Sends a known path with a slash too many to the path without it; all else is not found.
pub(super) fn not_found(paths: &Paths, uri: &Uri) -> Response {
    if let Some(path) = uri.path().strip_suffix('/')
        && paths.contain(path)
    {
        let location = match uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        if let Ok(location) = HeaderValue::try_from(location) {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
            response.headers_mut().insert(header::LOCATION, location);
            return response;
        }
    }
    reply::json(StatusCode::NOT_FOUND, reply::detail("Not Found"))
}

/// The router adds `Allow`.
pub(super) async fn method_not_allowed() -> Response {
    reply::json(StatusCode::METHOD_NOT_ALLOWED, reply::detail("Method Not Allowed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_paths_are_contained() {
        let known = |path: &str| path.split('/').skip(1).map(|s| (s != "{}").then(|| s.to_owned())).collect();
        let paths = Paths(["/spans", "/spans/{}"].map(known).into());
        for (path, contained) in [
            ("/spans", true),
            ("/spans/a", true),
            ("/spans/", false),
            ("", false),
            ("//spans", false),
            ("/x", false),
        ] {
            assert_eq!(paths.contain(path), contained, "{path}");
        }
    }
}
