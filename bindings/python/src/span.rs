//! A span, as Python sees it.

use std::sync::atomic::{AtomicU64, Ordering};

use endspan::{RawSpan, SpanType, Status, Timestamp, Tracer};
use pyo3::exceptions::{PyException, PyGeneratorExit, PySystemExit};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

use crate::clock;
use crate::payloads::{self, Payloads};
use crate::tracer::{PyTrace, PyTracer};

/// A start holds input and data only up to this size, and only if they are plain, unless an exporter writes starts. It
/// is there for the case that this process dies.
pub(crate) const START_PAYLOAD_BYTES: usize = 1024;

/// Forks that this process came from.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// The methods of the context variable that holds the current span.
struct Current {
    get: Py<PyAny>,
    set: Py<PyAny>,
    reset: Py<PyAny>,
}

static CURRENT: PyOnceLock<Current> = PyOnceLock::new();

fn current(py: Python<'_>) -> PyResult<&'static Current> {
    CURRENT.get_or_try_init(py, || {
        let keywords = PyDict::new(py);
        keywords.set_item("default", py.None())?;
        let variable =
            py.import("contextvars")?.getattr("ContextVar")?.call(("endspan_span",), Some(&keywords))?;
        Ok(Current {
            get: variable.getattr("get")?.unbind(),
            set: variable.getattr("set")?.unbind(),
            reset: variable.getattr("reset")?.unbind(),
        })
    })
}

/// Returns the span that is current in this context, or `None`.
#[pyfunction]
pub(crate) fn current_span(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    current(py)?.get.bind(py).call0()
}

/// Makes a span (or `None`) current in this context; returns the token for `_reset_current`.
#[pyfunction]
pub(crate) fn set_current<'py>(py: Python<'py>, span: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    current(py)?.set.bind(py).call1((span,))
}

/// Says that this process was just forked.
#[pyfunction]
pub(crate) fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    crate::host_log::forked();
}

/// An id: a new one in place, any other on the heap.
#[derive(Clone)]
enum Id {
    Uuid([u8; 36]),
    Text(Box<str>),
}

impl Id {
    fn as_str(&self) -> &str {
        match self {
            Self::Uuid(text) => std::str::from_utf8(text).unwrap_or_default(),
            Self::Text(text) => text,
        }
    }
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
}

impl PySpan {
    pub(crate) fn new(trace: &Bound<'_, PyTrace>, mut arguments: Arguments) -> Self {
        let py = trace.py();
        let inner = trace.get();
        let noop = inner.is_noop_trace();
        if arguments.task_id.is_none() {
            arguments.task_id = inner.task_id.as_ref().map(|task| task.clone_ref(py).into_any());
        }
        let mut span = Self {
            trace: Some(trace.clone().unbind()),
            noop,
            state: State::New,
            forks: 0,
            id: arguments.id.take().filter(|id| !id.is_empty()).map(|id| Id::Text(id.into())),
            parent_id: None,
            start: arguments.start,
            end: None,
            status: None,
            span_type: None,
            arguments,
            extra: None,
            token: None,
        };
        if let Some(span_type) = span.arguments.span_type.clone() {
            span.apply_type(py, &span_type);
        }
        span
    }

    fn apply_type(&mut self, py: Python<'_>, span_type: &str) {
        self.span_type = SpanType::from_name(span_type);
        self.put(py, "__span_type__", PyString::new(py, span_type).as_any());
    }

    /// Adds a member to the data.
    fn put(&mut self, py: Python<'_>, key: &str, value: &Bound<'_, PyAny>) {
        if self.noop {
            return;
        }
        let extra = self.extra.get_or_insert_with(|| PyDict::new(py).unbind());
        // A key that is a text always goes in; only memory could run out.
        let _ = extra.bind(py).set_item(key, value);
    }

    fn put_error(&mut self, py: Python<'_>, error_type: &str, message: &str) {
        let error = PyDict::new(py);
        // As above.
        let _ = error.set_item("type", error_type);
        let _ = error.set_item("message", message);
        self.put(py, "__error__", error.as_any());
    }

    /// Finds the parent that was given, or the current span if it is of the same trace.
    fn find_parent(&self, py: Python<'_>) -> Option<Id> {
        if let Some(parent) = &self.arguments.parent {
            let parent = parent.bind(py);
            if let Ok(span) = parent.cast::<PySpan>() {
                return span.try_borrow().ok().and_then(|span| span.id.clone());
            }
            return payloads::text(parent).filter(|id| !id.is_empty()).map(|id| Id::Text(id.into()));
        }
        if self.arguments.root {
            return None;
        }
        let ambient = current(py).ok()?.get.bind(py).call0().ok()?;
        let ambient = ambient.cast::<PySpan>().ok()?.try_borrow().ok()?;
        let same = match (&ambient.trace, &self.trace) {
            (Some(theirs), Some(ours)) => theirs.is(ours) || theirs.get().is_same(py, ours.get()),
            _ => false,
        };
        if same { ambient.id.clone() } else { None }
    }

