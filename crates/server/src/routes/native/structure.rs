//! `GET /api/traces/{trace_id}/structure`: a whole trace without payloads, by columns.
//!
//! A page that draws a trace needs every span at once, but of each only what a line shows. Entry `i` of every
//! column belongs to span `i`; texts that repeat stand once in a list, and parents are positions. 100,000 spans
//! take about 6.5 MB this way, against 40 MB as spans.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use endspan_model::{Status, TraceId};
use endspan_store::SpanHeader;
use endspan_wire::push_string;
use http::request::Parts;
use http::{Request, StatusCode};
use utoipa::ToSchema;

use super::encode::{error_text, push_number, push_text};
use super::refusal::{ReadError, refuse};
use super::traces::TraceIdPath;
use crate::account::selected_account;
use crate::app::App;
use crate::problem::Problem;
use crate::reply;
use crate::routes::{observed, schema, segment};
use crate::telemetry::Route;

/// A trace without payloads, by columns.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is written by hand")]
pub(super) struct TraceStructure {
    /// The account that the spans belong to.
    account: String,
    /// Other accounts that hold spans of a trace with this id; without an account header the one with the
    /// earliest span is shown.
    other_accounts: Vec<String>,
    trace_id: String,
    /// The highest position of these spans in the store: the live tail goes on from here (`after`).
    position: u64,
    /// The earliest start, in microseconds since the Unix epoch. Starts count from it.
    base_unix_micros: i64,
    /// The names that `name` points into.
    names: Vec<String>,
    /// The types that `type` points into.
    types: Vec<String>,
    /// The models that `model` points into; absent with that column, as the next.
    models: Option<Vec<String>>,
    /// What failed spans say, that `error` points into: kind and beginning of the message.
    errors: Option<Vec<String>>,
    /// Ids of parents that are not among the spans.
    missing_parents: Vec<String>,
    columns: StructureColumns,
}

/// The columns: all of the same length, ordered by start, then id.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is written by hand")]
struct StructureColumns {
    id: Vec<String>,
    /// Position of the parent; -1 for none; `-2 - k` for entry `k` of `missing_parents`.
    parent: Vec<i32>,
    /// Entry of `names`.
    name: Vec<u32>,
    /// Entry of `types`; -1 for none.
    r#type: Vec<i32>,
    /// 0 for none, 1 `SUCCESS`, 2 `ERROR`, 3 `CANCELED`, read as on spans.
    status: Vec<u8>,
    /// Microseconds from the base to the start.
    start: Vec<i64>,
    /// Microseconds from start to end, negative when the end comes first; null while the span runs.
    duration: Vec<Option<i64>>,
    /// Tokens read by the model; null where none were reported. Absent when no span reported any, as the next.
    input_tokens: Option<Vec<Option<u64>>>,
    /// Tokens written by the model.
    output_tokens: Option<Vec<Option<u64>>>,
    /// Of the tokens read, those that came from a cache.
    cached_tokens: Option<Vec<Option<u64>>>,
    /// What the producer says that the span cost, in units of 10⁻¹² US dollars.
    cost_picodollars: Option<Vec<Option<u64>>>,
    /// Entry of `models`; -1 for none. Absent when no span names one, as the next.
    model: Option<Vec<i32>>,
    /// Entry of `errors`; -1 for none.
    error: Option<Vec<i32>>,
}

/// Returns a trace's spans without payloads, by columns.
#[utoipa::path(
    get, path = "/api/traces/{trace_id}/structure", tag = "read", operation_id = "get_trace_structure",
    params(TraceIdPath, schema::AccountHeader),
    responses(
        (status = 200, description = "The structure", body = TraceStructure),
        (status = 404, description = "There is no such trace", body = ReadError),
        (status = 422, description = "A parameter is malformed", body = ReadError),
        (status = 503, description = "The store is not available", body = ReadError),
    )
)]
pub(super) async fn structure(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let (parts, _) = request.into_parts();
    observed(&app, Route::NativeTrace, async {
        find(&app, &parts).await.unwrap_or_else(|problem| refuse(&problem))
    })
    .await
}

async fn find(app: &App, parts: &Parts) -> Result<Response, Problem> {
    let id = segment::last_but_one(parts.uri.path(), "trace_id")?;
    let account = selected_account(&parts.headers)?;
    let mut spans = app.store.read_structure(account.as_ref(), &TraceId::from(id.as_str())).await?;
    let Some(first) = spans.first() else { return Err(Problem::NotFound { id }) };
    let account = first.account.clone();
    let mut others: Vec<String> = Vec::new();
    spans.retain(|header| {
        let wanted = header.account == account;
        if !wanted && !others.iter().any(|other| other == header.account.as_str()) {
            others.push(header.account.as_str().to_owned());
        }
        wanted
    });
    Ok(reply::json(StatusCode::OK, encode(&id, account.as_str(), &others, &spans)))
}

/// Texts that repeat, each once, in the order of their first use.
#[derive(Default)]
struct Dictionary<'a> {
    list: Vec<&'a str>,
    places: HashMap<&'a str, i64>,
}

impl<'a> Dictionary<'a> {
    fn place(&mut self, text: &'a str) -> i64 {
        let next = self.list.len() as i64;
        let list = &mut self.list;
        *self.places.entry(text).or_insert_with(|| {
            list.push(text);
            next
        })
    }
}

