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

mod keys;
mod kind;
mod object;
mod path;
mod text;

use std::os::raw::c_int;

use pyo3::ffi;
use pyo3::prelude::*;

/// Deepest nesting that is written. Below the pipeline's own limit, and shallow enough for a thread with a small stack.
const MAX_DEPTH: usize = 250;

/// Room that is made for a member of an object before it is written: comma and key, and a short value.
const MEMBER_BYTES: usize = 64;
const _: () = assert!(keys::MAX_BYTES < MEMBER_BYTES);

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

    /// # Safety
    /// `object` is a live `str` or instance of a subclass.
    #[inline]
    unsafe fn write_str(&mut self, object: *mut ffi::PyObject) -> Written {
        let mut len: ffi::Py_ssize_t = 0;
        // SAFETY: the text stays valid as long as the object lives, and no Python code runs before it is copied.
        let text = unsafe {
            let data = ffi::PyUnicode_AsUTF8AndSize(object, &raw mut len);
            if data.is_null() {
                ffi::PyErr_Clear();
                None
            } else {
                Some(std::slice::from_raw_parts(data.cast::<u8>(), len.unsigned_abs()))
            }
        };
        match text {
            Some(text) if self.out.len() + text.len() <= self.max_bytes => {
                text::push_string(&mut self.out, text);
                Ok(())
            }
            Some(_) => Err(Stop::TooLarge),
            None => self.write_surrogates(object),
        }
    }

    /// Writes a text that holds lone surrogates.
    #[cold]
    fn write_surrogates(&mut self, object: *mut ffi::PyObject) -> Written {
        self.foreign = self.foreign.wrapping_add(1);
        // SAFETY: the object is a live `str`; the result is a new reference or null.
        let bytes = unsafe {
            let bytes = ffi::PyUnicode_AsEncodedString(object, c"utf-8".as_ptr(), c"surrogatepass".as_ptr());
            Bound::from_owned_ptr_or_opt(self.py, bytes)
        };
        let Some(bytes) = bytes else {
            // SAFETY: the GIL is held.
            unsafe { ffi::PyErr_Clear() };
            self.placeholder("a text that has no UTF-8");
            return Ok(());
        };
        let Ok(bytes) = bytes.cast_into::<pyo3::types::PyBytes>() else { return Ok(()) };
        let whole = text::without_surrogates(bytes.as_bytes());
        if self.out.len() + whole.len() > self.max_bytes {
            return Err(Stop::TooLarge);
        }
        text::push_string(&mut self.out, &whole);
        Ok(())
    }

    /// # Safety
    /// `object` is a live `int` or instance of a subclass.
    #[inline]
    unsafe fn write_int(&mut self, object: *mut ffi::PyObject) -> Written {
        let mut overflow: c_int = 0;
        // SAFETY: as the caller says; an integer's value is read without running code.
        let value = unsafe { ffi::PyLong_AsLongLongAndOverflow(object, &raw mut overflow) };
        if overflow == 0 {
            text::push_number(&mut self.out, itoa::Buffer::new().format(value).as_bytes());
            return Ok(());
        }
        self.foreign = self.foreign.wrapping_add(1);
        // SAFETY: the GIL is held and the object is live; the base function is that of `int` itself.
        let digits = unsafe { Bound::from_owned_ptr_or_opt(self.py, ffi::PyNumber_ToBase(object, 10)) };
        match digits {
            // SAFETY: `PyNumber_ToBase` returns a `str`.
            Some(digits) => unsafe { self.push_digits(&digits) },
            None => {
                let error = PyErr::take(self.py);
                self.failed(object, error);
            }
        }
        Ok(())
    }

    /// # Safety
    /// `digits` is a `str`.
    unsafe fn push_digits(&mut self, digits: &Bound<'py, PyAny>) {
        let mut len: ffi::Py_ssize_t = 0;
        // SAFETY: the digits are a live ASCII text.
        unsafe {
            let data = ffi::PyUnicode_AsUTF8AndSize(digits.as_ptr(), &raw mut len);
            if data.is_null() {
                ffi::PyErr_Clear();
                self.out.extend_from_slice(b"null");
            } else {
                self.out.extend_from_slice(std::slice::from_raw_parts(data.cast::<u8>(), len.unsigned_abs()));
            }
        }
    }

    #[inline]
    fn push_float(&mut self, value: f64) {
        if value.is_finite() {
            text::push_number(&mut self.out, zmij::Buffer::new().format_finite(value).as_bytes());
        } else {
            self.out.extend_from_slice(b"null");
        }
    }

    /// Enters a container, or writes a placeholder in its place.
    fn enter(&mut self, container: *mut ffi::PyObject) -> bool {
        if self.path.contains(container) {
            self.placeholder("a cycle");
            return false;
        }
        if self.path.len() >= MAX_DEPTH {
            self.placeholder(&format!("nested deeper than {MAX_DEPTH}"));
            return false;
        }
        self.path.push(container);
        true
    }

    /// # Safety
    /// `dict` is a live `dict` or instance of a subclass.
    unsafe fn write_dict(&mut self, dict: *mut ffi::PyObject) -> Written {
        if !self.enter(dict) {
            return Ok(());
        }
        self.out.push(b'{');
        let mut position: ffi::Py_ssize_t = 0;
        let (mut key, mut value) = (std::ptr::null_mut(), std::ptr::null_mut());
        let mut first = true;
        // SAFETY: key and value are borrowed from the dict. Whatever may run code of the program, which may take them
        // out of the dict, holds them meanwhile; the iteration itself stands any change of the dict. It cannot go on for
        // ever, because the text is bounded.
        unsafe {
            while ffi::PyDict_Next(dict, &raw mut position, &raw mut key, &raw mut value) != 0 {
                self.out.reserve(MEMBER_BYTES);
                if !std::mem::take(&mut first) {
                    text::put_byte(&mut self.out, b',');
                }
                if keys::put_known(self.py, &mut self.out, key) {
                    self.bounded()?;
                    self.write_held(value)?;
                } else if ffi::Py_TYPE(key) == &raw mut ffi::PyUnicode_Type {
                    let begin = self.out.len();
                    self.write_str(key)?;
                    self.out.push(b':');
                    keys::remember(self.py, key, self.out.get(begin..).unwrap_or_default());
                    self.write_held(value)?;
                } else {
                    let held_value: Bound<'_, PyAny> = Bound::from_borrowed_ptr(self.py, value);
                    let held_key: Bound<'_, PyAny> = Bound::from_borrowed_ptr(self.py, key);
                    self.write_key(held_key.as_ptr())?;
                    self.out.push(b':');
                    self.write(held_value.as_ptr())?;
                }
            }
        }
        self.out.push(b'}');
        self.path.pop();
        Ok(())
    }

    /// Writes a value that is borrowed from a container.
    ///
    /// # Safety
    /// `value` is live now.
    #[inline(always)]
    unsafe fn write_held(&mut self, value: *mut ffi::PyObject) -> Written {
        // SAFETY: as the caller says. Texts and numbers run no code; everything else is held while it is written.
        unsafe {
            let kind = ffi::Py_TYPE(value);
            if kind == &raw mut ffi::PyUnicode_Type {
                return self.write_str(value);
            }
            if kind == &raw mut ffi::PyLong_Type {
                return self.write_int(value);
            }
            if value == ffi::Py_None() {
                self.out.extend_from_slice(b"null");
                return Ok(());
            }
            if kind == &raw mut ffi::PyBool_Type {
                if value == ffi::Py_True() {
                    self.out.extend_from_slice(b"true");
                } else {
                    self.out.extend_from_slice(b"false");
                }
                return Ok(());
            }
            if kind == &raw mut ffi::PyFloat_Type {
                self.push_float(ffi::PyFloat_AsDouble(value));
                return Ok(());
            }
            let held: Bound<'_, PyAny> = Bound::from_borrowed_ptr(self.py, value);
            self.write(held.as_ptr())
        }
    }

    /// # Safety
    /// `list` is a live `list` or instance of a subclass.
    unsafe fn write_list(&mut self, list: *mut ffi::PyObject) -> Written {
        if !self.enter(list) {
            return Ok(());
        }
        self.out.push(b'[');
        let mut index: ffi::Py_ssize_t = 0;
        // SAFETY: the size is asked again whenever code of the program may have changed the list; items are held as in a
        // dict.
        unsafe {
            let mut size = ffi::PyList_Size(list);
            let mut foreign = self.foreign;
            while index < size {
                if index > 0 {
                    self.out.push(b',');
                }
                self.write_held(ffi::PyList_GetItem(list, index))?;
                self.bounded()?;
                index += 1;
                if self.foreign != foreign {
                    foreign = self.foreign;
                    size = ffi::PyList_Size(list);
                }
            }
        }
        self.out.push(b']');
        self.path.pop();
        Ok(())
    }

    /// # Safety
    /// `tuple` is a live `tuple` or instance of a subclass.
    unsafe fn write_tuple(&mut self, tuple: *mut ffi::PyObject) -> Written {
        if !self.enter(tuple) {
            return Ok(());
        }
        self.out.push(b'[');
        // SAFETY: a tuple does not change.
        unsafe {
            for index in 0..ffi::PyTuple_Size(tuple) {
                if index > 0 {
                    self.out.push(b',');
                }
                self.write_held(ffi::PyTuple_GetItem(tuple, index))?;
                self.bounded()?;
            }
        }
        self.out.push(b']');
        self.path.pop();
        Ok(())
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
