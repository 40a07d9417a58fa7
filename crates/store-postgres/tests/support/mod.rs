//! A server that the tests of this binary share, with a schema for each.
#![allow(dead_code, reason = "each test binary uses some of it")]

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use endspan_store_postgres::{Options, migrate};
use endspan_testkit::TestPostgres;
use tokio::runtime::Runtime;

static SERVER: LazyLock<Option<TestPostgres>> = LazyLock::new(TestPostgres::shared);
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
});
static SCHEMAS: AtomicU32 = AtomicU32::new(0);

pub(crate) fn runtime() -> &'static Runtime {
    &RUNTIME
}

/// Runs a future to its end, also where another one is being run.
pub(crate) fn block_on<T: Send>(future: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| scope.spawn(|| RUNTIME.block_on(future)).join().unwrap())
}

/// The shared server; ends the test in peace where there is no Postgres.
pub(crate) fn server() -> &'static TestPostgres {
    SERVER.as_ref().unwrap_or_else(|| std::process::exit(0))
}

/// Options for a schema that nobody else uses, which is not there yet.
pub(crate) fn unmade_options(server: &TestPostgres) -> Options {
    let number = SCHEMAS.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    let mut options = Options::new(server.url());
    options.schema = format!("t{}_{now}_{number}", std::process::id());
    options
}

/// Options for a new schema on the shared server.
pub(crate) fn fresh_options() -> Options {
    let options = unmade_options(server());
    block_on(migrate(&options)).unwrap();
    options
}
