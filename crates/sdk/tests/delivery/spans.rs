//! What a span holds when it arrives.

use endspan::lane::{Outcome, Phase, StartMode};
use endspan::model::Span;
use endspan::{Payload, PayloadSource, SpanType, Status, Timestamp, Tracer, TurnUsage};
use serde_json::{Value, json};

use crate::{Recorder, assert_conserved, builder};

fn arrived(make: impl FnOnce(&Tracer)) -> Vec<Span> {
    let recorder = Recorder::delivering();
    let tracer = builder().exporter(recorder.clone()).build();
    make(&tracer);
    assert_conserved(&tracer.shutdown());
    let calls = recorder.calls.lock().unwrap();
    calls.iter().flat_map(|batch| batch.spans.iter().map(|entry| entry.span.clone())).collect()
}

fn only(make: impl FnOnce(&Tracer)) -> Span {
    let mut spans = arrived(make);
    assert_eq!(spans.len(), 1);
    spans.remove(0)
}

fn value(payload: &Option<Payload>) -> Value {
    payload.as_ref().map_or(Value::Null, Payload::to_value)
}

#[test]
fn rows_1_and_2_without_a_trace_id_nothing_happens() {
    let spans = arrived(|tracer| {
        let span = tracer.trace("").span("n").input(&json!({"a": 1})).start();
        assert!(span.is_noop() && span.id().is_empty());
        span.child("c").start().end();
        assert!(tracer.trace("").span("n").in_scope(|span| span.is_noop()));
    });
    assert_eq!(spans, []);
}

#[test]
fn row_3_a_span_has_an_id_a_trace_and_times() {
    let before = Timestamp::now();
    let span = only(|tracer| tracer.trace("t").span("n").start().end());
    assert_eq!(span.id.as_str().len(), 36);
    assert_eq!((span.trace_id.as_str(), span.name.as_str()), ("t", "n"));
    assert!(span.start_time >= before && span.end_time.unwrap() >= span.start_time);
    assert_eq!(span.task_id, None);
}

#[test]
fn row_4_the_task_stays() {
    let span = only(|tracer| tracer.trace("t").task_id("T").span("n").start().end());
    assert_eq!(span.task_id.as_deref(), Some("T"));
    let span = only(|tracer| tracer.trace("t").task_id("T").span("n").task_id("U").start().end());
    assert_eq!(span.task_id.as_deref(), Some("U"));
}

#[test]
fn row_5_without_exporters_spans_work_and_go_nowhere() {
    let tracer = builder().build();
    let mut span = tracer.trace("t").span("n").start();
    assert!(!span.id().is_empty());
    span.set_output(&json!({"a": 1}));
    span.end();
    let report = tracer.shutdown();
    assert_eq!(report.accounts, []);
}

#[test]
fn rows_6_and_17_empty_payloads_are_none() {
    let span = only(|tracer| {
        let mut span = tracer.trace("t").span("n").input(&json!({})).start();
        span.set_output(&json!([]));
        span.end();
    });
    assert_eq!((span.input, span.output), (None, None));
}

#[test]
fn row_11_lists_of_anything_are_kept() {
    let span = only(|tracer| tracer.trace("t").span("n").input(&json!(["a"])).start().end());
    assert_eq!(value(&span.input), json!(["a"]));
}

#[test]
fn row_12_what_cannot_be_encoded_is_marked_and_counted() {
    let recorder = Recorder::delivering();
    let tracer = builder().exporter(recorder.clone()).build();
    let mut span = tracer.trace("t").span("n").input(PayloadSource::json("{broken")).start();
    span.set_output(PayloadSource::unencodable("a lock"));
    span.end();
    tracer.flush(crate::PATIENCE);
    assert_eq!(tracer.stats().unencodable_payloads, 2);
    assert_conserved(&tracer.shutdown());
    let span = recorder.calls.lock().unwrap()[0].spans[0].span.clone();
    assert_eq!(value(&span.output), json!({"__unencodable__": {"reason": "a lock"}}));
    assert!(span.input.unwrap().get("__unencodable__").is_some());
}

