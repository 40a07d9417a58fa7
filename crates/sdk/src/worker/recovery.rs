//! What dead processes left in the spool.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use endspan_model::{Payload, Status, Timestamp};
use endspan_spool::{Consumer, Meta, Record};

use super::LogRecord;
use crate::diagnostics::aloud;
use crate::engine::{ENDED, RecordHandle as _};
use crate::error_record;
use crate::lane::KeyMap;
use crate::payload::PayloadSource;
use crate::record::{self, KIND_END, KIND_START};

/// Records read from a dead process's spool at a time.
const RECOVER_RECORDS: usize = 1024;

/// The `type` of the `__error__` of a span whose process died.
pub(crate) const PROCESS_DIED: &str = "ProcessDied";

/// Reads what dead processes left, and remembers what they left open until everything is read.
pub(super) struct Recovery {
    identities: Vec<String>,
    open: KeyMap<Open>,
    /// When each dead process last wrote something.
    last_sign: HashMap<u32, u64>,
    pub(super) records: u64,
    bits: Option<(Vec<u8>, Arc<[u32]>)>,
    reading: bool,
}

struct Open {
    record: LogRecord,
    process_id: u32,
}

impl Recovery {
    pub(super) fn new(identities: Vec<String>) -> Self {
        Self {
            identities,
            open: KeyMap::default(),
            last_sign: HashMap::new(),
            records: 0,
            bits: None,
            reading: true,
        }
    }

    /// Returns the next ends that a dead process left undelivered. Starts are kept back until all is read.
    pub(super) fn take(&mut self, consumer: &mut Consumer) -> Vec<LogRecord> {
        if !consumer.has_recovered() {
            return Vec::new();
        }
        self.reading = true;
        let mut records = Vec::new();
        consumer.recover(RECOVER_RECORDS, &mut records);
        self.records += records.len() as u64;
        let ends = records.into_iter().filter_map(|record| self.sort(record)).collect();
        self.report(consumer);
        ends
    }

    fn sort(&mut self, record: Record) -> Option<LogRecord> {
        let process_id = record.process_id();
        let sign = self.last_sign.entry(process_id).or_default();
        *sign = (*sign).max(record.appended_unix_nanos());
        let bits = self.bits_of(record.user_header());
        let record = LogRecord::recovered(record, bits);
        let key = record.record().payload().ok().and_then(|payload| record::key_of(&payload));
        match (record.record().kind(), key) {
            (KIND_START, Some(_)) if record.record().marks() & ENDED != 0 => {
                record.resolve(u32::MAX);
                None
            }
            (KIND_START, Some(key)) => {
                if let Some(older) = self.open.insert(key, Open { record, process_id }) {
                    older.record.resolve(u32::MAX);
                }
                None
            }
            (KIND_END, Some(key)) => {
                if let Some(open) = self.open.remove(&key) {
                    open.record.resolve(u32::MAX);
                }
                Some(record)
            }
            // Damaged, or of a kind that we do not know: the engine books it.
            _ => Some(record),
        }
    }

    /// Returns a dead process's bit for each of our lanes.
    fn bits_of(&mut self, header: &[u8]) -> Arc<[u32]> {
        if let Some((known, bits)) = &self.bits
            && known == header
        {
            return Arc::clone(bits);
        }
        let theirs: Vec<&str> = std::str::from_utf8(header).unwrap_or_default().lines().collect();
        let bit_of = |(lane, identity): (usize, &String)| {
            // The same place first: two destinations may look alike.
            let same_place = theirs.get(lane).filter(|other| *other == identity).map(|_| lane);
            same_place
                .or_else(|| theirs.iter().position(|other| other == identity))
                .and_then(|bit| 1_u32.checked_shl(bit as u32))
                .unwrap_or(0)
        };
        let bits: Arc<[u32]> = self.identities.iter().enumerate().map(bit_of).collect();
        self.bits = Some((header.to_vec(), Arc::clone(&bits)));
        bits
    }

    /// Once all is read: writes an end for each span that was open when its process died. Returns how many.
    pub(super) fn take_died(&mut self, consumer: &Consumer) -> u64 {
        if !self.reading || consumer.has_recovered() {
            return 0;
        }
        self.reading = false;
        let mut died = 0;
        for (_, open) in std::mem::take(&mut self.open) {
            let last_sign = self.last_sign.get(&open.process_id).copied().unwrap_or(0);
            // A start that none of our destinations knows stays for a process that has them.
            if open.record.wanted() != 0 && write_end(consumer, &open.record, last_sign).is_some() {
                open.record.resolve(u32::MAX);
                died += 1;
            }
        }
        self.last_sign.clear();
        if died > 0 {
            aloud(|| {
                tracing::info!(spans = died, "endspan found spans that were open when their process died")
            });
        }
        died
    }

    fn report(&self, consumer: &mut Consumer) {
        let report = consumer.take_recovery_report();
        if !report.damage.is_empty() {
            let lost: u64 = report.damage.iter().map(|damage| damage.records).sum();
            aloud(|| {
                tracing::warn!(
                    pieces = report.damage.len(),
                    records = lost,
                    first = ?report.damage.first(),
                    "endspan found damage in the spool of a dead process"
                );
            });
        }
    }
}

/// Appends the end of a span whose process died, as a record of this process.
fn write_end(consumer: &Consumer, start: &LogRecord, last_sign_unix_nanos: u64) -> Option<()> {
    let payload = start.record().payload().ok()?;
    let (mut span, _) = record::read_span(&Bytes::from_owner(payload))?;
    let last_sign = Timestamp::from_unix_nanos(i128::from(last_sign_unix_nanos)).unwrap_or(span.start_time);
    span.end_time = Some(last_sign.max(span.start_time));
    span.status = Some(Status::Error);
    let mut data = span.metadata.take().map(PayloadSource::from);
    error_record::set(&mut data, PROCESS_DIED, "the process ended before the span did");
    span.metadata = data.map(|data| Payload::from_trusted(data.text.as_bytes().to_vec().into()));
    let mut out = Vec::new();
    record::push_span(&mut out, &span);
    let meta = Meta { kind: KIND_END, ..Meta::default() };
    consumer.log().append(meta, &[&out]).ok().map(drop)
}
