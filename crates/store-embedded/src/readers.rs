//! The threads that read, each with its own connection, snapshot by snapshot.

use std::{collections::VecDeque, sync::Arc};

use endspan_store::{StoreError, engine::block::Decompressor};
use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::{
    error::{EngineError, Result},
    shared::Shared,
};

/// What a read works with.
pub(crate) struct Reading<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) shared: &'a Shared,
    pub(crate) decompressor: &'a mut Decompressor,
}

type Task = Box<dyn FnOnce(&mut Reading<'_>) + Send>;

/// The queue of reads.
#[derive(Default)]
pub(crate) struct ReadQueue {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    tasks: VecDeque<Task>,
    is_closed: bool,
}

impl std::fmt::Debug for ReadQueue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ReadQueue").field("waiting", &self.state.lock().tasks.len()).finish()
    }
}

impl ReadQueue {
    /// Queues a read and returns where its answer will be.
    pub(crate) fn push<T: Send + 'static>(
        &self,
        limit: usize,
        read: impl FnOnce(&mut Reading<'_>) -> Result<T> + Send + 'static,
    ) -> std::result::Result<oneshot::Receiver<std::result::Result<T, StoreError>>, StoreError> {
        let (reply, answer) = oneshot::channel();
        let task: Task = Box::new(move |reading| {
            // Nobody waits for this answer any more.
            if reply.is_closed() {
                return;
            }
            let _ = reply.send(in_snapshot(reading, read).map_err(StoreError::from));
        });
        let mut state = self.state.lock();
        if state.is_closed {
            return Err(EngineError::Closed.into());
        }
        if state.tasks.len() >= limit {
            return Err(StoreError::Overloaded(format!("{} reads are waiting", state.tasks.len())));
        }
        state.tasks.push_back(task);
        drop(state);
        self.arrived.notify_one();
        Ok(answer)
    }

    /// Serves reads until the queue is closed and empty.
    pub(crate) fn run(&self, connection: &Connection, shared: &Arc<Shared>) {
        let mut decompressor = match Decompressor::new() {
            Ok(decompressor) => decompressor,
            Err(error) => {
                tracing::error!(%error, "a reader could not start");
                return;
            }
        };
        loop {
            let mut state = self.state.lock();
            while state.tasks.is_empty() && !state.is_closed {
                self.arrived.wait(&mut state);
            }
            let Some(task) = state.tasks.pop_front() else { return };
            drop(state);
            let mut reading = Reading { connection, shared, decompressor: &mut decompressor };
            // A read that panics costs its caller an answer, never the store a thread.
            let served = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| task(&mut reading)));
            if served.is_err() {
                tracing::error!("a read panicked");
                let _ = connection.execute_batch("ROLLBACK");
            }
        }
    }

    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.arrived.notify_all();
    }
}

/// Runs a read in one snapshot, so that rows and the blocks that they point to belong together.
pub(crate) fn in_snapshot<T>(
    reading: &mut Reading<'_>,
    read: impl FnOnce(&mut Reading<'_>) -> Result<T>,
) -> Result<T> {
    let snapshot = reading.connection.unchecked_transaction()?;
    let result = read(reading);
    drop(snapshot);
    result
}
