//! What is replaced, what survives, and what always holds.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::sync::LazyLock;

use endspan_model::{Payload, Span, SpanPatch, Timestamp};
use endspan_redaction::{
    ConfigError, Counts, CustomKey, CustomPrefix, MARK, Pattern, RedactionConfig, Redactor,
};
use proptest::prelude::*;

const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9";

static REDACTOR: LazyLock<Redactor> = LazyLock::new(|| Redactor::new(&RedactionConfig::default()).unwrap());

fn redactor() -> &'static Redactor {
    &REDACTOR
}

/// Redacts JSON text; checks what always holds.
#[track_caller]
fn redact_with(redactor: &Redactor, text: &str) -> (String, Counts) {
    let payload = Payload::parse(text.to_owned()).unwrap();
    let Some((redacted, counts)) = redactor.redact(&payload) else {
        return (payload.to_string(), Counts::default());
    };
    assert!(counts.total() > 0);
    let checked = Payload::parse(redacted.bytes().clone()).unwrap();
    assert_eq!(structure(&checked), structure(&payload));
    assert_eq!(redactor.redact(&checked), None, "a second pass finds more in {checked}");
    (checked.to_string(), counts)
}

#[track_caller]
fn redact(text: &str) -> String {
    redact_with(redactor(), text).0
}

#[track_caller]
fn assert_kept(text: &str) {
    assert_eq!(redact(text), text);
}

/// Returns the brackets, colons and commas of JSON text.
fn structure(payload: &Payload) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = payload.as_bytes().iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => loop {
                match bytes.next() {
                    Some(b'\\') => drop(bytes.next()),
                    Some(b'"') | None => break,
                    Some(_) => {}
                }
            },
            b'{' | b'}' | b'[' | b']' | b':' | b',' => out.push(*byte),
            _ => {}
        }
    }
    out
}

/// Replaces `~` by the mark, so that the expected texts stay readable.
fn marked(text: &str) -> String {
    text.replace('~', MARK)
}

