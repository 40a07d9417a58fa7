//! The filters in the body of a search (`sgp-api` 6.2 and 6.3).

use std::collections::HashSet;
use std::hash::Hash;

use endspan_model::{SpanId, SpanType, Status, TraceId};
use endspan_store::assessment::{AssessmentFilter, AssessmentType};
use endspan_store::search::{MetadataFilter, SpanFilter};
use endspan_store::text::TextQuery;
use endspan_wire::{DecodeError, DecodeErrorKind};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::problem::Problem;

/// Most ids in a body; a pair counts twice.
const MAX_IDS: usize = 10_000;
/// Most values in each other list, and of members in `extra_metadata`.
const MAX_VALUES: usize = 1000;
/// Deepest nesting of `$or` and `$and`.
const MAX_GROUPS: usize = 16;

const TYPES: &str = "comment, rating, approval, rubric, metadata or overwrite";

/// Filters; all that are given must hold. Null, `[]` and absent are the same.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is read by hand")]
pub(in crate::routes::sgp) struct SgpSearch {
    trace_ids: Option<Vec<String>>,
    /// In any trace.
    span_ids: Option<Vec<String>>,
    spans: Option<Vec<SgpSpanIdentity>>,
    excluded_trace_ids: Option<Vec<String>>,
    /// In any trace; not looked at when `excluded_spans` holds anything.
    excluded_span_ids: Option<Vec<String>>,
    excluded_spans: Option<Vec<SgpSpanIdentity>>,
    /// Direct children of any of these.
    parent_ids: Option<Vec<String>>,
    /// Only spans without a parent.
    parents_only: Option<bool>,
    group_id: Option<String>,
    /// Exact names of spans.
    names: Option<Vec<String>>,
    statuses: Option<Vec<String>>,
    types: Option<Vec<String>>,
    application_variant_ids: Option<Vec<String>>,
    acp_types: Option<Vec<String>>,
    agentex_agent_ids: Option<Vec<String>>,
    agentex_agent_names: Option<Vec<String>>,
    /// 32 lower-case hexadecimal digits each.
    obs_trace_ids: Option<Vec<String>>,
    /// 16 lower-case hexadecimal digits each.
    obs_span_ids: Option<Vec<String>>,
    /// Only spans with an assessment of one of these types.
    assessment_types: Option<Vec<String>>,
    /// Inclusive; spans that have not ended never pass.
    min_duration_ms: Option<i64>,
    /// Inclusive; spans that have not ended never pass.
    max_duration_ms: Option<i64>,
    /// Keys of the metadata with the value each must equal, or a list of values of which it must equal one. `$or` and
    /// `$and` hold lists of such objects.
    #[schema(value_type = Option<Object>)]
    extra_metadata: Option<()>,
    /// Up to 10 terms of at least 2 characters.
    search_texts: Option<Vec<String>>,
}

/// A span, exactly.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is read by hand")]
pub(in crate::routes::sgp) struct SgpSpanIdentity {
    trace_id: String,
    span_id: String,
}

