//! Attribute values: OTLP `AnyValue` to JSON text and back, with types kept.
//!
//! | OTLP | JSON |
//! |---|---|
//! | string | string; or the array or object that its text is, see [`embedded_json`](crate::embedded_json) |
//! | bool | `true`, `false` |
//! | int | a number without fraction or exponent |
//! | double | a number with one of them (`1.0`); `{"$otlp":"double","value":"NaN"}`, also `Infinity`, `-Infinity` |
//! | array, list of key and value | array, object |
//! | bytes | `{"$otlp":"bytes","value":"<base64>"}` |
//! | no value | `null` |
//!
//! A list of key and value whose first key is `$otlp` is `{"$otlp":"kvlist","value":{…}}`.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::embedded_json::{self, Spacing};
use crate::json_text::{push_comma, push_double, push_integer, push_string};
use crate::wire::{FieldValue, Reader, WireError, WriteFields};
use crate::{hex, text};

/// Deepest nesting of attribute values, as in the generated decoders of the field.
const MAX_DEPTH: usize = 64;

/// The key that marks a tagged value.
pub(crate) const TAG: &str = "$otlp";

/// What was met while attribute values were read.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Repairs {
    /// Some text was not UTF-8 and now holds U+FFFD.
    pub(crate) utf8: bool,
}

/// One attribute on the wire, its value undecoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyValue<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

impl<'a> KeyValue<'a> {
    #[inline]
    pub(crate) fn read(message: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(message);
        let mut read = Self { key: &[], value: &[] };
        while let Some(field) = reader.next()? {
            match field.number {
                1 => read.key = field.bytes()?,
                2 => read.value = field.bytes()?,
                _ => {}
            }
        }
        Ok(read)
    }

    /// Returns the text of a string value.
    pub(crate) fn string_value(&self) -> Option<&'a str> {
        let mut reader = Reader::new(self.value);
        let mut found = None;
        while let Ok(Some(field)) = reader.next() {
            found = match (field.number, field.value) {
                (1, FieldValue::Bytes(bytes)) => std::str::from_utf8(bytes).ok(),
                _ => None,
            };
        }
        found
    }
}

/// Appends the value of an attribute; says how it was spaced if it was JSON text.
#[inline]
pub(crate) fn push_attribute_value(
    out: &mut Vec<u8>,
    value: &[u8],
    repairs: &mut Repairs,
) -> Result<Option<Spacing>, WireError> {
    let mut reader = Reader::new(value);
    if let Some(field) = reader.next()?
        && field.number == 1
        && let Ok(None) = reader.next()
    {
        let string = text(field.bytes()?, &mut repairs.utf8);
        if let Some(spacing) = embedded_json::push_compact(out, &string) {
            return Ok(Some(spacing));
        }
        push_string(out, &string);
        return Ok(None);
    }
    push_value(out, value, repairs, 0)?;
    Ok(None)
}

/// Appends an `AnyValue` as JSON.
pub(crate) fn push_value(
    out: &mut Vec<u8>,
    value: &[u8],
    repairs: &mut Repairs,
    depth: usize,
) -> Result<(), WireError> {
    let start = out.len();
    let mut reader = Reader::new(value);
    while let Some(field) = reader.next()? {
        // The last member of a oneof wins.
        if (1..=7).contains(&field.number) {
            out.truncate(start);
        }
        match field.number {
            1 => push_string(out, &text(field.bytes()?, &mut repairs.utf8)),
            2 => out.extend_from_slice(if field.varint()? != 0 { b"true" } else { b"false" }),
            3 => push_integer(out, field.varint()? as i64),
            4 => push_any_double(out, f64::from_bits(field.fixed64()?)),
            5 => push_array(out, field.bytes()?, repairs, depth)?,
            6 => push_key_value_list(out, field.bytes()?, repairs, depth)?,
            7 => {
                out.extend_from_slice(b"{\"$otlp\":\"bytes\",\"value\":\"");
                hex::push_base64(out, field.bytes()?);
                out.extend_from_slice(b"\"}");
            }
            _ => {}
        }
    }
    if out.len() == start {
        out.extend_from_slice(b"null");
    }
    Ok(())
}

