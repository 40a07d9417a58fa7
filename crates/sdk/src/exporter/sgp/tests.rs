use std::sync::Mutex;

use bytes::Bytes;
use endspan_model::{Payload, Span, SpanType, Status, Timestamp};
use endspan_spool::{Log, Meta, Opened, Options, Payloads};
use proptest::prelude::*;

use super::*;
use crate::lane::Phase;
use crate::record;
use crate::settings::Environment;
use crate::transport::{Exchange, Transport};

#[derive(Default)]
struct Sent(Mutex<Vec<(Option<String>, Bytes)>>);

impl Transport for Sent {
    fn send(&self, request: http::Request<Bytes>) -> Exchange {
        let attempt = request.headers().get("x-stainless-retry-count").map(|value| value.to_str().unwrap());
        self.0.lock().unwrap().push((attempt.map(str::to_owned), request.body().clone()));
        Box::pin(async { Ok(http::Response::new(Bytes::new())) })
    }
}

/// The same transport behind an exporter, and what it was asked to send.
fn exporter(agent_tags: bool) -> (SgpExporter, Arc<Sent>) {
    let sent = Arc::new(Sent::default());
    let environment = Environment::fixed([("AGENT_NAME", "an \"agent\"")]);
    let exporter = SgpExporter::builder()
        .environment(environment)
        .api_key("k")
        .account_id("a")
        .transport(Arc::clone(&sent) as Arc<dyn Transport>)
        .agent_tags(agent_tags)
        .build();
    (exporter, sent)
}

/// Puts pieces into a log and reads them back.
fn payloads_of(pieces: &[Vec<u8>]) -> Payloads {
    let options = Options { required_marks: 1, segment_bytes: 64 << 10, ..Options::default() };
    let Opened { log, mut consumer } = Log::open(options).unwrap();
    for piece in pieces {
        log.append(Meta::kind(record::KIND_END), &[piece]).unwrap();
    }
    let mut records = Vec::new();
    assert_eq!(consumer.poll(usize::MAX, usize::MAX, &mut records), pieces.len());
    let mut payloads = Payloads::default();
    for record in &records {
        payloads.push(record).unwrap();
    }
    payloads
}

/// What both ways of a batch put on the wire: as records, if they are taken so, and as spans.
fn both_ways(spans: &[Span], agent_tags: bool) -> [Vec<(Option<String>, Bytes)>; 2] {
    let pieces: Vec<Vec<u8>> = spans
        .iter()
        .map(|span| {
            let mut piece = Vec::new();
            record::push_span(&mut piece, span);
            piece
        })
        .collect();
    let payloads = payloads_of(&pieces);
    let as_records = {
        let (exporter, sent) = exporter(agent_tags);
        let batch = RecordBatch { records: &payloads, attempt: 3, dropped: None };
        futures_util::FutureExt::now_or_never(exporter.export_records(&batch).unwrap()).unwrap();
        std::mem::take(&mut *sent.0.lock().unwrap())
    };
    let as_spans = {
        let (exporter, sent) = exporter(agent_tags);
        let batch = Batch { attempt: 3, ..Batch::new(Phase::End, spans.to_vec()) };
        futures_util::FutureExt::now_or_never(exporter.export(batch)).unwrap();
        std::mem::take(&mut *sent.0.lock().unwrap())
    };
    [as_records, as_spans]
}

fn payload() -> impl Strategy<Value = Option<Payload>> {
    prop::option::of(
        prop::sample::select(vec![
            "{}",
            r#"{"a":1,"__error__":{"type":"T","message":"m"}}"#,
            r#"{"__agent_name__":"theirs","__span_type__":"TOOL"}"#,
            r#"{"obs.trace_id":"0123456789abcdef0123456789abcdef","obs.span_id":"0123456789abcdef"}"#,
            "[1,2]",
            "null",
            "\"é\\n\"",
        ])
        .prop_map(|text| Payload::parse(text).unwrap()),
    )
}

prop_compose! {
    fn span()(
        ids in ("[a-z\"é]{0,40}", "[a-z]{1,4}", prop::option::of("[a-z]{0,4}")),
        name in "\\PC{0,20}",
        times in (any::<i32>(), prop::option::of(any::<i32>())),
        status in prop::option::of(Just(Status::Canceled)),
        span_type in prop::option::of(Just(SpanType::Reranking)),
        payloads in (payload(), payload(), payload(), payload()),
        texts in prop::collection::vec(prop::option::of("[0-9a-f]{16}|[0-9a-f]{32}|x"), 5),
    ) -> Span {
        let at = |micros: i32| Timestamp::from_unix_micros(i64::from(micros) * 977).unwrap();
        let mut span = Span::new(ids.0.as_str(), ids.1.as_str(), name, at(times.0));
        span.parent_id = ids.2.map(Into::into);
        span.end_time = times.1.map(at);
        (span.status, span.span_type) = (status, span_type);
        (span.input, span.output, span.metadata, span.expected) = payloads;
        let mut texts = texts.into_iter();
        span.group_id = texts.next().flatten();
        span.application_variant_id = texts.next().flatten();
        span.application_interaction_id = texts.next().flatten();
        span.obs_trace_id = texts.next().flatten();
        span.obs_span_id = texts.next().flatten();
        span
    }
}

proptest! {
    #[test]
    fn records_go_out_byte_for_byte_as_their_spans(
        spans in prop::collection::vec(span(), 1..5),
        agent_tags in any::<bool>(),
    ) {
        let [as_records, as_spans] = both_ways(&spans, agent_tags);
        prop_assert_eq!(&as_records, &as_spans);
        let (attempt, body) = &as_records[0];
        prop_assert_eq!(attempt.as_deref(), Some("3"));
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        prop_assert_eq!(body["items"].as_array().unwrap().len(), spans.len());
    }
}

#[test]
fn records_that_are_not_validated_or_damaged_go_the_long_way() {
    let mut whole = Vec::new();
    record::push_span(&mut whole, &Span::new("t", "s", "n", Timestamp::MIN));
    let mut unchecked = whole.clone();
    unchecked[1] |= 2;
    let mut of_the_future = whole.clone();
    of_the_future[0] = record::VERSION + 1;
    for (piece, taken) in [(&whole, true), (&unchecked, false), (&of_the_future, false)] {
        let payloads = payloads_of(&[whole.clone(), piece.clone()]);
        let (exporter, sent) = exporter(true);
        let batch = RecordBatch { records: &payloads, attempt: 0, dropped: None };
        assert_eq!(exporter.export_records(&batch).is_some(), taken);
        assert!(sent.0.lock().unwrap().is_empty(), "nothing goes out before it is awaited");
    }
}
