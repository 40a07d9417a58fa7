//! Reports from the field that tokens or money were wrong, each as a test under the project and number where it was
//! reported. The numbers are those of the reports where they have any.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use endspan_model::{Payload, Span, Timestamp};
use endspan_otlp::cost::{Ledger, PriceTable, call_cost, ledger};
use endspan_otlp::normal::{CacheAccounting, Detail, Evidence, Normal, normalize_with};
use serde_json::{Value, json};

/// A span that came as OTLP with these attributes.
fn instrumented(id: &str, parent: Option<&str>, attributes: Value) -> Span {
    let mut span = Span::new("t", id, id, Timestamp::from_date(2026, 1, 1).unwrap());
    span.parent_id = parent.map(Into::into);
    span.metadata = payload(attributes);
    span.otel = payload(json!({"kind": 1}));
    span
}

/// A span that came as SGP or Agentex JSON.
fn written(id: &str, parent: Option<&str>, output: Value) -> Span {
    let mut span = Span::new("t", id, id, Timestamp::from_date(2026, 1, 1).unwrap());
    span.parent_id = parent.map(Into::into);
    span.metadata = payload(json!({"__span_type__": "COMPLETION"}));
    span.output = payload(output);
    span
}

fn payload(value: Value) -> Option<Payload> {
    Some(Payload::from_value(&value).unwrap())
}

fn summary(span: &Span) -> Normal {
    normalize_with(span, Detail::Summary)
}

fn add_up(spans: &[Span]) -> Ledger {
    let normals: Vec<Normal> = spans.iter().map(summary).collect();
    ledger(spans.iter().zip(&normals), PriceTable::built_in())
}

fn counted(ledger: &Ledger) -> (u64, u64) {
    (ledger.usage.input_tokens.unwrap_or(0), ledger.usage.output_tokens.unwrap_or(0))
}

/// Input and output tokens and the cost of one call.
fn priced(span: &Span) -> (u64, u64, String) {
    let normal = summary(span);
    let usage = normal.usage.unwrap();
    let cost = call_cost(span, &normal, PriceTable::built_in()).unwrap();
    (usage.input_tokens.unwrap_or(0), usage.output_tokens.unwrap_or(0), cost.total.to_string())
}

fn chat(id: &str, parent: Option<&str>, input: u64, output: u64) -> Span {
    instrumented(
        id,
        parent,
        json!({"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-5.1",
               "gen_ai.usage.input_tokens": input, "gen_ai.usage.output_tokens": output}),
    )
}

fn agent(id: &str, parent: Option<&str>, input: u64, output: u64) -> Span {
    instrumented(
        id,
        parent,
        json!({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a",
               "gen_ai.usage.input_tokens": input, "gen_ai.usage.output_tokens": output}),
    )
}

#[test]
fn strands_1267_the_agent_repeats_the_sum_of_its_calls() {
    let cycle = |id| instrumented(id, Some("agent"), json!({"event_loop.cycle_id": id}));
    let ledger = add_up(&[
        agent("agent", None, 300, 30),
        cycle("c1"),
        chat("a", Some("c1"), 100, 10),
        cycle("c2"),
        chat("b", Some("c2"), 200, 20),
    ]);
    assert_eq!((counted(&ledger), ledger.counted.len()), ((300, 30), 2));
    assert!(ledger.rollups[0].agrees);
}

#[test]
fn strands_2010_the_agent_reports_the_whole_session() {
    let ledger = add_up(&[agent("agent", None, 300_000, 30), chat("a", Some("agent"), 100_000, 10)]);
    assert_eq!(counted(&ledger), (100_000, 10));
    assert!(!ledger.rollups[0].agrees, "it is shown that the two differ");
}

#[test]
fn langfuse_14808_the_cost_of_every_trace_was_doubled() {
    let ledger = add_up(&[
        agent("agent", None, 14_426, 771),
        chat("a", Some("agent"), 6_000, 371),
        chat("b", Some("agent"), 8_426, 400),
    ]);
    assert_eq!(counted(&ledger), (14_426, 771));
    let calls: Vec<_> = ledger.counted.iter().filter_map(|call| call.cost.as_ref()).collect();
    assert_eq!(calls.len(), 2);
    assert_eq!(ledger.cost, calls.iter().map(|cost| cost.total).sum());
}

#[test]
fn datadog_js_8936_the_framework_and_the_provider_report_one_call() {
    let framework = instrumented(
        "langchain",
        None,
        json!({"llm.request.type": "chat", "gen_ai.request.model": "claude-sonnet-4-5",
               "gen_ai.usage.input_tokens": 10_000, "gen_ai.usage.output_tokens": 100}),
    );
    let provider = instrumented(
        "anthropic",
        Some("langchain"),
        json!({"gen_ai.operation.name": "chat", "gen_ai.request.model": "claude-sonnet-4-5",
               "gen_ai.usage.input_tokens": 10_000, "gen_ai.usage.output_tokens": 100,
               "gen_ai.usage.cache_read.input_tokens": 9_000}),
    );
    let ledger = add_up(&[framework, provider]);
    assert_eq!((counted(&ledger), ledger.counted[0].span_id.as_str()), ((10_000, 100), "anthropic"));
    // 1,000 x 3 + 9,000 x 0.30 + 100 x 15, for a million each: the span that knows of the cache is the one that counts.
    assert_eq!(ledger.cost.to_string(), "0.0072");
}