/// Reads a body. An empty object filters nothing.
pub(super) fn decode(text: &[u8]) -> Result<SpanFilter, Problem> {
    let body: Value = serde_json::from_slice(text).map_err(|error| {
        let kind = if std::str::from_utf8(text).is_err() {
            DecodeErrorKind::NotUtf8
        } else {
            DecodeErrorKind::Syntax { offset: offset(text, error.line(), error.column()) }
        };
        wrong("body", "a JSON object", kind)
    })?;
    let Value::Object(members) = &body else {
        return Err(wrong("body", "a JSON object", DecodeErrorKind::WrongType { found: describe(&body) }));
    };
    let body = Members(members);
    let mut filter = SpanFilter {
        start_from: None,
        start_to: None,
        trace_ids: body.ids("trace_ids")?,
        span_ids: body.ids("span_ids")?,
        spans: body.pairs("spans")?,
        excluded_trace_ids: body.ids("excluded_trace_ids")?,
        excluded_span_ids: body.ids("excluded_span_ids")?,
        excluded_spans: body.pairs("excluded_spans")?,
        parent_ids: body.ids("parent_ids")?,
        parents_only: body.truth("parents_only")?,
        group_id: body.text("group_id")?,
        names: body.values("names")?,
        statuses: body.names("statuses", "SUCCESS, ERROR or CANCELED", Status::from_name)?,
        types: body.names("types", "one of the 26 span types", SpanType::from_name)?,
        application_variant_ids: body.values("application_variant_ids")?,
        acp_types: body.values("acp_types")?,
        agent_ids: body.values("agentex_agent_ids")?,
        agent_names: body.values("agentex_agent_names")?,
        obs_trace_ids: body.hex("obs_trace_ids", 32, "32 lower-case hexadecimal digits")?,
        obs_span_ids: body.hex("obs_span_ids", 16, "16 lower-case hexadecimal digits")?,
        min_duration_micros: body.micros("min_duration_ms")?,
        max_duration_micros: body.micros("max_duration_ms")?,
        metadata: match body.0.get("extra_metadata") {
            None | Some(Value::Null) => None,
            Some(value) => metadata(value, 0)?,
        },
        text: TextQuery::parse(&body.list("search_texts", MAX_VALUES, |text| Some(text.to_owned()))?)
            .map_err(|error| in_body("search_texts", error.to_string()))?,
        assessments: Vec::new(),
    };
    body.check_size()?;
    let kinds = body.names("assessment_types", TYPES, AssessmentType::from_name)?;
    if !kinds.is_empty() {
        filter.assessments.push(AssessmentFilter { kinds, ..AssessmentFilter::default() });
    }
    Ok(filter)
}

/// A mistake that is no matter of types; it is told as one in the body.
fn in_body(field: &'static str, message: impl Into<String>) -> Problem {
    Problem::Field { place: crate::problem::Place::Body, field, message: message.into() }
}

fn wrong(path: impl Into<String>, expected: &'static str, kind: DecodeErrorKind) -> Problem {
    DecodeError { path: path.into(), expected, kind }.into()
}

fn wrong_type(path: impl Into<String>, expected: &'static str, value: &Value) -> Problem {
    wrong(path, expected, DecodeErrorKind::WrongType { found: describe(value) })
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn offset(text: &[u8], line: usize, column: usize) -> usize {
    let before: usize =
        text.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    before + column.saturating_sub(1)
}

struct Members<'a>(&'a Map<String, Value>);

