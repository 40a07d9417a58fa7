//! How the reference's normalisation treats objects.

use pyo3::prelude::*;

use super::kind;

/// How the reference's normalisation treats an object that is of none of the plain types.
pub(crate) enum Normal {
    Model,
    Time,
    Callable,
    Mapping,
    Iterable,
    Unchanged,
}

/// Returns how the reference's normalisation treats an object.
pub(crate) fn normal_of<'py>(py: Python<'py>, object: &Bound<'py, PyAny>) -> Normal {
    use kind::Kind;
    match kind::of(py, object) {
        Kind::Pydantic | Kind::PydanticOverridden if object.hasattr("model_dump").unwrap_or(false) => {
            Normal::Model
        }
        Kind::IsoFormat
            if object.hasattr("hour").unwrap_or(false) && object.hasattr("year").unwrap_or(false) =>
        {
            Normal::Time
        }
        Kind::Callable => Normal::Callable,
        Kind::Dict | Kind::Mapping => Normal::Mapping,
        Kind::List | Kind::Tuple | Kind::Iterable => Normal::Iterable,
        _ => Normal::Unchanged,
    }
}
