//! Changes one assessment within the open transaction.

use endspan_model::Payload;
use endspan_store::{
    Assessment, AssessmentOutcome, AssessmentWrite,
    assessment::{AssessmentContent, AssessmentType, MAX_PER_SPAN},
};
use rusqlite::{Connection, OptionalExtension, params};

use crate::{assessments::find_sequence, compact_id::CompactId, error::Result, shared::Shared};

/// What is stored of an assessment.
struct Stored {
    key: i64,
    sequence: i64,
    revision: i64,
}

pub(super) fn write(
    connection: &Connection,
    shared: &Shared,
    write: &AssessmentWrite,
) -> Result<AssessmentOutcome> {
    let (account, id) = write.identity();
    let account_key = shared.accounts.read().key(account);
    let stored = match account_key {
        Some(account_key) => find(connection, account_key, id)?,
        None => None,
    };
    match (write, stored) {
        (AssessmentWrite::Delete { .. } | AssessmentWrite::Replace(_), None) => {
            Ok(AssessmentOutcome::NotFound)
        }
        (AssessmentWrite::Delete { .. }, Some(stored)) => {
            connection
                .prepare_cached("DELETE FROM assessments WHERE assessment_key = ?1")?
                .execute([stored.key])?;
            Ok(AssessmentOutcome::Done)
        }
        (AssessmentWrite::Replace(new), Some(stored)) => {
            if i64::try_from(new.revision).ok() != stored.revision.checked_add(1) {
                return Ok(AssessmentOutcome::Superseded);
            }
            if let Some(refused) = refused(connection, stored.sequence, Some(stored.key), new.content.kind)? {
                return Ok(refused);
            }
            replace(connection, &stored, new)
        }
        (AssessmentWrite::Put(new), stored) => {
            let sequence = match account_key {
                Some(account_key) => sequence_of(connection, shared, account_key, new)?,
                None => None,
            };
            let (Some(account_key), Some(sequence)) = (account_key, sequence) else {
                return Ok(AssessmentOutcome::NoSpan);
            };
            let Ok(revision) = i64::try_from(new.revision) else { return Ok(AssessmentOutcome::Superseded) };
            if stored
                .as_ref()
                .is_some_and(|stored| stored.revision >= revision || stored.sequence != sequence)
            {
                return Ok(AssessmentOutcome::Superseded);
            }
            let key = stored.map(|stored| stored.key);
            if let Some(refused) = refused(connection, sequence, key, new.content.kind)? {
                return Ok(refused);
            }
            insert(connection, account_key, sequence, new)
        }
    }
}

fn find(connection: &Connection, account_key: i64, id: &str) -> Result<Option<Stored>> {
    let mut statement = connection.prepare_cached(
        "SELECT assessment_key, sequence, revision FROM assessments WHERE account_key = ?1 AND id = ?2",
    )?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Stored { key: row.get(0)?, sequence: row.get(1)?, revision: row.get(2)? })
    };
    Ok(statement.query_row(params![account_key, id], read).optional()?)
}

fn sequence_of(
    connection: &Connection,
    shared: &Shared,
    account_key: i64,
    new: &Assessment,
) -> Result<Option<i64>> {
    let hash = shared.keyed.hash(account_key, new.trace_id.as_str());
    let trace_key = connection
        .prepare_cached(
            "SELECT trace_key FROM traces INDEXED BY traces_by_hash \
             WHERE trace_hash = ?1 AND account_key = ?2 AND trace_id = ?3",
        )?
        .query_row(params![hash, account_key, CompactId::new(new.trace_id.as_str())], |row| row.get(0))
        .optional()?;
    let Some(trace_key) = trace_key else { return Ok(None) };
    let hash = shared.keyed.hash(account_key, new.span_id.as_str());
    find_sequence(connection, trace_key, hash, &new.span_id)
}

/// Returns why the span takes no such assessment beside its others.
fn refused(
    connection: &Connection,
    sequence: i64,
    replaced: Option<i64>,
    kind: AssessmentType,
) -> Result<Option<AssessmentOutcome>> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*), coalesce(sum(type = ?3), 0) FROM assessments WHERE sequence = ?1 AND assessment_key IS NOT ?2",
    )?;
    let parameters = params![sequence, replaced, AssessmentType::Overwrite.code()];
    let (others, overwrites): (i64, i64) =
        statement.query_row(parameters, |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(if kind == AssessmentType::Overwrite && overwrites > 0 {
        Some(AssessmentOutcome::SecondOverwrite)
    } else {
        (others >= MAX_PER_SPAN as i64).then_some(AssessmentOutcome::TooMany)
    })
}

fn insert(
    connection: &Connection,
    account_key: i64,
    sequence: i64,
    new: &Assessment,
) -> Result<AssessmentOutcome> {
    let Assessment { content, .. } = new;
    connection
        .prepare_cached(
            "INSERT INTO assessments (account_key, id, sequence, type, approval, rating, comment, rubric, metadata, \
             overwrite, created_by, created_micros, updated_micros, revision) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) \
             ON CONFLICT (account_key, id) DO UPDATE SET type = excluded.type, approval = excluded.approval, \
             rating = excluded.rating, comment = excluded.comment, rubric = excluded.rubric, \
             metadata = excluded.metadata, overwrite = excluded.overwrite, created_by = excluded.created_by, \
             created_micros = excluded.created_micros, updated_micros = excluded.updated_micros, \
             revision = excluded.revision",
        )?
        .execute(params![
            account_key,
            new.id,
            sequence,
            content.kind.code(),
            content.approval.map(|approval| approval.code()),
            content.rating,
            content.comment,
            text(&content.rubric),
            text(&content.metadata),
            text(&content.overwrite),
            new.created_by,
            new.created_at.unix_micros(),
            new.updated_at.unix_micros(),
            new.revision as i64,
        ])?;
    Ok(AssessmentOutcome::Done)
}

fn replace(connection: &Connection, stored: &Stored, new: &Assessment) -> Result<AssessmentOutcome> {
    let AssessmentContent { kind, approval, comment, rating, rubric, metadata, overwrite } = &new.content;
    connection
        .prepare_cached(
            "UPDATE assessments SET type = ?2, approval = ?3, rating = ?4, comment = ?5, rubric = ?6, metadata = ?7, \
             overwrite = ?8, updated_micros = ?9, revision = ?10 WHERE assessment_key = ?1",
        )?
        .execute(params![
            stored.key,
            kind.code(),
            approval.map(|approval| approval.code()),
            rating,
            comment,
            text(rubric),
            text(metadata),
            text(overwrite),
            new.updated_at.unix_micros(),
            new.revision as i64,
        ])?;
    Ok(AssessmentOutcome::Done)
}

fn text(payload: &Option<Payload>) -> Option<&[u8]> {
    payload.as_ref().map(Payload::as_bytes)
}
