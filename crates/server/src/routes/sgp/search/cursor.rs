//! The cursors that searches hand out.
//!
//! Form: `~1.<sort><direction>.<key>.<nanoseconds>.<trace id in hex>.<span id in hex>`, for example `~1.sd.…`. It names a place in
//! the order, not a row, and holds no account: it means a place among the spans of whoever uses it.

use data_encoding::HEXLOWER;
use endspan_model::{AccountId, SpanId, TraceId};
use endspan_store::search::{SpanPosition, SpanSort};
use endspan_store::{SortDirection, SpanQuery};

const PREFIX: &str = "~1.";

/// The cursor was made under another sort key or direction.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OtherOrder;

pub(super) fn encode(position: &SpanPosition, query: &SpanQuery) -> String {
    let mut text = format!("{PREFIX}{}.{}.{}.", order(query), position.key.0, position.key.1);
    HEXLOWER.encode_append(position.trace_id.as_str().as_bytes(), &mut text);
    text.push('.');
    HEXLOWER.encode_append(position.id.as_str().as_bytes(), &mut text);
    text
}

/// Reads a cursor; `None` for text that is none, which may be a span's id.
pub(super) fn decode(
    text: &str,
    query: &SpanQuery,
    account: &AccountId,
) -> Option<Result<SpanPosition, OtherOrder>> {
    let mut parts = text.strip_prefix(PREFIX)?.split('.');
    let found = parts.next()?;
    let key = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let trace_id = TraceId::from(text_of(parts.next()?)?);
    let id = SpanId::from(text_of(parts.next()?)?);
    if parts.next().is_some() {
        return None;
    }
    if found != order(query) {
        return Some(Err(OtherOrder));
    }
    Some(Ok(SpanPosition { key, trace_id, id, account: account.clone() }))
}

fn order(query: &SpanQuery) -> &'static str {
    match (query.sort, query.direction) {
        (SpanSort::StartTime, SortDirection::Ascending) => "sa",
        (SpanSort::StartTime, SortDirection::Descending) => "sd",
        (SpanSort::Duration, SortDirection::Ascending) => "da",
        (SpanSort::Duration, SortDirection::Descending) => "dd",
        (SpanSort::InputTokens, SortDirection::Ascending) => "ia",
        (SpanSort::InputTokens, SortDirection::Descending) => "id",
        (SpanSort::OutputTokens, SortDirection::Ascending) => "oa",
        (SpanSort::OutputTokens, SortDirection::Descending) => "od",
    }
}

fn text_of(hex: &str) -> Option<String> {
    String::from_utf8(HEXLOWER.decode(hex.as_bytes()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_round_trip_in_their_order_only() {
        let account = AccountId::default();
        let query = SpanQuery::default();
        let position = SpanPosition {
            key: (-7, 999),
            trace_id: "a.b\0".into(),
            id: "ü".into(),
            account: account.clone(),
        };
        let text = encode(&position, &query);
        assert_eq!(decode(&text, &query, &account), Some(Ok(position)));
        let other = SpanQuery { sort: SpanSort::Duration, ..SpanQuery::default() };
        assert_eq!(decode(&text, &other, &account), Some(Err(OtherOrder)));
        for text in ["", "~1.", "~1.sd.1.2.6", "~1.sd.1.2.61.62.", "0198c0de-0000-7000-8000-00000000abcd"] {
            assert_eq!(decode(text, &query, &account), None, "{text}");
        }
    }
}
