//! Ids of any text as the 16 and 8 bytes that OTLP asks for.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;
use siphasher::sip128::{Hasher128, SipHasher24 as SipHasher128};

use crate::hex;

/// The keys of the hash: part of the mapping, never to change ("endspan " and "otlp ids" in ASCII).
const KEYS: (u64, u64) = (0x656e_6473_7061_6e20, 0x6f74_6c70_2069_6473);

/// Returns a trace id's 16 bytes: those of 32 hex digits or of a UUID, otherwise a hash of the text
/// (SipHash-2-4, 128 bits). The same text always gives the same bytes.
pub fn trace_id_bytes(id: &str) -> [u8; 16] {
    let digits = match id.len() {
        32 => hex::decode(id),
        36 if uuid_shaped(id) => hex::decode(&id.replace('-', "")),
        _ => None,
    };
    if let Some(bytes) = digits.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok())
        && bytes != [0; 16]
    {
        return bytes;
    }
    let mut hasher = SipHasher128::new_with_keys(KEYS.0, KEYS.1);
    hasher.write(id.as_bytes());
    // All zeros would be no id.
    hasher.finish128().as_u128().max(1).to_be_bytes()
}

/// Returns a span id's 8 bytes: those of 16 hex digits, otherwise a hash of the text (SipHash-2-4, 64 bits).
/// The same text always gives the same bytes.
pub fn span_id_bytes(id: &str) -> [u8; 8] {
    if id.len() == 16
        && let Some(bytes) = hex::decode(id).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok())
        && bytes != [0; 8]
    {
        return bytes;
    }
    let mut hasher = SipHasher24::new_with_keys(KEYS.0, KEYS.1);
    hasher.write(id.as_bytes());
    hasher.finish().max(1).to_be_bytes()
}

fn uuid_shaped(id: &str) -> bool {
    id.bytes().enumerate().all(|(at, byte)| (byte == b'-') == matches!(at, 8 | 13 | 18 | 23))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_and_uuids_keep_their_bytes_and_other_text_is_hashed() {
        let hex_id = "000102030405060708090a0b0c0d0e0f";
        assert_eq!(hex::encode(&trace_id_bytes(hex_id)), hex_id);
        assert_eq!(trace_id_bytes("00010203-0405-0607-0809-0a0b0c0d0e0f"), trace_id_bytes(hex_id));
        assert_eq!(hex::encode(&span_id_bytes("00010203040506ff")), "00010203040506ff");
        // The hash is part of the wire form: these values must never change.
        assert_eq!(hex::encode(&trace_id_bytes("my trace")), "4f34fdb6fa50fc8a990157458bbc9b50");
        assert_eq!(hex::encode(&span_id_bytes("my span")), "2b99126d3afa3828");
        for zero in ["", "0000000000000000", "00000000000000000000000000000000"] {
            assert_ne!(trace_id_bytes(zero), [0; 16]);
            assert_ne!(span_id_bytes(zero), [0; 8]);
        }
    }
}
