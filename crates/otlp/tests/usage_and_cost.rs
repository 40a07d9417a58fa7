//! Tokens and money that cannot be counted twice: the complaints of the field (`P5` of the survey) as tests.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::HashMap;
use std::path::Path;

use endspan_model::{Payload, Span, SpanType, Timestamp};
use endspan_otlp::cost::{Ledger, PriceTable, ledger};
use endspan_otlp::decode::{decode_json, decode_protobuf};
use endspan_otlp::normal::{CacheAccounting, Detail, Evidence, Usage, normalize, normalize_with};
use serde_json::json;

fn fixture(name: &str) -> Vec<Span> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/otlp").join(name);
    let body = std::fs::read(path).unwrap();
    let request = if name.ends_with(".json") { decode_json(&body) } else { decode_protobuf(&body) };
    request.unwrap().spans
}

/// The ledgers of a body's traces, the one with the most counted spans first.
fn ledgers(spans: &[Span]) -> Vec<Ledger> {
    let normals: Vec<_> = spans.iter().map(|span| normalize_with(span, Detail::Summary)).collect();
    let mut traces: HashMap<_, Vec<_>> = HashMap::new();
    for (span, normal) in spans.iter().zip(&normals) {
        traces.entry(span.trace_id.clone()).or_default().push((span, normal));
    }
    let mut ledgers: Vec<Ledger> =
        traces.into_values().map(|trace| ledger(trace, PriceTable::built_in())).collect();
    ledgers.sort_by_key(|ledger| std::cmp::Reverse((ledger.counted.len(), ledger.rollups.len())));
    ledgers
}

fn tokens(usage: &Usage) -> (u64, u64) {
    (usage.input_tokens.unwrap_or(0), usage.output_tokens.unwrap_or(0))
}

fn span(id: &str, parent: Option<&str>) -> Span {
    let mut span = Span::new("t", id, id, Timestamp::from_date(2026, 1, 1).unwrap());
    span.parent_id = parent.map(Into::into);
    span
}

fn payload(value: serde_json::Value) -> Option<Payload> {
    Some(Payload::from_value(&value).unwrap())
}

/// A model call as the Agentex SDK writes it.
fn call(id: &str, parent: Option<&str>, usage: serde_json::Value) -> Span {
    let mut span = span(id, parent);
    span.span_type = Some(SpanType::Completion);
    span.input = payload(json!({"model": "gpt-4o", "messages": []}));
    span.output = payload(json!({"usage": usage}));
    span
}

fn one(spans: &[Span]) -> Ledger {
    let [ledger] = <[Ledger; 1]>::try_from(ledgers(spans)).unwrap();
    ledger
}

#[test]
fn wrappers_around_calls_are_compared_and_never_added() {
    // The Vercel SDK repeats the sum of the calls on the span around them.
    let spans = fixture("vercel-ai.json");
    let first = ledgers(&spans).swap_remove(0);
    assert_eq!(tokens(&first.usage), (240, 60));
    assert_eq!(first.usage.cache_read_tokens, Some(128));
    assert_eq!((first.counted.len(), first.rollups.len()), (2, 1));
    assert!(first.rollups[0].agrees);
    assert_eq!(first.cost.to_string(), "0.00104");

    // Pydantic AI writes aggregated usage on the agent, today under a name of its own, before under the same.
    for name in ["pydantic-ai.pb", "pydantic-ai@0.3.pb"] {
        let ledger = one(&fixture(name));
        assert_eq!((tokens(&ledger.usage), ledger.counted.len()), ((240, 60), 2), "{name}");
        assert!(ledger.rollups[0].agrees, "{name}");
        assert_eq!(ledger.cost.to_string(), "0.00104", "{name}");
    }
}

#[test]
fn two_instrumentations_of_one_call_count_once() {
    // The instrumentation wraps the client, and the client itself reports too.
    for ledger in ledgers(&fixture("openinference-anthropic.pb")) {
        assert_eq!((tokens(&ledger.usage), ledger.counted.len(), ledger.rollups.len()), ((140, 30), 1, 1));
        assert!(ledger.rollups[0].agrees);
        // 20 x 3 + 80 x 0.30 + 40 x 3.75 + 30 x 15, for a million each.
        assert_eq!(ledger.cost.to_string(), "0.000684");
    }
    // Side by side they are told by the provider's id of the answer.
    let mut spans = fixture("openllmetry-anthropic.pb");
    for span in &mut spans {
        span.trace_id = "one".into();
        span.parent_id = Some("agent".into());
    }
    let ledger = one(&spans);
    assert_eq!((tokens(&ledger.usage), ledger.counted.len(), ledger.duplicates.len()), ((280, 60), 2, 2));
}

