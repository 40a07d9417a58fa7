//! Every decoder of endspan on hostile bytes.
//!
//! [`targets`] holds a function for each decoder: it takes bytes, and panics when a promise is broken. [`mutate`] makes new bytes
//! out of the corpus. The test `decoders` runs both for some seconds (`ENDSPAN_FUZZ_SECONDS`, per target), from the seed
//! `ENDSPAN_FUZZ_SEED` (0), which it prints. `fuzz/run`, in a workspace of its own, calls the same targets guided by coverage.
#![forbid(unsafe_code)]

pub mod mutate;
pub mod targets;
