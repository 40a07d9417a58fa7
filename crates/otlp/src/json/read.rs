use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::hex;
use crate::schema::{Field, Kind, Message, REQUEST};
use crate::wire::WriteFields;

/// A JSON request as protobuf.
#[derive(Debug, Default)]
pub(crate) struct Transcoded {
    pub(crate) protobuf: Vec<u8>,
    /// The places of spans that are not readable, with the reason, last first. Each stands in the protobuf as an
    /// empty span.
    pub(crate) span_errors: Vec<(usize, String)>,
    /// Keys around the spans that OTLP does not have; at most [`MAX_UNKNOWN_KEYS`].
    pub(crate) unknown_keys: Vec<String>,
}

const MAX_UNKNOWN_KEYS: usize = 8;

/// Reads a JSON request.
pub(crate) fn request_to_protobuf(body: &[u8]) -> Result<Transcoded, String> {
    let mut context = Context { around_spans: true, ..Context::default() };
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = MessageSeed { message: &REQUEST, number: None, context: &mut context };
    read.deserialize(&mut reader).and_then(|()| reader.end()).map_err(|error| error.to_string())?;
    let mut transcoded = context.transcoded;
    transcoded.span_errors.reverse();
    Ok(transcoded)
}

#[derive(Debug, Default)]
struct Context {
    transcoded: Transcoded,
    spans: usize,
    around_spans: bool,
}

impl Context {
    fn out(&mut self) -> &mut Vec<u8> {
        &mut self.transcoded.protobuf
    }
}

