//! Credentials known by their form.

use std::ops::Range;

use crate::MARK;
use crate::position::{begins_token, run, string_end};

/// The built-in patterns. The names are those of metrics and settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Pattern {
    /// Values under a key that names a credential.
    CredentialKey,
    /// Values assigned to such a name inside a text: `password=…`, JSON within a JSON string.
    Assignment,
    /// `Bearer` and `Basic` authorization.
    AuthorizationScheme,
    /// JSON web tokens.
    Jwt,
    /// API keys with a known prefix.
    ApiKey,
    /// Private keys in PEM form.
    PrivateKey,
    /// Passwords in URLs and connection strings.
    UrlPassword,
}

impl Pattern {
    /// Every built-in pattern.
    pub const ALL: [Self; 7] = [
        Self::CredentialKey,
        Self::Assignment,
        Self::AuthorizationScheme,
        Self::Jwt,
        Self::ApiKey,
        Self::PrivateKey,
        Self::UrlPassword,
    ];

    /// Returns the name used in metrics and settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CredentialKey => "credential_key",
            Self::Assignment => "assignment",
            Self::AuthorizationScheme => "authorization_scheme",
            Self::Jwt => "jwt",
            Self::ApiKey => "api_key",
            Self::PrivateKey => "private_key",
            Self::UrlPassword => "url_password",
        }
    }

    /// Returns the pattern with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|pattern| pattern.as_str() == name)
    }
}

/// What must be among the characters behind a prefix.
#[derive(Clone, Copy)]
pub(crate) enum Need {
    /// Nothing more: the prefix is distinctive.
    Any,
    /// At least one digit.
    Digit,
    /// A lower-case letter, an upper-case letter and a digit, or 32 and more letters and digits only.
    Mixed,
    /// Exactly as many characters as the least.
    Exactly,
    /// Exactly as many, upper-case letters and digits only.
    UpperOrDigit,
}

/// A kind of API key: its prefix, how many of its characters must follow, and what must be among them.
pub(crate) struct KnownPrefix {
    pub(crate) prefix: &'static str,
    pub(crate) min_chars: usize,
    pub(crate) need: Need,
}

const fn known(prefix: &'static str, min_chars: usize, need: Need) -> KnownPrefix {
    KnownPrefix { prefix, min_chars, need }
}

/// The prefixes as their issuers document them.
pub(crate) const KNOWN_PREFIXES: &[KnownPrefix] = &[
    // Model providers.
    known("sk-", 20, Need::Mixed),
    known("gsk_", 32, Need::Digit),
    known("hf_", 30, Need::Any),
    known("r8_", 30, Need::Digit),
    known("xai-", 40, Need::Digit),
    known("pplx-", 32, Need::Digit),
    known("tvly-", 20, Need::Digit),
    known("AIza", 35, Need::Exactly),
    known("lsv2_", 32, Need::Digit),
    known("pcsk_", 32, Need::Digit),
    // Code hosts and package registries.
    known("ghp_", 30, Need::Digit),
    known("gho_", 30, Need::Digit),
    known("ghu_", 30, Need::Digit),
    known("ghs_", 30, Need::Digit),
    known("ghr_", 30, Need::Digit),
    known("github_pat_", 22, Need::Digit),
    known("glpat-", 20, Need::Any),
    known("npm_", 36, Need::Digit),
    known("pypi-AgE", 40, Need::Any),
    known("dckr_pat_", 20, Need::Any),
    // Clouds and services.
    known("AKIA", 16, Need::UpperOrDigit),
    known("ASIA", 16, Need::UpperOrDigit),
    known("ya29.", 20, Need::Any),
    known("GOCSPX-", 20, Need::Any),
    known("dop_v1_", 32, Need::Digit),
    known("sk_live_", 16, Need::Any),
    known("sk_test_", 16, Need::Any),
    known("rk_live_", 16, Need::Any),
    known("rk_test_", 16, Need::Any),
    known("whsec_", 24, Need::Any),
    known("xoxb-", 10, Need::Digit),
    known("xoxp-", 10, Need::Digit),
    known("xoxa-", 10, Need::Digit),
    known("xoxr-", 10, Need::Digit),
    known("xoxs-", 10, Need::Digit),
    known("xapp-", 20, Need::Digit),
    known("SG.", 40, Need::Mixed),
    known("shpat_", 32, Need::Digit),
    known("shpss_", 32, Need::Digit),
    known("sq0atp-", 20, Need::Any),
    known("sq0csp-", 20, Need::Any),
    known("lin_api_", 32, Need::Any),
    known("glsa_", 32, Need::Any),
    known("ATATT3", 40, Need::Any),
    // Our own.
    known("endspan_", 52, Need::Exactly),
    known("AGE-SECRET-KEY-1", 40, Need::Any),
];

