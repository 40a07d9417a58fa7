//! What the server counts about itself, and how `/metrics` shows it.
//!
//! Plain atomics in fixed tables: counting costs a few nanoseconds, allocates nothing and holds no history,
//! so that an unscraped server does not grow. [`Metric`] is the whole list; its texts are the operator's
//! documentation.

mod counters;
mod render;

pub(crate) use counters::{Outcome, Telemetry};
pub(crate) use render::{LiveFigures, render};

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the label's text.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

macro_rules! metrics {
    ($($variant:ident = $name:literal, $kind:ident, $help:literal;)*) => {
        /// Every metric of the server.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Metric {
            $(#[doc = $help] $variant,)*
        }

        impl Metric {
            /// Every metric, in the order of `/metrics`.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the metric's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Returns what the metric counts, for operators.
            pub const fn help(self) -> &'static str {
                match self {
                    $(Self::$variant => $help,)*
                }
            }

            /// Returns the Prometheus type.
            pub const fn kind(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($kind),)*
                }
            }
        }
    };
}

metrics! {
    HttpRequests = "endspan_http_requests_total", counter,
        "Requests by route and status class; `cancelled` when the client left before the answer.";
    HttpRequestDuration = "endspan_http_request_duration_seconds", histogram,
        "Time from the request's head to its answer's head, by route.";
    IngestReceivedSpans = "endspan_ingest_received_spans_total", counter,
        "Spans that a write request held, by protocol. Each ends in exactly one outcome.";
    IngestSpans = "endspan_ingest_spans_total", counter,
        "Received spans by protocol and outcome: `stored` (durable), `superseded` (a newer version is stored), \
         `rejected` with a drop reason, `unacknowledged` (the client left before the answer; stored or not).";
    ClientDroppedSpans = "endspan_client_dropped_spans_total", counter,
        "Spans that never came: what SDKs say that they gave up, by reason. Counts from the start of each SDK.";
    IngestBytes = "endspan_ingest_bytes_total", counter,
        "Bytes of write requests' bodies after decompression, by protocol.";
    IngestRequestSpans = "endspan_ingest_request_spans", histogram,
        "Spans in one write request, by protocol.";
    StoreWriteDuration = "endspan_store_write_duration_seconds", histogram,
        "Time until a write request was durable, the wait for its group included.";
    StoreWriteFailures = "endspan_store_write_failures_total", counter,
        "Write requests that the store failed or refused as a whole.";
    Redactions = "endspan_redactions_total", counter,
        "Credentials replaced before storing, by built-in pattern; `custom` are those of the settings.";
    DeletedSpans = "endspan_deleted_spans_total", counter,
        "Spans deleted, by reason: retention by `age` or `size`, or a `request`.";
    DeletedTraces = "endspan_deleted_traces_total", counter,
        "Traces of which nothing is left, by the same reasons.";
    RetentionFailures = "endspan_retention_failures_total", counter,
        "Rounds of retention that ended early because the store failed.";
    UnauthorizedRequests = "endspan_unauthorized_requests_total", counter,
        "Requests without a key, or with one that is unknown or has expired (401).";
    ForbiddenRequests = "endspan_forbidden_requests_total", counter,
        "Requests that their key, or their Host, does not allow (403).";
    Keys = "endspan_keys", gauge,
        "API keys that the server knows, expired ones included; 0 while it asks nobody.";
    InFlightRequests = "endspan_in_flight_requests", gauge,
        "Requests with a body that are worked on now.";
    InFlightBytes = "endspan_in_flight_bytes", gauge,
        "Bytes of request bodies held now.";
    Connections = "endspan_connections", gauge,
        "Open connections.";
    ConnectionsRefused = "endspan_connections_refused_total", counter,
        "Connections refused because too many were open.";
    LiveSubscribers = "endspan_live_subscribers", gauge,
        "Open live tails.";
    StoreSpans = "endspan_store_spans", gauge,
        "Stored spans of all accounts.";
    StoreTraces = "endspan_store_traces", gauge,
        "Stored traces of all accounts.";
    StoreDiskBytes = "endspan_store_disk_bytes", gauge,
        "Bytes the store takes on disk, logs included.";
    StoreRawPayloadBytes = "endspan_store_raw_payload_bytes", gauge,
        "Bytes of stored payload before compression.";
    StoreStoredPayloadBytes = "endspan_store_stored_payload_bytes", gauge,
        "Bytes of stored payload as stored.";
    StoreSupersededPayloadBytes = "endspan_store_superseded_payload_bytes", gauge,
        "Bytes of stored payload of replaced versions that wait for compaction.";
}