#[test]
fn sgp_row_12_values_under_credential_keys_go_as_a_whole() {
    assert_eq!(redact(r#"{"authorization":"Bearer x.y.z"}"#), marked(r#"{"authorization":"~"}"#));
    for key in [
        "Authorization",
        "proxy-authorization",
        "x-api-key",
        "API_KEY",
        "apiKey",
        "OPENAI_API_KEY",
        "api_keys",
        "client_secret",
        "clientSecret",
        "password",
        "userPassword",
        "DB_PASSWORD",
        "passwd",
        "passphrase",
        "aws_secret_access_key",
        "secretAccessKey",
        "private_key",
        "privateKey",
        "access_token",
        "refreshToken",
        "id_token",
        "X-Amz-Security-Token",
        "AccountKey",
        "Ocp-Apim-Subscription-Key",
        "my.api.key",
        "new secret",
    ] {
        let text = format!(r#"{{"a":1,"{key}":"hunter \"2\"","b":"kept"}}"#);
        assert_eq!(redact(&text), marked(&format!(r#"{{"a":1,"{key}":"~","b":"kept"}}"#)), "{key}");
    }
}

#[test]
fn arrays_and_numbers_under_credential_keys_go_and_other_values_stay() {
    for (text, expected) in [
        (r#"{"password":["a","b"],"c":"d"}"#, r#"{"password":["~","~"],"c":"d"}"#),
        (r#"{"passwords":["a",{"b":"c"},"d"]}"#, r#"{"passwords":["~",{"b":"c"},"d"]}"#),
        (r#"{"password":12345678}"#, r#"{"password":"~"}"#),
        (r#"{"password":-1.5e10,"a":[]}"#, r#"{"password":"~","a":[]}"#),
        (r#"{"passwords":12,"secret":true,"api_key":null,"password":"","token":{}}"#, ""),
        (r#"{"secret":{"password":"x","kind":"y"}}"#, r#"{"secret":{"password":"~","kind":"y"}}"#),
        (r#"{"api_key":[],"password":[["x"]]}"#, ""),
    ] {
        let expected = if expected.is_empty() { text.to_owned() } else { marked(expected) };
        assert_eq!(redact(text), expected);
    }
}

#[test]
fn tokens_and_the_like_go_when_they_look_random() {
    for (text, expected) in [
        (r#"{"token":"a1b2c3d4e5f6a7b8"}"#, r#"{"token":"~"}"#),
        (r#"{"session-token":"short"}"#, r#"{"session-token":"~"}"#),
        (r#"{"csrfToken":"9f8e7d6c5b4a39281706"}"#, r#"{"csrfToken":"~"}"#),
        (r#"{"cookie":"session=9f8e7d6c5b4a39281706; path=/"}"#, r#"{"cookie":"~"}"#),
        (r#"{"pwd":"hunter2"}"#, r#"{"pwd":"~"}"#),
        (r#"{"credential":"9f8e7d6c5b4a39281706"}"#, r#"{"credential":"~"}"#),
    ] {
        assert_eq!(redact(text), marked(expected));
    }
}

#[test]
fn names_beside_values_count_as_keys() {
    assert_eq!(
        redact(r#"[{"name":"DB_PASSWORD","value":"hunter2"},{"name":"HOME","value":"/root"}]"#),
        marked(r#"[{"name":"DB_PASSWORD","value":"~"},{"name":"HOME","value":"/root"}]"#)
    );
    assert_kept(r#"[{"name":"the password","text":"x"},"password","value"]"#);
    assert_kept(r#"["password","value"]"#);
}

#[test]
fn sgp_row_13_credentials_inside_text_go_and_the_rest_stays() {
    let openai = "sk-proj-Abcdefghij0123456789ABCD_x";
    for (text, expected) in [
        (format!("call with {JWT} please"), "call with ~ please"),
        (JWT.to_owned(), "~"),
        (format!("key={openai}, done"), "key=~, done"),
        (format!("\\n{openai}\\n"), "\\n~\\n"),
        (format!("\\u00e9{openai}"), "\\u00e9~"),
        (format!("é{openai}."), "é~."),
        ("sk-0123456789abcdef0123456789abcdef".into(), "~"),
        ("Bearer abcdef0123456789xyz ok".into(), "~ ok"),
        ("authorization: bearer abcdef0123456789xyz.".into(), "authorization: ~."),
        ("Authorization: Basic dXNlcjpodW50ZXIy".into(), "Authorization: ~"),
        ("postgres://u:p4ss@db/x".into(), "postgres://u:~@db/x"),
        ("redis://:p4ss@db:6379".into(), "redis://:~@db:6379"),
        ("https:\\/\\/u:p@ss@host\\/x".into(), "https:\\/\\/u:~@host\\/x"),
        (
            "Server=db;User Id=sa;Password=Pa55w0rd;Encrypt=yes".into(),
            "Server=db;User Id=sa;Password=~;Encrypt=yes",
        ),
        ("https://x.com/?api_key=abc123def&q=1".into(), "https://x.com/?api_key=~&q=1"),
        ("AccountKey=Zm9vYmFy0123456789==;".into(), "AccountKey=~;"),
        ("password: hunter22".into(), "password: ~"),
        ("api_key: a1b2c3d4e5f60718293a4b5c.AbCdEf12Gh".into(), "api_key: ~"),
        ("password=word1.Secret9, secret: Abc1.Defgh".into(), "password=~, secret: ~"),
        (r#"{\"api_key\": \"abc\", \"q\": \"x\"}"#.into(), r#"{\"api_key\": \"~\", \"q\": \"x\"}"#),
        (r#"{\\\"password\\\":\\\"a b\\\"}"#.into(), r#"{\\\"password\\\":\\\"~\\\"}"#),
        ("{'secret': 'x y', 'b': 'c'}".into(), "{'secret': '~', 'b': 'c'}"),
        ("AKIAABCDEFGHIJKLMN12".into(), "~"),
        ("(AIzaSyA1234567890abcdefghijklmnopqrstuv)".into(), "(~)"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789".into(), "~"),
        ("github_pat_11ABCDEFG0abcdefghijkl_xyz".into(), "~"),
        ("xoxb-123456789012-abcdefABCDEF".into(), "~"),
        ("hf_abcdefghijklmnopqrstuvwxyzABCDEFGH".into(), "~"),
        ("sk_live_4eC39HqLyjWDarjtT1zdp7dc".into(), "~"),
        ("SG.abcdefghijklmnopqrstuv.ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefg".into(), "~"),
        ("a -----BEGIN RSA PRIVATE KEY-----\\nabc\\n-----END RSA PRIVATE KEY----- end".into(), "a ~ end"),
        ("-----BEGIN PRIVATE KEY-----\\nMIIE cut off".into(), "~"),
    ] {
        let json = format!(r#"{{"t":"{text}","u":["{text}"]}}"#);
        let expected = marked(expected);
        assert_eq!(redact(&json), format!(r#"{{"t":"{expected}","u":["{expected}"]}}"#));
    }
}

#[test]
fn every_known_prefix_is_found_at_every_place() {
    let redactor = redactor();
    for prefix in [
        "sk-",
        "gsk_",
        "hf_",
        "r8_",
        "xai-",
        "pplx-",
        "tvly-",
        "lsv2_",
        "pcsk_",
        "ghp_",
        "gho_",
        "ghu_",
        "ghs_",
        "ghr_",
        "github_pat_",
        "glpat-",
        "npm_",
        "pypi-AgE",
        "dckr_pat_",
        "ya29.",
        "GOCSPX-",
        "dop_v1_",
        "sk_live_",
        "sk_test_",
        "rk_live_",
        "rk_test_",
        "whsec_",
        "xoxb-",
        "xoxp-",
        "xoxa-",
        "xoxr-",
        "xoxs-",
        "xapp-",
        "SG.",
        "shpat_",
        "shpss_",
        "sq0atp-",
        "sq0csp-",
        "lin_api_",
        "glsa_",
        "ATATT3",
        "AGE-SECRET-KEY-1",
    ] {
        for padding in 0..9 {
            let padding = "x ".repeat(padding);
            let key = format!("{prefix}{}", "aB3dE".repeat(9));
            let (text, counts) = redact_with(redactor, &format!(r#"["{padding}{key}"]"#));
            assert_eq!(text, format!(r#"["{padding}{MARK}"]"#), "{prefix}");
            assert_eq!((counts.total(), counts.of(Pattern::ApiKey)), (1, 1));
        }
        assert_kept(&format!(r#"["{prefix}","x{prefix}","{prefix}short"]"#));
    }
}

#[test]
fn escaped_letters_hide_nothing() {
    assert_eq!(redact(r#"{"pass\u0077ord":"x","é":"\u00e9"}"#), marked(r#"{"password":"~","é":"\u00e9"}"#));
    assert_eq!(redact(r#"{"a":"B\u0065arer abcdef0123456789xyz"}"#), marked(r#"{"a":"~"}"#));
    // Escapes that hide nothing stay as they are written.
    assert_kept(r#"{"a":"\u0041\u0022\\u0042\u0000\u001b","b":"x\/y"}"#);
}

#[test]
fn ordinary_text_survives() {
    for text in [
        "the bearer of this letter may enter, bearer authentication is common",
        "a risk-averse task-force-with-a-very-long-name-2024-final-Version",
        "Passwords must be at least 12 characters. The password: it is secret; password=yes",
        "forgot your password? Authorization: required. secret: none, api_key: str = None",
        "Basic understanding, Basic authentication, basic AAAA, Basic SGVsbG8gd29ybGQ=",
        "https://example.com:8080/path?q=a@b and ssh://git@github.com/x, mail me@example.com",
        "postgres://user:${PASSWORD}@db, redis://user:{password}@db, http://a:%s@b",
        "0b1c8d5e-4f3a-4c21-9d9e-aaaaaaaaaaaa d41d8cd98f00b204e9800998ecf8427e",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709 sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "eyJ is how it begins; eyJhbGciOiJIUzI1NiJ9 alone is no token; a.b.c 1.2.3",
        "def f(password=None, api_key=os.environ[\\\"API_KEY_1\\\"], token=get_token(1)):",
        "const secret = process.env.SECRET; if (password === user.password) {}",
        "api_key=${API_KEY1} password=$PASS1 secret={{ secrets.S1 }} apiKey: string;",
        "-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE----- -----BEGIN PUBLIC KEY-----",
        "the tokenizer's eos token: 2, authors, authority, concrete discrete secretary bookie cookies predefined",
        "AKIA is a prefix, AKIAIOSFODNN7 too short, ASIA-PACIFIC, Asia, AIza, hf_hub_download, npm_config_registry",
        "class=\\\"sk-circle-fade-dot sk-child sk-circle1 sk-learn-contrib-project-name-long\\\"",
        "x-api-key header, the 'password' field, \\\"token\\\" and \\\"secret\\\" are reserved words",
        "SG. and SG.png, ya29.txt, xoxo-hugs-and-kisses-2024",
        "def load(private_key: ed25519.Ed25519PrivateKey, secret: my_lib2.v1.SecretBytes) -> None:",
    ] {
        assert_kept(&format!(r#"{{"t":"{text}"}}"#));
    }
}

#[test]
fn ordinary_structures_survive() {
    for text in [
        r#"{"usage":{"input_tokens":1834,"output_tokens":211,"total_tokens":5},"max_tokens":512}"#,
        r#"{"logprobs":[{"token":" Hello","logprob":-0.1,"bytes":[72]},{"token":"international1","x":1}]}"#,
        r#"{"tokens":["a1b2c3d4e5f6a7b8c9"],"token_count":5,"token_type":"bearer","tokenizer":"cl100k_base"}"#,
        r#"{"properties":{"password":{"type":"string","description":"the new one"}},"required":["password","api_key"]}"#,
        r#"{"next_page_token":"CAUQAAabcdef0123456789","nextPageToken":"CAUQAAabcdef0123456789"}"#,
        r#"{"pwd":"/home/user2/project","eos_token":"</s>","stop_token":"aaaaaaaaaaaaaaaaaaaa1"}"#,
        r#"{"has_password":true,"password_reset":"done","secret_santa":"Ann","cookie":"chocolate chip 2"}"#,
        r#"{"id":"550e8400-e29b-41d4-a716-446655440000","sha":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4"}"#,
        r#"{"credentials":"include","keys":["a"],"key":"value","author":"Ann","private":"yes"}"#,
        r#"{"password":"[REDACTED:credential]","url":"x://u:[REDACTED:credential]@h"}"#,
    ] {
        assert_kept(text);
    }
}

#[test]
fn base64_and_random_text_survive() {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut state = 7_u64;
    let image: String = (0..400_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(alphabet[(state >> 58) as usize])
        })
        .collect();
    assert_kept(&format!(r#"{{"image":"data:image/png;base64,{image}=="}}"#));
    assert_kept(&format!(r#"{{"vector":"{}"}}"#, image.to_lowercase().replace(['+', '/'], "-")));
}

#[test]
fn names_payloads_and_patches_are_redacted() {
    let redactor = redactor();
    let payload = |text: &str| Some(Payload::parse(text.to_owned()).unwrap());
    let mut span = Span::new("t", "s", format!("call \"{JWT}\"\n\\ ok"), Timestamp::MIN);
    span.input = payload(r#"{"password":"x"}"#);
    span.output = payload(r#"[{"a":"Bearer abcdef0123456789xyz"}]"#);
    span.expected = payload(r#"{"secret":"x"}"#);
    span.metadata = payload(r#"{"kept":1}"#);
    let counts = redactor.redact_span(&mut span);
    assert_eq!(span.name, marked("call \"~\"\n\\ ok"));
    assert_eq!(span.input, payload(&marked(r#"{"password":"~"}"#)));
    assert_eq!(span.output, payload(&marked(r#"[{"a":"~"}]"#)));
    assert_eq!(span.metadata, payload(r#"{"kept":1}"#));
    assert_eq!((counts.total(), counts.of(Pattern::CredentialKey), counts.of(Pattern::Jwt)), (4, 2, 1));
    assert_eq!(redactor.redact_span(&mut span).total(), 0);

    let mut patch = SpanPatch {
        name: Some("api_key=abc123def".into()),
        merge_metadata: payload(r#"{"password":"x"}"#),
        ..SpanPatch::default()
    };
    assert_eq!(redactor.redact_patch(&mut patch).total(), 2);
    assert_eq!(patch.name.unwrap(), marked("api_key=~"));
}

#[test]
fn a_payload_without_credentials_is_not_copied() {
    let redactor = redactor();
    let mut span = Span::new("t", "s", "n", Timestamp::MIN);
    span.input = Some(Payload::parse(r#"{"usage":{"total_tokens":5}}"#).unwrap());
    let before = span.input.as_ref().unwrap().as_bytes().as_ptr();
    redactor.redact_span(&mut span);
    assert_eq!(span.input.unwrap().as_bytes().as_ptr(), before);
}

#[test]
fn patterns_can_be_switched_off() {
    let cases = [
        (Pattern::CredentialKey, r#"{"password":"x"}"#.to_owned()),
        (Pattern::Assignment, r#"{"a":"password=abc123"}"#.to_owned()),
        (Pattern::AuthorizationScheme, r#"{"a":"Bearer abcdef0123456789xyz"}"#.to_owned()),
        (Pattern::Jwt, format!(r#"{{"a":"{JWT}"}}"#)),
        (Pattern::ApiKey, r#"{"a":"ghp_abcdefghijklmnopqrstuvwxyz0123456789"}"#.to_owned()),
        (Pattern::PrivateKey, r#"{"a":"-----BEGIN PRIVATE KEY-----\nx"}"#.to_owned()),
        (Pattern::UrlPassword, r#"{"a":"x://u:p@h"}"#.to_owned()),
    ];
    for pattern in Pattern::ALL {
        assert_eq!(Pattern::from_name(pattern.as_str()), Some(pattern));
        let config = RedactionConfig { disabled: vec![pattern], ..RedactionConfig::default() };
        let without = Redactor::new(&config).unwrap();
        for (owner, text) in &cases {
            let (_, counts) = redact_with(&without, text);
            assert_eq!(counts.total(), u64::from(*owner != pattern), "{pattern:?} {text}");
            let (_, counts) = redact_with(redactor(), text);
            assert_eq!((counts.total(), counts.of(*owner)), (1, 1), "{text}");
        }
    }
}

#[test]
fn keys_and_prefixes_can_be_added_and_excepted() {
    let config = RedactionConfig {
        keys: vec![CustomKey { name: "internal".into(), key: "x-internal-pass".into() }],
        prefixes: vec![CustomPrefix { name: "acme".into(), prefix: "acme_live_".into(), min_chars: 8 }],
        excepted_keys: vec!["Forgot-Password".into()],
        ..RedactionConfig::default()
    };
    let redactor = Redactor::new(&config).unwrap();
    let (text, counts) = redact_with(
        &redactor,
        r#"{"my_XInternalPass":"p","forgot_password":"click here","t":"acme_live_12345678 acme_live_1"}"#,
    );
    let expected = r#"{"my_XInternalPass":"~","forgot_password":"click here","t":"~ acme_live_1"}"#;
    assert_eq!(text, marked(expected));
    assert_eq!((counts.of_custom(0), counts.of_custom(1), counts.of_custom(2), counts.total()), (1, 1, 0, 2));

    let key = |key: &str| RedactionConfig {
        keys: vec![CustomKey { name: "k".into(), key: key.into() }],
        ..RedactionConfig::default()
    };
    for bad in ["", "abc", "a-b-c-d-e", "schlüssel"] {
        assert!(matches!(Redactor::new(&key(bad)), Err(ConfigError::UnusableKey { .. })), "{bad}");
    }
    let prefix = |prefix: &str| RedactionConfig {
        prefixes: vec![CustomPrefix { name: "p".into(), prefix: prefix.into(), min_chars: 1 }],
        ..RedactionConfig::default()
    };
    for bad in ["", "abc", "ab\"cd", "a bcd", "äbcd"] {
        assert!(matches!(Redactor::new(&prefix(bad)), Err(ConfigError::UnusablePrefix { .. })), "{bad}");
    }
    let many = RedactionConfig { excepted_keys: vec!["x".into(); 1001], ..RedactionConfig::default() };
    assert_eq!(Redactor::new(&many).unwrap_err(), ConfigError::TooMany { found: 1001 });
}

/// Each of these took quadratic time with a careless search. Then it takes minutes here, and a body of megabytes hours.
#[test]
fn hostile_text_takes_linear_time() {
    let redactor = redactor();
    for unit in [
        "sk-",
        "sk-A1",
        "eyJ",
        "eyJ-",
        "SG.",
        "password=",
        "password: ",
        r#"\"token\":\"#,
        r#"\"token\":\"a"#,
        "'token':'",
        "'token': '",
        "-----BEGIN PRIVATE KEY",
        "-----BEGIN ",
        "://a:",
        "://",
        "bearer ",
        "basic ",
        "token",
        "\\u0000",
        "\\u0022",
        "\\\\",
        "api_key-",
        "_",
        "\\u0041",
        "-----BEGIN PRIVATE KEY-----",
    ] {
        let text = unit.repeat(200_000 / unit.len());
        let _ = redactor.redact_json(format!("{{\"password\":[\"\"],\"token\":\"{text}\"}}").as_bytes());
    }
    let keys = format!("{{{}\"a\":1}}", "\"token\":[\"\",".repeat(20_000));
    let _ = redactor.redact_json(keys.as_bytes());
}

fn fragments() -> impl Strategy<Value = String> {
    let fragment = prop::sample::select(vec![
        "Bearer ",
        "bearer abcdef0123456789",
        "Basic dXNlcjpodW50ZXIy",
        "sk-",
        "sk-Abcdefghij0123456789ABCD",
        "://",
        "u:p@",
        ":",
        "@",
        "eyJ",
        JWT,
        ".",
        "a1",
        " ",
        "\"",
        "\\",
        "\n",
        "é",
        "-----BEGIN ",
        "PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "password",
        "Password=",
        "token",
        "\"api_key\": \"x\"",
        "'secret': 'y'",
        "=",
        "value",
        "AKIAABCDEFGHIJKLMN12",
        "\u{1}",
        "/",
        MARK,
        "[",
        "{\"a\":1}",
    ]);
    prop::collection::vec(fragment, 0..8).prop_map(|fragments| fragments.concat())
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<i64>().prop_map(Into::into),
        fragments().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 30, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::vec((fragments(), inner), 0..5)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_result_is_json_of_the_same_structure(value in any_json()) {
        let payload = Payload::from_value(&value).unwrap();
        if let Some((redacted, counts)) = redactor().redact(&payload) {
            let checked = Payload::parse(redacted.bytes().clone());
            prop_assert!(checked.is_ok(), "{payload} became {redacted}");
            prop_assert_eq!(structure(&redacted), structure(&payload));
            prop_assert!(counts.total() > 0);
        }
    }

    #[test]
    fn escaped_text_is_redacted_like_plain_text(value in any_json()) {
        let plain = value.to_string();
        // Letters behind a backslash are escapes, and those of null cannot be escaped.
        let mut escaped = String::new();
        let mut before = ' ';
        for character in plain.replace("null", "0").chars() {
            if before != '\\' && matches!(character, 'a' | 'p' | 'e' | 'k' | 's') {
                escaped.push_str(&format!("\\u{:04x}", character as u32));
            } else {
                escaped.push(character);
            }
            before = if before == '\\' { ' ' } else { character };
        }
        let tree = |text: String| {
            let payload = Payload::parse(text).unwrap();
            redactor().redact(&payload).map_or(payload, |(redacted, _)| redacted).to_value()
        };
        prop_assert_eq!(tree(escaped), tree(plain.replace("null", "0")));
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..60),
        text in fragments(),
        cut in any::<prop::sample::Index>(),
    ) {
        let _ = redactor().redact_json(&bytes);
        let cut = cut.index(text.len() + 1);
        let _ = redactor().redact_json(&text.as_bytes()[cut..]);
        let _ = redactor().redact_json(&text.as_bytes()[..cut]);
        let mut name = text;
        redactor().redact_text(&mut name, &mut Counts::default());
    }
}

#[test]
fn what_shrinks_to_a_credential_goes_too() {
    // A quoted value of more than 16 KiB is none; what is left of this one is.
    let words = "so many words ".repeat(1100);
    let key = format!("sk-{}", "a1B2c3D4".repeat(256));
    let text = format!(r#"{{"arguments":"{{\"api_key\":\"{words}{key} end\"}}"}}"#);
    assert!(text.len() > 16 * 1024 && words.len() < 16 * 1024);
    assert_eq!(redact(&text), format!(r#"{{"arguments":"{{\"api_key\":\"{MARK}\"}}"}}"#));
}

#[test]
fn a_configured_prefix_may_be_that_of_a_word_of_the_mark() {
    for prefix in ["cred", "credential", "REDACTED"] {
        let prefix = CustomPrefix { name: "mark".into(), prefix: prefix.into(), min_chars: 0 };
        let config = RedactionConfig { prefixes: vec![prefix], ..RedactionConfig::default() };
        let redactor = Redactor::new(&config).unwrap();
        let (redacted, counts) =
            redact_with(&redactor, r#"{"password":"hunter2","text":"credential-7 REDACTED7"}"#);
        assert_eq!(redacted.matches("REDACTED:").count(), 2, "{redacted}");
        assert_eq!(counts.total(), 2, "{redacted}");
    }
}
