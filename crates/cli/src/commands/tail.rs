//! `endspan tail`: spans as they arrive, across restarts of the server.

use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::args::TailArguments;
use crate::client::{Client, Event, EventParser, TraceSpan};
use crate::error::{CliError, Exit};
use crate::format;
use crate::output::{Output, Style, printable, shorten};
use crate::tree::standing;

/// Pauses between attempts to reconnect; the last one repeats.
const PAUSES_MS: [u64; 5] = [100, 300, 1_000, 2_000, 5_000];

pub(crate) async fn run(arguments: TailArguments, output: Output) -> Result<(), CliError> {
    let client = Client::new(&arguments.server)?;
    let wanted = Wanted {
        name: arguments.name.as_ref().map(|name| name.to_lowercase()),
        statuses: arguments.status.clone(),
        types: arguments.types.clone(),
        roots: arguments.roots,
        min_nanos: arguments.min_duration.map(|millis| i128::from(millis) * 1_000_000),
    };
    let mut tail =
        Tail { output, wanted, json: arguments.server.json, left: arguments.limit, last: None, failures: 0 };
    let mut response = client.tail(arguments.trace.as_deref(), None).await?;
    eprintln!("waiting for spans at {} (ctrl-c ends)", client.address());
    loop {
        if tail.follow(&mut response).await?.is_break() {
            return Ok(());
        }
        response = loop {
            tail.pause(&client).await;
            match client.tail(arguments.trace.as_deref(), tail.last.as_deref()).await {
                Ok(response) => break response,
                Err(CliError::Failed { exit: Exit::Unreachable | Exit::Refused, .. }) => {}
                Err(error) => return Err(error),
            }
        };
    }
}

/// Which spans to print.
struct Wanted {
    /// In lower case.
    name: Option<String>,
    statuses: Vec<String>,
    types: Vec<String>,
    roots: bool,
    min_nanos: Option<i128>,
}

impl Wanted {
    fn passes(&self, span: &TraceSpan) -> bool {
        let one_of = |list: &[String], value: Option<&str>| {
            list.is_empty()
                || value.is_some_and(|value| list.iter().any(|wanted| wanted.eq_ignore_ascii_case(value)))
        };
        self.name.as_ref().is_none_or(|name| span.name.to_lowercase().contains(name))
            && one_of(&self.statuses, span.status.as_deref())
            && one_of(&self.types, span.span_type.as_deref())
            && !(self.roots && span.parent_id.is_some())
            && self.min_nanos.is_none_or(|min| span.duration_nanos().is_some_and(|nanos| nanos >= min))
    }
}

struct Tail {
    output: Output,
    wanted: Wanted,
    json: bool,
    /// Spans still wanted.
    left: Option<u64>,
    /// The position to go on from after a lost connection.
    last: Option<String>,
    /// Attempts since the last span or heartbeat.
    failures: usize,
}

impl Tail {
    /// Prints what a connection brings, until it ends or enough was printed.
    async fn follow(&mut self, response: &mut reqwest::Response) -> Result<ControlFlow<()>, CliError> {
        let mut parser = EventParser::default();
        // A connection that breaks and one that ends in order are the same here: go on from the last event.
        while let Ok(Some(bytes)) = response.chunk().await {
            self.failures = 0;
            for event in parser.push(&bytes) {
                if self.print(&event)?.is_break() {
                    self.output.flush()?;
                    return Ok(ControlFlow::Break(()));
                }
            }
            self.output.flush()?;
            if let Some(id) = parser.last_id() {
                self.last = Some(id.to_owned());
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn print(&mut self, event: &Event) -> io::Result<ControlFlow<()>> {
        if event.kind == "span" {
            if self.left == Some(0) {
                return Ok(ControlFlow::Break(()));
            }
            let span = serde_json::from_str::<TraceSpan>(&event.data).ok();
            if span.as_ref().is_some_and(|span| !self.wanted.passes(span)) {
                return Ok(ControlFlow::Continue(()));
            }
            if self.json {
                self.output.line(&event.data)?;
            } else if let Some(span) = &span {
                print_line(&mut self.output, span)?;
            }
            self.left = self.left.map(|left| left - 1);
        }
        Ok(if self.left == Some(0) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    async fn pause(&mut self, client: &Client) {
        if self.failures == 0 {
            eprintln!("lost {}; trying again until it is back", client.address());
        }
        let most = PAUSES_MS.get(self.failures).or(PAUSES_MS.last()).copied().unwrap_or(1_000);
        self.failures += 1;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(most / 2..=most))).await;
    }
}

/// Prints one span on one line.
pub(crate) fn print_line(output: &mut Output, span: &TraceSpan) -> io::Result<()> {
    let (word, style) = standing(span.status.as_deref(), span.end_time.is_some());
    let time = span.end_time.as_deref().unwrap_or(&span.start_time);
    output.put(Style::Dim, format_args!("{}  ", format::time_of_day(time)))?;
    let duration = span.duration_nanos().map(format::duration).unwrap_or_default();
    output.put(Style::Plain, format_args!("{duration:>8}  "))?;
    output.put(style, format_args!("{word:<8}  "))?;
    output.put(Style::Strong, shorten(&printable(&span.name), 60))?;
    if let Some(kind) = &span.span_type {
        output.put(Style::Kind, format_args!("  {}", printable(kind)))?;
    }
    output.put(Style::Dim, format_args!("  {}", printable(&span.trace_id)))?;
    if let Some(error) = span.error_text() {
        output.put(Style::Bad, format_args!("  {}", shorten(&printable(&error), 100)))?;
    }
    output.end_line()
}
