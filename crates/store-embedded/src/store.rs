use std::{
    path::Path,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use async_trait::async_trait;
use endspan_model::{AccountId, SpanId, TraceId};
use endspan_store::{
    AccountUsage, AssessmentList, AssessmentOutcome, AssessmentQuery, AssessmentWrite, Changes, Deleted,
    Deletion, ListQuery, SpanHeader, SpanPage, SpanQuery, SpanStore, StoreError, StoreStats, StoredSpan,
    TracePage, TraceQuery, WriteRequest, WriteResponse,
};
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::{
    OpenError, Options, assessments,
    checkpoint::Checkpoints,
    columns,
    compact_id::StoredId,
    compactor::{self, CompactorSwitch},
    directory::Directory,
    error::{EngineError, Result},
    queue::WriteQueue,
    readers::{ReadQueue, Reading},
    reads,
    schema::{self, Role},
    search,
    shared::{Accounts, KeyedHash, Shared},
    trace_reads,
    writer::{self, Job},
};

/// A [`SpanStore`] in one directory of this machine.
///
/// Writes go to one thread, which commits everything that is waiting as one group and answers when it is synced.
/// Reads go to a few threads with connections of their own and never wait for writes. The store needs no async
/// runtime. Dropping it finishes what was accepted, as [`SpanStore::close`] does, and blocks meanwhile.
///
/// ```
/// use endspan_model::{AccountId, Span, Timestamp};
/// use endspan_store::{SpanStore, WriteOperation, WriteRequest};
/// use endspan_store_embedded::{EmbeddedStore, Options};
///
/// # let directory = tempfile::tempdir()?;
/// let store = EmbeddedStore::open(directory.path(), Options::default())?;
/// let span = Span::new("a trace", "a span", "work", Timestamp::now());
/// let request = WriteRequest {
///     account: AccountId::default(),
///     operations: vec![WriteOperation::Upsert(span)],
///     all_or_nothing: false,
///     check_parents: false,
/// };
/// # endspan_store::conformance::block_on(async {
/// assert!(store.write(request).await?.is_success());
/// assert!(store.find_span(None, &"a span".into()).await?.is_some());
/// # Ok::<_, endspan_store::StoreError>(())
/// # })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    writes: Arc<WriteQueue<Job>>,
    reads: Arc<ReadQueue>,
    running: Arc<Mutex<Option<Running>>>,
}

/// What runs while the store is open, in the order in which it stops.
#[derive(Debug)]
struct Running {
    compactor_switch: Arc<CompactorSwitch>,
    compactor: Option<JoinHandle<()>>,
    columns: JoinHandle<()>,
    writer: JoinHandle<Connection>,
    checkpoints: Arc<Checkpoints>,
    checkpointer: JoinHandle<()>,
    readers: Vec<JoinHandle<()>>,
    directory: Directory,
}

