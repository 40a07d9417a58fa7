//! Merges small blocks into large ones grouped by trace, drops the payloads of replaced versions, and makes the filters of
//! blocks that stay as they are.
//!
//! Single-span commits make blocks of a few spans, which compress badly. The compactor takes a stretch of such
//! blocks, sorts their live records by trace, compresses them together, and hands the writer one new block at a
//! time to swap in: a row moves only if it still points where the compactor found it. The old blocks go
//! with the last swap; a crash before that leaves them with nothing live in them, for the next run to drop.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use endspan_store::engine::block::{BlockBuilder, Compressor, Decompressor, FULL_BYTES, FULL_SPANS};
use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::oneshot;

use crate::{
    block_filter,
    error::{EngineError, Result},
    filter_maker::Grouping,
    precedence::Patience,
    queue::WriteQueue,
    readers::Reading,
    readers::in_snapshot,
    row::Place,
    shared::Shared,
    writer::Job,
};

/// Content that one run takes in: enough to find the traces that were active together.
const RUN_BYTES: i64 = 8 * FULL_BYTES as i64;
/// Blocks that one run takes in.
const RUN_BLOCKS: i64 = 4096;
/// Waiting content that makes a run worth its while while the store is busy.
const WORTHWHILE_BYTES: i64 = 4 * FULL_BYTES as i64;
/// Waiting blocks that make a run worth its while when nothing else happens.
const WORTHWHILE_BLOCKS: i64 = 16;
/// While writes come in and text was not searched for lately, making filters pauses this many times as long as it takes. What
/// has no filter yet is searched by looking through it.
const BUSY_FILTER_PAUSES: u32 = 15;
/// While writes come in and text was searched for lately, it pauses for this part of the time that it takes: filters must come
/// as fast as blocks do.
const SEARCHED_FILTER_PAUSE: u32 = 4;
/// How long a store that was searched for text makes filters as fast as spans come in.
const LATELY: Duration = Duration::from_secs(600);
/// Blocks that must be gone, and time that must have passed, before groups of filters are looked through for those that are of
/// little use.
const MANY_GONE: u64 = 64;
const DISSOLVE_INTERVAL: Duration = Duration::from_secs(10);
/// How often the compactor looks for work.
const INTERVAL: Duration = Duration::from_millis(250);
/// The same while text is searched for.
/// Of what part of its time the compactor may give way to reads: one in so many.
const GIVES_ONE_IN: u32 = 3;
const SEARCHED_INTERVAL: Duration = Duration::from_millis(10);

/// What the writer swaps in one transaction.
#[derive(Debug, Default)]
pub(crate) struct Swap {
    pub(crate) block: Option<NewBlock>,
    /// Blocks that nothing points to after this.
    pub(crate) drained: Vec<i64>,
}

/// A block that takes over records of others.
#[derive(Debug)]
pub(crate) struct NewBlock {
    pub(crate) frame: Vec<u8>,
    /// See [`block_filter`]; only of a settled block, and while there is time for it or text is searched for.
    pub(crate) filter: Option<Vec<u8>>,
    pub(crate) content_bytes: i64,
    pub(crate) settled: bool,
    pub(crate) records: Vec<MovedRecord>,
}

/// A record on its way into a new block.
#[derive(Debug)]
pub(crate) struct MovedRecord {
    pub(crate) sequence: i64,
    pub(crate) from: Place,
    pub(crate) offset: i64,
    pub(crate) bytes: i64,
}

/// The compactor's clock and switch.
#[derive(Debug, Default)]
pub(crate) struct CompactorSwitch {
    is_closed: Mutex<bool>,
    changed: Condvar,
}

impl CompactorSwitch {
    pub(crate) fn close(&self) {
        *self.is_closed.lock() = true;
        self.changed.notify_all();
    }

    /// Waits; returns `false` when closed.
    fn wait(&self, time: Duration) -> bool {
        let mut is_closed = self.is_closed.lock();
        if !*is_closed {
            self.changed.wait_for(&mut is_closed, time);
        }
        !*is_closed
    }
}

