//! From a body to the fields of its items, and from a field's raw text to its value.

mod read;

pub(crate) use read::{Shapes, is_lower_hex};

use bytes::Bytes;
use endspan_model::{Span, limits};

use crate::error::{DecodeError, DecodeErrorKind};
use crate::json::{Cursor, Found, Syntax, unescape};

/// The outcome of each item of a batch, in order.
pub type ItemResults = Vec<Result<Span, DecodeError>>;

/// A body's text without byte order mark.
pub(crate) struct Body {
    bytes: Bytes,
    is_utf8: bool,
}

/// Where an item stands, for the path in an error.
#[derive(Clone, Copy)]
enum Place {
    Body,
    Items(usize),
    Element(usize),
}

/// A field's value as it stands in the body.
#[derive(Clone, Copy)]
pub(crate) struct Slot<'a> {
    text: &'a [u8],
    found: Found,
}

/// One object of a body: the raw values of the fields that an API knows, by their position in its list.
pub(crate) struct Item<'a, const N: usize> {
    body: &'a Body,
    place: Place,
    names: &'static [&'static str; N],
    slots: [Option<Slot<'a>>; N],
}

impl Place {
    fn path(self, field: &str) -> String {
        let item = match self {
            Self::Body if field.is_empty() => return "body".to_owned(),
            Self::Body => return field.to_owned(),
            Self::Items(index) => format!("items[{index}]"),
            Self::Element(index) => format!("[{index}]"),
        };
        if field.is_empty() { item } else { format!("{item}.{field}") }
    }

    fn error(self, field: &str, expected: &'static str, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { path: self.path(field), expected, kind }
    }

    fn syntax(self, field: &str, syntax: Syntax) -> DecodeError {
        self.error(field, syntax.expected, DecodeErrorKind::Syntax { offset: syntax.at })
    }
}

/// Returns the JSON type of a raw value in words.
fn describe(text: &[u8]) -> &'static str {
    match text.first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

impl Body {
    pub(crate) fn new(bytes: &Bytes) -> Result<Self, DecodeError> {
        let error = |kind| Err(Place::Body.error("", "JSON text in UTF-8", kind));
        let bytes = match bytes.as_ref() {
            [0xEF, 0xBB, 0xBF, ..] => bytes.slice(3..),
            [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => return error(DecodeErrorKind::NotUtf8),
            _ => bytes.clone(),
        };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return error(DecodeErrorKind::Missing);
        }
        let is_utf8 = std::str::from_utf8(&bytes).is_ok();
        Ok(Self { bytes, is_utf8 })
    }

