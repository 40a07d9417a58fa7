//! Rows turned into columns, which travel as arrays: one statement for any number of rows.

use endspan_model::{Facets, Span, Timestamp};
use tokio_postgres::types::ToSql;

use super::traces::Trace;
use crate::{
    row::{Place, stored_count},
    shared::KeyedHash,
};

macro_rules! columns {
    ($(#[$doc:meta])* $name:ident of $table:literal: $($column:ident: $sql:literal as $type:ty,)*) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(crate) struct $name<'a> {
            $($column: Vec<$type>,)*
            marker: std::marker::PhantomData<&'a ()>,
        }

        impl<'a> $name<'a> {
            pub(crate) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
                vec![$(&self.$column,)*]
            }

            /// Returns the statement that inserts the rows into a table.
            pub(crate) fn insert(table: &str) -> String {
                format!(
                    "INSERT INTO {table} ({}) SELECT * FROM {}",
                    Self::NAMES.join(", "),
                    Self::unnest()
                )
            }

            /// Returns the statement that brings rows of a table up to these.
            pub(crate) fn update(table: &str, condition: &str) -> String {
                let set: Vec<String> =
                    Self::NAMES.iter().map(|name| format!("{name} = u.{name}")).collect();
                format!(
                    "UPDATE {table} s SET {} FROM {} AS u ({}) WHERE {condition}",
                    set.join(", "),
                    Self::unnest(),
                    Self::NAMES.join(", ")
                )
            }

            const NAMES: &'static [&'static str] = &[$(stringify!($column),)*];

            fn unnest() -> String {
                let types: Vec<String> = [$($sql,)*]
                    .iter()
                    .enumerate()
                    .map(|(index, sql)| format!("${}::{sql}[]", index + 1))
                    .collect();
                format!("unnest({})", types.join(", "))
            }

            #[cfg(test)]
            const TABLE: &'static str = $table;
        }
    };
}

columns! {
    /// Rows of `spans`.
    SpanColumns of "spans":
    sequence: "bigint" as i64,
    version: "bigint" as i64,
    trace_hash: "bigint" as i64,
    id_hash: "bigint" as i64,
    start_micros: "bigint" as i64,
    end_micros: "bigint" as Option<i64>,
    block_key: "bigint" as Option<i64>,
    task_hash: "bigint" as Option<i64>,
    input_tokens: "bigint" as Option<i64>,
    output_tokens: "bigint" as Option<i64>,
    cached_tokens: "bigint" as Option<i64>,
    cost: "bigint" as Option<i64>,
    account_key: "integer" as i32,
    block_offset: "integer" as Option<i32>,
    payload_bytes: "integer" as i32,
    start_nanos: "smallint" as i16,
    end_nanos: "smallint" as Option<i16>,
    status: "smallint" as Option<i16>,
    span_type: "smallint" as Option<i16>,
    usage_kind: "smallint" as Option<i16>,
    trace_id: "bytea" as &'a [u8],
    id: "bytea" as &'a [u8],
    name: "bytea" as &'a [u8],
    parent_id: "bytea" as Option<&'a [u8]>,
    task_id: "bytea" as Option<&'a [u8]>,
    group_id: "bytea" as Option<&'a [u8]>,
    application_variant_id: "bytea" as Option<&'a [u8]>,
    application_interaction_id: "bytea" as Option<&'a [u8]>,
    obs_trace_id: "bytea" as Option<&'a [u8]>,
    obs_span_id: "bytea" as Option<&'a [u8]>,
    agent_id: "bytea" as Option<Vec<u8>>,
    agent_name: "bytea" as Option<Vec<u8>>,
    acp_type: "bytea" as Option<Vec<u8>>,
    model: "bytea" as Option<Vec<u8>>,
    error_type: "bytea" as Option<Vec<u8>>,
    error_message: "bytea" as Option<Vec<u8>>,
}

/// The nanoseconds below a microsecond, 0 to 999.
fn below(time: Timestamp) -> i16 {
    time.subsec_nanos_below_micro() as i16
}

