//! Brings a group to the database: blocks, rows, summaries and positions in one transaction.

use std::{
    collections::{BTreeMap, HashMap},
    pin::Pin,
};

use deadpool_postgres::Object;
use endspan_model::Facets;
use endspan_store::engine::Facts;
use futures_util::future::try_join_all;
use tokio_postgres::Statement;

use super::{
    columns::{BlockRow, Columns as _, Records, RowKey, SpanRow, TraceRow},
    group::{Entry, Group, State, Written},
    plan::{Encoder, NewBlock, Plan, PlannedPlace},
    traces::{Label, SUMMED_ROW, Summary, Trace, TraceTable, sum_up},
};
use crate::{
    connections::Parameter,
    error::{EngineError, Result},
    row::{Place, StoredRow},
    schema::PARTITION_SHIFT,
    shared::KeyedHash,
};

/// A row that a transaction made: if it is there, the transaction is durable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) sequence: i64,
    pub(crate) id_hash: i64,
}

/// What a group writes.
pub(crate) struct Commit<'g, 'r> {
    layout: Layout<'g, 'r>,
    traces: &'g mut TraceTable,
}

/// Where everything goes.
struct Layout<'g, 'r> {
    entries: &'g [Entry<'r>],
    plan: &'g Plan,
    keyed: KeyedHash,
    partition: i32,
    extra_blocks: Vec<NewBlock>,
    /// The facets and the place of each entry.
    prepared: Vec<(Facets, Option<PlannedPlace>)>,
    /// The keys of the blocks of the plan, then of the others; `None` for those in which nothing is needed.
    block_keys: Vec<Option<i64>>,
    live: Vec<i32>,
    live_bytes: Vec<i64>,
}

impl<'g, 'r> Commit<'g, 'r> {
    /// Decides where everything goes. `None` when the group wrote nothing.
    pub(crate) fn prepare(
        group: &'g mut Group<'r>,
        plan: &'g Plan,
        keyed: KeyedHash,
    ) -> Result<Option<Self>> {
        group.entries.retain(|entry| matches!(entry.state, State::Written(_)));
        // New rows go to the end of the table in the order of their positions.
        group.entries.sort_unstable_by_key(|entry| written(entry).map(|written| written.version));
        if group.entries.is_empty() {
            return Ok(None);
        }
        let mut encoder: Option<Encoder> = None;
        let mut prepared = Vec::with_capacity(group.entries.len());
        for entry in &group.entries {
            let Some(Written { span, operation, .. }) = written(entry) else { continue };
            if let Some(planned) = operation.and_then(|operation| plan.get(operation)) {
                prepared.push((planned.facets.clone(), planned.place));
                continue;
            }
            let encoder = match &mut encoder {
                Some(encoder) => encoder,
                None => encoder.insert(Encoder::new()?),
            };
            let place = encoder.push(keyed.hash(span.id.as_str()), span)?;
            let place = place.map(|place| PlannedPlace { block: place.block + plan.blocks.len(), ..place });
            prepared.push((Facets::of(span), place));
        }
        let extra_blocks = encoder.map_or_else(|| Ok(Vec::new()), Encoder::finish)?;
        let count = plan.blocks.len() + extra_blocks.len();
        let (mut live, mut live_bytes) = (vec![0_i32; count], vec![0_i64; count]);
        for (entry, (_, place)) in group.entries.iter().zip(&prepared) {
            let (Some(place), Some(written)) = (place, written(entry)) else { continue };
            if let (Some(live), Some(bytes)) = (live.get_mut(place.block), live_bytes.get_mut(place.block)) {
                *live += 1;
                *bytes += written.span.payload_bytes() as i64;
            }
        }
        // There are at least as many positions in the group as blocks with a span in them.
        let mut next_key = group.found.latest;
        let block_keys = live.iter().map(|live| {
            (*live > 0).then(|| {
                next_key += 1;
                next_key
            })
        });
        let layout = Layout {
            block_keys: block_keys.collect(),
            entries: &group.entries,
            plan,
            keyed,
            partition: group.found.partition,
            extra_blocks,
            prepared,
            live,
            live_bytes,
        };
        Ok(Some(Self { layout, traces: &mut group.found.traces }))
    }

