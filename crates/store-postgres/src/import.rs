//! Copies the `spans` table of an Agentex into a store (`agentex-api` section 10).
//!
//! The source is only read, a page at a time by its primary key: no lock that writers would wait for, and no transaction
//! that lasts. What is in the store already stays, unless it is unfinished and the source has its end; so that an import
//! can be repeated, and can be stopped and gone on with. A last pass reads both sides again and compares.

use std::{
    collections::{HashMap, HashSet},
    hash::Hasher as _,
    time::{Duration, Instant},
};

use endspan_model::{AccountId, Payload, PayloadError, Span, SpanId, Timestamp, payload::Characters};
use endspan_store::{
    Outcome, SpanQuery, SpanStore, StoreError, WriteOperation, WriteRequest, search::SpanFilter,
};
use siphasher::sip::SipHasher13;
use tokio_postgres::{Client, Row};

use crate::{
    OpenError, Options,
    connections::{config, quote},
};

/// What to copy, and how fast.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ImportOptions {
    /// The database of the Agentex.
    pub source: String,
    /// The schema of its tables. Default `public`.
    pub schema: String,
    /// The table. Default `spans`.
    pub table: String,
    /// The account that gets the spans. Default the account of clients that name none.
    pub account: AccountId,
    /// Rows that are read at once. Default 200.
    pub page_rows: u32,
    /// Most rows a second, on the average. Default no bound.
    pub max_rows_per_second: Option<u32>,
    /// Go on behind this id. Default from the beginning.
    pub after: Option<String>,
}

impl ImportOptions {
    /// Returns the defaults for a source.
    pub fn new(source: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            schema: "public".to_owned(),
            table: "spans".to_owned(),
            account: AccountId::default(),
            page_rows: 200,
            max_rows_per_second: None,
            after: None,
        }
    }
}

/// How far an import is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows that were read.
    pub rows: u64,
    /// Spans that were stored.
    pub stored: u64,
    /// Spans that the store had already.
    pub present: u64,
    /// Rows that cannot be stored, by id, with the reason.
    pub refused: Vec<(String, String)>,
    /// The id of the last row, to go on behind.
    pub last_id: Option<String>,
}

/// What a comparison of both sides found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Rows of the source that can be stored.
    pub rows: u64,
    /// Of these, the ones that the store has.
    pub found: u64,
    /// The sum of the checksums of the source's rows, and of the spans that the store has under their ids.
    pub checksums: (u64, u64),
    /// The ids of rows that the store has otherwise, or not at all; the first thousand.
    pub different: Vec<String>,
}

impl Comparison {
    /// Returns whether the store has every row as it is in the source.
    pub fn is_equal(&self) -> bool {
        self.rows == self.found && self.checksums.0 == self.checksums.1 && self.different.is_empty()
    }
}

/// Why an import stopped. Going on behind [`Progress::last_id`] misses nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The source cannot be read.
    #[error("source: {0}")]
    Source(OpenError),
    /// The table is no table of spans.
    #[error("source: {0}")]
    NoSpans(String),
    /// The store cannot be read or written.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl From<tokio_postgres::Error> for ImportError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Source(error.into())
    }
}

/// Copies rows until none is left. `report` learns of every page.
///
/// # Errors
/// [`ImportError`]; what was reported is stored.
pub async fn import_agentex(
    options: &ImportOptions,
    store: &dyn SpanStore,
    mut report: impl FnMut(&Progress),
) -> Result<Progress, ImportError> {
    let source = Source::open(options).await?;
    let mut progress = Progress { last_id: options.after.clone(), ..Progress::default() };
    let begun = Instant::now();
    loop {
        let rows = source.page(progress.last_id.as_deref()).await?;
        if rows.is_empty() {
            return Ok(progress);
        }
        let mut spans = Vec::with_capacity(rows.len());
        for row in &rows {
            match span_of(row) {
                Ok(span) => spans.push(span),
                Err(reason) => progress.refused.push((row.try_get::<_, &str>(0)?.to_owned(), reason)),
            }
        }
        store_new(options, store, spans, &mut progress).await?;
        progress.rows += rows.len() as u64;
        if let Some(last) = rows.last() {
            progress.last_id = Some(last.try_get::<_, &str>(0)?.to_owned());
        }
        report(&progress);
        if let Some(rate) = options.max_rows_per_second.filter(|rate| *rate > 0) {
            let due = Duration::from_secs_f64(progress.rows as f64 / f64::from(rate));
            tokio::time::sleep(due.saturating_sub(begun.elapsed())).await;
        }
    }
}

