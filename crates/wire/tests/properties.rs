//! Round trips and never-panic tests over generated spans and bodies.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use bytes::Bytes;
use endspan_model::{AccountId, Payload, Span, SpanType, Status, Timestamp};
use endspan_wire::sgp::AgentTags;
use endspan_wire::{agentex, sgp};
use proptest::option;
use proptest::prelude::*;
use serde_json::Value;

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into), object(inner)]
    })
}

fn object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        4 => any::<String>(),
        1 => prop::sample::select(vec!["__error__", "__span_type__", "__source__", "error", "usage", "items"])
            .prop_map(str::to_owned),
    ];
    prop::collection::vec((key, inner), 0..5).prop_map(|members| Value::Object(members.into_iter().collect()))
}

fn any_object() -> impl Strategy<Value = Payload> {
    object(any_value()).prop_map(|value| Payload::from_value(&value).unwrap())
}

fn any_payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        2 => any_object(),
        1 => prop::collection::vec(object(any_value()), 0..4)
            .prop_map(|values| Payload::from_value(&Value::Array(values)).unwrap()),
    ]
}

fn any_text() -> impl Strategy<Value = String> {
    "[^\u{0}]{0,30}"
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    (Timestamp::MIN.unix_micros()..=Timestamp::MAX.unix_micros())
        .prop_map(|micros| Timestamp::from_unix_micros(micros).unwrap())
}

/// Spans that both APIs can carry in their own way.
fn any_span(payload: impl Strategy<Value = Payload> + Clone) -> impl Strategy<Value = Span> {
    let ids = (any_text(), any_text(), any_text(), option::of(any_text()));
    let payloads = (option::of(payload.clone()), option::of(payload.clone()), option::of(payload));
    (ids, any_time(), option::of(any_time()), payloads).prop_map(
        |((trace_id, id, name, parent_id), one, two, (input, output, metadata))| {
            let (start, end) = match two {
                Some(two) => (one.min(two), Some(one.max(two))),
                None => (one, None),
            };
            let mut span = Span::new(trace_id, id, name, start);
            span.end_time = end;
            span.parent_id = parent_id.map(Into::into);
            (span.input, span.output, span.metadata) = (input, output, metadata);
            span
        },
    )
}

fn agentex_span() -> impl Strategy<Value = Span> {
    (any_span(any_payload().boxed()), option::of(any_text()))
        .prop_map(|(span, task_id)| Span { task_id, ..span })
}

fn sgp_span() -> impl Strategy<Value = Span> {
    let hex = |digits: usize| {
        option::of(
            prop::collection::vec(prop::sample::select(b"0123456789abcdef".to_vec()), digits)
                .prop_map(|digits| digits.into_iter().map(char::from).collect::<String>()),
        )
    };
    let texts = (option::of(any_text()), option::of(any_text()), option::of(any_text()), hex(32), hex(16));
    let choices = (
        option::of(prop::sample::select(Status::ALL.to_vec())),
        option::of(prop::sample::select(SpanType::ALL.to_vec())),
    );
    (any_span(any_object().boxed()), option::of(any_object()), texts, choices).prop_map(
        |(span, expected, (group, variant, interaction, obs_trace, obs_span), (status, span_type))| Span {
            expected,
            group_id: group,
            application_variant_id: variant,
            application_interaction_id: interaction,
            obs_span_id: obs_span.filter(|_| obs_trace.is_some()),
            obs_trace_id: obs_trace,
            status,
            span_type,
            ..span
        },
    )
}

/// Returns the span without what the Agentex API derives from its data.
fn underived(span: Span) -> Span {
    Span { status: None, span_type: None, ..span }
}

