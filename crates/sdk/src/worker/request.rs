use bytes::Bytes;
use endspan_model::DropReason;
use endspan_spool::Payloads;

use super::LogRecord;
use crate::engine::Engine;
use crate::exporter::{Batch, DropReport, Export, Exporter, RecordBatch};
use crate::lane::{Dispatch, Outcome, SpanOutcome};
use crate::live::Counters;
use crate::record;

/// Hands the records of a dispatch to an exporter, as they are if it takes them so, else as spans.
pub(super) fn send(
    engine: &Engine<LogRecord>,
    counters: &Counters,
    dispatch: &Dispatch,
    dropped: Option<DropReport>,
    exporter: &dyn Exporter,
) -> Export {
    let as_they_are = payloads(engine, dispatch).and_then(|records| {
        let attempt = dispatch.attempt;
        exporter.export_records(&RecordBatch { records: &records, attempt, dropped })
    });
    as_they_are.unwrap_or_else(|| prepare(engine, counters, dispatch, dropped).send(exporter))
}

/// Returns the payloads of a dispatch's records, if all can be read.
fn payloads(engine: &Engine<LogRecord>, dispatch: &Dispatch) -> Option<Payloads> {
    let mut payloads = Payloads::with_capacity(dispatch.items.len());
    for (item, _) in &dispatch.items {
        payloads.push(engine.handle(*item)?.record()).ok()?;
    }
    Some(payloads)
}

/// A request whose records have been read.
struct Prepared {
    batch: Batch,
    /// For each record of the dispatch, whether it could be read.
    readable: Vec<bool>,
}

/// Reads the records of a dispatch.
fn prepare(
    engine: &Engine<LogRecord>,
    counters: &Counters,
    dispatch: &Dispatch,
    dropped: Option<DropReport>,
) -> Prepared {
    let mut spans = Vec::with_capacity(dispatch.items.len());
    let mut readable = Vec::with_capacity(dispatch.items.len());
    for (item, maybe_stored) in &dispatch.items {
        let read = engine
            .handle(*item)
            .and_then(|handle| handle.record().payload().ok())
            .and_then(|payload| record::read_span(&Bytes::from_owner(payload)));
        readable.push(read.is_some());
        if let Some((span, replaced)) = read {
            if replaced > 0 && dispatch.attempt == 0 {
                counters.note_unencodable(u64::from(replaced));
            }
            spans.push((span, *maybe_stored));
        }
    }
    Prepared { batch: Batch::from_parts(dispatch.phase, spans, dispatch.attempt, dropped), readable }
}

impl Prepared {
    /// Hands the spans to an exporter; records that could not be read are answered for as damaged.
    fn send(self, exporter: &dyn Exporter) -> Export {
        if self.readable.iter().all(|readable| *readable) {
            return exporter.export(self.batch);
        }
        let readable = self.readable;
        if !readable.contains(&true) {
            return Box::pin(std::future::ready(spread(&Outcome::Delivered, &readable)));
        }
        let export = exporter.export(self.batch);
        Box::pin(async move {
            match export.await {
                outcome @ (Outcome::Delivered | Outcome::PerSpan(_)) => spread(&outcome, &readable),
                outcome => outcome,
            }
        })
    }
}

/// Spreads the outcome of the readable records over all of them.
fn spread(outcome: &Outcome, readable: &[bool]) -> Outcome {
    let mut told = match outcome {
        Outcome::PerSpan(outcomes) => outcomes.clone(),
        _ => vec![SpanOutcome::Delivered; readable.len()],
    }
    .into_iter();
    let each = |readable: &bool| {
        if *readable {
            told.next().unwrap_or(SpanOutcome::Retryable)
        } else {
            SpanOutcome::Dropped(DropReason::SpoolCorrupt)
        }
    };
    Outcome::PerSpan(readable.iter().map(each).collect())
}