    /// Returns a row that this transaction makes.
    pub(crate) fn mark(&self) -> Option<Mark> {
        let entry = self.layout.entries.iter().find(|entry| entry.row.is_none())?;
        let sequence = written(entry)?.version;
        Some(Mark { sequence, id_hash: self.layout.keyed.hash(entry.id.as_str()) })
    }

    /// Writes everything and commits. On an error before the commit went out, nothing is stored.
    pub(crate) async fn run(self, client: &Object) -> Result<()> {
        let Self { layout, traces } = self;
        let blocks = layout.blocks();
        let rows = layout.rows();
        let deaths = Deaths::of(layout.entries);
        layout.change_traces(traces)?;

        let mut work = Work::default();
        if !blocks.is_empty() {
            let sql = BlockRow::insert(&format!("blocks_p{}", layout.partition));
            work.add(client, &sql, vec![&blocks]).await?;
        }
        if !rows.new.is_empty() {
            let sql = SpanRow::insert(&format!("spans_p{}", layout.partition));
            work.add(client, &sql, vec![&rows.new]).await?;
        }
        for (partition, records) in &rows.changed {
            let sql = SpanRow::update(&format!("spans_p{partition}"), "s.sequence = u.sequence");
            work.add(client, &sql, vec![records]).await?;
        }
        deaths.add_to(client, &mut work).await?;
        if traces.dirty().any(|trace| trace.summary.is_stale) {
            std::mem::take(&mut work).run(client, false).await?;
            sum_up_again(client, traces).await?;
        }
        let changes = TraceChanges::of(traces);
        changes.add_to(client, &mut work).await?;
        work.run(client, true).await
    }
}

impl Layout<'_, '_> {
    fn place(&self, index: usize) -> Option<Place> {
        let planned = self.prepared.get(index)?.1?;
        let block_key = (*self.block_keys.get(planned.block)?)?;
        Some(Place { block_key, offset: i32::try_from(planned.offset).ok()? })
    }

    fn blocks(&self) -> Records {
        let mut records = Records::default();
        let blocks = self.plan.blocks.iter().chain(&self.extra_blocks);
        let live = self.live.iter().zip(&self.live_bytes);
        for ((block, key), (live, live_bytes)) in blocks.zip(&self.block_keys).zip(live) {
            let Some(key) = key else { continue };
            let spans = i32::try_from(block.spans).unwrap_or(i32::MAX);
            let row = BlockRow {
                block_key: *key,
                raw_bytes: block.raw_bytes as i64,
                // Only what lost: the heads of records are nobody's.
                dead_bytes: if spans > *live { block.raw_bytes as i64 - live_bytes } else { 0 },
                spans,
                dead_spans: spans - live,
                frame: &block.frame,
            };
            row.put(&mut records);
        }
        records
    }

    fn rows(&self) -> Rows {
        let mut rows = Rows::default();
        for (index, entry) in self.entries.iter().enumerate() {
            let (Some(written), Some((facets, _))) = (written(entry), self.prepared.get(index)) else {
                continue;
            };
            let sequence = entry.row.as_ref().map_or(written.version, |row| row.sequence);
            let records = match &entry.row {
                None => &mut rows.new,
                Some(_) => rows.changed.entry(sequence >> PARTITION_SHIFT).or_default(),
            };
            let key = RowKey { sequence, version: written.version, account_key: entry.account_key };
            SpanRow::of(key, self.keyed, &written.span, facets, self.place(index)).put(records);
        }
        rows
    }

