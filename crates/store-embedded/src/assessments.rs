//! What is said of spans: read beside them, by the sequences of their rows.

use std::collections::HashSet;

use endspan_model::{AccountId, Payload, SpanId, Timestamp};
use endspan_store::{
    Assessment, AssessmentList, AssessmentQuery,
    assessment::{Approval, AssessmentContent, AssessmentFilter, AssessmentType, AssessmentsOf},
};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use crate::{
    compact_id::{CompactId, StoredId},
    error::{EngineError, Result},
    readers::Reading,
    reads,
    shared::short_hash,
};

/// The columns that [`read_assessment`] reads, in its order, of `assessments a` and `spans s`.
const ROW: &str = "a.account_key, s.trace_key, s.id, a.id, a.type, a.approval, a.rating, a.comment, a.rubric, a.metadata, \
     a.overwrite, a.created_by, a.created_micros, a.updated_micros, a.revision";

/// Returns the row of a span.
pub(crate) fn find_sequence(
    connection: &Connection,
    trace_key: i64,
    id_hash: i64,
    id: &SpanId,
) -> Result<Option<i64>> {
    let mut statement = connection.prepare_cached(
        "SELECT sequence FROM spans INDEXED BY spans_by_identity WHERE trace_key = ?1 AND id_hash = ?2 AND id = ?3",
    )?;
    let parameters = params![trace_key, short_hash(id_hash), CompactId::new(id.as_str())];
    Ok(statement.query_row(parameters, |row| row.get(0)).optional()?)
}

pub(crate) fn read_assessments(
    reading: &mut Reading<'_>,
    account: Option<&AccountId>,
    query: &AssessmentQuery,
) -> Result<AssessmentList> {
    // Most stores have none, and moving a store asks for every span.
    let mut any = reading.connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM assessments)")?;
    // Of ids in memory, before the snapshot begins: see `reads::find_span`.
    let sequences = match &query.of {
        AssessmentsOf::SpanId(id) => {
            Some(reads::sequences_of(reading, &reading.account_keys(account), [id])?)
        }
        _ => None,
    };
    if !any.query_row([], |row| row.get::<_, bool>(0))? {
        return Ok(AssessmentList::default());
    }
    let mut found = Found { assessments: Vec::new(), bytes: 0, query };
    let accounts = reading.account_keys(account);
    match &query.of {
        AssessmentsOf::Id(id) => {
            for account_key in accounts {
                found.read(reading, "a.account_key = ?1 AND a.id = ?2", params![account_key, id])?;
            }
        }
        AssessmentsOf::SpanId(id) => {
            for sequence in sequences.unwrap_or_default() {
                let parameters = params![sequence, CompactId::new(id.as_str())];
                found.read(reading, "a.sequence = ?1 AND s.id = ?2", parameters)?;
            }
            // A hash may be that of another account's id.
            found
                .assessments
                .retain(|assessment| account.is_none_or(|account| *account == assessment.account));
        }
        AssessmentsOf::Trace(trace_id) => {
            for (_, trace_key) in reading.trace_keys(account, trace_id)? {
                let of_trace = "a.sequence IN (SELECT sequence FROM spans INDEXED BY spans_by_identity \
                     WHERE trace_key = ?1)";
                found.read(reading, of_trace, params![trace_key])?;
            }
        }
        AssessmentsOf::Spans(spans) => {
            for (owner, trace_id, id) in
                spans.iter().filter(|(owner, ..)| account.is_none_or(|one| one == owner))
            {
                for (account_key, trace_key) in reading.trace_keys(Some(owner), trace_id)? {
                    let hash = reading.shared.keyed.hash(account_key, id.as_str());
                    if let Some(sequence) = find_sequence(reading.connection, trace_key, hash, id)? {
                        found.read(reading, "a.sequence = ?1", params![sequence])?;
                    }
                }
            }
        }
    }
    Ok(AssessmentList::of(found.assessments, query))
}

struct Found<'q> {
    assessments: Vec<Assessment>,
    bytes: usize,
    query: &'q AssessmentQuery,
}

