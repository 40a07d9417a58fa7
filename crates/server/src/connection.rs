//! Connections: one that does not wait for ever for a client that stops reading, and what TLS makes of it.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::app::{App, Phase};
use crate::tls::Inner;

/// A connection as it came, or inside TLS.
pub(crate) enum Either<P, E> {
    Left(P),
    Right(E),
}

/// Begins TLS on a connection if there is a certificate. `None` when the client does not come to terms in time, or the server
/// stops.
pub(crate) async fn encrypt(
    app: &App,
    stream: TimedStream,
    inner: Inner,
) -> Option<Either<TimedStream, Box<TlsStream<TimedStream>>>> {
    let Some(tls) = &app.config.tls else { return Some(Either::Left(stream)) };
    let accept = TlsAcceptor::from(tls.config(inner)).accept(stream);
    let mut phase = app.phase.clone();
    let stopped = phase.wait_for(|phase| *phase != Phase::Running);
    tokio::select! {
        accepted = timeout(app.config.header_timeout, accept) => match accepted {
            Ok(Ok(stream)) => Some(Either::Right(Box::new(stream))),
            Ok(Err(error)) => {
                tracing::debug!(%error, "no TLS with a client");
                None
            }
            Err(_) => None,
        },
        _ = stopped => None,
    }
}

/// Serves a connection until it or the server ends; what was asked before the server began to stop is answered.
pub(crate) async fn drive(connection: impl GracefulConnection<Error = hyper::Error>, app: &App) {
    let mut phase = app.phase.clone();
    let mut connection = pin!(connection);
    if *phase.borrow() != Phase::Running {
        connection.as_mut().graceful_shutdown();
    }
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                break;
            }
            changed = phase.changed() => match *phase.borrow_and_update() {
                Phase::Draining if changed.is_ok() => connection.as_mut().graceful_shutdown(),
                _ => break,
            },
        }
    }
}

/// A TCP stream whose writes fail when the peer has taken nothing for a while.
#[derive(Debug)]
pub(crate) struct TimedStream {
    stream: TcpStream,
    write_timeout: Duration,
    /// Runs while a write is blocked.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl TimedStream {
    pub(crate) const fn new(stream: TcpStream, write_timeout: Duration) -> Self {
        Self { stream, write_timeout, stalled: None }
    }

    fn watch<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let deadline = Instant::now() + self.write_timeout;
        let sleep = self.stalled.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        match sleep.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for TimedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
