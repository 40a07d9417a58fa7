//! The tracer and its traces, as Python sees them.

use std::time::Duration;

use endspan::{Timestamp, TraceContext, Tracer};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::exporters::PyExporter;
use crate::observed::Observer;
use crate::payloads;
use crate::span::{Arguments, PySpan};
use crate::trace_context::PyTraceContext;
use crate::whole::{self, Starts, Whole};
use crate::{clock, model, report};

/// The pipeline behind `endspan.Tracer`.
#[pyclass(name = "Tracer", module = "endspan._native", subclass, frozen, weakref)]
pub(crate) struct PyTracer {
    pub(crate) tracer: Tracer,
    pub(crate) observer: Option<Observer>,
    /// Of spans of other tracers.
    pub(crate) starts: Starts,
}

/// Reads seconds that Python gave; what is no time is none.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::from_secs(u64::from(u32::MAX)))
}

/// Calls a setter of the builder for each argument that is given.
macro_rules! set {
    ($builder:ident, $($value:expr => $setter:ident),* $(,)?) => {
        $(if let Some(value) = $value { $builder = $builder.$setter(value); })*
    };
}

#[pymethods]
impl PyTracer {
    #[new]
    #[pyo3(signature = (
        exporters=None, *, batch_size=None, batch_bytes=None, linger_ms=None, max_queue_size=None, max_attempts=None,
        concurrency=None, start_delay_ms=None, every_start=false, export_timeout_ms=None, max_age_s=None,
        queue_bytes=None, spool=None, spool_dir=None, spool_bytes=None, shutdown_timeout=None, older_profile=false,
        observe=None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords")]
    fn new(
        py: Python<'_>,
        exporters: Option<Vec<Bound<'_, PyExporter>>>,
        batch_size: Option<usize>,
        batch_bytes: Option<usize>,
        linger_ms: Option<u64>,
        max_queue_size: Option<usize>,
        max_attempts: Option<u32>,
        concurrency: Option<usize>,
        start_delay_ms: Option<u64>,
        every_start: bool,
        export_timeout_ms: Option<u64>,
        max_age_s: Option<u64>,
        queue_bytes: Option<u64>,
        spool: Option<bool>,
        spool_dir: Option<std::path::PathBuf>,
        spool_bytes: Option<u64>,
        shutdown_timeout: Option<f64>,
        older_profile: bool,
        observe: Option<(Vec<Py<PyString>>, Py<PyAny>)>,
    ) -> Self {
        let mut builder = Tracer::builder();
        match exporters {
            None => builder = builder.exporters_from_env(),
            Some(exporters) => {
                for exporter in exporters {
                    builder = builder.shared_exporter(std::sync::Arc::clone(&exporter.get().exporter));
                }
            }
        }
        set!(
            builder,
            batch_size => batch_size,
            batch_bytes => batch_bytes,
            linger_ms.map(Duration::from_millis) => linger,
            max_queue_size => max_queue_size,
            max_attempts => max_attempts,
            concurrency => concurrency,
            start_delay_ms.map(Duration::from_millis) => start_delay,
            export_timeout_ms.map(Duration::from_millis) => export_timeout,
            max_age_s.map(Duration::from_secs) => max_age,
            queue_bytes => queue_bytes,
            spool => spool,
            spool_dir => spool_directory,
            spool_bytes => spool_bytes,
            shutdown_timeout.map(seconds) => shutdown_timeout,
        );
        if every_start {
            builder = builder.every_start();
        }
        if older_profile {
            builder = builder.older_profile();
        }
        let observer = observe.map(|(modules, read)| Observer::new(modules, read));
        Self { tracer: py.detach(|| builder.build()), observer, starts: Starts::default() }
    }

    /// Returns a trace by its id. `None` and an empty id give a no-op.
    #[pyo3(signature = (trace_id=None, *, task_id=None, group_id=None))]
    fn trace(
        slf: &Bound<'_, Self>,
        trace_id: Option<&Bound<'_, PyAny>>,
        task_id: Option<&Bound<'_, PyAny>>,
        group_id: Option<&Bound<'_, PyAny>>,
    ) -> PyTrace {
        let trace_id = trace_id.and_then(payloads::text_of).filter(|id| !is_empty(id));
        PyTrace {
            tracer: slf.clone().unbind(),
            trace_id: trace_id.map(Bound::unbind),
            task_id: task_id.and_then(payloads::text_of).map(Bound::unbind),
            group_id: group_id.and_then(payloads::text_of).map(Bound::unbind),
            remote: None,
        }
    }

