//! JSON as it is read here: texts are borrowed where they can be, and members are looked up in their order.
//!
//! Most of what is read are messages: objects with two or three members, and long texts. Maps with hashes and owned
//! texts cost several times what the reading itself costs.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Number, Value};

use super::reader;

/// A JSON value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Json<'a> {
    #[default]
    Null,
    Bool(bool),
    Number(Number),
    String(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Object<'a>),
}

/// The members of an object, as they came.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

impl<'a> Json<'a> {
    /// Reads JSON text; text that is none reads as null.
    pub(super) fn read(text: &'a str) -> Self {
        reader::read(text).unwrap_or_default()
    }

    /// Reads the array or object that a text is.
    pub(super) fn read_container(text: &'a str) -> Option<Self> {
        let trimmed = text.trim();
        if !trimmed.starts_with(['{', '[']) {
            return None;
        }
        reader::read(trimmed)
    }

    /// Returns this value, or the array or object that its text is.
    pub(super) fn parsed(self) -> Self {
        match self {
            Self::String(Cow::Borrowed(text)) => Self::read_container(text).unwrap_or(self),
            Self::String(Cow::Owned(text)) => match Json::read_container(&text).map(Json::into_owned) {
                Some(inner) => inner,
                None => Self::String(Cow::Owned(text)),
            },
            other => other,
        }
    }

    /// Returns a value that borrows nothing.
    pub(super) fn into_owned<'b>(self) -> Json<'b> {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(value),
            Self::Number(number) => Json::Number(number),
            Self::String(text) => Json::String(Cow::Owned(text.into_owned())),
            Self::Array(list) => Json::Array(list.into_iter().map(Json::into_owned).collect()),
            Self::Object(object) => {
                let own = |(key, value): (Cow<'a, str>, Json<'a>)| {
                    (Cow::Owned(key.into_owned()), value.into_owned())
                };
                Json::Object(Object(object.0.into_iter().map(own).collect()))
            }
        }
    }

    /// Returns the same value in the form that others take.
    pub(super) fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(number) => Value::Number(number.clone()),
            Self::String(text) => Value::String(text.as_ref().to_owned()),
            Self::Array(list) => Value::Array(list.iter().map(Json::to_value).collect()),
            Self::Object(object) => object.to_value(),
        }
    }

    /// Takes a text out, leaving an empty one.
    pub(super) fn take_text(&mut self) -> Option<String> {
        match self {
            Self::String(text) => Some(std::mem::take(text).into_owned()),
            _ => None,
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.as_object()?.get(key)
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_array(&self) -> Option<&Vec<Self>> {
        match self {
            Self::Array(list) => Some(list),
            _ => None,
        }
    }

    pub(super) const fn as_object(&self) -> Option<&Object<'a>> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    pub(super) const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub(super) const fn is_string(&self) -> bool {
        matches!(self, Self::String(_))
    }

    pub(super) const fn is_array(&self) -> bool {
        matches!(self, Self::Array(_))
    }

    pub(super) const fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }
}

impl<'a> Object<'a> {
    /// Returns a member; of a repeated key the last one.
    pub(super) fn get(&self, key: &str) -> Option<&Json<'a>> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Returns a member to take apart; of a repeated key the last one.
    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Json<'a>> {
        self.0.iter_mut().rev().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Takes the first text that stands under one of the keys.
    pub(super) fn take_text(&mut self, keys: &[&str]) -> Option<String> {
        keys.iter().find_map(|key| self.get_mut(key)?.take_text())
    }

    /// Returns the same object in the form that others take.
    pub(super) fn to_value(&self) -> Value {
        let own = |(key, value): &(Cow<'a, str>, Json<'a>)| (key.as_ref().to_owned(), value.to_value());
        Value::Object(self.0.iter().map(own).collect())
    }

    pub(super) fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_ref())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Json<'a>)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), value))
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds a member, which wins over one that is there.
    pub(super) fn insert(&mut self, key: &'a str, value: Json<'a>) {
        self.0.push((Cow::Borrowed(key), value));
    }

    /// Adds members, which win over those that are there.
    pub(super) fn extend(&mut self, other: Object<'a>) {
        self.0.extend(other.0);
    }
}

impl<'a> From<Vec<(Cow<'a, str>, Json<'a>)>> for Object<'a> {
    fn from(members: Vec<(Cow<'a, str>, Json<'a>)>) -> Self {
        Self(members)
    }
}

impl<'a> FromIterator<(Cow<'a, str>, Json<'a>)> for Object<'a> {
    fn from_iter<I: IntoIterator<Item = (Cow<'a, str>, Json<'a>)>>(members: I) -> Self {
        Self(members.into_iter().collect())
    }
}

impl fmt::Display for Json<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_value().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_repeated_key_counts() {
        let read = Json::read(r#"{"a":1,"b":2,"a":3}"#);
        assert_eq!(read.get("a").map(Json::to_value), Some(Value::from(3)));
        assert_eq!(read.to_value(), serde_json::json!({"a": 3, "b": 2}));
    }
}
