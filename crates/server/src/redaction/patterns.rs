//! What looks like a credential.

/// Texts of which each credential-named key holds one.
pub(super) const KEY_TRIGGERS: &[&str] = &[
    "authorization",
    "api_key",
    "api-key",
    "apikey",
    "password",
    "passwd",
    "secret",
    "access_token",
    "access-token",
    "accesstoken",
    "refresh_token",
    "refresh-token",
    "refreshtoken",
    "auth_token",
    "auth-token",
    "authtoken",
    "id_token",
    "id-token",
    "idtoken",
    "private_key",
    "private-key",
    "privatekey",
    "access_key",
    "access-key",
    "accesskey",
];

/// Texts of which each credential that is known by its form holds one.
pub(super) const VALUE_TRIGGERS: &[&str] = &[
    "bearer ",
    "eyj",
    "sk-",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "hf_",
    "akia",
    "aiza",
    "://",
    "-----begin",
];

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

const LONGEST_KEY: usize = 32;

/// Returns whether a key (raw, as it stands between its quotes) names a credential.
pub(super) fn is_credential_key(key: &[u8]) -> bool {
    if key.len() > LONGEST_KEY {
        return false;
    }
    let name: Vec<u8> =
        key.iter().filter(|byte| !matches!(byte, b'_' | b'-' | b' ')).map(u8::to_ascii_lowercase).collect();
    KEYS.iter().any(|known| known.as_bytes() == name)
}

/// A credential found in a text: which bytes to replace.
pub(super) type Found = std::ops::Range<usize>;

/// Returns the credential that begins at or right behind `at`, if one does.
pub(super) fn credential_at(text: &[u8], at: usize) -> Option<Found> {
    let rest = text.get(at..)?;
    let begins_word =
        at.checked_sub(1).and_then(|before| text.get(before)).is_none_or(|byte| !is_word(*byte));
    match rest.first()? {
        b':' => password_in_url(text, at),
        b'-' => private_key(text, at),
        _ if !begins_word => None,
        b'b' | b'B' => bearer(text, at),
        b'e' => jwt(text, at),
        _ => known_prefix(text, at),
    }
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
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
    let head_end = memchr::memmem::find(rest, b"PRIVATE KEY-----").filter(|end| *end < 40)?;
    let body = rest.get(head_end + 16..)?;
    let end = memchr::memmem::find(body, b"PRIVATE KEY-----").map_or(rest.len(), |end| head_end + 32 + end);
    Some(at..at + end)
}
