//! What is said of a span, within its line.

use std::borrow::Cow;

use bytes::Bytes;
use endspan_model::limits::MAX_ID_BYTES;
use endspan_model::payload::{Characters, PayloadShape};
use endspan_model::{AccountId, Payload, Span, Timestamp};
use endspan_store::Assessment;
use endspan_store::assessment::{Approval, AssessmentContent, AssessmentType, MAX_CONTENT_BYTES};
use endspan_wire::push_string;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{RecordError, moment, push_moment, wrong};

const FIELD: &str = "assessments";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AssessmentRecord<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: Cow<'a, str>,
    approval: Option<Cow<'a, str>>,
    comment: Option<Cow<'a, str>>,
    rating: Option<u8>,
    #[serde(borrow)]
    rubric: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    overwrite: Option<&'a RawValue>,
    created_by: Cow<'a, str>,
    created_at: Cow<'a, str>,
    updated_at: Cow<'a, str>,
    revision: u64,
}

/// What a line says of an assessment; account, trace and span are those of the line.
#[derive(Clone, Debug)]
pub(in crate::routes::transfer) struct LineAssessment {
    id: String,
    content: AssessmentContent,
    created_by: String,
    created_at: Timestamp,
    updated_at: Timestamp,
    revision: u64,
}

impl LineAssessment {
    pub(in crate::routes::transfer) fn of(self, account: &AccountId, span: &Span) -> Assessment {
        Assessment {
            id: self.id,
            account: account.clone(),
            trace_id: span.trace_id.clone(),
            span_id: span.id.clone(),
            content: self.content,
            created_by: self.created_by,
            created_at: self.created_at,
            updated_at: self.updated_at,
            revision: self.revision,
        }
    }
}

pub(super) fn push(out: &mut Vec<u8>, assessments: &[&Assessment]) {
    for (index, assessment) in assessments.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b",\"assessments\":[" } else { b"," });
        push_one(out, assessment);
    }
    if !assessments.is_empty() {
        out.push(b']');
    }
}

fn push_one(out: &mut Vec<u8>, assessment: &Assessment) {
    let text = |out: &mut Vec<u8>, key: &str, value: Option<&str>| {
        if let Some(value) = value {
            out.extend_from_slice(key.as_bytes());
            push_string(out, value);
        }
    };
    let content = &assessment.content;
    text(out, "{\"id\":", Some(&assessment.id));
    text(out, ",\"type\":", Some(content.kind.as_str()));
    text(out, ",\"approval\":", content.approval.map(|approval| approval.as_str()));
    text(out, ",\"comment\":", content.comment.as_deref());
    if let Some(rating) = content.rating {
        out.extend_from_slice(format!(",\"rating\":{rating}").as_bytes());
    }
    for (key, payload) in [
        (",\"rubric\":", &content.rubric),
        (",\"metadata\":", &content.metadata),
        (",\"overwrite\":", &content.overwrite),
    ] {
        if let Some(payload) = payload {
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(payload.as_bytes());
        }
    }
    text(out, ",\"created_by\":", Some(&assessment.created_by));
    out.extend_from_slice(b",\"created_at\":");
    push_moment(out, assessment.created_at);
    out.extend_from_slice(b",\"updated_at\":");
    push_moment(out, assessment.updated_at);
    out.extend_from_slice(format!(",\"revision\":{}}}", assessment.revision).as_bytes());
}

pub(super) fn read(line: &Bytes, record: AssessmentRecord<'_>) -> Result<LineAssessment, RecordError> {
    if [&record.id, &record.created_by]
        .into_iter()
        .any(|text| text.len() > MAX_ID_BYTES || text.contains('\0'))
    {
        return Err(wrong(FIELD, "an id is too long or holds a NUL character"));
    }
    if record.rating.is_some_and(|rating| !(1..=5).contains(&rating)) || record.revision == 0 {
        return Err(wrong(FIELD, "a number is out of range"));
    }
    let kind = AssessmentType::from_name(&record.kind).ok_or(wrong(FIELD, "unknown type"))?;
    let approval = match record.approval {
        Some(name) => Some(Approval::from_name(&name).ok_or(wrong(FIELD, "unknown approval"))?),
        None => None,
    };
    let content = AssessmentContent {
        kind,
        approval,
        comment: record.comment.map(Cow::into_owned),
        rating: record.rating,
        rubric: object(line, record.rubric)?,
        metadata: object(line, record.metadata)?,
        overwrite: object(line, record.overwrite)?,
    };
    if content.check().is_err() || content.size_bytes() > MAX_CONTENT_BYTES {
        return Err(wrong(FIELD, "content that does not fit its type, or is too long"));
    }
    Ok(LineAssessment {
        id: record.id.into_owned(),
        content,
        created_by: record.created_by.into_owned(),
        created_at: moment(FIELD, &record.created_at)?,
        updated_at: moment(FIELD, &record.updated_at)?,
        revision: record.revision,
    })
}

fn object(line: &Bytes, text: Option<&RawValue>) -> Result<Option<Payload>, RecordError> {
    let Some(text) = text else { return Ok(None) };
    let payload = Payload::from_json(line.slice_ref(text.get().as_bytes()), Characters::Strict)
        .map_err(|error| RecordError::Field { field: FIELD, message: error.to_string().into() })?;
    if payload.shape() == PayloadShape::Object {
        Ok(Some(payload))
    } else {
        Err(wrong(FIELD, "expected an object"))
    }
}
