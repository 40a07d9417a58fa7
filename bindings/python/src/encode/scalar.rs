//! Texts and numbers.

use std::os::raw::c_int;

use pyo3::ffi;
use pyo3::prelude::*;

use super::{Encoder, Stop, Written, text};

impl<'py> Encoder<'py> {
    /// # Safety
    /// `object` is a live `str` or instance of a subclass.
    #[inline]
    pub(super) unsafe fn write_str(&mut self, object: *mut ffi::PyObject) -> Written {
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
    pub(super) unsafe fn write_int(&mut self, object: *mut ffi::PyObject) -> Written {
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
    pub(super) fn push_float(&mut self, value: f64) {
        if value.is_finite() {
            text::push_number(&mut self.out, zmij::Buffer::new().format_finite(value).as_bytes());
        } else {
            self.out.extend_from_slice(b"null");
        }
    }
}