proptest! {
    #[test]
    fn agentex_answers_and_requests_decode_to_the_span(spans in prop::collection::vec(agentex_span(), 1..4)) {
        let mut request = Vec::new();
        agentex::encode_create(&mut request, &spans[0]);
        let decoded = agentex::decode_create(&request.into()).unwrap();
        prop_assert_eq!(&underived(decoded), &spans[0]);

        let list = Bytes::from(agentex::encode_list(&spans));
        let decoded: Result<Vec<Span>, _> =
            agentex::decode_batch(&list).unwrap().into_iter().collect();
        let decoded: Vec<Span> = decoded.unwrap().into_iter().map(underived).collect();
        prop_assert_eq!(&decoded, &spans);
    }

    #[test]
    fn agentex_patch_bodies_carry_the_whole_span(span in agentex_span()) {
        let mut body = Vec::new();
        agentex::encode_patch(&mut body, &span);
        let patch = agentex::decode_patch(&body.into()).unwrap();
        let mut rebuilt = Span::new("other", span.id.as_str(), "other", Timestamp::MIN);
        patch.apply(&mut rebuilt).unwrap();
        prop_assert_eq!(underived(rebuilt), span);
    }

    #[test]
    fn sgp_answers_decode_to_the_span(span in sgp_span()) {
        let mut body = Vec::new();
        sgp::encode_span(&mut body, &AccountId::default(), &span, None);
        let decoded = sgp::decode_create(&body.into()).unwrap();
        let shown_status = decoded.status;
        let decoded = Span {
            status: span.status.and(decoded.status),
            span_type: span.span_type.and(decoded.span_type),
            ..decoded
        };
        let error = span.metadata.as_ref().and_then(|metadata| metadata.get("__error__"));
        let is_error = error.is_some_and(|error| error.as_bytes().starts_with(b"{"));
        let is_told = span.status.is_some() || span.end_time.is_some() || is_error;
        prop_assert_eq!(shown_status.is_some(), is_told);
        prop_assert_eq!(decoded, span);
    }

    #[test]
    fn items_are_valid_and_keep_the_users_metadata(span in agentex_span(), acp_type in option::of(any_text())) {
        let tags = AgentTags { acp_type, ..AgentTags::default() };
        let mut body = Vec::new();
        sgp::encode_item(&mut body, &span, Some(&tags));
        let decoded = sgp::decode_create(&body.into()).unwrap();
        prop_assert_eq!((&decoded.id, &decoded.trace_id, &decoded.name), (&span.id, &span.trace_id, &span.name));
        let sent = decoded.metadata.unwrap().to_value();
        prop_assert_eq!(&sent["__source__"], "agentex");
        if let Some(Value::Object(own)) = span.metadata.map(|data| data.to_value()) {
            for (key, value) in own.iter().filter(|(key, _)| *key != "__source__" && *key != "error") {
                prop_assert_eq!(&sent[key], value);
            }
        }
    }

    #[test]
    fn white_space_between_tokens_changes_nothing(span in agentex_span()) {
        let mut compact = Vec::new();
        agentex::encode_span(&mut compact, &span);
        let pretty = serde_json::to_vec_pretty(&serde_json::from_slice::<Value>(&compact).unwrap()).unwrap();
        prop_assert_eq!(underived(agentex::decode_create(&pretty.into()).unwrap()), span);
    }

    /// Flips, cuts and doubles bytes of a good body. Whatever comes out, it decodes or is refused, and what
    /// decodes is a valid span.
    #[test]
    fn damaged_bodies_never_panic(
        span in agentex_span(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..6),
    ) {
        let mut item = Vec::new();
        agentex::encode_create(&mut item, &span);
        let mut body = agentex::encode_batch(&[&item, &item]);
        for (at, byte, kind) in damage {
            if body.is_empty() {
                break;
            }
            let at = at.index(body.len());
            match kind {
                0 => body[at] = byte,
                1 => body.truncate(at),
                2 => body.insert(at, byte),
                _ => { body.remove(at); }
            }
        }
        let body = Bytes::from(body);
        let all = [agentex::decode_batch(&body), sgp::decode_batch(&body)];
        for span in all.into_iter().flatten().flatten().flatten() {
            let mut out = Vec::new();
            agentex::encode_span(&mut out, &span);
            prop_assert!(serde_json::from_slice::<Value>(&out).is_ok());
            for payload in [span.input, span.output, span.metadata].into_iter().flatten() {
                prop_assert!(Payload::parse(payload.bytes().clone()).is_ok(), "{payload}");
            }
        }
        let _ = (agentex::decode_create(&body), agentex::decode_patch(&body), sgp::decode_patch(&body));
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..120)) {
        let body = Bytes::from(body);
        let _ = (agentex::decode_create(&body), agentex::decode_batch(&body), sgp::decode_batch(&body));
        let _ = agentex::decode_batch_answer(&body);
    }
}
