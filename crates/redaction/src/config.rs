use crate::forms::Pattern;

/// What a [`Redactor`](crate::Redactor) looks for: the built-in patterns, less those switched off, and more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedactionConfig {
    /// Built-in patterns to leave out. Default: none.
    pub disabled: Vec<Pattern>,
    /// Further names of keys whose values are credentials.
    pub keys: Vec<CustomKey>,
    /// Names of keys whose values are never credentials, though a built-in rule says so. Compared as a whole,
    /// without regard to letter case and separators.
    pub excepted_keys: Vec<String>,
    /// Further credentials known by how they begin.
    pub prefixes: Vec<CustomPrefix>,
}

/// A key whose values are credentials, for example `x-internal-pass`. It matches keys that end in it,
/// without regard to letter case and to the separators `_`, `-` and `.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomKey {
    /// What counts of this pattern are called.
    pub name: String,
    /// The key: ASCII, with at least four letters or digits in a row.
    pub key: String,
}

/// Credentials that begin with a fixed text, for example `acme_live_`, at the start of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomPrefix {
    /// What counts of this pattern are called.
    pub name: String,
    /// The beginning: at least four ASCII letters, digits, `_`, `-` or `.`; case matters.
    pub prefix: String,
    /// How many letters, digits, `_` and `-` must follow at least.
    pub min_chars: usize,
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A key has too little to search for.
    #[error("redaction key {name:?}: {key:?} needs at least four ASCII letters or digits in a row")]
    UnusableKey {
        /// The pattern's name.
        name: String,
        /// The key.
        key: String,
    },
    /// A prefix has too little to search for, or characters that are not searched.
    #[error("redaction prefix {name:?}: {prefix:?} needs at least four ASCII letters, digits, _, - or .")]
    UnusablePrefix {
        /// The pattern's name.
        name: String,
        /// The prefix.
        prefix: String,
    },
    /// More than 1000 keys and prefixes.
    #[error("redaction: at most 1000 keys and prefixes, found {found}")]
    TooMany {
        /// How many there are.
        found: usize,
    },
}
