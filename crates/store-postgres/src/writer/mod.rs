//! The tasks that write.
//!
//! Each takes whatever is waiting as one group and prepares it ([`plan`]). When it is the group's turn among all groups of all
//! servers ([`lookup`]), it is applied in memory ([`group`]) and brought to the database in the same transaction
//! ([`commit`]). Then each caller is answered.

mod assess;
mod columns;
mod commit;
mod delete;
mod group;
mod lookup;
mod plan;
mod traces;

use std::{sync::Arc, time::Duration};

use deadpool_postgres::Object;
use endspan_store::engine::QueuedWrite;
use endspan_store::{Outcome, StoreError, WriteRequest, WriteResponse};

pub(crate) use self::assess::assess;
pub(crate) use self::columns::SLOT_SHIFT;
pub(crate) use self::delete::delete;
pub(crate) use self::traces::{Summary, TRACE_ROW, read_trace_row};
use self::{
    commit::{Commit, Mark, is_durable},
    group::Group,
    plan::{Plan, plan},
};
use crate::{
    error::{EngineError, Remedy, Result},
    shared::Shared,
};

/// Groups of more bytes are prepared on a thread of their own.
const INLINE_BYTES: usize = 32 * 1024;
/// How long to wait before the first retry, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

type Outcomes = Vec<Vec<Outcome>>;

/// Runs until the queue is closed and empty.
pub(crate) async fn run(shared: Arc<Shared>) {
    while let Some(group) = shared.queue.take().await {
        let bytes = group.iter().map(|write| write.bytes).sum();
        let (requests, replies): (Vec<_>, Vec<_>) =
            group.into_iter().map(|QueuedWrite { request, reply, .. }| (request, reply)).unzip();
        let requests = Arc::new(requests);
        let answers = match write(&shared, &requests, bytes).await {
            Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
            Err(error) if error.remedy() == Remedy::Isolate && requests.len() > 1 => {
                write_one_by_one(&shared, &requests).await
            }
            Err(error) => failures(error, requests.len()),
        };
        for (reply, answer) in replies.into_iter().zip(answers) {
            // A caller that went away does not want its answer.
            let _ = reply.send(answer.map(|outcomes| WriteResponse { outcomes }));
        }
    }
}

/// What one request has in it that the database does not take costs the others nothing.
async fn write_one_by_one(
    shared: &Arc<Shared>,
    requests: &[WriteRequest],
) -> Vec<std::result::Result<Vec<Outcome>, StoreError>> {
    let mut answers = Vec::with_capacity(requests.len());
    for request in requests {
        let alone = Arc::new(vec![request.clone()]);
        answers.push(match write(shared, &alone, usize::MAX).await {
            Ok(mut outcomes) => Ok(outcomes.pop().unwrap_or_default()),
            Err(error) => Err(error.into()),
        });
    }
    answers
}

/// Errors are not `Clone`; every caller of a failed group gets one of the same kind.
fn failures(error: EngineError, count: usize) -> Vec<std::result::Result<Vec<Outcome>, StoreError>> {
    let error = StoreError::from(error);
    let copy = || match &error {
        StoreError::Overloaded(message) => StoreError::Overloaded(message.clone()),
        StoreError::Damaged(message) => StoreError::Damaged(message.clone()),
        StoreError::Unavailable(message) => StoreError::Unavailable(message.clone()),
        error => StoreError::Unavailable(error.to_string()),
    };
    (0..count).map(|_| Err(copy())).collect()
}

/// Writes a group, again and again while the database is away for a short time.
async fn write(shared: &Arc<Shared>, requests: &Arc<Vec<WriteRequest>>, bytes: usize) -> Result<Outcomes> {
    let (keyed, limit) = (shared.keyed, shared.options.max_span_bytes);
    let plan = if bytes > INLINE_BYTES {
        let requests = requests.clone();
        let planned = tokio::task::spawn_blocking(move || plan(&requests, keyed, limit)).await;
        planned.map_err(|_| EngineError::Closed)??
    } else {
        plan(requests, keyed, limit)?
    };
    let mut pause = FIRST_PAUSE;
    // What a commit without an answer may have stored, and how it would be answered.
    let mut unknown: Option<(Mark, Outcomes)> = None;
    loop {
        let error = match attempt(shared, requests, &plan, &mut unknown).await {
            Ok(outcomes) => {
                shared.note(None);
                return Ok(outcomes);
            }
            Err(error) => error,
        };
        if error.remedy() != Remedy::Retry {
            tracing::error!(%error, "a group of writes failed; nothing of it is stored");
            return Err(error);
        }
        let since = shared.note(Some(error.to_string()));
        if since.elapsed() + pause >= shared.options.retry_for {
            tracing::error!(%error, "the database is away; writes are refused");
            return Err(error);
        }
        tracing::warn!(%error, "the database is away; trying again");
        // Servers that lost the same database do not come back in step.
        tokio::time::sleep(pause.mul_f32(0.5 + fastrand::f32() / 2.0)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn attempt(
    shared: &Shared,
    requests: &[WriteRequest],
    plan: &Plan,
    unknown: &mut Option<(Mark, Outcomes)>,
) -> Result<Outcomes> {
    let client = shared.connections.writers.get().await?;
    let written = write_with(&client, shared, requests, plan, unknown).await;
    if written.is_err() {
        // Whatever is left of the transaction goes with the connection.
        drop(Object::take(client));
    }
    written
}

async fn write_with(
    client: &Object,
    shared: &Shared,
    requests: &[WriteRequest],
    plan: &Plan,
    unknown: &mut Option<(Mark, Outcomes)>,
) -> Result<Outcomes> {
    let found = lookup::begin(client, shared, requests).await?;
    // Whoever has the turn knows that the transaction before is over, whatever became of its connection.
    if let Some((mark, outcomes)) = &*unknown
        && is_durable(client, *mark).await?
    {
        client.batch_execute("ROLLBACK").await?;
        return Ok(outcomes.clone());
    }
    *unknown = None;
    let mut group = Group::new(found, shared.keyed, shared.options.max_span_bytes);
    let mut outcomes = Vec::with_capacity(requests.len());
    for (index, request) in requests.iter().enumerate() {
        outcomes.push(group.apply(index, request)?);
    }
    let accounts: Vec<_> =
        group.found.accounts.iter().map(|(account, key)| (*key, account.clone())).collect();
    match Commit::prepare(&mut group, plan, shared.keyed)? {
        Some(commit) => {
            *unknown = commit.mark().map(|mark| (mark, outcomes.clone()));
            commit.run(client).await?;
            *unknown = None;
        }
        // Accounts that are new stay.
        None => client.batch_execute("COMMIT").await?,
    }
    if accounts.iter().any(|(_, account)| shared.account_key(account).is_none()) {
        shared.remember_accounts(accounts);
    }
    Ok(outcomes)
}
