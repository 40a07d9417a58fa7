//! Prints MB/s of redaction over payloads of different kinds.
//!
//! `cargo bench -p endspan-redaction --bench redact`

#![allow(clippy::expect_used, reason = "a benchmark stops at what it cannot measure")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use endspan_model::Payload;
use endspan_redaction::{RedactionConfig, Redactor};

const RUN: Duration = Duration::from_millis(1200);

const PROSE: &str = "The retrieval step found three candidate documents; the second one \u{2014} a runbook \u{2014} says \
    that a request must be retried with exponential back-off until the gateway answers. Now summarise it for the \
    user, in two sentences, and cite the section that you used; do not mention internal systems. ";
const CODE: &str = "```python\\ndef fetch(client, url, *, max_tokens=512, api_key=None):\\n    headers = \
    {\\\"Accept\\\": \\\"application/json\\\"}\\n    response = client.get(f\\\"https://example.com/{url}\\\", \
    headers=headers)\\n    if response.status_code == 401:\\n        raise AuthError(\\\"no password given\\\")\\n    \
    return response.json()[\\\"items\\\"]\\n```\\n";

fn messages(content: &str, count: usize) -> String {
    let messages: Vec<_> = (0..count)
        .map(|turn| {
            format!(
                r#"{{"role":"assistant","content":"{content}{turn}","id":"6f1c2f0e-6a0b-4b53-9b1c-{turn:012}","usage":{{"input_tokens":1834,"output_tokens":211,"total_tokens":2045}}}}"#
            )
        })
        .collect();
    format!(r#"{{"model":"some-model","max_tokens":512,"messages":[{}]}}"#, messages.join(","))
}

fn base64(bytes: usize) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut state = 1_u64;
    let text: String = (0..bytes)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(alphabet[(state >> 58) as usize])
        })
        .collect();
    format!(r#"{{"image":"data:image/png;base64,{text}"}}"#)
}

fn main() {
    let redactor = Redactor::new(&RedactionConfig::default()).expect("a configuration");
    let dirty = CODE.replace("None", "sk-abcdefghij0123456789ABCD");
    println!("{:<34}{:>8}{:>10}{:>12}", "payload", "kB", "MB/s", "credentials");
    for (name, text) in [
        ("prose", messages(PROSE, 30)),
        ("code", messages(CODE, 30)),
        ("many keys, short values", messages("ok", 80)),
        ("base64 image", base64(64_000)),
        ("code, a credential in each message", messages(&dirty, 30)),
    ] {
        let payload = Payload::parse(text).expect("JSON");
        let started = Instant::now();
        let mut best = 0.0_f64;
        let mut credentials = 0;
        while started.elapsed() < RUN {
            let round = Instant::now();
            for _ in 0..100 {
                credentials = black_box(redactor.redact(&payload)).map_or(0, |(_, counts)| counts.total());
            }
            best = best.max(payload.len() as f64 * 100.0 / round.elapsed().as_secs_f64() / 1e6);
        }
        println!("{name:<34}{:>8.1}{best:>10.0}{credentials:>12}", payload.len() as f64 / 1000.0);
    }
}
