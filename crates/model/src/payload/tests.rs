use bytes::Bytes;
use proptest::prelude::*;

use super::{Characters, Payload, PayloadError, PayloadShape};
use crate::limits::MAX_PAYLOAD_DEPTH;

fn parse(text: &str) -> Result<Payload, PayloadError> {
    Payload::parse(Bytes::copy_from_slice(text.as_bytes()))
}

#[test]
fn agentex_row_29_and_30_number_text_and_key_order_stay() {
    let text = r#"{"z":123456789012345678901234567890,"a":-0.0,"m":1.10}"#;
    assert_eq!(parse(text).unwrap().as_str(), text);
}

#[test]
fn white_space_between_tokens_goes_and_within_text_stays() {
    let payload = parse("{ \"a b\" :\n[ 1 , \"c \\\" d\" ] }").unwrap();
    assert_eq!(payload.as_str(), r#"{"a b":[1,"c \" d"]}"#);
}

#[test]
fn agentex_row_26_nul_escape_is_kept_when_strict() {
    let text = r#"{"a":"x\u0000y"}"#;
    assert_eq!(parse(text).unwrap().as_str(), text);
}

#[test]
fn agentex_row_28_lone_surrogates_are_refused() {
    for text in [r#"["\ud800"]"#, r#"["\udc00x"]"#, r#"["\ud83d\u0041"]"#, r#"{"\ud800":1}"#] {
        assert_eq!(parse(text), Err(PayloadError::LoneSurrogate), "{text}");
    }
    assert!(parse(r#"["\ud83d\ude00 \\ud800"]"#).is_ok());
}

#[test]
fn sgp_row_10_replace_turns_nul_and_lone_surrogates_into_replacement_characters() {
    let text = Bytes::from_static(br#"{"a":"x\u0000y\ud800z\ud83d\ude00"}"#);
    let payload = Payload::from_json(text, Characters::Replace).unwrap();
    assert_eq!(payload.as_str(), "{\"a\":\"x\u{FFFD}y\u{FFFD}z\\ud83d\\ude00\"}");
}

#[test]
fn agentex_row_27_nan_and_overflow_are_refused() {
    assert!(matches!(parse("{\"a\":NaN}"), Err(PayloadError::Syntax(_))));
    assert_eq!(parse("{\"a\":1e999}"), Err(PayloadError::NumberOverflow));
    assert_eq!(parse("{\"a\":-1E400}"), Err(PayloadError::NumberOverflow));
    assert_eq!(parse(&format!("[{}]", "9".repeat(400))), Err(PayloadError::NumberOverflow));
    assert!(parse("{\"a\":1e308,\"b\":1e-999}").is_ok());
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(&nested(MAX_PAYLOAD_DEPTH)).is_ok());
    assert_eq!(parse(&nested(MAX_PAYLOAD_DEPTH + 1)), Err(PayloadError::TooDeep));
}

#[test]
fn shapes() {
    for (text, shape) in [
        ("null", PayloadShape::Null),
        ("{}", PayloadShape::Object),
        ("[]", PayloadShape::ArrayOfObjects),
        ("[{\"a\":[1]},{}]", PayloadShape::ArrayOfObjects),
        ("[{},1]", PayloadShape::Array),
        ("[\"{\"]", PayloadShape::Array),
        ("[[{}]]", PayloadShape::Array),
        ("\"[\"", PayloadShape::Scalar),
        ("true", PayloadShape::Scalar),
    ] {
        assert_eq!(parse(text).unwrap().shape(), shape, "{text}");
    }
}

#[test]
fn members_split_without_reparsing_values() {
    let payload = parse(r#"{"a":{"x":[1,{"y":"}"}]},"b\n":"s,t","c":1.0,"a":null}"#).unwrap();
    let members: Vec<_> =
        payload.members().unwrap().into_iter().map(|(key, value)| (key, value.to_string())).collect();
    assert_eq!(
        members,
        [
            ("a".into(), r#"{"x":[1,{"y":"}"}]}"#.to_owned()),
            ("b\n".into(), r#""s,t""#.into()),
            ("c".into(), "1.0".into()),
            ("a".into(), "null".into())
        ]
    );
    assert_eq!(payload.get("a").unwrap().as_str(), "null");
    assert_eq!(payload.get("zz"), None);
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn pretty_and_compact_text_give_the_same_payload(value in any_json()) {
        let compact = serde_json::to_string(&value).unwrap();
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        let payloads = [parse(&compact).unwrap(), parse(&pretty).unwrap()];
        prop_assert_eq!(payloads[0].as_str(), &compact);
        prop_assert_eq!(payloads[1].as_str(), &compact);
    }

    #[test]
    fn members_agree_with_a_tree(value in any_json()) {
        let payload = parse(&value.to_string()).unwrap();
        let tree = value.as_object().map(|object| {
            object.iter().map(|(key, value)| (key.clone(), value.to_string())).collect::<Vec<_>>()
        });
        let split = payload.members().map(|members| {
            members.into_iter().map(|(key, value)| (key, value.to_string())).collect::<Vec<_>>()
        });
        prop_assert_eq!(split, tree);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Payload::parse(bytes.clone());
        if let Ok(payload) = Payload::from_json(bytes.into(), Characters::Replace) {
            let _ = (payload.shape(), payload.members(), payload.get("a"), payload.to_value());
        }
    }

    #[test]
    fn json_like_text_never_panics(text in r#"[\[\]{}",:\\ud8dc0-9eE.+ x]{0,60}"#) {
        let _ = parse(&text);
        if let Ok(payload) = Payload::from_json(text.into(), Characters::Replace) {
            let _ = (payload.shape(), payload.members(), payload.get("a"), payload.to_value());
        }
    }
}
