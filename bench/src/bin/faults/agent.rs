//! The agent of a case: a process that ends spans, then does what its case says.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use endspan::{Environment, SgpExporter, Tracer};

/// What an agent does when its last span has ended.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
pub(crate) enum End {
    /// Waits to be killed.
    Hang,
    /// Shuts down, 30 s allowed.
    Shutdown,
    /// Leaves without shutting down.
    Exit,
}

impl End {
    fn name(self) -> &'static str {
        match self {
            Self::Hang => "hang",
            Self::Shutdown => "shutdown",
            Self::Exit => "exit",
        }
    }
}

/// The agent itself.
pub(crate) fn run(url: &str, spool: &Path, spans: u64, rate: u64, end: End) -> Result<()> {
    let nothing = || Environment::fixed([]);
    let exporter =
        SgpExporter::builder().environment(nothing()).base_url(url).api_key("k").account_id("a").build();
    // Leaked, as in most programs: it lives as long as the process.
    let tracer: &'static Tracer = Box::leak(Box::new(
        Tracer::builder().environment(nothing()).spool_directory(spool).exporter(exporter).build(),
    ));
    let trace = tracer.trace("faults");
    let input = serde_json::json!({"messages": [{"role": "user", "content": "why is the sky blue?"}]});
    let begin = Instant::now();
    for number in 0..spans {
        if let Some(interval) = 1_000_000_u64.checked_div(rate) {
            let due = begin + Duration::from_micros(interval * number);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        trace.span(format!("step-{number}")).input(&input).start().end();
    }
    println!("ended");
    match end {
        End::Hang => std::thread::sleep(Duration::from_secs(600)),
        End::Shutdown => {
            let report = tracer.shutdown_within(Duration::from_secs(30));
            let closes = report.accounts.iter().all(endspan::Account::is_conserved);
            println!("{}\n{closes}\n{report}", report.dropped());
        }
        End::Exit => {}
    }
    Ok(())
}

/// How an agent is started.
pub(crate) struct Agent<'a> {
    pub(crate) url: &'a str,
    pub(crate) spool: &'a Path,
    pub(crate) spans: u64,
    /// Spans a second; 0 is flat out.
    pub(crate) rate: u64,
    pub(crate) end: End,
    /// What the process finds in its environment besides.
    pub(crate) variables: Vec<(&'static str, String)>,
}

/// What an agent said of its spans when it shut down.
pub(crate) struct Said {
    pub(crate) dropped: u64,
    pub(crate) text: String,
}

/// A started agent.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl<'a> Agent<'a> {
    pub(crate) fn new(url: &'a str, spool: &'a Path, spans: u64, rate: u64, end: End) -> Self {
        Self { url, spool, spans, rate, end, variables: Vec::new() }
    }

    pub(crate) fn start(&self) -> Result<Running> {
        self.start_by(Command::new("env"))
    }

    /// Starts the agent by a command that runs what its last arguments say.
    pub(crate) fn start_by(&self, mut command: Command) -> Result<Running> {
        let mut child = command
            .arg(std::env::current_exe()?)
            .args(["agent", self.url])
            .arg(self.spool)
            .args([self.spans.to_string(), self.rate.to_string(), self.end.name().to_owned()])
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(child.stdout.take().context("stdout")?);
        Ok(Running { child, lines })
    }

    /// Lets the agent run to its end.
    pub(crate) fn finish(&self) -> Result<Said> {
        self.start()?.finish()
    }
}

impl Running {
    /// Waits until its last span has ended.
    pub(crate) fn wait_for_last_span(&mut self) -> Result<()> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        ensure!(line.trim() == "ended", "the agent died early: {line:?}");
        Ok(())
    }

    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Said> {
        self.wait_for_last_span()?;
        self.finish_ended()
    }

    /// The same after [`Running::wait_for_last_span`].
    pub(crate) fn finish_ended(mut self) -> Result<Said> {
        let mut said = String::new();
        self.lines.read_to_string(&mut said)?;
        ensure!(self.child.wait()?.success(), "the agent failed");
        let Some((dropped, said)) = said.trim().split_once('\n') else {
            return Ok(Said { dropped: 0, text: String::new() });
        };
        let (closes, text) = said.split_once('\n').unwrap_or((said, ""));
        ensure!(closes == "true", "the agent's account does not close: {text}");
        Ok(Said { dropped: dropped.parse()?, text: text.to_owned() })
    }
}
