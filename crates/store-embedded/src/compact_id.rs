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
            UUID_LENGTH if is_hyphenated(text) => {
                let digits = text.iter().copied().filter(|byte| *byte != b'-');
                bytes.first_chunk_mut::<16>().and_then(|room| pack(digits, room)).map(|()| 16)
            }
            32 => bytes.last_chunk_mut::<16>().and_then(|room| pack(text.iter().copied(), room)).map(|()| 17),
            16 => bytes.first_chunk_mut::<8>().and_then(|room| pack(text.iter().copied(), room)).map(|()| 8),
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

fn is_hyphenated(text: &[u8]) -> bool {
    text.iter().enumerate().all(|(index, byte)| (*byte == b'-') == matches!(index, 8 | 13 | 18 | 23))
}

/// Packs hex digits, two a byte; `None` unless they are all lower-case hex and fill the room exactly.
fn pack(mut digits: impl Iterator<Item = u8>, room: &mut [u8]) -> Option<()> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    for byte in room {
        *byte = digit(digits.next()?)? << 4 | digit(digits.next()?)?;
    }
    digits.next().is_none().then_some(())
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
