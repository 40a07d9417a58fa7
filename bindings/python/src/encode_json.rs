//! `encode_json`, as CPython calls a function of one argument: without the detours that PyO3 makes around every call, which take
//! as long as a small payload's encoding.

use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PySystemError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::encode::Encoder;
use crate::payloads;

const NAME: &CStr = c"encode_json";
const DOC: &CStr = c"encode_json(value, /)\n--\n\nEncodes an object as a payload would be: its JSON text, and the number of \
placeholders in it.";

/// A definition that nobody writes to.
struct Definition(ffi::PyMethodDef);

// SAFETY: CPython only reads it.
unsafe impl Sync for Definition {}

static DEFINITION: Definition = Definition(ffi::PyMethodDef {
    ml_name: NAME.as_ptr(),
    ml_meth: ffi::PyMethodDefPointer { PyCFunction: call },
    ml_flags: ffi::METH_O,
    ml_doc: DOC.as_ptr(),
});

/// Adds the function to the module.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let name = module.name()?;
    // SAFETY: the definition lives as long as the process, and the name is a `str`; the result is a new reference, or null.
    let function = unsafe {
        let definition = (&raw const DEFINITION.0).cast_mut();
        let function = ffi::PyCFunction_NewEx(definition, std::ptr::null_mut(), name.as_ptr());
        Bound::from_owned_ptr_or_err(py, function)?
    };
    module.add("encode_json", function)
}

/// # Safety
/// CPython calls it, with the GIL held and a live object.
unsafe extern "C" fn call(_module: *mut ffi::PyObject, value: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: as the caller says.
    let (py, value) = unsafe {
        let py = Python::assume_attached();
        (py, Bound::from_borrowed_ptr(py, value))
    };
    let encoded = catch_unwind(AssertUnwindSafe(|| encode(py, &value)))
        .unwrap_or_else(|_| Err(PySystemError::new_err("endspan could not encode")));
    match encoded {
        Ok(encoded) => encoded.into_ptr(),
        Err(error) => {
            error.restore(py);
            std::ptr::null_mut()
        }
    }
}

fn encode<'py>(py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let mut encoder = Encoder::new(py, payloads::take_buffer(py));
    encoder.push(value);
    let (placeholders, interrupt) = (encoder.placeholders, encoder.interrupt.take());
    let buffer = encoder.finish();
    let text = PyBytes::new(py, &buffer);
    payloads::keep_buffer(py, buffer);
    match interrupt {
        Some(interrupt) => Err(interrupt),
        None => Ok((text, placeholders).into_pyobject(py)?.into_any()),
    }
}
