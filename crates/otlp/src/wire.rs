//! The protobuf wire format: reading fields from borrowed bytes, writing them to a buffer.
//!
//! OTLP is read here field by field rather than into generated structs, for two reasons: one malformed span
//! must cost one span and not the request, and a span's attributes go straight from the wire into JSON text
//! without a tree in between. Format: <https://protobuf.dev/programming-guides/encoding/>.

/// Why bytes are no protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The bytes end inside a field.
    #[error("truncated protobuf message")]
    Truncated,
    /// A variable-length integer takes more than ten bytes.
    #[error("malformed protobuf integer")]
    Varint,
    /// A field number is 0 or too large, or a wire type is unknown (groups count as unknown).
    #[error("malformed protobuf tag")]
    Tag,
    /// A known field comes with another wire type than its own.
    #[error("protobuf field {0} has the wrong type")]
    FieldType(u32),
    /// Messages nest too deep.
    #[error("protobuf message nested too deep")]
    TooDeep,
}

/// The content of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldValue<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// One field: its number, its content and the bytes that it takes with its tag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    pub(crate) value: FieldValue<'a>,
    pub(crate) raw: &'a [u8],
}

impl<'a> Field<'a> {
    pub(crate) fn bytes(&self) -> Result<&'a [u8], WireError> {
        match self.value {
            FieldValue::Bytes(bytes) => Ok(bytes),
            _ => Err(WireError::FieldType(self.number)),
        }
    }

    pub(crate) fn varint(&self) -> Result<u64, WireError> {
        match self.value {
            FieldValue::Varint(value) => Ok(value),
            _ => Err(WireError::FieldType(self.number)),
        }
    }

    pub(crate) fn fixed64(&self) -> Result<u64, WireError> {
        match self.value {
            FieldValue::Fixed64(value) => Ok(value),
            _ => Err(WireError::FieldType(self.number)),
        }
    }

    pub(crate) fn fixed32(&self) -> Result<u32, WireError> {
        match self.value {
            FieldValue::Fixed32(value) => Ok(value),
            _ => Err(WireError::FieldType(self.number)),
        }
    }
}

/// Reads the fields of one message in their order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// Returns the next field, or `None` at the end of the message.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Field<'a>>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let start = self.rest;
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| WireError::Tag)?;
        if number == 0 {
            return Err(WireError::Tag);
        }
        let value = match tag & 7 {
            0 => FieldValue::Varint(self.varint()?),
            1 => FieldValue::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| WireError::Truncated)?;
                FieldValue::Bytes(self.take(length)?)
            }
            5 => FieldValue::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(WireError::Tag),
        };
        let taken = start.len() - self.rest.len();
        let raw = start.get(..taken).unwrap_or_default();
        Ok(Some(Field { number, value, raw }))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, WireError> {
        if let Some((&byte, rest)) = self.rest.split_first()
            && byte < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0_u64;
        for (index, &byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 { WireError::Truncated } else { WireError::Varint })
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }
}

/// Writes fields to the end of a buffer. As proto3 has it, callers leave out default values themselves.
pub(crate) trait WriteFields {
    fn varint(&mut self, value: u64);
    fn tag(&mut self, number: u32, wire_type: u8);
    fn varint_field(&mut self, number: u32, value: u64);
    fn fixed64_field(&mut self, number: u32, value: u64);
    fn fixed32_field(&mut self, number: u32, value: u32);
    fn bytes_field(&mut self, number: u32, value: &[u8]);
    /// Writes a message whose content `write` appends; its result is passed on.
    fn message_field<T>(&mut self, number: u32, write: impl FnOnce(&mut Self) -> T) -> T;
}

impl WriteFields for Vec<u8> {
    #[inline]
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }

    #[inline]
    fn tag(&mut self, number: u32, wire_type: u8) {
        self.varint(u64::from(number) << 3 | u64::from(wire_type));
    }

    fn varint_field(&mut self, number: u32, value: u64) {
        self.tag(number, 0);
        self.varint(value);
    }

    fn fixed64_field(&mut self, number: u32, value: u64) {
        self.tag(number, 1);
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn fixed32_field(&mut self, number: u32, value: u32) {
        self.tag(number, 5);
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes_field(&mut self, number: u32, value: &[u8]) {
        self.tag(number, 2);
        self.varint(value.len() as u64);
        self.extend_from_slice(value);
    }

    fn message_field<T>(&mut self, number: u32, write: impl FnOnce(&mut Self) -> T) -> T {
        self.tag(number, 2);
        let length_at = self.len();
        self.push(0);
        let result = write(self);
        let length = self.len() - length_at - 1;
        if let (Ok(short), Some(place)) = (u8::try_from(length), self.get_mut(length_at))
            && short < 0x80
        {
            *place = short;
            return result;
        }
        // The length takes more than the byte that was kept for it: the content moves up.
        let mut prefix = Vec::with_capacity(10);
        prefix.varint(length as u64);
        self.splice(length_at..=length_at, prefix);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_messages_of_every_length_read_back() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 70_000] {
            let content = vec![7_u8; length];
            let mut out = Vec::new();
            out.message_field(3, |out| out.bytes_field(300, &content));
            let mut reader = Reader::new(&out);
            let outer = reader.next().unwrap().unwrap();
            assert_eq!(outer.number, 3);
            let inner = Reader::new(outer.bytes().unwrap()).next().unwrap().unwrap();
            assert_eq!((inner.number, inner.bytes().unwrap()), (300, &content[..]));
            assert!(reader.next().unwrap().is_none());
        }
    }

    #[test]
    fn damaged_bytes_are_errors() {
        assert_eq!(Reader::new(&[0x0a]).next().unwrap_err(), WireError::Truncated);
        assert_eq!(Reader::new(&[0x0a, 5, 1]).next().unwrap_err(), WireError::Truncated);
        assert_eq!(Reader::new(&[0x09, 1]).next().unwrap_err(), WireError::Truncated);
        assert_eq!(Reader::new(&[0x00]).next().unwrap_err(), WireError::Tag);
        assert_eq!(Reader::new(&[0x0b]).next().unwrap_err(), WireError::Tag);
        assert_eq!(Reader::new(&[0x08, 0x80]).next().unwrap_err(), WireError::Truncated);
        assert_eq!(Reader::new(&[0xff; 11]).next().unwrap_err(), WireError::Varint);
    }
}
