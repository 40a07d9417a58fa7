//! JSON as it is read here: texts are borrowed where they can be, and members are looked up in their order.
//!
//! Most of what is read are messages: objects with two or three members, and long texts. Maps with hashes and owned
//! texts cost several times what the reading itself costs.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

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
        serde_json::from_str(text).unwrap_or_default()
    }

    /// Reads the array or object that a text is.
    pub(super) fn read_container(text: &'a str) -> Option<Self> {
        let trimmed = text.trim();
        if !trimmed.starts_with(['{', '[']) {
            return None;
        }
        serde_json::from_str(trimmed).ok()
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
            Self::Object(object) => Value::Object(
                object.0.iter().map(|(key, value)| (key.as_ref().to_owned(), value.to_value())).collect(),
            ),
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

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Json<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON value")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Json::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
                Ok(Json::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
                Ok(Json::Number(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
                Ok(Json::Number(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
                Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Json::String(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Json::String(Cow::Owned(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = list.next_element()? {
                    elements.push(element);
                }
                Ok(Json::Array(elements))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(key) = map.next_key::<super::Key<'de>>()? {
                    members.push((key.0, map.next_value()?));
                }
                Ok(Json::Object(Object(members)))
            }
        }

        reader.deserialize_any(Read)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
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
        fn reads_what_others_read(value in any_value()) {
            let text = value.to_string();
            let read = Json::read(&text);
            prop_assert_eq!(read.to_value(), serde_json::from_str::<Value>(&text).unwrap());
            prop_assert_eq!(read.clone().into_owned(), read);
        }
    }

    #[test]
    fn the_last_of_a_repeated_key_counts() {
        let read = Json::read(r#"{"a":1,"b":2,"a":3}"#);
        assert_eq!(read.get("a").map(Json::to_value), Some(Value::from(3)));
        assert_eq!(read.to_value(), serde_json::json!({"a": 3, "b": 2}));
    }
}
