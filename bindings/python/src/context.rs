//! The span that is current in a context.

use std::ffi::{CStr, c_int};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// The context variable that holds the current span.
pub(crate) struct Current {
    variable: Py<PyAny>,
    get: Py<PyAny>,
    set: Py<PyAny>,
    reset: Py<PyAny>,
    direct: Option<Direct>,
}

/// CPython's functions for context variables. They are public and have been what they are since 3.7.1, but are not part of the
/// stable ABI: whoever has none goes by the variable's methods.
#[derive(Clone, Copy)]
struct Direct {
    get: Get,
    set: Set,
    reset: Reset,
}

type Get = unsafe extern "C" fn(*mut ffi::PyObject, *mut ffi::PyObject, *mut *mut ffi::PyObject) -> c_int;
type Set = unsafe extern "C" fn(*mut ffi::PyObject, *mut ffi::PyObject) -> *mut ffi::PyObject;
type Reset = unsafe extern "C" fn(*mut ffi::PyObject, *mut ffi::PyObject) -> c_int;

impl Direct {
    #[cfg(unix)]
    fn find() -> Option<Self> {
        let find = |name: &CStr| {
            // SAFETY: the name ends with a zero; the result is an address in this process, or null.
            let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
            (!address.is_null()).then_some(address)
        };
        let (get, set, reset) =
            (find(c"PyContextVar_Get")?, find(c"PyContextVar_Set")?, find(c"PyContextVar_Reset")?);
        // SAFETY: these are the functions of these names in CPython, with the signatures that its documentation gives them.
        unsafe {
            Some(Self {
                get: std::mem::transmute::<*mut libc::c_void, Get>(get),
                set: std::mem::transmute::<*mut libc::c_void, Set>(set),
                reset: std::mem::transmute::<*mut libc::c_void, Reset>(reset),
            })
        }
    }

    #[cfg(not(unix))]
    const fn find() -> Option<Self> {
        None
    }
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
            variable: variable.unbind(),
            direct: Direct::find(),
        })
    })
}

impl Current {
    /// Returns the span that is current in this context, or `None`.
    pub(crate) fn get<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Some(direct) = self.direct else { return self.get.bind(py).call0() };
        let mut value = std::ptr::null_mut();
        // SAFETY: the variable is one, and the GIL is held; a value is a new reference. The variable has a default.
        unsafe {
            if (direct.get)(self.variable.as_ptr(), std::ptr::null_mut(), &raw mut value) < 0 {
                return Err(PyErr::fetch(py));
            }
            Ok(Bound::from_owned_ptr_or_opt(py, value).unwrap_or_else(|| py.None().into_bound(py)))
        }
    }

    /// Makes a span (or `None`) current; returns the token to put back what was.
    pub(crate) fn set<'py>(&self, py: Python<'py>, span: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let Some(direct) = self.direct else { return self.set.bind(py).call1((span,)) };
        // SAFETY: the variable is one, the span is live, and the GIL is held; the token is a new reference, or null.
        unsafe { Bound::from_owned_ptr_or_err(py, (direct.set)(self.variable.as_ptr(), span.as_ptr())) }
    }

    /// Puts back what was current before the token was given. An error: the token is of another context, or was used.
    pub(crate) fn reset<'py>(&self, py: Python<'py>, token: &Bound<'py, PyAny>) -> PyResult<()> {
        let Some(direct) = self.direct else { return self.reset.bind(py).call1((token,)).map(drop) };
        // SAFETY: the variable is one, the token came from `set`, and the GIL is held.
        let status = unsafe { (direct.reset)(self.variable.as_ptr(), token.as_ptr()) };
        if status == 0 { Ok(()) } else { Err(PyErr::fetch(py)) }
    }
}

/// Returns the span that is current in this context, or `None`.
#[pyfunction]
pub(crate) fn current_span(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    current(py)?.get(py)
}

/// Makes a span (or `None`) current in this context; returns the token for `_reset_current`.
#[pyfunction]
pub(crate) fn set_current<'py>(py: Python<'py>, span: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    current(py)?.set(py, span)
}
