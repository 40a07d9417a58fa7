//! The reference's normalisation (`sdk-behaviour` section 2), for code that reads a span's payloads back.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::encode::{Normal, normal_of};

/// Deepest nesting that is copied; deeper values, and cycles with them, stay as they are.
const MAX_DEPTH: usize = 250;

/// Copies mappings and iterables; models become their JSON-mode map, `datetime`s and callables text. Everything else is
/// unchanged. Never raises.
#[pyfunction]
pub(crate) fn normalise<'py>(value: &Bound<'py, PyAny>) -> Bound<'py, PyAny> {
    copy(value, 0)
}

fn copy<'py>(value: &Bound<'py, PyAny>, depth: usize) -> Bound<'py, PyAny> {
    let unchanged = value.is_none()
        || value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBool>();
    if unchanged || depth > MAX_DEPTH {
        return value.clone();
    }
    changed(value, depth).unwrap_or_else(|_| value.clone())
}

fn changed<'py>(value: &Bound<'py, PyAny>, depth: usize) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    if let Ok(dict) = value.cast_exact::<PyDict>() {
        // Keys and plain values are shared; `copy` is one block of memory.
        let out = dict.copy()?;
        for (key, member) in dict.iter() {
            let new = copy(&member, depth + 1);
            if !new.is(&member) {
                out.set_item(key, new)?;
            }
        }
        return Ok(out.into_any());
    }
    if let Ok(list) = value.cast_exact::<PyList>() {
        let items: Vec<_> = list.iter().map(|item| copy(&item, depth + 1)).collect();
        return Ok(PyList::new(py, items)?.into_any());
    }
    if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        let items: Vec<_> = tuple.iter().map(|item| copy(&item, depth + 1)).collect();
        return Ok(PyList::new(py, items)?.into_any());
    }
    match normal_of(py, value) {
        Normal::Model => {
            let keywords = PyDict::new(py);
            keywords.set_item("mode", "json")?;
            if let Ok(dumped) = value.call_method(intern!(py, "model_dump"), (), Some(&keywords)) {
                return Ok(dumped);
            }
            let out = PyDict::new(py);
            for name in value.get_type().getattr(intern!(py, "model_fields"))?.try_iter()? {
                let name = name?;
                let member = value.getattr(name.cast::<PyString>()?)?;
                out.set_item(name, copy(&member, depth + 1))?;
            }
            Ok(out.into_any())
        }
        Normal::Time => value.call_method0(intern!(py, "isoformat")),
        Normal::Callable => {
            let name = match value.getattr(intern!(py, "__name__")) {
                Ok(name) => name.str()?,
                Err(_) => value.str()?,
            };
            let text = match value.getattr(intern!(py, "__module__")) {
                Ok(module) => {
                    format!("<function {}.{}>", module.str()?.to_string_lossy(), name.to_string_lossy())
                }
                Err(_) => format!("<function {}>", name.to_string_lossy()),
            };
            Ok(PyString::new(py, &text).into_any())
        }
        Normal::Mapping => {
            let out = PyDict::new(py);
            for member in value.call_method0(intern!(py, "items"))?.try_iter()? {
                let (key, member): (Bound<'py, PyAny>, Bound<'py, PyAny>) = member?.extract()?;
                out.set_item(key, copy(&member, depth + 1))?;
            }
            Ok(out.into_any())
        }
        Normal::Iterable => {
            let out = PyList::empty(py);
            for item in value.try_iter()? {
                out.append(copy(&item?, depth + 1))?;
            }
            Ok(out.into_any())
        }
        Normal::Unchanged => Ok(value.clone()),
    }
}
