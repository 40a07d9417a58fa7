use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use bytes::Bytes;
use endspan_model::{DropReason, Span as SpanData, Timestamp};
use endspan_spool::{AppendError, Held, Meta};

use crate::account::{Report, Stats};
use crate::clock;
use crate::diagnostics::aloud;
use crate::ids;
use crate::lane::Phase;
use crate::live::{Live, Plan};
use crate::record;
use crate::trace::Trace;
use crate::worker::Control;

mod builder;
mod raw;

pub use builder::TracerBuilder;
pub use raw::RawStart;

/// The entry: makes traces, and accounts for every span. Clones share one pipeline.
///
/// Dropping the last handle (traces and spans count) shuts down with the default timeout, and so does the normal end
/// of the process. What a killed process leaves is in the spool, and goes out with the next process.
///
/// ```
/// use endspan::{SgpExporter, Tracer};
///
/// let tracer = Tracer::builder().exporter(SgpExporter::from_env()).spool(false).build();
/// let trace = tracer.trace("conversation-17");
/// let mut span = trace.span("answer").input(&serde_json::json!({"question": "why?"})).start();
/// span.set_output(&serde_json::json!({"answer": "because"}));
/// span.end();
/// println!("{}", tracer.shutdown());
/// ```
#[derive(Clone)]
pub struct Tracer {
    pipeline: Arc<Pipeline>,
}

/// Reads the ids of the observability context that a span starts in: trace and span.
pub(crate) type ObservabilityIds = Box<dyn Fn() -> Option<(String, String)> + Send + Sync>;

/// What all handles of a tracer share.
pub(crate) struct Pipeline {
    root: Generation,
    plan: Plan,
    enabled: bool,
    writes_starts: bool,
    /// Starts are recorded: some exporter writes them, or a spool keeps them for the case that this process dies.
    records_starts: bool,
    stopping: AtomicBool,
    shutdown_timeout: Duration,
    observability_ids: Option<ObservabilityIds>,
}

/// The pipeline of one process, and that of the child which it is in after a fork.
struct Generation {
    live: Option<Live>,
    child: OnceLock<Box<Generation>>,
}

impl Tracer {
    /// Begins with nothing set; what is not set comes from the environment.
    pub fn builder() -> TracerBuilder {
        TracerBuilder::default()
    }

    /// Makes the tracer that the environment describes: SGP if it has a key and an account there, Agentex if it has an
    /// address.
    pub fn from_env() -> Self {
        Self::builder().exporters_from_env().build()
    }

    pub(crate) fn start(
        plan: Plan,
        shutdown_timeout: Duration,
        observability_ids: Option<ObservabilityIds>,
    ) -> Self {
        let enabled = !plan.exporters.is_empty();
        let live = if enabled { Live::begin(&plan) } else { None };
        let writes_starts = plan.lanes.iter().any(|lane| lane.start_mode.writes_starts());
        let records_starts = enabled && (writes_starts || plan.log.directory.is_some());
        let pipeline = Arc::new(Pipeline {
            root: Generation { live, child: OnceLock::new() },
            plan,
            enabled,
            writes_starts,
            records_starts,
            stopping: AtomicBool::new(false),
            shutdown_timeout,
            observability_ids,
        });
        if enabled {
            crate::exit::register(&pipeline);
        }
        Self { pipeline }
    }

    /// Returns a trace by its id. An empty id gives a no-op.
    pub fn trace(&self, trace_id: &str) -> Trace {
        Trace::new(&self.pipeline, trace_id.into())
    }

    /// Returns the trace of a span of another process. Spans without a nearer parent stand under that one.
    #[cfg(feature = "otlp")]
    pub fn continue_trace(&self, remote: &crate::trace_context::TraceContext) -> Trace {
        self.trace(remote.trace_id()).continuing(remote.clone())
    }

    /// Returns a trace with a new id.
    pub fn new_trace(&self) -> Trace {
        Trace::new(&self.pipeline, ids::new_id(clock::now()))
    }

    /// Hands over a whole span: as an end if it has an end time, else as a start. For bridges from other tracers.
    pub fn submit(&self, span: &SpanData) {
        if !self.pipeline.enabled {
            return;
        }
        let mut out = Vec::with_capacity(span.payload_bytes() + 256);
        record::push_span(&mut out, span);
        let phase = if span.is_completed() { Phase::End } else { Phase::Start };
        self.pipeline.append(phase, span.end_time.unwrap_or(span.start_time), &[&out]);
    }