    /// Returns the trace that another process began: its spans stand below the caller's where no span of this process is
    /// nearer. `caller` is a `TraceContext`, or the headers of a request. Without a valid `traceparent` a new trace.
    #[pyo3(signature = (caller=None, *, task_id=None, group_id=None))]
    fn continue_trace(
        slf: &Bound<'_, Self>,
        caller: Option<&Bound<'_, PyAny>>,
        task_id: Option<&Bound<'_, PyAny>>,
        group_id: Option<&Bound<'_, PyAny>>,
    ) -> PyTrace {
        let context = caller.and_then(|caller| match caller.cast::<PyTraceContext>() {
            Ok(context) => Some(context.get().context.clone()),
            Err(_) => PyTraceContext::read(caller).map(|context| context.context),
        });
        let Some(context) = context else { return Self::new_trace(slf, task_id, group_id) };
        let trace_id = PyString::new(slf.py(), context.trace_id());
        let trace = Self::trace(slf, Some(trace_id.as_any()), task_id, group_id);
        PyTrace { remote: Some(Box::new(context)), ..trace }
    }

    /// Returns a trace with a new id.
    #[pyo3(signature = (*, task_id=None, group_id=None))]
    fn new_trace(
        slf: &Bound<'_, Self>,
        task_id: Option<&Bound<'_, PyAny>>,
        group_id: Option<&Bound<'_, PyAny>>,
    ) -> PyTrace {
        let id = PyString::new(slf.py(), &new_id());
        Self::trace(slf, Some(id.as_any()), task_id, group_id)
    }

    /// Hands over a whole span of another tracer: with an end time as an end, else as a start. Never raises.
    ///
    /// Times are `datetime` or seconds since the Unix epoch.
    #[pyo3(signature = (
        *, id, trace_id, name, start_time, end_time=None, parent_id=None, input=None, output=None, data=None,
        expected=None, task_id=None, group_id=None, status=None, span_type=None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords")]
    fn submit(
        &self,
        id: &Bound<'_, PyAny>,
        trace_id: &Bound<'_, PyAny>,
        name: &Bound<'_, PyAny>,
        start_time: &Bound<'_, PyAny>,
        end_time: Option<&Bound<'_, PyAny>>,
        parent_id: Option<&Bound<'_, PyAny>>,
        input: Option<&Bound<'_, PyAny>>,
        output: Option<&Bound<'_, PyAny>>,
        data: Option<&Bound<'_, PyAny>>,
        expected: Option<&Bound<'_, PyAny>>,
        task_id: Option<&Bound<'_, PyAny>>,
        group_id: Option<&Bound<'_, PyAny>>,
        status: Option<&str>,
        span_type: Option<&str>,
    ) -> PyResult<()> {
        if !whole::is_wanted(&self.tracer, end_time.is_some()) {
            return Ok(());
        }
        Whole {
            id,
            trace_id,
            name: Some(name),
            start: clock::from_python(start_time),
            end: end_time.map(|end| clock::from_python(end).unwrap_or_else(Timestamp::now)),
            parent_id,
            task_id,
            group_id,
            status,
            span_type,
            values: [input, output, data, expected],
        }
        .submit(self)
    }

    /// Hands over a span that is a pydantic model with the fields of agentex-sdk's `Span`: as an end, or as a start.
    fn submit_model(&self, span: &Bound<'_, PyAny>, ended: bool) -> PyResult<()> {
        model::submit(self, span, ended)
    }

