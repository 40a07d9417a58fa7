//! What it means that a span holds a text (`sgp-api` 6.6): one semantics for every engine.
//!
//! - **Searched** are the name and the payloads `input`, `output` and `metadata`. The text of a payload is its JSON with
//!   the escapes of strings resolved: keys, numbers and punctuation are part of it.
//! - **Words** are what stands between ASCII characters that are neither letters nor digits. Characters beyond ASCII
//!   are parts of words.
//! - **Case** does not count, in any script. No character beyond ASCII equals one of ASCII: `ſ` is no `s`.
//! - A single word is found as a whole word in payloads and as any part of a name; two to eight words as a phrase, with
//!   white space of any kind and length between them; everything else as any part of the text, as it stands.
//! - In double quotes a term is the same, but is not looked for in names, and is never a trace id. Quotes and
//!   backslashes within are written with a backslash before them.
//! - A term in the form of a UUID is a trace id: its spans are found beside those that hold all other terms.

use std::borrow::Cow;

use endspan_model::{Payload, Span, TraceId};
use memchr::memmem;

/// Most terms of a query.
pub const MAX_TERMS: usize = 10;
/// Fewest characters of a term.
pub const MIN_TERM_CHARS: usize = 2;
/// Most words of a phrase whose words are looked for as words.
const MAX_PHRASE_WORDS: usize = 8;

/// Returns a text with letter case taken out of it.
pub fn fold(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
        return Cow::Borrowed(text);
    }
    if text.is_ascii() {
        return Cow::Owned(text.to_ascii_lowercase());
    }
    let mut folded = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if character.is_ascii() {
            folded.push(character.to_ascii_lowercase());
            continue;
        }
        let at = folded.len();
        folded.extend(character.to_uppercase().flat_map(char::to_lowercase));
        if folded.get(at..).is_some_and(|added| added.bytes().any(|byte| byte.is_ascii())) {
            folded.truncate(at);
            folded.push(character);
        }
    }
    Cow::Owned(folded)
}

/// Returns whether a text contains another, letter case aside.
pub fn contains(text: &str, part: &str) -> bool {
    fold(text).contains(&*fold(part))
}

/// Why terms are no query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Too many terms.
    #[error("at most {MAX_TERMS} terms")]
    TooMany,
    /// A term is too short to look for.
    #[error("each term has at least {MIN_TERM_CHARS} characters")]
    TooShort,
}

/// Terms, understood. The empty query is held by every span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextQuery {
    terms: Vec<Term>,
    trace_ids: Vec<TraceId>,
}

/// One term that is looked for in texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// What to look for in names, without case; `None` when names do not count.
    in_name: Option<String>,
    form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// These words, with white space between them; never empty.
    Words(Vec<String>),
    /// This text as it stands.
    Substring(String),
}

impl TextQuery {
    /// Understands terms.
    ///
    /// # Errors
    /// [`TextError`] for too many terms and for one that is too short.
    pub fn parse<S: AsRef<str>>(terms: &[S]) -> Result<Self, TextError> {
        if terms.len() > MAX_TERMS {
            return Err(TextError::TooMany);
        }
        let mut query = Self::default();
        for term in terms {
            let term = term.as_ref().trim();
            let quoted = unquote(term);
            let text = quoted.as_deref().map_or(term, str::trim);
            if text.chars().count() < MIN_TERM_CHARS {
                return Err(TextError::TooShort);
            }
            if quoted.is_none() && is_uuid(text) {
                query.trace_ids.push(TraceId::from(text));
            } else {
                query.terms.push(Term::new(text, quoted.is_none()));
            }
        }
        Ok(query)
    }

