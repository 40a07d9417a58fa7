use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use endspan_model::{AccountId, SpanId, TraceId};
use endspan_store::{
    AccountUsage, AssessmentList, AssessmentOutcome, AssessmentQuery, AssessmentWrite, Changes, Deleted,
    Deletion, ListQuery, SpanHeader, SpanPage, SpanQuery, SpanStore, StoreError, StoreStats, StoredSpan,
    TracePage, TraceQuery, WriteRequest, WriteResponse,
};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::{
    OpenError, Options, assessments,
    connections::Connections,
    error::EngineError,
    maintenance,
    reads::{self, Reading},
    schema, search,
    shared::Shared,
    trace_reads, writer,
};

/// How long a health check waits for the database.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a store that closes waits for a round of maintenance.
const ROUND_PATIENCE: Duration = Duration::from_secs(5);

/// A [`SpanStore`] in Postgres. Any number of servers may have one on the same schema.
///
/// Needs the Tokio runtime in which it was opened. It survives restarts and failovers of the database: writes that wait
/// are tried again for [`Options::retry_for`], later ones are answered [`StoreError::Unavailable`] until the
/// database is back, and nothing has to be done then.
pub struct PostgresStore {
    shared: Arc<Shared>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    maintenance: JoinHandle<()>,
}

impl PostgresStore {
    /// Opens the store; the schema must be there ([`migrate`](crate::migrate)).
    ///
    /// # Errors
    /// [`OpenError::NotMigrated`] and [`OpenError::NewerSchema`] for a schema of another version,
    /// [`OpenError::Settings`] for a URL that cannot be read, [`OpenError::Database`] when the database refuses.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let connections = Connections::new(&options)?;
        let client = connections.readers.get().await.map_err(EngineError::from)?;
        let (keyed, lock_key) = schema::open(&client, &options).await?;
        drop(client);
        let shared = Arc::new(Shared::new(options, connections, keyed, lock_key));
        let tasks = (0..shared.options.writers.max(1)).map(|_| tokio::spawn(writer::run(shared.clone())));
        let tasks = Mutex::new(tasks.collect());
        let maintenance = tokio::spawn(maintenance::run(shared.clone()));
        Ok(Self { shared, tasks, maintenance })
    }

    /// Does all background work now. For administration and tests; the store does it by itself in time.
    ///
    /// # Errors
    /// [`StoreError`] as for any call.
    pub async fn maintain(&self) -> Result<(), StoreError> {
        Ok(maintenance::maintain(&self.shared).await?)
    }

    /// Lets the next partition begin now.
    #[doc(hidden)]
    pub async fn rotate(&self) -> Result<(), StoreError> {
        Ok(maintenance::rotate(&self.shared).await?)
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.shared.queue.close();
        self.maintenance.abort();
    }
}

#[async_trait]
impl SpanStore for PostgresStore {
    async fn write(&self, request: WriteRequest) -> Result<WriteResponse, StoreError> {
        let answer = self.shared.queue.push(request)?;
        answer.await.map_err(|_| StoreError::from(EngineError::Closed))?
    }

    async fn find_span(
        &self,
        account: Option<&AccountId>,
        id: &SpanId,
    ) -> Result<Option<StoredSpan>, StoreError> {
        let mut reading = Reading::begin(&self.shared).await?;
        Ok(reads::find_span(&mut reading, account, id).await?)
    }

    async fn find_span_in_trace(
        &self,
        account: Option<&AccountId>,
        trace_id: &TraceId,
        id: &SpanId,
    ) -> Result<Option<StoredSpan>, StoreError> {
        let mut reading = Reading::begin(&self.shared).await?;
        Ok(reads::find_span_in_trace(&mut reading, account, trace_id, id).await?)
    }

    async fn list_spans(
        &self,
        account: Option<&AccountId>,
        query: &ListQuery,
    ) -> Result<Vec<StoredSpan>, StoreError> {
        let mut reading = Reading::begin(&self.shared).await?;
        Ok(reads::list_spans(&mut reading, account, query).await?)
    }

