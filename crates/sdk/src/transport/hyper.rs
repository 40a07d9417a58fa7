use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;

use bytes::Bytes;
use http::header::PROXY_AUTHORIZATION;
use http::uri::Scheme;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{self, Client};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::connect::Connector;
use super::{Exchange, Transport, TransportError, chain};

/// The default transport: HTTP/1.1 over keep-alive connections.
///
/// TLS is rustls, with the provider that the host has installed for the process, else ring. Certificates are judged as the
/// platform does: by the system's verifier on macOS and Windows, by the system's root certificates elsewhere
/// (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others). They are loaded with the first `https` request.
///
/// Honours `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, for proxies that speak HTTP. The connections belong
/// to the runtime of the thread that sends, which is endspan's own; a forked child makes its own.
#[derive(Debug, Default)]
pub struct HttpTransport {
    /// The client, and the process that it belongs to.
    client: Mutex<Option<(u64, Wired)>>,
    connect_timeout: Option<Duration>,
}

/// How long a connection may take to come about, as in the reference's clients.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection is kept for the next request, and how many to one destination.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const IDLE_CONNECTIONS: usize = 32;

/// A client and the proxies that it goes through.
#[derive(Clone, Debug)]
struct Wired {
    client: Client<Connector, Full<Bytes>>,
    proxies: Arc<Matcher>,
}

impl HttpTransport {
    /// Makes a transport. Nothing is opened before the first request.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long a connection may take to come about, handshakes included. Default: 5 s.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Returns this process's client.
    fn wire(&self, proxies: impl FnOnce() -> Matcher) -> Wired {
        let generation = endspan_spool::fork_generation();
        let mut held = match self.client.try_lock() {
            Ok(held) => Some(held),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            // Another thread sends, too, or did in the parent at the fork, where it holds the lock for ever.
            Err(TryLockError::WouldBlock) => None,
        };
        if let Some((of, wired)) = held.as_ref().and_then(|held| held.as_ref())
            && *of == generation
        {
            return wired.clone();
        }
        let wired = self.new_client(proxies());
        if let Some(held) = &mut held
            && let Some(foreign) = held.replace((generation, wired.clone()))
        {
            // Connections of the parent: to close them would wake tasks of its runtime, whose locks may be held.
            std::mem::forget(foreign);
        }
        wired
    }

    fn new_client(&self, proxies: Matcher) -> Wired {
        let proxies = Arc::new(proxies);
        let timeout = self.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(Connector::new(Arc::clone(&proxies), timeout));
        Wired { client, proxies }
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: http::Request<Bytes>) -> Exchange {
        let Wired { client, proxies } = self.wire(Matcher::from_env);
        Box::pin(async move {
            let mut request = request.map(Full::new);
            if request.uri().scheme() == Some(&Scheme::HTTP)
                && let Some(proxy) = proxies.intercept(request.uri())
                && let Some(authorization) = proxy.basic_auth()
            {
                request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
            }
            let (head, body) = client.request(request).await.map_err(|error| describe(&error))?.into_parts();
            let body = body.collect().await.map_err(|error| TransportError::Broken(chain(&error)))?;
            Ok(http::Response::from_parts(head, body.to_bytes()))
        })
    }
}

fn describe(error: &legacy::Error) -> TransportError {
    let text = chain(error);
    if error.is_connect() { TransportError::Connect(text) } else { TransportError::Broken(text) }
}

#[cfg(test)]
mod tests;
