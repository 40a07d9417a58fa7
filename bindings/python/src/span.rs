//! A span, as Python sees it.

use std::sync::atomic::{AtomicU64, Ordering};

use endspan::{RawStart, SpanType, Status, Timestamp};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

mod lifecycle;

use crate::clock;
use crate::parts::Id;
use crate::payloads;
use crate::ready::Ready;
use crate::tracer::PyTrace;

/// A start holds input and data only up to this size, and only if they are plain, unless an exporter writes starts. It
/// is there for the case that this process dies.
pub(crate) const START_PAYLOAD_BYTES: usize = 1024;

/// Forks that this process came from.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// Says that this process was just forked.
#[pyfunction]
pub(crate) fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    crate::host_log::forked();
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Ended,
}

/// What a span is made with.
pub(crate) struct Arguments {
    pub(crate) name: Py<PyAny>,
    pub(crate) input: Option<Py<PyAny>>,
    pub(crate) output: Option<Py<PyAny>>,
    pub(crate) data: Option<Py<PyAny>>,
    pub(crate) parent: Option<Py<PyAny>>,
    pub(crate) task_id: Option<Py<PyAny>>,
    pub(crate) span_type: Option<String>,
    pub(crate) expected: Option<Py<PyAny>>,
    pub(crate) id: Option<String>,
    pub(crate) start: Option<Timestamp>,
    pub(crate) root: bool,
}

/// A span: one step of an agent's work.
///
/// What `input`, `output` and `data` hold at its end is what is stored; nothing is copied before. Nothing here raises
/// because of tracing.
#[pyclass(name = "Span", module = "endspan", weakref)]
pub(crate) struct PySpan {
    trace: Option<Py<PyTrace>>,
    noop: bool,
    state: State,
    forks: u64,
    id: Option<Id>,
    parent_id: Option<Id>,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    status: Option<Status>,
    span_type: Option<SpanType>,
    arguments: Arguments,
    /// Members that are added to the data at the end.
    extra: Option<Py<PyDict>>,
    token: Option<Py<PyAny>>,
    /// What the pipeline holds of it until it ends.
    held: RawStart,
}

#[pymethods]
impl PySpan {
    /// What the step was given.
    #[getter]
    fn input(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.arguments.input.as_ref().map(|value| value.clone_ref(py))
    }

    #[setter]
    fn set_input(&mut self, value: Option<Py<PyAny>>) {
        self.arguments.input = value;
    }

    /// What the step gave.
    #[getter]
    fn output(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.arguments.output.as_ref().map(|value| value.clone_ref(py))
    }

    #[setter]
    fn set_output(&mut self, value: Option<Py<PyAny>>) {
        self.arguments.output = value;
    }

    /// Whatever else is worth keeping (SGP calls it metadata). Members set by `put_data`, `record_error` and `record_usage`
    /// are added at the end.
    #[getter]
    fn data(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.arguments.data.as_ref().map(|value| value.clone_ref(py))
    }

    #[setter]
    fn set_data(&mut self, value: Option<Py<PyAny>>) {
        self.arguments.data = value;
    }

    /// What the output should have been (SGP).
    #[getter]
    fn expected(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.arguments.expected.as_ref().map(|value| value.clone_ref(py))
    }

    #[setter]
    fn set_expected(&mut self, value: Option<Py<PyAny>>) {
        self.arguments.expected = value;
    }

    /// The span's name.
    #[getter]
    fn name(&self, py: Python<'_>) -> Py<PyAny> {
        self.arguments.name.clone_ref(py)
    }

    #[setter]
    fn set_name(&mut self, name: Py<PyAny>) {
        self.arguments.name = name;
    }

    /// The span's id; empty for a no-op and before the start.
    #[getter]
    fn id(&self) -> &str {
        self.id.as_ref().map_or("", Id::as_str)
    }

