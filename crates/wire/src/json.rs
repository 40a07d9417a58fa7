//! One pass over JSON text: syntax, nesting, escapes and numbers, without building anything.
//!
//! Accepts what RFC 8259 accepts, and beyond it `NaN`, `Infinity` and `-Infinity`, which it reports, so that
//! one such value costs its own span and not the whole body. Works on bytes; whether they are UTF-8 is
//! checked apart. Recursion-free: depth costs one bit a level.

mod members;
mod nesting;
mod number;
mod text;

pub(crate) use members::{member, members};
pub(crate) use text::push_optional_string;
pub use text::push_string;
pub(crate) use text::{compact, unescape};

use endspan_model::limits::MAX_PAYLOAD_DEPTH;
use nesting::Nesting;

/// Where and why text is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Syntax {
    pub(crate) at: usize,
    pub(crate) expected: &'static str,
}

/// What a value holds that deserves a closer look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found(u8);

impl Found {
    /// White space between tokens.
    pub(crate) const WHITE_SPACE: u8 = 1;
    /// A `\u0000` escape.
    pub(crate) const NUL: u8 = 2;
    /// Half a surrogate pair.
    pub(crate) const LONE_SURROGATE: u8 = 4;
    /// `NaN`, `Infinity` or `-Infinity`.
    pub(crate) const NOT_FINITE: u8 = 8;
    /// A number beyond the range of a double.
    pub(crate) const OVERFLOW: u8 = 16;
    /// More than [`MAX_PAYLOAD_DEPTH`] levels.
    pub(crate) const TOO_DEEP: u8 = 32;
    /// An array element that is no object, in a value that is an array.
    pub(crate) const MIXED_ARRAY: u8 = 64;

    pub(crate) const fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    pub(crate) const fn set(&mut self, flag: u8) {
        self.0 |= flag;
    }
}

/// A position in JSON text, and what the values passed so far hold.
pub(crate) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
    pub(crate) found: Found,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, found: Found::default() }
    }

    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// Returns the text from `start` to here.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        self.text.get(start..self.at).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Passes over white space.
    #[inline]
    pub(crate) fn space(&mut self) {
        if self.peek().is_some_and(|byte| byte <= b' ') {
            self.more_space();
        }
    }

    #[cold]
    fn more_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.found.set(Found::WHITE_SPACE);
            self.at += 1;
        }
    }

    /// Passes over this byte, or returns false.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        self.at += usize::from(taken);
        taken
    }

    pub(crate) const fn expected<T>(&self, expected: &'static str) -> Result<T, Syntax> {
        Err(Syntax { at: self.at, expected })
    }

    /// Passes over a key and its colon, from the quote on to the value; returns the key between its quotes.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<&'a [u8], Syntax> {
        if self.peek() != Some(b'"') {
            return self.expected("a key in double quotes");
        }
        let start = self.at + 1;
        self.string()?;
        let key = self.text.get(start..self.at - 1).unwrap_or_default();
        self.space();
        if !self.take(b':') {
            return self.expected("a colon");
        }
        self.space();
        Ok(key)
    }

    /// Passes over one value. White space before it has been passed.
    pub(crate) fn value(&mut self) -> Result<(), Syntax> {
        self.value_within(0)
    }

    /// Passes over one value, and reports an array that holds anything but objects.
    pub(crate) fn payload(&mut self) -> Result<(), Syntax> {
        if !self.take(b'[') {
            return self.value();
        }
        self.space();
        if self.take(b']') {
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'{') {
                self.found.set(Found::MIXED_ARRAY);
            }
            self.value_within(1)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.expected("a comma or ]"),
            }
            self.space();
        }
    }

    fn value_within(&mut self, levels_above: usize) -> Result<(), Syntax> {
        let mut nesting = Nesting::default();
        loop {
            match self.peek() {
                Some(b'"') => self.string()?,
                Some(open @ (b'{' | b'[')) => {
                    self.at += 1;
                    if levels_above + nesting.depth() >= MAX_PAYLOAD_DEPTH {
                        self.found.set(Found::TOO_DEEP);
                    }
                    self.space();
                    let is_object = open == b'{';
                    if !self.take(if is_object { b'}' } else { b']' }) {
                        nesting.push(is_object);
                        if is_object {
                            self.key()?;
                        }
                        continue;
                    }
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.literal(b"true")?,
                Some(b'f') => self.literal(b"false")?,
                Some(b'n') => self.literal(b"null")?,
                Some(b'N' | b'I') => self.not_finite()?,
                _ => return self.expected("a value"),
            }
            loop {
                let Some(in_object) = nesting.top() else { return Ok(()) };
                self.space();
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        self.space();
                        if in_object {
                            self.key()?;
                        }
                        break;
                    }
                    Some(b'}') if in_object => self.at += 1,
                    Some(b']') if !in_object => self.at += 1,
                    _ if in_object => return self.expected("a comma or }"),
                    _ => return self.expected("a comma or ]"),
                }
                nesting.pop();
            }
        }
    }

    fn literal(&mut self, word: &'static [u8]) -> Result<(), Syntax> {
        if !self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return self.expected("a value");
        }
        self.at += word.len();
        Ok(())
    }

    fn not_finite(&mut self) -> Result<(), Syntax> {
        self.found.set(Found::NOT_FINITE);
        self.literal(if self.peek() == Some(b'N') { b"NaN" } else { b"Infinity" })
    }
}

#[cfg(test)]
mod tests;
