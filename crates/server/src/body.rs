//! Reads a request's body: bounded in bytes and time, decompressed, accounted for.

mod decompress;

use std::time::Duration;

use axum::body::Body;
use axum::body::HttpBody as _;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use crate::admission::{Overloaded, Permit};
use crate::app::App;

pub(crate) use decompress::Encoding;

/// Bytes that earn a slow client one more second.
const BYTES_PER_SECOND: u64 = 32 * 1024;

/// Room taken at once for a body whose length is announced; more grows as it comes.
const MAX_INITIAL_CAPACITY: usize = 1024 * 1024;

/// Bodies longer than this are decompressed away from the threads that serve connections.
const MAX_INLINE_BYTES: usize = 64 * 1024;

/// How long a refused body is read and thrown away.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// A whole body, and the share of the server's memory that it holds until dropped.
#[derive(Debug)]
pub(crate) struct ReadBody {
    pub(crate) bytes: Bytes,
    /// Held for its drop.
    pub(crate) _permit: Permit,
}

/// Why a body was not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("content-type: expected application/json, found {0}")]
    NotJson(String),
    #[error("content-encoding: expected gzip, zstd or identity, found {0}")]
    UnknownEncoding(String),
    #[error("body: not a whole {} stream", .0.as_str())]
    Corrupt(Encoding),
    #[error("body: longer than {limit} bytes{}", if *.decompressed { " after decompression" } else { "" })]
    TooLarge { limit: usize, decompressed: bool },
    #[error("body: not received in time")]
    TimedOut,
    #[error("body: the connection broke off")]
    Incomplete,
    #[error("the server is busy")]
    Overloaded,
}

impl From<Overloaded> for BodyError {
    fn from(_: Overloaded) -> Self {
        Self::Overloaded
    }
}

/// Reads the JSON body of a write request.
pub(crate) async fn read_json(app: &App, headers: &HeaderMap, body: Body) -> Result<ReadBody, BodyError> {
    read_checked(app, headers, body, check_content_type(headers)).await
}

/// Reads the body of a write request whose content type its route has looked at.
pub(crate) async fn read_any(app: &App, headers: &HeaderMap, body: Body) -> Result<ReadBody, BodyError> {
    read_checked(app, headers, body, Ok(())).await
}

async fn read_checked(
    app: &App,
    headers: &HeaderMap,
    mut body: Body,
    checked: Result<(), BodyError>,
) -> Result<ReadBody, BodyError> {
    let read = match checked {
        Ok(()) => read(app, headers, &mut body).await,
        Err(error) => Err(error),
    };
    if read.as_ref().is_err_and(|error| !matches!(error, BodyError::TimedOut | BodyError::Incomplete)) {
        // Who asks before sending is told before sending.
        if !headers.contains_key(header::EXPECT) {
            discard(&mut body, app.config.max_body_bytes.saturating_mul(2)).await;
        }
    }
    read
}

async fn read(app: &App, headers: &HeaderMap, body: &mut Body) -> Result<ReadBody, BodyError> {
    let encoding = Encoding::of(headers)?;
    let limit = app.config.max_body_bytes;
    let announced = body.size_hint().exact().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    if announced.is_some_and(|length| length > limit) {
        return Err(BodyError::TooLarge { limit, decompressed: false });
    }
    let mut permit = app.admission.admit(0)?;
    let bytes = collect(app, body, announced.unwrap_or(0), &mut permit).await?;
    let Some(encoding) = encoding else { return Ok(ReadBody { bytes, _permit: permit }) };
    decompress(app, encoding, bytes, permit).await
}

/// Decompresses what was read; away from the threads that serve connections if it is long.
pub(crate) async fn decompress(
    app: &App,
    encoding: Encoding,
    bytes: Bytes,
    permit: Permit,
) -> Result<ReadBody, BodyError> {
    let limit = app.config.max_body_bytes;
    if bytes.len() <= MAX_INLINE_BYTES {
        return decompress::decompress(encoding, &bytes, limit, permit);
    }
    let work = tokio::task::spawn_blocking(move || decompress::decompress(encoding, &bytes, limit, permit));
    work.await.unwrap_or(Err(BodyError::Corrupt(encoding)))
}

/// Collects the frames. A body that came in one piece is not copied.
async fn collect(
    app: &App,
    body: &mut Body,
    announced: usize,
    permit: &mut Permit,
) -> Result<Bytes, BodyError> {
    let limit = app.config.max_body_bytes;
    let start = Instant::now();
    let mut collected = BytesMut::new();
    loop {
        let earned = Duration::from_secs(collected.len() as u64 / BYTES_PER_SECOND);
        let frame = timeout_at(start + app.config.body_timeout + earned, body.frame());
        let data = match frame.await {
            Err(_) => return Err(BodyError::TimedOut),
            Ok(None) => return Ok(collected.freeze()),
            Ok(Some(Err(_))) => return Err(BodyError::Incomplete),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => data,
                Err(_trailers) => continue,
            },
        };
        let total = collected.len().saturating_add(data.len());
        if total > limit {
            return Err(BodyError::TooLarge { limit, decompressed: false });
        }
        permit.grow_to(total)?;
        if collected.is_empty() {
            if body.is_end_stream() {
                return Ok(data);
            }
            collected.reserve(announced.min(MAX_INITIAL_CAPACITY).max(data.len()));
        }
        collected.extend_from_slice(&data);
    }
}

/// Reads what is left of a refused body, within bounds: who is still sending does not see an answer that is followed
/// by a closed connection.
pub(crate) async fn discard(body: &mut Body, mut left: usize) {
    let deadline = Instant::now() + DISCARD_TIMEOUT;
    while let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// Accepts `application/json` and `application/*+json`, with any parameters (`agentex-api` row 12).
fn check_content_type(headers: &HeaderMap) -> Result<(), BodyError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Err(BodyError::NotJson("nothing".to_owned()));
    };
    let value = value.as_bytes();
    if value == b"application/json" {
        return Ok(());
    }
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let subtype = essence
        .split_at_checked(b"application/".len())
        .filter(|(kind, _)| kind.eq_ignore_ascii_case(b"application/"))
        .map_or(&[][..], |(_, subtype)| subtype);
    let suffix = subtype.len().checked_sub(b"+json".len()).and_then(|start| subtype.get(start..));
    if subtype.eq_ignore_ascii_case(b"json") || suffix.is_some_and(|text| text.eq_ignore_ascii_case(b"+json"))
    {
        return Ok(());
    }
    let shown: String = String::from_utf8_lossy(essence).chars().take(80).collect();
    Err(BodyError::NotJson(shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(value: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static(value));
        check_content_type(&headers).is_ok()
    }

    #[test]
    fn json_content_types_are_accepted() {
        for value in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/vnd.api+json",
            "application/json ;x",
        ] {
            assert!(accepts(value), "{value}");
        }
    }

    #[test]
    fn other_content_types_are_refused() {
        for value in ["text/plain", "text/json", "application/x-ndjson", "application/", "json", ""] {
            assert!(!accepts(value), "{value}");
        }
        assert!(check_content_type(&HeaderMap::new()).is_err());
    }
}
