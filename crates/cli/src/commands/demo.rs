//! `endspan demo`: the span server, and an agent that sends it traces.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use endspan::{Report, SgpExporter, Tracer};
use tokio::sync::{mpsc, oneshot};

use crate::args::{DemoArguments, ServerArguments};
use crate::client::{Client, TraceDetail};
use crate::demo::{Agent, CONVERSATIONS, Recorder, Stop, find_differences};
use crate::error::{CliError, Exit};
use crate::host::{Host, Signals};
use crate::keys::Keys;
use crate::logging;
use crate::output::Output;
use crate::tree;

/// What a demo logs unless told otherwise.
const LOG: &str = "warn";

/// The account that the agent writes to; readers that name none read it.
const ACCOUNT: &str = "default";

/// Agents at work at once.
const AGENTS: u32 = 2;

/// How long delivery may take.
const DELIVERY: Duration = Duration::from_secs(10);

/// How long a second takes the agents, in seconds: quick at first, so that there is something to see.
const PACES: [f64; 3] = [0.15, 0.4, 1.0];

/// The pace with `--once`.
const ONCE_PACE: f64 = 0.01;

pub(crate) async fn run(arguments: DemoArguments, mut output: Output) -> Result<(), CliError> {
    logging::start(&arguments.serve, LOG)?;
    let (data, _temporary) = data_directory(&arguments)?;
    let signals = Signals::catch()?;
    let mut keys = Keys::of(&arguments.serve, &data);
    // The demo's own agents and readers get in also where others need a key.
    let key = keys.add_own()?.expose().to_owned();
    let host = Host::start(&arguments.serve, &data, keys).await?;
    let url = host.url();
    let banner = host.banner();
    if arguments.json {
        eprintln!("{banner}");
    } else {
        output.line(&banner)?;
        output.flush()?;
    }
    let client = Client::new(&ServerArguments {
        server: url.clone(),
        account: None,
        api_key: Some(key.clone()),
        json: false,
    })?;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(host.run(async move { drop(stopped.await) }));
    let demo = Demo { client, output, json: arguments.json, key };
    let result = if arguments.once {
        tokio::select! {
            result = demo.run_once(&url) => result,
            () = signals.shutdown_requested() => Err(CliError::new(Exit::NotFound, "stopped before the check was done")),
        }
    } else {
        demo.run_on(&url, signals).await
    };
    drop(stop);
    let served = serving.await.unwrap_or_else(|error| {
        Err(CliError::new(Exit::Local, format!("the server ended unexpectedly: {error}")))
    });
    result.and(served)
}

/// Returns where the spans are kept: as told, or in a directory that goes when the demo ends.
fn data_directory(arguments: &DemoArguments) -> Result<(PathBuf, Option<tempfile::TempDir>), CliError> {
    if let Some(data) = &arguments.serve.data {
        return Ok((data.clone(), None));
    }
    let directory = tempfile::Builder::new().prefix("endspan-demo-").tempdir().map_err(|error| {
        CliError::new(Exit::Local, format!("cannot make a temporary directory: {error}"))
            .with_hint("--data DIR names a directory")
    })?;
    Ok((directory.path().to_owned(), Some(directory)))
}

struct Demo {
    client: Client,
    output: Output,
    json: bool,
    key: String,
}

impl Demo {
    /// Sends one trace, and checks what the server made of it.
    async fn run_once(mut self, url: &str) -> Result<(), CliError> {
        let recorder = Recorder::default();
        let tracer = tracer_to(url, &self.key).exporter(recorder.clone()).build();
        let agent = tokio::task::spawn_blocking(move || {
            let stop = Stop::default();
            let agent = Agent { tracer: &tracer, stop: &stop, pace: ONCE_PACE };
            let ids = CONVERSATIONS.first().map(|conversation| agent.converse(conversation, 17));
            (ids.unwrap_or_default(), tracer.shutdown_within(DELIVERY))
        });
        let (trace_id, report) = agent
            .await
            .map_err(|error| CliError::new(Exit::Local, format!("the agent ended unexpectedly: {error}")))?;
        let Some(trace) = self.client.find_trace(&trace_id, true).await? else {
            return Err(failed_check(&[format!(
                "trace {trace_id}: nothing is stored ({})",
                delivered(&report)
            )]));
        };
        self.print(&trace_id, &trace)?;
        let sent = recorder.spans();
        let mut differences = find_differences(&sent, &trace.spans);
        let stored = self.client.ingested_spans().await?;
        if stored != sent.len() as u64 {
            differences.push(format!("{} spans were sent, and the server stored {stored} times", sent.len()));
        }
        if !report.is_complete() {
            differences.push(format!("not everything was delivered: {report}"));
        }
        if !differences.is_empty() {
            return Err(failed_check(&differences));
        }
        eprintln!("checked: {} spans, each stored exactly once and as it was sent", sent.len());
        Ok(())
    }

