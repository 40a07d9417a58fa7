use serde::Deserialize;
use serde_json::value::RawValue;

use crate::format;

/// A page of traces.
#[derive(Debug, Deserialize)]
pub(crate) struct TracePage {
    /// Each a [`TraceSummary`] as it came.
    pub(crate) traces: Vec<Box<RawValue>>,
    /// Where the next page begins.
    #[serde(default)]
    pub(crate) next: Option<String>,
}

/// A page of a search.
#[derive(Debug, Deserialize)]
pub(crate) struct SpanPage {
    /// Each a [`TraceSpan`] as it came.
    pub(crate) items: Vec<Box<RawValue>>,
    /// Where the next page begins.
    #[serde(default)]
    pub(crate) next_cursor: Option<String>,
}

/// What was deleted.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Deleted {
    pub(crate) spans: u64,
    pub(crate) traces: u64,
    pub(crate) more: bool,
}

impl Deleted {
    pub(crate) fn add(&mut self, next: Self) {
        self.spans += next.spans;
        self.traces += next.traces;
    }
}

/// What became of an import.
#[derive(Debug, Deserialize)]
pub(crate) struct Imported {
    pub(crate) stored: u64,
    pub(crate) superseded: u64,
    pub(crate) rejected: u64,
    #[serde(default)]
    pub(crate) assessments_refused: u64,
    pub(crate) errors: Vec<ImportError>,
}

/// A refused line.
#[derive(Debug, Deserialize)]
pub(crate) struct ImportError {
    pub(crate) line: u64,
    pub(crate) message: String,
}

/// One trace, summed up.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct TraceSummary {
    pub(crate) trace_id: String,
    pub(crate) name: String,
    pub(crate) start_time: String,
    pub(crate) end_time: Option<String>,
    pub(crate) span_count: u64,
    pub(crate) open_count: u64,
    pub(crate) error_count: u64,
    pub(crate) status: Option<String>,
}

/// The part of the server's figures that is about writing.
#[derive(Debug, Deserialize)]
pub(crate) struct Stats {
    pub(crate) ingest: Vec<IngestStats>,
}

/// What the server took in over one protocol.
#[derive(Debug, Deserialize)]
pub(crate) struct IngestStats {
    /// Writes of spans that were stored.
    pub(crate) stored: u64,
}

/// A trace with its spans.
#[derive(Debug)]
pub(crate) struct TraceDetail {
    pub(crate) spans: Vec<TraceSpan>,
    /// The answer as it came.
    pub(crate) text: Vec<u8>,
}

impl TraceDetail {
    pub(super) fn parse(text: Vec<u8>) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Answer {
            spans: Vec<TraceSpan>,
        }
        let Answer { spans } = serde_json::from_slice(&text)?;
        Ok(Self { spans, text })
    }
}

/// A span as the read API answers it, or the SGP API. Payloads stay text.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TraceSpan {
    #[serde(alias = "account_id")]
    pub(crate) account: String,
    pub(crate) trace_id: String,
    pub(crate) id: String,
    pub(crate) parent_id: Option<String>,
    pub(crate) name: String,
    #[serde(alias = "start_timestamp")]
    pub(crate) start_time: String,
    #[serde(alias = "end_timestamp")]
    pub(crate) end_time: Option<String>,
    pub(crate) status: Option<String>,
    #[serde(rename = "type")]
    pub(crate) span_type: Option<String>,
    pub(crate) input: Option<Box<RawValue>>,
    pub(crate) output: Option<Box<RawValue>>,
    pub(crate) metadata: Option<Box<RawValue>>,
}

impl TraceSpan {
    /// Returns what identifies the span inside one trace.
    pub(crate) fn key(&self) -> (&str, &str) {
        (&self.account, &self.id)
    }

    pub(crate) fn start_nanos(&self) -> Option<i128> {
        format::moment(&self.start_time).map(jiff::Timestamp::as_nanosecond)
    }

    pub(crate) fn end_nanos(&self) -> Option<i128> {
        format::moment(self.end_time.as_deref()?).map(jiff::Timestamp::as_nanosecond)
    }

    pub(crate) fn duration_nanos(&self) -> Option<i128> {
        Some(self.end_nanos()? - self.start_nanos()?)
    }

    /// Returns the payloads that are there, with their names.
    pub(crate) fn payloads(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [("input", &self.input), ("output", &self.output), ("metadata", &self.metadata)]
            .into_iter()
            .filter_map(|(name, payload)| Some((name, payload.as_ref()?.get())))
            .filter(|(_, text)| *text != "null")
    }

    /// Returns the recorded error as `Type: message`, when the metadata is there and holds one
    /// (`__error__`, or the `error_type` and `error_message` of the SGP client).
    pub(crate) fn error_text(&self) -> Option<String> {
        let metadata: serde_json::Value = serde_json::from_str(self.metadata.as_ref()?.get()).ok()?;
        let text = |value: Option<&serde_json::Value>| value?.as_str().map(str::to_owned);
        let recorded = metadata.get("__error__");
        let kind =
            text(recorded.and_then(|error| error.get("type"))).or_else(|| text(metadata.get("error_type")));
        let message = text(recorded.and_then(|error| error.get("message")))
            .or_else(|| text(metadata.get("error_message")))
            .filter(|message| !message.is_empty());
        match (kind, message) {
            (Some(kind), Some(message)) => Some(format!("{kind}: {message}")),
            (kind, message) => kind.or(message),
        }
    }
}
