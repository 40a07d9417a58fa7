//! Ids as hex text, and bytes as base64 text.

const DIGITS: &[u8; 16] = b"0123456789abcdef";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Returns bytes as lower-case hex digits.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(DIGITS.get(usize::from(digit)).copied().unwrap_or(b'0')));
        }
    }
    text
}

/// Returns the bytes of hex digits in either case, or `None` if the text is no hex.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// Appends bytes as base64 with padding (RFC 4648 section 4).
pub(crate) fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| chunk.get(index).copied().map_or(0, u32::from);
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4 {
            let sextet = (group >> (18 - 6 * index)) & 63;
            let character = BASE64.get(sextet as usize).copied().unwrap_or(b'A');
            out.push(if index > chunk.len() { b'=' } else { character });
        }
    }
}

/// Returns the bytes of base64 text, with or without padding, in the standard or the URL alphabet, or `None`.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').as_bytes();
    if text.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for chunk in text.chunks(4) {
        let mut group = 0_u32;
        for index in 0..4 {
            let sextet = match chunk.get(index) {
                Some(byte @ b'A'..=b'Z') => byte - b'A',
                Some(byte @ b'a'..=b'z') => byte - b'a' + 26,
                Some(byte @ b'0'..=b'9') => byte - b'0' + 52,
                Some(b'+' | b'-') => 62,
                Some(b'/' | b'_') => 63,
                None => 0,
                Some(_) => return None,
            };
            group = group << 6 | u32::from(sextet);
        }
        bytes.extend(group.to_be_bytes().into_iter().skip(1).take(chunk.len().saturating_sub(1)));
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(encode(&[0, 0x1f, 0xab]), "001fab");
        assert_eq!(decode("001FaB").unwrap(), [0, 0x1f, 0xab]);
        assert_eq!(decode("abc"), None);
        assert_eq!(decode("zz"), None);
        let mut out = Vec::new();
        push_base64(&mut out, b"any carnal pleas");
        assert_eq!(out, b"YW55IGNhcm5hbCBwbGVhcw==");
        assert_eq!(decode_base64("a"), None);
        assert_eq!(decode_base64("a b="), None);
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(decode(&encode(&bytes)).unwrap(), bytes.clone());
            let mut out = Vec::new();
            push_base64(&mut out, &bytes);
            prop_assert_eq!(decode_base64(std::str::from_utf8(&out).unwrap()).unwrap(), bytes);
        }
    }
}
