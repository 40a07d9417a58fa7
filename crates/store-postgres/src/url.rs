//! Takes what a connection string says of TLS out of it: the client library knows only some of libpq's words.

use std::collections::HashMap;

/// The words that are taken out.
const WORDS: [&str; 4] = ["sslmode", "sslrootcert", "sslcert", "sslkey"];

/// What was taken out, by word.
#[derive(Debug, Default)]
pub(crate) struct Sections(HashMap<&'static str, String>);

impl Sections {
    pub(crate) fn get(&self, word: &str) -> Option<&str> {
        self.0.get(word).map(String::as_str)
    }

    /// Takes a word; returns whether it is one of those.
    fn take(&mut self, word: &str, value: impl FnOnce() -> String) -> bool {
        let word = WORDS.into_iter().find(|known| *known == word);
        word.map(|word| self.0.insert(word, value())).is_some()
    }
}

/// Splits a connection string in either of libpq's forms. What cannot be read stays as it is, for the library to refuse.
pub(crate) fn split(text: &str) -> (String, Sections) {
    let mut sections = Sections::default();
    let rest = if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        split_url(text, &mut sections)
    } else {
        split_words(text, &mut sections)
    };
    (rest.unwrap_or_else(|| text.to_owned()), sections)
}

fn split_url(url: &str, sections: &mut Sections) -> Option<String> {
    // Passwords end at the first @, and may hold anything before it.
    let begin = url.find('@').unwrap_or(0);
    let query = begin + url.get(begin..)?.find('?')?;
    let mut kept = Vec::new();
    for parameter in url.get(query + 1..)?.split('&') {
        let (word, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if !sections.take(word, || unescape(value)) {
            kept.push(parameter);
        }
    }
    let base = url.get(..query)?;
    Some(if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) })
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `word = value` pairs; a value in quotes may hold spaces, and a backslash keeps the character behind it.
fn split_words(text: &str, sections: &mut Sections) -> Option<String> {
    let mut kept = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let pair = rest;
        let (word, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let is_quoted = after.starts_with('\'');
        let mut value = String::new();
        let mut characters = after.char_indices().skip(usize::from(is_quoted));
        let end = loop {
            match characters.next() {
                Some((_, '\\')) => value.push(characters.next()?.1),
                Some((at, '\'')) if is_quoted => break at + 1,
                Some((at, character)) if !is_quoted && character.is_whitespace() => break at,
                Some((_, character)) => value.push(character),
                None if is_quoted => return None,
                None => break after.len(),
            }
        };
        rest = after.get(end..)?;
        if !sections.take(word.trim(), || value) {
            kept.push(pair.get(..pair.len() - rest.len())?.trim());
        }
        rest = rest.trim_start();
    }
    Some(kept.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_taken_out_and_the_rest_stays() {
        let cases = [
            ("postgres://u:p%3F@h:5/d", "postgres://u:p%3F@h:5/d", &[][..]),
            ("postgres://h/d?sslmode=verify-full", "postgres://h/d", &[("sslmode", "verify-full")]),
            (
                "postgresql://u:a?b@h/d?connect_timeout=3&sslrootcert=%2Fx%20y.crt&application_name=a%26b",
                "postgresql://u:a?b@h/d?connect_timeout=3&application_name=a%26b",
                &[("sslrootcert", "/x y.crt")],
            ),
            ("postgres://h/d?sslmode", "postgres://h/d", &[("sslmode", "")]),
            (
                "host = h sslmode=require  password='a b\\'=c' sslcert='/x y' sslkey=a\\ b dbname=d",
                "host = h password='a b\\'=c' dbname=d",
                &[("sslmode", "require"), ("sslcert", "/x y"), ("sslkey", "a b")],
            ),
            ("host=h sslmode='never ends", "host=h sslmode='never ends", &[]),
            ("nonsense", "nonsense", &[]),
            ("", "", &[]),
        ];
        for (given, rest, taken) in cases {
            let (found, sections) = split(given);
            assert_eq!(found, rest, "{given}");
            assert_eq!(sections.0.len(), taken.len(), "{given}");
            for (word, value) in taken {
                assert_eq!(sections.get(word), Some(*value), "{given}");
            }
        }
    }
}