    /// Delivers what ended until now, linger and deferred starts cut short. Returns when it is done or the time is up;
    /// what is left goes on being delivered.
    ///
    /// Blocks the calling thread; in asynchronous code use [`Tracer::flush_async`].
    pub fn flush(&self, timeout: Duration) -> Report {
        self.pipeline.wait_for(timeout, |timeout, reply| Control::Flush { timeout, reply })
    }

    /// Delivers what ended until now, without blocking the thread.
    ///
    /// # Cancel safety
    /// Dropping the future gives up waiting; delivery goes on.
    pub async fn flush_async(&self, timeout: Duration) -> Report {
        self.pipeline.await_for(timeout, |timeout, reply| Control::Flush { timeout, reply }).await
    }

    /// Delivers what is there, and ends. Spans that end later are dropped and counted.
    ///
    /// Takes at most `ENDSPAN_SHUTDOWN_TIMEOUT_MS` (30 s). With a spool, what could not be delivered stays there for
    /// the next process ([`Report::spooled`]); without one it is dropped ([`DropReason::ShutdownTimeout`]).
    pub fn shutdown(&self) -> Report {
        self.shutdown_within(self.pipeline.shutdown_timeout)
    }

    /// The same with a timeout of your own.
    pub fn shutdown_within(&self, timeout: Duration) -> Report {
        self.pipeline.shut_down(timeout, false)
    }

    /// The same without blocking the thread.
    ///
    /// # Cancel safety
    /// Dropping the future gives up waiting; the shutdown goes on.
    pub async fn shutdown_async(&self, timeout: Duration) -> Report {
        self.pipeline.stopping.store(true, Ordering::Relaxed);
        self.pipeline
            .await_for(timeout, |timeout, reply| Control::Shutdown { timeout, leave: false, reply })
            .await
    }

    /// Returns how things are right now. Cheap: what endspan's thread last published, a tick ago at most.
    pub fn stats(&self) -> Stats {
        self.pipeline.current().map(|live| live.counters.stats()).unwrap_or_default()
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exporters: Vec<&str> =
            self.pipeline.plan.exporters.iter().map(|exporter| exporter.name()).collect();
        formatter.debug_struct("Tracer").field("exporters", &exporters).finish()
    }
}

impl Pipeline {
    pub(crate) const fn is_enabled(&self) -> bool {
        self.enabled
    }

    pub(crate) const fn records_starts(&self) -> bool {
        self.records_starts
    }

    pub(crate) const fn writes_starts(&self) -> bool {
        self.writes_starts
    }

    pub(crate) fn observability_ids(&self) -> Option<(String, String)> {
        self.observability_ids.as_ref().and_then(|read| read())
    }

    pub(crate) fn note_unencodable(&self) {
        if let Some(live) = self.current() {
            live.counters.note_unencodable(1);
        }
    }

    /// Returns this process's pipeline. A forked child begins its own at its first use.
    fn current(&self) -> Option<&Live> {
        let mut generation = &self.root;
        loop {
            let live = generation.live.as_ref()?;
            if !live.log.is_foreign() {
                return Some(live);
            }
            generation = generation.child.get_or_init(|| {
                Box::new(Generation { live: Live::begin(&self.plan), child: OnceLock::new() })
            });
        }
    }

    /// Returns this process's pipeline only if it has begun.
    fn begun(&self) -> Option<&Live> {
        let mut generation = &self.root;
        loop {
            let live = generation.live.as_ref()?;
            if !live.log.is_foreign() {
                return Some(live);
            }
            generation = generation.child.get()?;
        }
    }

    /// Puts a record into the log. What cannot be put there is counted, and said once in a while.
    pub(crate) fn append(&self, phase: Phase, at: Timestamp, parts: &[&[u8]]) {
        if phase == Phase::Start && !self.records_starts {
            return;
        }
        self.append_releasing(phase, at, parts, None);
    }

    /// Notes that a span has started. What is returned goes to [`Pipeline::append_releasing`] when it ends.
    ///
    /// A start that no exporter writes is only of use if this process dies: it is held beside the log, where nobody has to
    /// read it. One that is too long for that goes into the log.
    #[inline]
    pub(crate) fn append_start(&self, at: Timestamp, parts: &[&[u8]]) -> Option<Held> {
        if !self.records_starts {
            return None;
        }
        if !self.writes_starts && !self.stopping.load(Ordering::Relaxed) {
            let held = self.current()?.log.hold(meta_of(Phase::Start, at), parts);
            if held.is_some() {
                return held;
            }
        }
        self.append_releasing(Phase::Start, at, parts, None);
        None
    }

