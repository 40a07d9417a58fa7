//! One module for each command.

mod agentex;
mod completions;
mod delete;
mod demo;
mod doctor;
mod keys;
mod ls;
mod man;
mod redact;
mod search;
mod serve;
mod show;
mod tail;
mod transfer;

use std::future::Future;

use crate::args::{Arguments, Command, ImportArguments, ImportSource};
use crate::error::{CliError, Exit};
use crate::output::Output;

/// Does what the command line asks for.
pub(crate) fn run(arguments: Arguments) -> Result<(), CliError> {
    let output = Output::stdout(arguments.color);
    match arguments.command {
        Command::Ls(arguments) => wait_for(ls::run(arguments, output)),
        Command::Show(arguments) => wait_for(show::run(arguments, output)),
        Command::Tail(arguments) => wait_for(tail::run(arguments, output)),
        Command::Search(arguments) => wait_for(search::run(*arguments, output)),
        Command::Export(arguments) => wait_for(transfer::export(arguments)),
        Command::Import(ImportArguments { source: Some(ImportSource::Agentex(arguments)), .. }) => {
            wait_for_host(agentex::run(arguments, output))
        }
        Command::Import(arguments) => wait_for(transfer::import(arguments)),
        Command::Delete(arguments) => wait_for(delete::run(arguments)),
        Command::Doctor(arguments) => wait_for(doctor::run(arguments, output)),
        Command::Redact(arguments) => redact::run(arguments, output),
        Command::Migrate(arguments) => wait_for(crate::postgres::run_migrate(arguments, output)),
        Command::Completions(arguments) => completions::run(&arguments, output),
        Command::Man(arguments) => man::run(&arguments, output),
        Command::Keys(command) => keys::run(command, output),
        Command::Serve(arguments) => wait_for_host(serve::run(arguments, output)),
        Command::Demo(arguments) => wait_for_host(demo::run(arguments, output)),
    }
}

/// Runs a reader to its end; one thread is plenty for it.
fn wait_for(command: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    run_on(tokio::runtime::Builder::new_current_thread(), command)
}

/// Runs a command with a server in it to its end.
fn wait_for_host(command: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    run_on(tokio::runtime::Builder::new_multi_thread(), command)
}

fn run_on(
    mut builder: tokio::runtime::Builder,
    command: impl Future<Output = Result<(), CliError>>,
) -> Result<(), CliError> {
    let runtime = builder.enable_all().build();
    let runtime =
        runtime.map_err(|error| CliError::new(Exit::Local, format!("cannot start a runtime: {error}")))?;
    runtime.block_on(command)
}
