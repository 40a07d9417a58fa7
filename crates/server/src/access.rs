//! Who may do what: API keys, their roles and accounts.
//!
//! A key is 256 random bits, so that one SHA-256 is all that protects it at rest: there is nothing to guess, and what
//! slows down guessing passwords would only slow down requests. The server holds a [`KeyRing`]; where keys are kept
//! is for who runs the server to say ([`format_keys`] and [`parse_keys`] are the text of a file of keys).

pub(crate) mod guard;
mod ring;
mod secret;
mod text;

use endspan_model::{AccountId, Timestamp};

pub use ring::KeyRing;
pub use secret::{KeyHash, NoRandomness, Secret};
pub use text::{KeyTextError, format_keys, parse_keys};

/// What a key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Writing spans, on every API that writes. Answers show the span that was written or changed.
    Ingest,
    /// Reading, searching and following spans, and figures of the key's account.
    Read,
    /// `/metrics`, which counts all accounts together: only with a key for every account.
    Metrics,
    /// Everything that the other roles allow, and deleting.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Ingest, Self::Read, Self::Metrics, Self::Admin];

    /// Returns the role's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Metrics => "metrics",
            Self::Admin => "admin",
        }
    }

    /// Returns the role with a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

/// A key without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Names the key in lists and logs; also a part of its secret.
    pub id: String,
    /// What it is for, in its maker's words.
    pub name: String,
    /// The account that it is bound to; `None` for every account.
    pub account: Option<AccountId>,
    /// What it allows; never empty.
    pub roles: Vec<Role>,
    /// The digest of its secret.
    pub hash: KeyHash,
    /// The last four characters of its secret, so that people can tell which one they hold.
    pub last_four: String,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is refused; `None` for never.
    pub expires: Option<Timestamp>,
}

impl ApiKey {
    /// Returns whether the key allows what a role allows.
    pub fn allows(&self, role: Role) -> bool {
        self.roles.contains(&role) || self.roles.contains(&Role::Admin)
    }
}
