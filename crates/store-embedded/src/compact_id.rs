//! The stored form of ids: the common machine-made ones in half the bytes.
//!
//! | id | stored as |
//! |---|---|
//! | lower-case UUID with hyphens | BLOB of 16 bytes |
//! | 32 lower-case hex digits (an OTLP trace id) | BLOB of 17 bytes, the first one 0 |
//! | 16 lower-case hex digits (an OTLP span id) | BLOB of 8 bytes |
//! | anything else | TEXT |
//!
//! The forms never overlap, so that equal ids are equal values and the way back is exact.

use rusqlite::{
    ToSql,
    types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef},
};

const UUID_LENGTH: usize = 36;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// An id on its way into the database.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CompactId<'a> {
    Text(&'a str),
    Bytes([u8; 17], u8),
}

impl<'a> CompactId<'a> {
    pub(crate) fn new(id: &'a str) -> Self {
        let text = id.as_bytes();
        let mut bytes = [0; 17];
        let packed = match text.len() {
            UUID_LENGTH => pack_hyphenated(text, &mut bytes).map(|()| 16),
            32 => bytes.last_chunk_mut::<16>().and_then(|room| pack(text, room)).map(|()| 17),
            16 => bytes.first_chunk_mut::<8>().and_then(|room| pack(text, room)).map(|()| 8),
            _ => None,
        };
        packed.map_or(Self::Text(id), |length| Self::Bytes(bytes, length))
    }
}

impl ToSql for CompactId<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes, length) => ValueRef::Blob(bytes.get(..usize::from(*length)).unwrap_or(bytes)),
        }))
    }
}

/// An id on its way out of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredId(pub(crate) String);

impl FromSql for StoredId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        to_text(value).map(Self)
    }
}

pub(crate) fn to_text(value: ValueRef<'_>) -> FromSqlResult<String> {
    match value {
        ValueRef::Text(_) => value.as_str().map(str::to_owned),
        ValueRef::Blob(bytes) => match (bytes.len(), bytes) {
            (8, bytes) => Ok(hex(bytes)),
            (16, bytes) => {
                let mut text = String::with_capacity(UUID_LENGTH);
                for (index, byte) in bytes.iter().enumerate() {
                    if matches!(index, 4 | 6 | 8 | 10) {
                        text.push('-');
                    }
                    push_hex(&mut text, *byte);
                }
                Ok(text)
            }
            (17, [0, bytes @ ..]) => Ok(hex(bytes)),
            _ => Err(FromSqlError::InvalidType),
        },
        _ => Err(FromSqlError::InvalidType),
    }
}

/// The digits of a UUID: where each group begins, how many bytes it makes, and where they go.
const GROUPS: [(usize, usize, usize); 5] = [(0, 4, 0), (9, 2, 4), (14, 2, 6), (19, 2, 8), (24, 6, 10)];

/// Packs a UUID with hyphens.
fn pack_hyphenated(text: &[u8], room: &mut [u8; 17]) -> Option<()> {
    for hyphen in [8, 13, 18, 23] {
        text.get(hyphen).filter(|byte| **byte == b'-')?;
    }
    for (from, bytes, to) in GROUPS {
        pack(text.get(from..from + bytes * 2)?, room.get_mut(to..to + bytes)?)?;
    }
    Some(())
}

/// What each byte is worth as a lower-case hex digit; 255 if it is none.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which would say so")]
const DIGITS: [u8; 256] = {
    let mut digits = [u8::MAX; 256];
    let mut digit = 0;
    while digit < 16 {
        digits[HEX[digit] as usize] = digit as u8;
        digit += 1;
    }
    digits
};

/// Packs hex digits, two a byte; `None` unless they are all lower-case hex.
fn pack(text: &[u8], room: &mut [u8]) -> Option<()> {
    let digit = |byte: u8| DIGITS.get(usize::from(byte)).copied().unwrap_or(u8::MAX);
    let mut all = 0;
    for ([high, low], byte) in text.as_chunks::<2>().0.iter().zip(room) {
        let (high, low) = (digit(*high), digit(*low));
        all |= high | low;
        *byte = high << 4 | low;
    }
    (all < 16).then_some(())
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        push_hex(&mut text, *byte);
    }
    text
}

fn push_hex(text: &mut String, byte: u8) {
    for digit in [byte >> 4, byte & 15] {
        text.push(char::from(HEX.get(usize::from(digit)).copied().unwrap_or(b'0')));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(id: &str) -> (String, usize) {
        match CompactId::new(id).to_sql().unwrap() {
            ToSqlOutput::Borrowed(value) => {
                let length = value.as_bytes().unwrap().len();
                (to_text(value).unwrap(), length)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn machine_made_ids_take_half_the_bytes() {
        for (id, length) in [
            ("0198c0de-0000-7000-8000-00000000abcd", 16),
            ("0198c0de00007000800000000000abcd", 17),
            ("0198c0de00007000", 8),
            ("0198C0DE-0000-7000-8000-00000000ABCD", 36),
            ("0198c0de-0000-7000-8000-00000000abc-", 36),
            ("0198c0de-0000-7000-80000-0000000abcd", 36),
            ("0198c0de0000700g", 16),
            ("", 0),
        ] {
            assert_eq!(round_trip(id), (id.to_owned(), length));
        }
    }

    proptest! {
        #[test]
        fn every_id_comes_back(id in "[0-9a-fA-F-]{0,40}|.{0,40}") {
            prop_assert_eq!(round_trip(&id).0, id);
        }
    }
}