/// Stores spans that the store does not have, and the ends of those that it has unfinished.
async fn store_new(
    options: &ImportOptions,
    store: &dyn SpanStore,
    spans: Vec<Span>,
    progress: &mut Progress,
) -> Result<(), ImportError> {
    let ids = spans.iter().map(|span| span.id.clone()).collect();
    let present = find(options, store, ids).await?;
    let is_new = |span: &Span| {
        present.get(&span.id).is_none_or(|stored| !stored.is_completed() && span.is_completed())
    };
    let (new, old): (Vec<Span>, Vec<Span>) = spans.into_iter().partition(is_new);
    progress.present += old.len() as u64;
    if new.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = new.iter().map(|span| span.id.as_str().to_owned()).collect();
    // Ids are unique in the source, but not in the store: what came meanwhile stays, too.
    let operation = |span: Span| match present.contains_key(&span.id) {
        true => WriteOperation::Upsert(span),
        false => WriteOperation::Insert(span),
    };
    let request = WriteRequest {
        account: options.account.clone(),
        operations: new.into_iter().map(operation).collect(),
        all_or_nothing: false,
        check_parents: false,
    };
    for (outcome, id) in store.write(request).await?.outcomes.into_iter().zip(ids) {
        match outcome {
            Outcome::Stored | Outcome::Patched(_) => progress.stored += 1,
            Outcome::Superseded | Outcome::NotStored => progress.present += 1,
            Outcome::Rejected(endspan_store::Rejection::Span { message, reason, .. }) => {
                if reason == endspan_model::DropReason::Duplicate {
                    progress.present += 1;
                } else {
                    progress.refused.push((id, message));
                }
            }
            Outcome::Rejected(_) => progress.refused.push((id, "refused".to_owned())),
        }
    }
    Ok(())
}

async fn find(
    options: &ImportOptions,
    store: &dyn SpanStore,
    span_ids: HashSet<SpanId>,
) -> Result<HashMap<SpanId, Span>, ImportError> {
    let limit = u32::try_from(span_ids.len() * 4).unwrap_or(u32::MAX);
    let query =
        SpanQuery { filter: SpanFilter { span_ids, ..SpanFilter::default() }, limit, ..SpanQuery::default() };
    let page = store.search_spans(Some(&options.account), &query).await?;
    Ok(page.spans.into_iter().map(|stored| (stored.span.id.clone(), stored.span)).collect())
}

/// Reads both sides again and compares them, span by span.
///
/// # Errors
/// [`ImportError`].
pub async fn compare_agentex(
    options: &ImportOptions,
    store: &dyn SpanStore,
    mut report: impl FnMut(&Comparison),
) -> Result<Comparison, ImportError> {
    const MOST: usize = 1000;
    let source = Source::open(options).await?;
    let mut comparison = Comparison::default();
    let mut last_id: Option<String> = None;
    loop {
        let rows = source.page(last_id.as_deref()).await?;
        let Some(last) = rows.last() else { return Ok(comparison) };
        last_id = Some(last.try_get::<_, &str>(0)?.to_owned());
        let spans: Vec<Span> = rows.iter().filter_map(|row| span_of(row).ok()).collect();
        let ids = spans.iter().map(|span| span.id.clone()).collect();
        let stored = find(options, store, ids).await?;
        for span in spans {
            comparison.rows += 1;
            let expected = checksum(&span);
            comparison.checksums.0 = comparison.checksums.0.wrapping_add(expected);
            let found = stored.get(&span.id).map(checksum);
            comparison.found += u64::from(found.is_some());
            comparison.checksums.1 = comparison.checksums.1.wrapping_add(found.unwrap_or(0));
            if found != Some(expected) && comparison.different.len() < MOST {
                comparison.different.push(span.id.as_str().to_owned());
            }
        }
        report(&comparison);
    }
}

/// A number that differs when a column of the source's table does. Sums of it do not depend on the order.
fn checksum(span: &Span) -> u64 {
    let mut hasher = SipHasher13::new();
    let mut add = |bytes: Option<&[u8]>| {
        // The length keeps neighbours apart.
        hasher.write_u64(bytes.map_or(0, |bytes| bytes.len() as u64 + 1));
        hasher.write(bytes.unwrap_or_default());
    };
    add(Some(span.id.as_str().as_bytes()));
    add(Some(span.trace_id.as_str().as_bytes()));
    add(span.parent_id.as_ref().map(|id| id.as_str().as_bytes()));
    add(Some(span.name.as_bytes()));
    add(span.task_id.as_ref().map(String::as_bytes));
    for payload in [&span.input, &span.output, &span.metadata] {
        add(payload.as_ref().map(Payload::as_bytes));
    }
    for time in [Some(span.start_time), span.end_time] {
        add(time.map(|time| time.unix_micros().to_le_bytes()).as_ref().map(|bytes| &bytes[..]));
    }
    hasher.finish()
}