    /// Returns the text that the body's JSON string holds, if the body is one (`agentex-api` row 13).
    pub(crate) fn unwrap_string(self) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(&self.bytes);
        cursor.space();
        if cursor.peek() != Some(b'"') {
            return Ok(self);
        }
        let start = cursor.at() + 1;
        cursor.string().map_err(|syntax| Place::Body.syntax("", syntax))?;
        let content = cursor.since(start);
        finish(&mut cursor)?;
        if !self.is_utf8 || cursor.found.has(Found::LONE_SURROGATE) {
            return Err(Place::Body.error("", "JSON text in UTF-8", DecodeErrorKind::NotUtf8));
        }
        let content = content.strip_suffix(b"\"").unwrap_or(content);
        Ok(Self { bytes: unescape(content).into_owned().into(), is_utf8: true })
    }

    /// Reads a body that is one object.
    pub(crate) fn object<const N: usize>(
        &self,
        names: &'static [&'static str; N],
    ) -> Result<Item<'_, N>, DecodeError> {
        let mut cursor = Cursor::new(&self.bytes);
        cursor.space();
        let item = self.item(&mut cursor, names, Place::Body)?;
        finish(&mut cursor)?;
        item
    }

    /// Reads a body that is `{"items": [...]}`, or with `bare` also an array, and decodes each item.
    pub(crate) fn batch<const N: usize, T>(
        &self,
        names: &'static [&'static str; N],
        bare: bool,
        mut decode: impl FnMut(&Item<'_, N>) -> Result<T, DecodeError>,
    ) -> Result<Vec<Result<T, DecodeError>>, DecodeError> {
        let mut cursor = Cursor::new(&self.bytes);
        cursor.space();
        if bare && cursor.peek() == Some(b'[') {
            let items = self.items(&mut cursor, names, Place::Element, &mut decode)?;
            finish(&mut cursor)?;
            return Ok(items);
        }
        let expected = if bare { "an object with items, or an array" } else { "an object with items" };
        let body_start = cursor.at();
        if !cursor.take(b'{') {
            cursor.value().map_err(|syntax| Place::Body.syntax("", syntax))?;
            let found = describe(cursor.since(body_start));
            finish(&mut cursor)?;
            return Err(Place::Body.error("", expected, DecodeErrorKind::WrongType { found }));
        }
        let mut items = Err(Place::Body.error("items", "an array", DecodeErrorKind::Missing));
        cursor.space();
        if !cursor.take(b'}') {
            loop {
                let key = cursor.key().map_err(|syntax| Place::Body.syntax("", syntax))?;
                let is_items = key == b"items" || (key.contains(&b'\\') && unescape(key) == "items");
                if is_items && cursor.peek() == Some(b'[') {
                    items = Ok(self.items(&mut cursor, names, Place::Items, &mut decode)?);
                } else {
                    let start = cursor.at();
                    let field = if is_items { "items" } else { "" };
                    cursor.value().map_err(|syntax| Place::Body.syntax(field, syntax))?;
                    if is_items {
                        let found = describe(cursor.since(start));
                        let kind = DecodeErrorKind::WrongType { found };
                        items = Err(Place::Body.error("items", "an array", kind));
                    }
                }
                cursor.space();
                if cursor.take(b'}') {
                    break;
                }
                next(&mut cursor, "a comma or }").map_err(|syntax| Place::Body.syntax("", syntax))?;
            }
        }
        finish(&mut cursor)?;
        items
    }

    fn items<'a, const N: usize, T>(
        &'a self,
        cursor: &mut Cursor<'a>,
        names: &'static [&'static str; N],
        place: fn(usize) -> Place,
        decode: &mut impl FnMut(&Item<'_, N>) -> Result<T, DecodeError>,
    ) -> Result<Vec<Result<T, DecodeError>>, DecodeError> {
        let mut items = Vec::new();
        cursor.take(b'[');
        cursor.space();
        if cursor.take(b']') {
            return Ok(items);
        }
        loop {
            if items.len() == limits::MAX_BATCH_SPANS {
                let path = if matches!(place(0), Place::Items(_)) { "items" } else { "" };
                let kind = DecodeErrorKind::TooManyItems;
                return Err(Place::Body.error(path, "at most 1000 items", kind));
            }
            let place = place(items.len());
            let item = self.item(cursor, names, place)?;
            items.push(item.and_then(|item| decode(&item)));
            cursor.space();
            if cursor.take(b']') {
                return Ok(items);
            }
            next(cursor, "a comma or ]").map_err(|syntax| place.syntax("", syntax))?;
        }
    }

    /// Reads one object. The outer error spoils the body, the inner one only this item.
    fn item<'a, const N: usize>(
        &'a self,
        cursor: &mut Cursor<'a>,
        names: &'static [&'static str; N],
        place: Place,
    ) -> Result<Result<Item<'a, N>, DecodeError>, DecodeError> {
        let start = cursor.at();
        if !cursor.take(b'{') {
            cursor.value().map_err(|syntax| place.syntax("", syntax))?;
            let kind = DecodeErrorKind::WrongType { found: describe(cursor.since(start)) };
            return Ok(Err(place.error("", "an object", kind)));
        }
        let mut slots = [None; N];
        // Clients write fields in one order: the next one is mostly the one after the last.
        let mut guess = 0;
        cursor.space();
        if !cursor.take(b'}') {
            loop {
                let key = cursor.key().map_err(|syntax| place.syntax("", syntax))?;
                let index = find(names, key, guess);
                let start = cursor.at();
                cursor.found = Found::default();
                if let Err(syntax) = cursor.payload() {
                    let field = index.and_then(|index| names.get(index)).copied();
                    return Err(place.syntax(field.unwrap_or_default(), syntax));
                }
                if let Some(index) = index {
                    guess = index + 1;
                    if let Some(slot) = slots.get_mut(index) {
                        *slot = Some(Slot { text: cursor.since(start), found: cursor.found });
                    }
                }
                cursor.space();
                if cursor.take(b'}') {
                    break;
                }
                next(cursor, "a comma or }").map_err(|syntax| place.syntax("", syntax))?;
            }
        }
        Ok(Ok(Item { body: self, place, names, slots }))
    }
}

/// Returns the position of a key among the names, trying `guess` first.
fn find<const N: usize>(names: &[&str; N], key: &[u8], guess: usize) -> Option<usize> {
    if names.get(guess).is_some_and(|name| name.as_bytes() == key) {
        return Some(guess);
    }
    if key.contains(&b'\\') {
        let key = unescape(key);
        return names.iter().position(|name| *name == key);
    }
    names.iter().position(|name| name.as_bytes() == key)
}

fn next(cursor: &mut Cursor<'_>, expected: &'static str) -> Result<(), Syntax> {
    if !cursor.take(b',') {
        return cursor.expected(expected);
    }
    cursor.space();
    Ok(())
}

/// Checks that nothing but white space follows.
fn finish(cursor: &mut Cursor<'_>) -> Result<(), DecodeError> {
    cursor.space();
    match cursor.peek() {
        None => Ok(()),
        Some(_) => Err(Place::Body.syntax("", Syntax { at: cursor.at(), expected: "the end of the body" })),
    }
}
