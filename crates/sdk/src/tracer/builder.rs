use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use endspan_spool::{Options, WhenFull};

use super::{ObservabilityIds, Tracer};
use crate::account::SHUTDOWN_TIMEOUT;
use crate::exporter::{AgentexExporter, Exporter, SgpExporter};
use crate::lane::{LaneConfig, StartMode};
use crate::live::Plan;
use crate::settings::{self, Environment, Variable};

/// Most destinations of one tracer: each has a bit in the log's marks, and one is taken (`engine::ENDED`).
const MAX_EXPORTERS: usize = 31;

/// Open spans that are held beside the log; the starts of more go into it.
const HELD_SPANS: usize = 2048;

/// Settings of a [`Tracer`]. What is not set comes from the environment, else from the defaults; the reference page
/// `docs/environment.md` lists both.
#[derive(Default)]
#[must_use = "nothing happens until the tracer is built"]
pub struct TracerBuilder {
    environment: Option<Environment>,
    exporters: Vec<Arc<dyn Exporter>>,
    exporters_from_env: bool,
    batch_spans: Option<i64>,
    batch_bytes: Option<i64>,
    linger_ms: Option<i64>,
    max_waiting: Option<i64>,
    max_pending_bytes: Option<i64>,
    queue_spans: Option<i64>,
    max_attempts: Option<i64>,
    concurrency: Option<i64>,
    start_delay_ms: Option<i64>,
    every_start: bool,
    export_timeout_ms: Option<i64>,
    max_age_s: Option<i64>,
    queue_bytes: Option<i64>,
    spool: Option<bool>,
    spool_directory: Option<PathBuf>,
    spool_bytes: Option<i64>,
    shutdown_timeout: Option<Duration>,
    observability_ids: Option<ObservabilityIds>,
    older_profile: bool,
}

/// Takes a number whatever its size.
fn number<T: TryInto<i64>>(value: T) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

/// Takes a duration as whole milliseconds.
fn millis(duration: Duration) -> i64 {
    number(duration.as_millis())
}

impl TracerBuilder {
    /// Adds a destination. Each has a lane of its own.
    pub fn exporter(mut self, exporter: impl Exporter) -> Self {
        self.exporters.push(Arc::new(exporter));
        self
    }

    /// Adds a destination that is shared.
    pub fn shared_exporter(mut self, exporter: Arc<dyn Exporter>) -> Self {
        self.exporters.push(exporter);
        self
    }

    /// Adds the destinations that the environment describes: SGP if `SGP_API_KEY` and `SGP_ACCOUNT_ID` are set, Agentex
    /// if `AGENTEX_BASE_URL` is.
    pub const fn exporters_from_env(mut self) -> Self {
        self.exporters_from_env = true;
        self
    }

    /// Sets the spans of a request; they then do not grow under backlog. Else `AGENTEX_SPAN_QUEUE_BATCH_SIZE`.
    pub fn batch_size(mut self, spans: usize) -> Self {
        self.batch_spans = Some(number(spans));
        self
    }

    /// Sets the bytes of a request. Else `ENDSPAN_BATCH_BYTES`.
    pub fn batch_bytes(mut self, bytes: usize) -> Self {
        self.batch_bytes = Some(number(bytes));
        self
    }

