//! Python objects to JSON text in one traversal, straight into one buffer.
//!
//! | Python | JSON |
//! |---|---|
//! | `None`, `bool`, `int`, `str`, `dict`, `list`, `tuple` and their subclasses | as expected; an `int` of any size as its digits |
//! | `float` | a number; NaN and infinities `null` |
//! | `str` with lone surrogates | the surrogates become U+FFFD |
//! | `datetime`, `date`, `time` | ISO 8601 text as given: a naive one stays naive |
//! | `timedelta`, `Decimal`, `UUID`, paths, `complex`, addresses of `ipaddress` | their text |
//! | enums | their value |
//! | sets, deques, views, other iterables | an array |
//! | other mappings | an object |
//! | `bytes`, `bytearray`, `memoryview` | text if it is UTF-8, else `base64:` and base64 |
//! | pydantic models | what pydantic makes of them in JSON mode; if it cannot, field by field |
//! | dataclasses, attrs, msgspec structs | an object of their fields |
//! | numpy scalars and arrays | their `item()`, their `tolist()` |
//! | exceptions | `Type: message` |
//! | callables | `<function MODULE.NAME>` |
//! | generators and other iterators | `<iterator MODULE.NAME>`: they are the program's, and are not consumed |
//!
//! Everything else, a cycle, and what nests too deep becomes `{"__unencodable__":{"reason":…}}` in its place; the rest
//! of the payload stays. Nothing is raised except what interrupts a program ([`Encoder::interrupt`]).

mod container;
mod keys;
mod kind;
mod normal;
mod object;
mod path;
mod scalar;
mod text;

pub(crate) use normal::{Normal, normal_of};
use pyo3::ffi;
use pyo3::prelude::*;

/// Deepest nesting that is written. Below the pipeline's own limit, and shallow enough for a thread with a small stack.
const MAX_DEPTH: usize = 250;

/// Most bytes of one payload.
const MAX_BYTES: usize = endspan::model::limits::MAX_SPAN_BYTES;

/// Why an encoding was broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The text would be longer than allowed.
    TooLarge,
    /// Only plain values were allowed, and this is none.
    NotPlain,
}

type Written = Result<(), Stop>;

/// One traversal. The GIL is held throughout.
pub(crate) struct Encoder<'py> {
    py: Python<'py>,
    out: Vec<u8>,
    path: path::Path,
    /// Rises when code of the program may have run, which may change any container.
    foreign: u32,
    max_bytes: usize,
    plain_only: bool,
    /// Placeholders written.
    pub(crate) placeholders: u64,
    /// A `KeyboardInterrupt` or the like that arrived meanwhile. It belongs to the program.
    pub(crate) interrupt: Option<PyErr>,
}

impl<'py> Encoder<'py> {
    /// Writes at the end of a buffer, which [`Encoder::finish`] gives back.
    pub(crate) fn new(py: Python<'py>, out: Vec<u8>) -> Self {
        Self {
            py,
            out,
            path: path::Path::default(),
            foreign: 0,
            max_bytes: MAX_BYTES,
            plain_only: false,
            placeholders: 0,
            interrupt: None,
        }
    }

