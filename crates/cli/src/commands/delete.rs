//! `endspan delete`: takes traces out of the store for good.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::args::DeleteArguments;
use crate::client::{Client, Deleted};
use crate::error::{CliError, Exit};
use crate::format;
use crate::output::printable;

pub(crate) async fn run(arguments: DeleteArguments) -> Result<(), CliError> {
    let client = Client::new(&arguments.server)?;
    confirm(&arguments, &client)?;
    let mut total = Deleted::default();
    let mut missing = 0;
    for trace_id in &arguments.traces {
        match client.delete(&["traces", trace_id], &[]).await {
            Ok(deleted) => total.add(deleted),
            Err(CliError::Failed { exit: Exit::NotFound, .. }) => {
                missing += 1;
                eprintln!("no trace {} at {}", printable(trace_id), client.address());
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(until) = &arguments.until {
        let mut query = vec![("start_before", until.clone())];
        query.extend(arguments.since.clone().map(|since| ("start_after", since)));
        total.add(client.delete(&["traces"], &query).await?);
    }
    eprintln!("deleted {} of {}", format::count(total.spans, "span"), format::count(total.traces, "trace"));
    if missing > 0 {
        return Err(CliError::new(Exit::NotFound, format!("{} not found", format::count(missing, "trace"))));
    }
    Ok(())
}

/// Asks the person at the terminal; without one, the flag must say it.
fn confirm(arguments: &DeleteArguments, client: &Client) -> Result<(), CliError> {
    if arguments.yes {
        return Ok(());
    }
    let refused =
        |message: &str| Err(CliError::new(Exit::Usage, message).with_hint("--yes deletes without asking"));
    if !io::stdin().is_terminal() {
        return refused("nobody to ask whether to delete");
    }
    let what = match (&arguments.until, &arguments.since) {
        (Some(until), Some(since)) => format!("every trace from {since} to {until}"),
        (Some(until), None) => format!("every trace before {until}"),
        _ => format::count(arguments.traces.len() as u64, "trace"),
    };
    let whose = arguments
        .server
        .account
        .as_ref()
        .map_or("every account that may be deleted from".to_owned(), |account| {
            format!("account {}", printable(account))
        });
    eprint!("delete {what} of {whose} at {} for good? [y/N] ", client.address());
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { refused("nothing was deleted") }
}
