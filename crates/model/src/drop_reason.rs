use std::fmt;

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// Why a span was not delivered or not stored: the one closed list, shared by SDK and server.
        ///
        /// Every span that is given up is counted under exactly one of these. The names are the values of
        /// the `reason` attribute in metrics, reports and answers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[$doc])* $variant,)*
        }

        impl DropReason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the name used in metrics and reports.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Returns the reason with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == name)
            }

            /// Returns the position in [`DropReason::ALL`].
            pub const fn index(self) -> usize {
                self as usize
            }
        }
    };
}

drop_reasons! {
    /// The queue was at its bound of spans or bytes.
    QueueFull = "queue_full";
    /// The span came after shutdown had begun.
    Shutdown = "shutdown";
    /// The spool was at its bound and its oldest spans had to go.
    SpoolFull = "spool_full";
    /// The record in the spool was damaged.
    SpoolCorrupt = "spool_corrupt";
    /// Shutdown ran out of time, and there was no spool to keep the span.
    ShutdownTimeout = "shutdown_timeout";
    /// The configured number of attempts was used up.
    RetriesExhausted = "retries_exhausted";
    /// The span waited longer than the configured age.
    Expired = "expired";
    /// The span could not be encoded, or its payload was not acceptable JSON.
    InvalidPayload = "invalid_payload";
    /// The span alone is larger than the destination or the store takes.
    TooLarge = "too_large";
    /// The destination refused this very span for its content.
    Rejected = "rejected";
    /// The destination was switched off by configuration.
    Disabled = "disabled";
    /// A field of the request was missing or malformed (server).
    Malformed = "malformed";
    /// The span's parent lives in another trace, or its parents form a cycle (server).
    InvalidParent = "invalid_parent";
    /// A span with this id exists already and the call does not replace (server).
    Duplicate = "duplicate";
    /// The server had no room for the request (server; the client may retry).
    Overloaded = "overloaded";
    /// The store failed (server; the client may retry).
    StoreUnavailable = "store_unavailable";
}

impl fmt::Display for DropReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_indexes_are_unique() {
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
            assert_eq!(DropReason::from_name(reason.as_str()), Some(*reason));
        }
    }
}
