//! W3C trace context, as Python sees it.

use endspan::TraceContext;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::context;
use crate::payloads;
use crate::span::PySpan;

/// A span as other processes know it: what the headers `traceparent` and `tracestate` say.
///
/// Where the other side is endspan too, its ids arrive as they are; any other side sees ids that it understands, and hands
/// ours on.
#[pyclass(name = "TraceContext", module = "endspan", frozen, eq, hash, skip_from_py_object)]
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct PyTraceContext {
    pub(crate) context: TraceContext,
}

impl PyTraceContext {
    /// Reads headers; what they raise is of no use to anybody.
    pub(crate) fn read(headers: &Bound<'_, PyAny>) -> Option<Self> {
        extract(headers).ok().flatten()
    }
}

#[pymethods]
impl PyTraceContext {
    /// Makes the context of a span by its ids, which are any text that is not empty.
    #[new]
    fn new(trace_id: &str, span_id: &str) -> PyResult<Self> {
        let context = TraceContext::new(trace_id, span_id);
        let context =
            context.ok_or_else(|| PyValueError::new_err("trace_id and span_id must not be empty"))?;
        Ok(Self { context })
    }

    /// Reads the headers of a request: a mapping, or pairs of a name and a value, `str` or `bytes`; case does not matter.
    /// `None` without a valid `traceparent`. Never raises.
    #[staticmethod]
    fn extract(headers: &Bound<'_, PyAny>) -> Option<Self> {
        Self::read(headers)
    }

    /// Reads the texts of the two headers. `None` if `traceparent` is not valid.
    #[staticmethod]
    #[pyo3(signature = (traceparent, tracestate=""))]
    fn parse(traceparent: &str, tracestate: &str) -> Option<Self> {
        TraceContext::parse(traceparent, tracestate).map(|context| Self { context })
    }

    /// The context of a span that has started; `None` for a no-op, and before its start.
    #[staticmethod]
    fn of(span: &Bound<'_, PySpan>) -> Option<Self> {
        span.try_borrow().ok()?.trace_context(span.py()).map(|context| Self { context })
    }

    /// The context of the current span; `None` without one.
    #[staticmethod]
    fn current(py: Python<'_>) -> Option<Self> {
        let span = context::current(py).ok()?.get(py).ok()?;
        Self::of(span.cast::<PySpan>().ok()?)
    }

    /// Writes the two headers into a mapping, in place of those that are there. Returns the mapping.
    fn inject<'py>(&self, headers: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        headers.set_item("traceparent", self.context.traceparent())?;
        let state = self.context.tracestate();
        if !state.is_empty() {
            headers.set_item("tracestate", state)?;
        } else if headers.contains("tracestate")? {
            headers.del_item("tracestate")?;
        }
        Ok(headers.clone())
    }

    /// The id of the trace.
    #[getter]
    fn trace_id(&self) -> &str {
        self.context.trace_id()
    }

    /// The id of the span.
    #[getter]
    fn span_id(&self) -> &str {
        self.context.span_id()
    }

    /// Whether the caller samples the trace. endspan keeps every span either way, and passes it on.
    #[getter]
    const fn is_sampled(&self) -> bool {
        self.context.is_sampled()
    }

    /// The text of `traceparent`.
    #[getter]
    fn traceparent(&self) -> String {
        self.context.traceparent()
    }

    /// The text of `tracestate`; empty: there is none.
    #[getter]
    fn tracestate(&self) -> String {
        self.context.tracestate()
    }

    fn __repr__(&self) -> String {
        format!("<endspan trace context {}>", self.context.traceparent())
    }
}

/// Finds the two headers. More than one `traceparent` is none; `tracestate` may come in parts.
fn extract(headers: &Bound<'_, PyAny>) -> PyResult<Option<PyTraceContext>> {
    let pairs = if headers.hasattr("items")? { headers.call_method0("items")? } else { headers.clone() };
    let (mut parent, mut state) = (None, String::new());
    for pair in pairs.try_iter()? {
        let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair?.extract()?;
        let Some(name) = text(&name) else { continue };
        if name.eq_ignore_ascii_case("traceparent") {
            let Some(value) = text(&value) else { return Ok(None) };
            if parent.replace(value).is_some() {
                return Ok(None);
            }
        } else if name.eq_ignore_ascii_case("tracestate")
            && let Some(value) = text(&value)
        {
            if !state.is_empty() {
                state.push(',');
            }
            state.push_str(&value);
        }
    }
    let context = parent.and_then(|parent| TraceContext::parse(&parent, &state));
    Ok(context.map(|context| PyTraceContext { context }))
}

fn text(value: &Bound<'_, PyAny>) -> Option<String> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return std::str::from_utf8(bytes.as_bytes()).ok().map(str::to_owned);
    }
    value.cast::<PyString>().ok().map(|text| payloads::lossy(text).into_owned())
}
