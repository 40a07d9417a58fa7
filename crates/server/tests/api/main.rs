//! The HTTP contract, row by row, over a real socket and on every store engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails panics")]

mod access;
mod agentex_batch;
mod agentex_list;
mod agentex_patch;
mod agentex_write;
mod assessments;
mod harness;
mod limits;
mod native;
mod normal;
mod operations;
mod otlp;
mod retention;
mod scripted_store;
mod sgp;
mod sgp_search;
mod tls;
mod transfer;
mod ui;
