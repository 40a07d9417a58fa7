//! OTLP over gRPC: one unary call, `TraceService/Export`, over HTTP/2 on a port of its own.
//!
//! The call takes the same way as `POST /v1/traces`: same limits, accounts (`x-selected-account-id` as metadata),
//! redaction and store. The protocol is small enough to stand here whole
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>), and so a message is bounded and accounted for
//! before it is in memory, like every other body.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use endspan_otlp::response::Encoding as Form;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use crate::access::guard;
use crate::account::selected_account;
use crate::app::App;
use crate::body::{self, Encoding, ReadBody};
use crate::connection::{self, Either, TimedStream};
use crate::problem::Problem;
use crate::routes::otlp::{self, Refusal, code};
use crate::telemetry::Route;
use crate::tls::Inner;

/// The one method.
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Bytes before each message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// Calls that one connection may have open at once.
const MAX_STREAMS: u32 = 256;

/// Bytes that a client may send ahead, for one call and for a connection.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// How often a silent connection is asked whether it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

const STATUS: &str = "grpc-status";
const MESSAGE: &str = "grpc-message";
const ACCEPTED: (&str, &str) = ("grpc-accept-encoding", "identity,gzip,zstd");

/// Serves a connection until it or the server ends.
pub(crate) async fn serve(stream: TcpStream, app: Arc<App>, permit: OwnedSemaphorePermit) {
    let stream = TimedStream::new(stream, app.config.write_timeout);
    match connection::encrypt(&app, stream, Inner::Grpc).await {
        Some(Either::Left(plain)) => serve_calls(plain, app).await,
        Some(Either::Right(encrypted)) => serve_calls(encrypted, app).await,
        None => {}
    }
    drop(permit);
}

async fn serve_calls(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, app: Arc<App>) {
    let io = TokioIo::new(stream);
    let service = {
        let app = Arc::clone(&app);
        service_fn(move |request| {
            let app = Arc::clone(&app);
            async move { Ok::<_, Infallible>(call(&app, request).await) }
        })
    };
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(KEEP_ALIVE)
        .serve_connection(io, service);
    connection::drive(connection, &app).await;
}

async fn call(app: &App, request: Request<Incoming>) -> Response<Body> {
    let timer = app.telemetry.begin(Route::OtlpGrpc);
    let (status, response) = match export(app, request).await {
        Ok(message) => (StatusCode::OK, success(message)),
        Err(refusal) => (refusal.status, failure(&refusal)),
    };
    timer.finish(status);
    response
}

/// Runs the call; returns the encoded answer.
async fn export(app: &App, request: Request<Incoming>) -> Result<Vec<u8>, Refusal> {
    let (mut parts, body) = request.into_parts();
    // Metadata are headers: keys and accounts stand in them as over HTTP.
    guard::admit(app, &parts.method, &parts.uri, &mut parts.headers)
        .map_err(|refused| Refusal::from(&refused))?;
    let is_grpc = parts.headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        let value = value.as_bytes();
        value.starts_with(b"application/grpc") && !value.starts_with(b"application/grpc-web")
    });
    if parts.method != Method::POST || !is_grpc || parts.uri.path() != EXPORT {
        return Err(Refusal {
            status: StatusCode::NOT_FOUND,
            code: code::UNIMPLEMENTED,
            message: format!("only {EXPORT} is served here"),
        });
    }
    // A gRPC message has an encoding of its own; the body as a whole has none.
    let read = body::read_any(app, &HeaderMap::new(), Body::new(body)).await.map_err(Problem::from)?;
    let message = unframe(app, &parts.headers, read).await?;
    let account = selected_account(&parts.headers).map_err(Problem::from)?;
    let partial =
        otlp::store(app, &parts.headers, account.unwrap_or_default(), message, Form::Protobuf).await?;
    Ok(partial.encode(Form::Protobuf))
}

/// Takes the one message out of its frame and decompresses it.
async fn unframe(app: &App, headers: &HeaderMap, read: ReadBody) -> Result<ReadBody, Refusal> {
    let malformed = |message: &str| Refusal {
        status: StatusCode::BAD_REQUEST,
        code: code::INVALID_ARGUMENT,
        message: message.to_owned(),
    };
    let ReadBody { mut bytes, _permit: permit } = read;
    let Some((&[compressed, a, b, c, d], rest)) = bytes.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(malformed("message: truncated"));
    };
    if usize::try_from(u32::from_be_bytes([a, b, c, d])) != Ok(rest.len()) {
        return Err(malformed("message: not one whole message"));
    }
    let bytes = bytes.split_off(PREFIX_BYTES);
    let name = headers.get("grpc-encoding").map(HeaderValue::as_bytes).unwrap_or_default();
    match (compressed, Encoding::named(name).map_err(Problem::from)?) {
        (0, _) => Ok(ReadBody { bytes, _permit: permit }),
        (1, Some(encoding)) => {
            Ok(body::decompress(app, encoding, bytes, permit).await.map_err(Problem::from)?)
        }
        _ => Err(malformed("message: compressed, but grpc-encoding does not say how")),
    }
}

fn success(message: Vec<u8>) -> Response<Body> {
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(&message);
    let mut trailers = HeaderMap::new();
    trailers.insert(STATUS, HeaderValue::from_static("0"));
    let body = Full::new(frame.freeze()).with_trailers(async { Some(Ok::<_, Infallible>(trailers)) });
    head(Response::new(Body::new(body)))
}

/// A failed call has no message: its status stands in the head.
fn failure(refusal: &Refusal) -> Response<Body> {
    let mut response = head(Response::new(Body::new(Full::new(Bytes::new()))));
    let headers = response.headers_mut();
    headers.insert(STATUS, HeaderValue::from(refusal.code));
    if let Ok(message) = HeaderValue::try_from(percent_encoded(&refusal.message)) {
        headers.insert(MESSAGE, message);
    }
    response
}

fn head(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(ACCEPTED.0, HeaderValue::from_static(ACCEPTED.1));
    response
}

/// Returns a message as a header can hold it.
fn percent_encoded(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_hold_only_what_a_header_can() {
        assert_eq!(percent_encoded("100% ü\n"), "100%25 %C3%BC%0A");
    }
}
