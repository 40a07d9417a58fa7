//! Carries the log into the file without making writers wait.
//!
//! A checkpoint copies pages and syncs the file, which may take long. A thread with its own connection does that
//! beside the writer. But SQLite starts the log anew only when every page of it has been carried over, and
//! a busy writer is always some pages ahead; so when a background pass has left little, the writer does that
//! little between two commits.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use crate::{
    Options,
    schema::{BUSY_TIMEOUT, PAGE_BYTES},
};

/// Pages that the writer carries over itself, in about a millisecond.
const LITTLE_PAGES: u64 = 512;
/// Pages of log that a store at rest may keep.
const REST_PAGES: u64 = 256;
/// Background passes after which the writer finishes whatever is left.
const MAX_PASSES: u32 = 4;

/// Where writer and checkpointer meet.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    /// Pages in the log after the latest commit.
    log_pages: AtomicU64,
    threshold_pages: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    passes: u32,
    /// After a finish that readers kept from completing: pages to wait for before trying again.
    retry_at_pages: u64,
    is_closed: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    Requested,
    /// A pass has carried this many pages over.
    Passed(u64),
}

impl Checkpoints {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            log_pages: AtomicU64::new(0),
            threshold_pages: (options.checkpoint_bytes / PAGE_BYTES).max(1),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// SQLite tells the pages in the log after each commit.
    pub(crate) fn note_log_pages(&self, pages: u64) {
        self.log_pages.store(pages, Ordering::Relaxed);
    }

    /// Called by the writer between two commits.
    pub(crate) fn after_commit(&self, connection: &Connection) {
        let pages = self.log_pages.load(Ordering::Relaxed);
        if pages < self.threshold_pages {
            return;
        }
        let mut state = self.state.lock();
        match state.phase {
            Phase::Idle if pages >= state.retry_at_pages => {
                state.passes = 0;
                state.phase = Phase::Requested;
                self.changed.notify_all();
            }
            Phase::Idle | Phase::Requested => {}
            Phase::Passed(carried) => {
                if pages.saturating_sub(carried) > LITTLE_PAGES && state.passes < MAX_PASSES {
                    state.phase = Phase::Requested;
                    self.changed.notify_all();
                    return;
                }
                state.phase = Phase::Idle;
                drop(state);
                let (logged, carried) = checkpoint(connection);
                let is_complete = carried >= logged;
                if is_complete {
                    // The next commit starts the log anew.
                    self.note_log_pages(0);
                }
                self.state.lock().retry_at_pages =
                    if is_complete { 0 } else { pages + self.threshold_pages / 4 };
            }
        }
    }

    /// Called by the writer when nobody wrote for a while: empties a log of more than a megabyte, so that a store at
    /// rest takes little more than its file. Gives up at once when a reader needs the log.
    pub(crate) fn at_rest(&self, connection: &Connection) {
        if self.log_pages.load(Ordering::Relaxed) < REST_PAGES {
            return;
        }
        let patience = |patience| connection.busy_timeout(patience);
        let emptied = patience(Duration::ZERO).and_then(|()| {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
        });
        let restored = patience(BUSY_TIMEOUT);
        match restored.and(emptied) {
            Ok(0) => self.note_log_pages(0),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "the log stays"),
        }
    }

    /// Runs the background passes until [`close`](Self::close).
    pub(crate) fn run(&self, connection: &Connection) {
        loop {
            let mut state = self.state.lock();
            while state.phase != Phase::Requested && !state.is_closed {
                self.changed.wait(&mut state);
            }
            if state.is_closed {
                return;
            }
            drop(state);
            let (_, carried) = checkpoint(connection);
            let mut state = self.state.lock();
            state.passes += 1;
            state.phase = Phase::Passed(carried);
        }
    }

    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.changed.notify_all();
    }
}

/// Carries over what can be carried over without waiting for anybody. Returns pages in the log and pages carried.
fn checkpoint(connection: &Connection) -> (u64, u64) {
    let passed = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
    });
    match passed {
        Ok((logged, carried)) => (u64::try_from(logged).unwrap_or(0), u64::try_from(carried).unwrap_or(0)),
        Err(error) => {
            tracing::warn!(%error, "a checkpoint failed; the log grows until one succeeds");
            // Keeps a failing disk from being hammered.
            std::thread::sleep(Duration::from_millis(100));
            (u64::MAX, 0)
        }
    }
}
