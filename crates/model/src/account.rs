use std::fmt;

/// The account that owns a span. Accounts never see each other's spans, ids or counts.
///
/// Free text as the client sends it in `x-selected-account-id`; [`AccountId::DEFAULT`] when a protocol
/// names none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(Box<str>);

impl AccountId {
    /// The account of clients that name none.
    pub const DEFAULT: &'static str = "default";

    /// Wraps an account id.
    pub fn new(id: impl Into<Box<str>>) -> Self {
        Self(id.into())
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for AccountId {
    fn default() -> Self {
        Self::new(Self::DEFAULT)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
