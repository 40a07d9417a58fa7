//! One pass over well-formed JSON text for what parsers let pass. Never panics, also on malformed text.

use bytes::Bytes;

use crate::limits::MAX_PAYLOAD_DEPTH;
use crate::payload::{Payload, PayloadError};

/// What a pass found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// White space stands between tokens.
    pub(crate) white_space: bool,
    /// A `\u0000` escape.
    pub(crate) nul: bool,
    /// A `\ud800`..`\udfff` escape without its other half.
    pub(crate) lone_surrogate: bool,
}

/// A magnitude below this many characters without an exponent cannot overflow a double.
const SAFE_NUMBER_CHARS: usize = 300;

pub(crate) fn scan(text: &[u8]) -> Result<Scan, PayloadError> {
    let mut found = Scan::default();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => at = scan_string(text, at + 1, &mut found),
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_PAYLOAD_DEPTH {
                    return Err(PayloadError::TooDeep);
                }
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            b'-' | b'0'..=b'9' => at = scan_number(text, at)?,
            b' ' | b'\t' | b'\n' | b'\r' => {
                found.white_space = true;
                at += 1;
            }
            _ => at += 1,
        }
    }
    Ok(found)
}

/// Passes over a string's content from `at`; returns the position after its closing quote.
fn scan_string(text: &[u8], mut at: usize, found: &mut Scan) -> usize {
    loop {
        let Some(rest) = text.get(at..) else { return text.len() };
        let Some(offset) = memchr::memchr2(b'"', b'\\', rest) else { return text.len() };
        at += offset;
        if rest.get(offset) == Some(&b'"') {
            return at + 1;
        }
        match Escape::read(text, at) {
            Escape::Nul => {
                found.nul = true;
                at += 6;
            }
            Escape::LoneSurrogate => {
                found.lone_surrogate = true;
                at += 6;
            }
            Escape::Pair => at += 12,
            Escape::Other => at += 2,
        }
    }
}

fn scan_number(text: &[u8], start: usize) -> Result<usize, PayloadError> {
    let rest = text.get(start..).unwrap_or_default();
    let length = rest
        .iter()
        .position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
        .unwrap_or(rest.len());
    let number = rest.get(..length).unwrap_or_default();
    let may_overflow = length > SAFE_NUMBER_CHARS || memchr::memchr2(b'e', b'E', number).is_some();
    if may_overflow {
        let value = std::str::from_utf8(number).ok().and_then(|text| text.parse::<f64>().ok());
        if value.is_some_and(f64::is_infinite) {
            return Err(PayloadError::NumberOverflow);
        }
    }
    Ok(start + length.max(1))
}

enum Escape {
    Nul,
    LoneSurrogate,
    Pair,
    Other,
}

impl Escape {
    /// Reads the escape whose backslash stands at `at`.
    fn read(text: &[u8], at: usize) -> Self {
        match code_unit(text, at) {
            Some(0) => Self::Nul,
            Some(0xD800..=0xDBFF) => match code_unit(text, at + 6) {
                Some(0xDC00..=0xDFFF) => Self::Pair,
                _ => Self::LoneSurrogate,
            },
            Some(0xDC00..=0xDFFF) => Self::LoneSurrogate,
            _ => Self::Other,
        }
    }
}

