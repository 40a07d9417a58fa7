//! Moments and durations as people write them on a command line.

use jiff::{Timestamp, civil, tz::TimeZone};

/// Returns a moment as the server's APIs read it: `2026-03-14T15:09:26Z`, `2026-03-14` (its beginning in UTC), or how long ago:
/// `90s`, `30m`, `12h`, `7d`.
pub(crate) fn parse_moment(text: &str) -> Result<String, String> {
    moment(text, Timestamp::now(), -1).map(|moment| moment.to_string())
}

/// Returns a moment; a duration counts from now on, backwards with a negative sign.
pub(crate) fn moment(text: &str, now: Timestamp, sign: i64) -> Result<Timestamp, String> {
    let expected = || "expected a time, a date, or a duration like 90s, 30m, 12h or 7d".to_owned();
    if let Some(millis) = millis(text) {
        let millis = i64::try_from(millis).map_err(|_| expected())?;
        let moment = now.as_millisecond().checked_add(sign * millis).map(Timestamp::from_millisecond);
        return moment.and_then(Result::ok).ok_or_else(expected);
    }
    let moment = text.parse::<Timestamp>().or_else(|_| {
        let date = text.parse::<civil::Date>()?;
        Ok::<_, jiff::Error>(date.to_zoned(TimeZone::UTC)?.timestamp())
    });
    moment.map_err(|_| expected())
}

/// Returns the milliseconds of a duration.
pub(crate) fn parse_millis(text: &str) -> Result<u64, String> {
    millis(text).ok_or_else(|| "expected a duration like 500ms, 2s, 1.5m, 12h or 7d".to_owned())
}

fn millis(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|byte: char| byte.is_ascii_alphabetic())?);
    let unit = match unit {
        "ms" => 1.0,
        "s" => 1_000.0,
        "m" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    };
    let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = number.parse().ok().filter(|_| plain)?;
    let millis = number * unit;
    // Beyond 2^53 whole numbers are no longer told apart; that is 285,000 years.
    (millis <= 9_007_199_254_740_992.0).then_some(millis as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, expected) in
            [("500ms", 500), ("2s", 2_000), ("1.5m", 90_000), ("0s", 0), ("7d", 604_800_000)]
        {
            assert_eq!(parse_millis(text), Ok(expected), "{text}");
        }
        for text in ["", "5", "s", "-1s", "1w", "1e3s", ".s", "1..5s", "99999999999999999d", "ö"] {
            assert!(parse_millis(text).is_err(), "{text}");
        }
    }

    #[test]
    fn moments_are_times_dates_or_durations() {
        let now: Timestamp = "2026-03-14T12:00:00Z".parse().unwrap();
        for (text, sign, expected) in [
            ("2h", -1, "2026-03-14T10:00:00Z"),
            ("2d", 1, "2026-03-16T12:00:00Z"),
            ("2026-03-01", 1, "2026-03-01T00:00:00Z"),
            ("2026-03-01T01:00:00+01:00", -1, "2026-03-01T00:00:00Z"),
        ] {
            assert_eq!(moment(text, now, sign).unwrap().to_string(), expected, "{text}");
        }
        for text in ["", "yesterday", "2026-13-01", "12:00", "9007199254740992ms"] {
            assert!(moment(text, now, -1).is_err(), "{text}");
        }
    }
}
