/// Reads an integer as Python's `int()` does: white space around, a sign, `_` between digits (`sdk-behaviour` 9.1).
/// Numbers beyond 64 bits become the nearest that fits.
pub(crate) fn python_integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let mut value = 0_i64;
    let mut after_digit = false;
    for byte in digits.bytes() {
        match byte {
            b'0'..=b'9' => {
                let digit = i64::from(byte - b'0');
                value = value.saturating_mul(10);
                value = if negative { value.saturating_sub(digit) } else { value.saturating_add(digit) };
                after_digit = true;
            }
            b'_' if after_digit => after_digit = false,
            _ => return None,
        }
    }
    after_digit.then_some(value)
}

/// Returns whether a flag's text switches it off: `0`, `false`, `no` or `off`, in any case, with white space around.
/// Everything else, the empty text too, leaves it on (`sdk-behaviour` section 7).
pub(crate) fn is_off_word(text: &str) -> bool {
    matches!(text.trim().to_lowercase().as_str(), "0" | "false" | "no" | "off")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_65_to_68_integers_are_read_as_python_does() {
        for (text, value) in [
            ("500", Some(500)),
            (" 7 ", Some(7)),
            ("+5", Some(5)),
            ("-3", Some(-3)),
            ("1_000", Some(1000)),
            ("007", Some(7)),
            ("99999999999999999999", Some(i64::MAX)),
            ("", None),
            (" ", None),
            ("not-an-int", None),
            ("3.5", None),
            ("0x10", None),
            ("1__0", None),
            ("_1", None),
            ("1_", None),
            ("+", None),
            ("- 3", None),
        ] {
            assert_eq!(python_integer(text), value, "{text:?}");
        }
    }

    #[test]
    fn rows_38_and_39_only_four_words_switch_off() {
        for off in ["0", "false", "no", "off", " OFF ", "FALSE", "No"] {
            assert!(is_off_word(off), "{off:?}");
        }
        for on in ["1", "true", "yes", "on", "", "anything", "00", "n"] {
            assert!(!is_off_word(on), "{on:?}");
        }
    }
}
