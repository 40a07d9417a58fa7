use std::fmt;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// Wraps an id. Any text is an id, also the empty one; limits are the caller's to check.
            pub fn new(id: impl Into<Box<str>>) -> Self {
                Self(id.into())
            }

            /// Returns the id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self::new(id)
            }
        }

        impl From<String> for $name {
            fn from(id: String) -> Self {
                Self::new(id)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id! {
    /// A span's id: free text of 0 to 256 bytes, unique within its trace (and account). Ordered bytewise.
    SpanId
}

text_id! {
    /// A trace's id: free text of 0 to 256 bytes. Ordered bytewise.
    TraceId
}

/// Returns a new random span or trace id: a UUID version 4 in its 36-character lower-case form.
///
/// The bytes come from the operating system, so a seeded or forked generator in the host program can
/// never repeat one. Costs one system call (about 0.25 µs); hot paths generate ids in batches themselves.
pub fn new_span_id_text() -> String {
    uuid::Uuid::new_v4().to_string()
}