fn push_any_double(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        push_double(out, value);
        return;
    }
    let name: &[u8] = match value {
        _ if value.is_nan() => b"NaN",
        _ if value > 0.0 => b"Infinity",
        _ => b"-Infinity",
    };
    out.extend_from_slice(b"{\"$otlp\":\"double\",\"value\":\"");
    out.extend_from_slice(name);
    out.extend_from_slice(b"\"}");
}

fn push_array(out: &mut Vec<u8>, array: &[u8], repairs: &mut Repairs, depth: usize) -> Result<(), WireError> {
    if depth >= MAX_DEPTH {
        return Err(WireError::TooDeep);
    }
    out.push(b'[');
    let mut reader = Reader::new(array);
    while let Some(field) = reader.next()? {
        if field.number == 1 {
            push_comma(out);
            push_value(out, field.bytes()?, repairs, depth + 1)?;
        }
    }
    out.push(b']');
    Ok(())
}

fn push_key_value_list(
    out: &mut Vec<u8>,
    list: &[u8],
    repairs: &mut Repairs,
    depth: usize,
) -> Result<(), WireError> {
    if depth >= MAX_DEPTH {
        return Err(WireError::TooDeep);
    }
    let mut reader = Reader::new(list);
    let first = reader.next()?;
    let escaped = match first {
        Some(field) if field.number == 1 => KeyValue::read(field.bytes()?)?.key == TAG.as_bytes(),
        _ => false,
    };
    if escaped {
        out.extend_from_slice(b"{\"$otlp\":\"kvlist\",\"value\":");
    }
    out.push(b'{');
    let mut field = first;
    while let Some(one) = field {
        if one.number == 1 {
            let pair = KeyValue::read(one.bytes()?)?;
            push_comma(out);
            push_string(out, &text(pair.key, &mut repairs.utf8));
            out.push(b':');
            push_value(out, pair.value, repairs, depth + 1)?;
        }
        field = reader.next()?;
    }
    out.push(b'}');
    if escaped {
        out.push(b'}');
    }
    Ok(())
}

/// Appends repeated `KeyValue` messages (already split into their bytes) as one JSON object.
#[derive(Debug, Default)]
pub(crate) struct AttributesObject(Vec<u8>);

impl AttributesObject {
    pub(crate) fn push(&mut self, message: &[u8], repairs: &mut Repairs) -> Result<(), WireError> {
        let pair = KeyValue::read(message)?;
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        push_string(&mut self.0, &text(pair.key, &mut repairs.utf8));
        self.0.push(b':');
        push_value(&mut self.0, pair.value, repairs, 0)
    }

    /// Appends the object to `out` as member `attributes`, or nothing if there are none.
    pub(crate) fn push_member(&self, out: &mut Vec<u8>) {
        if !self.0.is_empty() {
            crate::json_text::push_key(out, "attributes");
            out.extend_from_slice(&self.0);
            out.push(b'}');
        }
    }
}

/// Writes one `KeyValue` message whose value stands in raw JSON text, as field `number`.
pub(crate) fn write_attribute(out: &mut Vec<u8>, number: u32, key: &str, json: &[u8]) {
    out.message_field(number, |out| {
        out.bytes_field(1, key.as_bytes());
        out.message_field(2, |out| write_json_value(out, json));
    });
}

/// Writes one `KeyValue` message with a string value, as field `number`.
pub(crate) fn write_text_attribute(out: &mut Vec<u8>, number: u32, key: &str, value: &[u8]) {
    out.message_field(number, |out| {
        out.bytes_field(1, key.as_bytes());
        out.message_field(2, |out| out.bytes_field(1, value));
    });
}

