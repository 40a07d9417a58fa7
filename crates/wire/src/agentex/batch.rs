use endspan_model::DropReason;
use serde::Deserialize;

use crate::error::{DecodeError, DecodeErrorKind};
use crate::json::{push_optional_string, push_string};

/// What became of one item of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchOutcome {
    /// The item is stored, as a new span or in place of an earlier version.
    Stored,
    /// The item was taken, but a completed version of the span is stored and stays.
    Superseded,
    /// The item is not stored.
    Rejected {
        /// Why, from the closed list.
        reason: DropReason,
        /// The path of the field that is to blame, where one is.
        field: Option<String>,
        /// The mistake in words.
        message: String,
    },
}

impl From<DecodeError> for BatchOutcome {
    fn from(error: DecodeError) -> Self {
        let message = error.to_string();
        Self::Rejected { reason: DropReason::Malformed, field: Some(error.path), message }
    }
}

/// The answer to a batch as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchAnswer {
    /// Items stored.
    pub stored: u64,
    /// Items taken, but superseded by a completed version.
    pub superseded: u64,
    /// Items not stored.
    pub rejected: u64,
    /// The outcomes that the answer lists, by position in the request; with `return=minimal` only the
    /// rejected ones.
    pub outcomes: Vec<(usize, BatchOutcome)>,
}

/// Returns the answer to a batch: counts, then the outcome of each item by position; with `minimal`
/// (`Prefer: return=minimal`) only the rejected items are listed.
///
/// ```json
/// {"stored":1,"superseded":0,"rejected":1,"items":[
///   {"index":0,"outcome":"stored","id":"a1"},
///   {"index":1,"outcome":"rejected","id":null,"reason":"malformed","field":"items[1].name","message":"…"}]}
/// ```
///
/// `items` gives each outcome with the span's id, if it has one.
pub fn encode_batch_answer<'a>(
    items: impl IntoIterator<Item = (Option<&'a str>, &'a BatchOutcome)>,
    minimal: bool,
) -> Vec<u8> {
    let mut counts = [0_usize; 3];
    let mut list = Vec::new();
    let mut digits = itoa::Buffer::new();
    for (index, (id, outcome)) in items.into_iter().enumerate() {
        let (kind, name) = match outcome {
            BatchOutcome::Stored => (0, "stored"),
            BatchOutcome::Superseded => (1, "superseded"),
            BatchOutcome::Rejected { .. } => (2, "rejected"),
        };
        if let Some(count) = counts.get_mut(kind) {
            *count += 1;
        }
        if minimal && kind != 2 {
            continue;
        }
        list.extend_from_slice(if list.is_empty() { b"{\"index\":" } else { b",{\"index\":" });
        list.extend_from_slice(digits.format(index).as_bytes());
        list.extend_from_slice(b",\"outcome\":\"");
        list.extend_from_slice(name.as_bytes());
        list.extend_from_slice(b"\",\"id\":");
        push_optional_string(&mut list, id);
        if let BatchOutcome::Rejected { reason, field, message } = outcome {
            list.extend_from_slice(b",\"reason\":");
            push_string(&mut list, reason.as_str());
            list.extend_from_slice(b",\"field\":");
            push_optional_string(&mut list, field.as_deref());
            list.extend_from_slice(b",\"message\":");
            push_string(&mut list, message);
        }
        list.push(b'}');
    }
    let mut out = Vec::with_capacity(list.len() + 80);
    for (key, count) in ["{\"stored\":", ",\"superseded\":", ",\"rejected\":"].iter().zip(counts) {
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(digits.format(count).as_bytes());
    }
    out.extend_from_slice(b",\"items\":[");
    out.append(&mut list);
    out.extend_from_slice(b"]}");
    out
}

/// Reads the answer to a batch. Items with an unknown outcome or reason count as rejected for
/// [`DropReason::Rejected`].
///
/// # Errors
/// [`DecodeError`] when the text is no such answer, so that the client knows that it is not talking to a
/// server with batches.
pub fn decode_batch_answer(text: &[u8]) -> Result<BatchAnswer, DecodeError> {
    #[derive(Deserialize)]
    struct Answer {
        stored: u64,
        superseded: u64,
        rejected: u64,
        items: Vec<AnswerItem>,
    }
    #[derive(Deserialize)]
    struct AnswerItem {
        index: usize,
        outcome: String,
        reason: Option<String>,
        field: Option<String>,
        message: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(text).map_err(|error| DecodeError {
        path: "body".to_owned(),
        expected: "the answer to a batch",
        kind: DecodeErrorKind::Syntax { offset: error.column() },
    })?;
    let outcome = |item: AnswerItem| match item.outcome.as_str() {
        "stored" => (item.index, BatchOutcome::Stored),
        "superseded" => (item.index, BatchOutcome::Superseded),
        _ => {
            let reason = item.reason.as_deref().and_then(DropReason::from_name);
            let rejected = BatchOutcome::Rejected {
                reason: reason.unwrap_or(DropReason::Rejected),
                field: item.field,
                message: item.message.unwrap_or_default(),
            };
            (item.index, rejected)
        }
    };
    Ok(BatchAnswer {
        stored: answer.stored,
        superseded: answer.superseded,
        rejected: answer.rejected,
        outcomes: answer.items.into_iter().map(outcome).collect(),
    })
}
