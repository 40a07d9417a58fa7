//! Test tools of endspan, for development only.
//!
//! - [`FakeBackend`]: a scripted server on a real socket that speaks enough Agentex and SGP to tell what a client
//!   would have stored, and fails in every way that networks and servers know;
//! - [`tree`]: prints a trace as indented text, for assertions that people can read;
//! - [`span`]: builds spans of the model.
#![forbid(unsafe_code)]

mod backend;
mod build;
mod http;
mod store;
mod tree;

pub use backend::{FakeBackend, Reply};
pub use build::{SpanBuilder, span};
pub use http::Request;
pub use store::{Protocol, Stored};
pub use tree::tree;
