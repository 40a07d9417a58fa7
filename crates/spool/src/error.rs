//! Errors of the log.

use std::path::PathBuf;

/// Why a record was not appended. The record is not in the log; the caller counts the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// A bound is reached.
    #[error("the log is full: {0}")]
    Full(Limit),
    /// The payload is longer than `max_record_bytes`.
    #[error("payload has {bytes} bytes, max_record_bytes is {limit}")]
    TooLarge {
        /// Length of the payload.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The consumer was closed or dropped.
    #[error("the log is closed")]
    Closed,
    /// This process is a forked child of the one that opened the log: see
    /// [`Log::reopen_after_fork`](crate::Log::reopen_after_fork).
    #[error("the log belongs to the parent process")]
    Foreign,
    /// The system gave no memory for a segment.
    #[error("no memory for a segment")]
    OutOfMemory,
}

/// The bound that refused a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// `max_bytes`, or `max_resident_bytes` for segments in anonymous memory.
    Bytes,
    /// `max_records`.
    Records,
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bytes => "bytes",
            Self::Records => "records",
        })
    }
}

/// Why a record's payload cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Every required mark was set, and the segment is gone.
    #[error("the record is resolved and its segment was freed")]
    Freed,
    /// This process is a forked child of the one that opened the log.
    #[error("the log belongs to the parent process")]
    Foreign,
    /// The segment's file cannot be mapped (any more).
    #[error("segment {path} cannot be mapped")]
    Map {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The record's head was overwritten from outside.
    #[error("the record is damaged")]
    Damaged,
}
