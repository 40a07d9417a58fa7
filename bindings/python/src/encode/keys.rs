//! Keys of objects that were written before: the same few, over and over.

use std::cell::UnsafeCell;

use pyo3::ffi;
use pyo3::prelude::*;

use super::text;

/// Keys remembered, at most.
const PLACES: usize = 256;
/// Most bytes of a key with its quotes and colon.
pub(super) const MAX_BYTES: usize = 23;

/// A key that is held, so that no other text gets its address, and what is written of it.
#[derive(Clone, Copy)]
struct Known {
    key: *mut ffi::PyObject,
    len: u8,
    text: [u8; MAX_BYTES],
}

struct Table(UnsafeCell<[Known; PLACES]>);

// SAFETY: it is only reached with the GIL held, and nothing that could let go of the GIL is called meanwhile.
unsafe impl Sync for Table {}

static KNOWN: Table =
    Table(UnsafeCell::new([Known { key: std::ptr::null_mut(), len: 0, text: [0; MAX_BYTES] }; PLACES]));

#[inline]
fn place_of(key: *mut ffi::PyObject) -> usize {
    // Objects are 16 bytes apart, and texts of one program often in a row.
    let address = key as usize >> 4;
    (address ^ address >> 8) % PLACES
}

/// Appends a key, quotes and colon, if it is known.
///
/// # Safety
/// There is room for [`MAX_BYTES`].
#[inline(always)]
pub(super) unsafe fn put_known(_: Python<'_>, out: &mut Vec<u8>, key: *mut ffi::PyObject) -> bool {
    // SAFETY: the GIL is held, and nobody else refers into the table.
    let table = unsafe { &*KNOWN.0.get() };
    let Some(known) = table.get(place_of(key)).filter(|known| std::ptr::eq(known.key, key)) else {
        return false;
    };
    // SAFETY: as the caller says.
    unsafe { text::put_block(out, &known.text, usize::from(known.len)) };
    true
}

/// Remembers what was written of a key, quotes and colon, if it is short.
///
/// # Safety
/// `key` is a live `str`, of that very type, so that it never changes.
pub(super) unsafe fn remember(_: Python<'_>, key: *mut ffi::PyObject, written: &[u8]) {
    let mut text = [0; MAX_BYTES];
    let Some(place) = text.get_mut(..written.len()) else { return };
    place.copy_from_slice(written);
    // SAFETY: the GIL is held, and nobody else refers into the table; letting go of a `str` runs no code.
    unsafe {
        let table = &mut *KNOWN.0.get();
        let Some(known) = table.get_mut(place_of(key)) else { return };
        ffi::Py_INCREF(key);
        let before = std::mem::replace(known, Known { key, len: written.len() as u8, text });
        ffi::Py_XDECREF(before.key);
    }
}
