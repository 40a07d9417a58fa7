//! The search: candidates in the order of the query, each checked against its row, then against its payloads.
//!
//! Postgres narrows by what it can compare and sorts; [`SpanFilter`](endspan_store::search::SpanFilter) has the last
//! word. Candidates come from a cursor, and reading ends with the page.

use endspan_model::{AccountId, SpanType, Status};
use endspan_store::{
    SortDirection, SpanPage, SpanQuery,
    search::{PageBuilder, SpanFilter, SpanPosition, SpanSort},
};
use tokio_postgres::types::ToSql;

use crate::{
    assessments::span_condition,
    connections::Parameter,
    error::Result,
    reads::{Reading, Scope},
    row::{SPAN_ROW, SpanRow, read_span_row},
    shared::KeyedHash,
};

/// Candidates whose payloads are read together: neighbours share blocks.
const BATCH: usize = 256;

pub(crate) async fn search_spans(
    reading: &mut Reading<'_>,
    account: Option<&AccountId>,
    query: &SpanQuery,
) -> Result<SpanPage> {
    let scope = reading.scope(account).await?;
    if query.limit == 0 || scope == Scope::Nobody {
        return Ok(SpanPage::default());
    }
    let mut statement = Conditions::new(query, reading.shared.keyed);
    let sql = statement.sql(query, &scope);
    let parameters: Vec<Parameter<'_>> =
        statement.parameters.iter().map(|parameter| &**parameter as Parameter<'_>).collect();
    reading.snapshot.declare(&sql, &parameters).await?;
    let mut page = PageBuilder::new(query);
    loop {
        let count = if query.filter.needs_payloads() { BATCH } else { page.wanted().clamp(1, BATCH) };
        let fetched = reading.snapshot.fetch(count).await?;
        let mut positions = Vec::with_capacity(fetched.len());
        let mut rows: Vec<SpanRow> = Vec::with_capacity(fetched.len());
        for row in &fetched {
            let row = read_span_row(row)?;
            if !query.filter.matches_row(&row.span, &row.facets) {
                continue;
            }
            let account = reading.account(row.account_key).await?;
            let position = SpanPosition::of(&account, &row.span, &row.facets, query.sort);
            if query.is_ahead(&position) {
                positions.push(position);
                rows.push(row);
            }
        }
        let spans = reading.complete(rows, true).await?;
        for (position, stored) in positions.into_iter().zip(spans) {
            let passes = query.filter.matches_payloads(&stored.span);
            if (passes && !page.push(stored)) || !page.check_time(|| position) {
                return Ok(page.finish());
            }
        }
        if fetched.len() < count {
            return Ok(page.finish());
        }
    }
}

/// What Postgres can tell of a query, a superset of what is wanted, with its parameters in order.
struct Conditions {
    sql: String,
    parameters: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Conditions {
    fn new(query: &SpanQuery, keyed: KeyedHash) -> Self {
        let mut conditions = Self { sql: String::new(), parameters: Vec::new() };
        conditions.add_place(query);
        conditions.add_ids(&query.filter, keyed);
        conditions.add_rest(&query.filter);
        conditions
    }

    /// Returns the statement that finds candidates in the order in which the query examines them.
    fn sql(&mut self, query: &SpanQuery, scope: &Scope) -> String {
        let descending = (query.direction == SortDirection::Descending) != query.backward;
        let direction = if descending { "DESC" } else { "ASC" };
        let ties = if query.backward { "DESC" } else { "ASC" };
        let key = match query.sort {
            SpanSort::StartTime => format!("s.start_micros {direction}, s.start_nanos {direction}"),
            sort => format!("{} {direction}", key_of(sort)),
        };
        let conditions = &self.sql;
        let source = match scope.merged() {
            Some(accounts) => {
                let each: Vec<String> = accounts
                    .iter()
                    .map(|key| format!("SELECT * FROM spans s WHERE s.account_key = {key}{conditions}"))
                    .collect();
                format!("({})", each.join(" UNION ALL "))
            }
            None => format!("(SELECT * FROM spans s WHERE true{conditions})"),
        };
        format!(
            "SELECT {SPAN_ROW} FROM {source} s ORDER BY {key}, s.trace_id {ties}, s.id {ties}{}",
            scope.order("s", ties)
        )
    }

    fn add(&mut self, sql: &str, parameter: impl ToSql + Sync + Send + 'static) {
        self.parameters.push(Box::new(parameter));
        let place = format!("${}", self.parameters.len());
        self.sql.push_str(&sql.replace("$?", &place));
    }

    /// The window of starts, and where the page begins.
    fn add_place(&mut self, query: &SpanQuery) {
        if let Some(from) = query.filter.start_from {
            self.add(" AND s.start_micros >= $?::bigint", from.unix_micros());
        }
        if let Some(to) = query.filter.start_to {
            self.add(" AND s.start_micros <= $?::bigint", to.unix_micros());
        }
        if let Some(from) = &query.from {
            let descending = (query.direction == SortDirection::Descending) != query.backward;
            let comparison = if descending { "<=" } else { ">=" };
            self.add(&format!(" AND {} {comparison} $?::bigint", key_of(query.sort)), from.key.0);
        }
    }

    fn add_ids(&mut self, filter: &SpanFilter, keyed: KeyedHash) {
        let hash = |id: &str| keyed.hash(id);
        if !filter.spans.is_empty() {
            let traces: Vec<i64> = filter.spans.iter().map(|(trace_id, _)| hash(trace_id.as_str())).collect();
            let ids: Vec<i64> = filter.spans.iter().map(|(_, id)| hash(id.as_str())).collect();
            self.add(" AND s.trace_hash = ANY($?::bigint[])", traces);
            self.add(" AND s.id_hash = ANY($?::bigint[])", ids);
        }
        if !filter.span_ids.is_empty() {
            let ids: Vec<i64> = filter.span_ids.iter().map(|id| hash(id.as_str())).collect();
            self.add(" AND s.id_hash = ANY($?::bigint[])", ids);
        }
        if !filter.trace_ids.is_empty() {
            let traces: Vec<i64> = filter.trace_ids.iter().map(|id| hash(id.as_str())).collect();
            self.add(" AND s.trace_hash = ANY($?::bigint[])", traces);
        }
    }

    fn add_rest(&mut self, filter: &SpanFilter) {
        if filter.parents_only {
            self.sql.push_str(" AND s.parent_id IS NULL");
        }
        for (comparison, bound) in [(">=", filter.min_duration_micros), ("<=", filter.max_duration_micros)] {
            if let Some(bound) = bound {
                self.add(&format!(" AND s.end_micros - s.start_micros {comparison} $?::bigint"), bound);
            }
        }
        if !filter.statuses.is_empty() {
            let codes: Vec<i16> = filter.statuses.iter().map(|status| i16::from(status.code())).collect();
            let bare = if filter.statuses.contains(&Status::Success) {
                " OR (s.status IS NULL AND s.end_micros IS NOT NULL)"
            } else {
                ""
            };
            self.add(&format!(" AND (s.status = ANY($?::smallint[]){bare})"), codes);
        }
        if !filter.types.is_empty() {
            let codes: Vec<i16> = filter.types.iter().map(|kind| i16::from(kind.code())).collect();
            let bare =
                if filter.types.contains(&SpanType::Standalone) { " OR s.span_type IS NULL" } else { "" };
            self.add(&format!(" AND (s.span_type = ANY($?::smallint[]){bare})"), codes);
        }
        let parents: Vec<&str> = filter.parent_ids.iter().map(|id| id.as_str()).collect();
        self.add_texts("parent_id", parents);
        self.add_texts("group_id", filter.group_id.iter());
        self.add_texts("name", &filter.names);
        self.add_texts("agent_id", &filter.agent_ids);
        self.add_texts("agent_name", &filter.agent_names);
        self.add_texts("acp_type", &filter.acp_types);
        self.add_texts("application_variant_id", &filter.application_variant_ids);
        self.add_texts("obs_trace_id", &filter.obs_trace_ids);
        self.add_texts("obs_span_id", &filter.obs_span_ids);
        self.sql.push_str(&span_condition(&filter.assessments));
    }

    fn add_texts(&mut self, column: &str, texts: impl IntoIterator<Item = impl AsRef<str>>) {
        let texts: Vec<Vec<u8>> = texts.into_iter().map(|text| text.as_ref().as_bytes().to_vec()).collect();
        if !texts.is_empty() {
            self.add(&format!(" AND s.{column} = ANY($?::bytea[])"), texts);
        }
    }
}

fn key_of(sort: SpanSort) -> &'static str {
    match sort {
        SpanSort::StartTime => "s.start_micros",
        SpanSort::Duration => "coalesce(s.end_micros - s.start_micros, 0)",
        SpanSort::InputTokens => "coalesce(s.input_tokens, 0)",
        SpanSort::OutputTokens => "coalesce(s.output_tokens, 0)",
    }
}
