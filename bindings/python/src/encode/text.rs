//! JSON strings.

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
    let mut rest = text;
    loop {
        let (plain, special) = rest.split_at(plain_bytes(rest));
        out.extend_from_slice(plain);
        let Some((byte, after)) = special.split_first() else { break };
        push_escape(out, *byte);
        rest = after;
    }
    out.push(b'"');
}

/// Returns the number of bytes before the first that must be escaped.
#[cfg(target_arch = "x86_64")]
fn plain_bytes(text: &[u8]) -> usize {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_max_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };
    let (chunks, rest) = text.as_chunks::<16>();
    for (index, chunk) in chunks.iter().enumerate() {
        // SAFETY: SSE2 is part of x86-64; the load is of 16 bytes, aligned or not.
        let found = unsafe {
            let bytes = _mm_loadu_si128(chunk.as_ptr().cast());
            let last_control = _mm_set1_epi8(0x1F);
            // A byte is a control character if the larger of it and 0x1F is 0x1F.
            let control = _mm_cmpeq_epi8(_mm_max_epu8(bytes, last_control), last_control);
            let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
            let backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
            _mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(quote, backslash)))
        };
        if found != 0 {
            return index * 16 + found.trailing_zeros() as usize;
        }
    }
    chunks.len() * 16 + plain_bytes_one_by_one(rest)
}

#[cfg(not(target_arch = "x86_64"))]
fn plain_bytes(text: &[u8]) -> usize {
    let (chunks, rest) = text.as_chunks::<32>();
    for (index, chunk) in chunks.iter().enumerate() {
        // One loop that the compiler turns into vector instructions.
        let special = chunk.iter().fold(false, |special, byte| special | ESCAPED[usize::from(*byte)]);
        if special {
            return index * 32 + plain_bytes_one_by_one(chunk);
        }
    }
    chunks.len() * 32 + plain_bytes_one_by_one(rest)
}

fn plain_bytes_one_by_one(text: &[u8]) -> usize {
    text.iter().position(|byte| ESCAPED[usize::from(*byte)]).unwrap_or(text.len())
}

fn push_escape(out: &mut Vec<u8>, byte: u8) {
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
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(control >> 4), digit(control & 15)]);
        }
    }
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
