//! Escaped printable characters: `pass\u0077ord` is `password`.

use crate::position::is_escaped;

/// Returns JSON text with `\u` escapes of printable ASCII characters written plainly, which is the same
/// JSON; `None` if there is none.
pub(crate) fn written_plainly(text: &[u8]) -> Option<Vec<u8>> {
    let mut out: Option<Vec<u8>> = None;
    let mut copied = 0;
    let mut at = 0;
    while let Some(offset) = memchr::memchr(b'\\', text.get(at..).unwrap_or_default()) {
        at += offset;
        let Some(character) = printable(text.get(at..at + 6)) else {
            at += 2;
            continue;
        };
        let out = out.get_or_insert_with(|| Vec::with_capacity(text.len()));
        out.extend_from_slice(text.get(copied..at).unwrap_or_default());
        out.push(character);
        at += 6;
        copied = at;
    }
    let mut out = out?;
    out.extend_from_slice(text.get(copied..).unwrap_or_default());
    Some(out)
}

/// Returns whether an escape at `at`, if it is one, is of a printable ASCII character.
pub(crate) fn is_printable(text: &[u8], at: usize) -> bool {
    !is_escaped(text, at) && printable(text.get(at..at + 6)).is_some()
}

fn printable(escape: Option<&[u8]>) -> Option<u8> {
    let digits = escape?.strip_prefix(b"\\u00")?;
    let character = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    (matches!(character, b' '..=b'~') && !matches!(character, b'"' | b'\\')).then_some(character)
}
