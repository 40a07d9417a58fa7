//! Payloads: JSON text that is validated once and then carried untouched.

use std::fmt;

use bytes::Bytes;

use crate::scan;

/// A JSON value as text: key order and number text stay as they came.
///
/// Holding one proves that the text is one well-formed JSON value, valid UTF-8, nested at most
/// [`MAX_PAYLOAD_DEPTH`](crate::limits::MAX_PAYLOAD_DEPTH) deep, free of lone surrogates and of numbers that
/// overflow to infinity, and without white space between tokens. Cloning is cheap (shared bytes).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Payload(Bytes);

/// The outermost form of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadShape {
    /// `null`
    Null,
    /// An object.
    Object,
    /// An array whose elements are all objects (also the empty array).
    ArrayOfObjects,
    /// An array with at least one element that is no object.
    Array,
    /// Text, a number, `true` or `false`.
    Scalar,
}

impl PayloadShape {
    /// Returns the words an error message uses for this shape.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Object => "an object",
            Self::ArrayOfObjects => "an array of objects",
            Self::Array => "an array with elements that are not objects",
            Self::Scalar => "a scalar",
        }
    }
}

/// Why a text is no acceptable payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The text is not one JSON value.
    #[error("not valid JSON: {0}")]
    Syntax(String),
    /// The text is not UTF-8.
    #[error("not valid UTF-8")]
    NotUtf8,
    /// Arrays and objects nest too deep.
    #[error("nested deeper than {} levels", crate::limits::MAX_PAYLOAD_DEPTH)]
    TooDeep,
    /// A `\u` escape names half of a surrogate pair, which no text can hold.
    #[error("holds a lone surrogate escape")]
    LoneSurrogate,
    /// A number's magnitude is beyond what a double holds.
    #[error("holds a number that overflows")]
    NumberOverflow,
}

/// What to do with characters that some stores cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Characters {
    /// Keep NUL escapes, refuse lone surrogates (`agentex-api` rows 26 and 28).
    #[default]
    Strict,
    /// Replace both by U+FFFD (`sgp-api` section 4, rule 4).
    Replace,
}

impl Payload {
    /// Validates a text as a whole. The bytes are kept without copying unless white space must go.
    ///
    /// # Errors
    /// [`PayloadError`] says what is wrong with the text.
    pub fn parse(text: impl Into<Bytes>) -> Result<Self, PayloadError> {
        let text = text.into();
        let valid = simdutf8::basic::from_utf8(&text).map_err(|_| PayloadError::NotUtf8)?;
        serde_json::from_str::<&serde_json::value::RawValue>(valid)
            .map_err(|error| PayloadError::Syntax(error.to_string()))?;
        Self::from_json(text, Characters::Strict)
    }

    /// Takes a text that a JSON parser has already found well-formed (a `RawValue`'s text), and checks
    /// only what parsers let pass: depth, lone surrogates, numbers that overflow.
    ///
    /// On text that is not well-formed JSON the result is a payload or an error, never a panic.
    ///
    /// # Errors
    /// [`PayloadError`] other than `Syntax`.
    pub fn from_json(text: Bytes, characters: Characters) -> Result<Self, PayloadError> {
        let found = scan::scan(&text)?;
        let replace = characters == Characters::Replace && (found.lone_surrogate || found.nul);
        if found.lone_surrogate && !replace {
            return Err(PayloadError::LoneSurrogate);
        }
        if found.white_space || replace {
            return Ok(Self(scan::rewrite(&text, replace).into()));
        }
        Ok(Self(text))
    }

    /// Serializes a value.
    ///
    /// # Errors
    /// [`PayloadError::Syntax`] when the value does not serialize; the others as for [`Payload::parse`].
    pub fn from_value(value: &serde_json::Value) -> Result<Self, PayloadError> {
        let text = serde_json::to_vec(value).map_err(|error| PayloadError::Syntax(error.to_string()))?;
        Self::from_json(text.into(), Characters::Strict)
    }

    /// Wraps bytes that came out of a payload before (a store's own block, a spool record).
    ///
    /// The caller vouches for them: nothing is checked.
    pub const fn from_trusted(text: Bytes) -> Self {
        Self(text)
    }

    /// Returns `{}`.
    pub const fn empty_object() -> Self {
        Self(Bytes::from_static(b"{}"))
    }

    /// Returns the text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the shared bytes of the text.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// Returns the text, or `null` if trusted bytes were no UTF-8 after all.
    pub fn as_str(&self) -> &str {
        simdutf8::basic::from_utf8(&self.0).unwrap_or("null")
    }

    /// Returns the bytes of the text.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the text is empty, which no parsed payload is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the outermost form. Linear in the text for arrays, constant otherwise.
    pub fn shape(&self) -> PayloadShape {
        match self.0.first() {
            Some(b'{') => PayloadShape::Object,
            Some(b'[') if scan::array_holds_only_objects(&self.0) => PayloadShape::ArrayOfObjects,
            Some(b'[') => PayloadShape::Array,
            Some(b'n') => PayloadShape::Null,
            _ => PayloadShape::Scalar,
        }
    }

    /// Returns whether this is `{}` or `[]`.
    pub fn is_empty_container(&self) -> bool {
        matches!(&*self.0, b"{}" | b"[]")
    }

    /// Parses the text into a tree; `null` if trusted bytes were no JSON after all.
    ///
    /// For readers that need the inside; the text itself stays the truth.
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::from_slice(&self.0).unwrap_or(serde_json::Value::Null)
    }

    /// Returns the members of an object in order with their raw text, or `None` if this is no object.
    /// A repeated key appears as often as it is written.
    pub fn members(&self) -> Option<Vec<(String, Payload)>> {
        scan::members(&self.0)
    }

    /// Returns the value of a top-level key of an object; the last one when the key repeats.
    pub fn get(&self, key: &str) -> Option<Payload> {
        if self.0.first() != Some(&b'{') || memchr::memmem::find(&self.0, key.as_bytes()).is_none() {
            return None;
        }
        self.members()?.into_iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Returns the text of a top-level string member of an object.
    pub fn get_str(&self, key: &str) -> Option<String> {
        serde_json::from_slice(self.get(key)?.as_bytes()).ok()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Payload({})", self.as_str())
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