    async fn read_trace(
        &self,
        account: Option<&AccountId>,
        trace_id: &TraceId,
        payloads: bool,
    ) -> Result<Vec<StoredSpan>, StoreError> {
        let mut reading = Reading::begin(&self.shared).await?;
        Ok(reads::read_trace(&mut reading, account, trace_id, payloads).await?)
    }

    async fn read_structure(
        &self,
        account: Option<&AccountId>,
        trace_id: &TraceId,
    ) -> Result<Vec<SpanHeader>, StoreError> {
        let mut reading = Reading::begin(&self.shared).await?;
        Ok(trace_reads::read_structure(&mut reading, account, trace_id).await?)
    }

    async fn list_traces(
        &self,
        account: Option<&AccountId>,
        query: &TraceQuery,
    ) -> Result<TracePage, StoreError> {
        let mut reading = Reading::begin(&self.shared).await?;
        Ok(trace_reads::list_traces(&mut reading, account, query).await?)
    }

    async fn search_spans(
        &self,
        account: Option<&AccountId>,
        query: &SpanQuery,
    ) -> Result<SpanPage, StoreError> {
        let mut reading = Reading::begin(&self.shared).await?;
        Ok(search::search_spans(&mut reading, account, query).await?)
    }

    async fn changes(
        &self,
        account: Option<&AccountId>,
        position: u64,
        limit: u32,
    ) -> Result<Changes, StoreError> {
        let mut reading = Reading::begin(&self.shared).await?;
        Ok(reads::changes(&mut reading, account, position, limit).await?)
    }

    async fn delete(&self, account: Option<&AccountId>, deletion: &Deletion) -> Result<Deleted, StoreError> {
        if self.shared.is_closed() {
            return Err(EngineError::Closed.into());
        }
        Ok(writer::delete(&self.shared, account, deletion).await?)
    }

    async fn write_assessment(&self, write: AssessmentWrite) -> Result<AssessmentOutcome, StoreError> {
        if self.shared.is_closed() {
            return Err(EngineError::Closed.into());
        }
        Ok(writer::assess(&self.shared, &write).await?)
    }

    async fn read_assessments(
        &self,
        account: Option<&AccountId>,
        query: &AssessmentQuery,
    ) -> Result<AssessmentList, StoreError> {
        let mut reading = Reading::begin(&self.shared).await?;
        Ok(assessments::read_assessments(&mut reading, account, query).await?)
    }

    async fn accounts(&self) -> Result<Vec<AccountUsage>, StoreError> {
        let mut reading = Reading::begin(&self.shared).await?;
        Ok(reads::accounts(&mut reading).await?)
    }

    async fn latest_position(&self) -> Result<u64, StoreError> {
        let mut reading = Reading::begin(&self.shared).await?;
        Ok(reads::latest(&mut reading).await?)
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        let mut reading = Reading::begin(&self.shared).await?;
        Ok(reads::stats(&mut reading).await?)
    }

    async fn check_health(&self) -> Result<(), StoreError> {
        let ask = async {
            let mut reading = Reading::begin(&self.shared).await?;
            reading.snapshot.query("SELECT 1", &[]).await.map(drop)
        };
        match tokio::time::timeout(HEALTH_TIMEOUT, ask).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(StoreError::Unavailable("the database does not answer".to_owned())),
        }
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.shared.queue.close();
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            let _ = task.await;
        }
        self.shared.set_closed();
        // A round that is at work may end, so that the database does nothing more for this store afterwards.
        let round = tokio::time::timeout(ROUND_PATIENCE, self.shared.maintaining.lock()).await;
        self.maintenance.abort();
        drop(round);
        self.shared.connections.writers.close();
        self.shared.connections.readers.close();
        Ok(())
    }
}
