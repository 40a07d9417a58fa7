use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{Batch, DropReport, RecordBatch};
use crate::settings::{self, Environment, Variable};
use crate::transport::{Answer, HttpTransport, Transport, TransportError, classify};

/// Settings that every exporter over HTTP has. Its builder keeps them under `http`.
#[derive(Default)]
pub(super) struct HttpSettings {
    pub(super) environment: Option<Environment>,
    pub(super) base_url: Option<String>,
    pub(super) api_key: Option<String>,
    pub(super) write_starts: Option<bool>,
    pub(super) transport: Option<Arc<dyn Transport>>,
}

impl HttpSettings {
    /// Returns where the rest is read from.
    pub(super) fn environment(&self) -> Environment {
        self.environment.clone().unwrap_or_else(Environment::process)
    }

    /// Returns whether spans are also written at their start: what was set, else the opposite of a variable.
    pub(super) fn writes_starts(&self, environment: &Environment, skips: Variable) -> bool {
        self.write_starts.unwrap_or_else(|| !environment.flag(skips))
    }

    /// Makes the client. `headers` are the exporter's own; those that a variable holds give way to them.
    pub(super) fn client(
        self,
        environment: &Environment,
        base_url: (Variable, &str),
        custom_headers: Variable,
        headers: &[(&'static str, Option<&str>)],
    ) -> HttpClient {
        let (variable, default) = base_url;
        let base_url =
            self.base_url.or_else(|| environment.non_empty(variable)).unwrap_or_else(|| default.to_owned());
        let custom = environment.text(custom_headers).unwrap_or_default();
        let transport = self.transport.unwrap_or_else(|| Arc::new(HttpTransport::new()));
        HttpClient::new(&base_url, settings::custom_headers(&custom), headers, transport)
    }
}

/// The setters of [`HttpSettings`], with the words of their exporter.
macro_rules! http_setters {
    (base_url: $base_url:literal, api_key: $api_key:literal, write_starts: $write_starts:literal) => {
        #[doc = $base_url]
        #[must_use]
        pub fn base_url(mut self, url: impl Into<String>) -> Self {
            self.http.base_url = Some(url.into());
            self
        }

        #[doc = $api_key]
        #[must_use]
        pub fn api_key(mut self, key: impl Into<String>) -> Self {
            self.http.api_key = Some(key.into());
            self
        }

        #[doc = $write_starts]
        #[must_use]
        pub const fn write_starts(mut self, write: bool) -> Self {
            self.http.write_starts = Some(write);
            self
        }

        /// Sets the transport. Else [`HttpTransport`](crate::transport::HttpTransport).
        #[must_use]
        pub fn transport(mut self, transport: Arc<dyn crate::transport::Transport>) -> Self {
            self.http.transport = Some(transport);
            self
        }

        /// Sets where the rest is read from. Else the process's environment.
        #[must_use]
        pub fn environment(mut self, environment: crate::settings::Environment) -> Self {
            self.http.environment = Some(environment);
            self
        }
    };
}
pub(super) use http_setters;

/// What the requests of a batch say beside its spans.
#[derive(Clone, Copy)]
pub(super) struct Attempt {
    /// How often the spans were sent before.
    pub(super) number: u32,
    dropped: Option<DropReport>,
}

impl Attempt {
    pub(super) const fn of(batch: &Batch) -> Self {
        Self { number: batch.attempt, dropped: batch.dropped }
    }

    pub(super) const fn of_records(batch: &RecordBatch<'_>) -> Self {
        Self { number: batch.attempt, dropped: batch.dropped }
    }
}

/// Says in a request's headers what was given up.
pub(super) fn tell_drops(headers: &mut HeaderMap, dropped: Option<&DropReport>) {
    if let Some(value) = dropped.and_then(|report| HeaderValue::try_from(report.to_string()).ok()) {
        headers.insert(HeaderName::from_static(DropReport::HEADER), value);
    }
}

/// What both HTTP exporters share: an address, headers and a transport.
#[derive(Clone)]
pub(super) struct HttpClient {
    pub(super) base_url: String,
    headers: HeaderMap,
    transport: Arc<dyn Transport>,
    bodies: Bodies,
}

/// The memory of bodies that were sent, for the next ones: fresh memory costs a page fault for every 4 KiB of it.
#[derive(Clone, Default)]
struct Bodies(Arc<Mutex<Vec<Vec<u8>>>>);

/// How many are kept, of up to how many bytes: somewhat more than a request has at most. They go when there is nothing to
/// send for a while.
const KEPT_BODIES: usize = 4;
const KEPT_BODY_BYTES: usize = 5 << 20;

/// What an item takes beside its payloads, at a guess.
const ITEM_BYTES: usize = 768;

impl Bodies {
    fn take(&self) -> Option<Vec<u8>> {
        // Never waits: in a forked child, a thread of the parent may have the lock for ever.
        self.0.try_lock().ok()?.pop()
    }

    fn give(&self, mut body: Vec<u8>) {
        if body.capacity() <= KEPT_BODY_BYTES
            && let Ok(mut kept) = self.0.try_lock()
            && kept.len() < KEPT_BODIES
        {
            body.clear();
            kept.push(body);
        }
    }

    fn clear(&self) {
        if let Ok(mut kept) = self.0.try_lock() {
            *kept = Vec::new();
        }
    }
}

/// A body on its way.
struct Body {
    bytes: Vec<u8>,
    bodies: Bodies,
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.bodies.give(std::mem::take(&mut self.bytes));
    }
}

impl HttpClient {
    /// `custom` headers give way to `own` ones, and to those of every request.
    pub(super) fn new(
        base_url: &str,
        custom: HeaderMap,
        own: &[(&'static str, Option<&str>)],
        transport: Arc<dyn Transport>,
    ) -> Self {
        let mut headers = custom;
        for (name, value) in own {
            if let Some(mut value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                value.set_sensitive(true);
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("endspan/", env!("CARGO_PKG_VERSION"), " (Rust)")),
        );
        headers.insert(HeaderName::from_static("x-stainless-lang"), HeaderValue::from_static("rust"));
        headers.insert(
            HeaderName::from_static("x-stainless-package-version"),
            HeaderValue::from_static(env!("CARGO_PKG_VERSION")),
        );
        Self {
            base_url: base_url.trim_end_matches('/').to_owned(),
            headers,
            transport,
            bodies: Bodies::default(),
        }
    }

    /// Returns an empty buffer for a body that holds so many spans with payloads of so many bytes together.
    pub(super) fn body(&self, payload_bytes: usize, spans: usize) -> Vec<u8> {
        let mut body = self.bodies.take().unwrap_or_default();
        body.reserve(payload_bytes + spans * ITEM_BYTES);
        body
    }

    /// Lets go of the memory of bodies that were sent.
    pub(super) fn rest(&self) {
        self.bodies.clear();
    }

    /// Sends a request to a path under the address and judges the answer.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        minimal: bool,
        attempt: Attempt,
        body: Vec<u8>,
    ) -> Answer {
        let body = Body { bytes: body, bodies: self.bodies.clone() };
        let mut request = http::Request::new(Bytes::from_owner(body));
        let exchange = match http::Uri::try_from(format!("{}{path}", self.base_url)) {
            Ok(uri) => {
                *request.method_mut() = method;
                *request.uri_mut() = uri;
                request.headers_mut().clone_from(&self.headers);
                tell_drops(request.headers_mut(), attempt.dropped.as_ref());
                request.headers_mut().insert(
                    HeaderName::from_static("x-stainless-retry-count"),
                    HeaderValue::from(attempt.number),
                );
                if minimal {
                    request.headers_mut().insert(
                        HeaderName::from_static("prefer"),
                        HeaderValue::from_static("return=minimal"),
                    );
                }
                self.transport.send(request).await
            }
            Err(error) => Err(TransportError::Invalid(error.to_string())),
        };
        classify(exchange, SystemTime::now())
    }
}

/// Percent-encodes an id for a path: everything but letters, digits, `-`, `.`, `_` and `~`.
pub(super) fn path_segment(id: &str) -> String {
    let mut segment = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            segment.push(char::from(byte));
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            segment.push('%');
            for nibble in [byte >> 4, byte & 15] {
                segment.push(HEX.get(usize::from(nibble)).map_or('0', |digit| char::from(*digit)));
            }
        }
    }
    // A path of dots would be taken for a directory.
    if segment.chars().all(|character| character == '.') { segment.replace('.', "%2E") } else { segment }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_small_bodies_is_used_again() {
        let bodies = Bodies::default();
        let sent = |capacity: usize| {
            let body = Body { bytes: Vec::with_capacity(capacity), bodies: bodies.clone() };
            drop(Bytes::from_owner(body));
        };
        sent(KEPT_BODY_BYTES + 1);
        assert!(bodies.take().is_none(), "too large to keep");
        for _ in 0..2 * KEPT_BODIES {
            sent(1000);
        }
        assert_eq!(bodies.0.lock().unwrap().len(), KEPT_BODIES);
        assert!(bodies.take().is_some_and(|body| body.is_empty() && body.capacity() >= 1000));
        bodies.clear();
        assert!(bodies.take().is_none(), "nothing is kept for long");
        let _kept_from_us = bodies.0.lock().unwrap();
        assert!(bodies.take().is_none(), "nobody waits");
    }

    #[test]
    fn ids_are_percent_encoded() {
        assert_eq!(path_segment("a/b c"), "a%2Fb%20c");
        assert_eq!(path_segment("0190-~_."), "0190-~_.");
        assert_eq!(path_segment("ü"), "%C3%BC");
        assert_eq!(path_segment(".."), "%2E%2E");
    }
}
