//! A load that can be checked afterwards: what was acknowledged must be there, and nothing in halves.
//!
//! Beside it, old spans go all the while: a trace of another account, written and deleted in pieces.

use std::collections::{BTreeMap, HashMap};

use endspan_model::{AccountId, Payload, Span, SpanId, SpanPatch, Timestamp};
use endspan_store::{
    Deleting, Deletion, ListQuery, SpanQuery, SpanStore, StoreError, TraceQuery, WriteOperation,
    WriteRequest, conformance::block_on, search::SpanFilter, text::TextQuery,
};
use endspan_store_embedded::{EmbeddedStore, Options};

/// Spans of one all-or-nothing request.
pub(crate) const WHOLE: usize = 12;

/// The `number`-th request of a lane. Lanes write side by side, each in its own traces; requests of a lane come
/// one after the other.
pub(crate) fn request(lane: usize, number: usize) -> WriteRequest {
    let (operations, all_or_nothing) = match number % 4 {
        0 => (vec![WriteOperation::Upsert(span(lane, number, 0, false))], false),
        // Ends the span of the request before.
        1 => (vec![WriteOperation::Upsert(span(lane, number - 1, 0, true))], false),
        2 => ((0..WHOLE).map(|part| WriteOperation::Upsert(span(lane, number, part, true))).collect(), true),
        // Marks one of the request before.
        _ => {
            let patch = SpanPatch { name: Some("marked".to_owned()), ..SpanPatch::default() };
            let id = SpanId::from(id(lane, number - 1, 0));
            (vec![WriteOperation::Patch { id, patch: Box::new(patch) }], false)
        }
    };
    WriteRequest { account: AccountId::default(), operations, all_or_nothing, check_parents: false }
}

/// The account whose spans go again.
fn passing() -> AccountId {
    AccountId::new("passing")
}

/// Spans of a passing trace.
const PASSING: usize = 30;

/// Writes a trace that is old from the beginning, and deletes it in pieces. The share of a block that dies with it is
/// shared with what the lanes write.
pub(crate) fn pass(store: &EmbeddedStore, number: usize) -> Result<(), StoreError> {
    let operations = (0..PASSING)
        .map(|part| {
            let start_time = Timestamp::from_unix_micros(-1000 + (number + part) as i64).unwrap();
            let text = format!("{{\"text\":\"{}\"}}", "passes ".repeat(part * 9));
            let input = Some(Payload::parse(text).unwrap());
            WriteOperation::Upsert(Span { start_time, input, ..span(0, number, part, true) })
        })
        .collect();
    let request = WriteRequest { account: passing(), operations, all_or_nothing: true, check_parents: false };
    block_on(store.write(request))?;
    let what = match number % 2 {
        0 => Deleting::Oldest,
        _ => Deleting::Started { from: None, before: Timestamp::from_unix_micros(0).unwrap() },
    };
    let account = number.is_multiple_of(3).then(passing);
    // What lanes write starts at 0 or later; only the bound keeps it from going.
    let account = if number.is_multiple_of(2) { Some(passing()) } else { account };
    loop {
        let deletion = Deletion { what: what.clone(), max_spans: 7 };
        if !block_on(store.delete(account.as_ref(), &deletion))?.more {
            return Ok(());
        }
    }
}

fn id(lane: usize, number: usize, part: usize) -> String {
    format!("{lane}-{number}-{part}")
}

fn span(lane: usize, number: usize, part: usize, ended: bool) -> Span {
    let start_time = Timestamp::from_unix_micros((number * 100 + part) as i64).unwrap();
    let text =
        format!("{{\"lane\":{lane},\"text\":\"{}\"}}", "some words ".repeat(1 + (number * 7 + part) % 60));
    Span {
        end_time: ended.then_some(start_time),
        input: Some(Payload::parse(text).unwrap()),
        ..Span::new(format!("{lane}-{}", number / 40), id(lane, number, part), "work", start_time)
    }
}

/// What the spans of a lane must look like when its first `requests` requests were acknowledged.
fn expected(lane: usize, requests: usize) -> BTreeMap<String, Span> {
    let mut spans = BTreeMap::new();
    for number in 0..requests {
        for operation in request(lane, number).operations {
            match operation {
                WriteOperation::Upsert(span) | WriteOperation::Insert(span) => {
                    spans.insert(span.id.as_str().to_owned(), span);
                }
                WriteOperation::Patch { id, patch } => {
                    patch.apply(spans.get_mut(id.as_str()).unwrap()).unwrap();
                }
            }
        }
    }
    spans
}

