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
    let mut tail =
        Tail { output, json: arguments.server.json, left: arguments.limit, last: None, failures: 0 };
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

struct Tail {
    output: Output,
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
            if self.json {
                self.output.line(&event.data)?;
            } else if let Ok(span) = serde_json::from_str::<TraceSpan>(&event.data) {
                print_line(&mut self.output, &span)?;
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
