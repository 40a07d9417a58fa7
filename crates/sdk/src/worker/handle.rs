use std::sync::Arc;

use endspan_spool::{Notice, Record};

use crate::diagnostics::aloud;
use crate::engine::RecordHandle;

/// A record with what its marks mean here.
#[derive(Clone, Debug)]
pub(crate) struct LogRecord {
    record: Record,
    /// For a dead process's record: the writer's bit for each of our lanes, zero where it had none.
    foreign_bits: Option<Arc<[u32]>>,
}

impl LogRecord {
    /// A record of this process.
    pub(crate) const fn own(record: Record) -> Self {
        Self { record, foreign_bits: None }
    }

    /// A record of a dead process.
    pub(crate) const fn recovered(record: Record, bits: Arc<[u32]>) -> Self {
        Self { record, foreign_bits: Some(bits) }
    }

    pub(crate) const fn record(&self) -> &Record {
        &self.record
    }

    /// Returns our lanes that want the record, one bit each.
    pub(crate) fn wanted(&self) -> u32 {
        match &self.foreign_bits {
            None => u32::MAX,
            Some(bits) => {
                let marks = self.record.marks();
                bits.iter()
                    .enumerate()
                    .fold(0, |wanted, (lane, bit)| wanted | u32::from(*bit != 0 && marks & bit == 0) << lane)
            }
        }
    }
}

impl RecordHandle for LogRecord {
    fn resolve(&self, bits: u32) {
        let bits = match &self.foreign_bits {
            None => bits,
            Some(foreign) => foreign
                .iter()
                .enumerate()
                .filter(|(lane, _)| bits & (1 << lane) != 0)
                .fold(0, |theirs, (_, bit)| theirs | bit),
        };
        if bits != 0 {
            self.record.resolve(bits);
        }
    }
}

/// Says a notice of the log in the host's log, once.
pub(super) fn say(notice: &Notice) {
    aloud(|| match notice {
        Notice::SpoolUnavailable { path, reason } => tracing::warn!(
            path = %path.display(),
            reason,
            "endspan's spool cannot be written: spans stay in memory and do not survive this process"
        ),
        Notice::SpoolRestored => tracing::info!("endspan's spool can be written again"),
        Notice::AdoptionFailed { path, reason } => tracing::warn!(
            path = %path.display(),
            reason,
            "endspan cannot look for spans of dead processes"
        ),
        Notice::SyncFailed { reason } => {
            tracing::warn!(reason, "endspan cannot write its spool through to the disk");
        }
        other => tracing::warn!(notice = ?other, "endspan's spool is damaged"),
    });
}
