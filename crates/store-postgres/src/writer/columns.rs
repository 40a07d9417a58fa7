//! Rows on their way to Postgres: one array of composite values for any number of rows.
//!
//! An array for each column would do as well, but each is a function scan of its own in Postgres, with 16 kB of
//! memory to get and to give back: for groups of few spans that is most of the work.

use bytes::{BufMut as _, BytesMut};
use endspan_model::{Facets, Span, Timestamp};
use endspan_store::engine::stored_count;
use tokio_postgres::types::{IsNull, Kind, ToSql, Type, to_sql_checked};

use super::traces::Trace;
use crate::{row::Place, shared::KeyedHash};

/// Values of one composite type in Postgres's binary form.
#[derive(Debug, Default)]
pub(crate) struct Records {
    count: i32,
    bytes: BytesMut,
}

impl Records {
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl ToSql for Records {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let Kind::Array(element) = ty.kind() else { return Err("not an array".into()) };
        // One dimension, no nulls, counted from 1.
        out.put_i32(1);
        out.put_i32(0);
        out.put_u32(element.oid());
        out.put_i32(self.count);
        out.put_i32(1);
        out.extend_from_slice(&self.bytes);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(ty.kind(), Kind::Array(element) if matches!(element.kind(), Kind::Composite(_)))
    }

    to_sql_checked!();
}

/// A field of a composite value.
trait Field {
    const TYPE: Type;
    /// Writes the length and the value.
    fn put_value(&self, out: &mut BytesMut);

    fn put(&self, out: &mut BytesMut) {
        out.put_u32(Self::TYPE.oid());
        self.put_value(out);
    }
}

macro_rules! field {
    ($($type:ty: $sql:ident, $value:ident => $put:expr, $put_value:ident;)*) => {
        $(impl Field for $type {
            const TYPE: Type = Type::$sql;
            fn put_value(&self, out: &mut BytesMut) {
                let $value = self;
                out.put_i32(size_of::<$type>() as i32);
                out.$put_value($put);
            }
        })*
    };
}

field! {
    i64: INT8, value => *value, put_i64;
    i32: INT4, value => *value, put_i32;
    i16: INT2, value => *value, put_i16;
    bool: BOOL, value => u8::from(*value), put_u8;
}

impl Field for &[u8] {
    const TYPE: Type = Type::BYTEA;
    fn put_value(&self, out: &mut BytesMut) {
        // What is longer than 2 GB is refused before: see `Options::max_span_bytes`.
        out.put_i32(i32::try_from(self.len()).unwrap_or(i32::MAX));
        out.extend_from_slice(self);
    }
}

impl<F: Field> Field for Option<F> {
    const TYPE: Type = F::TYPE;
    fn put_value(&self, out: &mut BytesMut) {
        match self {
            Some(value) => value.put_value(out),
            None => out.put_i32(-1),
        }
    }
}

/// A row of a table, and the composite type of the schema that it travels as.
pub(crate) trait Columns {
    const NAMES: &'static [&'static str];
    const RECORD: &'static str;

    /// Appends the row to others.
    fn put(&self, records: &mut Records);

    /// Returns the statement that inserts rows into a table.
    fn insert(table: &str) -> String {
        let names = Self::NAMES.join(", ");
        format!("INSERT INTO {table} ({names}) SELECT {names} FROM unnest($1::{}[])", Self::RECORD)
    }

    /// Returns the statement that brings rows `s` of a table up to those that they are joined with, `u`.
    fn update(table: &str, condition: &str) -> String {
        let set: Vec<String> = Self::NAMES.iter().map(|name| format!("{name} = u.{name}")).collect();
        let set = set.join(", ");
        format!("UPDATE {table} s SET {set} FROM unnest($1::{}[]) AS u WHERE {condition}", Self::RECORD)
    }
}

macro_rules! columns {
    ($(#[$doc:meta])* $name:ident, $record:literal for $table:literal: $($column:ident: $type:ty,)*) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name<'a> {
            $(pub(crate) $column: $type,)*
        }

        impl Columns for $name<'_> {
            const NAMES: &'static [&'static str] = &[$(stringify!($column),)*];
            const RECORD: &'static str = $record;

            fn put(&self, records: &mut Records) {
                let begin = records.bytes.len();
                // The length, which is known at the end.
                records.bytes.put_i32(0);
                records.bytes.put_i32(Self::NAMES.len() as i32);
                $(
                    self.$column.put(&mut records.bytes);
                )*
                let length = records.bytes.len() - begin - size_of::<i32>();
                if let Some(room) = records.bytes.get_mut(begin..begin + size_of::<i32>()) {
                    room.copy_from_slice(&i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes());
                }
                records.count += 1;
            }
        }

        #[cfg(test)]
        impl<'a> $name<'a> {
            const DECLARED: (&'static str, &'static str, &'static [(&'static str, Type)]) =
                ($table, $record, &[$((stringify!($column), <$type as Field>::TYPE),)*]);
        }
    };
}

