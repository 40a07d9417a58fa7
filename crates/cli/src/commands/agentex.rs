//! `endspan import agentex`: the spans of an Agentex, from its Postgres into a store.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::{Duration, Instant};

use endspan_model::AccountId;
use endspan_store::SpanStore;
use endspan_store_postgres::{
    ImportError, ImportOptions, Options, PostgresStore, Progress as Copied, compare_agentex, import_agentex,
};

use crate::args::ImportAgentexArguments;
use crate::error::{CliError, Exit};
use crate::format;
use crate::host::{Signals, data_directory, open_directory};
use crate::output::Output;
use crate::postgres::cannot_open;
use crate::progress::Progress;

/// How often progress is told where no line can be kept up to date.
const TELL: Duration = Duration::from_secs(5);
/// Most ids that are named one by one.
const NAMED: usize = 20;

pub(crate) async fn run(arguments: ImportAgentexArguments, mut output: Output) -> Result<(), CliError> {
    let store = open(&arguments).await?;
    let mut options = ImportOptions::new(&arguments.source);
    options.account = AccountId::new(arguments.account.as_str());
    options.schema.clone_from(&arguments.schema);
    options.table.clone_from(&arguments.table);
    options.max_rows_per_second = arguments.rate;
    options.after.clone_from(&arguments.after);
    let copied = if arguments.compare { Ok(()) } else { copy(&options, &*store, &mut output).await };
    let compared = match copied {
        Ok(()) => compare(&options, &*store, &mut output).await,
        Err(error) => Err(error),
    };
    let closed = store.close().await;
    compared?;
    closed.map_err(|error| CliError::new(Exit::Local, error.to_string()))
}

async fn open(arguments: &ImportAgentexArguments) -> Result<Arc<dyn SpanStore>, CliError> {
    if let Some(url) = &arguments.store.store {
        let mut options = Options::new(url);
        options.schema.clone_from(&arguments.store.store_schema);
        let store = PostgresStore::open(options).await.map_err(|error| cannot_open(&error))?;
        return Ok(Arc::new(store));
    }
    let data = match &arguments.data {
        Some(data) => data.clone(),
        None => data_directory()?,
    };
    Ok(Arc::new(open_directory(&data)?))
}

async fn copy(options: &ImportOptions, store: &dyn SpanStore, output: &mut Output) -> Result<(), CliError> {
    let mut told = Instant::now();
    let mut latest = Copied::default();
    let shown = Progress::of_unknown_length("rows");
    let copied = import_agentex(options, store, |progress| {
        latest = progress.clone();
        shown.at(progress.rows);
        if told.elapsed() >= TELL && !io::stderr().is_terminal() {
            told = Instant::now();
            let last = progress.last_id.as_deref().unwrap_or_default();
            eprintln!("{}, the last one is {last}", format::count(progress.rows, "row"));
        }
    });
    let signals = Signals::catch()?;
    // What is on its way when a signal comes is stored or not; the last page that was told of is.
    let copied = tokio::select! {
        copied = copied => copied.map_err(|error| failure(&error)),
        () = signals.shutdown_requested() => Err(CliError::new(Exit::Local, "stopped before all was copied")),
    };
    shown.finish();
    let progress = copied.map_err(|failed| match &latest.last_id {
        Some(last) => {
            failed.with_hint(format!("go on with --after '{last}', or begin again: what is there stays"))
        }
        None => failed,
    })?;
    output.line(format!(
        "copied: {} read, {} stored, {} there already, {} refused",
        format::count(progress.rows, "row"),
        progress.stored,
        progress.present,
        progress.refused.len()
    ))?;
    for (id, reason) in progress.refused.iter().take(NAMED) {
        eprintln!("refused {id:?}: {reason}");
    }
    Ok(())
}

async fn compare(
    options: &ImportOptions,
    store: &dyn SpanStore,
    output: &mut Output,
) -> Result<(), CliError> {
    let shown = Progress::of_unknown_length("spans compared");
    let compared = compare_agentex(options, store, |compared| shown.at(compared.rows)).await;
    shown.finish();
    let comparison = compared.map_err(|error| failure(&error))?;
    output.line(format!(
        "compared: {} in the source, {} in the store, checksums {:016x} and {:016x}",
        format::count(comparison.rows, "span"),
        comparison.found,
        comparison.checksums.0,
        comparison.checksums.1
    ))?;
    if comparison.is_equal() {
        return Ok(());
    }
    for id in comparison.different.iter().take(NAMED) {
        eprintln!("differs: {id:?}");
    }
    let differ = format::count(comparison.different.len() as u64, "span");
    Err(CliError::new(
        Exit::NotFound,
        format!("{differ} of the source are not in the store as they are there"),
    )
    .with_hint("spans that were written on either side meanwhile differ rightly; the import can be repeated"))
}

fn failure(error: &ImportError) -> CliError {
    let exit = match error {
        ImportError::Source(_) => Exit::Unreachable,
        ImportError::NoSpans(_) => Exit::Usage,
        _ => Exit::Local,
    };
    CliError::new(exit, error.to_string())
}
