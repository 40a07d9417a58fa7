//! The native half of endspan's Python package.
//!
//! Payloads are encoded here ([`encode`]), under the GIL and once; everything after that is the pipeline's, which never
//! takes the GIL. Spans and traces ([`span`], [`tracer`]) are classes of this module; the rest of the API is Python in
//! `python/endspan`.

mod clock;
mod context;
mod encode;
mod encode_json;
mod exporters;
mod host_log;
mod model;
mod normalise;
mod observed;
mod parts;
mod payloads;
mod ready;
mod report;
mod span;
mod trace_context;
mod tracer;
mod whole;

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;

/// Makes a new id, a UUID.
#[pyfunction]
fn new_id() -> String {
    tracer::new_id()
}

/// Says that the interpreter is ending: nothing of this module calls Python on its own from here on.
#[pyfunction]
fn interpreter_ends(py: Python<'_>) {
    host_log::end(py);
}

/// Refuses other interpreters than the main one. PyO3 does so itself from CPython 3.12 on.
fn refuse_sub_interpreters() -> PyResult<()> {
    // SAFETY: the GIL is held, so that there is a current interpreter. The main one has the id 0.
    let id = unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) };
    if id == 0 {
        return Ok(());
    }
    Err(PyImportError::new_err("module endspan._native does not support loading in subinterpreters"))
}

/// The native half of endspan.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    refuse_sub_interpreters()?;
    host_log::begin(module.py())?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("UNENCODABLE", endspan::UNENCODABLE)?;
    module.add_class::<exporters::PyExporter>()?;
    module.add_class::<exporters::PySgpExporter>()?;
    module.add_class::<exporters::PyAgentexExporter>()?;
    module.add_class::<exporters::PyOtlpExporter>()?;
    module.add_class::<trace_context::PyTraceContext>()?;
    module.add_class::<tracer::PyTracer>()?;
    module.add_class::<tracer::PyTrace>()?;
    module.add_class::<span::PySpan>()?;
    encode_json::add(module)?;
    module.add_function(wrap_pyfunction!(new_id, module)?)?;
    module.add_function(wrap_pyfunction!(interpreter_ends, module)?)?;
    module.add_function(wrap_pyfunction!(normalise::normalise, module)?)?;
    module.add_class::<ready::Ready>()?;
    module.add_class::<model::Models>()?;
    module.add_function(wrap_pyfunction!(context::current_span, module)?)?;
    module.add_function(wrap_pyfunction!(context::set_current, module)?)?;
    module.add_function(wrap_pyfunction!(span::forked, module)?)?;
    module.add_function(wrap_pyfunction!(span::end_open_spans, module)?)
}
