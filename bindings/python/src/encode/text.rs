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
#[inline]
pub(super) fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    match short_is_plain(text) {
        Some(true) => {
            out.reserve(SHORT_BYTES + 2);
            // SAFETY: the room was just made.
            unsafe {
                put_byte(out, b'"');
                put_few(out, text);
                put_byte(out, b'"');
            }
        }
        _ => push_long(out, text),
    }
}

/// Appends one byte.
///
/// # Safety
/// There is room for it.
#[inline(always)]
pub(super) unsafe fn put_byte(out: &mut Vec<u8>, byte: u8) {
    debug_assert!(out.len() < out.capacity());
    // SAFETY: as the caller says.
    unsafe {
        out.as_mut_ptr().add(out.len()).write(byte);
        out.set_len(out.len() + 1);
    }
}

/// Appends the first `len` bytes of a block, which is copied as a whole.
///
/// # Safety
/// There is room for the block, and it has `len` bytes.
#[inline(always)]
pub(super) unsafe fn put_block<const N: usize>(out: &mut Vec<u8>, block: &[u8; N], len: usize) {
    debug_assert!(len <= N && out.len() + N <= out.capacity());
    // SAFETY: as the caller says.
    unsafe {
        out.as_mut_ptr().add(out.len()).copy_from_nonoverlapping(block.as_ptr(), N);
        out.set_len(out.len() + len);
    }
}

/// Appends at most [`SHORT_BYTES`] bytes as one or two words.
///
/// # Safety
/// There is room for them, and they are not more.
#[inline(always)]
unsafe fn put_few(out: &mut Vec<u8>, text: &[u8]) {
    let len = text.len();
    debug_assert!(len <= SHORT_BYTES && out.len() + len <= out.capacity());
    // SAFETY: as the caller says; of `N` to `2 * N` bytes the first and the last `N` are inside.
    unsafe {
        let to = out.as_mut_ptr().add(out.len());
        if let Some((first, last)) = ends::<8>(text) {
            to.copy_from_nonoverlapping(first.as_ptr(), 8);
            to.add(len - 8).copy_from_nonoverlapping(last.as_ptr(), 8);
        } else if let Some((first, last)) = ends::<4>(text) {
            to.copy_from_nonoverlapping(first.as_ptr(), 4);
            to.add(len - 4).copy_from_nonoverlapping(last.as_ptr(), 4);
        } else {
            for (index, byte) in text.iter().enumerate() {
                to.add(index).write(*byte);
            }
        }
        out.set_len(out.len() + len);
    }
}

fn push_long(out: &mut Vec<u8>, text: &[u8]) {
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

/// Texts up to this length are looked at as one or two words, without calls and loops.
const SHORT_BYTES: usize = 16;

/// Numbers are up to this long as a rule.
const NUMBER_BYTES: usize = 32;

/// Appends the text of a number.
#[inline]
pub(super) fn push_number(out: &mut Vec<u8>, digits: &[u8]) {
    out.reserve(NUMBER_BYTES);
    // SAFETY: the room was just made; a longer text begins and ends with 16 bytes, which may overlap.
    unsafe {
        match ends::<16>(digits) {
            Some((first, last)) => {
                put_block(out, first, digits.len() - 16);
                put_block(out, last, 16);
            }
            None if digits.len() <= SHORT_BYTES => put_few(out, digits),
            None => out.extend_from_slice(digits),
        }
    }
}

/// Returns the first and the last `N` bytes of a text of `N` to `2 * N` bytes; they may overlap.
#[inline]
fn ends<const N: usize>(text: &[u8]) -> Option<(&[u8; N], &[u8; N])> {
    if text.len() > 2 * N {
        return None;
    }
    Some((text.first_chunk()?, text.last_chunk()?))
}

/// Returns whether a short text has nothing to escape; `None` for one that is not short.
#[inline]
fn short_is_plain(text: &[u8]) -> Option<bool> {
    if let Some((first, last)) = ends::<8>(text) {
        return Some(is_plain(u64::from_le_bytes(*first)) && is_plain(u64::from_le_bytes(*last)));
    }
    if let Some((first, last)) = ends::<4>(text) {
        let both = u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32;
        return Some(is_plain(both));
    }
    (text.len() < 4).then(|| text.iter().all(|byte| !ESCAPED[usize::from(*byte)]))
}

/// Returns whether none of eight bytes must be escaped.
#[inline]
const fn is_plain(word: u64) -> bool {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    // The high bit of a byte is set where the byte is zero, and perhaps in bytes above one that is.
    const fn zeros(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word
    }
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = zeros(word ^ (ONES * b'"' as u64));
    let backslash = zeros(word ^ (ONES * b'\\' as u64));
    (control | quote | backslash) & HIGH == 0
}

/// Returns the number of bytes before the first that must be escaped.
#[cfg(target_arch = "x86_64")]
fn plain_bytes(text: &[u8]) -> usize {
    let (chunks, rest) = text.as_chunks::<16>();
    for (index, chunk) in chunks.iter().enumerate() {
        let found = special_of(chunk);
        if found != 0 {
            return index * 16 + found.trailing_zeros() as usize;
        }
    }
    match text.last_chunk::<16>() {
        // What was looked at already is shifted out.
        Some(last) => match special_of(last) >> (16 - rest.len()) {
            0 => text.len(),
            found => chunks.len() * 16 + found.trailing_zeros() as usize,
        },
        None => plain_bytes_one_by_one(text),
    }
}

/// Returns a bit for each of 16 bytes that must be escaped.
#[cfg(target_arch = "x86_64")]
#[inline]
fn special_of(chunk: &[u8; 16]) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_max_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };
    // SAFETY: SSE2 is part of x86-64; the load is of 16 bytes, aligned or not.
    unsafe {
        let bytes = _mm_loadu_si128(chunk.as_ptr().cast());
        let last_control = _mm_set1_epi8(0x1F);
        // A byte is a control character if the larger of it and 0x1F is 0x1F.
        let control = _mm_cmpeq_epi8(_mm_max_epu8(bytes, last_control), last_control);
        let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
        let backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
        _mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(quote, backslash))).cast_unsigned()
    }
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
