use proptest::prelude::*;

use super::{Cursor, Found, compact, members, push_string, unescape};

/// Passes over a whole text; returns what it holds, or nothing if it is no JSON.
fn pass(text: &[u8]) -> Option<Found> {
    let mut cursor = Cursor::new(text);
    cursor.space();
    cursor.payload().ok()?;
    cursor.space();
    cursor.peek().is_none().then_some(cursor.found)
}

fn flags(text: &str) -> u8 {
    pass(text.as_bytes()).unwrap().0
}

#[test]
fn flags_tell_what_a_value_holds() {
    for (text, expected) in [
        (r#"{"a":[1,-0.5e-7,"x",true,false,null,{}]}"#, 0),
        (r#"{"a": 1}"#, Found::WHITE_SPACE),
        (r#"{"a":"\u0000"}"#, Found::NUL),
        (r#"{"a":"\ud83d\ude00 \\ud800"}"#, 0),
        (r#"{"a":"\ud83d\u0041"}"#, Found::LONE_SURROGATE),
        (r#"{"\udc00":1}"#, Found::LONE_SURROGATE),
        ("{\"a\":NaN}", Found::NOT_FINITE),
        ("{\"a\":-Infinity}", Found::NOT_FINITE),
        ("{\"a\":[Infinity]}", Found::NOT_FINITE),
        ("{\"a\":1e999}", Found::OVERFLOW),
        ("{\"a\":1e308}", 0),
        ("[{},{}]", 0),
        ("[{},1]", Found::MIXED_ARRAY),
        ("{\"a\":[1]}", 0),
    ] {
        assert_eq!(flags(text), expected, "{text}");
    }
    assert_eq!(
        pass(format!("[{}]", "9".repeat(400)).as_bytes()).unwrap().0 & Found::OVERFLOW,
        Found::OVERFLOW
    );
}

#[test]
fn depth_counts_as_the_payload_counts_it() {
    let limit = endspan_model::limits::MAX_PAYLOAD_DEPTH;
    for (open, close) in [("[", "]"), ("{\"a\":[", "]}")] {
        let levels = open.matches(['[', '{']).count();
        let nested = |times: usize| format!("{}{}", open.repeat(times), close.repeat(times));
        let fits = nested(limit / levels);
        assert_eq!(flags(&fits) & Found::TOO_DEEP, 0, "{open}");
        assert!(endspan_model::Payload::parse(fits.clone()).is_ok());
        let deeper = format!("[{fits}]");
        assert_eq!(flags(&deeper) & Found::TOO_DEEP, Found::TOO_DEEP, "{open}");
        assert!(endspan_model::Payload::parse(deeper).is_err());
    }
    let hostile = "[".repeat(1_000_000);
    assert_eq!(pass(hostile.as_bytes()), None);
    assert!(pass(format!("{hostile}{}", "]".repeat(1_000_000)).as_bytes()).is_some());
}

#[test]
fn what_is_no_json_is_refused() {
    for text in [
        "",
        " ",
        "{",
        "}",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "{'a':1}",
        "[1 2]",
        "01",
        "1.",
        ".5",
        "+1",
        "-",
        "1e",
        "1e+",
        "tru",
        "nul",
        "Nan",
        "-NaN",
        "-Infinit",
        "\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\u12",
        "\"a\nb\"",
        "\"\u{1}\"",
        "[]]",
        "{}{}",
        "[1}",
        "{\"a\":1]",
        "\u{feff}{}",
        "1 x",
        "--1",
        "\"\\",
        "{\"a\":}",
        "{,}",
        "[,1]",
        "{\"a\":1 \"b\":2}",
    ] {
        assert_eq!(pass(text.as_bytes()), None, "{text:?}");
    }
}

#[test]
fn unescape_reads_every_escape() {
    assert_eq!(unescape(br#"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00z"#), "a\"\\/\u{8}\u{c}\n\r\té😀z");
    assert_eq!(unescape(br"\ud800x\udc00"), "\u{FFFD}x\u{FFFD}");
    assert_eq!(unescape(b"\xff\\n\xfe"), "\u{FFFD}\n\u{FFFD}");
    assert_eq!(unescape("plain é".as_bytes()), "plain é");
}

#[test]
fn special_bytes_are_found_at_every_distance() {
    for distance in 0..80 {
        let plain = "é~".repeat(27).chars().take(distance).collect::<String>();
        for tail in ["", "~", &"~".repeat(40)] {
            assert_eq!(flags(&format!("\"{plain}\\ud800{tail}\"")), Found::LONE_SURROGATE);
            assert_eq!(pass(format!("\"{plain}\n{tail}\"").as_bytes()), None);
            assert_eq!(pass(format!("\"{plain}\u{1f}{tail}\"").as_bytes()), None);
            assert_eq!(pass(format!("\"{plain}\"{tail}\"").as_bytes()), None);
            assert_eq!(flags(&format!("\"{plain}{tail}\"")), 0);
        }
    }
}

#[test]
fn members_keep_the_first_place_and_the_last_value_of_a_repeated_key() {
    let found = members(br#"{"a":1, "b" : [2,{"c":"}"}] ,"\u0061":3}"#).unwrap();
    let found: Vec<_> = found.iter().map(|(key, value)| (&**key, *value)).collect();
    assert_eq!(found, [("a", &b"3"[..]), ("b", br#"[2,{"c":"}"}]"#)]);
    assert_eq!(members(b"[1]"), None);
    assert_eq!(members(b"{}").unwrap(), []);
}

/// Text close to JSON: fragments of it, good and bad.
fn json_like() -> impl Strategy<Value = String> {
    let fragment = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\"a\"",
        "\"b\":",
        "1",
        "-",
        "0",
        ".5",
        "e3",
        "E+",
        "true",
        "null",
        "NaN",
        "Infinity",
        " ",
        "\n",
        "\\",
        "\\u",
        "d800",
        "\\ud83d",
        "\\ude00",
        "é",
        "\u{1}",
        "\\n",
        "{}",
        "[]",
        "{\"k\":\"v\"}",
        "[1,2]",
    ]);
    prop::collection::vec(fragment, 0..14).prop_map(|fragments| fragments.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn syntax_agrees_with_serde_json(text in json_like()) {
        let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
        let ours = pass(text.as_bytes());
        let is_extension = ours.is_some_and(|found| found.has(Found::NOT_FINITE));
        prop_assert!(ours.is_some() == theirs || is_extension, "{text:?} ours {ours:?}");
    }

    #[test]
    fn agrees_with_the_model_on_what_a_payload_may_hold(text in json_like()) {
        let bytes = bytes::Bytes::from(text.clone());
        let refused = Found::NOT_FINITE | Found::OVERFLOW | Found::LONE_SURROGATE | Found::TOO_DEEP;
        let ours = pass(text.as_bytes()).is_some_and(|found| !found.has(refused));
        prop_assert_eq!(ours, endspan_model::Payload::parse(bytes).is_ok(), "{}", text);
    }

    #[test]
    fn compacting_agrees_with_the_model(text in json_like()) {
        if let Ok(payload) = endspan_model::Payload::parse(text.clone()) {
            prop_assert_eq!(compact(text.as_bytes()), payload.as_bytes());
        }
    }

    #[test]
    fn strings_round_trip(text in any::<String>()) {
        let mut out = Vec::new();
        push_string(&mut out, &text);
        prop_assert_eq!(&serde_json::from_slice::<String>(&out).unwrap(), &text);
        prop_assert_eq!(String::from_utf8(out.clone()).unwrap(), serde_json::to_string(&text).unwrap().replace("\\u007f", "\u{7f}"));
        prop_assert_eq!(unescape(&out[1..out.len() - 1]), text);
    }

    #[test]
    fn unescape_agrees_with_serde_json(text in "\"([a-zé😀 ]|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-fA-F]{4}){0,12}\"") {
        if let Ok(theirs) = serde_json::from_str::<String>(&text) {
            prop_assert_eq!(unescape(&text.as_bytes()[1..text.len() - 1]), theirs);
        } else {
            prop_assert!(pass(text.as_bytes()).unwrap().has(Found::LONE_SURROGATE), "{text}");
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = (pass(&bytes), unescape(&bytes).len(), members(&bytes), compact(&bytes));
    }
}