fn bytes(text: Option<&String>) -> Option<&[u8]> {
    text.map(String::as_bytes)
}

fn owned(text: Option<&String>) -> Option<Vec<u8>> {
    text.map(|text| text.clone().into_bytes())
}

/// Whose row it is, and since when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowKey {
    pub(crate) sequence: i64,
    pub(crate) version: i64,
    pub(crate) account_key: i32,
}

impl<'a> SpanColumns<'a> {
    pub(crate) fn push(
        &mut self,
        key: RowKey,
        keyed: KeyedHash,
        span: &'a Span,
        facets: &Facets,
        place: Option<Place>,
    ) {
        self.sequence.push(key.sequence);
        self.version.push(key.version);
        self.account_key.push(key.account_key);
        self.trace_hash.push(keyed.hash(span.trace_id.as_str()));
        self.id_hash.push(keyed.hash(span.id.as_str()));
        self.start_micros.push(span.start_time.unix_micros());
        self.start_nanos.push(below(span.start_time));
        self.end_micros.push(span.end_time.map(Timestamp::unix_micros));
        self.end_nanos.push(span.end_time.map(below));
        self.block_key.push(place.map(|place| place.block_key));
        self.block_offset.push(place.map(|place| place.offset));
        self.task_hash.push(span.task_id.as_ref().map(|task_id| keyed.hash(task_id)));
        self.input_tokens.push(stored_count(facets.input_tokens));
        self.output_tokens.push(stored_count(facets.output_tokens));
        self.cached_tokens.push(stored_count(facets.cached_tokens));
        self.cost.push(stored_count(facets.cost_picodollars));
        self.payload_bytes.push(i32::try_from(span.payload_bytes()).unwrap_or(i32::MAX));
        self.status.push(span.status.map(|status| i16::from(status.code())));
        self.span_type.push(span.span_type.map(|span_type| i16::from(span_type.code())));
        self.usage_kind.push(facets.usage_kind.map(|kind| i16::from(kind.code())));
        self.trace_id.push(span.trace_id.as_str().as_bytes());
        self.id.push(span.id.as_str().as_bytes());
        self.name.push(span.name.as_bytes());
        self.parent_id.push(span.parent_id.as_ref().map(|id| id.as_str().as_bytes()));
        self.task_id.push(bytes(span.task_id.as_ref()));
        self.group_id.push(bytes(span.group_id.as_ref()));
        self.application_variant_id.push(bytes(span.application_variant_id.as_ref()));
        self.application_interaction_id.push(bytes(span.application_interaction_id.as_ref()));
        self.obs_trace_id.push(bytes(span.obs_trace_id.as_ref()));
        self.obs_span_id.push(bytes(span.obs_span_id.as_ref()));
        self.agent_id.push(owned(facets.agent_id.as_ref()));
        self.agent_name.push(owned(facets.agent_name.as_ref()));
        self.acp_type.push(owned(facets.acp_type.as_ref()));
        self.model.push(owned(facets.model.as_ref()));
        self.error_type.push(owned(facets.error_type.as_ref()));
        self.error_message.push(owned(facets.error_message.as_ref()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sequence.is_empty()
    }
}

columns! {
    /// Rows of `traces`.
    TraceColumns of "traces":
    trace_hash: "bigint" as i64,
    start_slot: "bigint" as i64,
    start_micros: "bigint" as i64,
    end_micros: "bigint" as Option<i64>,
    first_sequence: "bigint" as i64,
    last_sequence: "bigint" as i64,
    head_micros: "bigint" as i64,
    newest_micros: "bigint" as i64,
    payload_bytes: "bigint" as i64,
    call_input: "bigint" as i64,
    call_output: "bigint" as i64,
    call_cost: "bigint" as i64,
    aggregate_input: "bigint" as i64,
    aggregate_output: "bigint" as i64,
    aggregate_cost: "bigint" as i64,
    account_key: "integer" as i32,
    span_count: "integer" as i32,
    open_count: "integer" as i32,
    error_count: "integer" as i32,
    call_count: "integer" as i32,
    call_costs: "integer" as i32,
    aggregate_count: "integer" as i32,
    aggregate_costs: "integer" as i32,
    start_nanos: "smallint" as i16,
    end_nanos: "smallint" as Option<i16>,
    head_nanos: "smallint" as i16,
    newest_nanos: "smallint" as i16,
    head_status: "smallint" as Option<i16>,
    head_has_parent: "boolean" as bool,
    trace_id: "bytea" as &'a [u8],
    head_id: "bytea" as &'a [u8],
    head_name: "bytea" as &'a [u8],
    agent_name: "bytea" as Option<&'a [u8]>,
}

/// Steps in which `traces` indexes starts.
pub(crate) const SLOT_SHIFT: u32 = 24;

impl<'a> TraceColumns<'a> {
    /// Adds a trace; one without a head has no spans, and no row.
    pub(crate) fn push(&mut self, trace: &'a Trace) {
        let summary = &trace.summary;
        let Some(head) = &summary.head else { return };
        self.trace_hash.push(trace.hash);
        self.start_slot.push(summary.start.unix_micros() >> SLOT_SHIFT);
        self.start_micros.push(summary.start.unix_micros());
        self.start_nanos.push(below(summary.start));
        self.end_micros.push(summary.end.map(Timestamp::unix_micros));
        self.end_nanos.push(summary.end.map(below));
        self.first_sequence.push(trace.sequences.0);
        self.last_sequence.push(trace.sequences.1);
        self.head_micros.push(head.start.unix_micros());
        self.head_nanos.push(below(head.start));
        self.newest_micros.push(summary.newest.unix_micros());
        self.newest_nanos.push(below(summary.newest));
        self.payload_bytes.push(summary.payload_bytes);
        self.call_input.push(summary.calls.input);
        self.call_output.push(summary.calls.output);
        self.call_count.push(summary.calls.count);
        self.call_cost.push(summary.calls.cost);
        self.call_costs.push(summary.calls.costs);
        self.aggregate_input.push(summary.aggregates.input);
        self.aggregate_output.push(summary.aggregates.output);
        self.aggregate_count.push(summary.aggregates.count);
        self.aggregate_cost.push(summary.aggregates.cost);
        self.aggregate_costs.push(summary.aggregates.costs);
        self.account_key.push(trace.account_key);
        self.span_count.push(summary.span_count);
        self.open_count.push(summary.open_count);
        self.error_count.push(summary.error_count);
        self.head_status.push(head.label.status.map(|status| i16::from(status.code())));
        self.head_has_parent.push(head.has_parent);
        self.trace_id.push(trace.trace_id.as_str().as_bytes());
        self.head_id.push(head.label.id.as_str().as_bytes());
        self.head_name.push(head.label.name.as_bytes());
        self.agent_name.push(head.label.agent_name.as_ref().map(String::as_bytes));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.trace_hash.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the schema says of a table, column by column.
    fn declared(table: &str) -> Vec<String> {
        let schema = include_str!("../schema_v1.sql");
        let body = schema.split(&format!("CREATE TABLE {table} (")).nth(1).unwrap();
        let lines = body.lines().skip(1).take_while(|line| line.starts_with("    "));
        let names = lines.map(|line| line.split_whitespace().next().unwrap().to_owned());
        names.filter(|name| name != "PRIMARY").collect()
    }

    #[test]
    fn columns_are_those_of_the_schema() {
        for (table, names) in
            [(SpanColumns::TABLE, SpanColumns::NAMES), (TraceColumns::TABLE, TraceColumns::NAMES)]
        {
            let mut declared = declared(table);
            let mut names: Vec<&str> = names.to_vec();
            declared.sort_unstable();
            names.sort_unstable();
            assert_eq!(names, declared);
        }
    }
}
