use endspan_model::{Payload, Span, SpanPatch};

use crate::MARK;
use crate::config::{ConfigError, RedactionConfig};
use crate::counts::{Counts, Source};
use crate::editor::Editor;
use crate::escapes::{is_printable, written_plainly};
use crate::forms::{self, KNOWN_PREFIXES, Need, Pattern};
use crate::grams::{Gram, Grams, gram};
use crate::keys::{self, Behind, NAME_GRAMS, Naming};
use crate::position::{run, skip_space, string_end};

/// What a gram belongs to.
enum Trigger {
    /// A group of a built-in name, and how many of its bytes may follow.
    Name {
        max_tail: usize,
    },
    CustomName {
        index: usize,
        key: Vec<u8>,
    },
    /// A prefix, and how far into it the gram stands.
    Known {
        index: usize,
        offset: usize,
    },
    CustomPrefix {
        index: usize,
        prefix: String,
        min_chars: usize,
    },
    Bearer,
    Basic,
    Jwt,
    PrivateKey,
    Url,
    EscapedUrl,
    EscapedCharacter,
}

/// Replaces credentials by [`MARK`]. Built once, used by many threads.
pub struct Redactor {
    grams: Grams,
    triggers: Vec<Trigger>,
    excepted_keys: Vec<Vec<u8>>,
    enabled: [bool; Pattern::ALL.len()],
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Redactor").field("triggers", &self.triggers.len()).finish_non_exhaustive()
    }
}

const MAX_CUSTOM: usize = 1000;
/// Most readings of a text that holds credentials. Two do for all that is not made to need more.
const MAX_PASSES: usize = 4;

impl Redactor {
    /// Compiles a configuration.
    ///
    /// # Errors
    /// [`ConfigError`] names the key or prefix that cannot be searched for.
    pub fn new(config: &RedactionConfig) -> Result<Self, ConfigError> {
        let found = config.keys.len() + config.prefixes.len() + config.excepted_keys.len();
        if found > MAX_CUSTOM {
            return Err(ConfigError::TooMany { found });
        }
        let mut compiler = Compiler::default();
        let mut enabled = [true; Pattern::ALL.len()];
        for pattern in &config.disabled {
            if let Some(enabled) = enabled.get_mut(*pattern as usize) {
                *enabled = false;
            }
        }
        let is_on = |pattern: Pattern| enabled.get(pattern as usize) == Some(&true);
        if is_on(Pattern::CredentialKey) || is_on(Pattern::Assignment) {
            for (group, max_tail) in NAME_GRAMS {
                compiler.add(Trigger::Name { max_tail: *max_tail }, [**group]);
            }
        }
        if is_on(Pattern::AuthorizationScheme) {
            compiler.add(Trigger::Bearer, [*b"arer"]);
            compiler.add(Trigger::Basic, [*b"asic"]);
        }
        if is_on(Pattern::Jwt) {
            compiler.add(Trigger::Jwt, three_and_word(*b"eyJ"));
        }
        if is_on(Pattern::PrivateKey) {
            compiler.add(Trigger::PrivateKey, [*b"-BEG"]);
        }
        if is_on(Pattern::UrlPassword) {
            compiler.add(Trigger::Url, three_and_word(*b"://"));
            compiler.add(Trigger::EscapedUrl, [*b":\\/\\"]);
        }
        if is_on(Pattern::ApiKey) {
            for (index, known) in KNOWN_PREFIXES.iter().enumerate() {
                compiler.add_prefix(index, known.prefix);
            }
        }
        for (index, custom) in config.keys.iter().enumerate() {
            let unusable = || ConfigError::UnusableKey { name: custom.name.clone(), key: custom.key.clone() };
            let longest = custom
                .key
                .as_bytes()
                .split(|byte| !byte.is_ascii_alphanumeric())
                .max_by_key(|part| part.len())
                .and_then(|part| part.last_chunk::<4>());
            let gram = longest.filter(|_| custom.key.is_ascii()).ok_or_else(unusable)?;
            let key = keys::normalized(custom.key.as_bytes());
            compiler.add(Trigger::CustomName { index, key }, [*gram]);
        }
        for (index, custom) in config.prefixes.iter().enumerate() {
            let gram = custom
                .prefix
                .as_bytes()
                .first_chunk::<4>()
                .filter(|_| custom.prefix.bytes().all(|byte| forms::is_token(byte) || byte == b'.'))
                .ok_or_else(|| ConfigError::UnusablePrefix {
                    name: custom.name.clone(),
                    prefix: custom.prefix.clone(),
                })?;
            let trigger = Trigger::CustomPrefix {
                index: config.keys.len() + index,
                prefix: custom.prefix.clone(),
                min_chars: custom.min_chars,
            };
            compiler.add(trigger, [*gram]);
        }
        compiler.add(Trigger::EscapedCharacter, [*b"\\u00"]);
        let excepted_keys = config.excepted_keys.iter().map(|key| keys::normalized(key.as_bytes())).collect();
        Ok(Self { grams: Grams::new(compiler.grams), triggers: compiler.triggers, excepted_keys, enabled })
    }

