use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tower_service::Service;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// When an idle connection is probed, and how often before it counts as broken.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 3;

/// Makes connections: TCP, through a proxy where one is set, and TLS for `https`.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    tcp: HttpConnector,
    proxies: Arc<Matcher>,
    tls: Arc<OnceLock<Result<Arc<ClientConfig>, String>>>,
    timeout: Duration,
}

impl Connector {
    /// `timeout` covers everything up to the first byte of a request.
    pub(super) fn new(proxies: Arc<Matcher>, timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeout));
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE));
        tcp.set_keepalive_retries(Some(KEEPALIVE_PROBES));
        Self { tcp, proxies, tls: Arc::default(), timeout }
    }

    async fn connect(self, destination: Uri) -> Result<Stream, Error> {
        let secure = destination.scheme() == Some(&Scheme::HTTPS);
        let Some(proxy) = self.proxies.intercept(&destination) else {
            let stream = self.leg(destination.clone()).await?;
            return Ok(Stream { io: stream, proxied: false });
        };
        if !secure {
            return Ok(Stream { io: self.leg(proxy.uri().clone()).await?, proxied: true });
        }
        let mut tunnel = Tunnel::new(proxy.uri().clone(), Leg(self.clone()));
        if let Some(authorization) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        let stream = tunnel.call(destination.clone()).await?;
        Ok(Stream { io: self.secure(stream.into_inner(), &destination).await?, proxied: false })
    }

    /// Connects to an address without looking for proxies.
    async fn leg(&self, address: Uri) -> Result<BoxedIo, Error> {
        match address.scheme_str() {
            Some("http" | "https") => {}
            _ => return Err("an address must begin with http or https, that of a proxy too".into()),
        }
        let stream = self.tcp.clone().call(address.clone()).await?.into_inner();
        if address.scheme() == Some(&Scheme::HTTPS) {
            self.secure(Box::new(stream), &address).await
        } else {
            Ok(TokioIo::new(Box::new(stream)))
        }
    }

    async fn secure(&self, stream: Box<dyn Io>, address: &Uri) -> Result<BoxedIo, Error> {
        let tls = self.tls.get_or_init(|| configure().map_err(|error| error.to_string()));
        let tls = TlsConnector::from(Arc::clone(tls.as_ref().map_err(|error| format!("no TLS: {error}"))?));
        let host = address.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())?;
        Ok(TokioIo::new(Box::new(tls.connect(name, stream).await?)))
    }
}

fn configure() -> Result<Arc<ClientConfig>, Error> {
    let provider = provider().ok_or("no cryptography is installed, and endspan was built without any")?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Never installs one: which provider the process uses is the host's choice.
fn provider() -> Option<Arc<CryptoProvider>> {
    let installed = CryptoProvider::get_default().cloned();
    #[cfg(feature = "ring")]
    let installed = installed.or_else(|| Some(Arc::new(rustls::crypto::ring::default_provider())));
    installed
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.tcp.poll_ready(context).map_err(Error::from)
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let timeout = connector.timeout;
            match tokio::time::timeout(timeout, connector.connect(destination)).await {
                Ok(result) => result,
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            }
        })
    }
}

/// The way to a proxy, as a tunnel asks for it.
#[derive(Clone, Debug)]
struct Leg(Connector);

impl Service<Uri> for Leg {
    type Response = BoxedIo;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<BoxedIo, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, proxy: Uri) -> Self::Future {
        let connector = self.0.clone();
        Box::pin(async move { connector.leg(proxy).await })
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

type BoxedIo = TokioIo<Box<dyn Io>>;

/// A connection that is ready for a request.
pub(super) struct Stream {
    io: BoxedIo,
    /// Requests name the whole address, since the other end is a proxy.
    proxied: bool,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.proxied)
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, parts)
    }
}