columns! {
    /// A row of `spans`.
    SpanRow, "span_record" for "spans":
    sequence: i64,
    version: i64,
    trace_hash: i64,
    id_hash: i64,
    start_micros: i64,
    end_micros: Option<i64>,
    block_key: Option<i64>,
    task_hash: Option<i64>,
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    cached_tokens: Option<i64>,
    cost: Option<i64>,
    account_key: i32,
    block_offset: Option<i32>,
    payload_bytes: i32,
    start_nanos: i16,
    end_nanos: Option<i16>,
    status: Option<i16>,
    span_type: Option<i16>,
    usage_kind: Option<i16>,
    trace_id: &'a [u8],
    id: &'a [u8],
    name: &'a [u8],
    parent_id: Option<&'a [u8]>,
    task_id: Option<&'a [u8]>,
    group_id: Option<&'a [u8]>,
    application_variant_id: Option<&'a [u8]>,
    application_interaction_id: Option<&'a [u8]>,
    obs_trace_id: Option<&'a [u8]>,
    obs_span_id: Option<&'a [u8]>,
    agent_id: Option<&'a [u8]>,
    agent_name: Option<&'a [u8]>,
    acp_type: Option<&'a [u8]>,
    model: Option<&'a [u8]>,
    error_type: Option<&'a [u8]>,
    error_message: Option<&'a [u8]>,
}

/// The nanoseconds below a microsecond, 0 to 999.
fn below(time: Timestamp) -> i16 {
    time.subsec_nanos_below_micro() as i16
}

fn bytes(text: Option<&String>) -> Option<&[u8]> {
    text.map(String::as_bytes)
}

/// Whose row it is, and since when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowKey {
    pub(crate) sequence: i64,
    pub(crate) version: i64,
    pub(crate) account_key: i32,
}

impl<'a> SpanRow<'a> {
    pub(crate) fn of(
        key: RowKey,
        keyed: KeyedHash,
        span: &'a Span,
        facets: &'a Facets,
        place: Option<Place>,
    ) -> Self {
        Self {
            sequence: key.sequence,
            version: key.version,
            account_key: key.account_key,
            trace_hash: keyed.hash(span.trace_id.as_str()),
            id_hash: keyed.hash(span.id.as_str()),
            start_micros: span.start_time.unix_micros(),
            start_nanos: below(span.start_time),
            end_micros: span.end_time.map(Timestamp::unix_micros),
            end_nanos: span.end_time.map(below),
            block_key: place.map(|place| place.block_key),
            block_offset: place.map(|place| place.offset),
            task_hash: span.task_id.as_ref().map(|task_id| keyed.hash(task_id)),
            input_tokens: stored_count(facets.input_tokens),
            output_tokens: stored_count(facets.output_tokens),
            cached_tokens: stored_count(facets.cached_tokens),
            cost: stored_count(facets.cost_picodollars),
            payload_bytes: i32::try_from(span.payload_bytes()).unwrap_or(i32::MAX),
            status: span.status.map(|status| i16::from(status.code())),
            span_type: span.span_type.map(|span_type| i16::from(span_type.code())),
            usage_kind: facets.usage_kind.map(|kind| i16::from(kind.code())),
            trace_id: span.trace_id.as_str().as_bytes(),
            id: span.id.as_str().as_bytes(),
            name: span.name.as_bytes(),
            parent_id: span.parent_id.as_ref().map(|id| id.as_str().as_bytes()),
            task_id: bytes(span.task_id.as_ref()),
            group_id: bytes(span.group_id.as_ref()),
            application_variant_id: bytes(span.application_variant_id.as_ref()),
            application_interaction_id: bytes(span.application_interaction_id.as_ref()),
            obs_trace_id: bytes(span.obs_trace_id.as_ref()),
            obs_span_id: bytes(span.obs_span_id.as_ref()),
            agent_id: bytes(facets.agent_id.as_ref()),
            agent_name: bytes(facets.agent_name.as_ref()),
            acp_type: bytes(facets.acp_type.as_ref()),
            model: bytes(facets.model.as_ref()),
            error_type: bytes(facets.error_type.as_ref()),
            error_message: bytes(facets.error_message.as_ref()),
        }
    }
}

