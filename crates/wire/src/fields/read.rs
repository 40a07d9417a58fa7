use std::borrow::Cow;

use bytes::Bytes;
use endspan_model::payload::Characters;
use endspan_model::{Payload, Timestamp, limits};

use super::{Item, Slot, describe};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::json::{Found, compact, unescape};
use crate::time;

/// Which payloads a field takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shapes {
    Object,
    ObjectOrObjects,
}

impl Shapes {
    const fn expected(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::ObjectOrObjects => "an object or an array of objects",
        }
    }
}

impl<'a, const N: usize> Item<'a, N> {
    pub(crate) fn error(&self, field: usize, expected: &'static str, kind: DecodeErrorKind) -> DecodeError {
        self.place.error(self.names.get(field).copied().unwrap_or_default(), expected, kind)
    }

    /// Returns the raw value, or `None` if it is absent or null.
    fn slot(&self, field: usize) -> Option<Slot<'a>> {
        self.slots.get(field).copied().flatten().filter(|slot| slot.text != b"null")
    }

    fn wrong_type(&self, field: usize, expected: &'static str, slot: Slot<'_>) -> DecodeError {
        self.error(field, expected, DecodeErrorKind::WrongType { found: describe(slot.text) })
    }

    /// Returns the value, or why a required field has none.
    pub(crate) fn required<T>(
        &self,
        field: usize,
        expected: &'static str,
        value: Option<T>,
    ) -> Result<T, DecodeError> {
        value.ok_or_else(|| {
            let kind = match self.slots.get(field).copied().flatten() {
                Some(_) => DecodeErrorKind::WrongType { found: "null" },
                None => DecodeErrorKind::Missing,
            };
            self.error(field, expected, kind)
        })
    }

    /// Reads an id: at most 256 characters and bytes, without NUL.
    pub(crate) fn id(&self, field: usize) -> Result<Option<String>, DecodeError> {
        let Some(text) = self.text(field, Characters::Strict)? else { return Ok(None) };
        self.check_length(field, text).map(Some)
    }

    /// Reads an id in which NUL and half surrogates become U+FFFD.
    pub(crate) fn replaced_id(&self, field: usize) -> Result<Option<String>, DecodeError> {
        let Some(text) = self.text(field, Characters::Replace)? else { return Ok(None) };
        self.check_length(field, text).map(Some)
    }

    fn check_length(&self, field: usize, text: String) -> Result<String, DecodeError> {
        if text.len() > limits::MAX_ID_BYTES {
            let characters = text.chars().count();
            return Err(if characters > limits::MAX_ID_CHARS {
                let kind = DecodeErrorKind::TooManyCharacters { characters };
                self.error(field, "at most 256 characters", kind)
            } else {
                let kind = DecodeErrorKind::TooManyBytes { bytes: text.len() };
                self.error(field, "at most 256 bytes in UTF-8", kind)
            });
        }
        Ok(text)
    }

    /// Reads a span's name.
    pub(crate) fn name(&self, field: usize, characters: Characters) -> Result<Option<String>, DecodeError> {
        let Some(text) = self.text(field, characters)? else { return Ok(None) };
        if text.len() > limits::MAX_NAME_BYTES {
            // Characters, so that the SGP API answers its 422 for a field whose byte rule it does not state.
            let kind = DecodeErrorKind::TooManyCharacters { characters: text.chars().count() };
            return Err(self.error(field, "at most 16384 bytes in UTF-8", kind));
        }
        Ok(Some(text))
    }

    fn text(&self, field: usize, characters: Characters) -> Result<Option<String>, DecodeError> {
        let Some(slot) = self.slot(field) else { return Ok(None) };
        let content = slot
            .text
            .strip_prefix(b"\"")
            .and_then(|text| text.strip_suffix(b"\""))
            .ok_or_else(|| self.wrong_type(field, "a string", slot))?;
        if characters == Characters::Strict {
            let kind = if slot.found.has(Found::NUL) {
                Some(DecodeErrorKind::Nul)
            } else if slot.found.has(Found::LONE_SURROGATE) {
                Some(DecodeErrorKind::LoneSurrogate)
            } else if !self.body.is_utf8 && std::str::from_utf8(content).is_err() {
                Some(DecodeErrorKind::NotUtf8)
            } else {
                None
            };
            if let Some(kind) = kind {
                return Err(self.error(field, "a string of Unicode text without NUL", kind));
            }
        }
        let text = unescape(content).into_owned();
        Ok(Some(if slot.found.has(Found::NUL) { text.replace('\0', "\u{FFFD}") } else { text }))
    }

    /// Reads a time in any of the forms of [`time`].
    pub(crate) fn time(&self, field: usize) -> Result<Option<Timestamp>, DecodeError> {
        const EXPECTED: &str = "a time: ISO 8601 text or Unix seconds, in years 1 to 9999";
        let Some(slot) = self.slot(field) else { return Ok(None) };
        let time = match slot.text {
            [b'"', content @ .., b'"'] => time::parse_text(unescape(content).as_bytes()),
            [b'-' | b'0'..=b'9', ..] => time::parse_number(slot.text),
            _ => return Err(self.wrong_type(field, EXPECTED, slot)),
        };
        time.map(Some).ok_or_else(|| self.error(field, EXPECTED, DecodeErrorKind::BadTime))
    }

    /// Reads a text that must be one of an enumeration's names.
    pub(crate) fn choice<T>(
        &self,
        field: usize,
        expected: &'static str,
        from_name: fn(&str) -> Option<T>,
    ) -> Result<Option<T>, DecodeError> {
        let Some(slot) = self.slot(field) else { return Ok(None) };
        if !slot.text.starts_with(b"\"") {
            return Err(self.wrong_type(field, expected, slot));
        }
        let text = self.text(field, Characters::Replace)?.unwrap_or_default();
        from_name(&text).map(Some).ok_or_else(|| {
            let name = text.chars().take(40).collect();
            self.error(field, expected, DecodeErrorKind::UnknownName { name })
        })
    }

    /// Reads a text of exactly this many lower-case hexadecimal digits.
    pub(crate) fn hex(
        &self,
        field: usize,
        digits: usize,
        expected: &'static str,
    ) -> Result<Option<String>, DecodeError> {
        let Some(text) = self.text(field, Characters::Replace)? else { return Ok(None) };
        if !is_lower_hex(&text, digits) {
            return Err(self.error(field, expected, DecodeErrorKind::BadHex));
        }
        Ok(Some(text))
    }

    /// Reads a payload: a slice of the body, copied only if white space or characters must go.
    pub(crate) fn payload(
        &self,
        field: usize,
        shapes: Shapes,
        characters: Characters,
    ) -> Result<Option<Payload>, DecodeError> {
        let Some(slot) = self.slot(field) else { return Ok(None) };
        let found = match slot.text.first() {
            Some(b'{') => None,
            Some(b'[') if shapes == Shapes::Object => Some("an array"),
            Some(b'[') if slot.found.has(Found::MIXED_ARRAY) => {
                Some("an array with elements that are not objects")
            }
            Some(b'[') => None,
            _ => Some(describe(slot.text)),
        };
        if let Some(found) = found {
            return Err(self.error(field, shapes.expected(), DecodeErrorKind::WrongType { found }));
        }
        let strict = characters == Characters::Strict;
        let replaceable = Found::NUL | Found::LONE_SURROGATE;
        for (flag, expected, kind) in [
            (Found::TOO_DEEP, "at most 512 levels of nesting", DecodeErrorKind::TooDeep),
            (Found::NOT_FINITE, "finite numbers", DecodeErrorKind::NotFinite),
            (Found::OVERFLOW, "numbers within the range of a double", DecodeErrorKind::NumberOverflow),
            (Found::LONE_SURROGATE, "Unicode text", DecodeErrorKind::LoneSurrogate),
        ] {
            if slot.found.has(flag) && (strict || flag != Found::LONE_SURROGATE) {
                return Err(self.error(field, expected, kind));
            }
        }
        let is_utf8 = self.body.is_utf8 || std::str::from_utf8(slot.text).is_ok();
        if !is_utf8 && strict {
            return Err(self.error(field, "text in UTF-8", DecodeErrorKind::NotUtf8));
        }
        // The cursor has checked all that a payload promises, so what needs no other characters is trusted.
        if is_utf8 && (strict || !slot.found.has(replaceable)) {
            let text = if slot.found.has(Found::WHITE_SPACE) {
                Bytes::from(compact(slot.text))
            } else {
                self.body.bytes.slice_ref(slot.text)
            };
            return Ok(Some(Payload::from_trusted(text)));
        }
        let text = if is_utf8 {
            self.body.bytes.slice_ref(slot.text)
        } else {
            match String::from_utf8_lossy(slot.text) {
                Cow::Borrowed(_) => self.body.bytes.slice_ref(slot.text),
                Cow::Owned(text) => Bytes::from(text),
            }
        };
        let payload = Payload::from_json(text, characters)
            .map_err(|_| self.error(field, "well-formed JSON", DecodeErrorKind::Syntax { offset: 0 }))?;
        Ok(Some(payload))
    }
}

pub(crate) fn is_lower_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
