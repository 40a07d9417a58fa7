//! The endspan span server, as a library.
//!
//! One listener serves the Agentex spans API (`/spans`), the SGP v5 spans API (`/v5/spans`, also under
//! `/public`), OTLP traces (`/v1/traces`), a native read API (`/api`) with a live tail, health, metrics and the
//! OpenAPI document. A second one, if asked for, serves OTLP over gRPC.
//! Spans go to any [`SpanStore`](endspan_store::SpanStore); a 2xx means that they are durable there.
//!
//! The server starts no runtime, reads no environment and no files: [`Config`] says everything. It keeps no
//! span in memory beyond the requests that it is working on, and those are bounded.
//!
//! The contract of every route is in `docs/http-api.md`. Start reading at [`Server`], then `ingest`.
#![forbid(unsafe_code)]

pub mod access;
mod account;
mod admission;
mod app;
mod body;
mod clients;
mod config;
mod connection;
mod grpc;
mod history;
mod ingest;
mod live;
mod problem;
mod reply;
mod retention;
mod routes;
mod server;
pub mod telemetry;
mod text;
mod tls;

pub use config::Config;
pub use retention::{Retention, RetentionLimits};
pub use server::{BindError, RunError, Server};
pub use tls::{Tls, TlsError};