#[test]
fn row_13_an_input_that_grows_arrives_grown() {
    let recorder = Recorder::delivering().starts(StartMode::Every);
    let tracer = builder().exporter(recorder.clone()).build();
    let mut messages = vec!["one"];
    let mut span = tracer.trace("t").span("n").input(&json!({"messages": messages})).start();
    messages.extend(["two", "three"]);
    span.set_input(&json!({"messages": messages}));
    span.end();
    assert_conserved(&tracer.shutdown());
    let calls = recorder.calls.lock().unwrap();
    let counts: Vec<(Phase, usize)> = calls
        .iter()
        .map(|batch| {
            let input = value(&batch.spans[0].span.input);
            (batch.phase, input["messages"].as_array().unwrap().len())
        })
        .collect();
    assert_eq!(counts, [(Phase::Start, 1), (Phase::End, 3)]);
}

#[test]
fn row_14_what_changes_after_the_end_is_not_seen() {
    let mut output = json!({"a": 1});
    let span = only(|tracer| {
        let mut span = tracer.trace("t").span("n").start();
        span.set_output(&output);
        output["a"] = json!(2);
        span.end();
    });
    assert_eq!(value(&span.output), json!({"a": 1}));
}

#[test]
fn row_16_a_preset_end_is_kept() {
    let end = Timestamp::from_unix_micros(1_700_000_000_000_000).unwrap();
    let span = only(|tracer| {
        let mut span = tracer.trace("t").span("n").start_time(end).start();
        span.set_end_time(end);
        span.end();
    });
    assert_eq!((span.start_time, span.end_time), (end, Some(end)));
}

#[test]
fn row_19_an_error_is_recorded_and_passed_on() {
    let span = only(|tracer| {
        let result: Result<(), std::num::ParseIntError> =
            tracer.trace("t").span("n").try_in_scope(|_| "boom".parse::<i32>().map(drop));
        assert!(result.is_err());
    });
    let expected = json!({"type": "ParseIntError", "message": "invalid digit found in string"});
    assert_eq!(value(&span.metadata)["__error__"], expected);
}

#[test]
fn row_19_a_panic_is_recorded_and_goes_on() {
    let span = only(|tracer| {
        let trace = tracer.trace("t");
        let panic = std::panic::catch_unwind(|| trace.span("n").in_scope(|_| panic!("boom")));
        assert!(panic.is_err());
    });
    assert_eq!(value(&span.metadata)["__error__"]["type"], "panic");
}

#[test]
fn rows_20_and_21_success_leaves_no_error_and_errors_leave_other_keys() {
    let span = only(|tracer| tracer.trace("t").span("n").in_scope(|_| ()));
    assert_eq!(span.metadata, None);
    let span = only(|tracer| {
        let data = json!({"__span_type__": "LLM"});
        let _ = tracer.trace("t").span("n").data(&data).try_in_scope(|_| Err::<(), _>("boom"));
    });
    let data = value(&span.metadata);
    assert_eq!(data["__span_type__"], "LLM");
    assert_eq!(data["__error__"], json!({"type": "str", "message": "boom"}));
}

#[test]
fn row_22_list_data_stays_as_it_is() {
    let span = only(|tracer| {
        let _ = tracer.trace("t").span("n").data(&json!([{"a": 1}])).try_in_scope(|_| Err::<(), _>("boom"));
    });
    assert_eq!(value(&span.metadata), json!([{"a": 1}]));
}

#[tokio::test]
async fn row_23_a_cancelled_scope_says_so() {
    let recorder = Recorder::delivering();
    let tracer = builder().exporter(recorder.clone()).build();
    let trace = tracer.trace("t");
    {
        let scope = trace.span("n").scope(async |_| std::future::pending::<()>().await);
        let mut scope = std::pin::pin!(scope);
        let poll = std::future::poll_fn(|context| std::task::Poll::Ready(scope.as_mut().poll(context)));
        assert!(poll.await.is_pending());
    }
    assert_conserved(&tracer.shutdown_async(crate::PATIENCE).await);
    let span = recorder.calls.lock().unwrap()[0].spans[0].span.clone();
    assert_eq!(span.status, Some(Status::Canceled));
    assert_eq!(value(&span.metadata)["__error__"]["type"], "Cancelled");
}

