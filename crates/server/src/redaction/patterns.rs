//! What looks like a credential.

/// Names of keys, lower case and without separators, whose text is a credential.
const KEYS: &[&str] = &[
    "authorization",
    "proxyauthorization",
    "apikey",
    "xapikey",
    "password",
    "passwd",
    "secret",
    "clientsecret",
    "secretkey",
    "accesstoken",
    "refreshtoken",
    "authtoken",
    "idtoken",
    "privatekey",
    "accesskey",
    "secretaccesskey",
    "awssecretaccesskey",
];

/// Longest key that is looked at; longer ones are no name of a credential.
const LONGEST_KEY: usize = 32;

/// Returns whether a key (raw, as it stands between its quotes) names a credential.
fn is_credential_key(key: &[u8]) -> bool {
    let separator = |byte: &&u8| matches!(**byte, b'_' | b'-');
    KEYS.iter().any(|known| {
        let name = key.iter().filter(|byte| !separator(byte)).map(u8::to_ascii_lowercase);
        name.eq(known.bytes())
    })
}

/// Reports the texts under the key that surrounds `at`, if it is a key and names a credential: its string, or the
/// strings of its array.
pub(super) fn key_values(text: &[u8], at: usize, found: &mut impl FnMut(Found)) {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let before = text.get(at.saturating_sub(LONGEST_KEY)..at).unwrap_or_default();
    let start = at - before.iter().rev().take_while(|byte| is_name(byte)).count();
    let after = text.get(at..text.len().min(at + LONGEST_KEY + 1)).unwrap_or_default();
    let end = at + after.iter().take_while(|byte| is_name(byte)).count();
    // Text without white space between tokens holds these marks around keys only: within a string they are escaped.
    let opens = start >= 2 && matches!(text.get(start - 2..start), Some(b"{\"" | b",\""));
    if !opens || end - start > LONGEST_KEY || text.get(end..end + 2) != Some(b"\":") {
        return;
    }
    let (Some(key), mut value) = (text.get(start..end), end + 2) else { return };
    if !is_credential_key(key) {
        return;
    }
    let is_array = text.get(value) == Some(&b'[');
    if is_array {
        value += 1;
    }
    while text.get(value) == Some(&b'"') {
        let close = string_end(text, value + 1);
        if close > value + 1 {
            found(value + 1..close);
        }
        if !is_array || text.get(close + 1) != Some(&b',') {
            return;
        }
        value = close + 2;
    }
}

/// Returns the position of the quote that closes the string whose content starts at `at`.
fn string_end(text: &[u8], mut at: usize) -> usize {
    while let Some(offset) = text.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += offset;
        if text.get(at) == Some(&b'"') {
            return at;
        }
        at += 2;
    }
    text.len()
}

/// A credential found in a text: which bytes to replace.
pub(super) type Found = std::ops::Range<usize>;

/// Returns the credential that begins at `at`, if one does; of a URL, the password in it.
pub(super) fn credential_at(text: &[u8], at: usize) -> Option<Found> {
    let rest = text.get(at..)?;
    match rest.first()? {
        b':' => password_in_url(text, at),
        b'-' => private_key(text, at),
        _ if !begins_run(text, at) => None,
        b'b' | b'B' => bearer(text, at),
        b'e' => jwt(text, at),
        _ => known_prefix(text, at),
    }
}

/// Returns whether no run of token characters reaches up to `at`. A credential is never looked for within a run,
/// which keeps the work linear in the text.
fn begins_run(text: &[u8], at: usize) -> bool {
    match text.get(at.saturating_sub(2)..at) {
        // The letter of an escape such as `\n`.
        Some([b'\\', b'b' | b'f' | b'n' | b'r' | b't']) => true,
        Some([.., before]) => !is_base64url(*before),
        _ => true,
    }
}

const fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

const fn is_token(byte: u8) -> bool {
    is_base64url(byte) || matches!(byte, b'.' | b'~' | b'+' | b'/' | b'=')
}

/// Returns where the run of bytes that `accept` takes ends.
fn run(text: &[u8], start: usize, accept: impl Fn(u8) -> bool) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    start + rest.iter().position(|byte| !accept(*byte)).unwrap_or(rest.len())
}

fn bearer(text: &[u8], at: usize) -> Option<Found> {
    let word = text.get(at..at + 7)?;
    if !word.eq_ignore_ascii_case(b"bearer ") {
        return None;
    }
    let end = run(text, at + 7, is_token);
    let token = text.get(at + 7..end)?;
    // Prose speaks of bearers too; a token is long and holds digits.
    (token.len() >= 16 && token.iter().any(u8::is_ascii_digit)).then_some(at..end)
}

fn jwt(text: &[u8], at: usize) -> Option<Found> {
    if !text.get(at..)?.starts_with(b"eyJ") {
        return None;
    }
    let header = run(text, at, is_base64url);
    let claims = run(text, header + 1, is_base64url);
    let signature = run(text, claims + 1, is_base64url);
    let dots = text.get(header) == Some(&b'.') && text.get(claims) == Some(&b'.');
    (dots && header - at >= 10 && claims - header > 6).then_some(at..signature)
}

/// Prefixes of API keys, and how many more characters follow at least.
const PREFIXES: &[(&[u8], usize)] = &[
    (b"sk-", 20),
    (b"ghp_", 30),
    (b"gho_", 30),
    (b"ghs_", 30),
    (b"ghu_", 30),
    (b"github_pat_", 30),
    (b"glpat-", 20),
    (b"xoxb-", 20),
    (b"xoxp-", 20),
    (b"xoxa-", 20),
    (b"hf_", 30),
    (b"AKIA", 16),
    (b"AIza", 35),
];

fn known_prefix(text: &[u8], at: usize) -> Option<Found> {
    let rest = text.get(at..)?;
    let (prefix, least) = PREFIXES.iter().find(|(prefix, _)| rest.starts_with(prefix))?;
    let end = run(text, at + prefix.len(), is_base64url);
    let key = text.get(at + prefix.len()..end)?;
    (key.len() >= *least && key.iter().any(u8::is_ascii_digit)).then_some(at..end)
}

/// `scheme://user:password@host`: the password.
fn password_in_url(text: &[u8], at: usize) -> Option<Found> {
    if !text.get(at..)?.starts_with(b"://") {
        return None;
    }
    let part = |byte: u8| !matches!(byte, b'/' | b'?' | b'#' | b'@' | b':' | b'"' | b'\\' | b' ');
    let user_end = run(text, at + 3, part);
    if text.get(user_end) != Some(&b':') {
        return None;
    }
    let password_end = run(text, user_end + 1, |byte| part(byte) || byte == b':');
    let is_password = text.get(password_end) == Some(&b'@') && password_end > user_end + 1;
    is_password.then_some(user_end + 1..password_end)
}

/// A PEM private key, up to its end mark or the end of the text.
fn private_key(text: &[u8], at: usize) -> Option<Found> {
    let rest = text.get(at..)?;
    if !rest.starts_with(b"-----BEGIN ") {
        return None;
    }
    let head = rest.get(..rest.len().min(LONGEST_PEM_HEAD))?;
    let body = memchr::memmem::find(head, PEM_MARK)? + PEM_MARK.len();
    // A key that was cut off reaches to the end of its string.
    let end = memchr::memmem::find(rest.get(body..)?, PEM_MARK)
        .map_or(rest.len(), |end| body + end + PEM_MARK.len());
    Some(at..at + string_end(rest.get(..end)?, 0).min(end))
}

const PEM_MARK: &[u8] = b"PRIVATE KEY-----";

const LONGEST_PEM_HEAD: usize = 56;