impl EmbeddedStore {
    /// Opens the store in a directory; makes the directory and the store if they are not there.
    ///
    /// After a crash this recovers by itself: everything that was acknowledged is there.
    ///
    /// # Errors
    /// [`OpenError::Locked`] when another server uses the directory, [`OpenError::Damaged`] and
    /// [`OpenError::NewerSchema`] for files that this program cannot read, [`OpenError::Io`] and
    /// [`OpenError::Engine`] when the system refuses.
    pub fn open(directory: impl AsRef<Path>, options: Options) -> std::result::Result<Self, OpenError> {
        let directory = Directory::open(directory.as_ref())?;
        let path = directory.database();
        let mut connection = schema::open_writer(&path, &options)?;
        directory.sync()?;
        let failed = |error: EngineError| match error {
            EngineError::Sql(error) => schema::describe(&path, &error),
            EngineError::Damaged(message) => OpenError::Damaged { path: path.clone(), message },
            error => OpenError::Engine { path: path.clone(), message: error.to_string() },
        };
        let shared = Arc::new(load(&connection, &path, options).map_err(failed)?);
        let options = &shared.options;
        let connect =
            |role| schema::connect(&path, role, options).map_err(|error| schema::describe(&path, &error));
        let spawn_failed = |source| OpenError::Io { path: path.clone(), source };

        let checkpoints = Arc::new(Checkpoints::new(options));
        let noted = checkpoints.clone();
        let hook = connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
            noted.note_log_pages(u64::try_from(pages).unwrap_or(0));
            Ok(())
        }));
        hook.map_err(|error| schema::describe(&path, &error))?;

        let reads = Arc::new(ReadQueue::default());
        let mut readers = Vec::new();
        for number in 0..options.reader_threads.max(1) {
            let (connection, reads, shared) = (connect(Role::Reader)?, reads.clone(), shared.clone());
            let name = format!("store-read-{number}");
            let reader = thread::Builder::new().name(name).spawn(move || reads.run(&connection, &shared));
            readers.push(reader.map_err(spawn_failed)?);
        }
        let checkpointer = {
            let (connection, checkpoints) = (connect(Role::Checkpointer)?, checkpoints.clone());
            let name = "store-checkpoint".to_owned();
            thread::Builder::new()
                .name(name)
                .spawn(move || checkpoints.run(&connection))
                .map_err(spawn_failed)?
        };
        let writes = Arc::new(WriteQueue::new(options));
        let (ready, is_ready) = mpsc::channel();
        let writer = {
            let (shared, writes, checkpoints) = (shared.clone(), writes.clone(), checkpoints.clone());
            let run = move || writer::run(connection, shared, writes, checkpoints, ready);
            thread::Builder::new().name("store-write".to_owned()).spawn(run).map_err(spawn_failed)?
        };
        let compactor_switch = Arc::new(CompactorSwitch::default());
        let compactor = if options.compaction {
            let (connection, shared, writes) = (connect(Role::Reader)?, shared.clone(), writes.clone());
            let switch = compactor_switch.clone();
            let run = move || compactor::run(&connection, &shared, &writes, &switch);
            Some(thread::Builder::new().name("store-compact".to_owned()).spawn(run).map_err(spawn_failed)?)
        } else {
            None
        };
        let columns = {
            let (connection, shared) = (connect(Role::Reader)?, shared.clone());
            let run = move || {
                if let Err(error) = columns::fill(&connection, &shared) {
                    tracing::warn!(%error, "searches read rows, since the columns could not be filled");
                }
                shared.columns.give_up();
            };
            thread::Builder::new().name("store-columns".to_owned()).spawn(run).map_err(spawn_failed)?
        };
        let running = Running {
            compactor_switch,
            compactor,
            columns,
            writer,
            checkpoints,
            checkpointer,
            readers,
            directory,
        };
        let store = Self { shared, writes, reads, running: Arc::new(Mutex::new(Some(running))) };
        match is_ready.recv() {
            Ok(Ok(())) => Ok(store),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(failed(EngineError::Closed)),
        }
    }

    /// Does all background work now: merges every block that waits, brings indexes to disk, gives free space back.
    ///
    /// For administration and tests; the store does it by itself in time.
    ///
    /// # Errors
    /// [`StoreError`] as for any call.
    pub async fn maintain(&self) -> std::result::Result<(), StoreError> {
        let (shared, writes) = (self.shared.clone(), self.writes.clone());
        let (reply, answer) = oneshot::channel();
        let work = move || {
            shared.columns.wait_until_filled();
            let compacted = schema::connect(&shared.path, Role::Reader, &shared.options)
                .map_err(EngineError::from)
                .and_then(|connection| compactor::run_once(&connection, &shared, &writes));
            let _ = reply.send(compacted);
        };
        let spawned = thread::Builder::new().name("store-maintain".to_owned()).spawn(work);
        spawned.map_err(EngineError::from)?;
        answer.await.map_err(|_| EngineError::Closed)??;
        let (reply, answer) = oneshot::channel();
        self.writes.push_job(Job::Tidy(reply)).map_err(|_| EngineError::Closed)?;
        Ok(answer.await.map_err(|_| EngineError::Closed)?)
    }

    /// Reads what somebody waits for: writes give way to it.
    async fn read_first<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Reading<'_>) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, StoreError> {
        let turn = self.shared.precedence.enter();
        self.read(move |reading| {
            let _turn = turn;
            read(reading)
        })
        .await
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Reading<'_>) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, StoreError> {
        if self.shared.is_closed() {
            return Err(EngineError::Closed.into());
        }
        let answer = self.reads.push(self.shared.options.max_queue_reads, read)?;
        answer.await.map_err(|_| StoreError::from(EngineError::Closed))?
    }

    fn disk_bytes(&self) -> u64 {
        ["", "-wal", "-shm"]
            .iter()
            .filter_map(|suffix| {
                let mut path = self.shared.path.clone().into_os_string();
                path.push(suffix);
                std::fs::metadata(path).ok()
            })
            .map(|file| file.len())
            .sum()
    }
}

