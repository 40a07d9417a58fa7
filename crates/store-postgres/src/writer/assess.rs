//! Changes one assessment: one transaction, in turn with the groups of all servers.

use deadpool_postgres::Object;
use endspan_model::Payload;
use endspan_store::{
    Assessment, AssessmentOutcome, AssessmentWrite,
    assessment::{AssessmentType, MAX_PER_SPAN},
};
use tokio_postgres::Row;

use super::lookup::LOCK;
use crate::{error::Result, row::get, shared::Shared};

pub(crate) async fn assess(shared: &Shared, write: &AssessmentWrite) -> Result<AssessmentOutcome> {
    let client = shared.connections.writers.get().await?;
    let outcome = assess_with(&client, shared, write).await;
    if outcome.is_err() {
        // Whatever is left of the transaction goes with the connection.
        drop(Object::take(client));
    }
    outcome
}

async fn assess_with(client: &Object, shared: &Shared, write: &AssessmentWrite) -> Result<AssessmentOutcome> {
    client.batch_execute("BEGIN").await?;
    client.query(LOCK, &[&shared.lock_key]).await?;
    let outcome = apply(client, shared, write).await?;
    let end = if outcome == AssessmentOutcome::Done { "COMMIT" } else { "ROLLBACK" };
    client.batch_execute(end).await?;
    Ok(outcome)
}

/// What is stored of an assessment.
struct Stored {
    sequence: i64,
    revision: i64,
}

impl Stored {
    fn read(row: &Row) -> Result<Self> {
        Ok(Self { sequence: get(row, 0)?, revision: get(row, 1)? })
    }
}

async fn apply(client: &Object, shared: &Shared, write: &AssessmentWrite) -> Result<AssessmentOutcome> {
    let (account, id) = write.identity();
    let (name, id) = (account.as_str().as_bytes(), id.as_bytes());
    let rows = client.query("SELECT account_key FROM accounts WHERE account = $1", &[&name]).await?;
    let account_key = rows.first().map(|row| get::<i32>(row, 0)).transpose()?;
    // No account has this key.
    let key = account_key.unwrap_or(0);
    // A span may have been deleted by a server that knew no assessments.
    let sql = "SELECT a.sequence, a.revision FROM assessments a JOIN spans s ON s.sequence = a.sequence \
         WHERE a.account_key = $1 AND a.id = $2";
    let stored = client.query_opt(sql, &[&key, &id]).await?.as_ref().map(Stored::read).transpose()?;
    match (write, stored) {
        (AssessmentWrite::Delete { .. } | AssessmentWrite::Replace(_), None) => {
            Ok(AssessmentOutcome::NotFound)
        }
        (AssessmentWrite::Delete { .. }, Some(_)) => {
            client
                .execute("DELETE FROM assessments WHERE account_key = $1 AND id = $2", &[&key, &id])
                .await?;
            Ok(AssessmentOutcome::Done)
        }
        (AssessmentWrite::Replace(new), Some(stored)) => {
            if i64::try_from(new.revision).ok() != stored.revision.checked_add(1) {
                return Ok(AssessmentOutcome::Superseded);
            }
            if let Some(refused) = refused(client, key, stored.sequence, new).await? {
                return Ok(refused);
            }
            put(client, key, stored.sequence, new, REPLACE).await
        }
        (AssessmentWrite::Put(new), stored) => {
            let Some(sequence) = sequence_of(client, shared, key, new).await? else {
                return Ok(AssessmentOutcome::NoSpan);
            };
            let Ok(revision) = i64::try_from(new.revision) else { return Ok(AssessmentOutcome::Superseded) };
            if stored
                .as_ref()
                .is_some_and(|stored| stored.revision >= revision || stored.sequence != sequence)
            {
                return Ok(AssessmentOutcome::Superseded);
            }
            if let Some(refused) = refused(client, key, sequence, new).await? {
                return Ok(refused);
            }
            put(client, key, sequence, new, PUT).await
        }
    }
}