impl<'a> Members<'a> {
    fn get(&self, field: &str) -> Option<&'a Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    fn array(&self, field: &'static str, most: usize) -> Result<&'a [Value], Problem> {
        match self.get(field) {
            None => Ok(&[]),
            Some(Value::Array(items)) if items.len() <= most => Ok(items),
            Some(Value::Array(_)) => Err(wrong(field, "a shorter list", DecodeErrorKind::TooManyItems)),
            Some(other) => Err(wrong_type(field, "a list", other)),
        }
    }

    fn list<T>(
        &self,
        field: &'static str,
        most: usize,
        read: impl Fn(&'a str) -> Option<T>,
    ) -> Result<Vec<T>, Problem> {
        let mut list = Vec::new();
        for (index, item) in self.array(field, most)?.iter().enumerate() {
            let path = || format!("{field}[{index}]");
            let text = item.as_str().ok_or_else(|| wrong_type(path(), "a string", item))?;
            list.extend(read(text));
        }
        Ok(list)
    }

    fn ids<T: for<'t> From<&'t str> + Eq + Hash>(&self, field: &'static str) -> Result<HashSet<T>, Problem> {
        // What is too much in all is told by the size rule.
        Ok(self.list(field, usize::MAX, |text| Some(T::from(text)))?.into_iter().collect())
    }

    fn values(&self, field: &'static str) -> Result<HashSet<String>, Problem> {
        Ok(self.list(field, MAX_VALUES, |text| Some(text.to_owned()))?.into_iter().collect())
    }

    fn pairs(&self, field: &'static str) -> Result<HashSet<(TraceId, SpanId)>, Problem> {
        let mut pairs = HashSet::new();
        for (index, item) in self.array(field, usize::MAX)?.iter().enumerate() {
            let part = |name: &str| {
                let value = item.get(name);
                value.and_then(Value::as_str).ok_or_else(|| {
                    let kind = value.map_or(DecodeErrorKind::Missing, |value| DecodeErrorKind::WrongType {
                        found: describe(value),
                    });
                    wrong(format!("{field}[{index}].{name}"), "a string", kind)
                })
            };
            pairs.insert((TraceId::from(part("trace_id")?), SpanId::from(part("span_id")?)));
        }
        Ok(pairs)
    }

    fn names<T>(
        &self,
        field: &'static str,
        expected: &'static str,
        read: fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, Problem> {
        let texts = self.list(field, MAX_VALUES, Some)?;
        let read = |(index, text): (usize, &str)| {
            let name = || text.chars().take(40).collect();
            read(text).ok_or_else(|| {
                wrong(format!("{field}[{index}]"), expected, DecodeErrorKind::UnknownName { name: name() })
            })
        };
        texts.into_iter().enumerate().map(read).collect()
    }

    fn hex(
        &self,
        field: &'static str,
        digits: usize,
        expected: &'static str,
    ) -> Result<HashSet<String>, Problem> {
        let texts = self.list(field, MAX_VALUES, Some)?;
        let is_hex = |text: &str| {
            text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let read = |(index, text): (usize, &str)| {
            let bad = || wrong(format!("{field}[{index}]"), expected, DecodeErrorKind::BadHex);
            is_hex(text).then(|| text.to_owned()).ok_or_else(bad)
        };
        texts.into_iter().enumerate().map(read).collect()
    }

    fn truth(&self, field: &'static str) -> Result<bool, Problem> {
        self.get(field).map_or(Ok(false), |value| {
            value.as_bool().ok_or_else(|| wrong_type(field, "true or false", value))
        })
    }

    fn text(&self, field: &'static str) -> Result<Option<String>, Problem> {
        let read = |value: &Value| {
            value.as_str().map(str::to_owned).ok_or_else(|| wrong_type(field, "a string", value))
        };
        self.get(field).map(read).transpose()
    }

    fn micros(&self, field: &'static str) -> Result<Option<i64>, Problem> {
        let read = |value: &Value| {
            let whole = value.as_i64().or_else(|| {
                let double = value.as_f64()?;
                (double.fract() == 0.0).then_some(double as i64)
            });
            whole.ok_or_else(|| wrong_type(field, "a whole number", value))
        };
        Ok(self.get(field).map(read).transpose()?.map(|ms| ms.saturating_mul(1000)))
    }

    fn check_size(&self) -> Result<(), Problem> {
        let lists = ["trace_ids", "span_ids", "excluded_span_ids", "excluded_trace_ids", "parent_ids"];
        let pairs = ["spans", "excluded_spans"];
        let count = |field: &&str| self.get(field).and_then(Value::as_array).map_or(0, Vec::len);
        let total = lists.iter().map(count).sum::<usize>() + 2 * pairs.iter().map(count).sum::<usize>();
        if total > MAX_IDS {
            return Err(in_body(
                "trace_ids",
                format!("at most {MAX_IDS} ids in all lists together, pairs counting twice; found {total}"),
            ));
        }
        Ok(())
    }
}

fn metadata(value: &Value, depth: usize) -> Result<Option<MetadataFilter>, Problem> {
    const FIELD: &str = "extra_metadata";
    let members = value.as_object().ok_or_else(|| wrong_type(FIELD, "an object", value))?;
    if depth > MAX_GROUPS || members.len() > MAX_VALUES {
        return Err(wrong(FIELD, "a smaller object", DecodeErrorKind::TooManyItems));
    }
    let mut filters = Vec::with_capacity(members.len());
    for (key, value) in members {
        let group = |value: &Value| -> Result<Vec<MetadataFilter>, Problem> {
            let items = value.as_array().filter(|items| items.len() <= MAX_VALUES);
            let items =
                items.ok_or_else(|| wrong_type(FIELD, "a list of objects under $or and $and", value))?;
            items
                .iter()
                .map(|item| Ok(metadata(item, depth + 1)?.unwrap_or(MetadataFilter::All(Vec::new()))))
                .collect()
        };
        filters.push(match (key.as_str(), value) {
            ("$or", value) => MetadataFilter::Any(group(value)?),
            ("$and", value) => MetadataFilter::All(group(value)?),
            (_, Value::Array(values)) => {
                // Any of the values, or the list as it stands.
                let mut wanted = values.clone();
                wanted.push(value.clone());
                MetadataFilter::Key(key.clone(), wanted)
            }
            (_, value) => MetadataFilter::Key(key.clone(), vec![value.clone()]),
        });
    }
    Ok((!filters.is_empty()).then_some(MetadataFilter::All(filters)))
}
