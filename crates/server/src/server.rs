//! The listener: takes connections in, serves them, and lets them go in order.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use endspan_store::{SpanStore, StoreError};
use http::{Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::Service;

use crate::Config;
use crate::access::guard;
use crate::app::{App, Phase};
use crate::body;
use crate::connection::{self, Either, TimedStream};
use crate::grpc;
use crate::retention;
use crate::routes;
use crate::tls::Inner;

/// Connections that the kernel keeps waiting while the server is busy taking others in.
const BACKLOG: u32 = 4096;

/// Most headers in a request's head; more is 431.
const MAX_HEADERS: usize = 100;

/// Most bytes of a request's head; more is 431. What a connection can make the server hold without sending a request.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How long to wait after the system had no descriptor or memory for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often a shortage that goes on is logged.
const WARN_INTERVAL: Duration = Duration::from_secs(10);

/// What a connection beyond the limit is told.
const TOO_MANY_CONNECTIONS: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
    content-length: 33\r\nretry-after: 1\r\nconnection: close\r\n\r\n{\"detail\":\"too many connections\"}";

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    /// The address asked for.
    pub address: SocketAddr,
    /// The system's answer.
    pub source: io::Error,
}

/// The server stopped, but not as it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The store could not finish; writes without an answer may be missing.
    #[error("the store did not close: {0}")]
    Store(#[from] StoreError),
    /// The store did not finish in time; writes without an answer may be missing.
    #[error("the store did not close within {0:?}")]
    StoreTimeout(Duration),
}

/// A span server that listens.
///
/// It must be made and run inside a Tokio runtime with time and I/O enabled. From [`Server::bind`] on
/// connections queue up in the kernel; [`Server::run`] answers them.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    grpc: Option<(TcpListener, SocketAddr)>,
    app: Arc<App>,
    phase: watch::Sender<Phase>,
}

impl Server {
    /// Listens on [`Config::listen`], and on [`Config::grpc_listen`] if there is one.
    ///
    /// # Errors
    /// [`BindError`] when an address is taken or not ours.
    pub async fn bind(config: Config, store: Arc<dyn SpanStore>) -> Result<Self, BindError> {
        let (listener, address) = bind(config.listen)?;
        let grpc = config.grpc_listen.map(bind).transpose()?;
        let (phase, watched) = watch::channel(Phase::Running);
        Ok(Self { listener, address, grpc, app: App::new(config, store, watched), phase })
    }

    /// Returns the address listened on, with the real port.
    pub const fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns the address listened on for gRPC, with the real port; `None` when there is none.
    pub fn grpc_addr(&self) -> Option<SocketAddr> {
        self.grpc.as_ref().map(|(_, address)| *address)
    }

    /// Serves until `shutdown` completes, then shuts down: takes no more connections, answers what was
    /// received, ends live tails, and closes the store.
    ///
    /// Requests get [`Config::shutdown_timeout`]; connections that are still busy then are cut. The store
    /// gets the same time again.
    ///
    /// # Errors
    /// [`RunError`] when the store does not close in order.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), RunError> {
        let Self { listener, address, grpc, app, phase } = self;
        let grpc_address = grpc.as_ref().map(|(_, address)| *address);
        let router = routes::router(&app);
        let limit = app.config.max_connections.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        let timeout = app.config.shutdown_timeout;
        tracing::info!(%address, ?grpc_address, "serving");
        tokio::spawn(retention::run(Arc::clone(&app)));
        let mut shutdown = pin!(shutdown);
        let mut warned = None;
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => take_in(stream, &app, &router),
                    Err(error) => recover(&error, &mut warned).await,
                },
                accepted = accept(grpc.as_ref()) => match accepted {
                    Ok(stream) => take_in_grpc(stream, &app),
                    Err(error) => recover(&error, &mut warned).await,
                },
            }
        }
        drop((listener, grpc));
        tracing::info!("shutting down: no more connections, finishing what was received");
        phase.send_replace(Phase::Draining);
        let all = Arc::clone(&app.connections).acquire_many_owned(limit as u32);
        if tokio::time::timeout(timeout, all).await.is_err() {
            tracing::warn!(?timeout, "cutting connections that are still busy");
            phase.send_replace(Phase::Aborting);
        }
        match tokio::time::timeout(timeout, app.store.close()).await {
            Ok(closed) => closed?,
            Err(_) => return Err(RunError::StoreTimeout(timeout)),
        }
        tracing::info!("shut down: everything acknowledged is stored");
        Ok(())
    }
}

fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), BindError> {
    let listener = listen(address).map_err(|source| BindError { address, source })?;
    let address = listener.local_addr().map_err(|source| BindError { address, source })?;
    Ok((listener, address))
}

/// Takes the next connection of a listener that may not be there.
async fn accept(listener: Option<&(TcpListener, SocketAddr)>) -> io::Result<TcpStream> {
    match listener {
        Some((listener, _)) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Waits when the system is short of something (open files, mostly); other failures concern one connection that is
/// gone.
async fn recover(error: &io::Error, warned: &mut Option<Instant>) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        if warned.is_none_or(|warned| warned.elapsed() >= WARN_INTERVAL) {
            *warned = Some(Instant::now());
            tracing::warn!(%error, "cannot take in connections");
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

fn take_in(stream: TcpStream, app: &Arc<App>, router: &Router) {
    // Answers are small and complete; waiting to fill a packet only adds latency.
    let _ = stream.set_nodelay(true);
    match Arc::clone(&app.connections).try_acquire_owned() {
        Ok(permit) => {
            tokio::spawn(serve(stream, Arc::clone(app), router.clone(), permit));
        }
        Err(_) => {
            app.telemetry.connections_refused.add(1);
            // Inside TLS nobody would understand the words.
            if app.config.tls.is_none() {
                tokio::spawn(refuse(stream));
            }
        }
    }
}

/// A gRPC connection beyond the limit is closed: exporters try again later.
fn take_in_grpc(stream: TcpStream, app: &Arc<App>) {
    let _ = stream.set_nodelay(true);
    match Arc::clone(&app.connections).try_acquire_owned() {
        Ok(permit) => {
            tokio::spawn(grpc::serve(stream, Arc::clone(app), permit));
        }
        Err(_) => app.telemetry.connections_refused.add(1),
    }
}

async fn refuse(mut stream: TcpStream) {
    let answer = async {
        stream.write_all(TOO_MANY_CONNECTIONS).await?;
        stream.shutdown().await
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), answer).await;
}

/// Serves a connection, through TLS if there is a certificate, until it or the server ends.
async fn serve(stream: TcpStream, app: Arc<App>, router: Router, permit: OwnedSemaphorePermit) {
    let stream = TimedStream::new(stream, app.config.write_timeout);
    match connection::encrypt(&app, stream, Inner::Http).await {
        Some(Either::Left(plain)) => serve_http(plain, app, router).await,
        Some(Either::Right(encrypted)) => serve_http(encrypted, app, router).await,
        None => {}
    }
    drop(permit);
}

async fn serve_http(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, app: Arc<App>, router: Router) {
    let io = TokioIo::new(stream);
    let service = {
        let app = Arc::clone(&app);
        service_fn(move |request| answer(Arc::clone(&app), router.clone(), request))
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.config.header_timeout)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(io, service);
    connection::drive(connection, &app).await;
}

/// Answers a request that the guard lets in; nothing gets past it to a route.
async fn answer(
    app: Arc<App>,
    mut router: Router,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (mut parts, body) = request.into_parts();
    let mut body = Body::new(body);
    match guard::admit(&app, &parts.method, &parts.uri, &mut parts.headers) {
        Ok(caller) => {
            if caller.key.is_some() {
                parts.extensions.insert(caller);
            }
            router.call(Request::from_parts(parts, body)).await
        }
        Err(refused) => {
            if !parts.headers.contains_key(header::EXPECT) {
                body::discard(&mut body, app.config.max_body_bytes).await;
            }
            Ok(routes::refuse(&refused, &parts))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_announces_its_length() {
        let text = std::str::from_utf8(TOO_MANY_CONNECTIONS).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
    }
}
