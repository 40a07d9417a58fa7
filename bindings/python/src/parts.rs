//! What a span is written with, apart from its Python object.

use endspan::{RawSpan, SpanType, Status, Timestamp, Tracer};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::payloads::{self, Payloads};
use crate::tracer::PyTrace;

/// An id: a new one in place, any other on the heap.
#[derive(Clone)]
pub(crate) struct Id(Text);

#[derive(Clone)]
enum Text {
    /// As [`Tracer::new_id`] made it: ASCII.
    New([u8; 36]),
    Given(Box<str>),
}

impl Id {
    /// Makes a new id.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self(Text::New(Tracer::new_id(now)))
    }

    pub(crate) fn given(id: impl Into<Box<str>>) -> Self {
        Self(Text::Given(id.into()))
    }

    #[inline]
    pub(crate) fn as_str(&self) -> &str {
        match &self.0 {
            // SAFETY: digits and hyphens are all that `Tracer::new_id` writes.
            Text::New(text) => unsafe { std::str::from_utf8_unchecked(text) },
            Text::Given(text) => text,
        }
    }
}

/// A span apart from its object.
pub(crate) struct Parts<'py> {
    pub(crate) id: Id,
    pub(crate) parent_id: Option<Id>,
    pub(crate) start: Timestamp,
    pub(crate) status: Option<Status>,
    pub(crate) span_type: Option<SpanType>,
    pub(crate) name: Option<Bound<'py, PyString>>,
    pub(crate) task_id: Option<Bound<'py, PyString>>,
    pub(crate) trace: Bound<'py, PyTrace>,
    pub(crate) values: [Option<Bound<'py, PyAny>>; 4],
    pub(crate) extra: Option<Bound<'py, PyDict>>,
}

impl Parts<'_> {
    /// Returns what is written besides payloads.
    pub(crate) fn head(&self) -> Head<'_, '_> {
        Head {
            id: &self.id,
            parent_id: self.parent_id.as_ref(),
            start: self.start,
            status: self.status,
            span_type: self.span_type,
            name: self.name.as_ref(),
            task_id: self.task_id.as_ref(),
            trace: &self.trace,
        }
    }
}

/// What is written of a span besides its payloads.
pub(crate) struct Head<'a, 'py> {
    pub(crate) id: &'a Id,
    pub(crate) parent_id: Option<&'a Id>,
    pub(crate) start: Timestamp,
    pub(crate) status: Option<Status>,
    pub(crate) span_type: Option<SpanType>,
    pub(crate) name: Option<&'a Bound<'py, PyString>>,
    pub(crate) task_id: Option<&'a Bound<'py, PyString>>,
    pub(crate) trace: &'a Bound<'py, PyTrace>,
}

impl Head<'_, '_> {
    /// Calls `submit` with the span as the pipeline takes it.
    pub(crate) fn with_raw<T>(
        &self,
        payloads: &Payloads,
        end: Option<Timestamp>,
        submit: impl FnOnce(&RawSpan<'_>) -> T,
    ) -> T {
        let (py, trace) = (self.trace.py(), self.trace.get());
        let name = self.name.map(payloads::lossy).unwrap_or_default();
        let trace_id = trace.trace_id.as_ref().map(|id| payloads::lossy(id.bind(py))).unwrap_or_default();
        let task_id = self.task_id.map(payloads::lossy);
        let group_id = trace.group_id.as_ref().map(|id| payloads::lossy(id.bind(py)));
        submit(&RawSpan {
            trace_id: &trace_id,
            id: self.id.as_str(),
            parent_id: self.parent_id.map(Id::as_str),
            name: &name,
            start: self.start,
            end,
            status: self.status,
            span_type: self.span_type,
            task_id: task_id.as_deref(),
            group_id: group_id.as_deref(),
            input: payloads.get(0),
            output: payloads.get(1),
            data: payloads.get(2),
            expected: payloads.get(3),
        })
    }
}