    /// Brings the changes of all entries into the summaries of their traces.
    fn change_traces(&self, traces: &mut TraceTable) -> Result<()> {
        let mut moved_away: Vec<(&Entry<'_>, &StoredRow)> = Vec::new();
        for (entry, (facets, _)) in self.entries.iter().zip(&self.prepared) {
            let Some(Written { span, version, .. }) = written(entry) else { continue };
            let facts = Facts::of(span, facets);
            let label = || Label {
                name: span.name.clone(),
                status: span.status,
                agent_name: facets.agent_name.clone(),
            };
            let stays = entry.row.as_ref().filter(|row| row.trace_id == span.trace_id);
            let sequence = entry.row.as_ref().map_or(*version, |row| row.sequence);
            traces.change(
                entry.trace,
                sequence,
                &entry.id,
                stays.map(|row| &row.facts),
                Some(&facts),
                label,
            )?;
            if let Some(row) = entry.row.as_ref().filter(|_| stays.is_none()) {
                moved_away.push((entry, row));
            }
        }
        for (entry, row) in moved_away {
            let trace = traces.known(entry.account_key, &row.trace_id);
            let trace = trace.ok_or_else(|| EngineError::damaged("a span without a trace"))?;
            traces.change(trace, row.sequence, &entry.id, Some(&row.facts), None, Label::default)?;
        }
        Ok(())
    }
}

/// Adds traces up that lost a bound or their head.
async fn sum_up_again(client: &Object, traces: &mut TraceTable) -> Result<()> {
    for trace in traces.dirty().filter(|trace| trace.summary.is_stale) {
        trace.summary = summary_of_spans(client, trace).await?;
    }
    Ok(())
}

/// Adds the spans of a trace up.
pub(crate) async fn summary_of_spans(client: &Object, trace: &Trace) -> Result<Summary> {
    let statement = client
        .prepare_cached(&format!(
            "SELECT {SUMMED_ROW} FROM spans s WHERE s.trace_hash = $1 AND s.account_key + 0 = $2 AND s.trace_id = $3"
        ))
        .await?;
    let trace_id = trace.trace_id.as_str().as_bytes();
    sum_up(&client.query(&statement, &[&trace.hash, &trace.account_key, &trace_id]).await?)
}

/// Joins rows `s` of spans or traces with the traces `u`.
pub(crate) const SAME_TRACE: &str =
    "s.trace_hash = u.trace_hash AND s.account_key + 0 = u.account_key AND s.trace_id = u.trace_id";

fn written<'g, 'r>(entry: &'g Entry<'r>) -> Option<&'g Written<'r>> {
    match &entry.state {
        State::Written(written) => Some(written),
        _ => None,
    }
}

#[derive(Default)]
struct Rows {
    new: Records,
    /// Rows that are there already, by their partitions.
    changed: BTreeMap<i64, Records>,
}

/// What the new versions of stored spans leave behind.
#[derive(Default)]
struct Deaths {
    /// Positions and sequences of spans that are written again.
    versions: Vec<i64>,
    sequences: Vec<i64>,
    /// Positions at which they were written again before.
    old_versions: Vec<i64>,
    blocks: Vec<i64>,
    spans: Vec<i32>,
    bytes: Vec<i64>,
}

impl Deaths {
    fn of(entries: &[Entry<'_>]) -> Self {
        let mut deaths = Self::default();
        let mut blocks: HashMap<i64, (i32, i64)> = HashMap::new();
        for entry in entries {
            let (Some(row), Some(written)) = (&entry.row, written(entry)) else { continue };
            deaths.versions.push(written.version);
            deaths.sequences.push(row.sequence);
            if row.version != row.sequence {
                deaths.old_versions.push(row.version);
            }
            if let Some(place) = row.place {
                let (spans, bytes) = blocks.entry(place.block_key).or_default();
                *spans += 1;
                *bytes += row.facts.payload_bytes;
            }
        }
        for (block_key, (spans, bytes)) in blocks {
            deaths.blocks.push(block_key);
            deaths.spans.push(spans);
            deaths.bytes.push(bytes);
        }
        deaths
    }

    async fn add_to<'w>(&'w self, client: &Object, work: &mut Work<'w>) -> Result<()> {
        if self.versions.is_empty() {
            return Ok(());
        }
        let insert =
            "INSERT INTO rewrites (version, sequence) SELECT * FROM unnest($1::bigint[], $2::bigint[])";
        work.add(client, insert, vec![&self.versions, &self.sequences]).await?;
        if !self.old_versions.is_empty() {
            let delete = "DELETE FROM rewrites WHERE version = ANY($1::bigint[])";
            work.add(client, delete, vec![&self.old_versions]).await?;
        }
        if !self.blocks.is_empty() {
            let update = "UPDATE blocks b SET dead_spans = b.dead_spans + u.spans, dead_bytes = b.dead_bytes + u.bytes \
                 FROM unnest($1::bigint[], $2::integer[], $3::bigint[]) AS u (block_key, spans, bytes) \
                 WHERE b.block_key = u.block_key";
            work.add(client, update, vec![&self.blocks, &self.spans, &self.bytes]).await?;
        }
        Ok(())
    }
}

/// The rows of traces that change.
#[derive(Default)]
struct TraceChanges<'a> {
    new: Records,
    changed: Records,
    gone_hashes: Vec<i64>,
    gone_accounts: Vec<i32>,
    gone_ids: Vec<&'a [u8]>,
}

