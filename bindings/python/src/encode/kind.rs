//! What kind of object a type makes, decided once for each type.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// Most types remembered; a program that makes types without end pays for its own.
const MAX_REMEMBERED: usize = 4096;

/// How an object of a type is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Str,
    Int,
    Float,
    Dict,
    List,
    Tuple,
    /// By its `value`.
    Enum,
    /// By pydantic's serializer of its type.
    Pydantic,
    /// By its own `model_dump`, which the program has changed.
    PydanticOverridden,
    /// By `isoformat()`.
    IsoFormat,
    /// By `str()`.
    Text,
    Bytes,
    /// By `item()`.
    Scalar,
    /// By `tolist()`.
    Array,
    Dataclass,
    Attrs,
    Struct,
    Exception,
    Callable,
    Mapping,
    Iterator,
    Iterable,
    /// By `dict()`: a model of pydantic 1.
    OldModel,
    Unknown,
}

/// Types of the standard library that objects are compared with.
struct Known {
    enumeration: Py<PyAny>,
    iso: Vec<Py<PyAny>>,
    text: Vec<Py<PyAny>>,
    mapping: Py<PyAny>,
}

static KNOWN: PyOnceLock<Known> = PyOnceLock::new();
/// Types by their address, and what they make.
type Remembered = HashMap<usize, (Py<PyType>, Kind)>;

static REMEMBERED: Mutex<Option<Remembered>> = Mutex::new(None);

fn known(py: Python<'_>) -> PyResult<&'static Known> {
    KNOWN.get_or_try_init(py, || {
        let get = |module: &str, name: &str| -> PyResult<Py<PyAny>> {
            Ok(py.import(module)?.getattr(name)?.unbind())
        };
        let all = |names: &[(&str, &str)]| -> PyResult<Vec<Py<PyAny>>> {
            names.iter().map(|(module, name)| get(module, name)).collect()
        };
        Ok(Known {
            enumeration: get("enum", "Enum")?,
            iso: all(&[("datetime", "date"), ("datetime", "time")])?,
            text: all(&[
                ("datetime", "timedelta"),
                ("datetime", "tzinfo"),
                ("decimal", "Decimal"),
                ("fractions", "Fraction"),
                ("uuid", "UUID"),
                ("pathlib", "PurePath"),
                ("builtins", "complex"),
            ])?,
            mapping: get("collections.abc", "Mapping")?,
        })
    })
}

/// Returns the kind of an object that is of none of the plain types.
pub(super) fn of<'py>(py: Python<'py>, object: &Bound<'py, PyAny>) -> Kind {
    let class = object.get_type();
    let address = class.as_ptr() as usize;
    {
        let remembered = REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, kind)) = remembered.as_ref().and_then(|remembered| remembered.get(&address)) {
            return *kind;
        }
    }
    // What classifying raises is of no use to anybody; a mere attribute lookup may run code of a metaclass.
    let kind = classify(py, object, &class).unwrap_or(Kind::Unknown);
    let mut remembered = REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner);
    let remembered = remembered.get_or_insert_default();
    if remembered.len() < MAX_REMEMBERED {
        // The type is held, so that no other one gets its address.
        remembered.insert(address, (class.unbind(), kind));
    }
    kind
}

fn classify<'py>(py: Python<'py>, object: &Bound<'py, PyAny>, class: &Bound<'py, PyType>) -> PyResult<Kind> {
    let known = known(py)?;
    let subclass = |of: &Py<PyAny>| class.is_subclass(of.bind(py)).unwrap_or(false);
    let has = |name: &str| class.hasattr(name).unwrap_or(false);
    // SAFETY: the flags of a live type are read.
    let flags = unsafe { ffi::PyType_GetFlags(class.as_ptr().cast()) };
    if has("__pydantic_serializer__") {
        if !has("model_dump") {
            return Ok(Kind::Pydantic);
        }
        let base = py.import("pydantic")?.getattr("BaseModel")?.getattr("model_dump")?;
        let same = class.getattr("model_dump")?.is(&base);
        return Ok(if same { Kind::Pydantic } else { Kind::PydanticOverridden });
    }
    if subclass(&known.enumeration) {
        return Ok(Kind::Enum);
    }
    let module = class.module().map(|module| module.to_string()).unwrap_or_default();
    if module == "numpy" || module.starts_with("numpy.") {
        if has("tolist") && has("__len__") && object.len().is_ok() && object.hasattr("ndim")? {
            return Ok(Kind::Array);
        }
        if has("item") {
            let arrays = object.getattr("ndim").and_then(|ndim| ndim.extract::<usize>()).unwrap_or(0);
            return Ok(if arrays > 0 { Kind::Array } else { Kind::Scalar });
        }
    }
    for (flag, kind) in [
        (ffi::Py_TPFLAGS_UNICODE_SUBCLASS, Kind::Str),
        (ffi::Py_TPFLAGS_LONG_SUBCLASS, Kind::Int),
        (ffi::Py_TPFLAGS_DICT_SUBCLASS, Kind::Dict),
        (ffi::Py_TPFLAGS_LIST_SUBCLASS, Kind::List),
        (ffi::Py_TPFLAGS_TUPLE_SUBCLASS, Kind::Tuple),
        (ffi::Py_TPFLAGS_BYTES_SUBCLASS, Kind::Bytes),
        (ffi::Py_TPFLAGS_BASE_EXC_SUBCLASS, Kind::Exception),
        (ffi::Py_TPFLAGS_TYPE_SUBCLASS, Kind::Callable),
    ] {
        if flags & flag != 0 {
            return Ok(kind);
        }
    }
    let builtins = |name: &str| module == "builtins" && class.name().is_ok_and(|own| own == name);
    if object.is_instance_of::<pyo3::types::PyFloat>() {
        return Ok(Kind::Float);
    }
    if known.iso.iter().any(subclass) {
        return Ok(Kind::IsoFormat);
    }
    if known.text.iter().any(subclass) || module == "ipaddress" {
        return Ok(Kind::Text);
    }
    if builtins("bytearray") || builtins("memoryview") {
        return Ok(Kind::Bytes);
    }
    if has("__dataclass_fields__") {
        return Ok(Kind::Dataclass);
    }
    if has("__attrs_attrs__") {
        return Ok(Kind::Attrs);
    }
    if has("__struct_fields__") {
        return Ok(Kind::Struct);
    }
    if has("__fields__") && has("parse_obj") && has("dict") {
        return Ok(Kind::OldModel);
    }
    if object.is_callable() {
        return Ok(Kind::Callable);
    }
    if subclass(&known.mapping) {
        return Ok(Kind::Mapping);
    }
    if has("__next__") || has("__anext__") {
        return Ok(Kind::Iterator);
    }
    if has("__iter__") {
        return Ok(Kind::Iterable);
    }
    Ok(Kind::Unknown)
}

/// Returns `module.name` of an object's type, without `builtins.`.
pub(super) fn type_name(py: Python<'_>, object: *mut ffi::PyObject) -> String {
    // SAFETY: the object is live and the GIL is held.
    let object: Bound<'_, PyAny> = unsafe { Bound::from_borrowed_ptr(py, object) };
    let class = object.get_type();
    let name = class.qualname().map(|name| name.to_string()).unwrap_or_else(|_| "object".to_owned());
    match class.module() {
        Ok(module) if module != "builtins" => format!("{module}.{name}"),
        _ => name,
    }
}
