//! The one thread that writes.
//!
//! It takes whatever is waiting as one group, applies it in memory ([`group`]), brings it to disk in one
//! transaction ([`commit`]) and answers each caller. Background work comes in small pieces between groups, so
//! that no write waits long.

mod assess;
mod commit;
mod delete;
mod filters;
mod group;
mod lookup;
mod rows;
mod traces;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use endspan_model::AccountId;
use endspan_store::engine::QueuedWrite;
use endspan_store::{AssessmentOutcome, AssessmentWrite, Deleted, Deletion, StoreError, WriteResponse};
use rusqlite::Connection;
use tokio::sync::oneshot;

pub(crate) use self::filters::GroupPiece;
use self::{commit::Committer, filters::FilterWriter, group::Group, lookup::Lookup, traces::TraceTable};
use crate::{
    checkpoint::Checkpoints, compactor::Swap, error::Result, filter_group, queue::WriteQueue, shared::Shared,
};

/// How long the writer waits for work before it tidies up.
const PATIENCE: Duration = Duration::from_millis(500);
/// Entries of the id buffer that go to disk in one piece when there is nothing else to do.
const FOLD_SLICE: usize = 4096;
/// Pages that are given back in one piece.
const VACUUM_SLICE: u32 = 256;

/// Background work that only the writer may do.
#[derive(Debug)]
pub(crate) enum Job {
    /// Replaces blocks. Answers whether that worked.
    Swap(Box<Swap>, oneshot::Sender<bool>),
    /// Stores the filters of blocks; `None` for a block that gets none. Answers whether that worked.
    Filter(Vec<(i64, Option<Vec<u8>>)>, oneshot::Sender<bool>),
    /// Stores a group of filters, a part a turn. Answers whether that worked.
    Group(VecDeque<GroupPiece>, oneshot::Sender<bool>),
    /// Deletes a group of filters, with the blocks of it that are there. Answers whether that worked.
    Dissolve(i64, Vec<i64>, oneshot::Sender<bool>),
    /// Deletes a piece and answers what that was.
    Delete(Option<AccountId>, Deletion, oneshot::Sender<std::result::Result<Deleted, StoreError>>),
    /// Changes an assessment and answers what became of it.
    Assess(Box<AssessmentWrite>, oneshot::Sender<std::result::Result<AssessmentOutcome, StoreError>>),
    /// Does all tidying now, then answers.
    Tidy(oneshot::Sender<()>),
}

/// Runs until the queue is closed and empty, and gives the connection back. `ready` learns whether it could start.
pub(crate) fn run(
    connection: Connection,
    shared: Arc<Shared>,
    queue: Arc<WriteQueue<Job>>,
    checkpoints: Arc<Checkpoints>,
    ready: std::sync::mpsc::Sender<Result<()>>,
) -> Connection {
    // Whatever ends this thread, nobody may wait for it in vain.
    let guard = CloseOnDrop { queue: &queue, shared: &shared };
    match Writer::new(&connection, &shared, &checkpoints) {
        Ok(mut writer) => {
            let _ = ready.send(Ok(()));
            writer.serve(&queue);
        }
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    }
    drop(guard);
    connection
}

struct CloseOnDrop<'a> {
    queue: &'a WriteQueue<Job>,
    shared: &'a Shared,
}

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.queue.close();
        self.shared.set_closed();
        // Dropping the requests drops their reply channels, which tells the callers.
        while !self.queue.take(Some(Duration::ZERO)).closed {}
    }
}

struct Writer<'c> {
    connection: &'c Connection,
    shared: &'c Shared,
    checkpoints: &'c Checkpoints,
    lookup: Lookup<'c>,
    committer: Committer<'c>,
    traces: TraceTable,
    version: i64,
}

impl<'c> Writer<'c> {
    fn new(connection: &'c Connection, shared: &'c Shared, checkpoints: &'c Checkpoints) -> Result<Self> {
        let next = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let next_block = next("SELECT coalesce(max(block_key), 0) + 1 FROM block_figures")?;
        // A group may tell of blocks that are gone; no other block may ever have their keys.
        let next_block = next_block.max(filter_group::latest_block(connection)? + 1);
        Ok(Self {
            connection,
            shared,
            checkpoints,
            lookup: Lookup::prepare(connection)?,
            committer: Committer::prepare(connection, next_block)?,
            traces: TraceTable::new(next("SELECT coalesce(max(trace_key), 0) + 1 FROM traces")?),
            version: shared.latest(),
        })
    }

