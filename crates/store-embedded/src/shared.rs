//! What the threads of one store share.

use std::{
    collections::HashMap,
    hash::Hasher as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use endspan_model::AccountId;
use parking_lot::{Mutex, RwLock};
use siphasher::sip::SipHasher13;

use crate::{
    Options, columns::Columns, fresh_filters::FreshFilters, id_index::IdBuffer, precedence::Precedence,
};

/// What the threads of one store share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) path: std::path::PathBuf,
    pub(crate) keyed: KeyedHash,
    pub(crate) accounts: RwLock<Accounts>,
    pub(crate) ids: IdBuffer,
    pub(crate) columns: Columns,
    pub(crate) precedence: Arc<Precedence>,
    pub(crate) fresh_filters: FreshFilters,
    /// Blocks that went since the store was opened.
    pub(crate) gone_blocks: AtomicU64,
    /// Held by whoever makes or dissolves groups of filters.
    pub(crate) grouping: Mutex<()>,
    /// The position of the latest durable write.
    latest: AtomicI64,
    /// Why the latest commit failed, while it is the latest.
    failure: Mutex<Option<String>>,
    closed: AtomicBool,
    opened: Instant,
    /// Milliseconds from the opening to the latest search for text; 0 before the first.
    text_searched_after_ms: AtomicU64,
}

impl Shared {
    pub(crate) fn new(
        options: Options,
        path: std::path::PathBuf,
        keyed: KeyedHash,
        accounts: Accounts,
        latest: i64,
    ) -> Self {
        Self {
            columns: Columns::new(options.column_bytes, options.column_segment_rows.max(1), latest),
            options,
            path,
            keyed,
            accounts: RwLock::new(accounts),
            ids: IdBuffer::default(),
            fresh_filters: FreshFilters::default(),
            precedence: Arc::new(Precedence::new(thread::available_parallelism().map_or(1, usize::from))),
            gone_blocks: AtomicU64::new(0),
            grouping: Mutex::new(()),
            latest: AtomicI64::new(latest),
            failure: Mutex::new(None),
            closed: AtomicBool::new(false),
            opened: Instant::now(),
            text_searched_after_ms: AtomicU64::new(0),
        }
    }

    pub(crate) fn latest(&self) -> i64 {
        self.latest.load(Ordering::Acquire)
    }

    pub(crate) fn advance(&self, version: i64) {
        self.latest.fetch_max(version, Ordering::AcqRel);
    }

    pub(crate) fn note_text_search(&self) {
        let after_ms = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.text_searched_after_ms.store(after_ms.max(1), Ordering::Relaxed);
    }

    /// Returns whether text was searched for within this time.
    pub(crate) fn searched_text_within(&self, time: Duration) -> bool {
        let after = Duration::from_millis(self.text_searched_after_ms.load(Ordering::Relaxed));
        !after.is_zero() && self.opened.elapsed().saturating_sub(after) < time
    }

    pub(crate) fn set_failure(&self, failure: Option<String>) {
        *self.failure.lock() = failure;
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn set_closed(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

/// Hashes ids under the file's own key, so that nobody can choose ids that collide.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyedHash([u8; 16]);

impl KeyedHash {
    pub(crate) fn new(key: [u8; 16]) -> Self {
        Self(key)
    }

    pub(crate) fn hash(self, account_key: i64, id: &str) -> i64 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(&account_key.to_le_bytes());
        hasher.write(id.as_bytes());
        hasher.finish() as i64
    }
}

impl KeyedHash {
    /// Hashes a text for a column, in which 0 stands for none.
    pub(crate) fn text_hash(self, text: &str) -> u32 {
        (self.hash(0, text) as u32).max(1)
    }
}

/// Shortens a hash to what the index within a trace holds.
pub(crate) fn short_hash(hash: i64) -> i64 {
    (hash as u64 >> 33) as i64
}

/// The accounts and their keys. There are few, and they are never deleted.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    keys: HashMap<AccountId, i64>,
    names: HashMap<i64, AccountId>,
}

impl Accounts {
    pub(crate) fn insert(&mut self, key: i64, account: AccountId) {
        self.keys.insert(account.clone(), key);
        self.names.insert(key, account);
    }

    pub(crate) fn key(&self, account: &AccountId) -> Option<i64> {
        self.keys.get(account).copied()
    }

    pub(crate) fn name(&self, key: i64) -> Option<&AccountId> {
        self.names.get(&key)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = i64> {
        self.names.keys().copied()
    }

    pub(crate) fn next_key(&self) -> i64 {
        self.names.keys().max().map_or(1, |key| key + 1)
    }
}
