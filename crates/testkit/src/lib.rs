//! Test tools of endspan, for development only.
#![forbid(unsafe_code)]
