//! What a server can be told.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use endspan_model::limits;
use endspan_otlp::cost::PriceTable;
use endspan_redaction::{RedactionConfig, Redactor};

use crate::access::KeyRing;
use crate::{Retention, Tls};

/// The settings of a [`Server`](crate::Server). Every field has a default that suits one machine.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 picks a free one. Default 127.0.0.1:5003, where the Agentex SDK looks.
    pub listen: SocketAddr,
    /// Where to listen for OTLP over gRPC, which exporters expect on port 4317. Default nowhere.
    pub grpc_listen: Option<SocketAddr>,
    /// The keys that open the server; they may be replaced while it runs. Default an open ring: nobody is asked.
    pub keys: Arc<KeyRing>,
    /// The certificate of both listeners; `None` for plain connections. Default `None`.
    pub tls: Option<Arc<Tls>>,
    /// How long spans are kept. Default for ever.
    pub retention: Retention,
    /// How often retention looks at the accounts. Default 60 s.
    pub retention_interval: Duration,
    /// While nobody is asked for a key: which names, beside addresses and `localhost`, a request's `Host` may give. A web
    /// page could otherwise reach the server through a name of its own that it points at this machine. `None` lets
    /// every name pass, for servers behind something else that asks. Default `None`.
    pub hosts: Option<Vec<String>>,
    /// Most bytes of a request body, before and after decompression. More is 413. Default
    /// [`limits::MAX_BODY_BYTES`].
    pub max_body_bytes: usize,
    /// Most bytes of one span's payloads together. A larger span alone is refused. Default
    /// [`limits::MAX_SPAN_BYTES`].
    pub max_span_bytes: usize,
    /// Most requests with a body that are worked on at once; one more is answered 503. Default 4096.
    pub max_in_flight_requests: usize,
    /// Most bytes of request bodies held at once, decompressed ones included; a body that would exceed it is
    /// answered 503. Default 256 MiB.
    pub max_in_flight_bytes: usize,
    /// Most open connections; one more is answered 503 and closed. Default 10,000.
    pub max_connections: usize,
    /// Most open live tails; one more is answered 503. Default 256.
    pub max_live_subscribers: usize,
    /// Most bytes of spans on one page of a search. A page that would have more is refused, or ends before it when the
    /// client allows that. Default 32 MiB.
    pub max_search_bytes: usize,
    /// How long a search may look before it is refused, or answered in part when the client allows that. Default 10 s.
    pub search_timeout: Duration,
    /// How long the list of traces, and the search within one, look for text before they answer with what they have. Default 2 s.
    pub trace_text_timeout: Duration,
    /// How long one request deletes before it answers that more is left; at least a piece. Default 5 s.
    pub delete_timeout: Duration,
    /// Takes credentials out of spans before they are stored or answered (`sgp-api` 3.4), on every API that
    /// writes; `None` keeps them. Default the built-in patterns.
    pub redactor: Option<Arc<Redactor>>,
    /// The prices by which the cost of model calls is worked out when it is asked for. Default the built-in table.
    pub prices: Arc<PriceTable>,
    /// How long a client may take to send a request's head, and how long an idle connection is kept.
    /// Default 60 s.
    pub header_timeout: Duration,
    /// How long a body may take before its first byte counts; each 32 KiB received add a second.
    /// Default 30 s.
    pub body_timeout: Duration,
    /// How long a client may read nothing of an answer before its connection is closed. Default 30 s.
    pub write_timeout: Duration,
    /// How long a health check of the store may take. Default 2 s.
    pub health_timeout: Duration,
    /// How often a live tail without news says that it is alive. Default 15 s.
    pub heartbeat: Duration,
    /// How long shutdown waits for requests that were received. Default 30 s.
    pub shutdown_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 5003)),
            grpc_listen: None,
            keys: Arc::new(KeyRing::open()),
            tls: None,
            retention: Retention::default(),
            retention_interval: Duration::from_secs(60),
            hosts: None,
            max_body_bytes: limits::MAX_BODY_BYTES,
            max_span_bytes: limits::MAX_SPAN_BYTES,
            max_in_flight_requests: 4096,
            max_in_flight_bytes: 256 * 1024 * 1024,
            max_connections: 10_000,
            max_live_subscribers: 256,
            max_search_bytes: 32 * 1024 * 1024,
            search_timeout: Duration::from_secs(10),
            trace_text_timeout: Duration::from_secs(2),
            delete_timeout: Duration::from_secs(5),
            redactor: Redactor::new(&RedactionConfig::default()).ok().map(Arc::new),
            prices: Arc::new(PriceTable::built_in().clone()),
            header_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            health_timeout: Duration::from_secs(2),
            heartbeat: Duration::from_secs(15),
            shutdown_timeout: Duration::from_secs(30),
        }
    }
}
