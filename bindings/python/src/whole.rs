//! Whole spans of other tracers, handed over in one call.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use endspan::{RawSpan, RawStart, SpanType, Status, Timestamp, Tracer};
use pyo3::prelude::*;

use crate::payloads::{self, Payloads};
use crate::span::START_PAYLOAD_BYTES;
use crate::tracer::PyTracer;

/// What the pipeline holds of spans that have started, by their ids: no more than it has places for.
///
/// Locked with the GIL held and for moments only, so that no fork finds it locked.
#[derive(Default)]
pub(crate) struct Starts(Mutex<HashMap<Box<str>, RawStart>>);

impl Starts {
    /// Hands over a start, once for each span: a second one would be of no use to whoever reads it after a crash.
    fn begin(&self, tracer: &Tracer, span: &RawSpan<'_>) {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(span.id) {
            return;
        }
        let start = tracer.submit_raw_start(span);
        if start.is_held() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(span.id.into(), start);
        }
    }

    /// Hands over an end, in place of what is held of the span.
    fn end(&self, tracer: &Tracer, span: &RawSpan<'_>) {
        let start = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(span.id);
        tracer.submit_raw_end(span, start.unwrap_or_default());
    }
}

/// Returns whether a pipeline has a use for starts or ends.
pub(crate) fn is_wanted(tracer: &Tracer, ended: bool) -> bool {
    tracer.is_enabled() && (ended || tracer.records_starts())
}

/// A span of another tracer, as Python has it.
pub(crate) struct Whole<'a, 'py> {
    pub(crate) id: &'a Bound<'py, PyAny>,
    pub(crate) trace_id: &'a Bound<'py, PyAny>,
    pub(crate) name: Option<&'a Bound<'py, PyAny>>,
    pub(crate) start: Option<Timestamp>,
    pub(crate) end: Option<Timestamp>,
    pub(crate) parent_id: Option<&'a Bound<'py, PyAny>>,
    pub(crate) task_id: Option<&'a Bound<'py, PyAny>>,
    pub(crate) group_id: Option<&'a Bound<'py, PyAny>>,
    pub(crate) status: Option<&'a str>,
    pub(crate) span_type: Option<&'a str>,
    /// Input, output, data and expected.
    pub(crate) values: [Option<&'a Bound<'py, PyAny>>; 4],
}

impl Whole<'_, '_> {
    /// Encodes the payloads and hands the span over. One without an id or a trace is left out.
    pub(crate) fn submit(&self, to: &PyTracer) -> PyResult<()> {
        let (py, tracer) = (self.id.py(), &to.tracer);
        let (Some(id), Some(trace_id)) = (payloads::text_of(self.id), payloads::text_of(self.trace_id))
        else {
            return Ok(());
        };
        let (id, trace_id) = (payloads::lossy(&id), payloads::lossy(&trace_id));
        if id.is_empty() || trace_id.is_empty() {
            return Ok(());
        }
        let others = [self.name, self.parent_id, self.task_id, self.group_id];
        let others = others.map(|value| value.and_then(payloads::text_of));
        let [name, parent_id, task_id, group_id] =
            others.each_ref().map(|text| text.as_ref().map(payloads::lossy));
        let encoded = if self.end.is_none() && !tracer.writes_starts() {
            Payloads::peek(py, self.values[0], self.values[2], START_PAYLOAD_BYTES)
        } else {
            Payloads::encode(py, self.values, None)
        };
        let span = RawSpan {
            trace_id: &trace_id,
            id: &id,
            parent_id: parent_id.as_deref().filter(|id| !id.is_empty()),
            name: name.as_deref().unwrap_or_default(),
            start: self.start.unwrap_or_else(Timestamp::now),
            end: self.end,
            status: self.status.and_then(Status::from_name),
            span_type: self.span_type.and_then(SpanType::from_name),
            task_id: task_id.as_deref(),
            group_id: group_id.as_deref(),
            input: encoded.get(0),
            output: encoded.get(1),
            data: encoded.get(2),
            expected: encoded.get(3),
        };
        if self.end.is_some() {
            to.starts.end(tracer, &span)
        } else {
            to.starts.begin(tracer, &span)
        }
        encoded.done(py, tracer)
    }
}
