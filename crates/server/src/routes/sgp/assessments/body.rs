//! Bodies of assessments on their way in.

use endspan_model::Payload;
use endspan_model::payload::{Characters, PayloadShape};
use endspan_store::assessment::{Approval, AssessmentContent, AssessmentType};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::problem::{Place, Problem};

pub(super) const TYPES: &str = "expected comment, rating, approval, rubric, metadata or overwrite";

/// A new assessment.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is read by hand")]
pub(super) struct AssessmentCreate {
    /// `comment`, `rating`, `approval`, `rubric`, `metadata` or `overwrite`.
    assessment_type: String,
    trace_id: String,
    /// Without it the trace's root span.
    span_id: Option<String>,
    /// `approved` or `rejected`.
    approval: Option<String>,
    comment: Option<String>,
    #[schema(minimum = 1, maximum = 5)]
    rating: Option<u8>,
    rubric: Option<std::collections::HashMap<String, String>>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<()>,
    #[schema(value_type = Option<Object>)]
    overwrite: Option<()>,
}

/// Changes of an assessment. Null takes a field away.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is read by hand")]
pub(super) struct AssessmentUpdate {
    assessment_type: Option<String>,
    approval: Option<String>,
    comment: Option<String>,
    #[schema(minimum = 1, maximum = 5)]
    rating: Option<u8>,
    rubric: Option<std::collections::HashMap<String, String>>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<()>,
    #[schema(value_type = Option<Object>)]
    overwrite: Option<()>,
}

/// The members of a body, unread. Unknown ones are ignored.
#[derive(Default, Deserialize)]
struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "given")]
    assessment_type: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    trace_id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    span_id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    approval: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    comment: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    rating: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    rubric: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    metadata: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    overwrite: Option<&'a RawValue>,
}

/// Keeps null apart from absent.
fn given<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// A change of one field: `None` is none, `Some(None)` takes it away.
type Change<T> = Option<Option<T>>;

/// What a body says of an assessment.
#[derive(Clone, Debug)]
pub(super) struct Changes {
    pub(super) kind: Option<AssessmentType>,
    approval: Change<Approval>,
    comment: Change<String>,
    rating: Change<u8>,
    rubric: Change<Payload>,
    metadata: Change<Payload>,
    overwrite: Change<Payload>,
}

impl Changes {
    pub(super) fn applied_to(self, content: AssessmentContent) -> AssessmentContent {
        AssessmentContent {
            kind: self.kind.unwrap_or(content.kind),
            approval: self.approval.unwrap_or(content.approval),
            comment: self.comment.unwrap_or(content.comment),
            rating: self.rating.unwrap_or(content.rating),
            rubric: self.rubric.unwrap_or(content.rubric),
            metadata: self.metadata.unwrap_or(content.metadata),
            overwrite: self.overwrite.unwrap_or(content.overwrite),
        }
    }
}

pub(super) struct Created {
    pub(super) trace_id: String,
    pub(super) span_id: Option<String>,
    pub(super) changes: Changes,
}

pub(super) fn decode_create(text: &[u8]) -> Result<Created, Problem> {
    let members = members(text)?;
    let trace_id = change("trace_id", members.trace_id, read_text)?.flatten();
    Ok(Created {
        trace_id: trace_id.ok_or_else(|| wrong("trace_id", "missing"))?,
        span_id: change("span_id", members.span_id, read_text).map_err(not_in_the_path)?.flatten(),
        changes: changes(&members)?,
    })
}

/// A mistake in a span's id is 400 in a path only.
fn not_in_the_path(problem: Problem) -> Problem {
    match problem {
        Problem::Field { place, message, .. } => {
            Problem::Field { place, field: "body", message: format!("span_id: {message}") }
        }
        problem => problem,
    }
}

pub(super) fn decode_update(text: &[u8]) -> Result<Changes, Problem> {
    changes(&members(text)?)
}

fn members(text: &[u8]) -> Result<Members<'_>, Problem> {
    if text.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        return Err(wrong("body", "expected a JSON object"));
    }
    serde_json::from_slice(text).map_err(|error| wrong("body", &format!("expected a JSON object: {error}")))
}

