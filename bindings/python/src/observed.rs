//! The ids of the observability trace that a span starts in.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// Reads the ids, once a library that may have any was imported: until then a span pays a look into `sys.modules` for it.
pub(crate) struct Observer {
    modules: Vec<Py<PyString>>,
    read: Py<PyAny>,
}

impl Observer {
    /// `read` returns trace and span, or `None`; it has nothing to read before one of `modules` was imported.
    pub(crate) const fn new(modules: Vec<Py<PyString>>, read: Py<PyAny>) -> Self {
        Self { modules, read }
    }

    /// Returns the ids of the surrounding trace. What is raised on the way is its own affair.
    pub(crate) fn ids<'py>(&self, py: Python<'py>) -> Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        // SAFETY: the GIL is held; the result is borrowed from the interpreter.
        let imported: Bound<'py, PyAny> =
            unsafe { Bound::from_borrowed_ptr_or_opt(py, ffi::PyImport_GetModuleDict())? };
        let imported = imported.cast_into::<PyDict>().ok()?;
        if !self.modules.iter().any(|module| imported.contains(module.bind(py)).unwrap_or(false)) {
            return None;
        }
        self.read.bind(py).call0().ok()?.extract().ok()
    }
}
