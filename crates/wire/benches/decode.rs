//! Prints MB/s of batch decoding against a `serde_json` struct of `RawValue`s in the same run.
//!
//! `cargo bench -p endspan-wire --bench decode`

#![allow(clippy::expect_used, reason = "a benchmark stops at what it cannot measure")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use endspan_wire::{agentex, sgp};
use serde::Deserialize;
use serde_json::value::RawValue;

const SPANS: usize = 100;
const RUN: Duration = Duration::from_millis(1500);

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    items: Vec<Item<'a>>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "parsed only to be measured")]
struct Item<'a> {
    id: String,
    trace_id: String,
    name: String,
    parent_id: Option<String>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    #[serde(borrow, alias = "data")]
    metadata: Option<&'a RawValue>,
}

/// An LLM call: `messages` turns of prose with some code and some non-ASCII text.
fn span(index: usize, messages: usize, spaces: bool, data: &str, start: &str) -> String {
    let prose = "The retrieval step found three candidate documents; the second one — a runbook — says:\\n\
                 ```python\\nclient.retry(max_attempts=3, \\\"backoff\\\")\\n```\\nNow summarise it for the user, \
                 in two sentences, and cite the section that you used. ";
    let messages: Vec<_> = (0..messages)
        .map(|turn| {
            let role = if turn % 2 == 0 { "user" } else { "assistant" };
            format!(r#"{{"role":"{role}","content":"{prose}{turn}","index":{turn},"cached":false}}"#)
        })
        .collect();
    let text = format!(
        r#"{{"name":"llm.call","id":"6f1c2f0e-6a0b-4b53-9b1c-{index:012}","trace_id":"0d1f7a55-3a6e-4a58-8ad4-000000000001","{start}":"2026-03-01T10:00:00.123456+00:00","input":{{"model":"some-model","temperature":0.2,"messages":[{}]}},"output":{{"role":"assistant","content":"{prose}","usage":{{"input_tokens":1834,"output_tokens":211}}}},"{data}":{{"__source__":"agentex","__span_type__":"COMPLETION"}},"parent_id":"6f1c2f0e-6a0b-4b53-9b1c-000000000000"}}"#,
        messages.join(",")
    );
    if spaces { text.replace("\":", "\": ").replace(",\"", ", \"") } else { text }
}

fn batch(messages: usize, spaces: bool, data: &str, start: &str) -> Bytes {
    let items: Vec<_> = (0..SPANS).map(|index| span(index, messages, spaces, data, start)).collect();
    format!("{{\"items\":[{}]}}", items.join(",")).into()
}

fn measure(body: &Bytes, mut run: impl FnMut(&Bytes)) -> f64 {
    let started = Instant::now();
    let mut bytes = 0;
    let mut best = 0.0_f64;
    while started.elapsed() < RUN {
        let round = Instant::now();
        for _ in 0..20 {
            run(body);
        }
        bytes += body.len() * 20;
        best = best.max(body.len() as f64 * 20.0 / round.elapsed().as_secs_f64() / 1e6);
    }
    black_box(bytes);
    best
}

fn main() {
    println!(
        "{:<28}{:>10}{:>12}{:>14}{:>8}",
        "batch of 100 spans", "kB/span", "ours MB/s", "RawValue MB/s", "ratio"
    );
    for (name, messages, spaces) in
        [("small", 3, false), ("llm", 26, false), ("llm, spaces between tokens", 26, true)]
    {
        for (api, data, start) in [("agentex", "data", "start_time"), ("sgp", "metadata", "start_timestamp")]
        {
            let body = batch(messages, spaces, data, start);
            let ours = measure(&body, |body| {
                let spans = if api == "sgp" { sgp::decode_batch(body) } else { agentex::decode_batch(body) };
                let spans = spans.expect("a batch");
                assert!(spans.len() == SPANS && spans.iter().all(Result::is_ok));
                black_box(&spans);
            });
            let theirs = measure(&body, |body| {
                let batch: Batch<'_> = serde_json::from_slice(body).expect("a batch");
                assert_eq!(batch.items.len(), SPANS);
                black_box(&batch.items);
            });
            let kilobytes = body.len() as f64 / SPANS as f64 / 1000.0;
            println!(
                "{:<28}{kilobytes:>10.1}{ours:>12.0}{theirs:>14.0}{:>8.2}",
                format!("{api}, {name}"),
                ours / theirs
            );
        }
    }
}
