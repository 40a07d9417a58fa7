//! A server over a real socket, on each store engine, and a client that sees every byte of its answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use endspan_server::{Config, RunError, Server};
use endspan_store::SpanStore;
use endspan_store::memory::MemoryStore;
use endspan_store_embedded::{EmbeddedStore, Options};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;

/// Runs each of the named functions on every store engine.
#[macro_export]
macro_rules! on_every_store {
    ($($test:ident),* $(,)?) => {
        $(
            mod $test {
                #[tokio::test]
                async fn memory() {
                    super::$test($crate::harness::Harness::start().await).await;
                }

                #[tokio::test]
                async fn embedded() {
                    super::$test($crate::harness::Harness::embedded().await).await;
                }
            }
        )*
    };
}

/// A running server and one keep-alive connection to it.
pub(crate) struct Harness {
    pub(crate) address: std::net::SocketAddr,
    /// Where OTLP over gRPC is served, if [`Config::grpc_listen`] asks for it.
    pub(crate) grpc_address: Option<std::net::SocketAddr>,
    connection: Mutex<Option<SendRequest<Full<Bytes>>>>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), RunError>>,
    connections_made: std::sync::atomic::AtomicUsize,
    directory: Option<tempfile::TempDir>,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("answers are UTF-8")
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The JSON of a 200.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
    }

    /// The JSON of a refusal with this status.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        self.json()
    }
}

impl Harness {
    pub(crate) async fn start() -> Self {
        Self::with_store(Arc::new(MemoryStore::new())).await
    }

    /// On the embedded engine, in a directory that goes with the harness.
    pub(crate) async fn embedded() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(directory.path(), Options::default()).unwrap();
        let mut harness = Self::with_store(Arc::new(store)).await;
        harness.directory = Some(directory);
        harness
    }

    pub(crate) async fn with_store(store: Arc<dyn SpanStore>) -> Self {
        Self::with(Config::default(), store).await
    }

    pub(crate) async fn with(config: Config, store: Arc<dyn SpanStore>) -> Self {
        let listen = "127.0.0.1:0".parse().unwrap();
        let server = Server::bind(Config { listen, ..config }, store).await.unwrap();
        let address = server.addr();
        let grpc_address = server.grpc_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self {
            address,
            grpc_address,
            connection: Mutex::new(None),
            stop: Some(stop),
            task,
            connections_made: Default::default(),
            directory: None,
        }
    }

    /// Asks the server to stop.
    pub(crate) fn begin_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Stops the server and returns what it says.
    pub(crate) async fn stop(mut self) -> Result<(), RunError> {
        self.begin_stop();
        self.connection.lock().await.take();
        self.task.await.unwrap()
    }

    /// How many connections were made so far: one, as long as the server keeps the first alive.
    pub(crate) fn connections_made(&self) -> usize {
        self.connections_made.load(std::sync::atomic::Ordering::Relaxed)
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request = http::Request::builder().method(method).uri(path).header("host", "test");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let mut connection = self.connection.lock().await;
        let kept = match connection.take() {
            Some(mut sender) => sender.ready().await.is_ok().then_some(sender),
            None => None,
        };
        let mut sender = match kept {
            Some(sender) => sender,
            None => self.connect().await,
        };
        let response = sender.send_request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        *connection = Some(sender);
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(crate) async fn connect(&self) -> SendRequest<Full<Bytes>> {
        self.connections_made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// Sends bytes as they are on a connection of their own and returns all that comes back until it closes.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let _ = tokio::time::timeout(Duration::from_secs(60), read).await.expect("the server closes");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Sends a request and returns as much of the answer as has come when the wanted text is in it.
    pub(crate) async fn stream(&self, path: &str, headers: &[(&str, &str)], until: &str) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut head = format!("GET {path} HTTP/1.1\r\nhost: test\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        let mut buffer = [0; 16 * 1024];
        let read = async {
            while !answer.contains(until) {
                let count = stream.read(&mut buffer).await.unwrap();
                assert_ne!(count, 0, "the server closed after {answer}");
                answer.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        };
        tokio::time::timeout(Duration::from_secs(30), read).await.expect("the text comes");
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    pub(crate) async fn json(&self, method: &str, path: &str, body: impl Into<Bytes>) -> Answer {
        self.send(method, path, &[("content-type", "application/json")], body).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.json("POST", path, body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.json("PATCH", path, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.json("PUT", path, body).await
    }

    /// The value of one line of `/metrics`, labels included in the name.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let page = self.get("/metrics").await.text();
        let line =
            page.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .unwrap_or_else(|| panic!("no metric {name}"))
    }

    /// Checks that every received span of a protocol ended in exactly one outcome, and returns the outcomes that
    /// occurred.
    pub(crate) async fn conservation(&self, protocol: &str) -> Vec<(String, u64)> {
        let page = self.get("/metrics").await.text();
        let mut outcomes = Vec::new();
        let prefix = format!("endspan_ingest_spans_total{{protocol=\"{protocol}\",");
        for line in page.lines().filter_map(|line| line.strip_prefix(prefix.as_str())) {
            let (labels, count) = line.rsplit_once("} ").unwrap();
            let count: u64 = count.parse().unwrap();
            let labels: Vec<&str> =
                labels.split('"').skip(1).step_by(2).filter(|text| !text.is_empty()).collect();
            if count > 0 {
                outcomes.push((labels.join(":"), count));
            }
        }
        let received =
            self.metric(&format!("endspan_ingest_received_spans_total{{protocol=\"{protocol}\"}}")).await;
        assert_eq!(received, outcomes.iter().map(|(_, count)| count).sum::<u64>(), "{outcomes:?}");
        outcomes
    }
}