    /// Gives the buffer back.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.out
    }

    /// Returns the length of the buffer.
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    /// Appends a value's text. A value that is too large becomes a placeholder as a whole.
    pub(crate) fn push(&mut self, value: &Bound<'py, PyAny>) {
        let begin = self.out.len();
        self.max_bytes = begin + MAX_BYTES;
        self.path.clear();
        if self.write(value.as_ptr()).is_err() {
            self.out.truncate(begin);
            self.placeholder(&format!("larger than {MAX_BYTES} bytes"));
        }
    }

    /// Appends a value's text if it is short and made of plain values only, which run no code of the program.
    pub(crate) fn push_if_small(&mut self, value: &Bound<'py, PyAny>, max_bytes: usize) -> bool {
        let begin = self.out.len();
        self.max_bytes = begin + max_bytes;
        self.plain_only = true;
        self.path.clear();
        let placeholders = self.placeholders;
        let written = self.write(value.as_ptr());
        self.plain_only = false;
        self.placeholders = placeholders;
        if written.is_err() || self.out.len() > self.max_bytes {
            self.out.truncate(begin);
            return false;
        }
        true
    }

    /// Appends an object: the members of `data` without those of `extra`, then those of `extra`. Data that is no object
    /// stays as it is.
    pub(crate) fn push_merged(
        &mut self,
        data: Option<&Bound<'py, PyAny>>,
        extra: &Bound<'py, pyo3::types::PyDict>,
    ) {
        let begin = self.out.len();
        self.max_bytes = begin + MAX_BYTES;
        self.path.clear();
        let written = self.write_merged(data, extra);
        if written.is_err() {
            self.out.truncate(begin);
            self.push(extra.as_any());
            self.placeholders += 1;
        }
    }

    fn write_merged(
        &mut self,
        data: Option<&Bound<'py, PyAny>>,
        extra: &Bound<'py, pyo3::types::PyDict>,
    ) -> Written {
        let begin = self.out.len();
        match data {
            None => self.out.extend_from_slice(b"{}"),
            Some(data) => {
                let own = match data.cast_exact::<pyo3::types::PyDict>() {
                    Ok(own) if own.iter().any(|(key, _)| extra.contains(key).unwrap_or(false)) => {
                        own.copy().ok()
                    }
                    _ => None,
                };
                match own {
                    None => self.write(data.as_ptr())?,
                    Some(own) => {
                        for (key, _) in extra.iter() {
                            // A key that is not there is what is wanted.
                            let _ = own.del_item(key);
                        }
                        self.write(own.as_any().as_ptr())?;
                    }
                }
            }
        }
        match self.out.get(begin..) {
            Some(b"{}") => {
                self.out.truncate(begin);
                self.write(extra.as_any().as_ptr())
            }
            Some(b"null" | b"[]" | b"\"\"" | b"0" | b"false") => {
                self.out.truncate(begin);
                self.write(extra.as_any().as_ptr())
            }
            Some([b'{', ..]) => {
                self.out.pop();
                let at = self.out.len();
                self.write(extra.as_any().as_ptr())?;
                // The brace of the second object is the comma between the two.
                if let Some(brace) = self.out.get_mut(at) {
                    *brace = b',';
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn write(&mut self, object: *mut ffi::PyObject) -> Written {
        // SAFETY: `object` is a live object, borrowed or held by the caller, and the GIL is held. The addresses of the
        // static types are only compared. Each branch calls functions of the C API that fit the exact type it tested.
        unsafe {
            let kind = ffi::Py_TYPE(object);
            if kind == &raw mut ffi::PyUnicode_Type {
                self.write_str(object)
            } else if kind == &raw mut ffi::PyDict_Type {
                self.write_dict(object)
            } else if kind == &raw mut ffi::PyLong_Type {
                self.write_int(object)
            } else if object == ffi::Py_None() {
                self.out.extend_from_slice(b"null");
                Ok(())
            } else if object == ffi::Py_True() {
                self.out.extend_from_slice(b"true");
                Ok(())
            } else if object == ffi::Py_False() {
                self.out.extend_from_slice(b"false");
                Ok(())
            } else if kind == &raw mut ffi::PyFloat_Type {
                self.push_float(ffi::PyFloat_AsDouble(object));
                Ok(())
            } else if kind == &raw mut ffi::PyList_Type {
                self.write_list(object)
            } else if kind == &raw mut ffi::PyTuple_Type {
                self.write_tuple(object)
            } else if self.plain_only {
                Err(Stop::NotPlain)
            } else {
                self.write_other(object)
            }
        }
    }

    #[inline]
    fn bounded(&self) -> Written {
        if self.out.len() > self.max_bytes { Err(Stop::TooLarge) } else { Ok(()) }
    }

    /// Writes `{"__unencodable__":{"reason":…}}`.
    fn placeholder(&mut self, reason: &str) {
        self.placeholders += 1;
        self.out.extend_from_slice(b"{\"");
        self.out.extend_from_slice(endspan::UNENCODABLE.as_bytes());
        self.out.extend_from_slice(b"\":{\"reason\":");
        text::push_string(&mut self.out, reason.as_bytes());
        self.out.extend_from_slice(b"}}");
    }

    /// Writes a placeholder for an object whose encoding raised.
    #[cold]
    fn failed(&mut self, object: *mut ffi::PyObject, error: Option<PyErr>) {
        self.foreign = self.foreign.wrapping_add(1);
        let name = kind::type_name(self.py, object);
        let reason = match error {
            Some(error) => {
                if !error.is_instance_of::<pyo3::exceptions::PyException>(self.py) {
                    self.interrupt = Some(error);
                    format!("interrupted in a {name}")
                } else {
                    let what = error
                        .get_type(self.py)
                        .name()
                        .map_or_else(|_| String::new(), |name| name.to_string());
                    let why: String = error.value(self.py).str().map_or_else(
                        |_| String::new(),
                        |text| text.to_string_lossy().chars().take(200).collect(),
                    );
                    format!("a {name} raised {what}: {why}")
                }
            }
            None => format!("a {name} has no JSON form"),
        };
        self.placeholder(&reason);
    }
}