    fn serve(&mut self, queue: &WriteQueue<Job>) {
        let mut is_tidy = false;
        loop {
            let patience = if is_tidy { None } else { Some(PATIENCE) };
            let work = queue.take(patience);
            if !work.writes.is_empty() {
                self.write(work.writes);
                is_tidy = false;
            } else if work.job.is_none() && !work.closed {
                is_tidy = !self.tidy_some();
                if is_tidy {
                    self.rest();
                }
            }
            match work.job {
                Some(Job::Swap(swap, reply)) => {
                    let swapped = self.committer.swap(&swap, self.shared);
                    if let Err(error) = &swapped {
                        tracing::warn!(%error, "compaction could not replace blocks");
                    }
                    let _ = reply.send(swapped.is_ok());
                    is_tidy = false;
                }
                Some(Job::Filter(filters, reply)) => {
                    let stored = self.write_filters(|writer| {
                        filters.iter().try_for_each(|(key, filter)| writer.store(*key, filter.as_deref()))
                    });
                    let _ = reply.send(stored.is_some());
                    is_tidy = false;
                }
                Some(Job::Group(mut pieces, reply)) => {
                    let piece = pieces.pop_front();
                    let stored = self
                        .write_filters(|writer| piece.iter().try_for_each(|piece| writer.store_piece(piece)));
                    if stored.is_some() && !pieces.is_empty() {
                        // When the queue is closed the group stays unfinished, and `reply` tells so by its end.
                        let _ = queue.push_job(Job::Group(pieces, reply));
                    } else {
                        let _ = reply.send(stored.is_some());
                    }
                    is_tidy = false;
                }
                Some(Job::Dissolve(group_key, alive, reply)) => {
                    let dissolved = self.write_filters(|writer| writer.dissolve(group_key, &alive));
                    let _ = reply.send(dissolved.is_some());
                    is_tidy = false;
                }
                Some(Job::Delete(account, deletion, reply)) => {
                    let deleted = self.delete(account.as_ref(), &deletion);
                    let _ = reply.send(deleted.map_err(StoreError::from));
                    is_tidy = false;
                }
                Some(Job::Assess(write, reply)) => {
                    let assessed = self.committer.assess(&write, self.shared);
                    // What was refused has written nothing, and says nothing of the disk.
                    if assessed.as_ref().is_ok_and(|outcome| *outcome == AssessmentOutcome::Done)
                        || assessed.is_err()
                    {
                        self.note(&assessed);
                    }
                    let _ = reply.send(assessed.map_err(StoreError::from));
                    is_tidy = false;
                }
                Some(Job::Tidy(reply)) => {
                    while self.tidy_some() {}
                    let _ = reply.send(());
                }
                None => {}
            }
            self.checkpoints.after_commit(self.connection);
            if work.closed {
                while self.tidy_some() {}
                return;
            }
        }
    }

    fn write(&mut self, writes: Vec<QueuedWrite>) {
        let mut group = Group::new(&mut self.lookup, &mut self.traces, self.shared, self.version);
        let mut answers = Vec::with_capacity(writes.len());
        for QueuedWrite { request, reply, .. } in writes {
            self.committer.give_way(self.shared);
            let outcomes = group.apply(request).map_err(|error| {
                tracing::error!(%error, "a write could not be applied");
                StoreError::from(error)
            });
            answers.push((reply, outcomes));
        }
        self.version = group.version;
        let committed = self.committer.commit(group, self.shared);
        self.note(&committed);
        let failure = committed.err().map(StoreError::from);
        for (reply, outcomes) in answers {
            let answer = match (&failure, outcomes) {
                (Some(failure), Ok(_)) => Err(copy(failure)),
                (_, outcomes) => outcomes.map(|outcomes| WriteResponse { outcomes }),
            };
            // A caller that went away does not want its answer.
            let _ = reply.send(answer);
        }
    }

    fn write_filters<T>(&mut self, write: impl FnOnce(&mut FilterWriter<'c>) -> Result<T>) -> Option<T> {
        let written = self.committer.write_filters(write);
        written.inspect_err(|error| tracing::warn!(%error, "the filters of blocks could not be stored")).ok()
    }

    fn delete(&mut self, account: Option<&AccountId>, deletion: &Deletion) -> Result<Deleted> {
        self.traces.trim();
        let deleted =
            self.committer.delete(&mut self.lookup, &mut self.traces, self.shared, account, deletion);
        self.note(&deleted);
        deleted
    }

    /// Remembers for health checks how the latest commit went.
    fn note<T>(&mut self, committed: &Result<T>) {
        match committed {
            Ok(_) => self.shared.set_failure(None),
            Err(error) => {
                // Summaries in memory have what the disk has not.
                self.traces.clear();
                tracing::error!(%error, "a commit failed; nothing of it is stored");
                self.shared.set_failure(Some(error.to_string()));
            }
        }
    }

    /// Gives memory back when there is nothing to do.
    fn rest(&mut self) {
        self.traces.clear();
        self.checkpoints.at_rest(self.connection);
        if let Err(error) = self.connection.release_memory() {
            tracing::debug!(%error, "the page cache stays");
        }
    }

    /// Does one small piece of tidying. Returns whether there may be more.
    fn tidy_some(&mut self) -> bool {
        let more = self
            .committer
            .fold_slice(self.shared, FOLD_SLICE)
            .and_then(|more| Ok(more || self.committer.vacuum_slice(VACUUM_SLICE)?));
        more.unwrap_or_else(|error| {
            tracing::warn!(%error, "tidying failed");
            false
        })
    }
}

/// Errors are not `Clone`; every caller of a failed commit gets one of the same kind.
fn copy(error: &StoreError) -> StoreError {
    match error {
        StoreError::Overloaded(message) => StoreError::Overloaded(message.clone()),
        StoreError::Damaged(message) => StoreError::Damaged(message.clone()),
        error => StoreError::Unavailable(error.to_string()),
    }
}
