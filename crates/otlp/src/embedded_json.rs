//! JSON text inside attribute values.
//!
//! Instrumentations write messages and arguments as JSON text into string attributes. Kept as text inside our
//! own JSON they would be escaped twice: hard to read, to search and to compress. So text that is an array or
//! an object is kept as the JSON that it is, provided that the very same text can be made from it again:
//! it is written either without white space or with one space after each `:` and `,` (what Python's
//! `json.dumps` does). Anything else stays text.

use memchr::memchr2;

use crate::json_blocks::Blocks;

/// How the text was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spacing {
    /// No white space between tokens.
    None,
    /// One space after every colon and comma.
    AfterSeparators,
}

/// Deepest nesting that is taken as JSON; deeper text stays text.
const MAX_DEPTH: usize = 128;

/// Longest number that is taken without checking that it fits a double.
const SAFE_NUMBER_CHARS: usize = 300;

/// Appends the text as compact JSON and says how it was spaced; appends nothing and returns `None` if it is
/// no array or object, is not valid JSON by the rules of `Payload`, or is spaced in another way.
pub(crate) fn push_compact(out: &mut Vec<u8>, text: &str) -> Option<Spacing> {
    let bytes = text.as_bytes();
    if !matches!((bytes.first(), bytes.last()), (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']'))) {
        return None;
    }
    let start = out.len();
    let blocks = Blocks::new(bytes);
    let spacing = Compactor { text: bytes, blocks, at: 0, out, copied: 0, spacing: None }.document();
    if spacing.is_none() {
        out.truncate(start);
    }
    spacing
}

/// Returns the text that [`push_compact`] was given.
pub(crate) fn restore(compact: &[u8], spacing: Spacing) -> Vec<u8> {
    if spacing == Spacing::None {
        return compact.to_vec();
    }
    let mut out = Vec::with_capacity(compact.len() + compact.len() / 8);
    let mut at = 0;
    while let Some(&byte) = compact.get(at) {
        if byte == b'"' {
            let end = string_end(compact, at + 1);
            out.extend_from_slice(compact.get(at..end).unwrap_or_default());
            at = end;
            continue;
        }
        out.push(byte);
        if matches!(byte, b',' | b':') {
            out.push(b' ');
        }
        at += 1;
    }
    out
}

/// Returns the position after the closing quote of the string whose content starts at `at`.
fn string_end(text: &[u8], mut at: usize) -> usize {
    loop {
        let Some(offset) = text.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) else {
            return text.len();
        };
        at += offset;
        if text.get(at) == Some(&b'"') {
            return at + 1;
        }
        at += 2;
    }
}

/// Validates and copies in one pass. Every method returns `None` where the text is not acceptable.
struct Compactor<'a> {
    text: &'a [u8],
    blocks: Blocks<'a>,
    at: usize,
    out: &'a mut Vec<u8>,
    /// Everything before this position is in `out`.
    copied: usize,
    spacing: Option<Spacing>,
}