impl<'a> TraceChanges<'a> {
    fn of(traces: &'a mut TraceTable) -> Self {
        let mut changes = Self::default();
        for trace in traces.dirty() {
            let trace = &*trace;
            let row = TraceRow::of(trace);
            match (row, trace.is_stored) {
                (Some(row), false) => row.put(&mut changes.new),
                (Some(row), true) => row.put(&mut changes.changed),
                (None, true) => {
                    changes.gone_hashes.push(trace.hash);
                    changes.gone_accounts.push(trace.account_key);
                    changes.gone_ids.push(trace.trace_id.as_str().as_bytes());
                }
                (None, false) => {}
            }
        }
        changes
    }

    async fn add_to<'w>(&'w self, client: &Object, work: &mut Work<'w>) -> Result<()> {
        if !self.new.is_empty() {
            work.add(client, &TraceRow::insert("traces"), vec![&self.new]).await?;
        }
        if !self.changed.is_empty() {
            work.add(client, &TraceRow::update("traces", SAME_TRACE), vec![&self.changed]).await?;
        }
        if !self.gone_hashes.is_empty() {
            let delete = format!(
                "DELETE FROM traces s USING unnest($1::bigint[], $2::integer[], $3::bytea[]) \
                 AS u (trace_hash, account_key, trace_id) WHERE {SAME_TRACE}"
            );
            let parameters: Vec<Parameter<'w>> = vec![&self.gone_hashes, &self.gone_accounts, &self.gone_ids];
            work.add(client, &delete, parameters).await?;
        }
        Ok(())
    }
}

/// Statements that go out together.
#[derive(Default)]
struct Work<'w> {
    statements: Vec<(Statement, Vec<Parameter<'w>>)>,
}

impl<'w> Work<'w> {
    async fn add(&mut self, client: &Object, sql: &str, parameters: Vec<Parameter<'w>>) -> Result<()> {
        self.statements.push((client.prepare_cached(sql).await?, parameters));
        Ok(())
    }

    /// Runs all of them in order, without waiting in between.
    async fn run(self, client: &Object, commit: bool) -> Result<()> {
        type Running<'f> =
            Pin<Box<dyn Future<Output = std::result::Result<(), tokio_postgres::Error>> + Send + 'f>>;
        let mut running: Vec<Running<'_>> = Vec::with_capacity(self.statements.len() + 1);
        for (statement, parameters) in &self.statements {
            running.push(Box::pin(async move {
                client.execute(statement, parameters).await?;
                Ok(())
            }));
        }
        if commit {
            // Rolls back when a statement before it failed, which is then the error.
            running.push(Box::pin(client.batch_execute("COMMIT")));
        }
        // Sent in this order: each goes out when it is polled first. There are about ten.
        try_join_all(running).await?;
        Ok(())
    }
}

/// Returns whether a transaction of which nobody knows how it ended is durable. To be asked when it is over.
pub(crate) async fn is_durable(client: &Object, mark: Mark) -> Result<bool> {
    let rows = client.query("SELECT id_hash FROM spans WHERE sequence = $1", &[&mark.sequence]).await?;
    Ok(rows.first().is_some_and(|row| row.try_get::<_, i64>(0).is_ok_and(|found| found == mark.id_hash)))
}
