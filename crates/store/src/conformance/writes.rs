//! Inserts, upserts, the merge rule, requests.

use endspan_model::{AccountId, DropReason, Span, SpanType, Status, Timestamp};

use super::*;
use crate::{ListQuery, TraceQuery};

fn full_span() -> Span {
    Span {
        parent_id: Some("the parent".into()),
        end_time: Some(at(1_234_567)),
        status: Some(Status::Canceled),
        span_type: Some(SpanType::Completion),
        input: payload(r#"{"messages":[{"role":"user","content":"hi"}]}"#),
        output: payload(r#"[{"z":1},{"a":2}]"#),
        metadata: payload(r#"{"k":null}"#),
        expected: payload(r#"{"e":[]}"#),
        task_id: Some("task".to_owned()),
        group_id: Some("group".to_owned()),
        application_variant_id: Some("variant".to_owned()),
        application_interaction_id: Some("interaction".to_owned()),
        obs_trace_id: Some("0123456789abcdef0123456789abcdef".to_owned()),
        obs_span_id: Some("0123456789abcdef".to_owned()),
        otel: payload(r#"{"kind":3}"#),
        ..open_span("trace", "full")
    }
}

/// Every field that was given comes back as it was.
pub async fn agentex_row_2_every_field_comes_back_equal(subject: &mut dyn Subject) {
    let span = full_span();
    store_all(subject, [span.clone()]).await;
    let stored = find(subject, "full").await;
    assert_eq!(stored.span, span);
    assert_eq!(stored.account, account());
    assert!(stored.version > 0);
}

/// No field is invented, and empty text differs from absent text.
pub async fn agentex_row_1_absent_fields_stay_absent(subject: &mut dyn Subject) {
    let empty_texts = Span {
        parent_id: Some("".into()),
        task_id: Some(String::new()),
        group_id: Some(String::new()),
        application_variant_id: Some(String::new()),
        application_interaction_id: Some(String::new()),
        obs_trace_id: Some(String::new()),
        obs_span_id: Some(String::new()),
        ..open_span("t", "empty")
    };
    store_all(subject, [open_span("t", "bare"), empty_texts.clone()]).await;
    assert_eq!(find(subject, "bare").await.span, open_span("t", "bare"));
    assert_eq!(find(subject, "empty").await.span, empty_texts);
}

/// Also when the taken id is in another trace, and when both come in one request.
pub async fn agentex_row_3_insert_of_a_taken_id_is_rejected_and_changes_nothing(subject: &mut dyn Subject) {
    let outcomes = write(
        subject,
        vec![WriteOperation::Insert(ended_span("t", "a1")), WriteOperation::Insert(ended_span("u", "a1"))],
    )
    .await;
    assert_eq!(outcomes[0], Outcome::Stored);
    assert_rejected(&outcomes[1], DropReason::Duplicate, "id");
    let again = Span { name: "other".to_owned(), ..ended_span("t", "a1") };
    let outcomes = write(subject, vec![WriteOperation::Insert(again)]).await;
    assert_rejected(&outcomes[0], DropReason::Duplicate, "id");
    assert_eq!(find(subject, "a1").await.span, ended_span("t", "a1"));
    assert_eq!(find_in(subject, "u", "a1").await, None);
}

/// Concurrent requests, not one request.
pub async fn agentex_row_4_of_ten_concurrent_inserts_one_wins(subject: &mut dyn Subject) {
    let store = subject.store();
    let writes = (0..10)
        .map(|number| {
            let span = Span { name: format!("name {number}"), ..open_span("t", "contested") };
            store.write(request(vec![WriteOperation::Insert(span)]))
        })
        .collect();
    let outcomes: Vec<Outcome> =
        join_all(writes).await.into_iter().map(|answer| answer.unwrap().outcomes.remove(0)).collect();
    let winners: Vec<usize> = (0..10).filter(|number| outcomes[*number] == Outcome::Stored).collect();
    assert_eq!(winners.len(), 1, "{outcomes:?}");
    for (number, outcome) in outcomes.iter().enumerate() {
        if number != winners[0] {
            assert_rejected(outcome, DropReason::Duplicate, "id");
        }
    }
    assert_eq!(find(subject, "contested").await.span.name, format!("name {}", winners[0]));
}

/// Empty text is text.
pub async fn agentex_row_6_and_9_empty_ids_and_names_are_values(subject: &mut dyn Subject) {
    let nameless = Span { name: String::new(), ..ended_span("", "") };
    assert_eq!(write(subject, vec![WriteOperation::Insert(nameless.clone())]).await, [Outcome::Stored]);
    assert_eq!(find(subject, "").await.span, nameless);
    assert_eq!(find_in(subject, "", "").await, Some(nameless.clone()));
    let outcomes = write(subject, vec![WriteOperation::Insert(nameless)]).await;
    assert_rejected(&outcomes[0], DropReason::Duplicate, "id");
}

/// `{}`, `[]` and `null` are payloads.
pub async fn agentex_row_15_empty_containers_are_not_absent(subject: &mut dyn Subject) {
    let span = Span {
        input: payload("[]"),
        output: payload("{}"),
        metadata: payload("null"),
        expected: payload(r#"[{"x":1}]"#),
        ..ended_span("t", "s")
    };
    store_all(subject, [span.clone()]).await;
    assert_eq!(find(subject, "s").await.span, span);
}

/// The API decides about it, not the store.
pub async fn agentex_row_16_end_before_start_is_stored(subject: &mut dyn Subject) {
    let span = Span { end_time: Some(at(-5)), ..open_span("t", "s") };
    store_all(subject, [span.clone()]).await;
    assert_eq!(find(subject, "s").await.span, span);
}

/// Key order, repeated keys, number text, escapes.
pub async fn agentex_rows_26_29_30_payload_text_comes_back_byte_for_byte(subject: &mut dyn Subject) {
    let text = "{\"z\":1,\"a\":\"\\u0000\\ud83d\\ude00\",\"m\":123456789012345678901234567890,\"m\":[-0.0,1.10,1E5],\"ü\":\"😀\"}";
    let span = Span { input: payload(text), ..ended_span("t", "s") };
    store_all(subject, [span]).await;
    assert_eq!(find(subject, "s").await.span.input.unwrap().as_bytes(), text.as_bytes());
}

/// NUL, slashes, percent signs, quotes, what looks like other encodings of the same id.
pub async fn ids_and_names_hold_any_text(subject: &mut dyn Subject) {
    let texts = [
        "a/b c",
        "nul\0inside",
        "\0",
        "ünï\u{10ffff}",
        "%_'\";--",
        "0198c0de-0000-7000-8000-00000000abcd",
        "0198C0DE-0000-7000-8000-00000000ABCD",
        "0198c0de0000700080000000_000abcd",
        "0198c0de00007000800000000000abcd",
        "0198c0de00007000",
        "{0198c0de-0000-7000-8000-00000000abcd}",
        " 0198c0de00007000",
    ];
    let spans: Vec<Span> = texts
        .iter()
        .map(|text| Span {
            name: (*text).to_owned(),
            parent_id: Some((*text).into()),
            task_id: Some((*text).to_owned()),
            ..ended_span(text, text)
        })
        .collect();
    store_all(subject, spans.clone()).await;
    for (text, span) in texts.iter().zip(spans) {
        assert_eq!(find(subject, text).await.span, span);
        assert_eq!(find_in(subject, text, text).await, Some(span));
    }
    let odd = AccountId::new("acc\0ount/ü");
    let request = WriteRequest {
        account: odd.clone(),
        ..request(vec![WriteOperation::Insert(ended_span("t", "in the odd account"))])
    };
    subject.store().write(request).await.unwrap();
    let found = subject.store().find_span(None, &"in the odd account".into()).await.unwrap().unwrap();
    assert_eq!(found.account, odd);
}

/// Years 1 and 9999, before the epoch, nanoseconds.
pub async fn extreme_times_keep_their_nanoseconds(subject: &mut dyn Subject) {
    let times = [
        (Timestamp::MIN, Timestamp::MAX),
        (Timestamp::MAX, Timestamp::MIN),
        (Timestamp::from_unix_nanos(-1).unwrap(), Timestamp::from_unix_nanos(0).unwrap()),
        (Timestamp::from_unix_nanos(1).unwrap(), Timestamp::from_unix_nanos(999).unwrap()),
    ];
    for (number, (start_time, end)) in times.into_iter().enumerate() {
        let id = number.to_string();
        let span = Span { start_time, end_time: Some(end), ..open_span("t", &id) };
        store_all(subject, [span.clone()]).await;
        assert_eq!(find(subject, &id).await.span, span);
    }
}

/// Ids of 256 bytes; payloads far beyond one page, beside small ones in the same request.
pub async fn long_ids_and_large_payloads_come_back(subject: &mut dyn Subject) {
    let long = "x".repeat(256);
    let mut state = 1_u64;
    let noise: String = (0..3_000_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'a' + ((state >> 59) as u8 % 26))
        })
        .collect();
    let large = Span { output: payload(&format!("{{\"noise\":\"{noise}\"}}")), ..ended_span(&long, &long) };
    let small = Span { output: payload(r#"{"a":1}"#), ..ended_span(&long, "small") };
    store_all(subject, [large.clone(), small.clone()]).await;
    assert_eq!(find(subject, &long).await.span, large);
    assert_eq!(find(subject, "small").await.span, small);
}

/// Completed beats unfinished, whatever the order.
pub async fn sgp_row_19_finished_beats_unfinished_within_a_request(subject: &mut dyn Subject) {
    let late = Span { name: "late start".to_owned(), ..open_span("t", "s") };
    let outcomes =
        write(subject, vec![WriteOperation::Upsert(ended_span("t", "s")), WriteOperation::Upsert(late)])
            .await;
    assert_eq!(outcomes, [Outcome::Stored, Outcome::Superseded]);
    assert_eq!(find(subject, "s").await.span, ended_span("t", "s"));
    store_all(subject, [open_span("t", "r"), ended_span("t", "r")]).await;
    assert_eq!(find(subject, "r").await.span, ended_span("t", "r"));
}

/// Within a request and across two.
pub async fn sgp_row_20_the_later_of_two_finished_wins(subject: &mut dyn Subject) {
    let later = Span { name: "later".to_owned(), ..ended_span("t", "s") };
    store_all(subject, [ended_span("t", "s"), later.clone()]).await;
    assert_eq!(find(subject, "s").await.span, later);
    let latest = Span { name: "latest".to_owned(), ..ended_span("t", "s") };
    store_all(subject, [latest.clone()]).await;
    assert_eq!(find(subject, "s").await.span, latest);
}

/// Identity includes the trace.
pub async fn sgp_row_21_one_id_in_two_traces_is_two_spans(subject: &mut dyn Subject) {
    store_all(subject, [ended_span("t", "s"), ended_span("u", "s")]).await;
    assert_eq!(find_in(subject, "t", "s").await, Some(ended_span("t", "s")));
    assert_eq!(find_in(subject, "u", "s").await, Some(ended_span("u", "s")));
    assert_eq!(subject.store().stats().await.unwrap().spans, 2);
}

/// Across requests.
pub async fn sgp_row_22_a_late_start_is_superseded(subject: &mut dyn Subject) {
    store_all(subject, [ended_span("t", "s")]).await;
    let late = Span { name: "late start".to_owned(), ..open_span("t", "s") };
    assert_eq!(write(subject, vec![WriteOperation::Upsert(late)]).await, [Outcome::Superseded]);
    assert_eq!(find(subject, "s").await.span, ended_span("t", "s"));
}

/// What the later version leaves out is gone.
pub async fn sgp_row_23_an_end_replaces_its_start_as_a_whole(subject: &mut dyn Subject) {
    let start = Span { input: payload(r#"{"a":1}"#), task_id: Some("k".to_owned()), ..open_span("t", "s") };
    store_all(subject, [start]).await;
    let end = Span { output: payload(r#"{"b":2}"#), ..ended_span("t", "s") };
    store_all(subject, [end.clone()]).await;
    assert_eq!(find(subject, "s").await.span, end);
    assert_eq!(subject.store().stats().await.unwrap().spans, 1);
}

/// Delivery is idempotent.
pub async fn sgp_row_24_the_same_batch_again_changes_nothing(subject: &mut dyn Subject) {
    let spans: Vec<Span> =
        (0..50).map(|number| ended_span(&format!("t{}", number % 3), &number.to_string())).collect();
    store_all(subject, spans.clone()).await;
    let store = subject.store();
    let traces = store.list_traces(None, &TraceQuery { limit: 10, ..TraceQuery::default() }).await.unwrap();
    store_all(subject, spans.clone()).await;
    assert_eq!(
        store.list_traces(None, &TraceQuery { limit: 10, ..TraceQuery::default() }).await.unwrap(),
        traces
    );
    assert_eq!(store.stats().await.unwrap().spans, 50);
    for span in spans {
        assert_eq!(find(subject, span.id.as_str()).await.span, span);
    }
}

/// Unlike in the reference, a re-sent span never doubles.
pub async fn sgp_row_25_a_start_on_another_day_is_the_same_span(subject: &mut dyn Subject) {
    store_all(subject, [ended_span("t", "s")]).await;
    let tomorrow = at(86_400_000_000);
    let moved = Span { start_time: tomorrow, end_time: Some(tomorrow), ..open_span("t", "s") };
    store_all(subject, [moved.clone()]).await;
    let spans = subject.store().read_trace(Some(&account()), &"t".into(), true).await.unwrap();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].span, moved);
}

/// Neither in reads nor in writes.
pub async fn accounts_never_meet(subject: &mut dyn Subject) {
    let store = subject.store();
    let (mine, other) = (account(), AccountId::new("other"));
    let ours = Span { name: "mine".to_owned(), ..ended_span("t", "s") };
    let theirs = Span { name: "theirs".to_owned(), task_id: Some("k".to_owned()), ..ended_span("t", "s") };
    store_all(subject, [ours.clone()]).await;
    for operation in [WriteOperation::Insert(theirs.clone()), WriteOperation::Upsert(theirs.clone())] {
        let answer =
            store.write(WriteRequest { account: other.clone(), ..request(vec![operation]) }).await.unwrap();
        assert_eq!(answer.outcomes, [Outcome::Stored]);
    }
    let (trace, id) = ("t".into(), "s".into());
    for (account, span) in [(&mine, &ours), (&other, &theirs)] {
        let scope = Some(account);
        assert_eq!(store.find_span(scope, &id).await.unwrap().unwrap().span, *span);
        assert_eq!(store.find_span_in_trace(scope, &trace, &id).await.unwrap().unwrap().span, *span);
        let query = ListQuery { limit: 10, ..ListQuery::default() };
        let listed = store.list_spans(scope, &query).await.unwrap();
        let read = store.read_trace(scope, &trace, true).await.unwrap();
        let changed = store.changes(scope, 0, 10).await.unwrap().spans;
        for spans in [listed, read, changed] {
            assert_eq!(spans.iter().map(|stored| &stored.span).collect::<Vec<_>>(), [span]);
            assert_eq!(spans[0].account, *account);
        }
        let page =
            store.list_traces(scope, &TraceQuery { limit: 10, ..TraceQuery::default() }).await.unwrap();
        assert_eq!(page.traces.len(), 1);
        assert_eq!((&page.traces[0].name, page.traces[0].span_count), (&span.name, 1));
    }
    let nobody = AccountId::new("nobody");
    assert_eq!(store.find_span(Some(&nobody), &id).await.unwrap(), None);
    assert_eq!(store.read_trace(Some(&nobody), &trace, true).await.unwrap(), []);
    assert_eq!(store.read_trace(None, &trace, true).await.unwrap().len(), 2);
}

/// In the middle of a batch.
pub async fn one_rejected_operation_costs_nobody_else(subject: &mut dyn Subject) {
    store_all(subject, [ended_span("t", "taken")]).await;
    let outcomes = write(
        subject,
        vec![
            WriteOperation::Upsert(ended_span("t", "before")),
            WriteOperation::Insert(ended_span("t", "taken")),
            patch("unknown", SpanPatch::default()),
            WriteOperation::Upsert(ended_span("t", "after")),
        ],
    )
    .await;
    assert_eq!(outcomes[0], Outcome::Stored);
    assert_rejected(&outcomes[1], DropReason::Duplicate, "id");
    assert_eq!(outcomes[2], Outcome::Rejected(Rejection::NotFound));
    assert_eq!(outcomes[3], Outcome::Stored);
    find(subject, "before").await;
    find(subject, "after").await;
}

/// Not a new span, not a replacement, not a patch; every rejection is named.
pub async fn all_or_nothing_stores_nothing_when_one_is_rejected(subject: &mut dyn Subject) {
    store_all(subject, [open_span("t", "taken"), open_span("t", "patched"), open_span("t", "replaced")])
        .await;
    let move_and_rename =
        SpanPatch { trace_id: Some("u".into()), name: Some("new".to_owned()), ..SpanPatch::default() };
    let operations = vec![
        WriteOperation::Upsert(ended_span("t", "new")),
        WriteOperation::Insert(ended_span("v", "new too")),
        WriteOperation::Upsert(ended_span("t", "replaced")),
        patch("patched", move_and_rename),
        WriteOperation::Insert(ended_span("t", "taken")),
        patch("new", SpanPatch { status: Some(Status::Error), ..SpanPatch::default() }),
        patch("unknown", SpanPatch::default()),
    ];
    let request = WriteRequest { all_or_nothing: true, ..request(operations) };
    let outcomes = subject.store().write(request).await.unwrap().outcomes;
    for index in [0, 1, 2, 3, 5] {
        assert_eq!(outcomes[index], Outcome::NotStored);
    }
    assert_rejected(&outcomes[4], DropReason::Duplicate, "id");
    assert_eq!(outcomes[6], Outcome::Rejected(Rejection::NotFound));
    assert_eq!(find_in(subject, "t", "new").await, None);
    assert_eq!(find(subject, "patched").await.span, open_span("t", "patched"));
    assert_eq!(find(subject, "replaced").await.span, open_span("t", "replaced"));
    let traces = subject
        .store()
        .list_traces(None, &TraceQuery { limit: 10, ..TraceQuery::default() })
        .await
        .unwrap()
        .traces;
    assert_eq!(traces.len(), 1);
    assert_eq!((traces[0].span_count, traces[0].open_count), (3, 3));
}

/// Superseded counts as in order.
pub async fn all_or_nothing_stores_everything_when_none_is_rejected(subject: &mut dyn Subject) {
    store_all(subject, [ended_span("t", "old")]).await;
    let operations =
        vec![WriteOperation::Upsert(open_span("t", "old")), WriteOperation::Upsert(ended_span("t", "new"))];
    let request = WriteRequest { all_or_nothing: true, ..request(operations) };
    let outcomes = subject.store().write(request).await.unwrap().outcomes;
    assert_eq!(outcomes, [Outcome::Superseded, Outcome::Stored]);
    find(subject, "new").await;
}

/// Each operation meets what those before it left.
pub async fn operations_of_one_request_apply_in_order(subject: &mut dyn Subject) {
    let rename = |name: &str| SpanPatch { name: Some(name.to_owned()), ..SpanPatch::default() };
    let outcomes = write(
        subject,
        vec![
            patch("s", rename("too early")),
            WriteOperation::Insert(open_span("t", "s")),
            patch("s", rename("renamed")),
            WriteOperation::Insert(open_span("t", "s")),
            WriteOperation::Upsert(ended_span("t", "s")),
            patch("s", rename("last")),
        ],
    )
    .await;
    assert_eq!(outcomes[0], Outcome::Rejected(Rejection::NotFound));
    assert_eq!(outcomes[1], Outcome::Stored);
    assert!(matches!(&outcomes[2], Outcome::Patched(stored) if stored.span.name == "renamed"));
    assert_rejected(&outcomes[3], DropReason::Duplicate, "id");
    assert_eq!(outcomes[4], Outcome::Stored);
    let expected = Span { name: "last".to_owned(), ..ended_span("t", "s") };
    assert!(matches!(&outcomes[5], Outcome::Patched(stored) if stored.span == expected));
    assert_eq!(find(subject, "s").await.span, expected);
}

/// With and without conditions.
pub async fn an_empty_request_is_answered(subject: &mut dyn Subject) {
    assert_eq!(write(subject, vec![]).await, []);
    let request = WriteRequest { all_or_nothing: true, check_parents: true, ..request(vec![]) };
    assert_eq!(subject.store().write(request).await.unwrap().outcomes, []);
}

/// A caller that goes away takes nothing with it.
pub async fn a_dropped_write_does_not_stop_the_store(subject: &mut dyn Subject) {
    let store = subject.store();
    for number in 0..20 {
        let id = format!("dropped {number}");
        let mut future = store.write(request(vec![WriteOperation::Upsert(ended_span("t", &id))]));
        std::future::poll_fn(|context| {
            let _ = future.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
    }
    store_all(subject, [ended_span("t", "kept")]).await;
    find(subject, "kept").await;
}
