//! Partial updates.

use endspan_model::{AccountId, DropReason, Span, Status};

use super::*;

async fn patched(subject: &dyn Subject, id: &str, changes: SpanPatch) -> Span {
    let outcomes = write(subject, vec![patch(id, changes)]).await;
    let Outcome::Patched(answer) = &outcomes[0] else { panic!("expected a patched span, got {outcomes:?}") };
    let stored = find(subject, id).await;
    assert_eq!(**answer, stored, "the answer is how the span reads now");
    stored.span
}

/// Nothing appears.
pub async fn agentex_row_32_unknown_id_is_not_found(subject: &mut dyn Subject) {
    store_all(subject, [ended_span("t", "s")]).await;
    let outcomes = write(subject, vec![patch("nope", SpanPatch::default())]).await;
    assert_eq!(outcomes, [Outcome::Rejected(Rejection::NotFound)]);
    assert_eq!(subject.store().stats().await.unwrap().spans, 1);
}

/// A no-op is answered with the span.
pub async fn agentex_rows_33_34_an_empty_patch_changes_nothing(subject: &mut dyn Subject) {
    let span = Span { input: payload(r#"{"a":1}"#), ..ended_span("t", "s") };
    store_all(subject, [span.clone()]).await;
    assert_eq!(patched(subject, "s", SpanPatch::default()).await, span);
}

/// The rest of the payloads stays.
pub async fn agentex_row_35_metadata_merges_at_the_top_level(subject: &mut dyn Subject) {
    let span = Span {
        input: payload(r#"{"i":1}"#),
        metadata: payload(r#"{"k":1,"n":{"x":1}}"#),
        ..ended_span("t", "s")
    };
    store_all(subject, [span.clone()]).await;
    let merge = SpanPatch { merge_metadata: payload(r#"{"n":{"y":2},"z":null}"#), ..SpanPatch::default() };
    let expected = Span { metadata: payload(r#"{"k":1,"n":{"y":2},"z":null}"#), ..span };
    assert_eq!(patched(subject, "s", merge).await, expected);
}

/// The reference answers 500 or garbles the data.
pub async fn agentex_rows_38_to_40_metadata_that_cannot_merge_is_rejected(subject: &mut dyn Subject) {
    let span = Span { metadata: payload(r#"[{"a":1}]"#), ..ended_span("t", "s") };
    store_all(subject, [span.clone()]).await;
    let merge = SpanPatch {
        merge_metadata: payload(r#"{"x":1}"#),
        name: Some("not this either".to_owned()),
        ..SpanPatch::default()
    };
    let outcomes = write(subject, vec![patch("s", merge)]).await;
    assert_rejected(&outcomes[0], DropReason::Malformed, "metadata");
    assert_eq!(find(subject, "s").await.span, span);
}

/// Only metadata merges.
pub async fn agentex_row_41_input_is_replaced(subject: &mut dyn Subject) {
    store_all(subject, [Span { input: payload(r#"{"a":1}"#), ..ended_span("t", "s") }]).await;
    let changes = SpanPatch { input: payload(r#"{"b":2}"#), ..SpanPatch::default() };
    assert_eq!(patched(subject, "s", changes).await.input, payload(r#"{"b":2}"#));
}

/// Empty text is a value, also as a trace id.
pub async fn agentex_row_43_empty_text_is_stored(subject: &mut dyn Subject) {
    store_all(subject, [ended_span("t", "s")]).await;
    let changes = SpanPatch { name: Some(String::new()), trace_id: Some("".into()), ..SpanPatch::default() };
    let expected = Span { name: String::new(), ..ended_span("", "s") };
    assert_eq!(patched(subject, "s", changes).await, expected);
}

/// It leaves the old one.
pub async fn agentex_row_46_a_span_moves_to_another_trace(subject: &mut dyn Subject) {
    store_all(subject, [ended_span("t", "s"), ended_span("t", "stays")]).await;
    let changes = SpanPatch { trace_id: Some("u".into()), ..SpanPatch::default() };
    assert_eq!(patched(subject, "s", changes).await, ended_span("u", "s"));
    assert_eq!(find_in(subject, "t", "s").await, None);
    assert_eq!(find_in(subject, "u", "s").await, Some(ended_span("u", "s")));
    let store = subject.store();
    assert_eq!(ids(&store.read_trace(None, &"t".into(), true).await.unwrap()), ["stays"]);
    assert_eq!(ids(&store.read_trace(None, &"u".into(), true).await.unwrap()), ["s"]);
}

/// The reference keeps about four of them.
pub async fn agentex_row_47_twenty_concurrent_patches_all_take_effect(subject: &mut dyn Subject) {
    store_all(subject, [ended_span("t", "s")]).await;
    let store = subject.store();
    let writes = (0..20)
        .map(|number| {
            let merge = payload(&format!("{{\"k{number}\":{number}}}"));
            let merge = SpanPatch { merge_metadata: merge, ..SpanPatch::default() };
            store.write(request(vec![patch("s", merge)]))
        })
        .collect();
    for answer in join_all(writes).await {
        assert!(answer.unwrap().is_success());
    }
    let metadata = find(subject, "s").await.span.metadata.unwrap();
    assert_eq!(metadata.members().unwrap().len(), 20);
}

/// What is not named stays.
pub async fn sgp_row_31_status_and_output_only(subject: &mut dyn Subject) {
    let span = Span { input: payload(r#"{"a":1}"#), metadata: payload(r#"{"m":1}"#), ..open_span("t", "s") };
    store_all(subject, [span.clone()]).await;
    let changes = SpanPatch {
        status: Some(Status::Error),
        output: payload(r#"{"o":1}"#),
        end_time: Some(at(7)),
        ..SpanPatch::default()
    };
    let expected =
        Span { status: Some(Status::Error), output: payload(r#"{"o":1}"#), end_time: Some(at(7)), ..span };
    assert_eq!(patched(subject, "s", changes).await, expected);
}

/// Of two traces that hold the id.
pub async fn the_newest_span_with_the_id_is_patched(subject: &mut dyn Subject) {
    store_all(subject, [ended_span("u", "s"), ended_span("t", "s")]).await;
    let rename = SpanPatch { name: Some("renamed".to_owned()), ..SpanPatch::default() };
    let expected = Span { name: "renamed".to_owned(), ..ended_span("t", "s") };
    assert_eq!(patched(subject, "s", rename.clone()).await, expected);
    assert_eq!(find_in(subject, "u", "s").await, Some(ended_span("u", "s")));
    store_all(subject, [ended_span("u", "s")]).await;
    let expected = Span { name: "renamed".to_owned(), ..ended_span("u", "s") };
    assert_eq!(patched(subject, "s", rename).await, expected);
}

/// No span is overwritten by a move.
pub async fn a_move_onto_another_span_is_rejected(subject: &mut dyn Subject) {
    store_all(subject, [ended_span("u", "s"), ended_span("t", "s")]).await;
    let changes = SpanPatch { trace_id: Some("u".into()), ..SpanPatch::default() };
    let outcomes = write(subject, vec![patch("s", changes)]).await;
    assert_rejected(&outcomes[0], DropReason::Duplicate, "trace_id");
    assert_eq!(find_in(subject, "t", "s").await, Some(ended_span("t", "s")));
    assert_eq!(find_in(subject, "u", "s").await, Some(ended_span("u", "s")));
    let stay = SpanPatch { trace_id: Some("t".into()), ..SpanPatch::default() };
    assert_eq!(patched(subject, "s", stay).await, ended_span("t", "s"));
}

/// Also payloads that are not on disk yet, and moves.
pub async fn a_patch_sees_the_operations_before_it(subject: &mut dyn Subject) {
    let merge = |text| SpanPatch { merge_metadata: payload(text), ..SpanPatch::default() };
    let span = Span { metadata: payload(r#"{"a":1}"#), input: payload(r#"{"i":1}"#), ..ended_span("t", "s") };
    let to_u = SpanPatch { trace_id: Some("u".into()), ..SpanPatch::default() };
    let outcomes = write(
        subject,
        vec![
            WriteOperation::Upsert(span.clone()),
            patch("s", merge(r#"{"b":2}"#)),
            patch("s", to_u),
            patch("s", merge(r#"{"c":3}"#)),
            WriteOperation::Upsert(ended_span("t", "s")),
        ],
    )
    .await;
    assert!(matches!(outcomes[3], Outcome::Patched(_)));
    let expected = Span { trace_id: "u".into(), metadata: payload(r#"{"a":1,"b":2,"c":3}"#), ..span };
    assert_eq!(find_in(subject, "u", "s").await, Some(expected));
    assert_eq!(find_in(subject, "t", "s").await, Some(ended_span("t", "s")));
}

/// The id of another account is unknown.
pub async fn patches_stay_within_their_account(subject: &mut dyn Subject) {
    store_all(subject, [ended_span("t", "s")]).await;
    let rename = SpanPatch { name: Some("stolen".to_owned()), ..SpanPatch::default() };
    let request = WriteRequest { account: AccountId::new("other"), ..request(vec![patch("s", rename)]) };
    let outcomes = subject.store().write(request).await.unwrap().outcomes;
    assert_eq!(outcomes, [Outcome::Rejected(Rejection::NotFound)]);
    assert_eq!(find(subject, "s").await.span, ended_span("t", "s"));
}
