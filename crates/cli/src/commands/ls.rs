//! `endspan ls`: traces, newest first.

use std::io;

use crate::args::LsArguments;
use crate::client::{Client, TraceSummary};
use crate::error::CliError;
use crate::format;
use crate::output::{Output, Style, printable, shorten, width};
use crate::tree::standing;

/// Traces asked for at once.
const PAGE: u32 = 100;

/// Widest column for names.
const NAME_COLUMNS: usize = 48;

pub(crate) async fn run(arguments: LsArguments, mut output: Output) -> Result<(), CliError> {
    let client = Client::new(&arguments.server)?;
    let filters = arguments.filters();
    let mut left = if arguments.all { u32::MAX } else { arguments.limit };
    let mut after: Option<String> = None;
    let mut any = false;
    loop {
        let page = client.list_traces(left.min(PAGE), after.as_deref(), &filters).await?;
        if arguments.server.json {
            for trace in &page.traces {
                output.line(trace.get())?;
            }
        } else {
            let traces = page.traces.iter().map(|trace| client.parse::<TraceSummary>(trace.get()));
            let traces = traces.collect::<Result<Vec<_>, _>>()?;
            print_table(&mut output, &traces)?;
        }
        output.flush()?;
        any |= !page.traces.is_empty();
        left = left.saturating_sub(u32::try_from(page.traces.len()).unwrap_or(u32::MAX));
        after = page.next;
        // A page may end early, and empty, when looking for text took too long; its cursor goes on.
        if after.is_none() || left == 0 {
            break;
        }
    }
    if !any {
        let which = if filters.is_empty() { "no traces at" } else { "no such traces at" };
        eprintln!("{which} {}{}", client.address(), if filters.is_empty() { " yet" } else { "" });
    } else if after.is_some() && !arguments.all && !arguments.server.json {
        eprintln!("more traces follow: -n {} or --all shows them", arguments.limit.saturating_mul(5));
    }
    Ok(())
}

fn print_table(output: &mut Output, traces: &[TraceSummary]) -> io::Result<()> {
    let names: Vec<String> =
        traces.iter().map(|trace| shorten(&printable(&trace.name), NAME_COLUMNS)).collect();
    let columns = names.iter().map(|name| width(name)).max().unwrap_or(0);
    for (trace, name) in traces.iter().zip(&names) {
        output.put(Style::Dim, format::date_and_time(&trace.start_time))?;
        let nanos = trace.end_time.as_deref().and_then(|end| format::nanos_between(&trace.start_time, end));
        output.put(Style::Plain, format_args!("  {:>8}", nanos.map(format::duration).unwrap_or_default()))?;
        output.put(Style::Plain, format_args!("  {:>11}  ", format::count(trace.span_count, "span")))?;
        output.put(Style::Strong, name)?;
        output.put(Style::Plain, " ".repeat(columns.saturating_sub(width(name)) + 2))?;
        let (word, style) = standing(trace.status.as_deref(), trace.open_count == 0);
        output.put(style, format_args!("{word:<8}"))?;
        output.put(Style::Plain, "  ")?;
        output.put(Style::Dim, printable(&trace.trace_id))?;
        if trace.error_count > 0 {
            output.put(Style::Plain, "  ")?;
            output.put(Style::Bad, format::count(trace.error_count, "error"))?;
        }
        output.end_line()?;
    }
    Ok(())
}