/// Reads what the store keeps in memory.
fn load(connection: &Connection, path: &Path, options: Options) -> Result<Shared> {
    let key = schema::meta::<[u8; 16]>(connection, "hash_key")?;
    let keyed = KeyedHash::new(key.ok_or_else(|| EngineError::damaged("the hash key is not there"))?);
    let mut accounts = Accounts::default();
    let mut statement = connection.prepare("SELECT account_key, account FROM accounts")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        accounts.insert(row.get(0)?, AccountId::new(row.get::<_, String>(1)?));
    }
    let latest = reads::latest(connection)?;
    let shared = Shared::new(options, path.to_owned(), keyed, accounts, latest);
    let watermark = schema::meta::<i64>(connection, "id_watermark")?.unwrap_or(0);
    let mut statement =
        connection.prepare("SELECT account_key, id, sequence FROM spans WHERE sequence > ?1")?;
    let mut rows = statement.query([watermark])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let id: StoredId = row.get(1)?;
        entries.push((keyed.hash(row.get(0)?, &id.0), row.get(2)?));
    }
    shared.ids.extend(entries.into_iter());
    Ok(shared)
}

impl Running {
    /// Stops everything in order; what was accepted is durable afterwards.
    fn stop(self, shared: &Shared, writes: &WriteQueue<Job>, reads: &ReadQueue) {
        self.compactor_switch.close();
        // The compactor may be waiting for the writer, so that the writer goes on until the queue is empty. A
        // thread that panicked has said so already.
        let _ = self.compactor.map(JoinHandle::join);
        writes.close();
        let connection = self.writer.join();
        shared.set_closed();
        reads.close();
        self.checkpoints.close();
        for thread in self.readers.into_iter().chain([self.checkpointer, self.columns]) {
            let _ = thread.join();
        }
        // Alone with the file: the log can go, so that the next start is quick.
        if let Ok(connection) = connection
            && let Err(error) = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        {
            tracing::warn!(%error, "the last checkpoint failed; the log stays for the next start");
        }
        drop(self.directory);
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        if let Some(running) = self.running.lock().take() {
            running.stop(&self.shared, &self.writes, &self.reads);
        }
    }
}

#[async_trait]
impl SpanStore for EmbeddedStore {
    async fn write(&self, request: WriteRequest) -> std::result::Result<WriteResponse, StoreError> {
        let answer = self.writes.push(request)?;
        answer.await.map_err(|_| StoreError::from(EngineError::Closed))?
    }

    async fn find_span(
        &self,
        account: Option<&AccountId>,
        id: &SpanId,
    ) -> std::result::Result<Option<StoredSpan>, StoreError> {
        let (account, id) = (account.cloned(), id.clone());
        self.read_first(move |reading| reads::find_span(reading, account.as_ref(), &id)).await
    }

    async fn find_span_in_trace(
        &self,
        account: Option<&AccountId>,
        trace_id: &TraceId,
        id: &SpanId,
    ) -> std::result::Result<Option<StoredSpan>, StoreError> {
        let (account, trace_id, id) = (account.cloned(), trace_id.clone(), id.clone());
        self.read(move |reading| reads::find_span_in_trace(reading, account.as_ref(), &trace_id, &id)).await
    }

    async fn list_spans(
        &self,
        account: Option<&AccountId>,
        query: &ListQuery,
    ) -> std::result::Result<Vec<StoredSpan>, StoreError> {
        let (account, query) = (account.cloned(), query.clone());
        self.read_first(move |reading| reads::list_spans(reading, account.as_ref(), &query)).await
    }