/// The table of an Agentex.
struct Source {
    client: Client,
    first: String,
    next: String,
    page_rows: i64,
}

impl Source {
    async fn open(options: &ImportOptions) -> Result<Self, ImportError> {
        let (config, tls) = config(&Options::new(&options.source)).map_err(ImportError::Source)?;
        let (client, connection) = config.connect(tls).await?;
        tokio::spawn(connection);
        client.batch_execute("SET default_transaction_read_only = on; SET statement_timeout = '60s'").await?;
        let columns = client
            .query(
                "SELECT column_name::text FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2",
                &[&options.schema, &options.table],
            )
            .await?;
        let names = columns.iter().map(|row| row.try_get(0)).collect::<Result<HashSet<String>, _>>()?;
        for needed in ["id", "trace_id", "name", "start_time"] {
            if !names.contains(needed) {
                return Err(ImportError::NoSpans(format!(
                    "{}.{} has no column {needed}",
                    options.schema, options.table
                )));
            }
        }
        // Tables of older versions lack columns.
        let column = |name: &str, sql: &str| match names.contains(name) {
            true => sql.to_owned(),
            false => "NULL::text".to_owned(),
        };
        // A moment without a zone is one of UTC.
        let micros = |name: &str| {
            format!(
                "CASE WHEN isfinite({name}) THEN round(extract(epoch FROM {name}) * 1000000)::bigint END, {name} IS NOT NULL"
            )
        };
        let end = match names.contains("end_time") {
            true => micros("end_time"),
            false => "NULL::bigint, false".to_owned(),
        };
        let select = format!(
            "SELECT id::text, trace_id::text, name::text, {}, {end}, {}, {}, {}, {}, {} FROM {}.{}",
            micros("start_time"),
            column("parent_id", "parent_id::text"),
            column("task_id", "task_id::text"),
            column("input", "input::text"),
            column("output", "output::text"),
            column("data", "data::text"),
            quote(&options.schema),
            quote(&options.table)
        );
        Ok(Self {
            client,
            first: format!("{select} ORDER BY {}.id LIMIT $1", quote(&options.table)),
            next: format!("{select} WHERE {0}.id > $2 ORDER BY {0}.id LIMIT $1", quote(&options.table)),
            page_rows: i64::from(options.page_rows.max(1)),
        })
    }

    async fn page(&self, after: Option<&str>) -> Result<Vec<Row>, ImportError> {
        Ok(match after {
            Some(after) => self.client.query(&self.next, &[&self.page_rows, &after]).await?,
            None => self.client.query(&self.first, &[&self.page_rows]).await?,
        })
    }
}

/// Returns the span of a row, or why it cannot be one.
fn span_of(row: &Row) -> Result<Span, String> {
    let text =
        |at: usize| row.try_get::<_, Option<String>>(at).map_err(|_| format!("column {at} is no text"));
    let needed = |at: usize, name: &str| text(at)?.ok_or_else(|| format!("{name} is missing"));
    let start_time = time(row, 3, "start_time")?.ok_or("start_time is missing")?;
    let span = Span::new(needed(1, "trace_id")?, needed(0, "id")?, needed(2, "name")?, start_time);
    Ok(Span {
        end_time: time(row, 5, "end_time")?,
        parent_id: text(7)?.map(SpanId::from),
        task_id: text(8)?,
        input: payload(text(9)?, "input")?,
        output: payload(text(10)?, "output")?,
        metadata: payload(text(11)?, "data")?,
        ..span
    })
}

fn time(row: &Row, at: usize, name: &str) -> Result<Option<Timestamp>, String> {
    let out_of_range = || format!("{name} is not within the years 1 to 9999");
    let micros: Option<i64> = row.try_get(at).map_err(|_| out_of_range())?;
    let is_there: bool = row.try_get(at + 1).map_err(|_| out_of_range())?;
    if !is_there {
        return Ok(None);
    }
    micros.and_then(Timestamp::from_unix_micros).map(Some).ok_or_else(out_of_range)
}

/// Reads JSON as the reference stored it. A lone surrogate, which makes a row of the reference unreadable, becomes the
/// replacement character.
fn payload(text: Option<String>, name: &str) -> Result<Option<Payload>, String> {
    let Some(text) = text else { return Ok(None) };
    let text = bytes::Bytes::from(text);
    let read = match Payload::from_json(text.clone(), Characters::Strict) {
        Err(PayloadError::LoneSurrogate) => Payload::from_json(text, Characters::Replace),
        read => read,
    };
    let payload = read.map_err(|error| format!("{name}: {error}"))?;
    // The reference reads both as null.
    Ok(Some(payload).filter(|payload| payload.as_bytes() != b"null"))
}
