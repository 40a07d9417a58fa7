//! Dicts, lists and tuples.

use pyo3::ffi;
use pyo3::prelude::*;

use super::{Encoder, MAX_DEPTH, Written, keys, text};

/// Room that is made for a member of an object before it is written: comma and key, and a short value.
const MEMBER_BYTES: usize = 64;
const _: () = assert!(keys::MAX_BYTES < MEMBER_BYTES);

impl Encoder<'_> {
    /// Enters a container, or writes a placeholder in its place.
    pub(super) fn enter(&mut self, container: *mut ffi::PyObject) -> bool {
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
    pub(super) unsafe fn write_dict(&mut self, dict: *mut ffi::PyObject) -> Written {
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
    pub(super) unsafe fn write_list(&mut self, list: *mut ffi::PyObject) -> Written {
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
    pub(super) unsafe fn write_tuple(&mut self, tuple: *mut ffi::PyObject) -> Written {
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
}
