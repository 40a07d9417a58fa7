use std::borrow::Cow;

use super::{Cursor, unescape};

/// Returns the members of an object in order, values as raw text; `None` if the text is no object.
/// A repeated key stands where it stood first, with the value it had last.
pub(crate) fn members(text: &[u8]) -> Option<Vec<(Cow<'_, str>, &[u8])>> {
    let mut members: Vec<(Cow<'_, str>, &[u8])> = Vec::new();
    visit(text, |key, value| {
        let key = unescape(key);
        match members.iter_mut().find(|(name, _)| *name == key) {
            Some((_, old)) => *old = value,
            None => members.push((key, value)),
        }
    })?;
    Some(members)
}

/// Returns the raw value of an object's key, the last one if it repeats.
pub(crate) fn member<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    if text.first() != Some(&b'{') || memchr::memmem::find(text, name.as_bytes()).is_none() {
        return None;
    }
    let mut last = None;
    visit(text, |key, value| {
        if key == name.as_bytes() || (key.contains(&b'\\') && unescape(key) == name) {
            last = Some(value);
        }
    })?;
    last
}

fn visit<'a>(text: &'a [u8], mut member: impl FnMut(&'a [u8], &'a [u8])) -> Option<()> {
    let mut cursor = Cursor::new(text);
    if !cursor.take(b'{') {
        return None;
    }
    cursor.space();
    if cursor.take(b'}') {
        return Some(());
    }
    loop {
        let key = cursor.key().ok()?;
        let start = cursor.at();
        cursor.value().ok()?;
        member(key, cursor.since(start));
        cursor.space();
        match cursor.peek()? {
            b',' => {
                cursor.take(b',');
                cursor.space();
            }
            b'}' => return Some(()),
            _ => return None,
        }
    }
}
