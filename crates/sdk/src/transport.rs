//! HTTP, as little of it as exporters need.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

mod classify;
mod connect;
mod hyper;
mod retry_after;

pub use self::classify::{Answer, classify};
pub use self::hyper::HttpTransport;
pub use self::retry_after::retry_after;

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

/// Returns an error with its causes, without the address (which may carry secrets).
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
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
