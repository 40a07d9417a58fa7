//! One module for each command.

mod ls;
mod show;
mod tail;

use std::future::Future;

use crate::args::{Arguments, Command};
use crate::error::{CliError, Exit};
use crate::output::Output;

/// Does what the command line asks for.
pub(crate) fn run(arguments: Arguments) -> Result<(), CliError> {
    let output = Output::stdout(arguments.color);
    match arguments.command {
        Command::Ls(arguments) => wait_for(ls::run(arguments, output)),
        Command::Show(arguments) => wait_for(show::run(arguments, output)),
        Command::Tail(arguments) => wait_for(tail::run(arguments, output)),
        Command::Serve(_) | Command::Demo(_) => Err(CliError::new(Exit::Usage, "nothing to serve with")),
    }
}

/// Runs a reader to its end; one thread is plenty for it.
fn wait_for(command: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| CliError::new(Exit::Local, format!("cannot start a runtime: {error}")))?;
    runtime.block_on(command)
}
