use std::fmt;

macro_rules! drop_reasons {
    ($($variant:ident = $name:literal, $meaning:literal;)*) => {
        /// Why a span was not delivered or not stored: the one closed list, shared by SDK and server.
        ///
        /// Every span that is given up is counted under exactly one of these. The names are the values of
        /// the `reason` attribute in metrics, reports and answers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum DropReason {
            $(#[doc = $meaning] $variant,)*
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

            /// Returns when a span is given up for it, for operators.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning,)*
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
    QueueFull = "queue_full",
        "Memory (`ENDSPAN_QUEUE_MAX_BYTES`) was full and there was no spool, or `AGENTEX_SPAN_QUEUE_MAX_SIZE` was reached.";
    Shutdown = "shutdown",
        "The span ended after shutdown had begun.";
    SpoolFull = "spool_full",
        "The spool (`ENDSPAN_SPOOL_MAX_BYTES`) was full and its oldest spans had to go.";
    SpoolCorrupt = "spool_corrupt",
        "The record in the spool was damaged.";
    ShutdownTimeout = "shutdown_timeout",
        "Shutdown ran out of time, and there was no spool to keep the span.";
    RetriesExhausted = "retries_exhausted",
        "`AGENTEX_SPAN_QUEUE_MAX_RETRIES` was set and used up.";
    Expired = "expired",
        "The span waited longer than `ENDSPAN_MAX_AGE_S`.";
    TooLarge = "too_large",
        "The span alone is larger than the destination, the log or the store takes.";
    Rejected = "rejected",
        "The destination refused this very span for its content.";
    Malformed = "malformed",
        "A field of the request was missing or malformed (server).";
    InvalidParent = "invalid_parent",
        "The span's parent lives in another trace, or its parents form a cycle (server).";
    Duplicate = "duplicate",
        "A span with this id exists already and the call does not replace (server).";
    Overloaded = "overloaded",
        "The server had no room for the request (server; the client may retry).";
    StoreUnavailable = "store_unavailable",
        "The store failed (server; the client may retry).";
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
