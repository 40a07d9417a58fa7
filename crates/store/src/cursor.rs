//! The cursor of a page of traces: the sort key of the last trace on it, as text that survives a URL.
//!
//! Form: `<microseconds>.<nanoseconds>.<trace id in hex>.<account in hex>`. It names a place in the order, not
//! a row: it stays good when the trace that it came from is gone, and it means the same to every engine.

use data_encoding::HEXLOWER;
use endspan_model::{AccountId, Timestamp, TraceId};

use crate::{StoreError, TraceSummary};

/// A place in the order of traces: newest start first, then trace id, then account, both ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceCursor {
    /// The earliest start of the trace.
    pub start_time: Timestamp,
    /// The trace.
    pub trace_id: TraceId,
    /// Its owner.
    pub account: AccountId,
}

impl TraceCursor {
    /// Returns the place of a trace.
    pub fn of(trace: &TraceSummary) -> Self {
        Self {
            start_time: trace.start_time,
            trace_id: trace.trace_id.clone(),
            account: trace.account.clone(),
        }
    }

    /// Returns the text form.
    pub fn encode(&self) -> String {
        let mut text =
            format!("{}.{}.", self.start_time.unix_micros(), self.start_time.subsec_nanos_below_micro());
        HEXLOWER.encode_append(self.trace_id.as_str().as_bytes(), &mut text);
        text.push('.');
        HEXLOWER.encode_append(self.account.as_str().as_bytes(), &mut text);
        text
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`StoreError::InvalidQuery`] on the field `after` for anything that [`encode`](Self::encode) did not make.
    pub fn decode(text: &str) -> Result<Self, StoreError> {
        Self::parse(text).filter(|cursor| cursor.encode() == text).ok_or_else(|| StoreError::InvalidQuery {
            field: "after",
            message: "not a cursor of this store".to_owned(),
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let micros = parts.next()?.parse().ok()?;
        let nanos = parts.next()?.parse().ok()?;
        let cursor = Self {
            start_time: Timestamp::from_parts(micros, nanos)?,
            trace_id: TraceId::from(text_of(parts.next()?)?),
            account: AccountId::new(text_of(parts.next()?)?),
        };
        parts.next().is_none().then_some(cursor)
    }
}

fn text_of(hex: &str) -> Option<String> {
    String::from_utf8(HEXLOWER.decode(hex.as_bytes()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_round_trip_whatever_the_ids_hold() {
        for (trace_id, account) in [("", ""), ("a.b/c%", "d\0e"), ("ü\u{10ffff}", "default")] {
            let cursor = TraceCursor {
                start_time: Timestamp::MIN,
                trace_id: trace_id.into(),
                account: AccountId::new(account),
            };
            assert_eq!(TraceCursor::decode(&cursor.encode()).unwrap(), cursor);
        }
    }

    #[test]
    fn other_text_is_no_cursor() {
        for text in [
            "",
            ".",
            "1.2.3",
            "1.2.61.62.",
            "1.2.6.62",
            "+1.2.61.62",
            "1.1000.61.62",
            "1.2.FF.62",
            "1.2.ff.62",
        ] {
            assert!(TraceCursor::decode(text).is_err(), "{text}");
        }
    }
}