    async fn read_trace(
        &self,
        account: Option<&AccountId>,
        trace_id: &TraceId,
        payloads: bool,
    ) -> std::result::Result<Vec<StoredSpan>, StoreError> {
        let (account, trace_id) = (account.cloned(), trace_id.clone());
        self.read_first(move |reading| reads::read_trace(reading, account.as_ref(), &trace_id, payloads))
            .await
    }

    async fn read_structure(
        &self,
        account: Option<&AccountId>,
        trace_id: &TraceId,
    ) -> std::result::Result<Vec<SpanHeader>, StoreError> {
        let (account, trace_id) = (account.cloned(), trace_id.clone());
        self.read_first(move |reading| trace_reads::read_structure(reading, account.as_ref(), &trace_id))
            .await
    }

    async fn list_traces(
        &self,
        account: Option<&AccountId>,
        query: &TraceQuery,
    ) -> std::result::Result<TracePage, StoreError> {
        let (account, query) = (account.cloned(), query.clone());
        self.read_first(move |reading| trace_reads::list_traces(reading, account.as_ref(), &query)).await
    }

    async fn search_spans(
        &self,
        account: Option<&AccountId>,
        query: &SpanQuery,
    ) -> std::result::Result<SpanPage, StoreError> {
        let (account, query) = (account.cloned(), query.clone());
        self.read_first(move |reading| search::search_spans(reading, account.as_ref(), &query)).await
    }

    async fn changes(
        &self,
        account: Option<&AccountId>,
        position: u64,
        limit: u32,
    ) -> std::result::Result<Changes, StoreError> {
        let account = account.cloned();
        self.read(move |reading| reads::changes(reading, account.as_ref(), position, limit)).await
    }

    async fn delete(
        &self,
        account: Option<&AccountId>,
        deletion: &Deletion,
    ) -> std::result::Result<Deleted, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Job::Delete(account.cloned(), deletion.clone(), reply);
        self.writes.push_job(job).map_err(|_| StoreError::from(EngineError::Closed))?;
        answer.await.map_err(|_| StoreError::from(EngineError::Closed))?
    }

    async fn write_assessment(
        &self,
        write: AssessmentWrite,
    ) -> std::result::Result<AssessmentOutcome, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Job::Assess(Box::new(write), reply);
        self.writes.push_job(job).map_err(|_| StoreError::from(EngineError::Closed))?;
        answer.await.map_err(|_| StoreError::from(EngineError::Closed))?
    }

    async fn read_assessments(
        &self,
        account: Option<&AccountId>,
        query: &AssessmentQuery,
    ) -> std::result::Result<AssessmentList, StoreError> {
        let (account, query) = (account.cloned(), query.clone());
        self.read_first(move |reading| assessments::read_assessments(reading, account.as_ref(), &query)).await
    }

    async fn accounts(&self) -> std::result::Result<Vec<AccountUsage>, StoreError> {
        self.read(reads::accounts).await
    }

    async fn latest_position(&self) -> std::result::Result<u64, StoreError> {
        if self.shared.is_closed() {
            return Err(EngineError::Closed.into());
        }
        Ok(self.shared.latest().unsigned_abs())
    }

    async fn stats(&self) -> std::result::Result<StoreStats, StoreError> {
        let disk_bytes = self.disk_bytes();
        self.read(move |reading| reads::stats(reading, disk_bytes)).await
    }

    async fn check_health(&self) -> std::result::Result<(), StoreError> {
        if self.shared.is_closed() {
            return Err(EngineError::Closed.into());
        }
        match self.shared.failure() {
            Some(failure) => Err(StoreError::Unavailable(failure)),
            None => Ok(()),
        }
    }

    async fn close(&self) -> std::result::Result<(), StoreError> {
        let (shared, writes, reads, running) =
            (self.shared.clone(), self.writes.clone(), self.reads.clone(), self.running.clone());
        let (reply, answer) = oneshot::channel();
        // Joining threads blocks, which no async caller should.
        let stop = move || {
            if let Some(running) = running.lock().take() {
                running.stop(&shared, &writes, &reads);
            }
            let _ = reply.send(());
        };
        thread::Builder::new().name("store-close".to_owned()).spawn(stop).map_err(EngineError::from)?;
        answer.await.map_err(|_| EngineError::Closed.into())
    }
}
