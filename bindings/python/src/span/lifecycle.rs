//! How a span starts, ends, and is given up.

use std::sync::atomic::Ordering;

use endspan::{RawStart, SpanType, Status, TraceContext, Tracer};
use pyo3::exceptions::{PyException, PyGeneratorExit, PySystemExit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::{Arguments, FORKS, PySpan, START_PAYLOAD_BYTES, State};
use crate::context::current;
use crate::parts::{Head, Id, Parts};
use crate::payloads::{self, Payloads};
use crate::tracer::{PyTrace, PyTracer};

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
            id: arguments.id.take().filter(|id| !id.is_empty()).map(Id::given),
            parent_id: None,
            start: arguments.start,
            end: None,
            status: None,
            span_type: None,
            arguments,
            extra: None,
            token: None,
            held: RawStart::default(),
        };
        if let Some(span_type) = span.arguments.span_type.clone() {
            span.apply_type(py, &span_type);
        }
        span
    }

    pub(super) fn apply_type(&mut self, py: Python<'_>, span_type: &str) {
        self.span_type = SpanType::from_name(span_type);
        self.put(py, "__span_type__", PyString::new(py, span_type).as_any());
    }

    /// Adds a member to the data.
    pub(super) fn put(&mut self, py: Python<'_>, key: &str, value: &Bound<'_, PyAny>) {
        if self.noop {
            return;
        }
        let extra = self.extra.get_or_insert_with(|| PyDict::new(py).unbind());
        // A key that is a text always goes in; only memory could run out.
        let _ = extra.bind(py).set_item(key, value);
    }

    pub(super) fn put_error(&mut self, py: Python<'_>, error_type: &str, message: &str) {
        let error = PyDict::new(py);
        // As above.
        let _ = error.set_item("type", error_type);
        let _ = error.set_item("message", message);
        self.put(py, "__error__", error.as_any());
    }

    /// Finds the parent that was given, or the current span if it is of the same trace.
    pub(super) fn find_parent(&self, py: Python<'_>) -> Option<Id> {
        if let Some(parent) = &self.arguments.parent {
            let parent = parent.bind(py);
            if let Ok(span) = parent.cast::<PySpan>() {
                return span.try_borrow().ok().and_then(|span| span.id.clone());
            }
            return payloads::text(parent).filter(|id| !id.is_empty()).map(Id::given);
        }
        if self.arguments.root {
            return None;
        }
        self.find_ambient(py).or_else(|| {
            let remote = self.trace.as_ref()?.get().remote.as_ref()?;
            Some(Id::given(remote.span_id()))
        })
    }

    fn find_ambient(&self, py: Python<'_>) -> Option<Id> {
        let ambient = current(py).ok()?.get(py).ok()?;
        let ambient = ambient.cast::<PySpan>().ok()?.try_borrow().ok()?;
        let same = match (&ambient.trace, &self.trace) {
            (Some(theirs), Some(ours)) => theirs.is(ours) || theirs.get().is_same(py, ours.get()),
            _ => false,
        };
        if same { ambient.id.clone() } else { None }
    }

    /// Returns what other processes are told of this span.
    pub(crate) fn trace_context(&self, py: Python<'_>) -> Option<TraceContext> {
        if self.noop {
            return None;
        }
        let (trace, id) = (self.trace.as_ref()?.get(), self.id.as_ref()?);
        let trace_id = trace.trace_id.as_ref()?.bind(py);
        let trace_id = payloads::lossy(trace_id);
        match &trace.remote {
            Some(remote) => remote.for_span(&trace_id, id.as_str()),
            None => TraceContext::new(&trace_id, id.as_str()),
        }
    }

    /// Starts; returns whether it did.
    pub(super) fn begin(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let Ok(this) = slf.try_borrow() else { return Ok(false) };
        if this.noop || this.state != State::New {
            return Ok(false);
        }
        let parent_id = this.find_parent(py);
        let Some(trace) = this.trace.as_ref().map(|trace| trace.clone_ref(py)) else { return Ok(false) };
        drop(this);
        let tracer = trace.get().tracer.get();
        let observed = tracer.observer.as_ref().and_then(|observer| observer.ids(py));
        let Ok(mut this) = slf.try_borrow_mut() else { return Ok(false) };
        let start = *this.start.get_or_insert_with(Tracer::now);
        this.id.get_or_insert_with(|| Id::new(start));
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

    /// Writes the start, for the case that this process dies, and for exporters that write starts.
    fn write_start(slf: &Bound<'_, Self>, tracer: &PyTracer) -> PyResult<()> {
        let (py, tracer) = (slf.py(), &tracer.tracer);
        let (payloads, held) = if tracer.writes_starts() {
            let Some(parts) = slf.try_borrow().ok().and_then(|this| this.parts(py)) else { return Ok(()) };
            let values = [parts.values[0].as_ref(), None, parts.values[2].as_ref(), None];
            let payloads = Payloads::encode(py, values, parts.extra.as_ref());
            let held = parts.head().with_raw(&payloads, None, |span| tracer.submit_raw_start(span));
            (payloads, held)
        } else {
            // Plain values run no code of the program, so that the span may be borrowed while they are written.
            let Ok(this) = slf.try_borrow() else { return Ok(()) };
            let bound = |value: &'_ Option<Py<PyAny>>| value.as_ref().map(|value| value.bind(py).clone());
            let (input, data) = (bound(&this.arguments.input), bound(&this.arguments.data));
            let payloads = Payloads::peek(py, input.as_ref(), data.as_ref(), START_PAYLOAD_BYTES);
            let held = this
                .with_head(py, |head| head.with_raw(&payloads, None, |span| tracer.submit_raw_start(span)));
            (payloads, held.unwrap_or_default())
        };
        if let Ok(mut this) = slf.try_borrow_mut() {
            this.held = held;
        }
        payloads.done(py, tracer)
    }

    /// Ends: writes the span as it is now.
    pub(super) fn finish(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (parts, trace, end, held) = {
            let Ok(mut this) = slf.try_borrow_mut() else { return Ok(()) };
            if this.state != State::Open {
                return Ok(());
            }
            this.state = State::Ended;
            let start = this.start.unwrap_or_else(Tracer::now);
            // The clock may have been set back meanwhile, and no span ends before it starts.
            let end = *this.end.get_or_insert_with(|| Tracer::now().max(start));
            let Some(trace) = this.trace.as_ref().map(|trace| trace.clone_ref(py)) else { return Ok(()) };
            let Some(parts) = this.parts(py) else { return Ok(()) };
            (parts, trace, end, std::mem::take(&mut this.held))
        };
        let tracer = &trace.get().tracer.get().tracer;
        if !tracer.is_enabled() {
            return Ok(());
        }
        let values = parts.values.each_ref().map(Option::as_ref);
        let payloads = Payloads::encode(py, values, parts.extra.as_ref());
        parts.head().with_raw(&payloads, Some(end), |span| tracer.submit_raw_end(span, held));
        payloads.done(py, tracer)
    }

    /// Copies what is needed to write this span, so that it is not borrowed while code of the program runs.
    fn parts<'py>(&self, py: Python<'py>) -> Option<Parts<'py>> {
        let bound = |value: &Option<Py<PyAny>>| value.as_ref().map(|value| value.bind(py).clone());
        Some(Parts {
            id: self.id.clone()?,
            parent_id: self.parent_id.clone(),
            start: self.start?,
            status: self.status,
            span_type: self.span_type,
            name: payloads::text_of(self.arguments.name.bind(py)),
            task_id: self.arguments.task_id.as_ref().and_then(|task| payloads::text_of(task.bind(py))),
            trace: self.trace.as_ref()?.bind(py).clone(),
            values: [
                bound(&self.arguments.input),
                bound(&self.arguments.output),
                bound(&self.arguments.data),
                bound(&self.arguments.expected),
            ],
            extra: self.extra.as_ref().map(|extra| extra.bind(py).clone()),
        })
    }

    /// Calls `take` with what is written of this span besides payloads.
    fn with_head<T>(&self, py: Python<'_>, take: impl FnOnce(Head<'_, '_>) -> T) -> Option<T> {
        let name = payloads::text_of(self.arguments.name.bind(py));
        let task_id = self.arguments.task_id.as_ref().and_then(|task| payloads::text_of(task.bind(py)));
        Some(take(Head {
            id: self.id.as_ref()?,
            parent_id: self.parent_id.as_ref(),
            start: self.start?,
            status: self.status,
            span_type: self.span_type,
            name: name.as_ref(),
            task_id: task_id.as_ref(),
            trace: self.trace.as_ref()?.bind(py),
        }))
    }

    pub(super) fn leave_context(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let token = slf.try_borrow_mut().ok().and_then(|mut this| this.token.take());
        let (Some(token), Ok(current)) = (token, current(py)) else { return };
        // A generator may be closed in another context than the one it was entered in; there is nothing to put back
        // there, unless this span is what is current.
        if current.reset(py, token.bind(py)).is_err() && current.get(py).is_ok_and(|now| now.is(slf)) {
            let _ = current.set(py, py.None().bind(py));
        }
    }

    /// Records what a body raised.
    pub(super) fn note_exception(slf: &Bound<'_, Self>, error: &Bound<'_, PyAny>) -> PyResult<()> {
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

    pub(super) fn leave(slf: &Bound<'_, Self>, error: &Bound<'_, PyAny>) -> PyResult<()> {
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

    pub(super) fn enter(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if Self::begin(slf)? {
            let token = current(py)?.set(py, slf.as_any())?;
            if let Ok(mut this) = slf.try_borrow_mut() {
                this.token = Some(token.unbind());
            }
        }
        Ok(())
    }
}

impl PySpan {
    /// Writes a span that was started and that nobody can end any more.
    pub(super) fn abandon(&mut self) {
        if self.state != State::Open || self.forks != FORKS.load(Ordering::Relaxed) {
            return;
        }
        self.state = State::Ended;
        let _ = Python::try_attach(|py| {
            // An object may be freed while an exception is on its way.
            let pending = PyErr::take(py);
            self.put_error(py, "Abandoned", "the span was started and never ended");
            let start = self.start.unwrap_or_else(Tracer::now);
            let end = *self.end.get_or_insert_with(|| Tracer::now().max(start));
            if let (Some(parts), Some(trace)) = (self.parts(py), &self.trace) {
                let tracer = &trace.get().tracer.get().tracer;
                if tracer.is_enabled() {
                    let values = parts.values.each_ref().map(Option::as_ref);
                    let payloads = Payloads::encode(py, values, parts.extra.as_ref());
                    let held = std::mem::take(&mut self.held);
                    parts.head().with_raw(&payloads, Some(end), |span| tracer.submit_raw_end(span, held));
                    // There is nobody to interrupt here.
                    let _ = payloads.done(py, tracer);
                }
            }
            if let Some(pending) = pending {
                pending.restore(py);
            }
        });
    }
}