#[test]
fn datadog_py_18868_usage_stands_on_every_level() {
    let ledger = add_up(&[
        agent("workflow", None, 120, 30),
        agent("agent", Some("workflow"), 120, 30),
        chat("step", Some("agent"), 120, 30),
        chat("call", Some("step"), 120, 30),
    ]);
    assert_eq!((counted(&ledger), ledger.counted.len(), ledger.rollups.len()), ((120, 30), 1, 3));
    assert!(ledger.rollups.iter().all(|rollup| rollup.agrees));
}

#[test]
fn agentex_turn_span_the_turn_sums_its_calls() {
    let mut turn = written("turn", None, json!({}));
    turn.metadata = payload(
        json!({"__span_type__": "AGENT_WORKFLOW", "usage": {"input_tokens": 25, "output_tokens": 3}}),
    );
    let usage = |input: u64, output: u64| json!({"usage": {"input_tokens": input, "output_tokens": output}});
    let ledger =
        add_up(&[turn, written("a", Some("turn"), usage(10, 1)), written("b", Some("turn"), usage(15, 2))]);
    assert_eq!((counted(&ledger), ledger.rollups[0].agrees), ((25, 3), true));
}

#[test]
fn langsmith_1375_cached_input_stands_beside_the_input() {
    let span = written(
        "a",
        None,
        json!({"model": "claude-sonnet-4-5",
               "usage": {"input_tokens": 19, "cache_read_input_tokens": 38_000,
                         "cache_creation_input_tokens": 1_000, "output_tokens": 100}}),
    );
    // 19 x 3 + 38,000 x 0.30 + 1,000 x 3.75 + 100 x 15: what no cache served is paid for, too.
    assert_eq!(priced(&span), (39_019, 100, "0.016707".to_owned()));
}

#[test]
fn langfuse_10592_cached_input_is_part_of_the_prompt() {
    let span = written(
        "a",
        None,
        json!({"model": "gpt-4o",
               "usage": {"prompt_tokens": 17_903, "completion_tokens": 10, "total_tokens": 17_913,
                         "prompt_tokens_details": {"cached_tokens": 17_817}}}),
    );
    let usage = summary(&span).usage.unwrap();
    assert_eq!((usage.input_tokens, usage.uncached_input_tokens()), (Some(17_903), 86));
}

#[test]
fn langfuse_4590_cached_input_has_a_price_of_its_own() {
    let span = written(
        "a",
        None,
        json!({"model": "gpt-4o",
               "usage_metadata": {"input_tokens": 62_394, "total_tokens": 62_608, "output_tokens": 214,
                                  "input_token_details": {"audio": 0, "cache_read": 60_024},
                                  "output_token_details": {"audio": 0, "reasoning": 0}}}),
    );
    // 2,370 x 2.50 + 60,024 x 1.25 + 214 x 10, for a million each.
    assert_eq!(priced(&span), (62_394, 214, "0.083095".to_owned()));
}

#[test]
fn langfuse_9305_a_call_without_counts_is_no_call_with_zero() {
    let ledger = add_up(&[
        chat("a", None, 120, 30),
        instrumented("b", None, json!({"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-5.1"})),
    ]);
    assert_eq!((counted(&ledger), ledger.counted.len(), ledger.unpriced), ((120, 30), 1, 0));
}

#[test]
fn langfuse_2112_an_answer_from_the_frameworks_cache_costs_nothing_again() {
    let answered = |id| {
        let mut span = chat(id, None, 120, 30);
        span.metadata = payload(json!({"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.id": "chatcmpl-1",
            "gen_ai.usage.input_tokens": 120, "gen_ai.usage.output_tokens": 30}));
        span
    };
    let ledger = add_up(&[answered("asked"), answered("from the cache")]);
    assert_eq!((counted(&ledger), ledger.duplicates.len()), ((120, 30), 1));
    assert_eq!(ledger.duplicates[0].counted_span_id, "asked");
}