pub(crate) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

const fn is_bearer(byte: u8) -> bool {
    is_token(byte) || matches!(byte, b'.' | b'~' | b'+' | b'/' | b'=')
}

/// Returns whether a text looks drawn at random rather than spoken: letters and a digit.
pub(crate) fn looks_random(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_digit) && text.iter().any(u8::is_ascii_alphabetic)
}

/// Returns the key with this prefix that stands at `start`.
pub(crate) fn prefixed(
    text: &[u8],
    start: usize,
    prefix: &str,
    min_chars: usize,
    need: Need,
) -> Option<Range<usize>> {
    // Keys whose prefix ends in a dot have more of them. A full stop behind a key is not part of it.
    let has_dots = prefix.ends_with('.');
    let begins = text.get(start..)?.starts_with(prefix.as_bytes())
        && begins_token(text, start)
        && !(has_dots && start.checked_sub(1).and_then(|before| text.get(before)) == Some(&b'.'));
    if !begins {
        return None;
    }
    let body_start = start + prefix.len();
    let end = run(text, body_start, |byte| is_token(byte) || (has_dots && byte == b'.'));
    let body = text.get(body_start..end)?;
    let body = body.strip_suffix(b".").unwrap_or(body);
    let end = body_start + body.len();
    let fits = body.len() >= min_chars
        && match need {
            Need::Any => true,
            Need::Digit => body.iter().any(u8::is_ascii_digit),
            Need::Mixed => {
                let is_mixed = body.iter().any(u8::is_ascii_lowercase)
                    && body.iter().any(u8::is_ascii_uppercase)
                    && body.iter().any(u8::is_ascii_digit);
                let is_long = body.len() >= 32 && body.iter().all(u8::is_ascii_alphanumeric);
                is_mixed || (is_long && looks_random(body))
            }
            Need::Exactly => body.len() == min_chars,
            Need::UpperOrDigit => {
                body.len() == min_chars
                    && body.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
            }
        };
    fits.then_some(start..end)
}

/// Returns the `Bearer …` whose word begins at `start`.
pub(crate) fn bearer(text: &[u8], start: usize) -> Option<Range<usize>> {
    let token_start = scheme(text, start, b"bearer")?;
    let end = run(text, token_start, is_bearer);
    let token = text.get(token_start..end)?;
    let trimmed = token.len() - token.iter().rev().take_while(|byte| **byte == b'.').count();
    let token = token.get(..trimmed)?;
    // Prose speaks of bearers too; a token is long and has digits.
    (token.len() >= 12 && looks_random(token)).then_some(start..token_start + trimmed)
}

/// Returns the `Basic …` whose word begins at `start`, if it decodes to a name and a password.
pub(crate) fn basic(text: &[u8], start: usize) -> Option<Range<usize>> {
    let token_start = scheme(text, start, b"basic")?;
    let end = run(text, token_start, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_')
    });
    let token = text.get(token_start..end)?;
    let decoded = decode_base64(token)?;
    let fits =
        token.len() >= 8 && decoded.contains(&b':') && decoded.iter().all(|byte| !byte.is_ascii_control());
    fits.then_some(start..end)
}

