//! The OTLP exporter: `POST /v1/traces` of any OpenTelemetry collector or backend.

mod settings;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use endspan_model::Span;
use endspan_otlp::encode::Encoder;
use endspan_otlp::response::{Encoding, PartialSuccess};
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

pub use settings::{Compression, OtlpBuilder};

use super::http_client::tell_drops;
use super::{Batch, DropReport, Export, Exporter};
use crate::diagnostics::aloud;
use crate::lane::{Failure, LaneConfig, Outcome, SpanOutcome, StartMode};
use crate::transport::{Transport, TransportError, classify};
use endspan_model::DropReason;

/// Spans with more bytes than this are encoded on a thread of their own: endspan's must stay free for the others.
const MAX_INLINE_BYTES: usize = 256 * 1024;

/// Delivers spans to an OpenTelemetry collector, or to whatever else speaks OTLP over HTTP.
///
/// A span becomes an OTLP span as `docs/otlp-mapping.md` says: ids that are no OpenTelemetry ids are hashed and kept
/// as attributes, payloads become attributes, and what the span means is said in `gen_ai.*` attributes. Whoever
/// reads it with endspan gets the same span back. Spans are sent once, at their end.
///
/// What an answer means follows OTLP: 429, 502, 503 and 504 are tried again, after `Retry-After` where it is given; of
/// a partial success the rejected spans count as dropped; other errors are final for the spans, which are halved until
/// the ones at fault stand alone. Beyond OTLP, refusals of the key or the address (401, 403, 404 and the like) are
/// held until that is mended, and 413 makes requests smaller.
///
/// Settings that are not given come from the variables of the OpenTelemetry specification: see
/// `docs/environment.md`.
pub struct OtlpExporter {
    client: Client,
    encoder: Arc<Encoder>,
    identity: String,
    timeout: Option<Duration>,
    disabled: Option<String>,
}

#[derive(Clone)]
struct Client {
    endpoint: String,
    headers: HeaderMap,
    compression: Compression,
    encoding: Encoding,
    transport: Arc<dyn Transport>,
}

impl OtlpExporter {
    /// Reads everything from the environment.
    pub fn from_env() -> Self {
        Self::builder().build()
    }

    /// Begins with nothing given.
    pub fn builder() -> OtlpBuilder {
        OtlpBuilder::default()
    }
}

impl Exporter for OtlpExporter {
    fn name(&self) -> &str {
        "otlp"
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn lane(&self, settings: LaneConfig) -> LaneConfig {
        LaneConfig {
            start_mode: StartMode::EndOnly,
            request_timeout: self.timeout.unwrap_or(settings.request_timeout),
            ..settings
        }
    }

    fn disabled(&self) -> Option<String> {
        self.disabled.clone()
    }

    fn export(&self, batch: Batch) -> Export {
        let client = self.client.clone();
        let encoder = Arc::clone(&self.encoder);
        let dropped = batch.dropped;
        Box::pin(async move {
            let spans: Vec<Span> = batch.spans.into_iter().map(|entry| entry.span).collect();
            let count = spans.len();
            let bytes: usize = spans.iter().map(Span::size_bytes).sum();
            let (encoding, compression) = (client.encoding, client.compression);
            let encode = move || body(&encoder, spans, encoding, compression);
            let body = if bytes <= MAX_INLINE_BYTES {
                encode()
            } else {
                match tokio::task::spawn_blocking(encode).await {
                    Ok(body) => body,
                    Err(_) => return Outcome::Retryable { after: None, failure: Failure::OTHER },
                }
            };
            client.send(body, count, dropped.as_ref()).await
        })
    }
}

/// Encodes and compresses a request.
fn body(encoder: &Encoder, mut spans: Vec<Span>, encoding: Encoding, compression: Compression) -> Vec<u8> {
    spans.iter_mut().for_each(tell_observability_ids);
    let plain = match encoding {
        Encoding::Protobuf => encoder.encode_protobuf(&spans),
        Encoding::Json => encoder.encode_json(&spans),
    };
    drop(spans);
    match compression {
        Compression::None => plain,
        Compression::Gzip => gzip(&plain).unwrap_or(plain),
    }
}

fn gzip(plain: &[u8]) -> Option<Vec<u8>> {
    use std::io::Write as _;
    let room = Vec::with_capacity(plain.len() / 4 + 64);
    let mut encoder = flate2::write::GzEncoder::new(room, flate2::Compression::fast());
    encoder.write_all(plain).ok()?;
    encoder.finish().ok()
}

/// Observability ids stand in the data under one of two spellings: the span says them as its own, as SGP's items do.
fn tell_observability_ids(span: &mut Span) {
    if span.obs_trace_id.is_some() {
        return;
    }
    let Some(data) = &span.metadata else { return };
    let find = |keys: [&str; 2], digits: usize| {
        let valid = |id: &String| {
            id.len() == digits
                && id.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
                && id.bytes().any(|digit| digit != b'0')
        };
        keys.into_iter().find_map(|key| data.get_str(key)).filter(valid)
    };
    let trace_id = find(["obs.trace_id", "obs_trace_id"], 32);
    if trace_id.is_some() {
        span.obs_span_id = find(["obs.span_id", "obs_span_id"], 16);
        span.obs_trace_id = trace_id;
    }
}

impl Client {
    async fn send(&self, body: Vec<u8>, spans: usize, dropped: Option<&DropReport>) -> Outcome {
        let exchange = match Uri::try_from(&self.endpoint) {
            Ok(uri) => {
                let mut request = http::Request::new(Bytes::from(body));
                *request.method_mut() = Method::POST;
                *request.uri_mut() = uri;
                request.headers_mut().clone_from(&self.headers);
                tell_drops(request.headers_mut(), dropped);
                self.transport.send(request).await
            }
            Err(error) => Err(TransportError::Invalid(error.to_string())),
        };
        let answer = classify(exchange, SystemTime::now());
        match answer.status {
            Some(200..=299) => taken(&answer.body, spans),
            // Held, throttled, to be tried again, too large: as everywhere.
            None | Some(0..=399 | 401 | 403 | 404 | 405 | 407 | 410 | 413 | 421 | 429 | 502 | 503 | 504) => {
                answer.outcome
            }
            Some(status) => Outcome::Rejected(Failure::of_status(status)),
        }
    }
}

/// Judges a success, which may be partial. Which spans were rejected is not said, only how many.
fn taken(body: &[u8], spans: usize) -> Outcome {
    let partial = PartialSuccess::decode(body).unwrap_or_default();
    let rejected = usize::try_from(partial.rejected_spans).unwrap_or(usize::MAX).min(spans);
    if rejected > 0 || !partial.error_message.is_empty() {
        let reason = partial.error_message;
        aloud(|| tracing::warn!(exporter = "otlp", rejected, reason, "the destination rejected spans"));
    }
    if rejected == 0 {
        return Outcome::Delivered;
    }
    let mut outcomes = vec![SpanOutcome::Delivered; spans - rejected];
    outcomes.resize(spans, SpanOutcome::Dropped(DropReason::Rejected));
    Outcome::PerSpan(outcomes)
}

fn headers(given: HeaderMap, encoding: Encoding, compression: Compression) -> HeaderMap {
    let mut headers = given;
    let content_type = HeaderValue::from_static(encoding.content_type());
    headers.insert(CONTENT_TYPE, content_type.clone());
    headers.insert(ACCEPT, content_type);
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("endspan/", env!("CARGO_PKG_VERSION"), " (Rust)")),
    );
    if compression == Compression::Gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers
}

fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::try_from(name.trim()).ok()?;
    let mut value = HeaderValue::try_from(value.trim()).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}