    /// Returns whether every span holds it.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty() && self.trace_ids.is_empty()
    }

    /// Returns the terms that are looked for in texts.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// Returns the trace ids that were asked for, as they were written. Letter case does not count.
    pub fn trace_ids(&self) -> &[TraceId] {
        &self.trace_ids
    }

    /// Returns whether a trace was asked for.
    pub fn names_trace(&self, trace_id: &TraceId) -> bool {
        self.trace_ids.iter().any(|wanted| wanted.as_str().eq_ignore_ascii_case(trace_id.as_str()))
    }

    /// Returns whether a span holds it.
    pub fn matches(&self, span: &Span) -> bool {
        if self.is_empty() || self.names_trace(&span.trace_id) {
            return true;
        }
        let payloads = [&span.input, &span.output, &span.metadata].map(Option::as_ref);
        let texts = payloads.map(|payload| payload.map_or(Cow::Borrowed(""), searched_text));
        !self.terms.is_empty()
            && self
                .terms
                .iter()
                .all(|term| term.is_in_name(&span.name) || texts.iter().any(|text| term.is_in_folded(text)))
    }
}

/// Returns the text of a payload that is searched: escapes resolved, case taken out.
pub fn searched_text(payload: &Payload) -> Cow<'_, str> {
    searched(payload.as_str())
}

/// Returns what [`searched_text`] does, of the bare text of a payload.
pub fn searched(text: &str) -> Cow<'_, str> {
    match resolve_escapes(text) {
        Cow::Borrowed(text) => fold(text),
        Cow::Owned(text) => match fold(&text) {
            Cow::Borrowed(_) => Cow::Owned(text),
            Cow::Owned(folded) => Cow::Owned(folded),
        },
    }
}

/// How a term is looked for in payloads, without case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TermForm<'a> {
    /// As these words of ASCII letters and digits, with white space between them.
    Words(&'a [String]),
    /// As this text.
    Substring(&'a str),
}

impl Term {
    /// Returns how the term is looked for in payloads.
    pub fn form(&self) -> TermForm<'_> {
        match &self.form {
            Form::Words(words) => TermForm::Words(words),
            Form::Substring(text) => TermForm::Substring(text),
        }
    }

    fn new(text: &str, in_names: bool) -> Self {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let is_word = |word: &&str| word.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let folded = fold(text).into_owned();
        let form = if (1..=MAX_PHRASE_WORDS).contains(&words.len()) && words.iter().all(is_word) {
            Form::Words(words.iter().map(|word| word.to_ascii_lowercase()).collect())
        } else {
            Form::Substring(folded.clone())
        };
        Self { in_name: in_names.then_some(folded), form }
    }

    /// Returns whether a name holds the term.
    pub fn is_in_name(&self, name: &str) -> bool {
        self.in_name.as_ref().is_some_and(|wanted| fold(name).contains(wanted.as_str()))
    }

    /// Returns whether the [searched text](searched_text) of a payload holds the term.
    pub fn is_in_folded(&self, text: &str) -> bool {
        match &self.form {
            Form::Substring(wanted) => memmem::find(text.as_bytes(), wanted.as_bytes()).is_some(),
            Form::Words(words) => {
                let Some((first, rest)) = words.split_first() else { return false };
                let bytes = text.as_bytes();
                memmem::find_iter(bytes, first.as_bytes()).any(|at| {
                    let before = at.checked_sub(1).and_then(|before| bytes.get(before));
                    is_boundary(before) && words_follow(bytes, at + first.len(), rest)
                })
            }
        }
    }

    /// Returns letters and digits that every payload with this term contains one after the other, unless it writes
    /// them as escapes; `None` if there are none.
    pub fn anchor(&self) -> Option<&str> {
        let runs: Box<dyn Iterator<Item = &str>> = match &self.form {
            Form::Words(words) => Box::new(words.iter().map(String::as_str)),
            Form::Substring(text) => {
                Box::new(text.split(|character: char| !character.is_ascii_alphanumeric()))
            }
        };
        runs.max_by_key(|run| run.len()).filter(|run| !run.is_empty())
    }
}