    /// Returns the payload with its credentials replaced, or `None` when there are none.
    pub fn redact(&self, payload: &Payload) -> Option<(Payload, Counts)> {
        let (text, counts) = self.redact_json(payload.as_bytes())?;
        Some((Payload::from_trusted(text.into()), counts))
    }

    /// Replaces the credentials in a span's payloads and name; returns how many there were.
    pub fn redact_span(&self, span: &mut Span) -> Counts {
        let payloads = [&mut span.input, &mut span.output, &mut span.metadata, &mut span.expected];
        let mut counts = self.redact_all(payloads.into_iter().chain([&mut span.otel]));
        self.redact_text(&mut span.name, &mut counts);
        counts
    }

    /// Replaces the credentials in a patch; returns how many there were.
    pub fn redact_patch(&self, patch: &mut SpanPatch) -> Counts {
        let payloads = [&mut patch.input, &mut patch.output, &mut patch.metadata, &mut patch.merge_metadata];
        let mut counts = self.redact_all(payloads);
        if let Some(name) = &mut patch.name {
            self.redact_text(name, &mut counts);
        }
        counts
    }

    fn redact_all<'a>(&self, payloads: impl IntoIterator<Item = &'a mut Option<Payload>>) -> Counts {
        let mut counts = Counts::default();
        for payload in payloads.into_iter().flatten() {
            if let Some((redacted, more)) = self.redact(payload) {
                *payload = redacted;
                counts.add(&more);
            }
        }
        counts
    }

    /// Replaces the credentials in a plain text.
    pub fn redact_text(&self, text: &mut String, counts: &mut Counts) {
        if self.grams.next(text.as_bytes(), 0).is_none() {
            return;
        }
        // As content of a JSON string, so that one reading serves both. Control characters, which a text
        // may hold and JSON may not, mean nothing to the patterns.
        let json = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let Some((redacted, more)) = self.redact_json(json.as_bytes()) else { return };
        let redacted = String::from_utf8_lossy(&redacted);
        let content = redacted.strip_prefix('"').and_then(|content| content.strip_suffix('"'));
        if let Some(content) = content {
            *text = content.replace("\\\"", "\"").replace("\\\\", "\\");
            counts.add(&more);
        }
    }

    /// Returns JSON text with its credentials replaced, or `None` when there are none. On text that is no
    /// JSON the result is some text, never a panic.
    pub fn redact_json(&self, text: &[u8]) -> Option<(Vec<u8>, Counts)> {
        let (mut text, mut counts) = self.pass(text)?;
        // What was too long for a credential may be short enough with one cut out of it.
        for _ in 1..MAX_PASSES {
            let Some((again, more)) = self.pass(&text) else { break };
            text = again;
            counts.add(&more);
        }
        Some((text, counts))
    }

    fn pass(&self, text: &[u8]) -> Option<(Vec<u8>, Counts)> {
        let mut editor = Editor::new(text);
        let mut at = 0;
        while let Some(found) = self.grams.next(text, at) {
            at = found + 1;
            for pattern in self.grams.patterns_at(text, found) {
                let Some(trigger) = self.triggers.get(usize::from(pattern)) else { continue };
                if matches!(trigger, Trigger::EscapedCharacter) {
                    // Looked at here first, so that the whole text is written anew once at most.
                    if is_printable(text, found)
                        && let Some(plain) = written_plainly(text)
                    {
                        return self.pass(&plain);
                    }
                    continue;
                }
                if let Some(end) = self.look(text, found, trigger, &mut editor) {
                    at = at.max(end);
                    break;
                }
            }
        }
        editor.finish()
    }

    /// Looks at one place; returns where to go on when a credential was replaced.
    fn look(&self, text: &[u8], at: usize, trigger: &Trigger, editor: &mut Editor<'_>) -> Option<usize> {
        let (range, source) = match trigger {
            Trigger::Name { max_tail } => {
                return self.look_at_name(text, at, *max_tail, None, editor);
            }
            Trigger::CustomName { index, key } => {
                return self.look_at_name(text, at, 2 * key.len(), Some((*index, key)), editor);
            }
            Trigger::Known { index, offset } => {
                let known = KNOWN_PREFIXES.get(*index)?;
                let start = at.checked_sub(*offset)?;
                let range = forms::prefixed(text, start, known.prefix, known.min_chars, known.need)?;
                (range, Pattern::ApiKey)
            }
            Trigger::CustomPrefix { index, prefix, min_chars } => {
                let range = forms::prefixed(text, at, prefix, *min_chars, Need::Any)?;
                return (!is_in_mark(text, &range)).then(|| editor.replace(range, Source::Custom(*index)));
            }
            Trigger::Bearer => (forms::bearer(text, at.checked_sub(2)?)?, Pattern::AuthorizationScheme),
            Trigger::Basic => (forms::basic(text, at.checked_sub(1)?)?, Pattern::AuthorizationScheme),
            Trigger::Jwt => (forms::jwt(text, at)?, Pattern::Jwt),
            Trigger::PrivateKey => (forms::private_key(text, at.checked_sub(4)?)?, Pattern::PrivateKey),
            Trigger::Url => (forms::url_password(text, at + 3)?, Pattern::UrlPassword),
            Trigger::EscapedUrl => {
                text.get(at..)?.starts_with(b":\\/\\/").then_some(())?;
                (forms::url_password(text, at + 5)?, Pattern::UrlPassword)
            }
            Trigger::EscapedCharacter => return None,
        };
        Some(editor.replace(range, Source::BuiltIn(source)))
    }

    fn is_enabled(&self, pattern: Pattern) -> bool {
        self.enabled.get(pattern as usize) == Some(&true)
    }

    fn look_at_name(
        &self,
        text: &[u8],
        at: usize,
        max_tail: usize,
        custom: Option<(usize, &Vec<u8>)>,
        editor: &mut Editor<'_>,
    ) -> Option<usize> {
        let range = keys::name_around(text, at, max_tail)?;
        let behind = keys::behind(text, &range)?;
        let name = keys::normalized(text.get(range)?);
        let naming = match custom {
            Some((index, key)) => name.ends_with(key).then_some(Naming::Custom(index))?,
            None => keys::naming(&name)?,
        };
        if self.excepted_keys.contains(&name) {
            return None;
        }
        let source = |pattern| match naming {
            Naming::Custom(index) => Some(Source::Custom(index)),
            _ => self.is_enabled(pattern).then_some(Source::BuiltIn(pattern)),
        };
        let is_mark = |value: &std::ops::Range<usize>| text.get(value.clone()) == Some(MARK.as_bytes());
        match behind {
            Behind::Value(value) => {
                replace_value(text, value, &name, naming, source(Pattern::CredentialKey)?, editor)
            }
            Behind::Pair(value) => {
                let fits = naming != Naming::Perhaps && !value.is_empty() && !is_mark(&value);
                fits.then_some(())?;
                Some(editor.replace(value, source(Pattern::CredentialKey)?))
            }
            Behind::Quoted(value) => {
                let fits = !value.is_empty()
                    && !is_mark(&value)
                    && (naming != Naming::Perhaps
                        || keys::is_perhaps_credential(&name, text.get(value.clone())?));
                fits.then_some(())?;
                Some(editor.replace(value, source(Pattern::Assignment)?))
            }
            Behind::Bare(value) => {
                let fits = naming != Naming::Perhaps && keys::is_bare_credential(text.get(value.clone())?);
                fits.then_some(())?;
                Some(editor.replace(value, source(Pattern::Assignment)?))
            }
        }
    }
}

