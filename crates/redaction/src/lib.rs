//! Takes credentials out of spans before they reach the disk or an answer (`sgp-api` 3.4).
//!
//! A credential is known by the key that it stands under (`authorization`, `api_key`, `password` …), by its
//! form (bearer tokens, JSON web tokens, keys with a known prefix, private keys, passwords in URLs), or by a
//! name that it is assigned to inside a text (`password=…`, JSON within a JSON string). It becomes
//! [`MARK`]. Everything else stays byte for byte: same keys, same order, same nesting.
//!
//! Works on the raw text of a payload. One pass looks up every four bytes in a bitmap of what credentials
//! begin with; only where that hits is there a closer look. A payload without credentials is not copied.
//!
//! What it does not find: credentials without a known form under an ordinary key, credentials that are cut
//! over several values, and encoded ones (base64 of a header, for instance).
//!
//! ```
//! use endspan_model::Payload;
//! use endspan_redaction::{Redactor, RedactionConfig};
//!
//! let redactor = Redactor::new(&RedactionConfig::default())?;
//! let payload = Payload::parse(r#"{"headers":{"Authorization":"Bearer abc"},"total_tokens":5}"#)?;
//! let (redacted, counts) = redactor.redact(&payload).ok_or("nothing found")?;
//! assert_eq!(redacted.as_str(), r#"{"headers":{"Authorization":"[REDACTED:credential]"},"total_tokens":5}"#);
//! assert_eq!(counts.total(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod config;
mod counts;
mod editor;
mod escapes;
mod forms;
mod grams;
mod keys;
mod position;
mod redactor;

pub use config::{ConfigError, CustomKey, CustomPrefix, RedactionConfig};
pub use counts::Counts;
pub use forms::Pattern;
pub use redactor::Redactor;

/// What a credential becomes.
pub const MARK: &str = "[REDACTED:credential]";
