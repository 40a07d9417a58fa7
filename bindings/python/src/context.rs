//! The span that is current in a context.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// The methods of the context variable that holds the current span.
pub(crate) struct Current {
    pub(crate) get: Py<PyAny>,
    pub(crate) set: Py<PyAny>,
    pub(crate) reset: Py<PyAny>,
}

static CURRENT: PyOnceLock<Current> = PyOnceLock::new();

/// Returns the context variable, which is made at its first use.
pub(crate) fn current(py: Python<'_>) -> PyResult<&'static Current> {
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
