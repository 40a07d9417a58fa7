//! What the tasks of one store share. Nothing here decides about a write: the database is the one truth.

use std::{
    collections::HashMap,
    hash::Hasher as _,
    sync::atomic::{AtomicBool, AtomicI32, Ordering},
    time::Instant,
};

use endspan_model::AccountId;
use parking_lot::{Mutex, RwLock};
use siphasher::sip::SipHasher13;

use crate::{Options, connections::Connections, queue::WriteQueue};

/// What the tasks of one store share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) connections: Connections,
    pub(crate) keyed: KeyedHash,
    pub(crate) queue: WriteQueue,
    /// Names the lock under which groups are written.
    pub(crate) lock_key: i64,
    accounts: RwLock<Accounts>,
    partition: AtomicI32,
    /// Since when no write succeeds, and why.
    failing: Mutex<Option<(Instant, String)>>,
    closed: AtomicBool,
    /// Held while a round of maintenance is at work.
    pub(crate) maintaining: tokio::sync::Mutex<()>,
}

impl Shared {
    pub(crate) fn new(options: Options, connections: Connections, keyed: KeyedHash, lock_key: i64) -> Self {
        Self {
            queue: WriteQueue::new(&options),
            options,
            connections,
            keyed,
            lock_key,
            accounts: RwLock::default(),
            partition: AtomicI32::new(0),
            failing: Mutex::new(None),
            closed: AtomicBool::new(false),
            maintaining: tokio::sync::Mutex::new(()),
        }
    }

    pub(crate) fn account_key(&self, account: &AccountId) -> Option<i32> {
        self.accounts.read().keys.get(account).copied()
    }

    pub(crate) fn account(&self, key: i32) -> Option<AccountId> {
        self.accounts.read().names.get(&key).cloned()
    }

    /// Remembers accounts that are committed. There are few, and they are never deleted.
    pub(crate) fn remember_accounts(&self, found: impl IntoIterator<Item = (i32, AccountId)>) {
        let mut accounts = self.accounts.write();
        for (key, account) in found {
            accounts.keys.insert(account.clone(), key);
            accounts.names.insert(key, account);
        }
    }

    /// Notes how a write went; returns since when writes fail.
    pub(crate) fn note(&self, failure: Option<String>) -> Instant {
        let mut failing = self.failing.lock();
        let since = failing.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        *failing = failure.map(|failure| (since, failure));
        since
    }

    /// Returns a partition that has begun: no position below it is given out any more.
    pub(crate) fn partition(&self) -> i32 {
        self.partition.load(Ordering::Relaxed)
    }

    pub(crate) fn set_partition(&self, number: i32) {
        self.partition.store(number, Ordering::Relaxed);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn set_closed(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

#[derive(Debug, Default)]
struct Accounts {
    keys: HashMap<AccountId, i32>,
    names: HashMap<i32, AccountId>,
}

/// Hashes ids under the database's own key, so that nobody can choose ids that collide.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyedHash([u8; 16]);

impl KeyedHash {
    pub(crate) fn new(key: [u8; 16]) -> Self {
        Self(key)
    }

    pub(crate) fn hash(self, id: &str) -> i64 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(id.as_bytes());
        hasher.finish() as i64
    }
}

/// Returns what marks a span's record in its block: 14 bits of the hash of its id, so that a row that points elsewhere is
/// noticed.
pub(crate) const fn block_mark(id_hash: i64) -> i64 {
    id_hash & 0x3fff
}
