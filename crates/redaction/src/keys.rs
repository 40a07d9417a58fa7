//! Credentials known by the name that they stand under.

use std::ops::Range;

use crate::MARK;
use crate::forms::looks_random;
use crate::position::{backslashes_before, is_escaped, run, skip_space, string_end};

/// How a name speaks of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// The value is a credential.
    Credential,
    /// The value is a credential if it looks like one: models also speak of the tokens of a text.
    Perhaps,
    /// As [`Naming::Credential`], by a configured key.
    Custom(usize),
}

/// Ends of names, in lower case without separators, whose value is a credential.
const CREDENTIAL_ENDS: &[&str] = &[
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "secret",
    "secrets",
    "apikey",
    "apikeys",
    "secretkey",
    "accesskey",
    "privatekey",
    "accountkey",
    "subscriptionkey",
    "encryptionkey",
    "authorization",
    "accesstoken",
    "refreshtoken",
    "authtoken",
    "bearertoken",
    "idtoken",
    "sessiontoken",
    "securitytoken",
    "apitoken",
    "secrettoken",
    "privatetoken",
];

/// Ends of names whose value is a credential if it looks random.
const PERHAPS_ENDS: &[&str] = &["token", "pwd", "credential", "credentials", "cookie"];

/// What a name that ends in `token` may begin with without naming a credential: places in a list or a text.
const POSITION_TOKENS: &[&str] = &[
    "page",
    "next",
    "continuation",
    "sync",
    "resume",
    "cursor",
    "position",
    "start",
    "delta",
    "stop",
    "eos",
    "bos",
    "cancellation",
];

/// Bytes of which each name above holds one group, letters in any case; and how many bytes of the name may
/// follow the group at most, so that `token` is looked at and `tokens` is not.
pub(crate) const NAME_GRAMS: &[(&[u8; 4], usize)] = &[
    // password, passwords, passwd, passphrase
    (b"assw", 4),
    (b"assp", 6),
    // secret, secrets, secret_key, secret_token
    (b"cret", 7),
    // api_key, access_key, account_key, private_key, subscription_key, encryption_key
    (b"pike", 2),
    (b"pi_k", 3),
    (b"pi-k", 3),
    (b"pi.k", 3),
    (b"sske", 2),
    (b"ss_k", 3),
    (b"ss-k", 3),
    (b"ss.k", 3),
    (b"teke", 2),
    (b"te_k", 3),
    (b"te-k", 3),
    (b"te.k", 3),
    (b"ntke", 2),
    (b"nt_k", 3),
    (b"nt-k", 3),
    (b"onke", 2),
    (b"on_k", 3),
    (b"on-k", 3),
    // authorization
    (b"utho", 9),
    (b"oken", 0),
    (b"ooki", 1),
    // credential, credentials
    (b"rede", 6),
    (b"pwd\"", 0),
    (b"pwd=", 0),
    (b"pwd\\", 0),
    (b"pwd'", 0),
    (b"pwd:", 0),
];

/// Longest name looked at, in bytes. Longer ones are no names.
const LONGEST_NAME: usize = 128;

/// Longest quoted value inside a text, and longest unquoted one, in bytes.
const LONGEST_ASSIGNED: usize = 16 * 1024;
const LONGEST_BARE: usize = 512;

const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// Returns a name in lower case without separators.
pub(crate) fn normalized(name: &[u8]) -> Vec<u8> {
    name.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect()
}

/// Returns the name around `at` if at most `max_tail` of its bytes follow the four at `at` and something that
/// can give it a value follows those; cut to its last [`LONGEST_NAME`] bytes.
pub(crate) fn name_around(text: &[u8], at: usize, max_tail: usize) -> Option<Range<usize>> {
    // Most hits are words of prose, so the cheap end comes first. The group may hold the delimiter itself.
    let group = text.get(at..at + 4)?;
    let group_end = at + group.iter().position(|byte| !is_name(*byte)).unwrap_or(4);
    let limit = text.len().min(group_end + max_tail + 1);
    let end = run(text.get(..limit)?, group_end, is_name);
    let is_given = matches!(text.get(end), Some(b'"' | b'\\' | b'\'' | b'=' | b':'));
    if !is_given || end > group_end + max_tail {
        return None;
    }
    let floor = at.saturating_sub(LONGEST_NAME);
    let before = text.get(floor..at)?;
    let mut start = at - before.iter().rev().take_while(|byte| is_name(**byte)).count();
    if start < at && is_escaped(text, start) {
        // The letter of an escape is no letter of the name.
        start += 1;
    }
    Some(start..end)
}

/// Returns what a name says about its value, by the built-in rules.
pub(crate) fn naming(normalized: &[u8]) -> Option<Naming> {
    let is_end = |end: &&&str| normalized.ends_with(end.as_bytes());
    if CREDENTIAL_ENDS.iter().any(|end| is_end(&end)) {
        return Some(Naming::Credential);
    }
    let end = *PERHAPS_ENDS.iter().find(is_end)?;
    let rest = normalized.get(..normalized.len() - end.len())?;
    let is_position =
        end == "token" && POSITION_TOKENS.iter().any(|position| rest.ends_with(position.as_bytes()));
    (!is_position).then_some(Naming::Perhaps)
}

/// What stands behind a name.
pub(crate) enum Behind {
    /// The name ends a JSON key; its value begins here.
    Value(usize),
    /// The name is the string under `name` or `key`, and the string under `value` beside it has this content.
    Pair(Range<usize>),
    /// The name is assigned this inside a text, in quotes.
    Quoted(Range<usize>),
    /// The name is assigned this inside a text, without quotes.
    Bare(Range<usize>),
}

