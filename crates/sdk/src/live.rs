//! One process's log, thread and counters. A forked child grows its own beside its parent's.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use endspan_model::DropReason;
use endspan_spool::{Log, Opened, Options};
use endspan_wire::DropReport;
use tokio::sync::mpsc::{UnboundedSender, WeakUnboundedSender, unbounded_channel};

use crate::account::{Account, DestinationStats, Report, Stats};
use crate::activity::Watched;
use crate::diagnostics::aloud;
use crate::exporter::Exporter;
use crate::ids;
use crate::lane::{Lane, LaneConfig, Phase};
use crate::metrics::Metrics;
use crate::worker::{Arriving, Control, Worker};

/// What is needed to begin: in the process that built the tracer, and again in each forked child.
pub(crate) struct Plan {
    pub(crate) exporters: Vec<Arc<dyn Exporter>>,
    pub(crate) lanes: Vec<LaneConfig>,
    pub(crate) log: Options,
    /// Whether OpenTelemetry's instruments are wanted.
    pub(crate) metrics: bool,
    /// Whether a binding wants to know what is done.
    pub(crate) watched: Arc<AtomicBool>,
}

/// The running pipeline of one process.
pub(crate) struct Live {
    pub(crate) log: Log,
    control: UnboundedSender<Control>,
    thread: Mutex<Option<JoinHandle<()>>>,
    metrics: Arc<Metrics>,
    pub(crate) counters: Arc<Counters>,
    /// What a binding wants to know. Of this process alone: a fork may find a parent's lock held.
    pub(crate) watched: Arc<Watched>,
}

impl Live {
    /// Opens the log and starts the thread. What fails is said in the host's log; the tracer then loses spans, and
    /// counts them.
    pub(crate) fn begin(plan: &Plan) -> Option<Self> {
        let opened = Log::open(plan.log.clone());
        let Opened { log, consumer } = match opened {
            Ok(opened) => opened,
            Err(error) => {
                aloud(|| tracing::error!(%error, "endspan cannot open its queue: nothing will be delivered"));
                return None;
            }
        };
        let starts = plan.lanes.iter().map(|lane| lane.start_mode.writes_starts()).collect();
        let counters = Arc::new(Counters::new(log.clone(), starts));
        let seed = u64::from(std::process::id()) ^ endspan_model::Timestamp::now().unix_micros() as u64;
        let lanes = plan
            .lanes
            .iter()
            .zip(0_u64..)
            .map(|(config, index)| Lane::new(config.clone(), seed.wrapping_add(index)))
            .collect();
        let (control, orders) = unbounded_channel();
        let watched = Arc::new(Watched::new(&plan.watched));
        let metrics = Arc::new(Metrics::new(plan.metrics, Arc::clone(&watched)));
        let asleep = wake_by(&log, control.downgrade());
        let mut worker = Worker::new(
            consumer,
            lanes,
            plan.exporters.clone(),
            Arc::clone(&counters),
            Arriving { control: orders, asleep },
            Arc::clone(&metrics),
        );
        // Whoever asks before the first tick is told of every destination already.
        worker.publish();
        let thread = std::thread::Builder::new().name("endspan".to_owned()).spawn(move || worker.run());
        match thread {
            Ok(thread) => {
                Some(Self { log, control, thread: Mutex::new(Some(thread)), metrics, counters, watched })
            }
            Err(error) => {
                aloud(
                    || tracing::error!(%error, "endspan cannot start its thread: nothing will be delivered"),
                );
                None
            }
        }
    }

    /// Asks the thread for something. Returns `false`, without using the reply, if it has ended.
    pub(crate) fn ask(&self, control: Control) -> bool {
        self.control.send(control).is_ok()
    }

    /// Counts a record that did not get into the log, and tells the metrics, for every destination that it was for. Returns
    /// how many were refused like it.
    pub(crate) fn refuse(&self, phase: Phase, reason: DropReason, exporters: &[Arc<dyn Exporter>]) -> u64 {
        for (lane, exporter) in exporters.iter().enumerate() {
            if self.counters.is_for(lane, phase) {
                self.metrics.dropped(exporter.name(), reason.as_str(), 1);
            }
        }
        self.counters.refuse(phase, reason)
    }