fn encode(id: &str, account: &str, others: &[String], spans: &[SpanHeader]) -> Vec<u8> {
    let places: HashMap<&str, i64> =
        spans.iter().zip(0..).map(|(header, place)| (header.id.as_str(), place)).collect();
    let (mut names, mut types, mut missing) =
        (Dictionary::default(), Dictionary::default(), Dictionary::default());
    let base = spans.iter().map(|header| header.start_time.unix_micros()).min().unwrap_or_default();
    let position = spans.iter().map(|header| header.version).max().unwrap_or_default();

    let mut out = Vec::with_capacity(512 + spans.len() * 80);
    push_text(&mut out, b"{\"account\":", account);
    out.extend_from_slice(b",\"other_accounts\":");
    push_texts(&mut out, others.iter().map(String::as_str));
    push_text(&mut out, b",\"trace_id\":", id);
    push_number(&mut out, b",\"position\":", position);
    out.extend_from_slice(b",\"base_unix_micros\":");
    out.extend_from_slice(itoa::Buffer::new().format(base).as_bytes());
    out.extend_from_slice(b",\"columns\":{\"id\":");
    push_texts(&mut out, spans.iter().map(|header| header.id.as_str()));
    let parents = spans.iter().map(|header| match &header.parent_id {
        None => Some(-1),
        Some(parent) => {
            let place = places.get(parent.as_str()).copied();
            Some(place.unwrap_or_else(|| -2 - missing.place(parent.as_str())))
        }
    });
    push_column(&mut out, b",\"parent\":", parents);
    push_column(&mut out, b",\"name\":", spans.iter().map(|header| Some(names.place(&header.name))));
    let kinds = spans.iter().map(|header| header.span_type);
    let kinds = kinds.map(|kind| Some(kind.map_or(-1, |kind| types.place(kind.as_str()))));
    push_column(&mut out, b",\"type\":", kinds);
    let states = spans.iter().map(|header| Some(status(header).map_or(0, Status::code).into()));
    push_column(&mut out, b",\"status\":", states);
    let starts = spans.iter().map(|header| Some(header.start_time.unix_micros() - base));
    push_column(&mut out, b",\"start\":", starts);
    let durations = spans.iter().map(|header| {
        let end = header.end_time?;
        Some(end.unix_micros() - header.start_time.unix_micros())
    });
    push_column(&mut out, b",\"duration\":", durations);
    for (key, tokens) in [
        (&b",\"input_tokens\":"[..], (|header| header.facets.input_tokens) as fn(&SpanHeader) -> Option<u64>),
        (b",\"output_tokens\":", |header| header.facets.output_tokens),
        (b",\"cached_tokens\":", |header| header.facets.cached_tokens),
        (b",\"cost_picodollars\":", |header| header.facets.cost_picodollars),
    ] {
        let counts =
            || spans.iter().map(|header| tokens(header).and_then(|tokens| i64::try_from(tokens).ok()));
        if counts().any(|count| count.is_some()) {
            push_column(&mut out, key, counts());
        }
    }
    let errors: Vec<Option<String>> = spans.iter().map(|header| error_text(&header.facets)).collect();
    let (mut models, mut said) = (Dictionary::default(), Dictionary::default());
    if spans.iter().any(|header| header.facets.model.is_some()) {
        let places = spans.iter().map(|header| header.facets.model.as_deref());
        let column = places.map(|model| Some(model.map_or(-1, |model| models.place(model))));
        push_column(&mut out, b",\"model\":", column);
    }
    if errors.iter().any(Option::is_some) {
        let column = errors.iter().map(|error| Some(error.as_deref().map_or(-1, |error| said.place(error))));
        push_column(&mut out, b",\"error\":", column);
    }
    out.extend_from_slice(b"}");
    for (key, dictionary) in [(&b",\"models\":"[..], &models), (b",\"errors\":", &said)] {
        if !dictionary.list.is_empty() {
            out.extend_from_slice(key);
            push_texts(&mut out, dictionary.list.iter().copied());
        }
    }
    out.extend_from_slice(b",\"names\":");
    push_texts(&mut out, names.list.into_iter());
    out.extend_from_slice(b",\"types\":");
    push_texts(&mut out, types.list.into_iter());
    out.extend_from_slice(b",\"missing_parents\":");
    push_texts(&mut out, missing.list.into_iter());
    out.push(b'}');
    out
}

/// A completed span without a status has succeeded, as on spans.
fn status(header: &SpanHeader) -> Option<Status> {
    header.status.or_else(|| header.end_time.is_some().then_some(Status::Success))
}

fn push_texts<'a>(out: &mut Vec<u8>, texts: impl Iterator<Item = &'a str>) {
    out.push(b'[');
    for (index, text) in texts.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_string(out, text);
    }
    out.push(b']');
}

fn push_column(out: &mut Vec<u8>, key: &[u8], values: impl Iterator<Item = Option<i64>>) {
    out.extend_from_slice(key);
    out.push(b'[');
    let mut digits = itoa::Buffer::new();
    for (index, value) in values.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(value.map_or("null", |value| digits.format(value)).as_bytes());
    }
    out.push(b']');
}