/// Returns the code unit of a `\uXXXX` escape at `at`.
fn code_unit(text: &[u8], at: usize) -> Option<u16> {
    let escape = text.get(at..at + 6)?;
    let digits = escape.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Copies JSON text without white space between tokens; with `replace`, NUL and lone surrogate escapes
/// become U+FFFD.
pub(crate) fn rewrite(text: &[u8], replace: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => at += 1,
            b'"' => at = rewrite_string(text, at, replace, &mut out),
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

fn rewrite_string(text: &[u8], start: usize, replace: bool, out: &mut Vec<u8>) -> usize {
    out.push(b'"');
    let mut at = start + 1;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let Some(offset) = memchr::memchr2(b'"', b'\\', rest) else {
            out.extend_from_slice(rest);
            return text.len();
        };
        out.extend_from_slice(rest.get(..offset).unwrap_or_default());
        at += offset;
        if text.get(at) == Some(&b'"') {
            out.push(b'"');
            return at + 1;
        }
        let length = match Escape::read(text, at) {
            Escape::Nul | Escape::LoneSurrogate if replace => {
                out.extend_from_slice("\u{FFFD}".as_bytes());
                at += 6;
                continue;
            }
            Escape::Nul | Escape::LoneSurrogate => 6,
            Escape::Pair => 12,
            Escape::Other => 2,
        };
        let end = (at + length).min(text.len());
        out.extend_from_slice(text.get(at..end).unwrap_or_default());
        at = end;
    }
}

/// Returns whether every element of the array is an object. The text has no white space between tokens.
pub(crate) fn array_holds_only_objects(text: &[u8]) -> bool {
    let mut ignored = Scan::default();
    let mut depth = 0_usize;
    let mut at = 0;
    let mut element_starts = false;
    while let Some(&byte) = text.get(at) {
        if element_starts && depth == 1 && !matches!(byte, b'{' | b']') {
            return false;
        }
        element_starts = false;
        match byte {
            b'"' => {
                at = scan_string(text, at + 1, &mut ignored);
                continue;
            }
            b'{' => depth += 1,
            b'[' => {
                depth += 1;
                element_starts = depth == 1;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => element_starts = depth == 1,
            _ => {}
        }
        at += 1;
    }
    true
}

/// Shows each member of an object in order: the key between its quotes as it is written, and the value's text.
/// Ends early on text that is no such object. The text has no white space between tokens.
pub(crate) fn visit_members<'a>(text: &'a [u8], mut member: impl FnMut(&'a [u8], &'a [u8])) {
    let mut ignored = Scan::default();
    let mut at = 1;
    while text.first() == Some(&b'{') && text.get(at) == Some(&b'"') {
        let key_end = scan_string(text, at + 1, &mut ignored);
        let value_end = value_end(text, key_end + 1);
        let (Some(key), Some(b':')) = (text.get(at + 1..key_end.saturating_sub(1)), text.get(key_end)) else {
            return;
        };
        member(key, text.get(key_end + 1..value_end).unwrap_or_default());
        if text.get(value_end) != Some(&b',') {
            return;
        }
        at = value_end + 1;
    }
}

/// Splits an object into its members. The text has no white space between tokens.
pub(crate) fn members(text: &Bytes) -> Option<Vec<(String, Payload)>> {
    let mut ignored = Scan::default();
    if text.first() != Some(&b'{') {
        return None;
    }
    let mut members = Vec::new();
    let mut at = 1;
    while text.get(at) == Some(&b'"') {
        let key_end = scan_string(text, at + 1, &mut ignored);
        let key: String = serde_json::from_slice(text.get(at..key_end)?).ok()?;
        if text.get(key_end) != Some(&b':') {
            return None;
        }
        let value_start = key_end + 1;
        let value_end = value_end(text, value_start);
        if value_end <= value_start {
            return None;
        }
        members.push((key, Payload::from_trusted(text.slice(value_start..value_end))));
        match text.get(value_end) {
            Some(b',') => at = value_end + 1,
            Some(b'}') => return Some(members),
            _ => return None,
        }
    }
    (text.get(at) == Some(&b'}')).then_some(members)
}

/// Returns the position after the value that starts at `start`.
fn value_end(text: &[u8], start: usize) -> usize {
    let mut ignored = Scan::default();
    let mut depth = 0_usize;
    let mut at = start;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => {
                at = scan_string(text, at + 1, &mut ignored);
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                if depth == 0 {
                    return at;
                }
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b',' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    at.min(text.len())
}
