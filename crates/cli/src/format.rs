//! Durations, moments and JSON as people read them.

use jiff::Timestamp;

/// Returns a duration in the unit that keeps three digits: `12 ns`, `3.4 µs`, `56.7 ms`, `1.23 s`, `4m05s`.
pub(crate) fn duration(nanos: i128) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    if nanos < 1_000 {
        return format!("{sign}{nanos}ns");
    }
    let seconds = nanos / 1_000_000_000;
    match seconds {
        0 if nanos < 1_000_000 => format!("{sign}{}µs", three_digits(nanos, 1_000)),
        0 => format!("{sign}{}ms", three_digits(nanos, 1_000_000)),
        1..60 => format!("{sign}{}s", three_digits(nanos, 1_000_000_000)),
        60..3_600 => format!("{sign}{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{sign}{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{sign}{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Returns `value / unit` with at most two decimals and about three significant digits, rounded down.
fn three_digits(value: u128, unit: u128) -> String {
    let whole = value / unit;
    let hundredths = value % unit * 100 / unit;
    match whole {
        100.. => format!("{whole}"),
        10..100 => format!("{whole}.{}", hundredths / 10),
        _ => format!("{whole}.{hundredths:02}"),
    }
}

/// Parses the server's time text.
pub(crate) fn moment(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// Returns the nanoseconds between two of the server's time texts.
pub(crate) fn nanos_between(start: &str, end: &str) -> Option<i128> {
    Some(moment(end)?.as_nanosecond() - moment(start)?.as_nanosecond())
}

/// Returns `2026-03-14 15:09:26Z`; text that is no time comes back as it is.
pub(crate) fn date_and_time(text: &str) -> String {
    moment(text).map_or_else(|| text.to_owned(), |moment| moment.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// Returns `15:09:26.535`; text that is no time comes back as it is.
pub(crate) fn time_of_day(text: &str) -> String {
    moment(text).map_or_else(|| text.to_owned(), |moment| moment.strftime("%H:%M:%S%.3f").to_string())
}

/// Returns a count with its noun, which takes an `s` unless the count is 1.
pub(crate) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Returns a number of bytes in the unit that keeps three digits: `12 B`, `3.40 kB`, `56.7 MB`.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{} {name}", three_digits(u128::from(bytes), u128::from(unit))),
        None => format!("{bytes} B"),
    }
}

/// Lays compact JSON out over lines, without touching a character of its tokens: numbers keep their
/// digits and texts their escapes.
pub(crate) fn pretty_json(text: &str, indent: &str) -> String {
    let mut laid_out = String::with_capacity(text.len() * 2);
    let mut depth = 0_usize;
    let mut characters = text.chars().peekable();
    let new_line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(indent);
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                laid_out.push('"');
                while let Some(inside) = characters.next() {
                    laid_out.push(inside);
                    match inside {
                        '\\' => laid_out.extend(characters.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                laid_out.push(character);
                if let Some(close) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    laid_out.push(close);
                } else {
                    depth += 1;
                    new_line(&mut laid_out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut laid_out, depth);
                laid_out.push(character);
            }
            ',' => {
                laid_out.push(',');
                new_line(&mut laid_out, depth);
            }
            ':' => laid_out.push_str(": "),
            _ if character.is_whitespace() => {}
            _ => laid_out.push(character),
        }
    }
    laid_out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_keep_three_digits() {
        for (nanos, text) in [
            (0, "0ns"),
            (999, "999ns"),
            (1_500, "1.50µs"),
            (56_789_000, "56.7ms"),
            (812_000_000, "812ms"),
            (1_234_000_000, "1.23s"),
            (59_999_999_999, "59.9s"),
            (245_000_000_000, "4m05s"),
            (7_500_000_000_000, "2h05m"),
            (180_000_000_000_000, "2d02h"),
            (-1_500_000, "-1.50ms"),
        ] {
            assert_eq!(duration(nanos), text);
        }
    }

    #[test]
    fn times_keep_their_moment() {
        assert_eq!(date_and_time("2026-03-14T15:09:26.535897Z"), "2026-03-14 15:09:26Z");
        assert_eq!(time_of_day("2026-03-14T15:09:26.535897Z"), "15:09:26.535");
        assert_eq!(date_and_time("later"), "later");
        assert_eq!(nanos_between("2026-03-14T00:00:00Z", "2026-03-14T00:00:00.000001Z"), Some(1_000));
    }

    #[test]
    fn json_is_laid_out_and_not_rewritten() {
        let text = r#"{"a":[1.10,-0.0,{}],"b\"}":"x\\","e":[],"n":123456789012345678901234567890}"#;
        let laid_out = pretty_json(text, "  ");
        insta::assert_snapshot!(laid_out, @r#"
        {
            "a": [
              1.10,
              -0.0,
              {}
            ],
            "b\"}": "x\\",
            "e": [],
            "n": 123456789012345678901234567890
          }
        "#);
    }
}