    /// Starts; returns whether it did.
    fn begin(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let Ok(this) = slf.try_borrow() else { return Ok(false) };
        if this.noop || this.state != State::New {
            return Ok(false);
        }
        let parent_id = this.find_parent(py);
        let Some(trace) = this.trace.as_ref().map(|trace| trace.clone_ref(py)) else { return Ok(false) };
        drop(this);
        let tracer = trace.get().tracer.get();
        let observed = tracer.observe.as_ref().and_then(|observe| observed_ids(observe.bind(py)));
        let Ok(mut this) = slf.try_borrow_mut() else { return Ok(false) };
        let start = *this.start.get_or_insert_with(Timestamp::now);
        this.id.get_or_insert_with(|| Id::Uuid(Tracer::new_id(start)));
        this.parent_id = parent_id;
        this.state = State::Open;
        this.forks = FORKS.load(Ordering::Relaxed);
        if let Some((trace_id, span_id)) = observed {
            this.put(py, "obs.trace_id", &trace_id);
            this.put(py, "obs.span_id", &span_id);
        }
        drop(this);
        if tracer.tracer.records_starts() {
            Self::write_start(slf, tracer)?;
        }
        Ok(true)
    }

    fn write_start(slf: &Bound<'_, Self>, tracer: &PyTracer) -> PyResult<()> {
        let py = slf.py();
        let Some(parts) = slf.try_borrow().ok().and_then(|this| this.parts(py)) else { return Ok(()) };
        let (input, data) = (parts.values[0].as_ref(), parts.values[2].as_ref());
        let payloads = if tracer.tracer.writes_starts() {
            Payloads::encode(py, [input, None, data, None], parts.extra.as_ref())
        } else {
            Payloads::peek(py, input, data, START_PAYLOAD_BYTES)
        };
        parts.submit(&tracer.tracer, &payloads, None);
        payloads.done(&tracer.tracer)
    }

    /// Ends: writes the span as it is now.
    fn finish(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (parts, trace, end) = {
            let Ok(mut this) = slf.try_borrow_mut() else { return Ok(()) };
            if this.state != State::Open {
                return Ok(());
            }
            this.state = State::Ended;
            let start = this.start.unwrap_or_else(Timestamp::now);
            // The clock may have been set back meanwhile, and no span ends before it starts.
            let end = *this.end.get_or_insert_with(|| Timestamp::now().max(start));
            let Some(trace) = this.trace.as_ref().map(|trace| trace.clone_ref(py)) else { return Ok(()) };
            let Some(parts) = this.parts(py) else { return Ok(()) };
            (parts, trace, end)
        };
        let tracer = &trace.get().tracer.get().tracer;
        if !tracer.is_enabled() {
            return Ok(());
        }
        let values = parts.values.each_ref().map(Option::as_ref);
        let payloads = Payloads::encode(py, values, parts.extra.as_ref());
        parts.submit(tracer, &payloads, Some(end));
        payloads.done(tracer)
    }

