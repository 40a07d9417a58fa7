//! The containers that are being written.

use pyo3::ffi;

/// As deep as payloads are as a rule: that much needs no block of the heap.
const NEAR: usize = 8;

/// Containers inside each other, outermost first.
pub(super) struct Path {
    near: [*mut ffi::PyObject; NEAR],
    far: Vec<*mut ffi::PyObject>,
    len: usize,
}

impl Default for Path {
    fn default() -> Self {
        Self { near: [std::ptr::null_mut(); NEAR], far: Vec::new(), len: 0 }
    }
}

impl Path {
    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn contains(&self, container: *mut ffi::PyObject) -> bool {
        let near = self.near.get(..self.len).unwrap_or(&self.near);
        near.contains(&container) || !self.far.is_empty() && self.far.contains(&container)
    }

    #[inline]
    pub(super) fn push(&mut self, container: *mut ffi::PyObject) {
        match self.near.get_mut(self.len) {
            Some(place) => *place = container,
            None => self.far.push(container),
        }
        self.len += 1;
    }

    #[inline]
    pub(super) fn pop(&mut self) {
        self.truncate(self.len.saturating_sub(1));
    }

    #[inline]
    pub(super) fn truncate(&mut self, len: usize) {
        if len < self.len {
            self.len = len;
            self.far.truncate(len.saturating_sub(NEAR));
        }
    }

    pub(super) fn clear(&mut self) {
        self.truncate(0);
    }
}
