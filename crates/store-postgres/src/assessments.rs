//! What is said of spans: read beside them, by the sequences of their rows.

use std::collections::HashSet;

use endspan_model::{AccountId, Payload, SpanId, Timestamp, TraceId};
use endspan_store::{
    Assessment, AssessmentList, AssessmentQuery,
    assessment::{Approval, AssessmentContent, AssessmentFilter, AssessmentType, AssessmentsOf},
};
use tokio_postgres::Row;

use crate::{
    connections::Parameter,
    error::{EngineError, Result},
    reads::{Reading, known_scope},
    row::{get, get_optional_text, get_text},
};

/// The columns that [`read_assessment`] reads, in its order.
const ROW: &str = "a.account_key, s.trace_id, s.id, a.id, a.type, a.approval, a.rating, a.comment, a.rubric, a.metadata, \
     a.overwrite, a.created_by, a.created_micros, a.updated_micros, a.revision";
/// Rows that are taken from the database at once.
const BATCH: usize = 100;

pub(crate) async fn read_assessments(
    reading: &mut Reading<'_>,
    account: Option<&AccountId>,
    query: &AssessmentQuery,
) -> Result<AssessmentList> {
    let scope = known_scope(reading, account).await?;
    let keyed = reading.shared.keyed;
    let (hash, text, hashes);
    let mut exactly: Option<HashSet<&(AccountId, TraceId, SpanId)>> = None;
    let (condition, parameters): (&str, Vec<Parameter<'_>>) = match &query.of {
        AssessmentsOf::Id(id) => {
            text = id.as_bytes();
            ("a.id = $1", vec![&text])
        }
        AssessmentsOf::SpanId(id) => {
            (hash, text) = (keyed.hash(id.as_str()), id.as_str().as_bytes());
            ("s.id_hash = $1 AND s.id = $2", vec![&hash, &text])
        }
        AssessmentsOf::Trace(trace_id) => {
            (hash, text) = (keyed.hash(trace_id.as_str()), trace_id.as_str().as_bytes());
            ("s.trace_hash = $1 AND s.trace_id = $2", vec![&hash, &text])
        }
        AssessmentsOf::Spans(spans) => {
            let traces: Vec<i64> =
                spans.iter().map(|(_, trace_id, _)| keyed.hash(trace_id.as_str())).collect();
            let ids: Vec<i64> = spans.iter().map(|(.., id)| keyed.hash(id.as_str())).collect();
            hashes = (traces, ids);
            exactly = Some(spans.iter().collect());
            ("s.trace_hash = ANY($1::bigint[]) AND s.id_hash = ANY($2::bigint[])", vec![&hashes.0, &hashes.1])
        }
    };
    let sql = format!(
        "SELECT {ROW} FROM assessments a JOIN spans s ON s.sequence = a.sequence WHERE {condition} AND {} \
         ORDER BY a.created_micros, a.id",
        scope.filter("s")
    );
    reading.snapshot.declare(&sql, &parameters).await?;
    let (mut found, mut bytes) = (Vec::new(), 0_usize);
    loop {
        let rows = reading.snapshot.fetch(BATCH).await?;
        for row in &rows {
            let assessment = read_assessment(reading, row).await?;
            let is_meant = exactly.as_ref().is_none_or(|exactly| {
                let Assessment { account, trace_id, span_id, .. } = &assessment;
                exactly.contains(&(account.clone(), trace_id.clone(), span_id.clone()))
            });
            if is_meant && query.kind.is_none_or(|kind| assessment.content.kind == kind) {
                bytes = bytes.saturating_add(assessment.size_bytes());
                found.push(assessment);
            }
        }
        if rows.len() < BATCH || bytes > query.max_bytes {
            return Ok(AssessmentList::of(found, query));
        }
    }
}

async fn read_assessment(reading: &mut Reading<'_>, row: &Row) -> Result<Assessment> {
    let unknown = || EngineError::damaged("an assessment holds an unknown code");
    let code = |at: usize| -> Result<Option<u8>> {
        get::<Option<i16>>(row, at)?.map(|code| u8::try_from(code).map_err(|_| unknown())).transpose()
    };
    let payload = |at: usize| -> Result<Option<Payload>> {
        Ok(get::<Option<Vec<u8>>>(row, at)?.map(|text| Payload::from_trusted(text.into())))
    };
    let moment = |at: usize| -> Result<Timestamp> {
        let out_of_range = || EngineError::damaged("an assessment holds a time out of range");
        Timestamp::from_unix_micros(get(row, at)?).ok_or_else(out_of_range)
    };
    let content = AssessmentContent {
        kind: code(4)?.and_then(AssessmentType::from_code).ok_or_else(unknown)?,
        approval: code(5)?.map(|code| Approval::from_code(code).ok_or_else(unknown)).transpose()?,
        rating: code(6)?,
        comment: get_optional_text(row, 7)?,
        rubric: payload(8)?,
        metadata: payload(9)?,
        overwrite: payload(10)?,
    };
    Ok(Assessment {
        account: reading.account(get(row, 0)?).await?,
        trace_id: TraceId::from(get_text(row, 1)?),
        span_id: SpanId::from(get_text(row, 2)?),
        id: get_text(row, 3)?,
        content,
        created_by: get_text(row, 11)?,
        created_at: moment(12)?,
        updated_at: moment(13)?,
        revision: get::<i64>(row, 14)?.unsigned_abs(),
    })
}

/// Returns the condition on `spans s` that they have, for each filter, an assessment that says so. Holds numbers only.
pub(crate) fn span_condition(filters: &[AssessmentFilter]) -> String {
    let of_one = |filter: &AssessmentFilter| {
        format!(" AND s.sequence IN (SELECT a.sequence FROM assessments a WHERE {})", filter.to_sql("a"))
    };
    filters.iter().map(of_one).collect()
}

/// Returns the condition on `traces t` that says the same of a trace.
pub(crate) fn trace_condition(filters: &[AssessmentFilter]) -> String {
    let of_one = |filter: &AssessmentFilter| {
        format!(
            " AND (t.trace_hash, t.account_key, t.trace_id) IN (SELECT s.trace_hash, s.account_key, s.trace_id \
             FROM assessments a JOIN spans s ON s.sequence = a.sequence WHERE {})",
            filter.to_sql("a")
        )
    };
    filters.iter().map(of_one).collect()
}