    /// Copies what is needed to write this span, so that it is not borrowed while code of the program runs.
    fn parts<'py>(&self, py: Python<'py>) -> Option<Parts<'py>> {
        let trace = self.trace.as_ref()?.get();
        let bound = |value: &Option<Py<PyAny>>| value.as_ref().map(|value| value.bind(py).clone());
        Some(Parts {
            id: self.id.clone()?,
            parent_id: self.parent_id.clone(),
            start: self.start?,
            status: self.status,
            span_type: self.span_type,
            name: payloads::text_of(self.arguments.name.bind(py)),
            trace_id: trace.trace_id.as_ref()?.bind(py).clone(),
            task_id: self.arguments.task_id.as_ref().and_then(|task| payloads::text_of(task.bind(py))),
            group_id: trace.group_id.as_ref().map(|group| group.bind(py).clone()),
            values: [
                bound(&self.arguments.input),
                bound(&self.arguments.output),
                bound(&self.arguments.data),
                bound(&self.arguments.expected),
            ],
            extra: self.extra.as_ref().map(|extra| extra.bind(py).clone()),
        })
    }

    fn leave_context(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let token = slf.try_borrow_mut().ok().and_then(|mut this| this.token.take());
        let (Some(token), Ok(current)) = (token, current(py)) else { return };
        // A generator may be closed in another context than the one it was entered in; there is nothing to put back
        // there, unless this span is what is current.
        if current.reset.bind(py).call1((token,)).is_err()
            && current.get.bind(py).call0().is_ok_and(|now| now.is(slf))
        {
            let _ = current.set.bind(py).call1((py.None(),));
        }
    }

    /// Records what a body raised.
    fn note_exception(slf: &Bound<'_, Self>, error: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        if let Ok(exit) = error.cast::<PySystemExit>() {
            let code = exit.getattr(intern!(py, "code"))?;
            if code.is_none() || code.extract::<i64>().is_ok_and(|code| code == 0) {
                return Ok(());
            }
        }
        let name = error.get_type().name()?.to_string_lossy().into_owned();
        let message = error.str().map(|text| text.to_string_lossy().into_owned()).unwrap_or_default();
        let cancelled = !error.is_instance_of::<PyException>()
            && (name == "CancelledError" || error.is_instance_of::<PyGeneratorExit>());
        if let Ok(mut this) = slf.try_borrow_mut() {
            this.put_error(py, &name, &message);
            if cancelled {
                this.status.get_or_insert(Status::Canceled);
            }
        }
        Ok(())
    }

    fn leave(slf: &Bound<'_, Self>, error: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::leave_context(slf);
        // A forked child that leaves its parent's scope has not ended the parent's span.
        if slf.try_borrow().is_ok_and(|this| this.forks != FORKS.load(Ordering::Relaxed)) {
            return Ok(());
        }
        if !error.is_none() {
            // A message that cannot be had is left out.
            let _ = Self::note_exception(slf, error);
        }
        Self::finish(slf)
    }

    fn enter(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if Self::begin(slf)? {
            let token = current(py)?.set.bind(py).call1((slf,))?;
            if let Ok(mut this) = slf.try_borrow_mut() {
                this.token = Some(token.unbind());
            }
        }
        Ok(())
    }
}

/// Asks for the ids of the surrounding observability trace; what it raises is its own affair.
fn observed_ids<'py>(observe: &Bound<'py, PyAny>) -> Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    observe.call0().ok()?.extract().ok()
}

/// A span apart from its object.
struct Parts<'py> {
    id: Id,
    parent_id: Option<Id>,
    start: Timestamp,
    status: Option<Status>,
    span_type: Option<SpanType>,
    name: Option<Bound<'py, PyString>>,
    trace_id: Bound<'py, PyString>,
    task_id: Option<Bound<'py, PyString>>,
    group_id: Option<Bound<'py, PyString>>,
    values: [Option<Bound<'py, PyAny>>; 4],
    extra: Option<Bound<'py, PyDict>>,
}

impl Parts<'_> {
    fn submit(&self, tracer: &Tracer, payloads: &Payloads, end: Option<Timestamp>) {
        let name = self.name.as_ref().map(payloads::lossy).unwrap_or_default();
        let task_id = self.task_id.as_ref().map(payloads::lossy);
        let group_id = self.group_id.as_ref().map(payloads::lossy);
        tracer.submit_raw(&RawSpan {
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
        });
    }
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

impl PySpan {
    /// Writes a span that was started and that nobody can end any more.
    fn abandon(&mut self) {
        if self.state != State::Open || self.forks != FORKS.load(Ordering::Relaxed) {
            return;
        }
        self.state = State::Ended;
        let _ = Python::try_attach(|py| {
            // An object may be freed while an exception is on its way.
            let pending = PyErr::take(py);
            self.put_error(py, "Abandoned", "the span was started and never ended");
            let start = self.start.unwrap_or_else(Timestamp::now);
            let end = *self.end.get_or_insert_with(|| Timestamp::now().max(start));
            if let (Some(parts), Some(trace)) = (self.parts(py), &self.trace) {
                let tracer = &trace.get().tracer.get().tracer;
                if tracer.is_enabled() {
                    let values = parts.values.each_ref().map(Option::as_ref);
                    let payloads = Payloads::encode(py, values, parts.extra.as_ref());
                    parts.submit(tracer, &payloads, Some(end));
                    // There is nobody to interrupt here.
                    let _ = payloads.done(tracer);
                }
            }
            if let Some(pending) = pending {
                pending.restore(py);
            }
        });
    }
}

impl Drop for PySpan {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// An awaitable that is ready: what `__aenter__` and `__aexit__` return. Awaiting it never leaves the running task.
#[pyclass(module = "endspan._native", frozen)]
pub(crate) struct Ready {
    value: Option<Py<PyAny>>,
}

#[pymethods]
impl Ready {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let value = self.value.as_ref().map_or_else(|| py.None(), |value| value.clone_ref(py));
        Err(pyo3::exceptions::PyStopIteration::new_err((value,)))
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
