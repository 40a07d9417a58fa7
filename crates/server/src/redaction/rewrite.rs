//! Copies text and replaces the credentials in it.

use super::REPLACEMENT;
use super::patterns::{credential_at, is_credential_key};

/// Copies JSON text without white space between tokens; returns it and how many credentials were replaced.
pub(super) fn json(text: &[u8]) -> (Vec<u8>, u64) {
    let mut out = Vec::with_capacity(text.len());
    let mut count = 0;
    let mut under_credential_key = false;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        if byte == b'"' {
            let end = string_end(text, at + 1);
            let inside = text.get(at + 1..end).unwrap_or_default();
            out.push(b'"');
            if text.get(end + 1) == Some(&b':') {
                under_credential_key = is_credential_key(inside);
                out.extend_from_slice(inside);
            } else if under_credential_key && !inside.is_empty() {
                out.extend_from_slice(REPLACEMENT.as_bytes());
                count += 1;
            } else {
                count += content(inside, &mut out);
            }
            out.push(b'"');
            at = end + 1;
            continue;
        }
        // The value of a key ends here; elements of an array under it still belong to it.
        if matches!(byte, b'{' | b'}') {
            under_credential_key = false;
        }
        out.push(byte);
        at += 1;
    }
    (out, count)
}

/// Returns the position of the quote that closes the string whose content starts at `at`.
fn string_end(text: &[u8], mut at: usize) -> usize {
    while let Some(offset) = text.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += offset;
        if text.get(at) == Some(&b'"') {
            return at;
        }
        at += 2;
    }
    text.len()
}

/// Copies the content of a string; returns how many credentials were replaced.
pub(super) fn content(text: &[u8], out: &mut Vec<u8>) -> u64 {
    let mut count = 0;
    let mut copied = 0;
    let mut at = 0;
    while at < text.len() {
        match credential_at(text, at) {
            Some(found) if found.end > at => {
                out.extend_from_slice(text.get(copied..found.start).unwrap_or_default());
                out.extend_from_slice(REPLACEMENT.as_bytes());
                count += 1;
                at = found.end;
                copied = at;
            }
            _ => at += 1,
        }
    }
    out.extend_from_slice(text.get(copied..).unwrap_or_default());
    count
}
