use std::{collections::HashMap, sync::Arc};

/// Most names that are told apart, and the bytes of them all; the rest share a number.
const MAX_NAMES: usize = 60_000;
const MAX_BYTES: usize = 8 << 20;
/// Names that are copied when one is added while a reader looks at them.
const CHUNK: usize = 256;

/// Names of spans by number. Few names are given to many spans.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<Arc<str>, u16>,
    texts: NameTexts,
    bytes: usize,
}

/// The names that are told apart, in the order of their numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct NameTexts(Vec<Arc<Vec<Arc<str>>>>);

/// The number of every name beyond the bounds.
pub(crate) const OTHER_NAME: u16 = u16::MAX;

impl Names {
    /// Returns the number of a name, a new one if it has none.
    pub(super) fn number(&mut self, name: &str) -> u16 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        if self.numbers.len() >= MAX_NAMES || self.bytes + name.len() > MAX_BYTES {
            return OTHER_NAME;
        }
        let number = u16::try_from(self.numbers.len()).unwrap_or(OTHER_NAME);
        let text: Arc<str> = name.into();
        self.bytes += name.len();
        self.numbers.insert(text.clone(), number);
        match self.texts.0.last_mut().filter(|chunk| chunk.len() < CHUNK) {
            Some(chunk) => Arc::make_mut(chunk).push(text),
            None => self.texts.0.push(Arc::new(vec![text])),
        }
        number
    }

    /// Returns the number that spans of this name have, if any has it.
    pub(super) fn known(&self, name: &str) -> Option<u16> {
        self.numbers.get(name).copied()
    }

    pub(super) fn texts(&self) -> NameTexts {
        self.texts.clone()
    }
}

impl NameTexts {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|chunk| chunk.iter().map(|text| &**text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_bounds_share_a_number() {
        let mut names = Names::default();
        assert_eq!((names.number("a"), names.number("b"), names.number("a")), (0, 1, 0));
        assert_eq!(names.number(&"x".repeat(MAX_BYTES)), OTHER_NAME);
        for number in 2..MAX_NAMES {
            assert_eq!(usize::from(names.number(&number.to_string())), number);
        }
        assert_eq!((names.number("one more"), names.known("one more")), (OTHER_NAME, None));
        assert_eq!(names.number("b"), 1);
        let texts = names.texts();
        assert_eq!(texts.iter().take(3).collect::<Vec<_>>(), ["a", "b", "2"]);
        assert_eq!(texts.iter().count(), MAX_NAMES);
    }
}
