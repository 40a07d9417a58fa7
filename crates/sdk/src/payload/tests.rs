use endspan_model::limits::MAX_PAYLOAD_DEPTH;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn text(source: &PayloadSource) -> &str {
    std::str::from_utf8(source.text.as_bytes()).unwrap()
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!([inner]))
}

#[test]
fn values_and_serializable_things_become_compact_text() {
    assert_eq!(
        text(&PayloadSource::from(&json!({"b": [1, -2, 2.5], "a": "ü\n"}))),
        r#"{"b":[1,-2,2.5],"a":"ü\n"}"#
    );
    assert_eq!(text(&PayloadSource::of(&("x", 1))), r#"["x",1]"#);
    assert_eq!(text(&PayloadSource::from("say \"hi\"")), r#""say \"hi\"""#);
}

#[test]
fn row_60_numbers_that_json_cannot_hold_become_null() {
    assert_eq!(text(&PayloadSource::of(&[f64::NAN, f64::INFINITY, 1.0])), "[null,null,1.0]");
}

#[test]
fn rows_6_and_17_falsy_payloads_count_as_absent() {
    for absent in [json!({}), json!([]), json!(0), json!(""), json!(null), json!(false)] {
        assert!(PayloadSource::from(&absent).is_absent(), "{absent}");
    }
    assert!(!PayloadSource::from(&json!({"a": null})).is_absent());
}

#[test]
fn row_12_what_cannot_be_encoded_becomes_a_placeholder() {
    struct Lock;
    impl Serialize for Lock {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("a lock"))
        }
    }
    let source = PayloadSource::of(&json!({"a": 1}).as_object().map(|_| Lock));
    assert!(source.failed);
    assert_eq!(text(&source), r#"{"__unencodable__":{"reason":"a lock"}}"#);
}

#[test]
fn nesting_is_bounded() {
    let deepest = nested(MAX_PAYLOAD_DEPTH);
    assert!(!PayloadSource::from(&deepest).failed);
    assert!(!PayloadSource::of(&deepest).failed);
    let deeper = nested(MAX_PAYLOAD_DEPTH + 1);
    assert!(PayloadSource::from(&deeper).failed);
    assert!(PayloadSource::of(&deeper).failed);
}

#[test]
fn members_are_added_and_replaced_in_place() {
    let mut data = None;
    assert!(set_member(&mut data, "a", b"1"));
    assert!(set_member(&mut data, "b", b"2"));
    assert!(set_member(&mut data, "a", b"3"));
    assert_eq!(text(data.as_ref().unwrap()), r#"{"a":3,"b":2}"#);
    assert_eq!(member_text(data.as_ref(), "b").unwrap().as_str(), "2");
    let mut list = Some(PayloadSource::from(&json!([{"x": 1}])));
    assert!(!set_member(&mut list, "a", b"1"));
    assert_eq!(text(list.as_ref().unwrap()), r#"[{"x":1}]"#);
    let mut spaced = Some(PayloadSource::json(r#" { "x" : 1 } "#));
    assert!(set_member(&mut spaced, "y", b"2"));
    assert_eq!(text(spaced.as_ref().unwrap()), r#"{"x":1,"y":2}"#);
    let mut empty = Some(PayloadSource::json("{}"));
    assert!(set_member(&mut empty, "y", b"2"));
    assert_eq!(text(empty.as_ref().unwrap()), r#"{"y":2}"#);
}

proptest! {
    #[test]
    fn the_fast_encoder_agrees_with_serde_json(text in ".*", number in any::<i64>(), real in any::<f64>()) {
        let value = json!({&text: [number, real, text, {"n": null, "t": true}]});
        let source = PayloadSource::from(&value);
        let reference = serde_json::to_string(&value).unwrap();
        prop_assert_eq!(super::tests::text(&source), reference);
    }
}
