//! Was every span stored exactly once, as it was sent?

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use endspan::exporter::{Batch, Export, Exporter};
use endspan::lane::Outcome;
use endspan::model::{Payload, Span, SpanType};

use crate::client::TraceSpan;
use crate::format;

/// A destination that keeps what the tracer sends out, to compare it with what the server stored.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder(Arc<Mutex<Vec<Span>>>);

impl Recorder {
    /// Returns what was sent so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Exporter for Recorder {
    fn name(&self) -> &str {
        "recorder"
    }

    fn export(&self, batch: Batch) -> Export {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(batch.spans.into_iter().map(|entry| entry.span));
        Box::pin(std::future::ready(Outcome::Delivered))
    }
}

/// Returns what is different between spans sent through the SGP API and spans read back; nothing when each
/// was stored exactly once and equal.
pub(crate) fn find_differences(sent: &[Span], stored: &[TraceSpan]) -> Vec<String> {
    let mut differences = Vec::new();
    let mut left: BTreeMap<&str, Vec<&TraceSpan>> = BTreeMap::new();
    for span in stored {
        left.entry(&span.id).or_default().push(span);
    }
    for span in sent {
        let id = span.id.as_str();
        match left.remove(id).as_deref() {
            Some([one]) => compare(span, one, &mut differences),
            Some(several) => differences.push(format!("{id}: stored {} times", several.len())),
            None => differences.push(format!("{id}: not stored, or sent twice")),
        }
    }
    differences.extend(left.keys().map(|id| format!("{id}: stored, but never sent")));
    differences
}

fn compare(sent: &Span, stored: &TraceSpan, differences: &mut Vec<String>) {
    let mut field = |name: &str, equal: bool| {
        if !equal {
            differences.push(format!("{}: {name} differs", sent.id.as_str()));
        }
    };
    let nanos = |text: Option<&str>| text.and_then(format::moment).map(jiff::Timestamp::as_nanosecond);
    // The API carries microseconds.
    let micros = |moment: endspan::Timestamp| i128::from(moment.unix_micros()) * 1_000;
    let error = sent.metadata.as_ref().and_then(|metadata| metadata.get("__error__"));
    let status =
        sent.status.map_or(if error.is_some() { "ERROR" } else { "SUCCESS" }, endspan::Status::as_str);
    let span_type = sent.span_type.unwrap_or(SpanType::Standalone);
    field("trace", stored.trace_id == sent.trace_id.as_str());
    field("parent", stored.parent_id.as_deref() == sent.parent_id.as_ref().map(|id| id.as_str()));
    field("name", stored.name == sent.name);
    field("start", nanos(Some(&stored.start_time)) == Some(micros(sent.start_time)));
    field("end", nanos(stored.end_time.as_deref()) == sent.end_time.map(micros));
    field("status", stored.status.as_deref() == Some(status));
    field("type", stored.span_type.as_deref() == Some(span_type.as_str()));
    field("input", same(sent.input.as_ref(), stored.input.as_deref()));
    field("output", same(sent.output.as_ref(), stored.output.as_deref()));
    field("metadata", holds(stored.metadata.as_deref(), sent.metadata.as_ref()));
}

/// Compares text with text. A payload that was not given is sent as `{}`.
fn same(sent: Option<&Payload>, stored: Option<&serde_json::value::RawValue>) -> bool {
    sent.map_or("{}", Payload::as_str) == stored.map_or("null", |text| text.get())
}

/// Returns whether the stored metadata has every member that was sent; the exporter adds its own tags.
fn holds(stored: Option<&serde_json::value::RawValue>, sent: Option<&Payload>) -> bool {
    let Some(members) = sent.and_then(Payload::members) else { return true };
    let Some(stored) = stored.and_then(|text| Payload::parse(text.get().to_owned()).ok()) else {
        return false;
    };
    members.iter().all(|(key, value)| stored.get(key).as_ref() == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent() -> Span {
        let moment = |micros| endspan::Timestamp::from_unix_micros(micros).unwrap();
        let payload = |text: &'static str| Some(Payload::parse(text).unwrap());
        let mut span = Span::new("t", "s", "n", moment(1_000_001));
        span.end_time = Some(moment(2_000_002));
        span.input = payload(r#"{"n":1.0}"#);
        span.metadata = payload(r#"{"a":1}"#);
        span
    }

    fn stored() -> TraceSpan {
        serde_json::from_str(
            r#"{"trace_id":"t","id":"s","name":"n","start_time":"1970-01-01T00:00:01.000001Z",
            "end_time":"1970-01-01T00:00:02.000002Z","status":"SUCCESS","type":"STANDALONE","input":{"n":1.0},
            "output":{},"metadata":{"__source__":"agentex","a":1}}"#,
        )
        .unwrap()
    }

    #[test]
    fn what_was_stored_once_and_equal_differs_in_nothing() {
        assert_eq!(find_differences(&[sent()], &[stored()]), Vec::<String>::new());
    }

    #[test]
    fn every_kind_of_loss_is_found() {
        let differences = |change: fn(&mut TraceSpan)| {
            let mut stored = stored();
            change(&mut stored);
            find_differences(&[sent()], &[stored]).join("; ")
        };
        assert_eq!(find_differences(&[sent()], &[]), ["s: not stored, or sent twice"]);
        assert_eq!(find_differences(&[], &[stored()]), ["s: stored, but never sent"]);
        assert_eq!(find_differences(&[sent()], &[stored(), stored()]), ["s: stored 2 times"]);
        assert_eq!(differences(|span| span.status = Some("ERROR".to_owned())), "s: status differs");
        assert_eq!(differences(|span| span.end_time = None), "s: end differs");
        assert_eq!(differences(|span| span.parent_id = Some("x".to_owned())), "s: parent differs");
        let raw = |text: &str| Some(serde_json::value::RawValue::from_string(text.to_owned()).unwrap());
        let mut other = stored();
        other.input = raw(r#"{"n":1}"#);
        other.metadata = raw(r#"{"a":2}"#);
        assert_eq!(find_differences(&[sent()], &[other]), ["s: input differs", "s: metadata differs"]);
    }
}