/// Runs until the switch is closed.
pub(crate) fn run(
    connection: &Connection,
    shared: &Arc<Shared>,
    queue: &WriteQueue<Job>,
    switch: &CompactorSwitch,
) {
    let mut compactor = match Compactor::new(connection, shared, queue) {
        Ok(compactor) => compactor,
        Err(error) => {
            tracing::error!(%error, "the compactor could not start");
            return;
        }
    };
    let mut pause = INTERVAL;
    let mut seen = shared.latest();
    let mut changed = Instant::now();
    let mut filters_from = changed;
    let mut dissolved = (0, changed);
    while switch.wait(pause) {
        let started = Instant::now();
        let latest = shared.latest();
        if std::mem::replace(&mut seen, latest) != latest {
            changed = started;
        }
        let is_quiet = started.duration_since(changed) >= INTERVAL;
        let is_searched = shared.searched_text_within(LATELY);
        compactor.makes_filters = is_quiet || is_searched;
        let worked = compactor.step(is_quiet).and_then(|did| {
            let began = Instant::now();
            if !is_quiet && began < filters_from {
                return Ok((did, false));
            }
            compactor.filtering = Duration::ZERO;
            compactor.finish_group(is_quiet)?;
            let filtered = if is_quiet {
                compactor.filter_some()? || compactor.group_some()?
            } else {
                (compactor.filter_fresh()? | compactor.group_fresh()?) || compactor.group_some()?
            };
            // The time that it took a core, not the time that the writer was busy.
            let took = compactor.filtering;
            let rest = if is_searched { took / SEARCHED_FILTER_PAUSE } else { took * BUSY_FILTER_PAUSES };
            filters_from = Instant::now() + rest;
            Ok((did, filtered))
        });
        let gone = shared.gone_blocks.load(Ordering::Relaxed);
        let worked = worked.and_then(|worked| {
            if is_quiet && gone - dissolved.0 >= MANY_GONE && dissolved.1.elapsed() >= DISSOLVE_INTERVAL {
                while compactor.dissolve_some()? {}
                dissolved = (gone, Instant::now());
            }
            Ok(worked)
        });
        pause = match worked {
            // While writes are waiting, the compactor takes a third of a core at most.
            Ok((true, _)) if queue.has_writes() || !is_quiet => started.elapsed() * 2,
            Ok((false, true)) if is_quiet => Duration::ZERO,
            Ok((false, true)) if is_searched => compactor.filtering / SEARCHED_FILTER_PAUSE,
            Ok((false, false)) if is_searched && !is_quiet => SEARCHED_INTERVAL,
            Ok((true, _)) => Duration::ZERO,
            Ok((false, _)) => INTERVAL,
            Err(EngineError::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, "compaction failed");
                INTERVAL * 20
            }
        };
    }
}

/// Compacts everything that waits, whether it is worth its while or not.
pub(crate) fn run_once(connection: &Connection, shared: &Arc<Shared>, queue: &WriteQueue<Job>) -> Result<()> {
    let mut compactor = Compactor::new(connection, shared, queue)?;
    compactor.is_eager = true;
    // What is left after a run may be one small block, which another run would only copy.
    while compactor.step(true)? && compactor.made_progress {}
    while compactor.filter_some()? || compactor.dissolve_some()? {}
    while compactor.group_some()? {}
    Ok(())
}

pub(crate) struct Compactor<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) shared: &'a Shared,
    queue: &'a WriteQueue<Job>,
    compressor: Compressor,
    pub(crate) decompressor: Decompressor,
    is_eager: bool,
    /// Whether new blocks get their filters at once.
    makes_filters: bool,
    made_progress: bool,
    /// How long the latest filters took to make.
    pub(crate) filtering: Duration,
    pub(crate) patience: Patience,
    /// The group that the writer is storing.
    pub(crate) grouping: Option<Grouping<'a>>,
}

/// A live record of an old block.
struct LiveRecord {
    trace_key: i64,
    sequence: i64,
    from: Place,
    payload_bytes: i64,
    bytes: Vec<u8>,
}

impl<'a> Compactor<'a> {
    fn new(connection: &'a Connection, shared: &'a Shared, queue: &'a WriteQueue<Job>) -> Result<Self> {
        Ok(Self {
            connection,
            shared,
            queue,
            compressor: Compressor::new()?,
            decompressor: Decompressor::new()?,
            is_eager: false,
            makes_filters: true,
            made_progress: false,
            filtering: Duration::ZERO,
            patience: Patience::one_in(GIVES_ONE_IN),
            grouping: None,
        })
    }

    /// Does one run if there is enough to do. Returns whether it did.
    fn step(&mut self, is_quiet: bool) -> Result<bool> {
        let (connection, shared, is_eager) = (self.connection, self.shared, self.is_eager);
        let mut reading = Reading { connection, shared, decompressor: &mut self.decompressor };
        let gathered = in_snapshot(&mut reading, |reading| gather(reading, is_quiet, is_eager))?;
        let Some((mut records, drained)) = gathered else { return Ok(false) };
        records.sort_by_key(|record| (record.trace_key, record.sequence));
        let old_blocks = drained.len();
        let new_blocks = self.hand_over(records, drained)?;
        self.made_progress = new_blocks < old_blocks;
        Ok(true)
    }

