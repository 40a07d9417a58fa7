//! endspan's own thread: reads the log, feeds the engine, sends what it orders.
//!
//! It brings its own small runtime, so that it works in synchronous and asynchronous programs, in forked children
//! and inside Python alike. Nobody wakes it for a span: it looks at the log on a tick, which costs the callers
//! nothing; flush and shutdown wake it, and a burst does that has used up a segment.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use endspan_model::DropReason;
use endspan_spool::{Consumer, Evicted, Payloads, Record};
use futures_util::future::{AbortHandle, Abortable, BoxFuture, Either, select};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};

use crate::clock;
use crate::diagnostics::{Throttle, aloud, quiet_this_thread};
use crate::engine::{Engine, Order, RecordFacts};
use crate::exporter::Exporter;
use crate::lane::{Dispatch, Failure, Lane, Outcome, Phase, RequestId};
use crate::live::Counters;
use crate::metrics::{Exported, Metrics};
use crate::moment::Moment;
use crate::record::{self, KIND_END, KIND_START};

mod control;
mod handle;
mod recovery;
mod report;
mod request;
mod trouble;

pub(crate) use control::{Arriving, Control, Reply};
use control::{Flush, Shutdown};
pub(crate) use handle::LogRecord;
use recovery::Recovery;
use trouble::Trouble;

/// Records read from the log at a time.
const READ_RECORDS: usize = 4096;
/// Bytes of records read from the log at a time.
const READ_BYTES: usize = 32 << 20;
/// How often the log is looked at: while spans come, then less and less.
const TICKS: [(Duration, Duration); 4] = [
    (Duration::from_millis(50), Duration::from_millis(1)),
    (Duration::from_secs(1), Duration::from_millis(5)),
    (Duration::from_secs(10), Duration::from_millis(20)),
    (Duration::MAX, Duration::from_millis(50)),
];
/// After how long without a request the exporters rest.
const REST_AFTER: Duration = Duration::from_secs(1);
/// How often orphans of other processes are looked for.
const ADOPT_EVERY: Duration = Duration::from_secs(60);
/// How often the log is maintained while requests come and go faster than the tick.
const MAINTAIN_EVERY: Duration = Duration::from_micros(900);

/// A request of which no answer is known yet.
struct UnderWay {
    abort: AbortHandle,
    phase: Phase,
    spans: u64,
    began: Instant,
}

type Finished = (usize, RequestId, Option<Outcome>);

pub(crate) struct Worker {
    consumer: Consumer,
    engine: Engine<LogRecord>,
    exporters: Vec<Arc<dyn Exporter>>,
    counters: Arc<Counters>,
    arriving: Arriving,
    began: Instant,
    in_flight: FuturesUnordered<BoxFuture<'static, Finished>>,
    under_way: HashMap<(usize, RequestId), UnderWay>,
    metrics: Arc<Metrics>,
    recovery: Recovery,
    flushes: Vec<Flush>,
    shutdown: Option<Shutdown>,
    read: u64,
    writes_starts: bool,
    quiet_since: Instant,
    maintained: Instant,
    adopted: Instant,
    published: Instant,
    /// When the last request began, until the exporters are told to rest.
    sent: Option<Instant>,
    drops: Throttle,
    dropped_seen: u64,
    /// What was said of each destination.
    troubles: Vec<Trouble>,
    /// What the metrics were told of drops, for each destination and reason.
    drops_told: HashMap<(usize, DropReason), u64>,
    orders: Vec<Order>,
    records: Vec<Record>,
}

impl Worker {
    pub(crate) fn new(
        consumer: Consumer,
        lanes: Vec<Lane>,
        exporters: Vec<Arc<dyn Exporter>>,
        counters: Arc<Counters>,
        arriving: Arriving,
        metrics: Arc<Metrics>,
    ) -> Self {
        let now = Instant::now();
        let identities = exporters.iter().map(|exporter| exporter.identity()).collect();
        Self {
            recovery: Recovery::new(identities),
            consumer,
            writes_starts: lanes.iter().any(|lane| lane.config().start_mode.writes_starts()),
            troubles: lanes.iter().map(|_| Trouble::default()).collect(),
            engine: Engine::new(lanes),
            exporters,
            counters,
            arriving,
            began: now,
            in_flight: FuturesUnordered::new(),
            under_way: HashMap::new(),
            metrics,
            flushes: Vec::new(),
            shutdown: None,
            read: 0,
            quiet_since: now,
            maintained: now,
            adopted: now,
            published: now,
            sent: None,
            drops: Throttle::default(),
            dropped_seen: 0,
            drops_told: HashMap::new(),
            orders: Vec::new(),
            records: Vec::new(),
        }
    }

