//! Reading JSON text into [`Json`], its strings found block by block.
//!
//! Takes what `serde_json` takes, and nothing else; the tests hold the two against each other.

use std::borrow::Cow;

use endspan_model::limits::MAX_PAYLOAD_DEPTH;
use memchr::memchr;
use serde_json::Number;

use super::json::{Json, Object};
use crate::json_blocks::Blocks;

/// Reads one value, with white space around it; `None` if the text is anything else.
pub(super) fn read(text: &str) -> Option<Json<'_>> {
    if let Some(plain) = read_plain(text) {
        return Some(plain);
    }
    let mut reader = Reader::new(text);
    let value = reader.value(0)?;
    (reader.peek().is_none()).then_some(value)
}

/// Reads what most attributes are, a short text without escapes or a count, without looking at it by blocks.
fn read_plain(text: &str) -> Option<Json<'_>> {
    match text.as_bytes() {
        [b'"', content @ .., b'"'] if content.len() < 64 => {
            let plain = !content.iter().any(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            plain.then(|| Json::String(Cow::Borrowed(text.get(1..text.len() - 1).unwrap_or_default())))
        }
        [b'1'..=b'9', ..] => count(text).map(|count| Json::Number(count.into())),
        _ => None,
    }
}

/// Returns a whole number of so few digits that it fits.
fn count(digits: &str) -> Option<u64> {
    (digits.len() < 19 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// Shows the members of an object in their order, each value as it is written. Stops where the text is no object.
pub(super) fn members<'a>(text: &'a str, mut member: impl FnMut(Cow<'a, str>, &'a str)) -> Option<()> {
    let mut reader = Reader::new(text);
    reader.take(b'{')?;
    loop {
        let key = reader.string()?;
        reader.take(b':')?;
        reader.peek()?;
        let start = reader.at;
        reader.skip()?;
        member(key, text.get(start..reader.at)?);
        reader.take(b',')?;
    }
}

/// Every method returns `None` where the text is no JSON.
struct Reader<'a> {
    text: &'a str,
    blocks: Blocks<'a>,
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, blocks: Blocks::new(text.as_bytes()), at: 0 }
    }

    /// Passes white space and returns the byte behind it.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            match *self.text.as_bytes().get(self.at)? {
                b' ' | b'\n' | b'\t' | b'\r' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    #[inline]
    fn take(&mut self, byte: u8) -> Option<()> {
        let found = self.peek()? == byte;
        self.at += 1;
        found.then_some(())
    }

    fn value(&mut self, depth: usize) -> Option<Json<'a>> {
        match self.peek()? {
            b'"' => self.string().map(Json::String),
            b'{' | b'[' if depth == MAX_PAYLOAD_DEPTH => None,
            b'{' => self.object(depth + 1),
            b'[' => self.array(depth + 1),
            b't' => self.literal("true", Json::Bool(true)),
            b'f' => self.literal("false", Json::Bool(false)),
            b'n' => self.literal("null", Json::Null),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Json<'a>> {
        self.at += 1;
        let mut members = Vec::new();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(Json::Object(Object::from(members)));
        }
        loop {
            let key = self.string()?;
            self.take(b':')?;
            members.push((key, self.value(depth)?));
            let end = self.peek()?;
            self.at += 1;
            match end {
                b',' => {}
                b'}' => return Some(Json::Object(Object::from(members))),
                _ => return None,
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<Json<'a>> {
        self.at += 1;
        let mut elements = Vec::new();
        if self.peek()? == b']' {
            self.at += 1;
            return Some(Json::Array(elements));
        }
        loop {
            elements.push(self.value(depth)?);
            let end = self.peek()?;
            self.at += 1;
            match end {
                b',' => {}
                b']' => return Some(Json::Array(elements)),
                _ => return None,
            }
        }
    }

    #[inline]
    fn string(&mut self) -> Option<Cow<'a, str>> {
        self.take(b'"')?;
        let start = self.at;
        let end = self.blocks.string_end(start, |_, _| true)?;
        self.at = end + 1;
        let content = self.text.get(start..end)?;
        // Outside strings a line break is no control character to mind.
        if self.blocks.met_control() && content.bytes().any(|byte| byte < b' ') {
            return None;
        }
        match memchr(b'\\', content.as_bytes()) {
            None => Some(Cow::Borrowed(content)),
            Some(first) => unescape(content, first).map(Cow::Owned),
        }
    }

    fn number(&mut self) -> Option<Json<'a>> {
        let rest = self.text.get(self.at..)?;
        let is_part = |byte: u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.bytes().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        self.at += length;
        let digits = rest.get(..length)?;
        if digits.starts_with(|first: char| matches!(first, '1'..='9'))
            && let Some(count) = count(digits)
        {
            return Some(Json::Number(count.into()));
        }
        serde_json::from_str::<Number>(digits).ok().map(Json::Number)
    }

    fn literal(&mut self, word: &str, value: Json<'a>) -> Option<Json<'a>> {
        let found = self.text.as_bytes().get(self.at..)?.starts_with(word.as_bytes());
        self.at += word.len();
        found.then_some(value)
    }

    /// Passes a value without looking at more than where it ends.
    fn skip(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at = self.blocks.string_end(self.at + 1, |_, _| true)? + 1;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' => {
                    if depth == 0 {
                        return None;
                    }
                    self.at += 1;
                    continue;
                }
                _ => {
                    let rest = self.text.as_bytes().get(self.at..)?;
                    let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\t' | b'\r');
                    self.at += rest.iter().position(ends).unwrap_or(rest.len()).max(1);
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}

/// Returns what a string's content says; its first backslash stands at `first`.
fn unescape(content: &str, first: usize) -> Option<String> {
    let mut out = String::with_capacity(content.len());
    let (mut rest, mut next) = (content, Some(first));
    while let Some(at) = next {
        out.push_str(rest.get(..at)?);
        let (said, length) = match *rest.as_bytes().get(at + 1)? {
            b'"' => ('"', 2),
            b'\\' => ('\\', 2),
            b'/' => ('/', 2),
            b'b' => ('\u{8}', 2),
            b'f' => ('\u{c}', 2),
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b't' => ('\t', 2),
            b'u' => match code_unit(rest, at)? {
                high @ 0xD800..=0xDBFF => {
                    let low = code_unit(rest, at + 6)?;
                    (char::decode_utf16([high, low]).next()?.ok()?, 12)
                }
                unit => (char::from_u32(u32::from(unit))?, 6),
            },
            _ => return None,
        };
        out.push(said);
        rest = rest.get(at + length..)?;
        next = memchr(b'\\', rest.as_bytes());
    }
    out.push_str(rest);
    Some(out)
}

/// Returns the code unit of a `\uXXXX` escape at `at`.
fn code_unit(text: &str, at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
    // Signs are numbers to the standard library.
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let text = prop_oneof![".{0,12}", "(?s)[\\x00-\\x7fäß😀\"\\\\]{0,200}"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(".{0,6}", inner, 0..6).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn reads_what_others_read(value in any_value(), pretty: bool) {
            let text = if pretty { format!(" {value:#}\r\n") } else { value.to_string() };
            let read = read(&text).unwrap();
            prop_assert_eq!(read.to_value(), serde_json::from_str::<Value>(&text).unwrap());
            prop_assert_eq!(read.clone().into_owned(), read);
        }

        #[test]
        fn damaged_text_is_refused_where_others_refuse_it(
            value in any_value(), at in any::<prop::sample::Index>(), byte in 0_u8..127, pretty: bool,
        ) {
            let mut text = if pretty { format!("{value:#}") } else { value.to_string() }.into_bytes();
            let index = at.index(text.len());
            text[index] = byte;
            let Ok(text) = String::from_utf8(text) else { return Ok(()) };
            prop_assert_eq!(read(&text).map(|read| read.to_value()), serde_json::from_str::<Value>(&text).ok(), "{}", text);
        }

        #[test]
        fn members_are_those_that_others_find(value in prop::collection::hash_map(".{0,6}", any_value(), 0..6), pretty: bool) {
            let value: Value = value.into_iter().collect();
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            let mut found = serde_json::Map::new();
            members(&text, |key, raw| {
                found.insert(key.into_owned(), serde_json::from_str(raw).unwrap());
            });
            prop_assert_eq!(Value::Object(found), value);
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let deep = "[".repeat(MAX_PAYLOAD_DEPTH + 1) + &"]".repeat(MAX_PAYLOAD_DEPTH + 1);
        for text in [
            "",
            " ",
            "{",
            "}",
            "[1,]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "01",
            "1.",
            ".5",
            "+1",
            "-",
            "1e",
            "1e999",
            "tru",
            "truex",
            "nul",
            "[1] 2",
            "\"",
            "\"\\\"",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\udc00\"",
            "\"\\ud800\\u0041\"",
            "\"\\u+123\"",
            "\"\n\"",
            "[}",
            "{]",
            "1 2",
            "12-3",
            "--1",
            &deep,
        ] {
            assert_eq!(read(text), None, "{text}");
            assert!(serde_json::from_str::<Value>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn members_stop_where_the_text_is_no_object() {
        for text in ["", "[1]", "{\"a\"", "{\"a\":", "{\"a\":]}", "{:1}", "{,}", "{\"a\" 1}"] {
            let mut found = Vec::new();
            members(text, |key, _| found.push(key.into_owned()));
            assert!(found.is_empty(), "{text}");
        }
        let mut found = Vec::new();
        members("{\"a\": [1, {\"b\": \"]\"}] , \"c\":2 \"d\":3}", |key, raw| {
            found.push((key.into_owned(), raw))
        });
        assert_eq!(found, [("a".to_owned(), "[1, {\"b\": \"]\"}]"), ("c".to_owned(), "2")]);
    }
}