fn changes(members: &Members<'_>) -> Result<Changes, Problem> {
    let kind = change("assessment_type", members.assessment_type, |text| {
        AssessmentType::from_name(&read_text(text)?).ok_or(TYPES)
    })?;
    Ok(Changes {
        kind: kind.flatten(),
        approval: change("approval", members.approval, |text| {
            Approval::from_name(&read_text(text)?).ok_or("expected approved or rejected")
        })?,
        comment: change("comment", members.comment, read_text)?,
        rating: change("rating", members.rating, |text| {
            let rating: Option<u8> = text.get().parse().ok();
            rating.filter(|rating| (1..=5).contains(rating)).ok_or("expected a whole number from 1 to 5")
        })?,
        rubric: change("rubric", members.rubric, |text| {
            let rubric = read_object(text)?;
            let is_text = |value: &Payload| value.as_bytes().first() == Some(&b'"');
            let texts =
                rubric.members().is_some_and(|members| members.iter().all(|(_, value)| is_text(value)));
            if texts { Ok(rubric) } else { Err("expected an object whose values are strings") }
        })?,
        metadata: change("metadata", members.metadata, read_object)?,
        overwrite: change("overwrite", members.overwrite, read_object)?,
    })
}

fn change<T>(
    field: &'static str,
    text: Option<&RawValue>,
    read: impl FnOnce(&RawValue) -> Result<T, &'static str>,
) -> Result<Change<T>, Problem> {
    match text {
        None => Ok(None),
        Some(text) if text.get() == "null" => Ok(Some(None)),
        Some(text) => read(text).map(|value| Some(Some(value))).map_err(|message| wrong(field, message)),
    }
}

/// NULs become U+FFFD, as in spans (`sgp-api` section 4, rule 4).
fn read_text(text: &RawValue) -> Result<String, &'static str> {
    let text: String = serde_json::from_str(text.get()).map_err(|_| "expected a string")?;
    Ok(if text.contains('\0') { text.replace('\0', "\u{FFFD}") } else { text })
}

fn read_object(text: &RawValue) -> Result<Payload, &'static str> {
    let bytes = bytes::Bytes::copy_from_slice(text.get().as_bytes());
    let payload = Payload::from_json(bytes, Characters::Replace)
        .map_err(|_| "expected an object nested at most 512 deep, without numbers that overflow")?;
    if payload.shape() == PayloadShape::Object { Ok(payload) } else { Err("expected an object") }
}

fn wrong(field: &'static str, message: &str) -> Problem {
    Problem::Field { place: Place::Body, field, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_takes_away_and_absent_keeps() {
        let content = AssessmentContent {
            rating: Some(4),
            comment: Some("c".to_owned()),
            ..AssessmentContent::new(AssessmentType::Rating)
        };
        let changed = decode_update(br#"{"comment":null,"rating":2,"other":1}"#).unwrap().applied_to(content);
        assert_eq!((changed.comment, changed.rating), (None, Some(2)));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for body in [
            "",
            "[]",
            "1",
            "{",
            r#"{"rating":0}"#,
            r#"{"rating":6}"#,
            r#"{"rating":3.5}"#,
            r#"{"rating":"3"}"#,
            r#"{"rating":true}"#,
            r#"{"approval":"maybe"}"#,
            r#"{"approval":1}"#,
            r#"{"comment":1}"#,
            r#"{"rubric":{"a":1}}"#,
            r#"{"rubric":[]}"#,
            r#"{"metadata":[]}"#,
            r#"{"metadata":"x"}"#,
            r#"{"overwrite":1e999}"#,
            r#"{"assessment_type":"x"}"#,
            r#"{"comment":"\ud800"}"#,
            r#"{"rating":3,"rating":4}"#,
        ] {
            assert!(decode_update(body.as_bytes()).is_err(), "{body}");
        }
        assert!(decode_create(br#"{"assessment_type":"comment","comment":"x"}"#).is_err(), "no trace");
    }

    #[test]
    fn numbers_and_order_stay_as_written() {
        let changes = decode_update(br#"{"metadata": {"b": 1.10, "a": "\u0000"}}"#).unwrap();
        assert_eq!(changes.metadata.flatten().unwrap().as_str(), "{\"b\":1.10,\"a\":\"\u{FFFD}\"}");
    }
}