    /// Waits for the thread to end. It must have been asked to.
    pub(crate) fn join(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic of the thread was printed by the panic hook; there is nothing to add.
            let _ = thread.join();
        }
    }
}

/// Has the thread woken if it sleeps when a segment was used up: a burst that meets a resting thread would fill memory until the
/// next tick, up to 50 ms, which a kill loses. Returns where the thread says that it sleeps.
fn wake_by(log: &Log, control: WeakUnboundedSender<Control>) -> Arc<AtomicBool> {
    let asleep = Arc::new(AtomicBool::new(false));
    let is_asleep = Arc::clone(&asleep);
    log.on_used_up(move || {
        if is_asleep.swap(false, Ordering::Relaxed)
            && let Some(control) = control.upgrade()
        {
            // It fails when the thread has ended: then nobody is left to be woken.
            let _ = control.send(Control::Attend);
        }
    });
    asleep
}

/// What the thread last published.
#[derive(Clone, Default)]
pub(crate) struct Snapshot {
    pub(crate) destinations: Vec<DestinationStats>,
    pub(crate) read_records: u64,
    pub(crate) open_spans: u64,
}

/// Counters that the callers' threads and endspan's thread share.
pub(crate) struct Counters {
    log: Log,
    /// For each lane, whether starts are to go there.
    starts: Vec<bool>,
    refused_starts: [AtomicU64; DropReason::ALL.len()],
    refused_ends: [AtomicU64; DropReason::ALL.len()],
    unencodable: AtomicU64,
    recovered_records: AtomicU64,
    recovered_open: AtomicU64,
    snapshot: Mutex<Snapshot>,
    closed: Mutex<Option<Closing>>,
    /// Names this process in its drop reports.
    instance: u64,
}

#[derive(Clone, Copy)]
struct Closing {
    spooling: bool,
    lost_records: u64,
}

impl Counters {
    fn new(log: Log, starts: Vec<bool>) -> Self {
        Self {
            log,
            starts,
            refused_starts: [const { AtomicU64::new(0) }; DropReason::ALL.len()],
            refused_ends: [const { AtomicU64::new(0) }; DropReason::ALL.len()],
            unencodable: AtomicU64::new(0),
            recovered_records: AtomicU64::new(0),
            recovered_open: AtomicU64::new(0),
            snapshot: Mutex::default(),
            closed: Mutex::default(),
            instance: ids::random_number(),
        }
    }

    /// Whether a lane takes records of a phase.
    fn is_for(&self, lane: usize, phase: Phase) -> bool {
        phase == Phase::End || self.starts.get(lane).copied().unwrap_or(false)
    }