/// Checks a store after a crash. `acknowledged` says for each lane how many requests were answered, and `sent` how
/// many may have reached the store. Returns how many have.
pub(crate) fn check(
    store: &EmbeddedStore,
    acknowledged: &HashMap<usize, usize>,
    sent: impl Fn(usize) -> usize,
) -> HashMap<usize, usize> {
    block_on(async {
        let query = ListQuery { limit: u32::MAX, ..ListQuery::default() };
        let mut passing_texts = 0;
        let mut found: HashMap<usize, BTreeMap<String, Span>> = HashMap::new();
        let mut of_trace: HashMap<(AccountId, String), u64> = HashMap::new();
        for stored in store.list_spans(None, &query).await.unwrap() {
            let id = stored.span.id.as_str().to_owned();
            let by_id = store.find_span(Some(&stored.account), &stored.span.id).await.unwrap();
            assert_eq!(by_id.as_ref(), Some(&stored), "the id index has span {id}");
            let trace = (stored.account.clone(), stored.span.trace_id.as_str().to_owned());
            *of_trace.entry(trace).or_default() += 1;
            if stored.account == passing() {
                let text = stored.span.input.as_ref().map(|input| input.as_str());
                passing_texts += u64::from(text.is_some_and(|text| text.contains("passes")));
                assert!(stored.span.start_time < Timestamp::from_unix_micros(0).unwrap());
                continue;
            }
            let lane = id.split('-').next().unwrap().parse().unwrap();
            assert!(found.entry(lane).or_default().insert(id, stored.span).is_none(), "no span doubles");
        }
        let mut reached = HashMap::new();
        for (lane, acknowledged) in acknowledged {
            let found = found.remove(lane).unwrap_or_default();
            // A lane sends one request after the other, so that exactly one prefix of them is stored.
            let stored = (*acknowledged..=sent(*lane)).find(|requests| expected(*lane, *requests) == found);
            assert!(
                stored.is_some(),
                "lane {lane}: what {acknowledged} acknowledged requests wrote is not what is stored: {:?}",
                difference(&expected(*lane, *acknowledged), &found)
            );
            reached.insert(*lane, stored.unwrap_or_default());
        }
        assert!(found.values().all(BTreeMap::is_empty), "nothing is stored that nobody sent");
        let page =
            store.list_traces(None, &TraceQuery { limit: u32::MAX, ..TraceQuery::default() }).await.unwrap();
        let summaries: HashMap<(AccountId, String), u64> = page
            .traces
            .into_iter()
            .map(|trace| ((trace.account, trace.trace_id.as_str().to_owned()), trace.span_count))
            .collect();
        assert_eq!(summaries, of_trace, "the summaries count what is stored");
        let spans: u64 = store.accounts().await.unwrap().iter().map(|usage| usage.spans).sum();
        assert_eq!(spans, of_trace.values().sum::<u64>(), "and so do the accounts");
        let passing_spans =
            of_trace.iter().filter(|((account, _), _)| *account == passing()).map(|(_, spans)| spans);
        check_searches(store, passing_spans.sum(), passing_texts).await;
        reached
    })
}

/// Columns and filters find what rows and payloads say, among the spans that pass.
async fn check_searches(store: &EmbeddedStore, passing_spans: u64, passing_texts: u64) {
    let found = async |filter: SpanFilter| {
        let query = SpanQuery { filter, limit: 10_000, ..SpanQuery::default() };
        store.search_spans(Some(&passing()), &query).await.unwrap().spans.len() as u64
    };
    let text = |term: &str| SpanFilter { text: TextQuery::parse(&[term]).unwrap(), ..SpanFilter::default() };
    assert_eq!(found(text("passes")).await, passing_texts, "text is found where it is");
    assert_eq!(found(text("no such words")).await, 0);
    let work = SpanFilter { names: ["work".to_owned()].into(), ..SpanFilter::default() };
    assert_eq!(found(work).await, passing_spans, "spans are found by their name");
}

fn difference(expected: &BTreeMap<String, Span>, found: &BTreeMap<String, Span>) -> Vec<String> {
    let missing = expected.keys().filter(|id| !found.contains_key(*id)).map(|id| format!("{id} missing"));
    let wrong = expected
        .iter()
        .filter(|(id, span)| found.get(*id).is_some_and(|found| found != *span))
        .map(|(id, _)| format!("{id} differs"));
    let extra = found.keys().filter(|id| !expected.contains_key(*id)).map(|id| format!("{id} extra"));
    missing.chain(wrong).chain(extra).take(10).collect()
}

/// Options under which checkpoints, index folding and compaction happen all the time.
pub(crate) fn busy_options() -> Options {
    let mut options = Options::default();
    options.checkpoint_bytes = 256 * 1024;
    options.id_buffer_entries = 200;
    options.writer_cache_bytes = 256 * 1024;
    options
}
