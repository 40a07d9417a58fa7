//! One function for each decoder. Each panics when a promise is broken.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken promise stops the run")]

use std::sync::LazyLock;

use bytes::Bytes;
use endspan_model::{AccountId, Payload, Span};
use endspan_otlp::decode::{decode_json, decode_protobuf};
use endspan_redaction::{RedactionConfig, Redactor};
use endspan_server::access::{format_keys, parse_keys};
use endspan_wire::{agentex, sgp, time};
use serde_json::value::RawValue;

/// A decoder, by the name of its folder in the corpus.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const ALL: &[Target] = &[
    ("agentex", agentex_bodies),
    ("sgp", sgp_bodies),
    ("otlp-json", otlp_json),
    ("otlp-protobuf", otlp_protobuf),
    ("payload", payloads),
    ("time", times),
    ("keys", keys),
];

static REDACTOR: LazyLock<Redactor> =
    LazyLock::new(|| Redactor::new(&RedactionConfig::default()).expect("the default configuration"));

fn assert_json(text: &[u8]) {
    let parsed = serde_json::from_slice::<&RawValue>(text);
    assert!(parsed.is_ok(), "{:?}: {}", parsed.err(), String::from_utf8_lossy(text));
}

/// What every decoder promises of a span: all APIs can answer it, before and after redaction.
fn check(mut span: Span) {
    let account = AccountId::default();
    let mut text = Vec::new();
    agentex::encode_span(&mut text, &span);
    assert_json(&text);
    text.clear();
    sgp::encode_span(&mut text, &account, &span, None);
    assert_json(&text);
    REDACTOR.redact_span(&mut span);
    text.clear();
    sgp::encode_span(&mut text, &account, &span, None);
    assert_json(&text);
    assert_eq!(REDACTOR.redact_span(&mut span).total(), 0, "a second pass finds more");
}

fn agentex_bodies(bytes: &[u8]) {
    let body = Bytes::copy_from_slice(bytes);
    if let Ok(span) = agentex::decode_create(&body) {
        let mut text = Vec::new();
        agentex::encode_span(&mut text, &span);
        let again = agentex::decode_create(&text.into()).expect("an answer is a body");
        assert_eq!(again.id, span.id);
        assert_eq!(again.input, span.input);
        check(span);
    }
    if let Ok(items) = agentex::decode_batch(&body) {
        items.into_iter().flatten().for_each(check);
    }
    let _ = agentex::decode_patch(&body);
}

fn sgp_bodies(bytes: &[u8]) {
    let body = Bytes::copy_from_slice(bytes);
    if let Ok(span) = sgp::decode_create(&body) {
        check(span);
    }
    if let Ok(items) = sgp::decode_batch(&body) {
        items.into_iter().flatten().for_each(check);
    }
    let _ = sgp::decode_patch(&body);
}

fn otlp_json(bytes: &[u8]) {
    if let Ok(decoded) = decode_json(bytes) {
        decoded.spans.into_iter().for_each(check);
    }
}

fn otlp_protobuf(bytes: &[u8]) {
    if let Ok(decoded) = decode_protobuf(bytes) {
        decoded.spans.into_iter().for_each(check);
    }
}

fn payloads(bytes: &[u8]) {
    // On text that is no JSON the result is some text, never a panic.
    let _ = REDACTOR.redact_json(bytes);
    let Ok(payload) = Payload::parse(bytes.to_vec()) else { return };
    assert_json(payload.as_bytes());
    assert_eq!(Payload::parse(payload.bytes().clone()).as_ref(), Ok(&payload), "parsing once is enough");
    if let Some((redacted, counts)) = REDACTOR.redact(&payload) {
        assert!(counts.total() > 0);
        assert_json(redacted.as_bytes());
        assert!(REDACTOR.redact(&redacted).is_none(), "a second pass finds more");
    }
}

fn times(bytes: &[u8]) {
    for moment in [time::parse_text(bytes), time::parse_number(bytes)].into_iter().flatten() {
        let mut text = Vec::new();
        time::push_utc(&mut text, moment);
        let again = time::parse_text(&text).expect("a time is written as one");
        assert_eq!(again.unix_micros(), moment.unix_micros());
    }
}

fn keys(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(keys) = parse_keys(text) {
        assert_eq!(parse_keys(&format_keys(&keys)).expect("what is written is read"), keys);
    }
}
