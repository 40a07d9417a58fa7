//! `endspan show TRACE`: one trace as a tree.

use crate::args::ShowArguments;
use crate::client::{Client, TraceDetail};
use crate::error::{CliError, Exit};
use crate::output::{Output, printable};
use crate::tree;

/// Most failed spans whose error text is fetched for the tree; each costs one small question.
const EXPLAINED_ERRORS: usize = 20;

pub(crate) async fn run(arguments: ShowArguments, mut output: Output) -> Result<(), CliError> {
    let client = Client::new(&arguments.server)?;
    let (trace_id, mut trace) = find(&client, &arguments.trace_id, arguments.payloads).await?;
    if arguments.server.json {
        output.line(&trace.text)?;
    } else {
        if !arguments.payloads {
            explain_errors(&client, &mut trace).await?;
        }
        tree::print(&mut output, &trace_id, &trace.spans, arguments.payloads)?;
    }
    Ok(output.flush()?)
}

/// Finds a trace by its id, or by the beginning of the id of one of the latest traces.
async fn find(client: &Client, text: &str, payloads: bool) -> Result<(String, TraceDetail), CliError> {
    if let Some(trace) = client.find_trace(text, payloads).await? {
        return Ok((text.to_owned(), trace));
    }
    let mut ids = client.recent_trace_ids().await?;
    ids.retain(|id| id.starts_with(text));
    ids.sort_unstable();
    ids.dedup();
    match ids.as_slice() {
        [] => Err(CliError::new(
            Exit::NotFound,
            format!("no trace {} at {}", printable(text), client.address()),
        )
        .with_hint("`endspan ls` lists traces")),
        [id] => match client.find_trace(id, payloads).await? {
            Some(trace) => Ok((id.clone(), trace)),
            None => Err(CliError::new(Exit::NotFound, format!("trace {} is gone", printable(id)))),
        },
        several => {
            let ids: Vec<_> = several.iter().take(5).map(|id| printable(id)).collect();
            Err(CliError::new(
                Exit::NotFound,
                format!("{} traces begin with {}", several.len(), printable(text)),
            )
            .with_hint(format!("name one of them: {}", ids.join(", "))))
        }
    }
}

/// Fetches the metadata of failed spans, which says why they failed.
async fn explain_errors(client: &Client, trace: &mut TraceDetail) -> Result<(), CliError> {
    let failed = trace.spans.iter_mut().filter(|span| span.status.as_deref() == Some("ERROR"));
    for span in failed.take(EXPLAINED_ERRORS) {
        if let Some(whole) = client.find_span(span).await? {
            span.metadata = whole.metadata;
        }
    }
    Ok(())
}