    /// The id of its trace; empty for a no-op.
    #[getter]
    fn trace_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        self.trace
            .as_ref()
            .and_then(|trace| trace.get().trace_id.as_ref())
            .map_or_else(|| PyString::new(py, ""), |id| id.bind(py).clone())
    }

    /// The id of its parent.
    #[getter]
    fn parent_id(&self) -> Option<&str> {
        self.parent_id.as_ref().map(Id::as_str)
    }

    /// Its trace.
    #[getter]
    fn trace(&self, py: Python<'_>) -> Option<Py<PyTrace>> {
        self.trace.as_ref().map(|trace| trace.clone_ref(py))
    }

    /// The Agentex task.
    #[getter]
    fn task_id(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.arguments.task_id.as_ref().map(|task| task.clone_ref(py))
    }

    #[setter]
    fn set_task_id(&mut self, task: Option<Py<PyAny>>) {
        self.arguments.task_id = task;
    }

    /// Whether this span goes nowhere.
    #[getter]
    const fn is_noop(&self) -> bool {
        self.noop
    }

    /// Whether it has started and not ended.
    #[getter]
    fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// When it started, in UTC.
    #[getter]
    fn start_time<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.start.map(|start| clock::to_python(py, start)).transpose()
    }

    /// When it ended, in UTC. An end that is set beforehand is kept.
    #[getter]
    fn end_time<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.end.map(|end| clock::to_python(py, end)).transpose()
    }

    #[setter]
    fn set_end_time(&mut self, end: Option<&Bound<'_, PyAny>>) {
        self.end = end.and_then(clock::from_python);
    }

    /// How the work ended: `SUCCESS`, `ERROR`, `CANCELED`. Without, an error if one is recorded, else success.
    #[getter]
    fn status(&self) -> Option<&'static str> {
        self.status.map(Status::as_str)
    }

    #[setter]
    fn set_status(&mut self, status: Option<&Bound<'_, PyAny>>) {
        self.status = status
            .and_then(payloads::text)
            .and_then(|status| Status::from_name(&status.to_ascii_uppercase()));
    }

    /// What kind of work it is, for example `COMPLETION` or `AGENT_TOOL`.
    #[getter]
    fn span_type(&self) -> Option<&str> {
        self.arguments.span_type.as_deref()
    }

    #[setter]
    fn set_span_type(&mut self, py: Python<'_>, span_type: Option<&Bound<'_, PyAny>>) {
        if let Some(span_type) = span_type.and_then(payloads::text) {
            self.apply_type(py, &span_type);
            self.arguments.span_type = Some(span_type);
        }
    }

    /// Starts the span without making it current. Returns it.
    fn start<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        Self::begin(slf)?;
        Ok(slf.clone())
    }

    /// Ends the span. What it holds now is what is stored; a second end does nothing.
    #[pyo3(name = "end", signature = (end_time=None))]
    fn end_now(slf: &Bound<'_, Self>, end_time: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        if let Some(end) = end_time.and_then(clock::from_python)
            && let Ok(mut this) = slf.try_borrow_mut()
        {
            this.end = Some(end);
        }
        Self::begin(slf)?;
        Self::leave_context(slf);
        Self::finish(slf)
    }

    /// Sets one member of the data; it goes over one of the same name there.
    fn put_data(&mut self, py: Python<'_>, key: &str, value: &Bound<'_, PyAny>) {
        self.put(py, key, value);
    }

    /// Records an error under `__error__` in the data: an exception, or the name of a type and a message.
    #[pyo3(signature = (error, message=None))]
    fn record_error(slf: &Bound<'_, Self>, error: &Bound<'_, PyAny>, message: Option<&Bound<'_, PyAny>>) {
        let recorded = match (error.cast::<PyString>(), message) {
            (Ok(name), message) => {
                let message = message.and_then(payloads::text).unwrap_or_default();
                if let Ok(mut this) = slf.try_borrow_mut() {
                    this.put_error(slf.py(), &payloads::lossy(name), &message);
                }
                Ok(())
            }
            _ => Self::note_exception(slf, error),
        };
        // An error that cannot say what it is.
        drop(recorded);
    }

    /// Records what a turn used, for billing: `data.usage` and `data.cost_usd`.
    ///
    /// `usage` is a mapping of a provider, or a model or dataclass with the same fields; a `cost_usd` in a model is
    /// lifted out, one that is given here wins.
    #[pyo3(signature = (usage=None, cost_usd=None))]
    fn record_usage(
        slf: &Bound<'_, Self>,
        usage: Option<&Bound<'_, PyAny>>,
        cost_usd: Option<&Bound<'_, PyAny>>,
    ) {
        let py = slf.py();
        let data = slf
            .try_borrow()
            .ok()
            .and_then(|this| this.arguments.data.as_ref().map(|data| data.clone_ref(py)));
        let split = py
            .import("endspan._usage")
            .and_then(|module| module.call_method1("split", (usage, cost_usd, data)))
            .and_then(|split| split.extract::<(Option<Py<PyAny>>, Option<Py<PyAny>>, bool)>());
        let (Ok((usage, cost, replace)), Ok(mut this)) = (split, slf.try_borrow_mut()) else { return };
        if replace {
            this.arguments.data = None;
        }
        for (key, value) in [("usage", usage), ("cost_usd", cost)] {
            if let Some(value) = value {
                this.put(py, key, value.bind(py));
            }
        }
    }

    fn __enter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        Self::enter(slf)?;
        Ok(slf.clone())
    }

    #[pyo3(signature = (_kind, error, _traceback))]
    fn __exit__(
        slf: &Bound<'_, Self>,
        _kind: &Bound<'_, PyAny>,
        error: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        Self::leave(slf, error)?;
        Ok(false)
    }

    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Ready>> {
        Self::enter(slf)?;
        Bound::new(slf.py(), Ready { value: Some(slf.clone().into_any().unbind()) })
    }

    #[pyo3(signature = (_kind, error, _traceback))]
    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        _kind: &Bound<'py, PyAny>,
        error: &Bound<'py, PyAny>,
        _traceback: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Ready>> {
        Self::leave(slf, error)?;
        Bound::new(slf.py(), Ready { value: None })
    }

    /// Decorates a function, a coroutine function or a generator: each call is a span like this one.
    fn __call__<'py>(slf: &Bound<'py, Self>, function: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("endspan._decorator")?.call_method1("decorate", (slf, function))
    }

    /// Returns a span like this one that has not started.
    fn _again<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let py = slf.py();
        let this = slf.try_borrow()?;
        let Some(trace) = this.trace.as_ref().map(|trace| trace.bind(py).clone()) else {
            return Ok(slf.clone());
        };
        let copy = |value: &Option<Py<PyAny>>| value.as_ref().map(|value| value.clone_ref(py));
        let arguments = Arguments {
            name: this.arguments.name.clone_ref(py),
            input: copy(&this.arguments.input),
            output: copy(&this.arguments.output),
            data: copy(&this.arguments.data),
            parent: copy(&this.arguments.parent),
            task_id: copy(&this.arguments.task_id),
            span_type: this.arguments.span_type.clone(),
            expected: copy(&this.arguments.expected),
            id: None,
            start: None,
            root: this.arguments.root,
        };
        drop(this);
        Bound::new(py, Self::new(&trace, arguments))
    }

    /// Begins a child of this span.
    #[pyo3(signature = (name, **keywords))]
    fn span<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let all = match keywords {
            Some(keywords) => keywords.copy()?,
            None => PyDict::new(py),
        };
        if !all.contains("parent")? {
            all.set_item("parent", slf)?;
        }
        let trace = slf.try_borrow()?.trace.as_ref().map(|trace| trace.clone_ref(py));
        match trace {
            Some(trace) => trace.bind(py).call_method("span", (name,), Some(&all)),
            None => Ok(py.None().into_bound(py)),
        }
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let name = payloads::text(self.arguments.name.bind(py)).unwrap_or_default();
        let state = match self.state {
            _ if self.noop => "no-op",
            State::New => "not started",
            State::Open => "open",
            State::Ended => "ended",
        };
        format!("<endspan span {name:?} {} ({state})>", self.id())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let arguments = &self.arguments;
        visit.call(&arguments.name)?;
        for value in [
            &arguments.input,
            &arguments.output,
            &arguments.data,
            &arguments.parent,
            &arguments.task_id,
            &arguments.expected,
            &self.token,
        ] {
            visit.call(value)?;
        }
        visit.call(&self.trace)?;
        visit.call(&self.extra)
    }

    fn __clear__(&mut self) {
        // The collector found that nobody can end this span any more.
        self.abandon();
        self.arguments.input = None;
        self.arguments.output = None;
        self.arguments.data = None;
        self.arguments.parent = None;
        self.arguments.expected = None;
        self.extra = None;
        self.token = None;
    }
}

impl Drop for PySpan {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// Ends every open span among some objects; for the end of the interpreter. Returns how many there were.
#[pyfunction]
pub(crate) fn end_open_spans(objects: &Bound<'_, PyAny>) -> PyResult<u64> {
    let py = objects.py();
    let mut count = 0;
    for object in objects.try_iter()? {
        let object = object?;
        let Ok(span) = object.cast_into::<PySpan>() else { continue };
        let Ok(mut this) = span.try_borrow_mut() else { continue };
        if this.state != State::Open || this.forks != FORKS.load(Ordering::Relaxed) {
            continue;
        }
        this.put_error(py, "Interrupted", "the process ended before the span did");
        drop(this);
        count += 1;
        // Nothing is left to interrupt.
        let _ = PySpan::finish(&span);
    }
    Ok(count)
}