columns! {
    /// A row of `traces`.
    TraceRow, "trace_record" for "traces":
    trace_hash: i64,
    start_slot: i64,
    start_micros: i64,
    end_micros: Option<i64>,
    first_sequence: i64,
    last_sequence: i64,
    head_micros: i64,
    newest_micros: i64,
    payload_bytes: i64,
    call_input: i64,
    call_output: i64,
    call_cost: i64,
    aggregate_input: i64,
    aggregate_output: i64,
    aggregate_cost: i64,
    account_key: i32,
    span_count: i32,
    open_count: i32,
    error_count: i32,
    call_count: i32,
    call_costs: i32,
    aggregate_count: i32,
    aggregate_costs: i32,
    start_nanos: i16,
    end_nanos: Option<i16>,
    head_nanos: i16,
    newest_nanos: i16,
    head_status: Option<i16>,
    head_has_parent: bool,
    trace_id: &'a [u8],
    head_id: &'a [u8],
    head_name: &'a [u8],
    agent_name: Option<&'a [u8]>,
}

columns! {
    /// A row of `blocks`.
    BlockRow, "block_record" for "blocks":
    block_key: i64,
    raw_bytes: i64,
    dead_bytes: i64,
    spans: i32,
    dead_spans: i32,
    frame: &'a [u8],
}

/// Steps in which `traces` indexes starts.
pub(crate) const SLOT_SHIFT: u32 = 24;

/// Returns a number of spans as its column holds it.
fn number(spans: i64) -> i32 {
    i32::try_from(spans).unwrap_or(i32::MAX)
}

impl<'a> TraceRow<'a> {
    /// Returns the row of a trace; one without a head has no spans, and no row.
    pub(crate) fn of(trace: &'a Trace) -> Option<Self> {
        let summary = &trace.summary;
        let head = summary.head.as_ref()?;
        Some(Self {
            trace_hash: trace.hash,
            start_slot: summary.start.unix_micros() >> SLOT_SHIFT,
            start_micros: summary.start.unix_micros(),
            start_nanos: below(summary.start),
            end_micros: summary.end.map(Timestamp::unix_micros),
            end_nanos: summary.end.map(below),
            first_sequence: trace.sequences.0,
            last_sequence: trace.sequences.1,
            head_micros: head.start.unix_micros(),
            head_nanos: below(head.start),
            newest_micros: summary.last_start.unix_micros(),
            newest_nanos: below(summary.last_start),
            payload_bytes: summary.payload_bytes,
            call_input: summary.calls.input,
            call_output: summary.calls.output,
            call_count: number(summary.calls.count),
            call_cost: summary.calls.cost,
            call_costs: number(summary.calls.cost_count),
            aggregate_input: summary.aggregates.input,
            aggregate_output: summary.aggregates.output,
            aggregate_count: number(summary.aggregates.count),
            aggregate_cost: summary.aggregates.cost,
            aggregate_costs: number(summary.aggregates.cost_count),
            account_key: trace.account_key,
            span_count: number(summary.span_count),
            open_count: number(summary.open_count),
            error_count: number(summary.error_count),
            head_status: head.label.status.map(|status| i16::from(status.code())),
            head_has_parent: head.has_parent,
            trace_id: trace.trace_id.as_str().as_bytes(),
            head_id: head.id.as_str().as_bytes(),
            head_name: head.label.name.as_bytes(),
            agent_name: head.label.agent_name.as_ref().map(String::as_bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The columns that a statement of a schema declares, with their types.
    fn declared<'s>(schema: &'s str, what: &str) -> Vec<(&'s str, &'s str)> {
        let body = schema.split(&format!("{what} (")).nth(1).unwrap();
        let lines = body.lines().skip(1).take_while(|line| line.starts_with("    "));
        let words = lines.map(|line| {
            let mut words = line.split([' ', ',']).filter(|word| !word.is_empty());
            (words.next().unwrap(), words.next().unwrap())
        });
        words.filter(|(name, _)| *name != "PRIMARY").collect()
    }

    fn sql(ty: &Type) -> &'static str {
        match *ty {
            Type::INT8 => "bigint",
            Type::INT4 => "integer",
            Type::INT2 => "smallint",
            Type::BOOL => "boolean",
            _ => "bytea",
        }
    }

    #[test]
    fn columns_are_those_of_the_schema_and_in_its_order() {
        for (table, record, columns) in [SpanRow::DECLARED, TraceRow::DECLARED, BlockRow::DECLARED] {
            let columns: Vec<_> = columns.iter().map(|(name, ty)| (*name, sql(ty))).collect();
            let types = declared(include_str!("../schema_v2.sql"), &format!("CREATE TYPE {record} AS"));
            assert_eq!(columns, types);
            let mut of_table = declared(include_str!("../schema_v1.sql"), &format!("CREATE TABLE {table}"));
            let mut columns = columns;
            of_table.sort_unstable();
            columns.sort_unstable();
            assert_eq!(columns, of_table);
        }
    }
}
