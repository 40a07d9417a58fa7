//! A store that fails or hangs when told to, and otherwise keeps spans in memory.

use std::sync::Arc;
use std::sync::Mutex;

use async_trait::async_trait;
use endspan_model::{AccountId, SpanId, TraceId};
use endspan_store::memory::MemoryStore;
use endspan_store::{
    AccountUsage, AssessmentList, AssessmentOutcome, AssessmentQuery, AssessmentWrite, Changes, Deleted,
    Deletion, ListQuery, SpanHeader, SpanPage, SpanQuery, SpanStore, StoreError, StoreStats, StoredSpan,
    TracePage, TraceQuery, WriteRequest, WriteResponse,
};
use tokio::sync::{Notify, watch};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Working,
    /// Reads work; writes, and the question after health, fail.
    Full,
    Failing,
    Hanging,
}

pub(crate) struct ScriptedStore {
    inner: MemoryStore,
    mode: watch::Sender<Mode>,
    error: Mutex<StoreError>,
    write_came: Notify,
    closed: watch::Sender<bool>,
}

impl ScriptedStore {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryStore::new(),
            mode: watch::Sender::new(Mode::Working),
            error: Mutex::new(StoreError::Unavailable(String::new())),
            write_came: Notify::new(),
            closed: watch::Sender::new(false),
        })
    }

    /// Fails every call from now on.
    pub(crate) fn fail(&self, error: StoreError) {
        *self.error.lock().unwrap() = error;
        self.mode.send_replace(Mode::Failing);
    }

    /// Fails writes from now on, as on a disk without room.
    pub(crate) fn fail_writes(&self, error: StoreError) {
        *self.error.lock().unwrap() = error;
        self.mode.send_replace(Mode::Full);
    }

    /// Answers nothing until told to work again.
    pub(crate) fn hang(&self) {
        self.mode.send_replace(Mode::Hanging);
    }

    pub(crate) fn work(&self) {
        self.mode.send_replace(Mode::Working);
    }

    /// Waits until a write has come.
    pub(crate) async fn written(&self) {
        self.write_came.notified().await;
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    async fn play(&self) -> Result<(), StoreError> {
        self.play_unless(&[Mode::Working, Mode::Full]).await
    }

    async fn play_write(&self) -> Result<(), StoreError> {
        self.play_unless(&[Mode::Working]).await
    }

    async fn play_unless(&self, fine: &[Mode]) -> Result<(), StoreError> {
        let mode = *self.mode.subscribe().wait_for(|mode| *mode != Mode::Hanging).await.unwrap();
        if fine.contains(&mode) {
            return Ok(());
        }
        Err(match &*self.error.lock().unwrap() {
            StoreError::Unavailable(text) => StoreError::Unavailable(text.clone()),
            StoreError::Overloaded(text) => StoreError::Overloaded(text.clone()),
            StoreError::Damaged(text) => StoreError::Damaged(text.clone()),
            other => panic!("not scripted: {other}"),
        })
    }
}

#[async_trait]
impl SpanStore for ScriptedStore {
    async fn write(&self, request: WriteRequest) -> Result<WriteResponse, StoreError> {
        self.write_came.notify_one();
        self.play_write().await?;
        self.inner.write(request).await
    }

    async fn find_span(
        &self,
        account: Option<&AccountId>,
        id: &SpanId,
    ) -> Result<Option<StoredSpan>, StoreError> {
        self.play().await?;
        self.inner.find_span(account, id).await
    }

    async fn find_span_in_trace(
        &self,
        account: Option<&AccountId>,
        trace_id: &TraceId,
        id: &SpanId,
    ) -> Result<Option<StoredSpan>, StoreError> {
        self.play().await?;
        self.inner.find_span_in_trace(account, trace_id, id).await
    }

    async fn list_spans(
        &self,
        account: Option<&AccountId>,
        query: &ListQuery,
    ) -> Result<Vec<StoredSpan>, StoreError> {
        self.play().await?;
        self.inner.list_spans(account, query).await
    }

    async fn read_trace(
        &self,
        account: Option<&AccountId>,
        trace_id: &TraceId,
        payloads: bool,
    ) -> Result<Vec<StoredSpan>, StoreError> {
        self.play().await?;
        self.inner.read_trace(account, trace_id, payloads).await
    }

    async fn read_structure(
        &self,
        account: Option<&AccountId>,
        trace_id: &TraceId,
    ) -> Result<Vec<SpanHeader>, StoreError> {
        self.play().await?;
        self.inner.read_structure(account, trace_id).await
    }

    async fn list_traces(
        &self,
        account: Option<&AccountId>,
        query: &TraceQuery,
    ) -> Result<TracePage, StoreError> {
        self.play().await?;
        self.inner.list_traces(account, query).await
    }

    async fn search_spans(
        &self,
        account: Option<&AccountId>,
        query: &SpanQuery,
    ) -> Result<SpanPage, StoreError> {
        self.play().await?;
        self.inner.search_spans(account, query).await
    }

    async fn changes(
        &self,
        account: Option<&AccountId>,
        position: u64,
        limit: u32,
    ) -> Result<Changes, StoreError> {
        self.play().await?;
        self.inner.changes(account, position, limit).await
    }

    async fn delete(&self, account: Option<&AccountId>, deletion: &Deletion) -> Result<Deleted, StoreError> {
        self.play_write().await?;
        self.inner.delete(account, deletion).await
    }

    async fn write_assessment(&self, write: AssessmentWrite) -> Result<AssessmentOutcome, StoreError> {
        self.play().await?;
        self.inner.write_assessment(write).await
    }

    async fn read_assessments(
        &self,
        account: Option<&AccountId>,
        query: &AssessmentQuery,
    ) -> Result<AssessmentList, StoreError> {
        self.play().await?;
        self.inner.read_assessments(account, query).await
    }

    async fn accounts(&self) -> Result<Vec<AccountUsage>, StoreError> {
        self.play().await?;
        self.inner.accounts().await
    }

    async fn latest_position(&self) -> Result<u64, StoreError> {
        self.play().await?;
        self.inner.latest_position().await
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        self.play().await?;
        self.inner.stats().await
    }

    async fn check_health(&self) -> Result<(), StoreError> {
        self.play_write().await?;
        self.inner.check_health().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.play().await?;
        self.closed.send_replace(true);
        self.inner.close().await
    }
}