#[test]
fn a_turn_with_the_sum_of_its_calls_is_a_rollup() {
    let mut turn = span("turn", None);
    turn.span_type = Some(SpanType::AgentWorkflow);
    turn.metadata = payload(json!({"usage": {"input_tokens": 30, "output_tokens": 3}, "cost_usd": 0.5}));
    let calls = [
        call("a", Some("turn"), json!({"input_tokens": 10, "output_tokens": 1})),
        call("b", Some("step"), json!({"input_tokens": 15, "output_tokens": 2})),
        span("step", Some("turn")),
    ];
    let with_calls: Vec<Span> = std::iter::once(turn.clone()).chain(calls).collect();
    let sum = one(&with_calls);
    assert_eq!(tokens(&sum.usage), (25, 3));
    assert_eq!(sum.rollups.len(), 1);
    assert_eq!(tokens(&sum.rollups[0].reported), (30, 3));
    assert_eq!(tokens(&sum.rollups[0].counted), (25, 3));
    assert!(!sum.rollups[0].agrees, "a call below was not traced, and that shows");

    // Alone it stands for calls that nobody traced: counted, and marked.
    let alone = one(&[turn]);
    assert_eq!(tokens(&alone.usage), (30, 3));
    assert!(alone.counted[0].rollup_only);
}

#[test]
fn aggregate_and_detail_on_one_span_are_one() {
    // `sdk-behaviour` 11.2: the aggregate in data wins over the detail in output.
    let mut both = call("a", None, json!({"input_tokens": 7, "output_tokens": 1}));
    both.metadata =
        payload(json!({"usage": {"input_tokens": 10, "output_tokens": 2, "model": "gpt-4o-mini"}}));
    assert_eq!(tokens(&one(&[both]).usage), (10, 2));
}

#[test]
fn missing_parents_lose_nothing_and_circles_end() {
    let usage = json!({"prompt_tokens": 5, "completion_tokens": 1});
    let orphan = call("a", Some("never sent"), usage.clone());
    assert_eq!(tokens(&one(&[orphan]).usage), (5, 1));
    let circle = [call("a", Some("b"), usage.clone()), call("b", Some("a"), usage.clone())];
    let circle = one(&circle);
    assert_eq!((tokens(&circle.usage), circle.rollups.len()), ((5, 1), 1), "one stands for the other");
    let own_parent = [call("a", Some("a"), usage)];
    assert_eq!(tokens(&one(&own_parent).usage), (5, 1));
}

/// What was reported, and the input, output and cache that it means.
#[test]
fn cached_input_is_counted_once_whoever_reports_it() {
    let included = |evidence| Some(CacheAccounting { included: true, evidence });
    let beside = |evidence| Some(CacheAccounting { included: false, evidence });
    for (usage, input, output, cache) in [
        // OpenAI: cached tokens are part of the prompt.
        (
            json!({"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150,
                   "prompt_tokens_details": {"cached_tokens": 64},
                   "completion_tokens_details": {"reasoning_tokens": 12}}),
            120,
            30,
            included(Evidence::Total),
        ),
        // Anthropic: they stand beside it.
        (
            json!({"input_tokens": 20, "cache_read_input_tokens": 80, "cache_creation_input_tokens": 40, "output_tokens": 30}),
            140,
            30,
            beside(Evidence::CacheExceedsInput),
        ),
        (
            json!({"input_tokens": 200, "cache_read_input_tokens": 80, "cache_creation_input_tokens": 0, "output_tokens": 30}),
            280,
            30,
            beside(Evidence::Convention),
        ),
        // The total tells when it can.
        (
            json!({"input_tokens": 100, "cached_tokens": 50, "output_tokens": 10, "total_tokens": 160}),
            150,
            10,
            beside(Evidence::Total),
        ),
        (
            json!({"input_tokens": 100, "cached_tokens": 50, "output_tokens": 10, "total_tokens": 110}),
            100,
            10,
            included(Evidence::Total),
        ),
        // Agentex turns follow OpenAI.
        (
            json!({"input_tokens": 100, "cached_input_tokens": 50, "output_tokens": 10}),
            100,
            10,
            included(Evidence::Convention),
        ),
        // Gemini: thoughts stand beside the output.
        (
            json!({"input_tokens": 100, "output_tokens": 10, "reasoning_tokens": 40, "total_tokens": 150}),
            100,
            50,
            None,
        ),
        // No cache, no question.
        (json!({"input_tokens": 7, "cached_tokens": 0}), 7, 0, None),
    ] {
        let read = normalize(&call("a", None, usage.clone())).usage.unwrap();
        assert_eq!((tokens(&read), read.cache), ((input, output), cache), "{usage}");
    }
}

#[test]
fn langfuse_counts_the_cache_beside_the_input() {
    let ledger = one(&fixture("langfuse.pb"));
    assert_eq!((tokens(&ledger.usage), ledger.usage.cache_read_tokens), ((120, 30), Some(64)));
    assert_eq!(ledger.cost.to_string(), "0.00052");
}

#[test]
fn a_new_price_table_corrects_old_traces_and_unknown_models_show() {
    let spans = [call("a", None, json!({"input_tokens": 1_000_000, "output_tokens": 0}))];
    let normal = normalize(&spans[0]);
    let ours = "date = \"2026-01-01\"\n[[model]]\nnames = [\"gpt-4o\"]\nprices = [{ input = \"1\" }]";
    let ours = PriceTable::parse(ours).unwrap();
    assert_eq!(ledger([(&spans[0], &normal)], PriceTable::built_in()).cost.to_string(), "2.5");
    assert_eq!(ledger([(&spans[0], &normal)], &ours).cost.to_string(), "1");
    let unknown = ledger([(&spans[0], &normal)], &PriceTable::empty());
    assert_eq!((unknown.cost.to_string(), unknown.unpriced), ("0".to_owned(), 1));
}
