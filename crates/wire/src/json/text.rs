use std::borrow::Cow;

use super::{Cursor, Found, Syntax};

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks the bytes of a word that end a run of plain string content: quote, backslash, control characters.
/// The lowest mark is exact; marks above it may be false (a borrow passes through).
#[inline]
const fn special_bytes(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let is_quote = quote.wrapping_sub(ONES) & !quote;
    let is_backslash = backslash.wrapping_sub(ONES) & !backslash;
    let is_control = word.wrapping_sub(ONES * 0x20) & !word;
    (is_quote | is_backslash | is_control) & HIGHS
}

/// Bytes looked at together once a string has proved long.
const CHUNK: usize = 16;

/// Returns the position of the next quote, backslash or control character, or the end.
#[inline]
fn next_special(text: &[u8], mut at: usize) -> usize {
    // Keys and short values end within two words; only longer text pays for the wide loop's start.
    for _ in 0..2 {
        let Some(word) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) else { break };
        let marks = special_bytes(u64::from_le_bytes(*word));
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    next_special_far(text, at)
}

#[inline(never)]
fn next_special_far(text: &[u8], mut at: usize) -> usize {
    // Written so that the compiler compares a chunk's bytes side by side.
    while let Some(chunk) = text.get(at..).and_then(|rest| rest.first_chunk::<CHUNK>()) {
        let any =
            chunk.iter().fold(false, |any, byte| any | (*byte == b'"') | (*byte == b'\\') | (*byte < 0x20));
        if any {
            break;
        }
        at += CHUNK;
    }
    while let Some(word) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let marks = special_bytes(u64::from_le_bytes(*word));
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(&byte) = text.get(at) {
        if byte == b'"' || byte == b'\\' || byte < 0x20 {
            return at;
        }
        at += 1;
    }
    text.len()
}

impl Cursor<'_> {
    /// Passes over a string, from its opening quote to behind its closing one.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<(), Syntax> {
        self.at += 1;
        loop {
            self.at = next_special(self.text, self.at);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return self.expected("no control characters in a string"),
                None => return self.expected("a closing double quote"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Syntax> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let Some(unit) = code_unit(self.text, self.at) else {
                    return self.expected("four hexadecimal digits in an escape");
                };
                self.at += 6;
                match unit {
                    0 => self.found.set(Found::NUL),
                    0xD800..=0xDBFF => match code_unit(self.text, self.at) {
                        Some(0xDC00..=0xDFFF) => self.at += 6,
                        _ => self.found.set(Found::LONE_SURROGATE),
                    },
                    0xDC00..=0xDFFF => self.found.set(Found::LONE_SURROGATE),
                    _ => {}
                }
            }
            _ => return self.expected("a known escape"),
        }
        Ok(())
    }
}

/// Returns the code unit of a `\uXXXX` escape at `at`.
fn code_unit(text: &[u8], at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0_u16, |unit, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | digit as u16)
    })
}

/// Returns the text that well-formed string content (between the quotes) stands for. Half a surrogate pair
/// and bytes that are no UTF-8 become U+FFFD.
pub(crate) fn unescape(content: &[u8]) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(b'\\', content) else {
        return String::from_utf8_lossy(content);
    };
    let mut text = String::with_capacity(content.len());
    let mut rest = content;
    let mut next = Some(first);
    while let Some(offset) = next {
        let (plain, escape) = rest.split_at_checked(offset).unwrap_or((rest, b""));
        text.push_str(&String::from_utf8_lossy(plain));
        let (character, length) = unescape_one(escape);
        text.push(character);
        rest = escape.get(length..).unwrap_or_default();
        next = memchr::memchr(b'\\', rest);
    }
    text.push_str(&String::from_utf8_lossy(rest));
    Cow::Owned(text)
}

/// Returns the character of the escape at the start of `text` and the bytes it takes.
fn unescape_one(text: &[u8]) -> (char, usize) {
    let simple = match text.get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => {
            let unit = u32::from(code_unit(text, 0).unwrap_or(0xD800));
            let low = code_unit(text, 6).map(u32::from);
            return match (unit, low) {
                (0xD800..=0xDBFF, Some(low @ 0xDC00..=0xDFFF)) => {
                    let code = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                    (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
                }
                _ => (char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
            };
        }
        Some(other) => char::from(*other),
        None => char::REPLACEMENT_CHARACTER,
    };
    (simple, 2)
}

/// Appends a text as [`push_string`] does, or `null` where there is none.
pub(crate) fn push_optional_string(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => push_string(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

/// Appends a text as a JSON string in double quotes; non-ASCII characters stay as they are.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let offset = next_special(rest, 0);
        let (plain, special) = rest.split_at_checked(offset).unwrap_or((rest, b""));
        out.extend_from_slice(plain);
        let Some((&byte, after)) = special.split_first() else { break };
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x8 => out.extend_from_slice(b"\\b"),
            0xc => out.extend_from_slice(b"\\f"),
            control => {
                let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[digit(control >> 4), digit(control & 15)]);
            }
        }
        rest = after;
    }
    out.push(b'"');
}

/// Copies well-formed JSON text without the white space between tokens.
pub(crate) fn compact(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut run_start = 0;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => {
                at = next_special(text, at + 1);
                while text.get(at) == Some(&b'\\') {
                    at = next_special(text, at + 2);
                }
                at += 1;
            }
            b' ' | b'\t' | b'\n' | b'\r' => {
                out.extend_from_slice(text.get(run_start..at).unwrap_or_default());
                at += 1;
                while let Some(b' ' | b'\t' | b'\n' | b'\r') = text.get(at) {
                    at += 1;
                }
                run_start = at;
            }
            _ => at += 1,
        }
    }
    out.extend_from_slice(text.get(run_start..).unwrap_or_default());
    out
}