async fn sequence_of(
    client: &Object,
    shared: &Shared,
    account_key: i32,
    new: &Assessment,
) -> Result<Option<i64>> {
    let sql = "SELECT s.sequence FROM spans s WHERE s.trace_hash = $1 AND s.id_hash = $2 AND s.trace_id = $3 \
         AND s.id = $4 AND s.account_key + 0 = $5";
    let (trace_id, id) = (new.trace_id.as_str(), new.span_id.as_str());
    let hashes = (shared.keyed.hash(trace_id), shared.keyed.hash(id));
    let rows = client
        .query(sql, &[&hashes.0, &hashes.1, &trace_id.as_bytes(), &id.as_bytes(), &account_key])
        .await?;
    rows.first().map(|row| get(row, 0)).transpose()
}

/// Returns why the span takes no such assessment beside its others.
async fn refused(
    client: &Object,
    account_key: i32,
    sequence: i64,
    new: &Assessment,
) -> Result<Option<AssessmentOutcome>> {
    let sql = "SELECT count(*), count(*) FILTER (WHERE type = $4) FROM assessments \
         WHERE sequence = $1 AND NOT (account_key = $2 AND id = $3)";
    let overwrite = i16::from(AssessmentType::Overwrite.code());
    let row = client.query_one(sql, &[&sequence, &account_key, &new.id.as_bytes(), &overwrite]).await?;
    let (others, overwrites): (i64, i64) = (get(&row, 0)?, get(&row, 1)?);
    Ok(if new.content.kind == AssessmentType::Overwrite && overwrites > 0 {
        Some(AssessmentOutcome::SecondOverwrite)
    } else {
        (others >= MAX_PER_SPAN as i64).then_some(AssessmentOutcome::TooMany)
    })
}

/// What replaces an assessment; its creator and creation stay.
const REPLACE: &str = "type = excluded.type, approval = excluded.approval, rating = excluded.rating, \
     comment = excluded.comment, rubric = excluded.rubric, metadata = excluded.metadata, overwrite = excluded.overwrite, \
     updated_micros = excluded.updated_micros, revision = excluded.revision";
/// What replaces everything but its span.
const PUT: &str = "sequence = excluded.sequence, created_by = excluded.created_by, created_micros = excluded.created_micros, \
     type = excluded.type, approval = excluded.approval, rating = excluded.rating, \
     comment = excluded.comment, rubric = excluded.rubric, metadata = excluded.metadata, overwrite = excluded.overwrite, \
     updated_micros = excluded.updated_micros, revision = excluded.revision";

async fn put(
    client: &Object,
    account_key: i32,
    sequence: i64,
    new: &Assessment,
    set: &str,
) -> Result<AssessmentOutcome> {
    let content = &new.content;
    let text = |payload: &Option<Payload>| payload.as_ref().map(|payload| payload.as_bytes().to_vec());
    let sql = format!(
        "INSERT INTO assessments (account_key, id, sequence, type, approval, rating, comment, rubric, metadata, \
         overwrite, created_by, created_micros, updated_micros, revision) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
         ON CONFLICT (account_key, id) DO UPDATE SET {set}"
    );
    client
        .execute(
            &sql,
            &[
                &account_key,
                &new.id.as_bytes(),
                &sequence,
                &i16::from(content.kind.code()),
                &content.approval.map(|approval| i16::from(approval.code())),
                &content.rating.map(i16::from),
                &content.comment.as_ref().map(|comment| comment.as_bytes()),
                &text(&content.rubric),
                &text(&content.metadata),
                &text(&content.overwrite),
                &new.created_by.as_bytes(),
                &new.created_at.unix_micros(),
                &new.updated_at.unix_micros(),
                &(new.revision as i64),
            ],
        )
        .await?;
    Ok(AssessmentOutcome::Done)
}
