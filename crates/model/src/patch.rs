use crate::{Payload, PayloadShape, Span, SpanId, Status, Timestamp, TraceId};

/// A partial update of a stored span. Absent fields stay as they are; no field can be unset.
///
/// Serves both PATCH calls: the Agentex one (`agentex-api` section 4) merges `data` at the top level, the
/// SGP one (`sgp-api` 4.4) replaces `metadata` as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpanPatch {
    /// Moves the span to another trace.
    pub trace_id: Option<TraceId>,
    /// Replaces the parent.
    pub parent_id: Option<SpanId>,
    /// Replaces the Agentex task.
    pub task_id: Option<String>,
    /// Replaces the name.
    pub name: Option<String>,
    /// Replaces the start.
    pub start_time: Option<Timestamp>,
    /// Replaces the end.
    pub end_time: Option<Timestamp>,
    /// Replaces the status.
    pub status: Option<Status>,
    /// Replaces the input.
    pub input: Option<Payload>,
    /// Replaces the output.
    pub output: Option<Payload>,
    /// Replaces the metadata as a whole.
    pub metadata: Option<Payload>,
    /// Merges into the metadata at the top level: new keys are added, same keys replaced, nothing removed.
    pub merge_metadata: Option<Payload>,
    /// Refuses an end before the start that the span has then (`sgp-api` 4.4).
    pub ordered: bool,
}

/// Why a patch does not fit the span that it meets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError {
    /// The stored metadata and the given one are not both objects, so that they cannot merge
    /// (`agentex-api` rows 38 to 40, a 500 or garbled data in the reference).
    #[error("data: cannot merge {given} into stored {stored}")]
    CannotMergeMetadata {
        /// The form of the stored value.
        stored: &'static str,
        /// The form of the given value.
        given: &'static str,
    },
    /// The patched span would end before it starts, where the API forbids that.
    #[error("end_timestamp: must not be before start_timestamp")]
    EndBeforeStart,
}

impl SpanPatch {
    /// Applies the patch. On an error the span is unchanged.
    ///
    /// # Errors
    /// [`PatchError::CannotMergeMetadata`] when stored and given metadata cannot merge, and
    /// [`PatchError::EndBeforeStart`] when the patch asks for order and the span would have none.
    pub fn apply(&self, span: &mut Span) -> Result<(), PatchError> {
        let start = self.start_time.unwrap_or(span.start_time);
        if self.ordered && self.end_time.is_some_and(|end| end < start) {
            return Err(PatchError::EndBeforeStart);
        }
        let merged = match &self.merge_metadata {
            Some(given) => merge_top_level(span.metadata.as_ref(), given)?,
            None => None,
        };
        if merged.is_some() {
            span.metadata = merged;
        }
        fn replace<T: Clone>(field: &mut T, new: &Option<T>) {
            if let Some(new) = new {
                field.clone_from(new);
            }
        }
        fn replace_optional<T: Clone>(field: &mut Option<T>, new: &Option<T>) {
            if new.is_some() {
                field.clone_from(new);
            }
        }
        replace(&mut span.trace_id, &self.trace_id);
        replace(&mut span.name, &self.name);
        replace(&mut span.start_time, &self.start_time);
        replace_optional(&mut span.parent_id, &self.parent_id);
        replace_optional(&mut span.task_id, &self.task_id);
        replace_optional(&mut span.end_time, &self.end_time);
        replace_optional(&mut span.status, &self.status);
        replace_optional(&mut span.input, &self.input);
        replace_optional(&mut span.output, &self.output);
        replace_optional(&mut span.metadata, &self.metadata);
        Ok(())
    }
}