    /// Counts a record that did not get into the log.
    fn refuse(&self, phase: Phase, reason: DropReason) -> u64 {
        let counts = match phase {
            Phase::Start => &self.refused_starts,
            Phase::End => &self.refused_ends,
        };
        counts.get(reason.index()).map_or(0, |count| count.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(crate) fn note_unencodable(&self, count: u64) {
        self.unencodable.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn note_recovered(&self, records: u64, open: u64) {
        self.recovered_records.store(records, Ordering::Relaxed);
        if open > 0 {
            self.recovered_open.fetch_add(open, Ordering::Relaxed);
        }
    }

    pub(crate) fn publish(&self, snapshot: Snapshot) {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }

    /// Notes how the log was closed, after the last snapshot.
    pub(crate) fn close(&self, spooling: bool, lost_records: u64) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Closing { spooling, lost_records });
    }

    fn snapshot(&self) -> Snapshot {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns what was given up on the way to a lane's destination since the process started: by the lane, and before
    /// it. `None` if nothing was.
    pub(crate) fn drop_report(
        &self,
        lane: usize,
        dropped: &[u64; DropReason::ALL.len()],
    ) -> Option<DropReport> {
        let wants_starts = self.is_for(lane, Phase::Start);
        let refused = [(true, &self.refused_ends), (wants_starts, &self.refused_starts)];
        let refused = refused.into_iter().filter(|(counts, _)| *counts).flat_map(|(_, counts)| {
            DropReason::ALL.iter().zip(counts).map(|(reason, count)| (*reason, count.load(Ordering::Relaxed)))
        });
        let by_lane = DropReason::ALL.iter().copied().zip(dropped.iter().copied());
        // Each destination has an account of its own, and so each is someone else to the server.
        DropReport::new(self.instance.wrapping_add(lane as u64), by_lane.chain(refused))
    }

    /// Completes a lane's account by what never reached the lane, and by how the log was closed.
    fn complete(&self, index: usize, account: &mut Account) {
        let wants_starts = self.is_for(index, Phase::Start);
        for reason in DropReason::ALL {
            let count = |counts: &[AtomicU64]| {
                counts.get(reason.index()).map_or(0, |count| count.load(Ordering::Relaxed))
            };
            account.refuse(*reason, count(&self.refused_ends));
            if wants_starts {
                account.refuse(*reason, count(&self.refused_starts));
            }
        }
        let closing = *self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(closing) = closing
            && closing.spooling
        {
            let lost = closing.lost_records.min(account.pending);
            account.dropped.add(DropReason::ShutdownTimeout, lost);
            account.spooled = account.pending - lost;
            account.pending = 0;
        }
    }

    pub(crate) fn report(&self, timed_out: bool) -> Report {
        let mut accounts: Vec<Account> =
            self.snapshot().destinations.into_iter().map(|destination| destination.account).collect();
        for (index, account) in accounts.iter_mut().enumerate() {
            self.complete(index, account);
        }
        let report = Report { accounts, timed_out };
        debug_assert!(report.is_conserved(), "{report:?}");
        report
    }

    pub(crate) fn stats(&self) -> Stats {
        let snapshot = self.snapshot();
        let log = self.log.stats();
        let mut destinations = snapshot.destinations;
        for (index, destination) in destinations.iter_mut().enumerate() {
            self.complete(index, &mut destination.account);
        }
        Stats {
            destinations,
            unread_records: log.appended_records.saturating_sub(snapshot.read_records),
            open_spans: snapshot.open_spans + log.held_records,
            unencodable_payloads: self.unencodable.load(Ordering::Relaxed),
            queue_bytes: log.depth_bytes,
            resident_bytes: log.resident_bytes,
            spool_bytes: log.disk_bytes,
            spooling: log.spooling,
            recovered_records: self.recovered_records.load(Ordering::Relaxed),
            recovered_open_spans: self.recovered_open.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use endspan_spool::Meta;

    use super::*;

    #[test]
    fn a_sleeping_thread_is_woken_once_when_a_segment_is_used_up() {
        let options = Options { required_marks: 1, segment_bytes: 4096, ..Options::default() };
        let Opened { log, mut consumer } = Log::open(options).unwrap();
        let (control, mut orders) = unbounded_channel();
        let asleep = wake_by(&log, control.downgrade());
        let append = |records| {
            for _ in 0..records {
                log.append(Meta::kind(1), &[&[0; 1000]]).unwrap();
            }
        };
        consumer.maintain();
        append(20);
        assert!(orders.try_recv().is_err(), "it is awake");
        consumer.maintain();
        asleep.store(true, Ordering::Relaxed);
        append(20);
        assert!(matches!(orders.try_recv(), Ok(Control::Attend)));
        assert!(orders.try_recv().is_err(), "it was woken already");
        consumer.maintain();
        asleep.store(true, Ordering::Relaxed);
        append(20);
        assert!(matches!(orders.try_recv(), Ok(Control::Attend)));
        drop(orders);
        asleep.store(true, Ordering::Relaxed);
        append(20);
    }
}
