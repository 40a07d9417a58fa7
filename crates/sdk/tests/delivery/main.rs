//! The whole SDK against a scripted backend on a real socket, and against itself in other processes.
//!
//! Tests are named by the rows of `sdk-behaviour` section 16 that they hold. Every one ends with the account.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests outside of #[test] functions too")]
#![allow(clippy::needless_borrows_for_generic_args, reason = "a value given by reference is the common case")]

mod agentex;
mod crash;
mod faults;
mod first_floor;
mod fork;
mod isolation;
#[cfg(feature = "otlp")]
mod otlp;
mod settings;
mod sgp;
mod shutdown;
mod spans;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use endspan::exporter::{Batch, Export, Exporter, agentex::AgentexBuilder, sgp::SgpBuilder};
use endspan::lane::{LaneConfig, Outcome, StartMode};
use endspan::{AgentexExporter, Environment, Report, SgpExporter, Tracer, TracerBuilder};
use endspan_testkit::FakeBackend;

/// Longer than anything takes that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn nothing() -> Environment {
    Environment::fixed([])
}

pub(crate) fn builder() -> TracerBuilder {
    Tracer::builder().environment(nothing()).spool(false).linger(Duration::from_millis(5))
}

pub(crate) fn sgp_builder(backend: &FakeBackend) -> SgpBuilder {
    SgpExporter::builder().environment(nothing()).base_url(backend.url()).api_key("key").account_id("account")
}

pub(crate) fn sgp(backend: &FakeBackend) -> SgpExporter {
    sgp_builder(backend).build()
}

pub(crate) fn agentex_builder(backend: &FakeBackend) -> AgentexBuilder {
    AgentexExporter::builder().environment(nothing()).base_url(backend.url())
}

pub(crate) fn agentex(backend: &FakeBackend) -> AgentexExporter {
    agentex_builder(backend).build()
}

/// Every end-to-end test ends here.
#[track_caller]
pub(crate) fn assert_conserved(report: &Report) {
    assert!(report.is_conserved(), "{report:?}");
}

/// Makes `count` spans that are over at once.
pub(crate) fn make_spans(tracer: &Tracer, trace_id: &str, count: usize) {
    let trace = tracer.trace(trace_id);
    for index in 0..count {
        trace.span("work").input(&serde_json::json!({"index": index})).start().end();
    }
}

type Judge = dyn Fn(&Batch) -> Outcome + Send + Sync;

/// A destination in memory that notes every call, and answers by a rule.
#[derive(Clone)]
pub(crate) struct Recorder {
    name: &'static str,
    pub(crate) calls: Arc<Mutex<Vec<Batch>>>,
    start_mode: StartMode,
    judge: Arc<Judge>,
}

impl Recorder {
    pub(crate) fn new(judge: impl Fn(&Batch) -> Outcome + Send + Sync + 'static) -> Self {
        Self {
            name: "recorder",
            calls: Arc::default(),
            start_mode: StartMode::EndOnly,
            judge: Arc::new(judge),
        }
    }

    pub(crate) fn delivering() -> Self {
        Self::new(|_| Outcome::Delivered)
    }

    pub(crate) fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    pub(crate) fn starts(self, start_mode: StartMode) -> Self {
        Self { start_mode, ..self }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        calls.iter().flat_map(|batch| &batch.spans).map(|entry| entry.span.name.clone()).collect()
    }
}

impl Exporter for Recorder {
    fn name(&self) -> &str {
        self.name
    }

    fn lane(&self, settings: LaneConfig) -> LaneConfig {
        LaneConfig { start_mode: self.start_mode, ..settings }
    }

    fn export(&self, batch: Batch) -> Export {
        let outcome = (self.judge)(&batch);
        self.calls.lock().unwrap().push(batch);
        Box::pin(std::future::ready(outcome))
    }
}