/// Reads an object into a message: as field `number`, or without a header.
struct MessageSeed<'c> {
    message: &'static Message,
    number: Option<u32>,
    context: &'c mut Context,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl MessageSeed<'_> {
    /// Writes the header, then the content.
    fn framed<T>(self, write: impl FnOnce(&mut Context) -> T) -> T {
        let Some(number) = self.number else { return write(self.context) };
        // The content goes to a buffer of its own start, so that nested seeds can write through the context.
        let out = self.context.out();
        out.tag(number, 2);
        let at = out.len();
        let result = write(self.context);
        let out = self.context.out();
        let mut prefix = Vec::with_capacity(10);
        prefix.varint((out.len() - at) as u64);
        out.splice(at..at, prefix);
        result
    }

    /// Writes a scalar that stands for an `AnyValue`.
    fn scalar<E: Error>(self, found: &str, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), E> {
        if !self.message.any_value {
            return Err(E::custom(format_args!("expected an object, found {found}")));
        }
        self.framed(|context| write(context.out()));
        Ok(())
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        if self.message.any_value {
            self.framed(|_| ());
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.scalar("a boolean", |out| out.varint_field(2, u64::from(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.scalar("a number", |out| out.varint_field(3, value as u64))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => self.scalar("a number", |out| out.bytes_field(1, value.to_string().as_bytes())),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.scalar("a number", |out| out.fixed64_field(4, value.to_bits()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.scalar("text", |out| out.bytes_field(1, value.as_bytes()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let message = self.message;
        self.framed(|context| {
            while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                match message.field(&key) {
                    Some(field) => map.next_value_seed(FieldSeed { field, context })?,
                    None => {
                        map.next_value::<IgnoredAny>()?;
                        let unknown = &mut context.transcoded.unknown_keys;
                        if context.around_spans && unknown.len() < MAX_UNKNOWN_KEYS {
                            unknown.push(key.chars().take(64).collect());
                        }
                    }
                }
            }
            Ok(())
        })
    }
}

/// Reads a field's value: a list if the field is repeated.
struct FieldSeed<'c> {
    field: &'static Field,
    context: &'c mut Context,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        match self.field.kind {
            _ if self.field.repeated => reader.deserialize_any(self),
            Kind::Message(message) => {
                MessageSeed { message, number: Some(self.field.number), context: self.context }
                    .deserialize(reader)
            }
            _ => ScalarSeed { field: self.field, out: self.context.out() }.deserialize(reader),
        }
    }
}

impl<'de> Visitor<'de> for FieldSeed<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an array for {}", self.field.name)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let number = self.field.number;
        loop {
            let more = match self.field.kind {
                Kind::Message(message) => seq.next_element_seed(MessageSeed {
                    message,
                    number: Some(number),
                    context: self.context,
                })?,
                Kind::Spans(message) => match seq.next_element::<&RawValue>()? {
                    Some(text) => {
                        read_span(text.get(), message, number, self.context);
                        Some(())
                    }
                    None => None,
                },
                _ => seq.next_element_seed(ScalarSeed { field: self.field, out: self.context.out() })?,
            };
            if more.is_none() {
                return Ok(());
            }
        }
    }
}

/// Reads one span; what is wrong with it is its own affair.
fn read_span(text: &str, message: &'static Message, number: u32, context: &mut Context) {
    let index = context.spans;
    context.spans += 1;
    let start = context.transcoded.protobuf.len();
    context.around_spans = false;
    let seed = MessageSeed { message, number: Some(number), context };
    let result = seed.deserialize(&mut serde_json::Deserializer::from_str(text));
    context.around_spans = true;
    // `null` writes nothing, yet it takes a place in the list.
    let error = match result {
        // The position within the span tells nobody anything.
        Err(error) => error.to_string().split(" at line ").next().unwrap_or_default().to_owned(),
        Ok(()) if context.transcoded.protobuf.len() == start => "is null".to_owned(),
        Ok(()) => return,
    };
    context.transcoded.span_errors.push((index, error));
    context.out().truncate(start);
    context.out().bytes_field(number, &[]);
}

/// Reads a single value that is no message.
struct ScalarSeed<'c> {
    field: &'static Field,
    out: &'c mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for ScalarSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl ScalarSeed<'_> {
    fn wrong<E: Error>(&self, found: fmt::Arguments<'_>) -> E {
        E::custom(format_args!("{}: cannot be {found}", self.field.name))
    }

    fn write_integer<E: Error>(self, value: i128) -> Result<(), E> {
        let number = self.field.number;
        let fits = match self.field.kind {
            Kind::Int64 => {
                i64::try_from(value).map(|value| self.out.varint_field(number, value as u64)).is_ok()
            }
            Kind::Fixed64 => u64::try_from(value).map(|value| self.out.fixed64_field(number, value)).is_ok(),
            Kind::Fixed32 => u32::try_from(value).map(|value| self.out.fixed32_field(number, value)).is_ok(),
            Kind::Uint32 => {
                u32::try_from(value).map(|value| self.out.varint_field(number, u64::from(value))).is_ok()
            }
            Kind::Enum(..) => i32::try_from(value)
                .map(|value| self.out.varint_field(number, i64::from(value) as u64))
                .is_ok(),
            Kind::Double => {
                self.out.fixed64_field(number, (value as f64).to_bits());
                true
            }
            Kind::Bool if matches!(value, 0 | 1) => {
                self.out.varint_field(number, value as u64);
                true
            }
            _ => false,
        };
        if fits { Ok(()) } else { Err(self.wrong(format_args!("the number {value}"))) }
    }
}

impl<'de> Visitor<'de> for ScalarSeed<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a value for {}", self.field.name)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.field.kind {
            Kind::Bool => {
                self.out.varint_field(self.field.number, u64::from(value));
                Ok(())
            }
            _ => Err(self.wrong(format_args!("a boolean"))),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.write_integer(i128::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.write_integer(i128::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        match self.field.kind {
            Kind::Double => {
                self.out.fixed64_field(self.field.number, value.to_bits());
                Ok(())
            }
            // Some writers turn whole numbers into doubles.
            _ if value.fract() == 0.0 && value.abs() < 2_f64.powi(63) => self.write_integer(value as i128),
            _ => Err(self.wrong(format_args!("the number {value}"))),
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        let number = self.field.number;
        match self.field.kind {
            Kind::Text => self.out.bytes_field(number, value.as_bytes()),
            Kind::Id => match id_bytes(value) {
                Some(bytes) => self.out.bytes_field(number, &bytes),
                None => return Err(self.wrong(format_args!("{value:?}: neither hex nor base64"))),
            },
            Kind::Bytes => match hex::decode_base64(value) {
                Some(bytes) => self.out.bytes_field(number, &bytes),
                None => return Err(self.wrong(format_args!("text that is not base64"))),
            },
            Kind::Enum(names, prefix) => {
                let short = value.strip_prefix(prefix).unwrap_or(value);
                match names.iter().position(|name| name.eq_ignore_ascii_case(short)) {
                    Some(code) => self.out.varint_field(number, code as u64),
                    None => match value.parse::<i32>() {
                        Ok(code) => return self.write_integer(i128::from(code)),
                        Err(_) => return Err(self.wrong(format_args!("{value:?}"))),
                    },
                }
            }
            Kind::Double => match value.parse::<f64>() {
                Ok(value) => self.out.fixed64_field(number, value.to_bits()),
                Err(_) => return Err(self.wrong(format_args!("{value:?}"))),
            },
            Kind::Bool if matches!(value, "true" | "false") => {
                self.out.varint_field(number, u64::from(value == "true"));
            }
            // An empty text stands for a number that is not given.
            Kind::Int64 | Kind::Fixed64 | Kind::Fixed32 | Kind::Uint32 if value.is_empty() => {}
            Kind::Int64 | Kind::Fixed64 | Kind::Fixed32 | Kind::Uint32 => match value.parse::<i128>() {
                Ok(value) => return self.write_integer(value),
                Err(_) => return Err(self.wrong(format_args!("{value:?}"))),
            },
            Kind::Bool | Kind::Message(_) | Kind::Spans(_) => {
                return Err(self.wrong(format_args!("text")));
            }
        }
        Ok(())
    }
}

/// Returns the bytes of an id in hex, as OTLP has it, or in base64, as plain protobuf JSON has it. Base64 of 16 or
/// 8 bytes has 24 or 12 characters with padding and 22 or 11 without, so that the two cannot be mixed up.
fn id_bytes(text: &str) -> Option<Vec<u8>> {
    match text.len() {
        24 | 22 | 12 | 11 => hex::decode_base64(text).filter(|bytes| matches!(bytes.len(), 16 | 8)),
        // Ids are sometimes written like UUIDs.
        36 => hex::decode(&text.replace('-', "")),
        _ => hex::decode(text),
    }
}