    /// Sets how long the first span of a request waits for company. Else `AGENTEX_SPAN_QUEUE_LINGER_MS`.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger_ms = Some(millis(linger));
        self
    }

    /// Sets how many spans may wait for each destination before the newest are dropped; 0 for no limit. Else
    /// `AGENTEX_SPAN_QUEUE_MAX_SIZE`.
    pub fn max_queue_size(mut self, spans: usize) -> Self {
        self.max_waiting = Some(number(spans));
        self
    }

    /// Sets how many bytes of spans each destination may have undelivered before the newest are dropped; 0 for no limit. Else
    /// `ENDSPAN_DESTINATION_MAX_BYTES`.
    pub fn destination_bytes(mut self, bytes: u64) -> Self {
        self.max_pending_bytes = Some(number(bytes));
        self
    }

    /// Sets how many spans may wait in all before the oldest are dropped; 0 for no limit. Else `ENDSPAN_QUEUE_MAX_SPANS`.
    pub fn queue_spans(mut self, spans: u64) -> Self {
        self.queue_spans = Some(number(spans));
        self
    }

    /// Sets how often a span is tried before it is dropped. Else `AGENTEX_SPAN_QUEUE_MAX_RETRIES`.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(i64::from(attempts));
        self
    }

    /// Sets the requests in flight to each destination. Else `AGENTEX_SPAN_QUEUE_CONCURRENCY`.
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.concurrency = Some(number(requests));
        self
    }

    /// Sets how long a start is held in start mode. Else `ENDSPAN_START_DELAY_MS`.
    pub fn start_delay(mut self, delay: Duration) -> Self {
        self.start_delay_ms = Some(millis(delay));
        self
    }

    /// Delivers every start to exporters in start mode, before its end. For processors that must see both.
    pub const fn every_start(mut self) -> Self {
        self.every_start = true;
        self
    }

    /// Sets how long one request may take. Else `ENDSPAN_EXPORT_TIMEOUT_MS`.
    pub fn export_timeout(mut self, timeout: Duration) -> Self {
        self.export_timeout_ms = Some(millis(timeout));
        self
    }

    /// Sets how old an undelivered span may become; zero for no limit. Else `ENDSPAN_MAX_AGE_S`.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age_s = Some(number(age.as_secs()));
        self
    }

    /// Sets the bytes of spans in memory. Else `ENDSPAN_QUEUE_MAX_BYTES`.
    pub fn queue_bytes(mut self, bytes: u64) -> Self {
        self.queue_bytes = Some(number(bytes));
        self
    }

    /// Sets whether there is a spool. Else `ENDSPAN_SPOOL`.
    pub const fn spool(mut self, spool: bool) -> Self {
        self.spool = Some(spool);
        self
    }

    /// Sets the spool's directory, and that there is one. Else `ENDSPAN_SPOOL_DIR`.
    pub fn spool_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.spool_directory = Some(directory.into());
        self
    }

    /// Sets the bytes of the spool. Else `ENDSPAN_SPOOL_MAX_BYTES`.
    pub fn spool_bytes(mut self, bytes: u64) -> Self {
        self.spool_bytes = Some(number(bytes));
        self
    }

    /// Sets how long a shutdown may take unless it says otherwise. Else `ENDSPAN_SHUTDOWN_TIMEOUT_MS`.
    pub const fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = Some(timeout);
        self
    }

    /// Sets where the ids of the observability context come from: trace id of 32 and span id of 16 hex digits. They go
    /// into `data` as `obs.trace_id` and `obs.span_id` when a span starts.
    pub fn observability_ids(
        mut self,
        read: impl Fn() -> Option<(String, String)> + Send + Sync + 'static,
    ) -> Self {
        self.observability_ids = Some(Box::new(read));
        self
    }

    /// Uses the constants of the older synchronous queue (`sdk-behaviour` section 13): 4000 spans waiting, requests of 50
    /// after 4 s, 4 attempts, back-off from 0.4 s to 20 s. `DISABLE_SCALE_TRACING`, present with any value, then switches
    /// the tracer off.
    pub const fn older_profile(mut self) -> Self {
        self.older_profile = true;
        self
    }

    /// Sets where the rest is read from. Else the process's environment.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Makes the tracer and starts its thread. Says in one line of the host's log what goes where.
    pub fn build(mut self) -> Tracer {
        let environment = self.environment.take().unwrap_or_else(Environment::process);
        let mut exporters = std::mem::take(&mut self.exporters);
        if self.exporters_from_env {
            add_from_env(&mut exporters, &environment);
        }
        if self.older_profile && environment.text(settings::DISABLE_SCALE_TRACING).is_some() {
            exporters.clear();
        }
        exporters.retain(|exporter| match exporter.disabled() {
            Some(reason) => {
                tracing::info!(
                    exporter = exporter.name(),
                    reason,
                    "endspan: {} is switched off",
                    exporter.name()
                );
                false
            }
            None => true,
        });
        if exporters.len() > MAX_EXPORTERS {
            tracing::error!(limit = MAX_EXPORTERS, "endspan has too many exporters; the last are left out");
            exporters.truncate(MAX_EXPORTERS);
        }
        let common = self.lane_config(&environment);
        let lanes: Vec<LaneConfig> =
            exporters.iter().map(|exporter| exporter.lane(common.clone()).checked()).collect();
        let starts_are_written = lanes.iter().any(|lane| lane.start_mode.writes_starts());
        let log = self.log_options(&environment, &exporters, starts_are_written);
        announce(&exporters, &lanes, &log);
        let shutdown_timeout = self
            .shutdown_timeout
            .or_else(|| duration_of(&environment, None, settings::ENDSPAN_SHUTDOWN_TIMEOUT_MS))
            .unwrap_or(SHUTDOWN_TIMEOUT);
        let observability_ids = self.observability_ids.take();
        #[cfg(feature = "otel")]
        let observability_ids = observability_ids.or_else(|| crate::otel::observability_ids(&environment));
        let metrics = environment.flag(settings::AGENTEX_TRACING_METRICS);
        Tracer::start(
            Plan { exporters, lanes, log, metrics, watched: Arc::default() },
            shutdown_timeout,
            observability_ids,
        )
    }

    fn lane_config(&self, environment: &Environment) -> LaneConfig {
        let base = if self.older_profile { older_profile() } else { LaneConfig::default() };
        let integer = |argument, variable| environment.integer_or(argument, variable);
        let count = |argument, variable| {
            integer(argument, variable).map(|count| usize::try_from(count).unwrap_or(usize::MAX))
        };
        let batch = count(self.batch_spans, settings::AGENTEX_SPAN_QUEUE_BATCH_SIZE);
        let delay = duration_of(environment, self.start_delay_ms, settings::ENDSPAN_START_DELAY_MS);
        LaneConfig {
            start_mode: match delay {
                _ if self.every_start => StartMode::Every,
                Some(delay) => StartMode::Deferred(delay),
                None => StartMode::Deferred(Duration::from_secs(5)),
            },
            batch_spans: batch.unwrap_or(base.batch_spans),
            batch_spans_max: batch.unwrap_or(base.batch_spans_max),
            batch_bytes: count(self.batch_bytes, settings::ENDSPAN_BATCH_BYTES).unwrap_or(base.batch_bytes),
            linger: duration_of(environment, self.linger_ms, settings::AGENTEX_SPAN_QUEUE_LINGER_MS)
                .unwrap_or(base.linger),
            concurrency: count(self.concurrency, settings::AGENTEX_SPAN_QUEUE_CONCURRENCY)
                .unwrap_or(base.concurrency),
            max_attempts: integer(self.max_attempts, settings::AGENTEX_SPAN_QUEUE_MAX_RETRIES)
                .map(|attempts| u32::try_from(attempts).unwrap_or(u32::MAX))
                .or(base.max_attempts),
            max_waiting: count(self.max_waiting, settings::AGENTEX_SPAN_QUEUE_MAX_SIZE)
                .unwrap_or(base.max_waiting),
            max_pending_bytes: integer(self.max_pending_bytes, settings::ENDSPAN_DESTINATION_MAX_BYTES)
                .map_or(base.max_pending_bytes, i64::unsigned_abs),
            max_age: match integer(self.max_age_s, settings::ENDSPAN_MAX_AGE_S) {
                Some(0) => None,
                Some(seconds) => Some(Duration::from_secs(seconds.unsigned_abs())),
                None => base.max_age,
            },
            request_timeout: duration_of(
                environment,
                self.export_timeout_ms,
                settings::ENDSPAN_EXPORT_TIMEOUT_MS,
            )
            .unwrap_or(base.request_timeout),
            ..base
        }
    }

    fn log_options(
        &self,
        environment: &Environment,
        exporters: &[Arc<dyn Exporter>],
        starts_are_written: bool,
    ) -> Options {
        let bytes = |argument, variable: Variable, default: u64| {
            environment.integer_or(argument, variable).map_or(default, i64::unsigned_abs)
        };
        let directory = match (&self.spool_directory, self.spool) {
            (_, Some(false)) => None,
            (Some(directory), _) => Some(directory.clone()),
            (None, Some(true)) => settings::spool_directory(&environment.with_spool()),
            (None, None) => settings::spool_directory(environment),
        };
        let defaults = Options::default();
        let queue = bytes(self.queue_bytes, settings::ENDSPAN_QUEUE_MAX_BYTES, defaults.max_resident_bytes);
        let spool = bytes(self.spool_bytes, settings::ENDSPAN_SPOOL_MAX_BYTES, defaults.max_bytes);
        let sync =
            duration_of(environment, None, settings::ENDSPAN_SPOOL_SYNC_MS).filter(|sync| !sync.is_zero());
        let identities: Vec<String> = exporters.iter().map(|exporter| exporter.identity()).collect();
        let mut user_header = identities.join("\n").into_bytes();
        user_header.truncate(endspan_spool::MAX_USER_HEADER_BYTES);
        Options {
            max_bytes: if directory.is_some() { spool } else { queue },
            directory,
            max_resident_bytes: queue,
            max_records: environment
                .integer_or(self.queue_spans, settings::ENDSPAN_QUEUE_MAX_SPANS)
                .filter(|spans| *spans > 0)
                .map(i64::unsigned_abs),
            when_full: WhenFull::EvictOldest,
            held_records: if starts_are_written { 0 } else { HELD_SPANS },
            required_marks: u32::MAX.checked_shr(32 - exporters.len() as u32).unwrap_or(0).max(1),
            user_header,
            sync_interval: sync,
            ..defaults
        }
    }
}

