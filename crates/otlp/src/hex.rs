//! Ids as hex text, and bytes as base64 text.

use std::sync::LazyLock;

use data_encoding::{BASE64, BASE64_NOPAD, Encoding, HEXLOWER, HEXLOWER_PERMISSIVE, Specification};

/// Base64 as others write it: in the standard or the URL alphabet.
static ANY_BASE64: LazyLock<Encoding> = LazyLock::new(|| {
    let mut any = Specification::new();
    any.symbols.push_str("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    any.translate.from.push_str("-_");
    any.translate.to.push_str("+/");
    any.check_trailing_bits = false;
    any.encoding().unwrap_or(BASE64_NOPAD)
});

/// Returns bytes as lower-case hex digits.
pub(crate) fn encode(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// Returns the bytes of hex digits in either case, or `None` if the text is no hex.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()
}

/// Appends bytes as base64 with padding (RFC 4648 section 4).
pub(crate) fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(BASE64.encode(bytes).as_bytes());
}

/// Returns the bytes of base64 text, with or without padding, in the standard or the URL alphabet, or `None`.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    ANY_BASE64.decode(text.trim_end_matches('=').as_bytes()).ok()
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
        assert_eq!(decode_base64("+_-/").unwrap(), decode_base64("-/+_==").unwrap());
        // What is left over in the last character is not looked at.
        assert_eq!(decode_base64("Zh").unwrap(), b"f");
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