fn words_follow(text: &[u8], mut at: usize, words: &[String]) -> bool {
    for word in words {
        let start = at;
        while text.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        if at == start || !text.get(at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            return false;
        }
        at += word.len();
    }
    is_boundary(text.get(at))
}

fn is_boundary(byte: Option<&u8>) -> bool {
    byte.is_none_or(|byte| byte.is_ascii() && !byte.is_ascii_alphanumeric())
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Returns what stands in double quotes; `None` if the term is not one pair of quotes around something.
fn unquote(term: &str) -> Option<String> {
    let mut characters = term.strip_prefix('"')?.strip_suffix('"')?.chars();
    let mut text = String::with_capacity(term.len());
    while let Some(character) = characters.next() {
        match character {
            '"' => return None,
            '\\' => match characters.next() {
                // The quote that ends the term belongs to the backslash: the term has no end.
                None => return None,
                Some(escaped @ ('"' | '\\')) => text.push(escaped),
                Some(other) => text.extend(['\\', other]),
            },
            _ => text.push(character),
        }
    }
    Some(text)
}

/// Resolves the escapes of JSON text, wherever they stand.
fn resolve_escapes(text: &str) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(b'\\', text.as_bytes()) else { return Cow::Borrowed(text) };
    let (plain, mut rest) = text.split_at_checked(first).unwrap_or((text, ""));
    let mut resolved = String::with_capacity(text.len());
    resolved.push_str(plain);
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        let (plain, escape) = rest.split_at_checked(at).unwrap_or((rest, ""));
        resolved.push_str(plain);
        let (character, length) = resolve_escape(escape);
        resolved.push(character);
        rest = escape.get(length..).unwrap_or_default();
    }
    resolved.push_str(rest);
    Cow::Owned(resolved)
}

