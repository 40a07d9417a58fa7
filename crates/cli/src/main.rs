//! The `endspan` command: runs the span server, a demo of it, and reads traces in the terminal.
//!
//! `args` is the command line, `commands` has one file for each command, `client` asks a server's read API.
//! Nothing here stores, decodes or delivers spans; that is the server's and the SDK's work.
#![forbid(unsafe_code)]

mod args;
mod certificate;
mod client;
mod commands;
mod demo;
mod error;
mod format;
mod host;
mod keys;
mod logging;
mod metrics;
mod output;
mod postgres;
mod progress;
mod redaction;
mod reread;
mod retention;
mod tree;
mod when;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Arguments;

fn main() -> ExitCode {
    match commands::run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}
