//! What `__aenter__` and `__aexit__` return.

use pyo3::prelude::*;

/// An awaitable that is ready: what `__aenter__` and `__aexit__` return. Awaiting it never leaves the running task.
#[pyclass(module = "endspan._native", frozen)]
pub(crate) struct Ready {
    pub(crate) value: Option<Py<PyAny>>,
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