/// Returns what the name in `name` is given, if anything.
pub(crate) fn behind(text: &[u8], name: &Range<usize>) -> Option<Behind> {
    match text.get(name.end)? {
        b'"' => behind_string(text, name),
        b'\\' => {
            let quote = name.end + backslashes_at(text, name.end);
            (text.get(quote) == Some(&b'"')).then_some(())?;
            let mark = text.get(name.end..=quote)?;
            quoted(text, quote + 1, mark)
        }
        b'\'' => quoted(text, name.end + 1, b"'"),
        b'=' => bare(text, name.end + 1),
        b':' if text.get(name.end + 1) == Some(&b' ') => {
            bare(text, run(text, name.end + 1, |byte| byte == b' '))
        }
        _ => None,
    }
}

fn backslashes_at(text: &[u8], at: usize) -> usize {
    run(text, at, |byte| byte == b'\\') - at
}

/// The name ends a string: a key, or a value that names what stands beside it.
fn behind_string(text: &[u8], name: &Range<usize>) -> Option<Behind> {
    let next = skip_space(text, name.end + 1);
    match text.get(next)? {
        b':' => Some(Behind::Value(skip_space(text, next + 1))),
        b',' if is_whole_string(text, name) => {
            let key = skip_space(text, next + 1);
            let colon = skip_space(text, key + b"\"value\"".len());
            (text.get(key..)?.starts_with(b"\"value\"") && text.get(colon) == Some(&b':')).then_some(())?;
            let value = skip_space(text, colon + 1);
            (text.get(value) == Some(&b'"')).then(|| Behind::Pair(value + 1..string_end(text, value + 1)))
        }
        _ => None,
    }
}

fn is_whole_string(text: &[u8], name: &Range<usize>) -> bool {
    name.start.checked_sub(1).is_some_and(|quote| text.get(quote) == Some(&b'"') && !is_escaped(text, quote))
}

/// Reads `: "value"` inside a text, where `mark` is how that text writes its quotes.
fn quoted(text: &[u8], at: usize, mark: &[u8]) -> Option<Behind> {
    let is_space = |byte| byte == b' ';
    let colon = run(text, at, is_space);
    (text.get(colon) == Some(&b':')).then_some(())?;
    let open = run(text, colon + 1, is_space);
    text.get(open..)?.starts_with(mark).then_some(())?;
    let start = open + mark.len();
    let limit = text.len().min(start + LONGEST_ASSIGNED);
    let quote = *mark.last()?;
    let mut from = start;
    loop {
        let found = from + memchr::memchr2(quote, b'"', text.get(from..limit)?)?;
        let depth = backslashes_before(text, found);
        if text.get(found) == Some(&quote) && depth + 1 == mark.len() {
            let end = found + 1 - mark.len();
            return (end >= start).then_some(Behind::Quoted(start..end));
        }
        if depth.is_multiple_of(2) && text.get(found) == Some(&b'"') {
            return None;
        }
        from = found + 1;
    }
}

/// Reads an unquoted value inside a text.
fn bare(text: &[u8], start: usize) -> Option<Behind> {
    let limit = text.len().min(start + LONGEST_BARE);
    let end = run(text.get(..limit)?, start, |byte| {
        let ends = matches!(byte, b'"' | b'\'' | b'`' | b'\\' | b',' | b';' | b'&' | b'<' | b'>' | b'|');
        byte.is_ascii_graphic() && !ends
    });
    if end - start == LONGEST_BARE {
        return None;
    }
    let value = text.get(start..end)?;
    let end = start + value.len()
        - value.iter().rev().take_while(|byte| matches!(byte, b'.' | b')' | b'}' | b']')).count();
    Some(Behind::Bare(start..end))
}

/// Returns whether an unquoted value is a credential rather than code or prose.
pub(crate) fn is_bare_credential(value: &[u8]) -> bool {
    value.len() >= 6
        && looks_random(value)
        && !value.iter().any(|byte| matches!(byte, b'(' | b'[' | b'{' | b'$'))
        && !is_type(value)
        && value != MARK.as_bytes()
}

/// Returns whether a text is the path of a type: `ed25519.Ed25519PrivateKey`, as an annotation says of a name. Keys of the form
/// `id.secret` have a longer id, and a secret that ends in no word.
fn is_type(text: &[u8]) -> bool {
    let is_module = |part: &[u8]| {
        part.len() <= 16
            && part.first().is_some_and(u8::is_ascii_lowercase)
            && part.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_')
    };
    let mut parts = text.rsplit(|byte| *byte == b'.');
    let is_class = parts.next().is_some_and(|class| {
        class.first().is_some_and(u8::is_ascii_uppercase)
            && class.get(1).is_some_and(u8::is_ascii_lowercase)
            && class.iter().all(u8::is_ascii_alphanumeric)
            && class.iter().rev().take_while(|byte| byte.is_ascii_lowercase()).count() >= 2
    });
    let mut modules = parts.peekable();
    is_class && modules.peek().is_some() && modules.all(is_module)
}

/// Returns whether a value under a name that is perhaps a credential's looks like one.
pub(crate) fn is_perhaps_credential(name: &[u8], value: &[u8]) -> bool {
    if name.ends_with(b"cookie") {
        return value.len() >= 16 && value.contains(&b'=') && looks_random(value);
    }
    let shortest = if name.ends_with(b"pwd") { 6 } else { 16 };
    value.len() >= shortest
        && looks_random(value)
        && value.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'\\')
        && !value.starts_with(b"/")
        && memchr::memmem::find(value, b"://").is_none()
        && value != MARK.as_bytes()
}