    /// Works until shutdown. Runs on a thread of its own.
    pub(crate) fn run(self) {
        quiet_this_thread();
        #[cfg(feature = "otel")]
        let _quiet = opentelemetry::Context::enter_telemetry_suppressed_scope();
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(self.work()),
            Err(error) => aloud(|| {
                tracing::error!(%error, "endspan cannot start its runtime: nothing will be delivered");
            }),
        }
    }

    async fn work(mut self) {
        loop {
            let now = Instant::now();
            self.read_log(now);
            self.recover(now);
            self.send(now);
            self.maintain(now);
            self.answer_flushes(now);
            if now.saturating_duration_since(self.published) >= MAINTAIN_EVERY {
                self.published = now;
                clock::refresh();
                self.publish();
            }
            if self.may_end(now) {
                self.end();
                return;
            }
            self.wait(now).await;
        }
    }

    fn moment(&self, now: Instant) -> Moment {
        Moment::ZERO + now.saturating_duration_since(self.began)
    }

    /// Takes what was appended since the last look.
    fn read_log(&mut self, now: Instant) {
        let moment = self.moment(now);
        let mut records = std::mem::take(&mut self.records);
        // Not what comes meanwhile: a busy producer must not keep this thread from sending.
        let until = self.consumer.log().appended_records();
        while self.read < until {
            let read = self.consumer.poll(READ_RECORDS, READ_BYTES, &mut records);
            if read == 0 {
                break;
            }
            self.read += read as u64;
            self.quiet_since = now;
            self.measure(&records);
            let mut payloads = Payloads::with_capacity(read);
            for record in records.drain(..) {
                self.ingest(LogRecord::own(record), &mut payloads, moment);
            }
            self.consumer.replenish();
        }
        self.records = records;
    }

    fn ingest(&mut self, record: LogRecord, payloads: &mut Payloads, now: Moment) {
        let wanted = record.wanted();
        let phase = match record.record().kind() {
            KIND_START => Phase::Start,
            KIND_END => Phase::End,
            _ => {
                self.engine.refuse(&record, wanted, DropReason::SpoolCorrupt);
                return;
            }
        };
        let key = payloads.read(record.record()).ok().and_then(record::key_of);
        let Some(key) = key else {
            self.engine.refuse(&record, wanted, DropReason::SpoolCorrupt);
            return;
        };
        let bytes = u32::try_from(record.record().payload_bytes()).unwrap_or(u32::MAX);
        let recovered = record.record().is_recovered();
        self.engine.ingest(record, RecordFacts { key, phase, bytes, wanted, recovered }, now);
    }

    /// Takes over what dead processes left, a little at a time.
    fn recover(&mut self, now: Instant) {
        if self.engine.tracked_records() > READ_RECORDS {
            return;
        }
        let moment = self.moment(now);
        let mut payloads = Payloads::default();
        for record in self.recovery.take(&mut self.consumer) {
            self.ingest(record, &mut payloads, moment);
        }
        drop(payloads);
        let died = self.recovery.take_died(&self.consumer);
        self.counters.note_recovered(self.recovery.records, died);
    }

    /// Sends what is due and stops waiting for what is late.
    fn send(&mut self, now: Instant) {
        let moment = self.moment(now);
        self.engine.poll(moment);
        let mut orders = std::mem::take(&mut self.orders);
        self.engine.take_orders(&mut orders);
        for order in orders.drain(..) {
            match order {
                Order::Send(lane, dispatch) => {
                    self.start(lane, dispatch);
                    self.consumer.replenish();
                }
                Order::Cancel(lane, request) => {
                    if let Some(under_way) = self.under_way.remove(&(lane, request)) {
                        under_way.abort.abort();
                    }
                    if let Some(trouble) = self.troubles.get_mut(lane) {
                        trouble.failure = Some(Failure::TIMEOUT);
                    }
                }
            }
        }
        self.orders = orders;
    }

    fn start(&mut self, lane: usize, dispatch: Dispatch) {
        let Some(exporter) = self.exporters.get(lane) else { return };
        let (request, phase, spans) = (dispatch.request, dispatch.phase, dispatch.items.len() as u64);
        let counts = self.engine.lanes().get(lane).map(Lane::counts);
        let dropped = counts.and_then(|counts| self.counters.drop_report(lane, &counts.dropped));
        let export = std::panic::catch_unwind(AssertUnwindSafe(|| {
            request::send(&self.engine, &self.counters, &dispatch, dropped, exporter.as_ref())
        }));
        let export =
            export.unwrap_or_else(|_| Box::pin(std::future::ready(Outcome::Rejected(Failure::OTHER))));
        let (abort, registration) = AbortHandle::new_pair();
        let began = Instant::now();
        self.sent = Some(began);
        self.under_way.insert((lane, request), UnderWay { abort, phase, spans, began });
        let guarded = AssertUnwindSafe(Abortable::new(export, registration)).catch_unwind();
        self.in_flight.push(
            guarded
                .map(move |ended| match ended {
                    Ok(Ok(outcome)) => (lane, request, Some(outcome)),
                    Ok(Err(_aborted)) => (lane, request, None),
                    Err(_panic) => (lane, request, Some(Outcome::Rejected(Failure::OTHER))),
                })
                .boxed(),
        );
    }

    fn finish(&mut self, (lane, request, outcome): Finished) {
        let under_way = self.under_way.remove(&(lane, request));
        let Some(outcome) = outcome else { return };
        if let (Some(trouble), Some(failure)) = (self.troubles.get_mut(lane), outcome.failure()) {
            trouble.failure = Some(failure);
        }
        let now = Instant::now();
        let moment = self.moment(now);
        let counts = |engine: &Engine<LogRecord>| {
            let counts = engine.lanes().get(lane).map(Lane::counts);
            counts.map_or((0, 0), |counts| (counts.delivered, counts.dropped_total()))
        };
        let before = counts(&self.engine);
        self.engine.complete(lane, request, &outcome, moment);
        let after = counts(&self.engine);
        if let (Some(under_way), Some(exporter)) = (under_way, self.exporters.get(lane)) {
            self.metrics.exported(&Exported {
                exporter: exporter.name(),
                phase: under_way.phase,
                spans: under_way.spans,
                delivered: after.0 - before.0,
                given_up: after.1 - before.1,
                failure: outcome.failure(),
                took: now.saturating_duration_since(under_way.began),
            });
        }
    }

    fn maintain(&mut self, now: Instant) {
        if now.saturating_duration_since(self.maintained) < MAINTAIN_EVERY {
            return;
        }
        self.maintained = now;
        if self.in_flight.is_empty()
            && self.sent.take_if(|sent| now.saturating_duration_since(*sent) >= REST_AFTER).is_some()
        {
            for exporter in &self.exporters {
                // A panic was printed by the panic hook; there is nothing to add.
                let _ = std::panic::catch_unwind(AssertUnwindSafe(|| exporter.rest()));
            }
        }
        if now.saturating_duration_since(self.adopted) >= ADOPT_EVERY {
            self.adopted = now;
            self.consumer.adopt_orphans();
        }
        loop {
            let done = self.consumer.maintain();
            if !done.evicted.is_empty() {
                let spooling = self.consumer.log().stats().spooling;
                let reason = if spooling { DropReason::SpoolFull } else { DropReason::QueueFull };
                self.evict(done.evicted, reason);
            }
            for notice in done.notices {
                handle::say(&notice);
            }
            if !done.more {
                break;
            }
        }
    }

    /// Books what the log had to let go of.
    fn evict(&mut self, evicted: Vec<Evicted>, reason: DropReason) {
        let mut unknown: HashMap<_, _> =
            evicted.into_iter().map(|evicted| (evicted.record.position(), evicted)).collect();
        self.engine.evict(|handle| unknown.remove(&handle.record().position()).is_some(), reason);
        // What is left was evicted before it was read: a burst beyond all bounds.
        for evicted in unknown.into_values() {
            let is_start = evicted.record.kind() == KIND_START;
            let wanted = if is_start { self.engine.start_lanes() } else { u32::MAX };
            let recovered = evicted.record.is_recovered();
            if !recovered {
                self.read += 1;
                self.engine.refuse(&LogRecord::own(evicted.record), wanted & evicted.unresolved, reason);
            }
        }
    }

    /// Waits for an answer, a request of a caller, the next deadline or the next tick.
    async fn wait(&mut self, now: Instant) {
        let idle = now.saturating_duration_since(self.quiet_since);
        let tick = TICKS
            .iter()
            .find(|(until, _)| idle < *until)
            .map_or(Duration::from_millis(50), |(_, tick)| *tick);
        let moment = self.moment(now);
        let wakeup = self.engine.next_wakeup();
        let pause = if wakeup == Moment::NEVER { tick } else { tick.min(wakeup.since(moment)) };
        // Tokio's clock has milliseconds; zero would spin.
        let sleep = tokio::time::sleep(pause.max(Duration::from_millis(1)));
        let control = self.arriving.control.recv();
        let finished = async {
            match self.in_flight.next().await {
                Some(finished) => finished,
                None => std::future::pending().await,
            }
        };
        self.arriving.asleep.store(true, Ordering::Relaxed);
        let event = match select(select(pin!(finished), pin!(control)), pin!(sleep)).await {
            Either::Left((Either::Left((finished, _)), _)) => Some(Event::Finished(finished)),
            Either::Left((Either::Right((control, _)), _)) => Some(Event::Control(control)),
            Either::Right(_) => None,
        };
        self.arriving.asleep.store(false, Ordering::Relaxed);
        match event {
            Some(Event::Finished(finished)) => {
                self.finish(finished);
                // Whatever else is ready belongs to the same round.
                while let Some(Some(finished)) = self.in_flight.next().now_or_never() {
                    self.finish(finished);
                }
            }
            Some(Event::Control(control)) => self.obey(control),
            None => {}
        }
    }
}

enum Event {
    Finished(Finished),
    Control(Option<Control>),
}