/// Returns where what follows the scheme's name begins.
fn scheme(text: &[u8], start: usize, name: &[u8]) -> Option<usize> {
    let end = start + name.len();
    if !text.get(start..end)?.eq_ignore_ascii_case(name) || !begins_token(text, start) {
        return None;
    }
    let token_start = run(text, end, |byte| byte == b' ');
    (token_start > end).then_some(token_start)
}

fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.get(..text.len() - text.iter().rev().take_while(|byte| **byte == b'=').count())?;
    let mut out = Vec::with_capacity(text.len());
    let mut bits = 0_u32;
    let mut width = 0;
    for byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        width += 6;
        if width >= 8 {
            width -= 8;
            out.push((bits >> width) as u8);
        }
    }
    Some(out)
}

/// Returns the JSON web token that begins at `start`: an encoded JSON object, and one or more further parts.
pub(crate) fn jwt(text: &[u8], start: usize) -> Option<Range<usize>> {
    if !text.get(start..)?.starts_with(b"eyJ") || !begins_token(text, start) {
        return None;
    }
    let header = run(text, start, is_token);
    let claims = run(text, header + 1, is_token);
    let fits = text.get(header) == Some(&b'.') && header - start >= 10 && claims > header + 6;
    if !fits {
        return None;
    }
    // An unencrypted token's second part is an object too; an encrypted one has five parts.
    let mut end = claims;
    let mut parts = 2;
    while parts < 5 && text.get(end) == Some(&b'.') {
        let next = run(text, end + 1, is_token);
        if next == end + 1 && parts > 2 {
            break;
        }
        end = next;
        parts += 1;
    }
    let is_signed = text.get(header + 1..)?.starts_with(b"eyJ");
    (is_signed || parts == 5 || (parts == 3 && end > claims + 20)).then_some(start..end)
}

/// Returns the private key whose `-----BEGIN` begins at `start`, to its end or the end of the string.
pub(crate) fn private_key(text: &[u8], start: usize) -> Option<Range<usize>> {
    let rest = text.get(start..)?.strip_prefix(b"-----BEGIN ")?;
    let label_length = rest.iter().position(|byte| !matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b' '))?;
    let label = rest.get(..label_length)?;
    if !label.ends_with(b"PRIVATE KEY") || !rest.get(label_length..)?.starts_with(b"-----") {
        return None;
    }
    let body_start = start + b"-----BEGIN ".len() + label_length;
    let string_end = string_end(text, body_start);
    let body = text.get(body_start..string_end)?;
    let end = memchr::memmem::find(body, b"-----END ")
        .and_then(|found| {
            let close = found + b"-----END ".len();
            let dashes = memchr::memmem::find(body.get(close..)?, b"-----")?;
            Some(body_start + close + dashes + 5)
        })
        .unwrap_or(string_end);
    Some(start..end)
}

/// Returns the password of a URL whose `://` ends before `authority`.
pub(crate) fn url_password(text: &[u8], authority: usize) -> Option<Range<usize>> {
    // Names of hosts and users are short; a password of more is not one that a person put into a URL.
    const LONGEST_AUTHORITY: usize = 512;
    let limit = text.len().min(authority + LONGEST_AUTHORITY);
    let authority_text = text.get(authority..limit)?;
    let length = authority_text
        .iter()
        .position(|byte| {
            matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\\' | b'<' | b'>' | b'`' | b'\'') || *byte <= b' '
        })
        .unwrap_or(authority_text.len());
    let authority_text = authority_text.get(..length)?;
    let at_sign = memchr::memrchr(b'@', authority_text)?;
    let user_info = authority_text.get(..at_sign)?;
    let colon = memchr::memchr(b':', user_info)?;
    let password = user_info.get(colon + 1..)?;
    // Templates name a password; they do not hold one.
    let is_template = matches!(password.first(), None | Some(b'$' | b'{' | b'%' | b'*'));
    if is_template || password == MARK.as_bytes() {
        return None;
    }
    Some(authority + colon + 1..authority + at_sign)
}
