use crate::hex;
use crate::json_text::{push_comma, push_double, push_integer, push_key, push_string};
use crate::schema::{Field, Kind, Message, REQUEST};
use crate::wire::{Field as WireField, FieldValue, Reader};

/// Writes a protobuf request, which this crate has encoded, as JSON.
pub(crate) fn request_to_json(protobuf: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(protobuf.len() * 2);
    push_message(&mut out, protobuf, &REQUEST);
    out
}

fn push_message(out: &mut Vec<u8>, bytes: &[u8], message: &Message) {
    out.push(b'{');
    for field in message.fields {
        push_field(out, bytes, field);
    }
    out.push(b'}');
}

/// Appends every occurrence of one field of a message.
fn push_field(out: &mut Vec<u8>, bytes: &[u8], field: &Field) {
    let mut opened = false;
    let mut reader = Reader::new(bytes);
    while let Ok(Some(found)) = reader.next() {
        if found.number != field.number {
            continue;
        }
        if !opened {
            push_key(out, field.name);
            if field.repeated {
                out.push(b'[');
            }
            opened = true;
        }
        if field.repeated {
            push_comma(out);
        }
        push_content(out, &found, field.kind);
    }
    if opened && field.repeated {
        out.push(b']');
    }
}

fn push_content(out: &mut Vec<u8>, found: &WireField<'_>, kind: Kind) {
    match (kind, found.value) {
        (Kind::Text, FieldValue::Bytes(bytes)) => push_string(out, &String::from_utf8_lossy(bytes)),
        (Kind::Id, FieldValue::Bytes(bytes)) => push_string(out, &hex::encode(bytes)),
        (Kind::Bytes, FieldValue::Bytes(bytes)) => {
            out.push(b'"');
            hex::push_base64(out, bytes);
            out.push(b'"');
        }
        (Kind::Message(message) | Kind::Spans(message), FieldValue::Bytes(bytes)) => {
            push_message(out, bytes, message);
        }
        (Kind::Bool, FieldValue::Varint(value)) => {
            out.extend_from_slice(if value != 0 { b"true" } else { b"false" });
        }
        (Kind::Uint32, FieldValue::Varint(value)) => push_integer(out, value as u32),
        (Kind::Enum(..), FieldValue::Varint(value)) => push_integer(out, value as i32),
        (Kind::Int64, FieldValue::Varint(value)) => {
            out.push(b'"');
            push_integer(out, value as i64);
            out.push(b'"');
        }
        (Kind::Double, FieldValue::Fixed64(bits)) => match f64::from_bits(bits) {
            value if value.is_finite() => push_double(out, value),
            value if value.is_nan() => out.extend_from_slice(b"\"NaN\""),
            value if value > 0.0 => out.extend_from_slice(b"\"Infinity\""),
            _ => out.extend_from_slice(b"\"-Infinity\""),
        },
        (Kind::Fixed64, FieldValue::Fixed64(value)) => {
            out.push(b'"');
            push_integer(out, value);
            out.push(b'"');
        }
        (Kind::Fixed32, FieldValue::Fixed32(value)) => push_integer(out, value),
        _ => out.extend_from_slice(b"null"),
    }
}
