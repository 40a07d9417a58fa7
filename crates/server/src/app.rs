//! What every handler shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use endspan_store::{SpanStore, StoreError, StoreStats};
use tokio::sync::{Mutex, Semaphore, watch};

use crate::Config;
use crate::admission::Admission;
use crate::clients::Clients;
use crate::history::History;
use crate::live::Live;
use crate::retention::StateCell;
use crate::telemetry::{LiveFigures, Telemetry};

/// How long figures of the store are shown before they are asked for again.
const STATS_AGE: Duration = Duration::from_secs(5);

/// Where the server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// No new connections; requests that were received are answered.
    Draining,
    /// Everything that is still open is cut.
    Aborting,
}

/// The parts of one server.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) store: Arc<dyn SpanStore>,
    pub(crate) telemetry: Telemetry,
    pub(crate) clients: Clients,
    pub(crate) history: History,
    pub(crate) admission: Arc<Admission>,
    /// One permit a connection.
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) started: Instant,
    pub(crate) live: Live,
    pub(crate) store_log: StoreLog,
    pub(crate) retention: StateCell,
    stats: Mutex<Option<(Instant, StoreStats)>>,
}

impl App {
    pub(crate) fn new(config: Config, store: Arc<dyn SpanStore>, phase: watch::Receiver<Phase>) -> Arc<Self> {
        let connections = config.max_connections.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        Arc::new(Self {
            admission: Admission::new(config.max_in_flight_requests, config.max_in_flight_bytes),
            connections: Arc::new(Semaphore::new(connections)),
            telemetry: Telemetry::new(),
            clients: Clients::default(),
            history: History::new(),
            started: Instant::now(),
            live: Live::new(config.max_live_subscribers),
            store_log: StoreLog::default(),
            retention: StateCell::default(),
            stats: Mutex::new(None),
            config,
            store,
            phase,
        })
    }

    /// Returns the store's figures, at most [`STATS_AGE`] old; asking may cost the store a scan.
    pub(crate) async fn stats(&self) -> Result<StoreStats, StoreError> {
        let mut cached = self.stats.lock().await;
        if let Some((at, stats)) = cached.as_ref()
            && at.elapsed() < STATS_AGE
        {
            return Ok(stats.clone());
        }
        let stats = self.store.stats().await?;
        *cached = Some((Instant::now(), stats.clone()));
        Ok(stats)
    }

    /// Returns the figures that are read off rather than counted.
    pub(crate) async fn live_figures(&self) -> LiveFigures {
        let store = tokio::time::timeout(self.config.health_timeout, self.stats()).await;
        LiveFigures {
            in_flight_requests: self.admission.requests(),
            in_flight_bytes: self.admission.bytes(),
            connections: self.config.max_connections.saturating_sub(self.connections.available_permits()),
            keys: self.config.keys.len(),
            live_subscribers: self.live.subscribers(),
            store: store.ok().and_then(Result::ok),
        }
    }
}

/// Logs failures of the store, at most one a second: under load each request would log the same one.
#[derive(Debug, Default)]
pub(crate) struct StoreLog {
    last: std::sync::Mutex<Option<Instant>>,
    silent: AtomicU64,
}

impl StoreLog {
    pub(crate) fn failed(&self, error: &StoreError) {
        if matches!(error, StoreError::InvalidQuery { .. }) {
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < Duration::from_secs(1)) {
            self.silent.fetch_add(1, Ordering::Relaxed);
            return;
        }
        *last = Some(Instant::now());
        let unlogged = self.silent.swap(0, Ordering::Relaxed);
        tracing::warn!(%error, unlogged, "the store failed");
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("App").field("config", &self.config).finish_non_exhaustive()
    }
}