fn duration_of(environment: &Environment, argument: Option<i64>, variable: Variable) -> Option<Duration> {
    environment.integer_or(argument, variable).map(|millis| Duration::from_millis(millis.unsigned_abs()))
}

/// The constants of `sdk-behaviour` section 13.
fn older_profile() -> LaneConfig {
    LaneConfig {
        batch_spans: 50,
        batch_spans_max: 50,
        flush_spans: Some(200),
        linger: Duration::from_secs(4),
        concurrency: 1,
        max_attempts: Some(4),
        max_waiting: 4000,
        backoff: Duration::from_millis(400),
        backoff_max: Duration::from_secs(20),
        ..LaneConfig::default()
    }
}

fn add_from_env(exporters: &mut Vec<Arc<dyn Exporter>>, environment: &Environment) {
    let sgp = SgpExporter::builder().environment(environment.clone()).build();
    if sgp.disabled().is_none() {
        exporters.push(Arc::new(sgp));
    }
    if environment.non_empty(settings::AGENTEX_BASE_URL).is_some() {
        exporters.push(Arc::new(AgentexExporter::builder().environment(environment.clone()).build()));
    }
}

/// One line that says what this tracer does.
fn announce(exporters: &[Arc<dyn Exporter>], lanes: &[LaneConfig], log: &Options) {
    let destinations: Vec<String> = exporters
        .iter()
        .zip(lanes)
        .map(|(exporter, lane)| {
            let mode = match lane.start_mode {
                StartMode::EndOnly => "end only".to_owned(),
                StartMode::Deferred(delay) => format!("starts after {delay:?}, and ends"),
                StartMode::Every => "starts and ends".to_owned(),
            };
            format!("{} ({mode})", exporter.identity())
        })
        .collect();
    let spool = log.directory.as_ref().map_or("off".to_owned(), |directory| directory.display().to_string());
    tracing::info!(
        destinations = destinations.join(", "),
        spool,
        "endspan {} begins",
        env!("CARGO_PKG_VERSION")
    );
}
