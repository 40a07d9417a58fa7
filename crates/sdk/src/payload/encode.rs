//! JSON text out of values.

use std::cell::Cell;
use std::io;

use endspan_model::limits::MAX_PAYLOAD_DEPTH;
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::Formatter;

thread_local! {
    /// How long the texts of this thread are about, so that a buffer is allocated once.
    static EXPECTED_BYTES: Cell<usize> = const { Cell::new(256) };
}

/// Returns a good first capacity for the next text.
pub(super) fn expected_bytes() -> usize {
    EXPECTED_BYTES.try_with(Cell::get).unwrap_or(256)
}

/// Notes how long a text became.
pub(super) fn remember_bytes(len: usize) {
    let _ = EXPECTED_BYTES.try_with(|expected| {
        let old = expected.get();
        // Follows growth at once and shrinks slowly; a single huge payload is forgotten soon.
        let new = if len > old { len + len / 8 } else { old - (old - len) / 8 };
        expected.set(new.clamp(128, 64 * 1024));
    });
}

/// Serializes anything, refusing what nests too deep for its readers.
pub(super) fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = Vec::with_capacity(expected_bytes());
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, DepthLimit { depth: 0 });
    value.serialize(&mut serializer)?;
    remember_bytes(text.len());
    Ok(text)
}

/// Compact JSON, at most [`MAX_PAYLOAD_DEPTH`] levels of it.
struct DepthLimit {
    depth: usize,
}

impl DepthLimit {
    fn enter(&mut self) -> io::Result<()> {
        self.depth += 1;
        if self.depth > MAX_PAYLOAD_DEPTH { Err(io::Error::other("nested too deep")) } else { Ok(()) }
    }
}

impl Formatter for DepthLimit {
    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.enter()?;
        writer.write_all(b"[")
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        writer.write_all(b"]")
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.enter()?;
        writer.write_all(b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        writer.write_all(b"}")
    }
}

/// Appends a value as compact JSON. Returns `false`, with half of it written, if it nests too deep.
pub(super) fn push_value(out: &mut Vec<u8>, value: &Value) -> bool {
    push_nested(out, value, 0)
}

fn push_nested(out: &mut Vec<u8>, value: &Value, depth: usize) -> bool {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => push_number(out, number),
        Value::String(text) => endspan_wire::push_string(out, text),
        Value::Array(_) | Value::Object(_) if depth >= MAX_PAYLOAD_DEPTH => return false,
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                if !push_nested(out, item, depth + 1) {
                    return false;
                }
            }
            out.push(b']');
        }
        Value::Object(members) => {
            out.push(b'{');
            for (index, (key, member)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                endspan_wire::push_string(out, key);
                out.push(b':');
                if !push_nested(out, member, depth + 1) {
                    return false;
                }
            }
            out.push(b'}');
        }
    }
    true
}

fn push_number(out: &mut Vec<u8>, number: &serde_json::Number) {
    let mut digits = itoa::Buffer::new();
    if let Some(number) = number.as_u64() {
        out.extend_from_slice(digits.format(number).as_bytes());
    } else if let Some(number) = number.as_i64() {
        out.extend_from_slice(digits.format(number).as_bytes());
    } else if serde_json::to_writer(&mut *out, number).is_err() {
        out.extend_from_slice(b"null");
    }
}