#[test]
fn phoenix_13379_cached_tokens_are_no_output() {
    let reported = |details: Value| {
        let mut attributes = json!({
            "openinference.span.kind": "LLM", "llm.model_name": "claude-sonnet-4-5",
            "llm.token_count.prompt": 4_299, "llm.token_count.completion": 631, "llm.token_count.total": 58_291,
        });
        attributes.as_object_mut().unwrap().extend(details.as_object().unwrap().clone());
        instrumented("a", None, attributes)
    };
    let whole = reported(json!({
        "llm.token_count.prompt_details.cache_read": 35_574, "llm.token_count.prompt_details.cache_write": 17_787,
    }));
    // 4,299 x 3 + 35,574 x 0.30 + 17,787 x 3.75 + 631 x 15, for a million each.
    assert_eq!(priced(&whole), (57_660, 631, "0.09973545".to_owned()));
    let lost = reported(json!({}));
    let (_, output, _) = priced(&lost);
    assert_eq!(output, 631, "what a total does not explain is nobody's");
}

#[test]
fn openinference_2381_caching_made_calls_42_times_too_dear() {
    // The numbers of Phoenix 10036, the same bug.
    let span = instrumented(
        "a",
        None,
        json!({"openinference.span.kind": "LLM", "llm.model_name": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
               "llm.token_count.prompt": 3, "llm.token_count.completion": 12, "llm.token_count.total": 13_256,
               "llm.token_count.prompt_details.cache_write": 25, "llm.token_count.prompt_details.cache_read": 13_216}),
    );
    assert_eq!(
        summary(&span).usage.unwrap().cache,
        Some(CacheAccounting { included: false, evidence: Evidence::CacheExceedsInput })
    );
    // 3 x 3 + 13,216 x 0.30 + 25 x 3.75 + 12 x 15, for a million each: 0.0042 and not 0.20.
    assert_eq!(priced(&span), (13_244, 12, "0.00424755".to_owned()));
}

#[test]
fn litellm_26919_cache_writes_are_not_paid_twice() {
    // LiteLLM counts both sides of the cache in the prompt; the total shows it.
    let span = written(
        "a",
        None,
        json!({"model": "eu.anthropic.claude-opus-4-5-20251101-v1:0",
               "usage": {"total_tokens": 103_925, "prompt_tokens": 98_805, "completion_tokens": 5_120,
                         "prompt_tokens_details": {"cached_tokens": 66_360},
                         "cache_read_input_tokens": 66_360, "cache_creation_input_tokens": 32_435,
                         "completion_tokens_details": {"reasoning_tokens": 1_710}}}),
    );
    let usage = summary(&span).usage.unwrap();
    assert_eq!((usage.input_tokens, usage.output_tokens), (Some(98_805), Some(5_120)));
    assert_eq!(usage.uncached_input_tokens(), 10);
    assert_eq!(usage.cache, Some(CacheAccounting { included: true, evidence: Evidence::Total }));
}

#[test]
fn openobserve_10992_the_cost_includes_the_cache() {
    let span = instrumented(
        "a",
        None,
        json!({"gen_ai.operation.name": "chat", "gen_ai.request.model": "claude-sonnet-4-5",
               "gen_ai.usage.input_tokens": 1_000, "gen_ai.usage.output_tokens": 0,
               "gen_ai.usage.cache_read.input_tokens": 600, "gen_ai.usage.cache_creation.input_tokens": 300}),
    );
    // 100 x 3 + 600 x 0.30 + 300 x 3.75, for a million each.
    assert_eq!(priced(&span), (1_000, 0, "0.001605".to_owned()));
}

#[test]
fn parents_that_go_in_a_circle_neither_lose_nor_double_usage() {
    // Two wrappers that name each other, with one call below.
    let ledger = add_up(&[
        agent("a", Some("b"), 120, 30),
        agent("b", Some("a"), 120, 30),
        chat("call", Some("b"), 120, 30),
    ]);
    assert_eq!((counted(&ledger), ledger.counted.len(), ledger.rollups.len()), ((120, 30), 1, 2));
    assert!(ledger.rollups.iter().all(|rollup| rollup.agrees));
    // Nothing below: one stands for the other, whatever the order in which they come.
    let mut circle = [chat("a", Some("b"), 5, 1), chat("b", Some("c"), 5, 1), chat("c", Some("a"), 5, 1)];
    for _ in 0..3 {
        circle.rotate_left(1);
        let ledger = add_up(&circle);
        assert_eq!((counted(&ledger), ledger.rollups.len()), ((5, 1), 2));
    }
}

#[test]
fn deep_and_wide_traces_are_added_up_in_one_pass() {
    // Each of many steps below the one before, all with a call: quadratic work would not end here.
    let mut spans = vec![agent("s0", None, 20_000, 20_000)];
    for depth in 1..=20_000_u64 {
        spans.push(instrumented(&format!("s{depth}"), Some(&format!("s{}", depth - 1)), json!({})));
        spans.push(chat(&format!("c{depth}"), Some(&format!("s{depth}")), 1, 1));
    }
    let ledger = add_up(&spans);
    assert_eq!((counted(&ledger), ledger.counted.len()), ((20_000, 20_000), 20_000));
    assert!(ledger.rollups[0].agrees);
}
