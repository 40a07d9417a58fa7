//! The contract's battery on this engine: as it comes, and with groups so small and partitions so short that every
//! path is taken.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use endspan_store::{
    SpanStore,
    conformance::{Subject, TestFuture},
};
use endspan_store_postgres::{Options, PostgresStore};

use crate::support::{block_on, fresh_options};

struct Postgres {
    options: Options,
    store: Option<Arc<PostgresStore>>,
    rotates: bool,
}

impl Postgres {
    fn with(change: impl FnOnce(&mut Options), rotates: bool) -> Self {
        let mut options = fresh_options();
        change(&mut options);
        let store = Some(Arc::new(block_on(PostgresStore::open(options.clone())).unwrap()));
        Self { options, store, rotates }
    }

    fn store(&self) -> &Arc<PostgresStore> {
        self.store.as_ref().unwrap()
    }
}

#[async_trait::async_trait]
impl Subject for Postgres {
    fn store(&self) -> Arc<dyn SpanStore> {
        Postgres::store(self).clone()
    }

    async fn reopen(&mut self) -> bool {
        Postgres::store(self).close().await.unwrap();
        self.store = None;
        self.store = Some(Arc::new(PostgresStore::open(self.options.clone()).await.unwrap()));
        true
    }

    async fn maintain(&mut self) {
        if self.rotates {
            Postgres::store(self).rotate().await.unwrap();
        }
        Postgres::store(self).maintain().await.unwrap();
    }
}

/// Each asks a thousand questions of a server across a socket.
const CASES: u32 = 6;

fn run(future: TestFuture<'_>) {
    support::runtime().block_on(future);
}

mod with_defaults {
    use super::*;

    fn new() -> Postgres {
        Postgres::with(|_| {}, false)
    }

    endspan_store::conformance_suite!(new, run, CASES);
}

mod with_tiny_groups_and_many_partitions {
    use super::*;

    fn new() -> Postgres {
        let tiny = |options: &mut Options| {
            options.max_group_operations = 2;
            options.writers = 3;
            options.readers = 2;
        };
        let subject = Postgres::with(tiny, true);
        block_on(async { subject.store().rotate().await.unwrap() });
        subject
    }

    endspan_store::conformance_suite!(new, run, CASES);
}
