//! Tells live tails what was stored.
//!
//! The store is the only buffer. While somebody listens, one task reads [`SpanStore::changes`] and hands each
//! piece to all tails through a short ring; a tail that falls behind the ring reads the store itself from where it
//! stopped. So nothing is lost and nothing piles up, however slow a reader is.
//!
//! [`SpanStore::changes`]: endspan_store::SpanStore::changes

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use endspan_store::{StoreError, StoredSpan};
use tokio::sync::{Notify, broadcast};

use crate::app::{App, Phase};

/// Most spans read from the store at once.
pub(crate) const PIECE_SPANS: u32 = 128;

/// Pieces that a tail may lag behind before it reads the store itself.
const RING_PIECES: usize = 4;

/// How long news are gathered before the next read.
const GATHER: Duration = Duration::from_millis(50);

/// How often the store is asked without a hint: other servers may write to it as well.
const POLL: Duration = Duration::from_secs(1);

/// What was stored between two positions.
#[derive(Debug)]
pub(crate) struct Piece {
    /// The position before it.
    pub(crate) from: u64,
    /// The position behind it.
    pub(crate) to: u64,
    /// All that was stored between, of all accounts.
    pub(crate) spans: Vec<StoredSpan>,
}

/// The meeting point of the ingest and the tails.
#[derive(Debug)]
pub(crate) struct Live {
    subscribers: AtomicUsize,
    max_subscribers: usize,
    wake: Notify,
    pieces: broadcast::Sender<Arc<Piece>>,
    reader_runs: Mutex<bool>,
}

/// Why a tail could not be opened.
#[derive(Debug)]
pub(crate) enum SubscribeError {
    TooMany,
    Store(StoreError),
}

impl Live {
    pub(crate) fn new(max_subscribers: usize) -> Self {
        Self {
            subscribers: AtomicUsize::new(0),
            max_subscribers,
            wake: Notify::new(),
            pieces: broadcast::Sender::new(RING_PIECES),
            reader_runs: Mutex::new(false),
        }
    }

    /// Says that something was stored. Costs next to nothing while nobody listens.
    pub(crate) fn stored(&self) {
        if self.subscribers.load(Ordering::SeqCst) > 0 {
            self.wake.notify_one();
        }
    }

    /// Returns how many tails are open.
    pub(crate) fn subscribers(&self) -> usize {
        self.subscribers.load(Ordering::Relaxed)
    }
}

/// An open tail's place among the subscribers; given back when dropped.
pub(crate) struct Subscription {
    app: Arc<App>,
    pub(crate) pieces: broadcast::Receiver<Arc<Piece>>,
    /// The position when the tail was opened.
    pub(crate) position: u64,
}

/// Opens a tail. What is stored behind its position is in a piece, or in the store for who falls behind.
pub(crate) async fn subscribe(app: &Arc<App>) -> Result<Subscription, SubscribeError> {
    let live = &app.live;
    live.subscribers
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| {
            (count < live.max_subscribers).then_some(count + 1)
        })
        .map_err(|_| SubscribeError::TooMany)?;
    let pieces = live.pieces.subscribe();
    let mut subscription = Subscription { app: Arc::clone(app), pieces, position: 0 };
    subscription.position = app.store.latest_position().await.map_err(SubscribeError::Store)?;
    let mut runs = live.reader_runs.lock().unwrap_or_else(PoisonError::into_inner);
    if !*runs {
        *runs = true;
        // From a position that was read before: nothing stored meanwhile may fall between tail and reader.
        tokio::spawn(read_store(Arc::clone(app), subscription.position));
    }
    Ok(subscription)
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.app.live.subscribers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Hands out pieces until nobody listens any more.
async fn read_store(app: Arc<App>, mut position: u64) {
    let live = &app.live;
    loop {
        // Shutdown ends the tails, and with them this task.
        let _ = tokio::time::timeout(POLL, live.wake.notified()).await;
        {
            let mut runs = live.reader_runs.lock().unwrap_or_else(PoisonError::into_inner);
            if live.subscribers() == 0 || *app.phase.borrow() != Phase::Running {
                *runs = false;
                return;
            }
        }
        if let Err(error) = hand_out(&app, &mut position).await {
            app.store_log.failed(&error);
        }
        tokio::time::sleep(GATHER).await;
    }
}

async fn hand_out(app: &App, position: &mut u64) -> Result<(), StoreError> {
    loop {
        let from = *position;
        let changes = app.store.changes(None, from, PIECE_SPANS).await?;
        let count = changes.spans.len();
        let to = changes.position.max(from);
        if count > 0 {
            // Nobody listening any more is no mistake.
            let _ = app.live.pieces.send(Arc::new(Piece { from, to, spans: changes.spans }));
        }
        *position = to;
        if count < PIECE_SPANS as usize {
            return Ok(());
        }
    }
}
