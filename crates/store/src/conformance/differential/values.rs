//! What the comparison is fed with: few distinct values, so that they meet, and the extremes.

use endspan_model::{AccountId, Payload, Span, SpanPatch, SpanType, Status, Timestamp};
use proptest::collection::vec;
use proptest::{
    option,
    prelude::{Just, Strategy, any, prop_oneof},
    sample::select,
};

use super::super::*;
use crate::{
    Assessment, AssessmentWrite, Deleting,
    assessment::{Approval, AssessmentContent, AssessmentType},
};

pub(super) const IDS: &[&str] = &[
    "",
    "a",
    "b",
    "B",
    "ünï\0",
    "0198c0de-0000-7000-8000-00000000abcd",
    "0198C0DE-0000-7000-8000-00000000abcd",
    "0198c0de00007000800000000000abcd",
    "0198c0de00007000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
];

const PAYLOADS: &[&str] = &[
    "{}",
    "[]",
    "null",
    r#"{"a":1}"#,
    r#"{"b":{"x":[1,2]},"a":null}"#,
    r#"[{"a":1},{"b":2}]"#,
    r#"{"nul":"\u0000","big":123456789012345678901234567890,"neg":-0.0}"#,
    r#"{"ü":"\ud83d\ude00"}"#,
    r#"{"usage":{"input_tokens":3,"completion_tokens":7}}"#,
    r#"{"usage":{"output_tokens":2},"__agent_name__":"a","__agent_id__":"b","__acp_type__":"sync"}"#,
    r#"{"cost_usd":0.25,"model":"m","__error__":{"type":"E","message":"Connection lost, at B/c"}}"#,
    r#"{"gen_ai.usage.cost":3,"text":"Straße \u00fcber conn\u0045ction"}"#,
];

#[derive(Clone, Debug)]
pub(super) enum Step {
    Write(WriteRequest),
    Assess(Box<AssessmentWrite>),
    /// The spans of a piece, and how many in all at most.
    Delete(Option<AccountId>, Deleting, u32, u32),
    Maintain,
    Reopen,
}

fn id() -> impl Strategy<Value = &'static str> {
    select(IDS)
}

fn text() -> impl Strategy<Value = Option<String>> {
    option::weighted(0.3, id().prop_map(str::to_owned))
}

fn account_id() -> impl Strategy<Value = AccountId> {
    prop_oneof![4 => Just("default"), 1 => Just("other"), 1 => Just("")].prop_map(AccountId::new)
}

/// Few distinct moments, so that ties are common, and the extremes.
fn timestamp() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        8 => (0_i64..4).prop_map(at),
        2 => (0_i128..2500).prop_map(|nanos| Timestamp::from_unix_nanos(nanos - 1200).unwrap()),
        1 => Just(Timestamp::MIN),
        1 => Just(Timestamp::MAX),
    ]
}

fn some_payload() -> impl Strategy<Value = Option<Payload>> {
    let large = (1_usize..40_000, any::<u8>()).prop_map(|(length, seed)| {
        let text: String = (0..length)
            .map(|index| char::from(b'a' + ((index * index + seed as usize) % 23) as u8))
            .collect();
        payload(&format!("{{\"text\":\"{text}\"}}"))
    });
    prop_oneof![6 => Just(None), 6 => select(PAYLOADS).prop_map(payload), 1 => large]
}

fn status() -> impl Strategy<Value = Option<Status>> {
    option::of(select(Status::ALL.to_vec()))
}

fn span() -> impl Strategy<Value = Span> {
    let identity = (id(), id(), option::of(id()), id(), timestamp(), option::of(timestamp()));
    let kinds = (status(), option::of(select(SpanType::ALL.to_vec())));
    let payloads = (some_payload(), some_payload(), some_payload(), some_payload(), some_payload());
    let texts = (text(), text(), text(), text(), text(), text());
    (identity, kinds, payloads, texts).prop_map(|(identity, kinds, payloads, texts)| Span {
        trace_id: identity.0.into(),
        id: identity.1.into(),
        parent_id: identity.2.map(Into::into),
        name: identity.3.to_owned(),
        start_time: identity.4,
        end_time: identity.5,
        status: kinds.0,
        span_type: kinds.1,
        input: payloads.0,
        output: payloads.1,
        metadata: payloads.2,
        expected: payloads.3,
        otel: payloads.4,
        task_id: texts.0,
        group_id: texts.1,
        application_variant_id: texts.2,
        application_interaction_id: texts.3,
        obs_trace_id: texts.4,
        obs_span_id: texts.5,
    })
}