/// Writes an attribute that once was JSON text with this spacing.
pub(crate) fn write_embedded(out: &mut Vec<u8>, number: u32, key: &str, json: &[u8], spacing: Spacing) {
    match spacing {
        Spacing::None => write_text_attribute(out, number, key, json),
        Spacing::AfterSeparators => {
            write_text_attribute(out, number, key, &embedded_json::restore(json, spacing));
        }
    }
}

/// Writes the members of a JSON object as repeated `KeyValue` messages, as field `number`.
pub(crate) fn write_attributes(out: &mut Vec<u8>, number: u32, object: &str) {
    let start = out.len();
    let mut reader = serde_json::Deserializer::from_str(object);
    let written = MembersSeed { out, number }.deserialize(&mut reader);
    if written.is_err() {
        out.truncate(start);
    }
}

/// Writes the content of an `AnyValue` message from JSON text.
pub(crate) fn write_json_value(out: &mut Vec<u8>, json: &[u8]) {
    let start = out.len();
    let mut reader = serde_json::Deserializer::from_slice(json);
    if ValueSeed(out).deserialize(&mut reader).is_err() {
        // Nested deeper than readers take: the text says the same.
        out.truncate(start);
        out.bytes_field(1, json);
    }
}

struct MembersSeed<'o> {
    out: &'o mut Vec<u8>,
    number: u32,
}

impl<'de> DeserializeSeed<'de> for MembersSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MembersSeed<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            write_member(self.out, self.number, &key, &mut map)?;
        }
        Ok(())
    }
}

fn write_member<'de, A: MapAccess<'de>>(
    out: &mut Vec<u8>,
    number: u32,
    key: &str,
    map: &mut A,
) -> Result<(), A::Error> {
    out.message_field(number, |out| {
        out.bytes_field(1, key.as_bytes());
        out.message_field(2, |out| map.next_value_seed(ValueSeed(out)))
    })
}

/// Writes the content of an `AnyValue`.
struct ValueSeed<'o>(&'o mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.0.varint_field(2, u64::from(value));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.0.varint_field(3, value as u64);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.0.varint_field(3, value as u64),
            // OTLP has no unsigned integers: the digits stay true as text.
            Err(_) => self.0.bytes_field(1, value.to_string().as_bytes()),
        }
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.0.fixed64_field(4, value.to_bits());
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.0.bytes_field(1, value.as_bytes());
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.0.message_field(5, |out| {
            loop {
                // A value is tried behind its own header; the header goes again when the array has ended.
                let start = out.len();
                let more = out.message_field(1, |out| seq.next_element_seed(ValueSeed(out)))?;
                if more.is_none() {
                    out.truncate(start);
                    return Ok(());
                }
            }
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? else {
            self.0.message_field(6, |_| ());
            return Ok(());
        };
        if key == TAG {
            return write_tagged(self.0, map);
        }
        self.0.message_field(6, |out| {
            write_member(out, 1, &key, &mut map)?;
            while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                write_member(out, 1, &key, &mut map)?;
            }
            Ok(())
        })
    }
}

/// Writes the value of an object whose first key is the tag.
fn write_tagged<'de, A: MapAccess<'de>>(out: &mut Vec<u8>, mut map: A) -> Result<(), A::Error> {
    let kind: String = map.next_value()?;
    while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
        if key != "value" {
            map.next_value::<serde::de::IgnoredAny>()?;
            continue;
        }
        match kind.as_str() {
            "bytes" => {
                let base64: String = map.next_value()?;
                out.bytes_field(7, &hex::decode_base64(&base64).unwrap_or_default());
            }
            "double" => {
                let name: String = map.next_value()?;
                out.fixed64_field(4, name.parse::<f64>().unwrap_or(f64::NAN).to_bits());
            }
            "kvlist" => {
                out.message_field(6, |out| map.next_value_seed(MembersSeed { out, number: 1 }))?;
            }
            _ => {
                map.next_value::<serde::de::IgnoredAny>()?;
            }
        }
    }
    Ok(())
}
