//! What is wrong with a body, and where.

use std::fmt;

use endspan_model::limits;

/// A mistake in a request body: which field, what it should have been, and what it was.
///
/// `Display` gives one line for the client, for example
/// `items[3].input: expected an object, found an array`. It never repeats payload text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct DecodeError {
    /// The path of the field: `name`, `items[3].input`, `[3].input` in a body that is an array, or `body`
    /// when the body as a whole is meant.
    pub path: String,
    /// What was expected, in words.
    pub expected: &'static str,
    /// What was found instead.
    pub kind: DecodeErrorKind,
}

/// What was found instead of what an API expects.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The body is not well-formed JSON from this byte on.
    Syntax {
        /// Bytes from the start of the body.
        offset: usize,
    },
    /// Bytes that are no UTF-8.
    NotUtf8,
    /// A required field is absent.
    Missing,
    /// A value of another JSON type.
    WrongType {
        /// The type in words, for example `an array`.
        found: &'static str,
    },
    /// A text of more characters than the limit.
    TooManyCharacters {
        /// The characters it has.
        characters: usize,
    },
    /// A text of more UTF-8 bytes than the limit.
    TooManyBytes {
        /// The bytes it has.
        bytes: usize,
    },
    /// A NUL character.
    Nul,
    /// A `\u` escape that names half of a surrogate pair.
    LoneSurrogate,
    /// `NaN` or `Infinity`.
    NotFinite,
    /// A number beyond the range of a double.
    NumberOverflow,
    /// Arrays and objects nested deeper than [`limits::MAX_PAYLOAD_DEPTH`].
    TooDeep,
    /// A text or number that is no time in years 1 to 9999.
    BadTime,
    /// A text that is not one of the names allowed.
    UnknownName {
        /// The text, cut to 40 characters.
        name: String,
    },
    /// A text that is not the required count of lower-case hexadecimal digits.
    BadHex,
    /// The span ends before it starts.
    EndBeforeStart,
    /// The field is only allowed together with another one, which is absent.
    WithoutCompanion {
        /// The absent field.
        companion: &'static str,
    },
    /// A batch of more than [`limits::MAX_BATCH_SPANS`] items.
    TooManyItems,
}

impl DecodeErrorKind {
    /// Returns whether the SGP API answers 400 to this mistake in an id rather than its usual 422: more
    /// bytes than the limit, a NUL, text that is no Unicode (`sgp-api` 3.1 and section 4, rule 4). The
    /// Agentex API answers 422 to every mistake in a body.
    pub const fn is_bad_request(&self) -> bool {
        matches!(self, Self::TooManyBytes { .. } | Self::Nul | Self::LoneSurrogate | Self::NotUtf8)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: expected {}, ", self.path, self.expected)?;
        match &self.kind {
            DecodeErrorKind::Missing => formatter.write_str("but it is missing"),
            kind => write!(formatter, "found {kind}"),
        }
    }
}

impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { offset } => write!(formatter, "malformed JSON at byte {offset}"),
            Self::NotUtf8 => formatter.write_str("bytes that are not UTF-8"),
            Self::Missing => formatter.write_str("nothing"),
            Self::WrongType { found } => formatter.write_str(found),
            Self::TooManyCharacters { characters } => write!(formatter, "{characters} characters"),
            Self::TooManyBytes { bytes } => write!(formatter, "{bytes} bytes"),
            Self::Nul => formatter.write_str("a NUL character"),
            Self::LoneSurrogate => formatter.write_str("a lone surrogate escape"),
            Self::NotFinite => formatter.write_str("NaN or Infinity"),
            Self::NumberOverflow => formatter.write_str("a number that overflows"),
            Self::TooDeep => {
                write!(formatter, "more than {} levels of nesting", limits::MAX_PAYLOAD_DEPTH)
            }
            Self::BadTime => formatter.write_str("another value"),
            Self::UnknownName { name } => write!(formatter, "{name:?}"),
            Self::BadHex => formatter.write_str("another text"),
            Self::EndBeforeStart => formatter.write_str("an earlier time"),
            Self::WithoutCompanion { companion } => write!(formatter, "no {companion}"),
            Self::TooManyItems => formatter.write_str("more"),
        }
    }
}
