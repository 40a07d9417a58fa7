//! A bounded, segmented log of opaque byte records: the queue of the endspan SDK and its crash spool in one structure.
//!
//! Any number of threads append; one consumer maintains the log and reads it through any number of cursors. Records live in
//! segments: files mapped into memory, whose contents survive the death of the process, or anonymous memory when there is
//! no directory or the disk is full. Each record carries a word of *marks*, one bit for each destination; when every record of a
//! segment has all required marks, the segment is freed. The marks are in the file too, so that a later process resumes
//! where this one died.
//!
//! What it refuses to do: it does not know what a record means, never starts a thread, never waits for a disk in
//! [`Log::append`], and does not survive power loss beyond [`Options::sync_interval`].
//!
//! ```
//! use endspan_spool::{Log, Meta, Options};
//!
//! let opened = Log::open(Options { required_marks: 0b11, ..Options::default() })?;
//! let (log, mut consumer) = (opened.log, opened.consumer);
//! log.append(Meta::kind(1), &[b"hello, ", b"world"])?;
//!
//! let mut records = Vec::new();
//! consumer.poll(100, usize::MAX, &mut records);
//! assert_eq!(&*records[0].payload()?, b"hello, world");
//! records[0].mark(0);
//! assert!(records[0].mark(1).complete);
//! consumer.maintain();
//! assert_eq!(log.stats().depth_records, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Where to start reading: `format` (the bytes), `memory` (all unsafe memory access and its rules), `log` and `shared` (append),
//! `consumer` (maintenance), `recovery` and `scan` (what a dead process left). The format is described in `docs/spool-format.md` and
//! its reasons in `docs/adr/0001-spool-format.md`.

#![deny(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod appender;
mod clock;
mod consumer;
mod cursor;
mod error;
mod filesystem;
mod fork;
mod format;
mod instance;
mod log;
mod memory;
mod options;
mod overflow;
mod publication;
mod reading;
mod record;
mod recovery;
mod scan;
mod segment;
mod shared;
mod slots;
mod stats;
mod writer_lock;

pub use consumer::{Closed, Consumer, Maintenance};
pub use cursor::Cursor;
pub use error::{AppendError, Limit, ReadError};
pub use filesystem::{Faults, Operation};
pub use fork::fork_generation;
pub use format::{FORMAT_VERSION, MAX_PAYLOAD_BYTES, MAX_USER_HEADER_BYTES, RECORD_HEAD_BYTES};
pub use log::{Log, Opened};
pub use options::{Options, OptionsError, WhenFull};
pub use reading::Payloads;
pub use record::{Evicted, Meta, Payload, Position, Record, Resolution};
pub use recovery::{Damage, DamageKind, RecoveryReport};
pub use slots::Held;
pub use stats::{Notice, Stats};
