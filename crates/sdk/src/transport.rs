//! HTTP, as little of it as exporters need.

use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;

mod classify;
mod retry_after;

pub use classify::{Answer, classify};
pub use retry_after::retry_after;

/// An exchange under way.
pub type Exchange =
    Pin<Box<dyn Future<Output = Result<http::Response<Bytes>, TransportError>> + Send + 'static>>;

/// Sends one HTTP request and returns the whole answer. Keeps connections alive, follows no redirects and retries
/// nothing by itself.
pub trait Transport: Send + Sync + 'static {
    /// Sends a request. Its URI is absolute.
    fn send(&self, request: http::Request<Bytes>) -> Exchange;
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// No connection came about, so that the destination cannot have seen the request.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The time was up.
    #[error("timed out: {0}")]
    Timeout(String),
    /// The connection broke; the destination may have seen the request.
    #[error("connection broke: {0}")]
    Broken(String),
    /// The request cannot be sent at all, such as one without a valid address.
    #[error("cannot be sent: {0}")]
    Invalid(String),
}

/// The default transport: HTTP/1.1 over keep-alive connections, TLS by rustls.
///
/// Honours `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`. The connections belong to the thread's runtime that
/// first sends, which is endspan's own.
#[derive(Debug, Default)]
pub struct HttpTransport {
    client: OnceLock<Result<reqwest::Client, String>>,
    connect_timeout: Option<Duration>,
}

/// How long a connection may take to come about, as in the reference's clients.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl HttpTransport {
    /// Makes a transport. Nothing is opened before the first request.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long a connection may take to come about. Default: 5 s.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    fn client(&self) -> Result<&reqwest::Client, TransportError> {
        let build = || {
            let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
            // Fails only if the host has set another one, which then serves as well.
            let _ = rustls::crypto::CryptoProvider::install_default((*provider).clone());
            reqwest::Client::builder()
                .http1_only()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(self.connect_timeout.unwrap_or(CONNECT_TIMEOUT))
                .pool_idle_timeout(Duration::from_secs(60))
                .pool_max_idle_per_host(32)
                .tcp_nodelay(true)
                .retry(reqwest::retry::never())
                .build()
                .map_err(|error| chain(&error))
        };
        self.client.get_or_init(build).as_ref().map_err(|error| TransportError::Invalid(error.clone()))
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: http::Request<Bytes>) -> Exchange {
        let client = self.client().cloned();
        Box::pin(async move {
            let request = reqwest::Request::try_from(request)
                .map_err(|error| TransportError::Invalid(chain(&error)))?;
            let response = client?.execute(request).await.map_err(|error| describe(&error))?;
            let mut answer = http::Response::new(Bytes::new());
            *answer.status_mut() = response.status();
            *answer.headers_mut() = response.headers().clone();
            *answer.body_mut() = response.bytes().await.map_err(|error| describe(&error))?;
            Ok(answer)
        })
    }
}

fn describe(error: &reqwest::Error) -> TransportError {
    let text = chain(error);
    if error.is_connect() {
        TransportError::Connect(text)
    } else if error.is_timeout() {
        TransportError::Timeout(text)
    } else if error.is_builder() {
        TransportError::Invalid(text)
    } else {
        TransportError::Broken(text)
    }
}

/// Returns an error with its causes, without the address (which may carry secrets).
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if text.is_empty() { error.to_string() } else { text }
}
