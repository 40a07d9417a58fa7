//! Text out of a request's path and query.

use std::borrow::Cow;

use endspan_store::assessment::AssessmentFilter;

use crate::problem::Problem;

/// Percent-encoded text is no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TextError {
    #[error("holds a % that two hexadecimal digits do not follow")]
    BadEscape,
    #[error("is not UTF-8")]
    NotUtf8,
    #[error("holds a NUL character")]
    Nul,
}

/// Decodes one path segment.
pub(crate) fn decode_segment(segment: &str) -> Result<Cow<'_, str>, TextError> {
    decode(segment, false)
}

/// Decodes a query into names and values, in order. `+` is a space; a name without `=` has an empty value.
/// A value that cannot be decoded is its own error: parameters that nobody reads may hold anything.
pub(crate) fn query_pairs(
    query: Option<&str>,
) -> impl Iterator<Item = (Cow<'_, str>, Result<Cow<'_, str>, TextError>)> {
    query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decode(name, true).ok()?, decode(value, true)))
    })
}

fn decode(text: &str, plus_is_space: bool) -> Result<Cow<'_, str>, TextError> {
    let plain = |byte: &u8| *byte != b'%' && !(plus_is_space && *byte == b'+') && *byte != 0;
    if text.as_bytes().iter().all(plain) {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes().iter();
    while let Some(&byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
                let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
                    return Err(TextError::BadEscape);
                };
                (high * 16 + low) as u8
            }
            b'+' if plus_is_space => b' ',
            _ => byte,
        });
    }
    if decoded.contains(&0) {
        return Err(TextError::Nul);
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| TextError::NotUtf8)
}

/// Most assessments that one query asks for.
const MAX_ASSESSMENT_FILTERS: usize = 10;

/// Reads the next value of a query's `assessment` parameter.
pub(crate) fn push_assessment_filter(
    filters: &mut Vec<AssessmentFilter>,
    value: &str,
) -> Result<(), Problem> {
    let wrong = |message: &str| Problem::query("assessment", message);
    if filters.len() >= MAX_ASSESSMENT_FILTERS {
        return Err(wrong("at most 10 may be given"));
    }
    let filter = AssessmentFilter::parse(value);
    filters.push(filter.ok_or_else(|| {
        wrong("expected comment, rating, approval, rubric, metadata or overwrite, or approval:rejected, rating:3, rating:<3")
    })?);
    Ok(())
}

/// Reads a whole number as query parameters write it: digits with an optional sign, also `10.0`
/// (`agentex-api` section 6). `None` for anything else; numbers beyond the range saturate.
pub(crate) fn whole_number(text: &str) -> Option<i64> {
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let unsigned = whole.strip_prefix(['+', '-']).unwrap_or(whole);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(unsigned) || !digits(fraction) || fraction.bytes().any(|byte| byte != b'0') {
        return None;
    }
    let saturated = if whole.starts_with('-') { i64::MIN } else { i64::MAX };
    Some(whole.parse().unwrap_or(saturated))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_decode() {
        assert_eq!(decode_segment("a%2Fb%20c+d").unwrap(), "a/b c+d");
        assert_eq!(decode_segment("%zz"), Err(TextError::BadEscape));
        assert_eq!(decode_segment("a%2"), Err(TextError::BadEscape));
        assert_eq!(decode_segment("%ff"), Err(TextError::NotUtf8));
        assert_eq!(decode_segment("a%00b"), Err(TextError::Nul));
    }

    #[test]
    fn queries_decode() {
        let pairs: Vec<_> = query_pairs(Some("a=1&&b=x+y%26&c&=&d=%")).collect();
        assert_eq!(pairs.len(), 5);
        assert_eq!(pairs[1], (Cow::Borrowed("b"), Ok(Cow::Borrowed("x y&"))));
        assert_eq!(pairs[2], (Cow::Borrowed("c"), Ok(Cow::Borrowed(""))));
        assert_eq!(pairs[4], (Cow::Borrowed("d"), Err(TextError::BadEscape)));
        assert_eq!(query_pairs(None).count(), 0);
    }

    #[test]
    fn whole_numbers_may_have_a_zero_fraction() {
        for (text, number) in [("10", 10), ("10.0", 10), ("+5", 5), ("-1", -1), (" 7 ", 7)] {
            assert_eq!(whole_number(text), Some(number), "{text}");
        }
        for text in ["", "abc", "1e3", "1.5", "10.", ".0", "--1", "0x10", "1_0"] {
            assert_eq!(whole_number(text), None, "{text}");
        }
        assert_eq!(whole_number("99999999999999999999"), Some(i64::MAX));
        assert_eq!(whole_number("-99999999999999999999"), Some(i64::MIN));
    }
}
