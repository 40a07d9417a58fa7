//! Where things stand in raw JSON text. A position that these functions return never lies within an escape.

/// Returns how many backslashes stand right before `at`.
pub(crate) fn backslashes_before(text: &[u8], at: usize) -> usize {
    text.get(..at).unwrap_or_default().iter().rev().take_while(|byte| **byte == b'\\').count()
}

/// Returns whether the byte at `at` belongs to the escape before it (`\n`, `\"`).
pub(crate) fn is_escaped(text: &[u8], at: usize) -> bool {
    backslashes_before(text, at) % 2 == 1
}

/// Returns whether a token may begin at `at`: not in an escape, and not behind a letter, digit, `_` or `-`,
/// except where that belongs to an escape itself. So a run of such characters begins one token at most,
/// which keeps the search linear.
pub(crate) fn begins_token(text: &[u8], at: usize) -> bool {
    if is_escaped(text, at) {
        return false;
    }
    let Some(before) = at.checked_sub(1) else { return true };
    let continues =
        text.get(before).is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if !continues || is_escaped(text, before) {
        return true;
    }
    // The last digit of \u00e9 is no letter of a word.
    at.checked_sub(6).is_some_and(|escape| {
        is_escaped(text, escape + 1)
            && text.get(escape..at).is_some_and(|unit| {
                unit.starts_with(b"\\u") && unit.iter().skip(2).all(u8::is_ascii_hexdigit)
            })
    })
}

/// Returns where the run of bytes that `accept` takes ends.
pub(crate) fn run(text: &[u8], start: usize, accept: impl Fn(u8) -> bool) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    start + rest.iter().position(|byte| !accept(*byte)).unwrap_or(rest.len())
}

/// Returns where the white space from `at` on ends.
pub(crate) fn skip_space(text: &[u8], at: usize) -> usize {
    run(text, at, |byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
}

/// Returns the position of the quote that closes the string whose content contains or begins at `at`.
pub(crate) fn string_end(text: &[u8], at: usize) -> usize {
    let mut from = at;
    while let Some(offset) = memchr::memchr(b'"', text.get(from..).unwrap_or_default()) {
        let quote = from + offset;
        if !is_escaped(text, quote) {
            return quote;
        }
        from = quote + 1;
    }
    text.len()
}