    /// Packs records into new blocks and has the writer swap them in. Returns how many there were.
    fn hand_over(&mut self, records: Vec<LiveRecord>, drained: Vec<i64>) -> Result<usize> {
        let mut builder = BlockBuilder::default();
        let mut moved = Vec::new();
        let mut blocks = 0;
        for record in records {
            if builder.lacks_room_for(record.bytes.len()) {
                self.swap(&mut builder, std::mem::take(&mut moved), Vec::new())?;
                blocks += 1;
            }
            let offset = builder.push_record(&record.bytes) as i64;
            let (sequence, from, bytes) = (record.sequence, record.from, record.payload_bytes);
            moved.push(MovedRecord { sequence, from, offset, bytes });
        }
        blocks += usize::from(!builder.is_empty());
        self.swap(&mut builder, moved, drained)?;
        Ok(blocks)
    }

    fn swap(
        &mut self,
        builder: &mut BlockBuilder,
        records: Vec<MovedRecord>,
        drained: Vec<i64>,
    ) -> Result<()> {
        let mut swap = Swap { block: None, drained };
        if !builder.is_empty() {
            self.patience.give_way(&self.shared.precedence);
            let settled = builder.content().len() >= FULL_BYTES / 2 || builder.spans() >= FULL_SPANS / 2;
            swap.block = Some(NewBlock {
                frame: self.compressor.compress(builder)?,
                filter: (settled && self.makes_filters)
                    .then(|| block_filter::build(0, builder.content()))
                    .transpose()?,
                content_bytes: builder.content().len() as i64,
                settled,
                records,
            });
        }
        builder.clear();
        // When this fails the old blocks stay, and a later run finds them.
        self.ask("swap blocks", |reply| Job::Swap(Box::new(swap), reply))
    }

    /// Has the writer do something and returns where its answer will be.
    pub(crate) fn tell(
        &self,
        job: impl FnOnce(oneshot::Sender<bool>) -> Job,
    ) -> Result<oneshot::Receiver<bool>> {
        let (reply, answer) = oneshot::channel();
        self.queue.push_job(job(reply)).map_err(|_| EngineError::Closed)?;
        Ok(answer)
    }

    /// Has the writer do something and waits for it.
    pub(crate) fn ask(&self, what: &str, job: impl FnOnce(oneshot::Sender<bool>) -> Job) -> Result<()> {
        match self.tell(job)?.blocking_recv() {
            Ok(true) => Ok(()),
            Ok(false) => Err(EngineError::damaged(format!("the writer could not {what}"))),
            Err(_) => Err(EngineError::Closed),
        }
    }
}

/// Reads the live records of a stretch of waiting blocks, with the keys of these blocks; `None` when there is
/// too little to do.
fn gather(
    reading: &mut Reading<'_>,
    is_quiet: bool,
    is_eager: bool,
) -> Result<Option<(Vec<LiveRecord>, Vec<i64>)>> {
    let mut waiting = reading.connection.prepare_cached(
        "SELECT block_key, raw_bytes - dead_bytes FROM block_figures INDEXED BY blocks_unsettled \
         WHERE settled = 0 ORDER BY block_key LIMIT ?1",
    )?;
    let mut rows = waiting.query([RUN_BLOCKS])?;
    let (mut keys, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        keys.push(row.get::<_, i64>(0)?);
        bytes += row.get::<_, i64>(1)?.max(0);
        if bytes >= RUN_BYTES {
            break;
        }
    }
    let count = keys.len() as i64;
    let is_worthwhile = bytes >= WORTHWHILE_BYTES
        || count >= RUN_BLOCKS / 4
        || (is_quiet && count >= WORTHWHILE_BLOCKS)
        || (is_eager && count > 0);
    if !is_worthwhile {
        return Ok(None);
    }
    let mut records = Vec::new();
    let mut frames = reading.connection.prepare_cached("SELECT frame FROM blocks WHERE block_key = ?1")?;
    let mut spans = reading.connection.prepare_cached(
        "SELECT block_key, block_offset, trace_key, payload_bytes FROM spans WHERE sequence = ?1",
    )?;
    for key in &keys {
        let missing = || EngineError::damaged(format!("block {key} is not there"));
        let mut rows = frames.query([key])?;
        let row = rows.next()?.ok_or_else(missing)?;
        let frame = row.get_ref(0)?.as_blob().map_err(|_| missing())?;
        let block = reading.decompressor.decompress(*key, frame)?;
        for record in block.records() {
            let (offset, record) = record?;
            let from = Place { block_key: *key, offset: offset as i64 };
            let found = spans.query_row([record.mark], |row| {
                let place = (row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?);
                Ok((place, row.get(2)?, row.get(3)?))
            });
            if let Some((place, trace_key, payload_bytes)) = found.optional()?
                && place == (Some(from.block_key), Some(from.offset))
            {
                let bytes = record.bytes.to_vec();
                records.push(LiveRecord { trace_key, sequence: record.mark, from, payload_bytes, bytes });
            }
        }
    }
    Ok(Some((records, keys)))
}
