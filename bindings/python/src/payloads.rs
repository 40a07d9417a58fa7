//! The payloads of one span, encoded behind one another in one buffer that is kept for the next span.

use std::borrow::Cow;
use std::cell::UnsafeCell;
use std::ops::Range;

use endspan::Tracer;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::encode::Encoder;

/// Buffers up to this size are kept.
const KEPT_BYTES: usize = 512 * 1024;

/// A buffer that the GIL guards.
struct Kept(UnsafeCell<Vec<u8>>);

// SAFETY: it is only reached with the GIL held, for as long as it takes to move the buffer out or in.
unsafe impl Sync for Kept {}

static BUFFER: Kept = Kept(UnsafeCell::new(Vec::new()));

/// Takes the buffer. Encoding runs code of the program, which may let go of the GIL, or end a span meanwhile: whoever comes
/// then finds none, and allocates its own.
pub(crate) fn take_buffer(_: Python<'_>) -> Vec<u8> {
    // SAFETY: the GIL is held, and nobody else refers to the buffer while it is moved.
    let mut buffer = std::mem::take(unsafe { &mut *BUFFER.0.get() });
    buffer.clear();
    buffer
}

/// Keeps a buffer for the next span, unless it has grown large.
pub(crate) fn keep_buffer(_: Python<'_>, buffer: Vec<u8>) {
    if buffer.capacity() <= KEPT_BYTES {
        // SAFETY: as above; the buffer that was there is freed afterwards.
        drop(std::mem::replace(unsafe { &mut *BUFFER.0.get() }, buffer));
    }
}

/// Input, output, data and expected.
pub(crate) struct Payloads {
    buffer: Vec<u8>,
    ranges: [Range<usize>; 4],
    placeholders: u64,
    interrupt: Option<PyErr>,
}

impl Payloads {
    /// Encodes payloads, the third one with further members.
    pub(crate) fn encode<'py>(
        py: Python<'py>,
        values: [Option<&Bound<'py, PyAny>>; 4],
        extra: Option<&Bound<'py, PyDict>>,
    ) -> Self {
        let mut encoder = Encoder::new(py, take_buffer(py));
        let mut ranges = [const { 0..0 }; 4];
        for (index, (value, range)) in values.into_iter().zip(&mut ranges).enumerate() {
            let begin = encoder.len();
            match (value.filter(|value| !value.is_none()), extra.filter(|_| index == 2)) {
                (data, Some(extra)) => encoder.push_merged(data, extra),
                (Some(value), None) => encoder.push(value),
                (None, None) => {}
            }
            *range = begin..encoder.len();
        }
        let (placeholders, interrupt) = (encoder.placeholders, encoder.interrupt.take());
        Self { buffer: encoder.finish(), ranges, placeholders, interrupt }
    }

    /// Encodes input and data as far as they are small and plain, for a start.
    pub(crate) fn peek<'py>(
        py: Python<'py>,
        input: Option<&Bound<'py, PyAny>>,
        data: Option<&Bound<'py, PyAny>>,
        max_bytes: usize,
    ) -> Self {
        let mut encoder = Encoder::new(py, take_buffer(py));
        let mut ranges = [const { 0..0 }; 4];
        for (index, value) in [(0, input), (2, data)] {
            let Some(value) = value else { continue };
            let begin = encoder.len();
            if encoder.push_if_small(value, max_bytes)
                && let Some(range) = ranges.get_mut(index)
            {
                *range = begin..encoder.len();
            }
        }
        Self { buffer: encoder.finish(), ranges, placeholders: 0, interrupt: None }
    }

    /// Returns a payload's text. Empty ones are none (`sdk-behaviour` rows 6 and 17).
    pub(crate) fn get(&self, index: usize) -> Option<&[u8]> {
        let text = self.buffer.get(self.ranges.get(index)?.clone())?;
        let absent = matches!(text, b"" | b"null" | b"{}" | b"[]" | b"\"\"" | b"0" | b"0.0" | b"false");
        (!absent).then_some(text)
    }

    /// Keeps the buffer, counts the placeholders, and hands on what interrupted the program.
    pub(crate) fn done(self, py: Python<'_>, tracer: &Tracer) -> PyResult<()> {
        if self.placeholders > 0 {
            tracer.note_unencodable(self.placeholders);
        }
        keep_buffer(py, self.buffer);
        match self.interrupt {
            Some(interrupt) => Err(interrupt),
            None => Ok(()),
        }
    }
}

/// Returns the text of anything: a `str` as it is, else its `str()`. `None` for `None` and for what cannot say.
pub(crate) fn text_of<'py>(value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyString>> {
    if value.is_none() {
        return None;
    }
    match value.cast::<PyString>() {
        Ok(text) => Some(text.clone()),
        Err(_) => value.str().ok(),
    }
}

/// Returns the same as a Rust text.
pub(crate) fn text(value: &Bound<'_, PyAny>) -> Option<String> {
    text_of(value).map(|text| lossy(&text).into_owned())
}

/// Returns a text's characters; lone surrogates are replaced.
pub(crate) fn lossy<'a>(text: &'a Bound<'_, PyString>) -> Cow<'a, str> {
    match text.to_str() {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => text.to_string_lossy().into_owned().into(),
    }
}
