//! Times as the two APIs take and give them (`agentex-api` section 2).
//!
//! Taken are: ISO 8601 text with `T`, `t`, `_` or a space, with or without seconds and fraction, with `Z`
//! or any offset below a day or none (then it is UTC); a date alone (midnight UTC); Unix seconds as a JSON
//! number or as digit text. Numbers beyond 20,000,000,000 either way are milliseconds. Digits below the
//! nanosecond are cut off. Refused are hour 24, second 60 and everything outside years 1 to 9999.

use endspan_model::Timestamp;

/// Numbers of a larger magnitude are milliseconds; as seconds they would lie beyond the year 2603.
const LARGEST_SECONDS: u64 = 20_000_000_000;

/// Reads a time from the content of a JSON string.
pub fn parse_text(text: &[u8]) -> Option<Timestamp> {
    parse_iso(text).or_else(|| parse_decimal(text))
}

/// Reads a time from the text of a JSON number.
pub fn parse_number(text: &[u8]) -> Option<Timestamp> {
    parse_decimal(text).or_else(|| parse_exponent(text))
}

/// Appends a time as the Agentex API answers it: `Z` at the end, except for the two extremes.
pub fn push_agentex(out: &mut Vec<u8>, time: Timestamp) {
    out.extend_from_slice(time.micros_text().as_ref());
    let is_extreme =
        [Timestamp::MIN, Timestamp::MAX].iter().any(|extreme| extreme.unix_micros() == time.unix_micros());
    if !is_extreme {
        out.push(b'Z');
    }
}

/// Appends a time with microseconds and `Z`, as the SGP API answers it.
pub fn push_utc(out: &mut Vec<u8>, time: Timestamp) {
    out.extend_from_slice(time.micros_text().as_ref());
    out.push(b'Z');
}

/// Appends a time with microseconds and `+00:00`, as the reference clients send it.
pub fn push_offset(out: &mut Vec<u8>, time: Timestamp) {
    out.extend_from_slice(time.micros_text().as_ref());
    out.extend_from_slice(b"+00:00");
}

fn parse_iso(text: &[u8]) -> Option<Timestamp> {
    let (date, rest) = text.split_at_checked(10)?;
    let [year @ .., b'-', _, _, b'-', _, _] = date else { return None };
    let day =
        Timestamp::from_date(i64::from(digits(year)?), digits(date.get(5..7)?)?, digits(date.get(8..10)?)?)?;
    let [b'T' | b't' | b' ' | b'_', clock @ ..] = rest else {
        return rest.is_empty().then_some(day);
    };
    let [h1, h2, b':', m1, m2, rest @ ..] = clock else { return None };
    let (hour, minute) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
    let (second, nanos, zone) = match rest {
        [b':', s1, s2, rest @ ..] => {
            let (nanos, zone) = fraction(rest)?;
            (digits(&[*s1, *s2])?, nanos, zone)
        }
        zone => (0, 0, zone),
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = i64::from(hour * 3600 + minute * 60 + second) - offset_seconds(zone)?;
    let nanos = day.unix_nanos() + i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    Timestamp::from_unix_nanos(nanos)
}

/// Reads a fraction if there is one; returns its nanoseconds and the rest.
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let [b'.' | b',', text @ ..] = text else { return Some((0, text)) };
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (decimals, rest) = text.split_at_checked(length)?;
    Some((u32::try_from(scaled_fraction(decimals, 9)?).ok()?, rest))
}

/// Returns decimals as a count of units of 10^-places, cutting off what is finer; `None` for no digits.
fn scaled_fraction(decimals: &[u8], places: usize) -> Option<u64> {
    if decimals.is_empty() {
        return None;
    }
    (0..places).try_fold(0_u64, |value, index| {
        let digit = match decimals.get(index) {
            Some(byte @ b'0'..=b'9') => u64::from(byte - b'0'),
            Some(_) => return None,
            None => 0,
        };
        Some(value * 10 + digit)
    })
}

fn offset_seconds(zone: &[u8]) -> Option<i64> {
    let (sign, clock) = match zone {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', clock @ ..] => (1, clock),
        // U+2212, the minus sign that ISO 8601 prefers.
        [b'-', clock @ ..] | [0xE2, 0x88, 0x92, clock @ ..] => (-1, clock),
        _ => return None,
    };
    let (hours, minutes) = match clock {
        [h1, h2, b':', m1, m2] | [h1, h2, m1, m2] => (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?),
        [h1, h2] => (digits(&[*h1, *h2])?, 0),
        _ => return None,
    };
    (hours <= 23 && minutes <= 59).then(|| sign * i64::from(hours * 3600 + minutes * 60))
}

/// Reads up to four digits, and nothing else.
fn digits(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0, |value, byte| match byte {
        b'0'..=b'9' => Some(value * 10 + u32::from(byte - b'0')),
        _ => None,
    })
}

/// Reads a decimal number without exponent as a count of seconds or milliseconds since the Unix epoch.
fn parse_decimal(text: &[u8]) -> Option<Timestamp> {
    let (is_negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (whole, rest) = text.split_at_checked(length)?;
    let whole: u64 = std::str::from_utf8(whole).ok()?.parse().ok()?;
    let places = if whole > LARGEST_SECONDS { 6 } else { 9 };
    let fraction = match rest {
        [] => 0,
        [b'.', decimals @ ..] if decimals.iter().all(u8::is_ascii_digit) => {
            scaled_fraction(decimals, places)?
        }
        _ => return None,
    };
    let unit = 10_i128.pow(places as u32);
    let nanos = i128::from(whole) * unit + i128::from(fraction);
    Timestamp::from_unix_nanos(if is_negative { -nanos } else { nanos })
}

/// Reads a number with an exponent, to the microsecond.
fn parse_exponent(text: &[u8]) -> Option<Timestamp> {
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let seconds = if value.abs() > LARGEST_SECONDS as f64 { value / 1000.0 } else { value };
    if !seconds.is_finite() || seconds.abs() > 1e12 {
        return None;
    }
    let micros = seconds.trunc() as i64 * 1_000_000 + (seconds.fract() * 1e6).round() as i64;
    Timestamp::from_unix_micros(micros)
}

#[cfg(test)]
mod tests;