impl Compactor<'_> {
    fn document(mut self) -> Option<Spacing> {
        // One bit a level: whether it is an object.
        let mut levels = 0_u128;
        let mut depth = 0_usize;
        loop {
            // A value starts here.
            let opened = match self.peek()? {
                open @ (b'{' | b'[') => {
                    self.at += 1;
                    depth += 1;
                    if depth > MAX_DEPTH {
                        return None;
                    }
                    levels = levels << 1 | u128::from(open == b'{');
                    let close = if open == b'{' { b'}' } else { b']' };
                    let empty = self.peek()? == close;
                    if open == b'{' && !empty {
                        self.key()?;
                    }
                    !empty
                }
                b'"' => {
                    self.string()?;
                    false
                }
                b'-' | b'0'..=b'9' => {
                    self.number()?;
                    false
                }
                b't' => self.literal(b"true")?,
                b'f' => self.literal(b"false")?,
                b'n' => self.literal(b"null")?,
                _ => return None,
            };
            if opened {
                continue;
            }
            // A value or an empty container ended: close levels until a comma comes.
            loop {
                let object = levels & 1 == 1;
                match (self.peek()?, object) {
                    (b'}', true) | (b']', false) => {
                        self.at += 1;
                        depth -= 1;
                        levels >>= 1;
                        if depth == 0 {
                            return self.finish();
                        }
                    }
                    (b',', _) => {
                        self.separator()?;
                        if object {
                            self.key()?;
                        }
                        break;
                    }
                    _ => return None,
                }
            }
        }
    }

    fn finish(self) -> Option<Spacing> {
        // Between tokens control characters are no JSON that is taken here; inside strings the blocks have met them.
        if self.at != self.text.len() || self.blocks.met_control() {
            return None;
        }
        self.out.extend_from_slice(self.text.get(self.copied..)?);
        Some(self.spacing.unwrap_or(Spacing::None))
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Passes a comma or colon and the one space that may follow, the same way everywhere.
    #[inline]
    fn separator(&mut self) -> Option<()> {
        self.at += 1;
        let spaced = self.peek()? == b' ';
        let spacing = if spaced { Spacing::AfterSeparators } else { Spacing::None };
        if *self.spacing.get_or_insert(spacing) != spacing {
            return None;
        }
        if spaced {
            self.out.extend_from_slice(self.text.get(self.copied..self.at)?);
            self.at += 1;
            self.copied = self.at;
        }
        Some(())
    }

    fn key(&mut self) -> Option<()> {
        self.string()?;
        if self.peek()? != b':' {
            return None;
        }
        self.separator()
    }

    #[inline]
    fn string(&mut self) -> Option<()> {
        if self.peek()? != b'"' {
            return None;
        }
        // Where the second half of a surrogate pair is due.
        let mut second_half = None;
        let end = self.blocks.string_end(self.at + 1, |text, at| match text.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => true,
            Some(b'u') => match code_unit(text, at) {
                Some(0xD800..=0xDBFF) => {
                    second_half = Some(at + 6);
                    matches!(code_unit(text, at + 6), Some(0xDC00..=0xDFFF))
                }
                Some(0xDC00..=0xDFFF) => second_half == Some(at),
                unit => unit.is_some(),
            },
            _ => false,
        })?;
        self.at = end + 1;
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        if self.peek()? == b'-' {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits()?,
            _ => return None,
        }
        if self.peek()? == b'.' {
            self.at += 1;
            self.digits()?;
        }
        let exponent = matches!(self.peek()?, b'e' | b'E');
        if exponent {
            self.at += 1;
            if matches!(self.peek()?, b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        if exponent || self.at - start > SAFE_NUMBER_CHARS {
            let value: f64 = std::str::from_utf8(self.text.get(start..self.at)?).ok()?.parse().ok()?;
            if value.is_infinite() {
                return None;
            }
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        let count = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        self.at += count;
        (count > 0).then_some(())
    }

    /// Passes a literal; `Some(false)` says that no container was opened.
    fn literal(&mut self, word: &[u8]) -> Option<bool> {
        let found = self.text.get(self.at..)?.starts_with(word);
        self.at += word.len();
        found.then_some(false)
    }
}

/// Returns the code unit of a `\uXXXX` escape at `at`.
fn code_unit(text: &[u8], at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use endspan_model::Payload;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn compact(text: &str) -> Option<(String, Spacing)> {
        let mut out = b"before".to_vec();
        let spacing = push_compact(&mut out, text);
        let rest = String::from_utf8(out.split_off(6)).unwrap();
        assert!(spacing.is_some() || rest.is_empty(), "nothing is left behind");
        spacing.map(|spacing| (rest, spacing))
    }

    #[test]
    fn both_spacings_are_found_and_restored() {
        let spaced = r#"{"a": [1, -2.5e3, "x, y: \" \u00e9"], "b": {}, "c": [], "d": null}"#;
        let (text, spacing) = compact(spaced).unwrap();
        assert_eq!(text, r#"{"a":[1,-2.5e3,"x, y: \" \u00e9"],"b":{},"c":[],"d":null}"#);
        assert_eq!(spacing, Spacing::AfterSeparators);
        assert_eq!(restore(text.as_bytes(), spacing), spaced.as_bytes());
        assert_eq!(compact(&text), Some((text.clone(), Spacing::None)));
    }

    #[test]
    fn what_could_not_come_back_stays_text() {
        for text in [
            "",
            "{",
            "}",
            "[",
            "[]]",
            "[1,]",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "[01]",
            "[1.]",
            "[.5]",
            "[1e]",
            "[+1]",
            "[tru]",
            "[1] ",
            " [1]",
            "[1,2, 3]",
            "[1,  2]",
            "[1 ,2]",
            "[ 1]",
            "{\"a\":1 }",
            "[1\n]",
            "[\"\\ud800\"]",
            "[\"\\udc00\"]",
            "[\"\\x\"]",
            "[\"\u{1}\"]",
            "[1e999]",
            "\"text\"",
            "12",
            "[}",
            "{]",
            "[{]}",
            "[nul]",
            "[\"\\u12\"]",
            "[\"\\u+123\"]",
            "[\"\\ud800\\u0041\"]",
            "[\"\\ud800x\"]",
            "[\"a\u{1f}\"]",
            "[\\\"a\"]",
        ] {
            assert_eq!(compact(text), None, "{text}");
        }
        let deep = format!("{}{}", "[".repeat(129), "]".repeat(129));
        assert_eq!(compact(&deep), None);
        let pair = "[\"\\ud83d\\ude00\\\\\\\"\"]";
        assert_eq!(compact(pair).unwrap().0, pair);
        let fits = format!("{}{}", "[".repeat(128), "]".repeat(128));
        assert_eq!(compact(&fits).unwrap().0, fits);
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
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
        fn accepted_text_is_a_payload_and_comes_back(value in json(), spaced: bool) {
            let text = value.to_string();
            let given = if spaced {
                String::from_utf8(restore(text.as_bytes(), Spacing::AfterSeparators)).unwrap()
            } else {
                text.clone()
            };
            if value.is_array() || value.is_object() {
                let (out, spacing) = compact(&given).unwrap();
                prop_assert_eq!(&out, &text);
                prop_assert_eq!(restore(out.as_bytes(), spacing), given.into_bytes());
                let payload = Payload::parse(out.clone().into_bytes()).unwrap();
                prop_assert_eq!(payload.as_str(), &out);
            } else {
                prop_assert_eq!(compact(&given), None);
            }
        }

        #[test]
        fn damaged_text_agrees_with_a_parser(value in json(), at in any::<prop::sample::Index>(), byte in 32_u8..127) {
            let mut text = value.to_string().into_bytes();
            let index = at.index(text.len());
            text[index] = byte;
            let Ok(text) = String::from_utf8(text) else { return Ok(()) };
            if let Some((out, spacing)) = compact(&text) {
                prop_assert!(Payload::parse(out.clone().into_bytes()).is_ok(), "{}", text);
                prop_assert_eq!(restore(out.as_bytes(), spacing), text.into_bytes());
            }
        }
    }
}