    /// Delivers what ended until now; waits at most `timeout` seconds.
    #[pyo3(signature = (timeout=30.0))]
    fn _flush<'py>(&self, py: Python<'py>, timeout: f64) -> PyResult<Bound<'py, PyDict>> {
        let done = py.detach(|| self.tracer.flush(seconds(timeout)));
        report::report(py, &done)
    }

    /// Delivers what is there, and ends.
    #[pyo3(signature = (timeout=None))]
    fn _shutdown<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyDict>> {
        let done = py.detach(|| match timeout {
            Some(timeout) => self.tracer.shutdown_within(seconds(timeout)),
            None => self.tracer.shutdown(),
        });
        report::report(py, &done)
    }

    /// The same for the end of a process: what cannot be delivered now may stay in the spool at once.
    fn _shutdown_at_exit<'py>(&self, py: Python<'py>, timeout: f64) -> PyResult<Bound<'py, PyDict>> {
        let done = py.detach(|| self.tracer.shutdown_at_exit(seconds(timeout)));
        report::report(py, &done)
    }

    /// Returns how things are right now.
    fn _stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        report::stats(py, &self.tracer.stats())
    }

    /// Keeps, or no longer keeps, what `_take_activity` returns.
    fn _watch_activity(&self, wanted: bool) {
        self.tracer.watch_activity(wanted);
    }

    /// Returns what the pipeline did since the last call.
    fn _take_activity<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        report::activity(py, &self.tracer.take_activity())
    }

    /// Whether spans go anywhere.
    #[getter]
    fn enabled(&self) -> bool {
        self.tracer.is_enabled()
    }
}

fn is_empty(text: &Bound<'_, PyString>) -> bool {
    text.len().is_ok_and(|len| len == 0)
}

/// Returns a new id.
pub(crate) fn new_id() -> String {
    String::from_utf8_lossy(&Tracer::new_id(Timestamp::now())).into_owned()
}

/// A trace: where spans are made. One with an empty id is a no-op.
#[pyclass(name = "Trace", module = "endspan", frozen)]
pub(crate) struct PyTrace {
    pub(crate) tracer: Py<PyTracer>,
    pub(crate) trace_id: Option<Py<PyString>>,
    pub(crate) task_id: Option<Py<PyString>>,
    pub(crate) group_id: Option<Py<PyString>>,
    /// Where the trace comes from, if another process began it.
    pub(crate) remote: Option<Box<TraceContext>>,
}

#[pymethods]
impl PyTrace {
    /// The trace's id; empty for a no-op.
    #[getter]
    fn id<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        self.trace_id.as_ref().map_or_else(|| PyString::new(py, ""), |id| id.bind(py).clone())
    }

    /// Whether spans of this trace go nowhere.
    #[getter]
    const fn is_noop(&self) -> bool {
        self.trace_id.is_none()
    }

    /// The tracer that it belongs to.
    #[getter]
    fn tracer(&self, py: Python<'_>) -> Py<PyTracer> {
        self.tracer.clone_ref(py)
    }

    /// Makes a span, which starts with `with`, `async with`, a call of a function that it decorates, or `start()`.
    ///
    /// Its parent is `parent` (a span or an id), else the span that is current if it is of the same trace, else the span of
    /// another process that the trace goes on from. `root=True`: none.
    #[pyo3(signature = (
        name, *, input=None, output=None, data=None, parent=None, task_id=None, span_type=None, expected=None, id=None,
        start_time=None, root=false,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords")]
    fn span<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        input: Option<Py<PyAny>>,
        output: Option<Py<PyAny>>,
        data: Option<Py<PyAny>>,
        parent: Option<Py<PyAny>>,
        task_id: Option<Py<PyAny>>,
        span_type: Option<&Bound<'_, PyAny>>,
        expected: Option<Py<PyAny>>,
        id: Option<&Bound<'_, PyAny>>,
        start_time: Option<&Bound<'_, PyAny>>,
        root: bool,
    ) -> PyResult<Bound<'py, PySpan>> {
        let arguments = Arguments {
            name: name.clone().unbind(),
            input,
            output,
            data,
            parent,
            task_id,
            span_type: span_type.and_then(payloads::text),
            expected,
            id: id.and_then(payloads::text),
            start: start_time.and_then(clock::from_python),
            root,
        };
        Bound::new(slf.py(), PySpan::new(slf, arguments))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("<endspan trace {:?}>", self.id(py).to_string_lossy())
    }
}

impl PyTrace {
    pub(crate) const fn is_noop_trace(&self) -> bool {
        self.trace_id.is_none()
    }

    /// Returns whether another handle is of the same trace.
    pub(crate) fn is_same(&self, py: Python<'_>, other: &Self) -> bool {
        match (&self.trace_id, &other.trace_id) {
            (Some(ours), Some(theirs)) => {
                self.tracer.is(&other.tracer) && ours.bind(py).as_any().eq(theirs.bind(py)).unwrap_or(false)
            }
            _ => false,
        }
    }
}