#[test]
fn rows_26_27_and_30_the_observability_context_goes_into_data_and_wins() {
    let span = only(|tracer| tracer.trace("t").span("n").start().end());
    assert_eq!(span.metadata, None);
    let recorder = Recorder::delivering();
    let ids = || Some(("0af7651916cd43dd8448eb211c80319c".to_owned(), "b7ad6b7169203331".to_owned()));
    let tracer = builder().exporter(recorder.clone()).observability_ids(ids).build();
    tracer.trace("t").span("n").data(&json!({"obs.trace_id": "mine", "k": 1})).start().end();
    tracer.trace("t").span("list").data(&json!([{"k": 1}])).start().end();
    assert_conserved(&tracer.shutdown());
    let calls = recorder.calls.lock().unwrap();
    let data: Vec<Value> =
        calls.iter().flat_map(|batch| &batch.spans).map(|entry| value(&entry.span.metadata)).collect();
    let expected = json!({"obs.trace_id": "0af7651916cd43dd8448eb211c80319c", "k": 1, "obs.span_id": "b7ad6b7169203331"});
    assert_eq!(data, [expected, json!([{"k": 1}])]);
}

#[test]
fn the_ambient_parent_follows_scopes_and_an_explicit_one_wins() {
    let spans = arrived(|tracer| {
        let trace = tracer.trace("t");
        let other = tracer.trace("other");
        let outside = trace.span("outside").start();
        trace.span("root").in_scope(|root| {
            trace.span("child").in_scope(|_| trace.span("grandchild").start().end());
            trace.span("explicit").parent(&outside).start().end();
            trace.span("forced root").root().start().end();
            other.span("other trace").start().end();
            root.child("by hand").start().end();
        });
        trace.span("after").start().end();
        outside.end();
    });
    let name_of = |id: Option<&str>| {
        id.map(|id| spans.iter().find(|span| span.id.as_str() == id).unwrap().name.clone())
            .unwrap_or_default()
    };
    let parents: std::collections::BTreeMap<String, String> = spans
        .iter()
        .map(|span| (span.name.clone(), name_of(span.parent_id.as_ref().map(|id| id.as_str()))))
        .collect();
    let parent = |name: &str| parents[name].as_str();
    assert_eq!(parent("child"), "root");
    assert_eq!(parent("grandchild"), "child");
    assert_eq!(parent("explicit"), "outside");
    assert_eq!(parent("by hand"), "root");
    for root in ["forced root", "other trace", "after", "root", "outside"] {
        assert_eq!(parent(root), "", "{root}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ambient_parent_follows_tasks_and_does_not_leak_between_them() {
    let recorder = Recorder::delivering();
    let tracer = builder().exporter(recorder.clone()).build();
    let tasks: Vec<_> = (0..20)
        .map(|task| {
            let trace = tracer.trace("t");
            tokio::spawn(async move {
                trace
                    .span(format!("parent {task}"))
                    .scope(async |_| {
                        for _ in 0..5 {
                            tokio::task::yield_now().await;
                            trace.span(format!("child {task}")).instrument(tokio::task::yield_now()).await;
                        }
                    })
                    .await;
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_conserved(&tracer.shutdown_async(crate::PATIENCE).await);
    let calls = recorder.calls.lock().unwrap();
    let spans: Vec<&Span> = calls.iter().flat_map(|batch| &batch.spans).map(|entry| &entry.span).collect();
    let names: std::collections::HashMap<&str, &str> =
        spans.iter().map(|span| (span.id.as_str(), span.name.as_str())).collect();
    for span in &spans {
        if let Some(task) = span.name.strip_prefix("child ") {
            assert_eq!(names[span.parent_id.as_ref().unwrap().as_str()], format!("parent {task}"));
        }
    }
    assert_eq!(spans.len(), 120);
}

#[test]
fn rows_116_to_119_usage_and_cost() {
    let data = |data: Value, record: &dyn Fn(&mut endspan::Span)| {
        let span = only(|tracer| {
            let mut span = tracer.trace("t").span("n").data(&data).start();
            record(&mut span);
            span.end();
        });
        value(&span.metadata)
    };
    let usage = json!({"input_tokens": 10});
    assert_eq!(
        data(json!({"k": 1}), &|span| span.record_usage(&usage, Some(0.25))),
        json!({"k": 1, "usage": {"input_tokens": 10}, "cost_usd": 0.25})
    );
    let turn = TurnUsage { output_tokens: Some(5), cost_usd: Some(0.5), ..TurnUsage::default() };
    assert_eq!(
        data(json!({}), &|span| span.record_usage(turn.clone(), Some(0.75))),
        json!({"usage": {"output_tokens": 5, "num_tool_calls": 0, "num_reasoning_blocks": 0}, "cost_usd": 0.75})
    );
    assert_eq!(data(json!({}), &|span| span.record_usage(turn.clone(), None))["cost_usd"], 0.5);
    let unknown = json!({"inputTokens": 10});
    assert_eq!(data(json!({}), &|span| span.record_usage(&unknown, None)), json!({"usage": unknown}));
    assert_eq!(data(json!([{"a": 1}]), &|span| span.record_usage(&usage, None)), json!({"usage": usage}));
    assert_eq!(data(json!({"k": 1}), &|span| span.record_usage(&json!({}), None)), json!({"k": 1}));
}

#[test]
fn types_statuses_and_expectations_arrive() {
    let span = only(|tracer| {
        let mut span = tracer.trace("t").group_id("g").span("n").span_type(SpanType::Completion).start();
        span.set_status(Status::Canceled);
        span.set_expected(&json!({"a": 1}));
        span.end();
    });
    assert_eq!(span.span_type, Some(SpanType::Completion));
    assert_eq!(value(&span.metadata), json!({"__span_type__": "COMPLETION"}));
    assert_eq!(span.status, Some(Status::Canceled));
    assert_eq!(value(&span.expected), json!({"a": 1}));
    assert_eq!(span.group_id.as_deref(), Some("g"));
}

#[test]
fn whole_spans_can_be_handed_over() {
    let whole = endspan_testkit::span("s").parent("p").input(&json!({"a": 1})).build();
    let span = only(|tracer| tracer.submit(&whole));
    assert_eq!(span, whole);
}

#[test]
fn a_span_that_is_too_large_goes_without_its_payloads() {
    let recorder = Recorder::delivering();
    let tracer = builder().exporter(recorder.clone()).build();
    let text = "x".repeat(40 << 20);
    let mut span = tracer.trace("t").span("n").data(&json!({"k": 1})).start();
    span.set_output(&json!({"text": text}));
    span.end();
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!(report.delivered(), 1);
    let span = recorder.calls.lock().unwrap()[0].spans[0].span.clone();
    assert!(span.output.unwrap().get("__unencodable__").is_some());
    assert_eq!(value(&span.metadata), json!({"k": 1}));
}

#[test]
fn a_long_name_is_cut_between_characters() {
    let span = only(|tracer| tracer.trace("t").span("ü".repeat(10_000)).start().end());
    assert_eq!(span.name.len(), 16 * 1024);
    assert!(span.name.chars().all(|character| character == 'ü'));
}

#[test]
fn a_custom_exporter_that_panics_harms_nobody() {
    let recorder = Recorder::delivering().named("good");
    let bad = Recorder::new(|_| -> Outcome { panic!("an exporter's bug") }).named("bad");
    let tracer = builder().exporter(bad).exporter(recorder.clone()).build();
    tracer.trace("t").span("n").start().end();
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!(report.account("good").unwrap().delivered, 1);
    assert_eq!(report.account("bad").unwrap().dropped.of(endspan::DropReason::Rejected), 1);
}