labels! {
    /// A protocol that writes spans.
    Protocol {
        /// The Agentex spans API.
        Agentex = "agentex",
        /// The SGP v5 spans API.
        Sgp = "sgp",
        /// OTLP, over HTTP or gRPC.
        Otlp = "otlp",
        /// Lines of an export.
        Import = "import",
    }
}

labels! {
    /// A route, as metrics and logs name it.
    Route {
        /// `POST /spans`
        AgentexCreate = "agentex_create",
        /// `GET /spans/{span_id}`
        AgentexGet = "agentex_get",
        /// `PATCH /spans/{span_id}`
        AgentexPatch = "agentex_patch",
        /// `GET /spans`
        AgentexList = "agentex_list",
        /// `POST /spans/batch`
        AgentexBatchInsert = "agentex_batch_insert",
        /// `PUT /spans/batch`
        AgentexBatchUpsert = "agentex_batch_upsert",
        /// `POST /v5/spans`
        SgpCreate = "sgp_create",
        /// `GET /v5/spans/{span_id}`
        SgpGet = "sgp_get",
        /// `PATCH /v5/spans/{span_id}`
        SgpPatch = "sgp_patch",
        /// `POST /v5/spans/batch`
        SgpBatchInsert = "sgp_batch_insert",
        /// `PUT /v5/spans/batch`
        SgpBatchUpsert = "sgp_batch_upsert",
        /// `POST /v5/spans/search`
        SgpSearch = "sgp_search",
        /// `POST /v5/span-assessments`
        SgpAssessmentCreate = "sgp_assessment_create",
        /// `GET /v5/span-assessments/{span_assessment_id}`
        SgpAssessmentGet = "sgp_assessment_get",
        /// `GET /v5/span-assessments`
        SgpAssessmentList = "sgp_assessment_list",
        /// `PATCH /v5/span-assessments/{span_assessment_id}`
        SgpAssessmentUpdate = "sgp_assessment_update",
        /// `DELETE /v5/span-assessments/{span_assessment_id}`
        SgpAssessmentDelete = "sgp_assessment_delete",
        /// `POST /v1/traces`
        OtlpHttp = "otlp_http",
        /// `TraceService/Export` over gRPC
        OtlpGrpc = "otlp_grpc",
        /// `GET /api/traces`
        NativeTraces = "native_traces",
        /// `GET /api/traces/{trace_id}`
        NativeTrace = "native_trace",
        /// `GET /api/spans/{trace_id}/{span_id}`
        NativeSpan = "native_span",
        /// `GET /api/tail`
        NativeTail = "native_tail",
        /// `DELETE /api/traces` and `DELETE /api/traces/{trace_id}`
        NativeDelete = "native_delete",
        /// `GET /api/export`
        Export = "export",
        /// `POST /api/import`
        Import = "import",
        /// `GET /api/stats` and `GET /api/info`
        NativeFigures = "native_figures",
    }
}

labels! {
    /// How a request ended.
    StatusClass {
        /// 1xx to 3xx.
        Success = "2xx",
        /// 4xx.
        ClientError = "4xx",
        /// 5xx.
        ServerError = "5xx",
        /// The client left before the answer.
        Cancelled = "cancelled",
    }
}
