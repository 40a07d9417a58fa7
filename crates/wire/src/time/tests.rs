use endspan_model::Timestamp;
use proptest::prelude::*;

use super::{parse_number, parse_text, push_agentex, push_offset, push_utc};

fn text(text: &str) -> Option<String> {
    parse_text(text.as_bytes()).map(|time| time.to_string())
}

fn number(text: &str) -> Option<String> {
    parse_number(text.as_bytes()).map(|time| time.to_string())
}

#[test]
fn agentex_row_19_offsets_are_converted_and_nanoseconds_cut() {
    assert_eq!(text("2024-01-01T00:00:05.123456789+05:30").unwrap(), "2023-12-31T18:30:05.123456Z");
    for (offset, expected) in [
        ("Z", "10:00:00"),
        ("z", "10:00:00"),
        ("+00:00", "10:00:00"),
        ("-00:30", "10:30:00"),
        ("+0930", "00:30:00"),
        ("+02", "08:00:00"),
        ("\u{2212}02:00", "12:00:00"),
    ] {
        let moment = text(&format!("2024-01-01T10:00:00{offset}"));
        assert_eq!(moment.unwrap(), format!("2024-01-01T{expected}Z"), "{offset}");
    }
}

#[test]
fn agentex_row_20_a_date_alone_is_midnight() {
    assert_eq!(text("2024-01-01").unwrap(), "2024-01-01T00:00:00Z");
}

#[test]
fn agentex_rows_21_and_22_numbers_and_digit_text_are_unix_time() {
    for moment in ["1704103200", "1704103200000", "1704103200.0", "1704103200000.000"] {
        assert_eq!(number(moment).unwrap(), "2024-01-01T10:00:00Z", "{moment}");
        assert_eq!(text(moment).unwrap(), "2024-01-01T10:00:00Z", "{moment}");
    }
    assert_eq!(number("1704103200.5").unwrap(), "2024-01-01T10:00:00.500000Z");
    assert_eq!(number("1704103200500.25").unwrap(), "2024-01-01T10:00:00.500250Z");
    assert_eq!(number("1.7041032005e9").unwrap(), "2024-01-01T10:00:00.500000Z");
    assert_eq!(number("-1.5").unwrap(), "1969-12-31T23:59:58.500000Z");
    assert_eq!(number("0").unwrap(), "1970-01-01T00:00:00Z");
    assert_eq!(number("20000000000").unwrap(), "2603-10-11T11:33:20Z");
    assert_eq!(number("20000000001").unwrap(), "1970-08-20T11:33:20.001000Z");
    assert_eq!(parse_text(b"1704103200.123456789").unwrap().unix_nanos() % 1_000_000_000, 123_456_789);
}

#[test]
fn agentex_row_23_what_is_no_time_is_refused() {
    for bad in [
        "",
        "bad",
        " 2024-01-01",
        "2024-01-01 ",
        "2024-01-01T",
        "2024-01-01T10",
        "2024-01-01T24:00:00Z",
        "2024-01-01T10:60:00Z",
        "2024-01-01T10:00:60Z",
        "2024-01-01T10:00:00.Z",
        "2024-01-01T10:00:00+24:00",
        "2024-01-01T10:00:00+1:00",
        "2024-01-01T10:00:00ZZ",
        "2024-1-1",
        "2024-02-30",
        "2023-02-29",
        "2024-00-01",
        "2024-13-01",
        "0000-01-01",
        "10000-01-01",
        "2024/01/01",
        "2024-01-01X10:00",
        "1e9x",
        "1e9",
        "--1",
        "+-1",
        "1.",
        ".5",
        "1.2.3",
        "0x10",
        "inf",
        "nan",
        "99999999999999999999",
        "253402300800000",
        "2024-01-01T10:00:00 Z",
        "２０２４-01-01",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
    ] {
        assert_eq!(text(bad), None, "{bad}");
    }
    for bad in ["1e300", "-1e300", "1e999", "253402300800000", "-62135596800001", "NaN"] {
        assert_eq!(number(bad), None, "{bad}");
    }
}

#[test]
fn agentex_row_24_naive_times_are_utc() {
    for naive in ["2024-01-01T10:00:00", "2024-01-01 10:00", "2024-01-01t10:00", "2024-01-01_10:00:00,0"] {
        assert_eq!(text(naive).unwrap(), "2024-01-01T10:00:00Z", "{naive}");
    }
}

#[test]
fn agentex_answers_have_z_except_for_the_extremes() {
    let shown = |time: &str| {
        let mut out = Vec::new();
        push_agentex(&mut out, parse_text(time.as_bytes()).unwrap());
        String::from_utf8(out).unwrap()
    };
    assert_eq!(shown("2024-01-01T10:00:00.1"), "2024-01-01T10:00:00.100000Z");
    assert_eq!(shown("2024-01-01T10:00:00"), "2024-01-01T10:00:00Z");
    assert_eq!(shown("0001-01-01T00:00:00Z"), "0001-01-01T00:00:00");
    assert_eq!(shown("9999-12-31T23:59:59.999999Z"), "9999-12-31T23:59:59.999999");
    assert_eq!(shown("9999-12-31T23:59:59Z"), "9999-12-31T23:59:59Z");
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(micros in Timestamp::MIN.unix_micros()..=Timestamp::MAX.unix_micros()) {
        let time = Timestamp::from_unix_micros(micros).unwrap();
        for push in [push_agentex, push_offset, push_utc] {
            let mut out = Vec::new();
            push(&mut out, time);
            prop_assert_eq!(parse_text(&out), Some(time));
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in "[0-9TZ:.+e −-]{0,30}") {
        let _ = (parse_text(text.as_bytes()), parse_number(text.as_bytes()));
    }
}
