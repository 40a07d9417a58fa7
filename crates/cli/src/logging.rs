//! Log lines of a server, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::args::{LogFormat, ServeArguments};
use crate::error::{CliError, Exit};

/// Starts logging by the arguments, or by `default` when they name no filter.
pub(crate) fn start(arguments: &ServeArguments, default: &str) -> Result<(), CliError> {
    let text = arguments.log.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(text).map_err(|error| {
        CliError::new(Exit::Usage, format!("{text}: {error}"))
            .with_hint("a filter is a level, or like info,endspan_server=debug")
    })?;
    let plain = !std::io::stderr().is_terminal()
        || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(!plain);
    let started = match arguments.log_format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| CliError::new(Exit::Local, format!("cannot start logging: {error}")))
}