    /// Puts a record into the log, in place of what is held of the span.
    #[inline]
    pub(crate) fn append_releasing(
        &self,
        phase: Phase,
        at: Timestamp,
        parts: &[&[u8]],
        mut held: Option<Held>,
    ) {
        let Some(live) = self.current() else { return };
        let refused = if self.stopping.load(Ordering::Relaxed) {
            DropReason::Shutdown
        } else {
            let meta = meta_of(phase, at);
            match live.log.append_releasing(meta, parts, &mut held) {
                Ok(_) => return,
                Err(AppendError::TooLarge { .. }) => {
                    match self.append_without_payloads(live, meta, parts, &mut held) {
                        Ok(()) => return,
                        Err(reason) => reason,
                    }
                }
                Err(error) => reason_of(error),
            }
        };
        // What was reported as dropped must not come back as the span of a dead process.
        if let Some(held) = held {
            live.log.release(held);
        }
        self.refuse(live, phase, refused);
    }

    #[cold]
    fn refuse(&self, live: &Live, phase: Phase, reason: DropReason) {
        let count = live.refuse(phase, reason, &self.plan.exporters);
        if count == 1 || count.is_multiple_of(100) {
            aloud(|| tracing::warn!(%reason, count, "endspan dropped spans"));
        }
    }

    /// A span larger than any destination takes goes without its payloads rather than not at all.
    #[cold]
    fn append_without_payloads(
        &self,
        live: &Live,
        meta: Meta,
        parts: &[&[u8]],
        held: &mut Option<Held>,
    ) -> Result<(), DropReason> {
        let whole = Bytes::from(parts.concat());
        let (mut span, _) = record::read_span(&whole).ok_or(DropReason::TooLarge)?;
        let bytes = span.payload_bytes();
        let placeholder = crate::payload::placeholder(&format!("the span has {bytes} bytes of payloads"));
        for payload in
            [&mut span.input, &mut span.output, &mut span.metadata, &mut span.expected, &mut span.otel]
        {
            if payload.as_ref().is_some_and(|payload| payload.len() > 64 * 1024) {
                live.counters.note_unencodable(1);
                *payload = Some(placeholder.clone());
            }
        }
        let mut out = Vec::new();
        record::push_span(&mut out, &span);
        live.log.append_releasing(meta, &[&out], held).map(drop).map_err(reason_of)
    }

    fn wait_for(
        &self,
        timeout: Duration,
        make: impl FnOnce(Duration, crate::worker::Reply) -> Control,
    ) -> Report {
        let Some(live) = self.begun() else { return Report::default() };
        let (sender, receiver) = mpsc::channel();
        let reply = Box::new(move |report| {
            // The caller may have given up.
            let _ = sender.send(report);
        });
        if !live.ask(make(timeout, reply)) {
            return live.counters.report(false);
        }
        // The thread keeps the time; the rest is for its being busy elsewhere.
        let patience = timeout.saturating_add(Duration::from_secs(5));
        receiver.recv_timeout(patience).unwrap_or_else(|_| live.counters.report(true))
    }

    async fn await_for(
        &self,
        timeout: Duration,
        make: impl FnOnce(Duration, crate::worker::Reply) -> Control,
    ) -> Report {
        let Some(live) = self.begun() else { return Report::default() };
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let reply = Box::new(move |report| {
            let _ = sender.send(report);
        });
        if !live.ask(make(timeout, reply)) {
            return live.counters.report(false);
        }
        receiver.await.unwrap_or_else(|_| live.counters.report(true))
    }

    pub(crate) fn shut_down(&self, timeout: Duration, leave: bool) -> Report {
        self.stopping.store(true, Ordering::Relaxed);
        let report = self.wait_for(timeout, |timeout, reply| Control::Shutdown { timeout, leave, reply });
        if let Some(live) = self.begun() {
            live.join();
        }
        report
    }

    /// Shuts down at the end of the process or of the last handle.
    pub(crate) fn shut_down_at_exit(&self) {
        if self.enabled && !self.stopping.load(Ordering::Relaxed) {
            self.shut_down(self.shutdown_timeout, true);
        }
    }
}

// What all handles share is behind locks and atomics; a panic elsewhere leaves nothing half done.
impl std::panic::UnwindSafe for Pipeline {}
impl std::panic::RefUnwindSafe for Pipeline {}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.shut_down_at_exit();
    }
}

#[inline]
fn meta_of(phase: Phase, at: Timestamp) -> Meta {
    let nanos = u64::try_from(at.unix_nanos()).unwrap_or(0);
    Meta { kind: record::kind_of(phase), appended_unix_nanos: nanos, ..Meta::default() }
}

const fn reason_of(error: AppendError) -> DropReason {
    match error {
        AppendError::Closed => DropReason::Shutdown,
        AppendError::TooLarge { .. } => DropReason::TooLarge,
        _ => DropReason::QueueFull,
    }
}