/// Returns whether a range is part of a mark: a configured prefix may be that of one of its words.
fn is_in_mark(text: &[u8], range: &std::ops::Range<usize>) -> bool {
    let earliest = range.end.saturating_sub(MARK.len());
    (earliest..=range.start)
        .any(|start| text.get(start..).is_some_and(|rest| rest.starts_with(MARK.as_bytes())))
}

/// Replaces the value of a JSON key: a string, a number of four and more digits, the strings of an array.
/// Objects are looked into as any other, because a schema may well describe a property named `password`.
fn replace_value(
    text: &[u8],
    at: usize,
    name: &[u8],
    naming: Naming,
    source: Source,
    editor: &mut Editor<'_>,
) -> Option<usize> {
    match text.get(at)? {
        b'"' => replace_string(text, at, name, naming, source, editor),
        b'-' | b'0'..=b'9' if naming != Naming::Perhaps => {
            let end = run(text, at, |byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
            (end - at >= 4).then(|| editor.replace_value(at..end, source))
        }
        b'[' => {
            let mut replaced = None;
            let mut next = skip_space(text, at + 1);
            while text.get(next) == Some(&b'"') {
                let end = string_end(text, next + 1) + 1;
                replaced = replace_string(text, next, name, naming, source, editor).or(replaced);
                let comma = skip_space(text, end);
                if text.get(comma) != Some(&b',') {
                    break;
                }
                next = skip_space(text, comma + 1);
            }
            replaced
        }
        _ => None,
    }
}

fn replace_string(
    text: &[u8],
    quote: usize,
    name: &[u8],
    naming: Naming,
    source: Source,
    editor: &mut Editor<'_>,
) -> Option<usize> {
    let content = quote + 1..string_end(text, quote + 1);
    let value = text.get(content.clone())?;
    let fits = match naming {
        Naming::Perhaps => keys::is_perhaps_credential(name, value),
        Naming::Credential | Naming::Custom(_) => !value.is_empty() && value != MARK.as_bytes(),
    };
    fits.then(|| editor.replace(content, source))
}

#[derive(Default)]
struct Compiler {
    grams: Vec<(Gram, u16)>,
    triggers: Vec<Trigger>,
}

impl Compiler {
    fn add(&mut self, trigger: Trigger, grams: impl IntoIterator<Item = [u8; 4]>) {
        // At most a thousand configured triggers beside fewer than a hundred built-in ones.
        let index = self.triggers.len() as u16;
        self.triggers.push(trigger);
        self.grams.extend(grams.into_iter().map(|bytes| (gram(bytes), index)));
    }

    fn add_prefix(&mut self, index: usize, prefix: &'static str) {
        match prefix.as_bytes() {
            [a, b, c] => {
                let grams = three_and_word([*a, *b, *c]);
                self.add(Trigger::Known { index, offset: 0 }, grams);
            }
            bytes => {
                let rarest = bytes.windows(4).enumerate().min_by_key(|(_, gram)| commonness(gram));
                if let Some((offset, gram)) = rarest
                    && let Ok(gram) = <[u8; 4]>::try_from(gram)
                {
                    self.add(Trigger::Known { index, offset }, [gram]);
                }
            }
        }
    }
}

/// Returns three bytes with each character of a word behind them.
fn three_and_word(three: [u8; 3]) -> impl Iterator<Item = [u8; 4]> {
    let [a, b, c] = three;
    (b'a'..=b'z').chain(b'0'..=b'9').chain([b'_', b'-', b'.', b'%', b':', b'$']).map(move |d| [a, b, c, d])
}

/// Returns a measure of how often bytes occur in text: the letters of English by frequency, `_` and `-` for
/// code, all else rare.
fn commonness(bytes: &[u8]) -> usize {
    const LETTERS: &[u8] = b"zqxjkvbpygfwmucldrhsnioate";
    let one = |byte: &u8| match byte {
        b'_' | b'-' => 8,
        byte => LETTERS.iter().position(|letter| *letter == byte.to_ascii_lowercase()).unwrap_or_default(),
    };
    bytes.iter().map(one).sum()
}
