//! The web UI: the bundle of [`endspan_ui`], which is part of the binary.
//!
//! The pages speak to this server alone. The policy below lets nothing else in: no code or style but the
//! bundle's own files, no other host, and no text that becomes markup (`require-trusted-types-for` with no
//! policy allowed means that the browser refuses every such write).

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::app::App;
use crate::reply;

/// What the pages may do. The UI's own tests run under the same text.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

/// The page that every view starts from; the rest of the address is the page's own business.
const INDEX: &str = "index.html";

/// Where a page is shown. Everyone may see it: it holds no data before it asks for them.
pub(crate) const PAGES: [&str; 8] =
    ["/", "/traces", "/traces/", "/traces/{trace_id}", "/compare", "/health", "/icon.svg", "/licenses.md"];

/// A file of the bundle as it is sent.
struct File {
    content_type: &'static str,
    etag: HeaderValue,
    plain: Bytes,
    /// Absent where compression does not pay.
    gzip: Option<Bytes>,
}

/// Compressed once, when the first page is asked for.
static FILES: LazyLock<HashMap<String, File>> = LazyLock::new(|| {
    endspan_ui::files()
        .filter_map(|file| {
            let short: String = file.sha256.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            let etag = HeaderValue::try_from(format!("\"{short}\"")).ok()?;
            let plain = Bytes::from(file.contents.into_owned());
            let gzip = compress(&plain).filter(|small| small.len() < plain.len());
            let content_type = content_type(&file.name);
            Some((file.name.into_owned(), File { content_type, etag, plain, gzip }))
        })
        .collect()
});

pub(super) fn routes() -> Router<Arc<App>> {
    PAGES.iter().fold(Router::new().route("/assets/{name}", get(asset)), |router, path| {
        // A file of the bundle has a name with a dot.
        router.route(path, if path.contains('.') { get(asset) } else { get(page) })
    })
}

async fn page(request: Request) -> Response {
    let mut response = send(INDEX, request.headers());
    // The page names its files by their content: it alone must be asked for anew.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

async fn asset(request: Request) -> Response {
    let name = request.uri().path().trim_start_matches('/');
    let mut response = send(name, request.headers());
    if response.status() == StatusCode::OK && name.starts_with("assets/") {
        let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
        response.headers_mut().insert(header::CACHE_CONTROL, forever);
    }
    response
}

fn send(name: &str, headers: &HeaderMap) -> Response {
    let Some(file) = FILES.get(name) else {
        return reply::json(StatusCode::NOT_FOUND, reply::detail("Not Found"));
    };
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|tags| names(tags, &file.etag));
    let gzip = file.gzip.as_ref().filter(|_| accepts_gzip(headers));
    let mut response =
        Response::new(if known { Body::empty() } else { Body::from(gzip.unwrap_or(&file.plain).clone()) });
    let answer = response.headers_mut();
    answer.insert(header::ETAG, file.etag.clone());
    answer.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    for (name, value) in SECURITY {
        answer.insert(name, HeaderValue::from_static(value));
    }
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.content_type));
    if gzip.is_some() {
        answer.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

const SECURITY: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Addresses name traces: they stay on this server.
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
];

fn names(tags: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(tags), Ok(etag)) = (tags.to_str(), etag.to_str()) else { return false };
    tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag)
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|coding| {
            let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
            name.trim().eq_ignore_ascii_case("gzip") && !matches!(quality.trim(), "q=0" | "q=0.0")
        })
    })
}

fn compress(plain: &Bytes) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 2), Compression::best());
    encoder.write_all(plain).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("md") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_only_files_of_the_bundle() {
        let index = FILES.get(INDEX).unwrap();
        let text = std::str::from_utf8(&index.plain).unwrap();
        let named: Vec<_> = text.split('"').filter(|part| part.starts_with('/')).collect();
        assert!(named.len() >= 3, "{named:?}");
        for path in named {
            assert!(FILES.contains_key(path.trim_start_matches('/')), "{path}");
        }
        assert!(!text.contains("http:") && !text.contains("https:"));
        assert!(!text.contains("<style") && !text.contains(" style=") && !text.contains("onload="));
    }

    #[test]
    fn the_first_page_is_small() {
        let size = |name: &str| {
            let file = FILES.get(name).unwrap();
            file.gzip.as_ref().map_or(file.plain.len(), Bytes::len)
        };
        let text = String::from_utf8(FILES.get(INDEX).unwrap().plain.to_vec()).unwrap();
        let first: usize =
            text.split('"').filter(|part| part.starts_with('/')).map(|path| size(&path[1..])).sum();
        assert!(first < 250_000, "{first}");
    }

    #[test]
    fn encodings_and_tags_are_read_as_lists() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            headers
        };
        assert!(accepts_gzip(&with("br, gzip")));
        assert!(accepts_gzip(&with("GZIP;q=0.5")));
        assert!(!accepts_gzip(&with("br, gzip;q=0")));
        assert!(!accepts_gzip(&with("identity")));
        let etag = HeaderValue::from_static("\"ab\"");
        assert!(names(&HeaderValue::from_static("\"x\", W/\"ab\""), &etag));
        assert!(!names(&HeaderValue::from_static("\"abc\""), &etag));
    }
}
