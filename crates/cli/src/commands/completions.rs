//! `endspan completions`: what a shell needs to complete the command line.

use clap::CommandFactory;

use crate::args::{Arguments, CompletionsArguments};
use crate::error::CliError;
use crate::output::Output;

pub(crate) fn run(arguments: &CompletionsArguments, mut output: Output) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "endspan", &mut script);
    output.line(script.trim_ascii_end())?;
    Ok(output.flush()?)
}