/// Returns the character of the escape at the beginning of a text, and the escape's length.
fn resolve_escape(text: &str) -> (char, usize) {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    match text.as_bytes().get(1) {
        Some(b'n') => ('\n', 2),
        Some(b't') => ('\t', 2),
        Some(b'r') => ('\r', 2),
        Some(b'b') => ('\u{8}', 2),
        Some(b'f') => ('\u{c}', 2),
        Some(b'u') => match (unit(0), unit(6)) {
            (Some(high @ 0xD800..=0xDBFF), Some(low @ 0xDC00..=0xDFFF)) => {
                let code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
            }
            (Some(unit), _) => (char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
            (None, _) => ('\\', 1),
        },
        Some(byte @ (b'"' | b'\\' | b'/')) => (char::from(*byte), 2),
        _ => ('\\', 1),
    }
}

#[cfg(test)]
mod tests {
    use endspan_model::Timestamp;
    use proptest::prelude::*;

    use super::*;

    const UUID: &str = "0198c0de-0000-7000-8000-00000000abcd";

    fn span(name: &str, input: &str, output: &str) -> Span {
        let payload = |text: &str| Some(Payload::from_value(&serde_json::json!({ "text": text })).unwrap());
        Span { input: payload(input), output: payload(output), ..Span::new("t", "s", name, Timestamp::MIN) }
    }

    fn hit(terms: &[&str], span: &Span) -> bool {
        TextQuery::parse(terms).unwrap().matches(span)
    }

    #[test]
    fn rows_52_to_58_classes_of_terms() {
        let of_input = |text: &str| span("n", text, "");
        for (term, input, expected) in [
            ("connection", "a connection error", true),
            ("CONNECTION", "a Connection-error", true),
            ("connect", "a connection error", false),
            ("connection error", "database connection error", true),
            ("error connection", "database connection error", false),
            ("connection error", "connection \n error", true),
            ("connection error", "connection errors", false),
            ("connection error", "connection, error", false),
            ("b/c", "a-b/c.d", true),
            ("one two three four five six seven eight", "one two three four five six seven eight", true),
            (
                "ne two three four five six seven eight nin",
                "one two three four five six seven eight nine",
                true,
            ),
            (r#""say \"hi\"""#, "say \"hi\" now", true),
            (r#""connection error""#, "a connection error", true),
            (r#""connection erro""#, "a connection error", false),
            (r#""open"#, "an \"open end", true),
            (r#""open"#, "an open end", false),
            (r#"mid"dle"#, "a mid\"dle", true),
            (r#"\back"#, r"a \back slash", true),
            ("ÜBER", "über allem", true),
            ("ber", "über allem", false),
            ("ΣΑΣ", "σας", true),
            ("日本", "日本語", true),
            ("gpt-4o", "model gpt-4o-mini", true),
            ("4o", "model gpt-4o-mini", true),
            ("text", "x", true),
        ] {
            assert_eq!(hit(&[term], &of_input(input)), expected, "{term} in {input}");
        }
        assert!(hit(&["connect"], &span("myconnection", "", "")));
        assert!(!hit(&["\"myconnection\""], &span("myconnection", "", "")));
        assert!(!hit(&["\"connection error\""], &span("n", "connection", "error")));
        assert!(hit(&["connection", "error"], &span("n", "connection", "error")));
        assert!(!hit(&["connection", "missing"], &span("n", "connection", "error")));
    }

    #[test]
    fn rows_59_and_60_uuids_are_trace_ids_unless_quoted() {
        let in_trace = |trace: &str, input: &str| Span { trace_id: trace.into(), ..span("n", input, "") };
        let upper = UUID.to_uppercase();
        assert!(hit(&[&upper], &in_trace(UUID, "")));
        assert!(!hit(&[UUID], &in_trace("t", UUID)));
        assert!(hit(&[UUID, "word"], &in_trace(UUID, "")));
        assert!(hit(&[UUID, "word"], &in_trace("t", "a word")));
        assert!(!hit(&[UUID, "word"], &in_trace("t", "nothing")));
        let quoted = format!("\"{UUID}\"");
        assert!(hit(&[&quoted], &in_trace("t", UUID)));
        assert!(!hit(&[&quoted], &in_trace(UUID, "")));
    }

    #[test]
    fn row_61_terms_have_two_characters_and_there_are_ten() {
        for short in ["", "a", " ü ", "\"a\"", "\" a \""] {
            assert_eq!(TextQuery::parse(&[short]), Err(TextError::TooShort), "{short}");
        }
        assert!(TextQuery::parse(&["日本"]).is_ok());
        assert!(TextQuery::parse(&["ab"; 10]).is_ok());
        assert_eq!(TextQuery::parse(&["ab"; 11]), Err(TextError::TooMany));
    }

    proptest! {
        #[test]
        fn a_text_is_found_in_what_holds_it(before in ".{0,20}", text in ".{2,20}", after in ".{0,20}") {
            prop_assume!(text.trim().chars().count() >= 2 && !text.contains('"') && !is_uuid(text.trim()));
            let words = text.split_ascii_whitespace().count();
            let query = TextQuery::parse(&[&text]).unwrap();
            let is_substring = matches!(query.terms()[0].form, Form::Substring(_));
            prop_assert!(is_substring || (1..=8).contains(&words));
            let glue = if is_substring { "" } else { " " };
            let holder = span("n", &format!("{before}{glue}{text}{glue}{after}"), "");
            prop_assert!(query.matches(&holder));
            let lower = query.terms()[0].anchor().map(str::to_owned);
            let raw = holder.input.unwrap().as_str().to_ascii_lowercase();
            prop_assert!(lower.is_none_or(|anchor| raw.contains(&anchor)));
        }

        #[test]
        fn escaped_and_plain_text_are_the_same(text in "\\PC{2,12}") {
            let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
            let escaped = format!("{{\"t\":\"{escaped}\"}}");
            let plain = Payload::from_value(&serde_json::json!({ "t": text })).unwrap();
            let escaped = Payload::parse(escaped).unwrap();
            prop_assert_eq!(searched_text(&plain), searched_text(&escaped));
        }
    }
}
