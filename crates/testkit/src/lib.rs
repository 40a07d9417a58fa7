//! Test tools of endspan, for development only.
//!
//! - [`FakeBackend`]: a scripted server on a real socket that speaks enough Agentex and SGP to tell what a client
//!   would have stored, and fails in every way that networks and servers know;
//! - [`tree`]: prints a trace as indented text, for assertions that people can read;
//! - [`span`]: builds spans of the model;
//! - `TestPostgres`: a Postgres server for tests (on Unix).
#![forbid(unsafe_code)]

mod backend;
mod build;
mod http;
#[cfg(unix)]
mod postgres;
mod store;
mod tree;

pub use backend::{FakeBackend, Reply};
pub use build::{SpanBuilder, span};
pub use http::Request;
#[cfg(unix)]
pub use postgres::TestPostgres;
pub use store::{Protocol, Stored};
pub use tree::tree;