fn span_patch() -> impl Strategy<Value = SpanPatch> {
    let rare = |strategy| option::weighted(0.2, strategy);
    let texts = (rare(id()), rare(id()), text(), rare(id()));
    let times = (option::weighted(0.2, timestamp()), option::weighted(0.2, timestamp()), status());
    let payloads = (some_payload(), some_payload(), some_payload(), some_payload());
    (texts, times, payloads, any::<bool>()).prop_map(|(texts, times, payloads, ordered)| SpanPatch {
        trace_id: texts.0.map(Into::into),
        parent_id: texts.1.map(Into::into),
        task_id: texts.2,
        name: texts.3.map(str::to_owned),
        start_time: times.0,
        end_time: times.1,
        status: times.2,
        input: payloads.0,
        output: payloads.1,
        metadata: payloads.2,
        merge_metadata: payloads.3,
        ordered,
    })
}

fn operation() -> impl Strategy<Value = WriteOperation> {
    prop_oneof![
        5 => span().prop_map(WriteOperation::Upsert),
        1 => span().prop_map(WriteOperation::Insert),
        2 => (id(), span_patch()).prop_map(|(id, changes)| patch(id, changes)),
    ]
}

fn write_request() -> impl Strategy<Value = WriteRequest> {
    (account_id(), vec(operation(), 0..12), proptest::bool::weighted(0.2), proptest::bool::weighted(0.3))
        .prop_map(|(account, operations, all_or_nothing, check_parents)| WriteRequest {
            account,
            operations,
            all_or_nothing,
            check_parents,
        })
}

fn assessment() -> impl Strategy<Value = Assessment> {
    let identity = (account_id(), select(&["1", "2", "3"][..]), id(), id());
    let content = (
        select(AssessmentType::ALL.to_vec()),
        option::of(1_u8..6),
        option::of(select(vec![Approval::Approved, Approval::Rejected])),
        text(),
        some_payload(),
    );
    (identity, content, 0_i64..4, 1_u64..4).prop_map(|(identity, content, micros, revision)| Assessment {
        account: identity.0,
        id: identity.1.to_owned(),
        trace_id: identity.2.into(),
        span_id: identity.3.into(),
        content: AssessmentContent {
            rating: content.1,
            approval: content.2,
            comment: content.3,
            metadata: content.4,
            ..AssessmentContent::new(content.0)
        },
        created_by: "someone".to_owned(),
        created_at: at(micros),
        updated_at: at(-micros),
        revision,
    })
}

fn assess() -> impl Strategy<Value = AssessmentWrite> {
    prop_oneof![
        6 => assessment().prop_map(AssessmentWrite::Put),
        2 => assessment().prop_map(AssessmentWrite::Replace),
        1 => assessment().prop_map(|gone| AssessmentWrite::Delete { account: gone.account, id: gone.id }),
    ]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let what = prop_oneof![
        id().prop_map(|id| Deleting::Trace(id.into())),
        (option::of(timestamp()), timestamp()).prop_map(|(from, before)| Deleting::Started { from, before }),
        Just(Deleting::Oldest),
    ];
    let delete = (option::of(account_id()), what, 1_u32..5, 1_u32..12);
    prop_oneof![
        12 => write_request().prop_map(Step::Write),
        8 => assess().prop_map(|write| Step::Assess(Box::new(write))),
        1 => delete.prop_map(|(account, what, piece, most)| Step::Delete(account, what, piece, most)),
        1 => Just(Step::Maintain),
        1 => Just(Step::Reopen),
    ]
}
