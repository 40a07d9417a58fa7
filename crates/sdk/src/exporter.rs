//! Destinations: how a batch of spans is delivered, and what its answer means.

use std::future::Future;
use std::pin::Pin;

use endspan_model::Span;
use endspan_spool::Payloads;
pub use endspan_wire::DropReport;

use crate::lane::{LaneConfig, Outcome, Phase, StartMode};

pub mod agentex;
mod http_client;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod sgp;

pub use agentex::AgentexExporter;
#[cfg(feature = "otlp")]
pub use otlp::OtlpExporter;
pub use sgp::SgpExporter;

/// Spans that go out together: all starts or all ends, oldest first.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Batch {
    /// Which half of the spans this is. A start has no end time.
    pub phase: Phase,
    /// The spans.
    pub spans: Vec<BatchSpan>,
    /// How often these spans were sent before.
    pub attempt: u32,
    /// What was given up on the way to this destination since the process started; `None` if nothing was. Exporters
    /// over HTTP pass it on in a header, so that whoever looks at the server sees it.
    pub dropped: Option<DropReport>,
}

/// A span of a batch.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BatchSpan {
    /// The span.
    pub span: Span,
    /// The destination may hold a version of it already: its start was sent, or an earlier attempt may have landed.
    pub maybe_stored: bool,
}

impl Batch {
    /// Makes a batch, for tests of exporters.
    pub fn new(phase: Phase, spans: Vec<Span>) -> Self {
        let spans = spans.into_iter().map(|span| BatchSpan { span, maybe_stored: false }).collect();
        Self { phase, spans, attempt: 0, dropped: None }
    }

    pub(crate) fn from_parts(
        phase: Phase,
        spans: Vec<(Span, bool)>,
        attempt: u32,
        dropped: Option<DropReport>,
    ) -> Self {
        let spans = spans.into_iter().map(|(span, maybe_stored)| BatchSpan { span, maybe_stored }).collect();
        Self { phase, spans, attempt, dropped }
    }
}

/// A batch as its records stand in the log.
#[doc(hidden)]
#[derive(Debug)]
pub struct RecordBatch<'a> {
    pub(crate) records: &'a Payloads,
    pub(crate) attempt: u32,
    pub(crate) dropped: Option<DropReport>,
}

/// A delivery under way.
pub type Export = Pin<Box<dyn Future<Output = Outcome> + Send + 'static>>;

/// A destination for spans.
///
/// Each exporter gets a lane of its own: queue, batches, retries and account. It sees each span once per
/// attempt, and says what became of the attempt; when to try again is the lane's business.
///
/// The futures run on endspan's own thread, under a Tokio runtime, with the host's `tracing` subscriber switched
/// off. A future that blocks the thread holds up every destination: hand blocking work to a thread of your
/// own. A future that panics counts as [`Outcome::Rejected`]. A future is dropped when the lane's deadline
/// ([`LaneConfig::request_timeout`]) passes.
///
/// ```
/// use endspan::exporter::{Batch, Export, Exporter};
/// use endspan::lane::Outcome;
///
/// struct Print;
///
/// impl Exporter for Print {
///     fn name(&self) -> &str {
///         "print"
///     }
///
///     fn export(&self, batch: Batch) -> Export {
///         Box::pin(async move {
///             for entry in &batch.spans {
///                 println!("{} {}", batch.phase.as_str(), entry.span.name);
///             }
///             Outcome::Delivered
///         })
///     }
/// }
///
/// let tracer = endspan::Tracer::builder().exporter(Print).spool(false).build();
/// tracer.trace("a-trace").span("hello").start().end();
/// let report = tracer.shutdown();
/// assert_eq!(report.delivered(), 1);
/// ```
pub trait Exporter: Send + Sync + 'static {
    /// Returns the short name used in reports, metrics and logs, for example `sgp`.
    fn name(&self) -> &str;

    /// Returns what makes this destination this destination (address and account, never keys). Spans that a dead
    /// process left in the spool go to the destination with the same identity. Default: the name.
    fn identity(&self) -> String {
        self.name().to_owned()
    }

    /// Returns how the lane is to feed this exporter, given the tracer's settings. Their `start_mode` says how starts
    /// would be written; whether they are is the exporter's to say. Default: the settings, and ends only.
    fn lane(&self, settings: LaneConfig) -> LaneConfig {
        LaneConfig { start_mode: StartMode::EndOnly, ..settings }
    }

    /// Returns why this exporter sends nothing, if it is switched off by its settings. It then gets no lane.
    fn disabled(&self) -> Option<String> {
        None
    }

    /// Delivers a batch.
    fn export(&self, batch: Batch) -> Export;

    /// Delivers a batch as its records stand in the log, which saves making spans of them. For exporters of this crate,
    /// which know records; `None` asks for [`Exporter::export`].
    #[doc(hidden)]
    fn export_records(&self, _batch: &RecordBatch<'_>) -> Option<Export> {
        None
    }

    /// Called on endspan's thread when there was nothing to send for a second: the time to let go of memory that is kept
    /// for the next batch. Default: nothing.
    fn rest(&self) {}
}
