//! JSON strings.

/// Bytes looked at together: one loop that the compiler turns into vector instructions.
const CHUNK: usize = 32;

/// Says of each byte whether it must be escaped.
const ESCAPED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

/// Appends UTF-8 text as a JSON string; only quotes, backslashes and control characters are escaped.
pub(super) fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let (chunks, rest) = text.as_chunks::<CHUNK>();
    for chunk in chunks {
        let mut special = false;
        for byte in chunk {
            special |= (*byte < 0x20) | (*byte == b'"') | (*byte == b'\\');
        }
        if special {
            push_escaped(out, chunk);
        } else {
            out.extend_from_slice(chunk);
        }
    }
    push_escaped(out, rest);
    out.push(b'"');
}

fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let mut plain = 0;
    for (index, byte) in text.iter().enumerate() {
        if !ESCAPED[usize::from(*byte)] {
            continue;
        }
        out.extend_from_slice(&text[plain..index]);
        plain = index + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
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
    }
    out.extend_from_slice(&text[plain..]);
}

/// Replaces the three bytes of each lone surrogate (`ED A0..BF xx`) by those of U+FFFD.
pub(super) fn without_surrogates(text: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(text.len());
    let mut index = 0;
    while let Some(byte) = text.get(index) {
        match (byte, text.get(index + 1)) {
            (0xED, Some(0xA0..=0xBF)) => {
                whole.extend_from_slice("\u{FFFD}".as_bytes());
                index += 3;
            }
            _ => {
                whole.push(*byte);
                index += 1;
            }
        }
    }
    whole
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends bytes as a JSON string: their text if they are UTF-8, else `base64:` and base64.
pub(super) fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    if std::str::from_utf8(bytes).is_ok() {
        push_string(out, bytes);
        return;
    }
    out.reserve(bytes.len() / 3 * 4 + 16);
    out.extend_from_slice(b"\"base64:");
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for position in 0..4 {
            if position <= group.len() {
                out.push(BASE64[(bits >> (18 - 6 * position)) as usize & 63]);
            } else {
                out.push(b'=');
            }
        }
    }
    out.push(b'"');
}

/// Returns how deep well-formed JSON text nests, if it may be deeper than `enough`.
pub(super) fn nesting_beyond(text: &[u8], enough: usize) -> usize {
    if memchr::memchr2_iter(b'{', b'[', text).nth(enough).is_none() {
        return 0;
    }
    let (mut depth, mut deepest, mut in_string, mut index) = (0_usize, 0, false, 0);
    while let Some(byte) = text.get(index) {
        match byte {
            b'\\' if in_string => index += 1,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        index += 1;
    }
    deepest
}
