use endspan_model::{Payload, Span, SpanPatch, Timestamp};

use super::Redactor;

const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N";

fn redacted(text: &str) -> String {
    let mut span = Span::new("t", "s", "n", Timestamp::MIN);
    span.input = Some(Payload::parse(text.to_owned()).unwrap());
    let count = Redactor::new().redact(&mut span);
    let after = span.input.unwrap().to_string();
    assert_eq!(count > 0, after != text, "{text}");
    serde_json::from_str::<serde_json::Value>(&after).unwrap();
    after
}

#[test]
fn text_under_a_credential_key_goes_as_a_whole() {
    for key in
        ["authorization", "Authorization", "x-api-key", "API_KEY", "apiKey", "client_secret", "password"]
    {
        let text = format!(r#"{{"a":1,"{key}":"hunter2","b":"kept"}}"#);
        let expected = format!(r#"{{"a":1,"{key}":"[REDACTED:credential]","b":"kept"}}"#);
        assert_eq!(redacted(&text), expected);
    }
}

#[test]
fn lists_under_a_credential_key_go_and_what_follows_stays() {
    assert_eq!(
        redacted(r#"{"authorization":["a","b"],"c":"d"}"#),
        r#"{"authorization":["[REDACTED:credential]","[REDACTED:credential]"],"c":"d"}"#
    );
}

#[test]
fn credentials_inside_text_go_and_the_rest_stays() {
    let key = "sk-abcdefghij0123456789ABCD";
    for (text, expected) in [
        (format!("call with {JWT} please"), "call with [REDACTED:credential] please"),
        (format!("key={key}, done"), "key=[REDACTED:credential], done"),
        ("Bearer abcdef0123456789xyz ok".to_owned(), "[REDACTED:credential] ok"),
        ("postgres://u:p4ss@db/x".to_owned(), "postgres://u:[REDACTED:credential]@db/x"),
        ("AKIAABCDEFGHIJKLMN12".to_owned(), "[REDACTED:credential]"),
        ("line\\nBearer abcdef0123456789xyz".to_owned(), "line\\n[REDACTED:credential]"),
        ("-----BEGIN PRIVATE KEY-----\\nabc".to_owned(), "[REDACTED:credential]"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\\nabc\\n-----END RSA PRIVATE KEY----- end".to_owned(),
            "[REDACTED:credential] end",
        ),
    ] {
        assert_eq!(redacted(&format!(r#"{{"t":"{text}"}}"#)), format!(r#"{{"t":"{expected}"}}"#));
    }
}

#[test]
fn ordinary_text_stays() {
    for text in [
        r#"{"t":"the bearer of this letter may enter"}"#,
        r#"{"t":"a risk-averse task-force-with-a-very-long-name 1"}"#,
        r#"{"t":"https://example.com:8080/path?q=a@b"}"#,
        r#"{"t":"0b1c8d5e-4f3a-4c21-9d9e-aaaaaaaaaaaa"}"#,
        r#"{"properties":{"password":{"type":"string","description":"the new one"}}}"#,
        r#"{"usage":{"input_tokens":5},"token":"hello","tokens":["a"]}"#,
        r#"{"t":"eyJ is how it begins","secretary":"Ms. Moneypenny"}"#,
        r#"{"password":"","secret":null,"api_key":true}"#,
        r#"{"t":"say \"password\":\"x\" aloud"}"#,
    ] {
        assert_eq!(redacted(text), text);
    }
}

/// Work that grows faster than the text would let one request stop the server.
#[test]
fn hostile_text_takes_no_longer_than_its_length() {
    for piece in [
        "_token",
        "eyJ",
        "eyJ-",
        "eyJ.",
        "sk-",
        "://",
        "://a:",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "Bearer ",
    ] {
        let text = format!("{{\"t\":\"{}\"}}", piece.repeat(1_000_000 / piece.len()));
        let begin = std::time::Instant::now();
        redacted(&text);
        // A quadratic pass over 1 MB would take minutes.
        assert!(begin.elapsed().as_secs() < 20, "{piece}");
    }
}

#[test]
fn names_and_patches_are_redacted() {
    let redactor = Redactor::new();
    let mut span = Span::new("t", "s", format!("call {JWT}"), Timestamp::MIN);
    assert_eq!(redactor.redact(&mut span), 1);
    assert_eq!(span.name, "call [REDACTED:credential]");
    let metadata = Payload::parse(r#"{"password":"x"}"#.to_owned()).unwrap();
    let mut patch =
        SpanPatch { name: Some("plain".to_owned()), metadata: Some(metadata), ..SpanPatch::default() };
    assert_eq!(redactor.redact_patch(&mut patch), 1);
    assert_eq!(patch.metadata.unwrap().as_str(), r#"{"password":"[REDACTED:credential]"}"#);
}

proptest::proptest! {
    #[test]
    fn any_text_stays_valid_json(text in r#"(Bearer |sk-|://|:|@|eyJ|\.|[a-z0-9]{0,20}|"|\\|é|-----BEGIN |PRIVATE KEY-----){0,12}"#) {
        let json = serde_json::json!({ "password": text, "t": text, "list": [text] }).to_string();
        redacted(&json);
    }
}