/// Returns the merged object, or `None` when nothing changes.
fn merge_top_level(stored: Option<&Payload>, given: &Payload) -> Result<Option<Payload>, PatchError> {
    let Some(stored) = stored.filter(|payload| !payload.is_empty_container()) else {
        return Ok(Some(given.clone()));
    };
    if given.is_empty_container() {
        return Ok(None);
    }
    let (Some(mut members), Some(changes)) = (stored.members(), given.members()) else {
        let describe = |payload: &Payload| match payload.shape() {
            PayloadShape::Array | PayloadShape::ArrayOfObjects => "an array",
            shape => shape.describe(),
        };
        return Err(PatchError::CannotMergeMetadata { stored: describe(stored), given: describe(given) });
    };
    for (key, value) in changes {
        match members.iter_mut().rev().find(|(name, _)| *name == key) {
            Some((_, old)) => *old = value,
            None => members.push((key, value)),
        }
    }
    let mut text = Vec::with_capacity(stored.len() + given.len());
    text.push(b'{');
    for (index, (key, value)) in members.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        text.extend_from_slice(serde_json::Value::from(key.as_str()).to_string().as_bytes());
        text.push(b':');
        text.extend_from_slice(value.as_bytes());
    }
    text.push(b'}');
    Ok(Some(Payload::from_trusted(text.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patched(stored: Option<&str>, given: &str) -> Result<Option<String>, PatchError> {
        let mut span = Span::new("t", "s", "n", Timestamp::MIN);
        span.metadata = stored.map(|text| Payload::parse(text.to_owned()).unwrap());
        let patch = SpanPatch {
            merge_metadata: Some(Payload::parse(given.to_owned()).unwrap()),
            ..SpanPatch::default()
        };
        patch.apply(&mut span).map(|()| span.metadata.map(|payload| payload.to_string()))
    }

    #[test]
    fn sgp_row_30_an_ordered_patch_ends_no_span_before_its_start() {
        let at = |micros| Timestamp::from_unix_micros(micros).unwrap();
        let mut span = Span::new("t", "s", "n", at(10));
        let mut patch =
            SpanPatch { end_time: Some(at(9)), name: Some("m".to_owned()), ..SpanPatch::default() };
        patch.ordered = true;
        assert_eq!(patch.apply(&mut span), Err(PatchError::EndBeforeStart));
        assert_eq!(span, Span::new("t", "s", "n", at(10)), "an error changes nothing");
        patch.start_time = Some(at(8));
        assert_eq!(patch.apply(&mut span), Ok(()));
        patch = SpanPatch { end_time: Some(at(1)), ..SpanPatch::default() };
        assert_eq!(patch.apply(&mut span), Ok(()), "other APIs do not mind");
    }

    #[test]
    fn agentex_row_35_data_merges_at_the_top_level_only() {
        let merged = patched(Some(r#"{"k":1,"n":{"x":1}}"#), r#"{"n":{"y":2},"z":null}"#).unwrap();
        assert_eq!(merged.unwrap(), r#"{"k":1,"n":{"y":2},"z":null}"#);
    }

    #[test]
    fn agentex_row_36_empty_data_changes_nothing() {
        for given in ["{}", "[]"] {
            assert_eq!(patched(Some(r#"{"k":1}"#), given).unwrap().unwrap(), r#"{"k":1}"#);
        }
    }

    #[test]
    fn agentex_row_37_absent_or_empty_data_is_replaced() {
        for stored in [None, Some("{}"), Some("[]")] {
            for given in [r#"{"x":1}"#, r#"[{"x":1}]"#] {
                assert_eq!(patched(stored, given).unwrap().unwrap(), given);
            }
        }
    }

    #[test]
    fn agentex_rows_38_to_40_objects_and_arrays_do_not_merge() {
        for (stored, given) in [
            (r#"[{"a":1}]"#, r#"{"x":1}"#),
            (r#"{"a":1}"#, r#"[{"q":1}]"#),
            (r#"{"a":1}"#, r#"[{"q":1,"w":2}]"#),
        ] {
            assert!(matches!(patched(Some(stored), given), Err(PatchError::CannotMergeMetadata { .. })));
        }
    }
}