impl Found<'_> {
    fn read(&mut self, reading: &Reading<'_>, condition: &str, parameters: &[&dyn ToSql]) -> Result<()> {
        let mut statement = reading.connection.prepare_cached(&format!(
            "SELECT {ROW} FROM assessments a CROSS JOIN spans s ON s.sequence = a.sequence WHERE {condition}"
        ))?;
        let mut rows = statement.query(parameters)?;
        while self.bytes <= self.query.max_bytes
            && let Some(row) = rows.next()?
        {
            let assessment = read_assessment(reading, row)?;
            if self.query.kind.is_none_or(|kind| assessment.content.kind == kind) {
                self.bytes = self.bytes.saturating_add(assessment.size_bytes());
                self.assessments.push(assessment);
            }
        }
        Ok(())
    }
}

fn read_assessment(reading: &Reading<'_>, row: &Row<'_>) -> Result<Assessment> {
    let unknown = || EngineError::damaged("an assessment holds an unknown code");
    let payload = |at: usize| -> Result<Option<Payload>> {
        Ok(row.get::<_, Option<Vec<u8>>>(at)?.map(|text| Payload::from_trusted(text.into())))
    };
    let moment = |at: usize| -> Result<Timestamp> {
        let out_of_range = || EngineError::damaged("an assessment holds a time out of range");
        Timestamp::from_unix_micros(row.get(at)?).ok_or_else(out_of_range)
    };
    Ok(Assessment {
        account: reading.account(row.get(0)?)?,
        trace_id: reads::trace_id(reading.connection, row.get(1)?)?,
        span_id: SpanId::from(row.get::<_, StoredId>(2)?.0),
        id: row.get(3)?,
        content: AssessmentContent {
            kind: AssessmentType::from_code(row.get(4)?).ok_or_else(unknown)?,
            approval: match row.get::<_, Option<u8>>(5)? {
                Some(code) => Some(Approval::from_code(code).ok_or_else(unknown)?),
                None => None,
            },
            rating: row.get(6)?,
            comment: row.get(7)?,
            rubric: payload(8)?,
            metadata: payload(9)?,
            overwrite: payload(10)?,
        },
        created_by: row.get(11)?,
        created_at: moment(12)?,
        updated_at: moment(13)?,
        revision: row.get::<_, i64>(14)?.unsigned_abs(),
    })
}

/// Returns the rows of the spans that have, for each filter, an assessment that says so; `None` without filters.
pub(crate) fn matching(
    reading: &Reading<'_>,
    accounts: &[i64],
    filters: &[AssessmentFilter],
) -> Result<Option<HashSet<i64>>> {
    let mut matching: Option<HashSet<i64>> = None;
    for filter in filters {
        let mut statement = reading.connection.prepare_cached(&format!(
            "SELECT a.account_key, a.sequence FROM assessments a WHERE {}",
            filter.to_sql("a")
        ))?;
        let mut rows = statement.query([])?;
        let mut found = HashSet::new();
        while let Some(row) = rows.next()? {
            let sequence = row.get(1)?;
            let is_left = matching.as_ref().is_none_or(|matching| matching.contains(&sequence));
            if is_left && accounts.contains(&row.get(0)?) {
                found.insert(sequence);
            }
        }
        matching = Some(found);
    }
    Ok(matching)
}

/// Returns the traces that have, for each filter, an assessment of some span that says so; `None` without filters.
pub(crate) fn matching_traces(
    reading: &Reading<'_>,
    accounts: &[i64],
    filters: &[AssessmentFilter],
) -> Result<Option<HashSet<i64>>> {
    let mut matching: Option<HashSet<i64>> = None;
    let mut trace = reading.connection.prepare_cached("SELECT trace_key FROM spans WHERE sequence = ?1")?;
    for filter in filters {
        let mut found = HashSet::new();
        for sequence in self::matching(reading, accounts, std::slice::from_ref(filter))?.unwrap_or_default() {
            let trace_key: Option<i64> = trace.query_row([sequence], |row| row.get(0)).optional()?;
            let is_left = |key: &i64| matching.as_ref().is_none_or(|matching| matching.contains(key));
            found.extend(trace_key.filter(is_left));
        }
        matching = Some(found);
    }
    Ok(matching)
}
