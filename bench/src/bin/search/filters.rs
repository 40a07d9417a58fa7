//! Pages under filters, and the structure of a large trace, in a store of many small spans.

use std::collections::HashSet;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use endspan_bench::statistics::print_table;
use endspan_model::{AccountId, Payload, Span, SpanType, Status, Timestamp};
use endspan_store::search::{SpanFilter, SpanSort};
use endspan_store::text::TextQuery;
use endspan_store::{SpanQuery, SpanStore, TraceFilter, TraceQuery};
use endspan_store_embedded::{EmbeddedStore, Options};

use crate::{Arguments, row, write};

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let directory = tempfile::tempdir_in(&arguments.data)?;
    let store = EmbeddedStore::open(directory.path(), Options::default())?;
    let account = AccountId::default();
    write(&store, (0..arguments.large).map(|number| made(arguments, number, Some("large")))).await?;
    write(&store, (0..arguments.spans).map(|number| made(arguments, number, None))).await?;
    store.maintain().await?;

    let all = SpanFilter::default;
    let text = |term: &str| TextQuery::parse(&[term]);
    let names = |name: &str| HashSet::from([name.to_owned()]);
    let cases = [
        ("newest 50", all(), SpanSort::StartTime),
        ("name, 1 in 5", SpanFilter { names: names("step 3"), ..all() }, SpanSort::StartTime),
        ("errors, 1 in 100", SpanFilter { statuses: vec![Status::Error], ..all() }, SpanSort::StartTime),
        (
            "type, status and duration, 1 in 10,000",
            SpanFilter {
                types: vec![SpanType::Guardrail],
                statuses: vec![Status::Success],
                min_duration_micros: Some(1),
                ..all()
            },
            SpanSort::StartTime,
        ),
        ("a name that no span has", SpanFilter { names: names("none"), ..all() }, SpanSort::StartTime),
        ("by duration", all(), SpanSort::Duration),
        ("text in every span", SpanFilter { text: text("lorem")?, ..all() }, SpanSort::StartTime),
        ("text in one span", SpanFilter { text: text("needle7")?, ..all() }, SpanSort::StartTime),
    ];
    let mut rows = Vec::new();
    for (name, filter, sort) in cases {
        let query = SpanQuery { filter, sort, limit: 50, ..SpanQuery::default() };
        let (mut times, mut found) = (Vec::new(), 0);
        let begun = Instant::now();
        for _ in 0..arguments.runs {
            let begin = Instant::now();
            found = store.search_spans(Some(&account), &query).await?.spans.len();
            times.push(begin.elapsed().as_secs_f64() * 1e3);
            if begun.elapsed().as_secs() > 20 {
                break;
            }
        }
        rows.push(row(name, found, &mut times));
    }
    let mut times = Vec::new();
    for _ in 0..arguments.runs {
        let begin = Instant::now();
        let headers = store.read_structure(Some(&account), &"large".into()).await?;
        ensure!(headers.len() == arguments.large, "the large trace is not whole");
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    rows.push(row("structure of the large trace", arguments.large, &mut times));
    let all = TraceFilter::default;
    let filters = [
        ("newest 50 traces", all()),
        (
            "traces with an error and 1 ms at least",
            TraceFilter { has_error: Some(true), min_duration_micros: Some(1000), ..all() },
        ),
        ("traces of a name that none has", TraceFilter { name: Some("none".to_owned()), ..all() }),
        ("traces with tokens, which none has", TraceFilter { min_tokens: Some(1), ..all() }),
        ("traces with a text that one span has", TraceFilter { text: text("needle7")?, ..all() }),
    ];
    for (name, filter) in filters {
        let query = TraceQuery { limit: 50, filter, ..TraceQuery::default() };
        let (mut times, mut found) = (Vec::new(), 0);
        for _ in 0..arguments.runs {
            let begin = Instant::now();
            found = store.list_traces(Some(&account), &query).await?.traces.len();
            times.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        rows.push(row(name, found, &mut times));
    }
    print_table(&["query", "found", "p50 ms", "p99 ms"], &rows);
    store.close().await?;
    Ok(())
}

fn made(arguments: &Arguments, number: usize, trace: Option<&str>) -> Result<Span> {
    const WORDS: [&str; 8] = ["lorem", "ipsum", "dolor", "sit", "amet", "consetetur", "sadipscing", "elitr"];
    let at = |micros: usize| {
        let micros = i64::try_from(micros).context("too many spans")?;
        Timestamp::from_unix_micros(1_704_067_200_000_000 + micros).context("time out of range")
    };
    let id = |kind: u8, number: usize| format!("{kind:08x}-0000-4000-8000-{number:012x}");
    let (kind, group) = (u8::from(trace.is_some()), number / 20);
    let trace_id = trace.map_or_else(|| id(2, group), str::to_owned);
    let mut text = String::from("lorem");
    let mut word = number;
    while text.len() < arguments.payload {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push(' ');
        text.push_str(WORDS[(word >> 33) % WORDS.len()]);
    }
    if trace.is_none() && number == arguments.spans / 10 {
        text.push_str(" needle7");
    }
    let parent = (!number.is_multiple_of(20)).then(|| id(kind, number - 1).into());
    Ok(Span {
        parent_id: parent,
        end_time: Some(at(number * 1000 + 500 + number % 977)?),
        status: Some(if number % 100 == 7 { Status::Error } else { Status::Success }),
        span_type: Some(if number % 10_000 == 5 { SpanType::Guardrail } else { SpanType::Completion }),
        input: Some(Payload::parse(format!("{{\"text\":\"{text}\"}}"))?),
        ..Span::new(trace_id, id(kind, number), format!("step {}", number % 5), at(number * 1000)?)
    })
}
