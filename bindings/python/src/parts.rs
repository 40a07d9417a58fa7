//! What a span is written with, apart from its Python object.

use endspan::{RawSpan, RawStart, SpanType, Status, Timestamp, Tracer};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::payloads::{self, Payloads};

/// An id: a new one in place, any other on the heap.
#[derive(Clone)]
pub(crate) enum Id {
    Uuid([u8; 36]),
    Text(Box<str>),
}

impl Id {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Uuid(text) => std::str::from_utf8(text).unwrap_or_default(),
            Self::Text(text) => text,
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
    pub(crate) trace_id: Bound<'py, PyString>,
    pub(crate) task_id: Option<Bound<'py, PyString>>,
    pub(crate) group_id: Option<Bound<'py, PyString>>,
    pub(crate) values: [Option<Bound<'py, PyAny>>; 4],
    pub(crate) extra: Option<Bound<'py, PyDict>>,
}

impl Parts<'_> {
    /// Writes the span's start, for the case that this process dies, and for exporters that write starts.
    pub(crate) fn start(&self, tracer: &Tracer, payloads: &Payloads) -> RawStart {
        self.with_raw(payloads, None, |span| tracer.submit_raw_start(span))
    }

    /// Writes the span, in place of its start.
    pub(crate) fn end(&self, tracer: &Tracer, payloads: &Payloads, end: Timestamp, start: RawStart) {
        self.with_raw(payloads, Some(end), |span| tracer.submit_raw_end(span, start));
    }

    fn with_raw<T>(
        &self,
        payloads: &Payloads,
        end: Option<Timestamp>,
        submit: impl FnOnce(&RawSpan<'_>) -> T,
    ) -> T {
        let name = self.name.as_ref().map(payloads::lossy).unwrap_or_default();
        let task_id = self.task_id.as_ref().map(payloads::lossy);
        let group_id = self.group_id.as_ref().map(payloads::lossy);
        submit(&RawSpan {
            trace_id: &payloads::lossy(&self.trace_id),
            id: self.id.as_str(),
            parent_id: self.parent_id.as_ref().map(Id::as_str),
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