    /// Keeps agents at work, and prints each trace when it is finished, until ctrl-c.
    async fn run_on(mut self, url: &str, signals: Signals) -> Result<(), CliError> {
        eprintln!("agents are at work; each trace prints when it is finished (ctrl-c ends)");
        eprintln!("in a browser: {url}   in another terminal: endspan tail --server {url}");
        let tracer = Arc::new(tracer_to(url, &self.key).build());
        let stop = Stop::default();
        let (finished, mut traces) = mpsc::unbounded_channel();
        let agents: Vec<JoinHandle<()>> =
            (0..AGENTS).map(|number| start_agent(number, &tracer, &stop, &finished)).collect();
        drop(finished);
        let result = tokio::select! {
            () = signals.shutdown_requested() => Ok(()),
            result = self.print_traces(&tracer, &mut traces) => result,
        };
        stop.set();
        let joined =
            tokio::task::spawn_blocking(move || agents.into_iter().all(|agent| agent.join().is_ok()));
        let orderly = joined.await.unwrap_or(false);
        let report = tracer.shutdown_async(DELIVERY).await;
        eprintln!("the agents' spans: {}", delivered(&report));
        result?;
        if !orderly {
            return Err(CliError::new(Exit::Local, "an agent ended unexpectedly"));
        }
        Ok(())
    }

    async fn print_traces(
        &mut self,
        tracer: &Tracer,
        traces: &mut mpsc::UnboundedReceiver<String>,
    ) -> Result<(), CliError> {
        while let Some(trace_id) = traces.recv().await {
            tracer.flush_async(DELIVERY).await;
            match self.client.find_trace(&trace_id, true).await? {
                Some(trace) => self.print(&trace_id, &trace)?,
                None => eprintln!("trace {trace_id} has not arrived; the tracer goes on trying"),
            }
        }
        Ok(())
    }

    fn print(&mut self, trace_id: &str, trace: &TraceDetail) -> Result<(), CliError> {
        if self.json {
            self.output.line(&trace.text)?;
        } else {
            self.output.end_line()?;
            tree::print(&mut self.output, trace_id, &trace.spans, false)?;
        }
        Ok(self.output.flush()?)
    }
}

fn start_agent(
    number: u32,
    tracer: &Arc<Tracer>,
    stop: &Stop,
    finished: &mpsc::UnboundedSender<String>,
) -> JoinHandle<()> {
    let (tracer, stop, finished) = (Arc::clone(tracer), stop.clone(), finished.clone());
    std::thread::spawn(move || {
        let first = number as usize * CONVERSATIONS.len() / AGENTS as usize;
        for (round, conversation) in CONVERSATIONS.iter().cycle().skip(first).enumerate() {
            let pace = PACES.get(round).or(PACES.last()).copied().unwrap_or(1.0);
            let agent = Agent { tracer: &tracer, stop: &stop, pace };
            let trace_id = agent.converse(conversation, fastrand::u32(1..1000));
            if finished.send(trace_id).is_err() || stop.is_set() {
                break;
            }
        }
    })
}

/// Begins a tracer that sends to a server, whatever the environment says.
fn tracer_to(url: &str, key: &str) -> endspan::TracerBuilder {
    let environment = || endspan::Environment::fixed([("AGENT_NAME", "demo")]);
    let exporter = SgpExporter::builder()
        .environment(environment())
        .base_url(url)
        .api_key(key)
        .account_id(ACCOUNT)
        .build();
    Tracer::builder().environment(environment()).spool(false).exporter(exporter)
}

/// Returns the account of the server, without the recorder's.
fn delivered(report: &Report) -> String {
    let account = report.account("sgp").map_or_else(|| report.to_string(), ToString::to_string);
    account.trim_start_matches("sgp: ").to_owned()
}

fn failed_check(differences: &[String]) -> CliError {
    CliError::new(Exit::NotFound, format!("the check failed:\n  {}", differences.join("\n  ")))
}
