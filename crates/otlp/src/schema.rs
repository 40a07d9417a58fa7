//! The messages of OTLP traces as a table: one description that serves the JSON form in both directions.
//!
//! Source: `opentelemetry/proto/{collector/trace,trace,resource,common}/v1` of opentelemetry-proto 1.9, with the
//! JSON deviations of the OTLP specification (ids are hex, enums are numbers).

/// A message and its fields.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) fields: &'static [Field],
    /// Any JSON scalar may stand for this message, and `null` for an empty one: `AnyValue`.
    pub(crate) any_value: bool,
}

/// A field.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    /// The key that is written and read.
    pub(crate) name: &'static str,
    /// Other keys that are read.
    pub(crate) aliases: &'static [&'static str],
    pub(crate) kind: Kind,
    pub(crate) repeated: bool,
}

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Text,
    /// Bytes that JSON writes as hex.
    Id,
    /// Bytes that JSON writes as base64.
    Bytes,
    Bool,
    Uint32,
    Int64,
    Double,
    Fixed32,
    Fixed64,
    /// Names by number, and the prefix that a name may go without.
    Enum(&'static [&'static str], &'static str),
    Message(&'static Message),
    /// Spans: each is read for itself.
    Spans(&'static Message),
}

impl Message {
    /// Returns the field with this JSON key.
    pub(crate) fn field(&self, key: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == key || field.aliases.contains(&key))
    }
}

const fn one(number: u32, name: &'static str, aliases: &'static [&'static str], kind: Kind) -> Field {
    Field { number, name, aliases, kind, repeated: false }
}

const fn many(number: u32, name: &'static str, aliases: &'static [&'static str], kind: Kind) -> Field {
    Field { number, name, aliases, kind, repeated: true }
}

const fn message(fields: &'static [Field]) -> Message {
    Message { fields, any_value: false }
}

pub(crate) static REQUEST: Message =
    message(&[many(1, "resourceSpans", &["resource_spans"], Kind::Message(&RESOURCE_SPANS))]);

static RESOURCE_SPANS: Message = message(&[
    one(1, "resource", &[], Kind::Message(&RESOURCE)),
    many(
        2,
        "scopeSpans",
        &["scope_spans", "instrumentationLibrarySpans", "instrumentation_library_spans"],
        Kind::Message(&SCOPE_SPANS),
    ),
    one(3, "schemaUrl", &["schema_url"], Kind::Text),
]);

static SCOPE_SPANS: Message = message(&[
    one(1, "scope", &["instrumentationLibrary", "instrumentation_library"], Kind::Message(&SCOPE)),
    many(2, "spans", &[], Kind::Spans(&SPAN)),
    one(3, "schemaUrl", &["schema_url"], Kind::Text),
]);

static RESOURCE: Message = message(&[
    many(1, "attributes", &[], Kind::Message(&KEY_VALUE)),
    one(2, "droppedAttributesCount", &["dropped_attributes_count"], Kind::Uint32),
    many(3, "entityRefs", &["entity_refs"], Kind::Message(&ENTITY_REF)),
]);

static ENTITY_REF: Message = message(&[
    one(1, "schemaUrl", &["schema_url"], Kind::Text),
    one(2, "type", &[], Kind::Text),
    many(3, "idKeys", &["id_keys"], Kind::Text),
    many(4, "descriptionKeys", &["description_keys"], Kind::Text),
]);

static SCOPE: Message = message(&[
    one(1, "name", &[], Kind::Text),
    one(2, "version", &[], Kind::Text),
    many(3, "attributes", &[], Kind::Message(&KEY_VALUE)),
    one(4, "droppedAttributesCount", &["dropped_attributes_count"], Kind::Uint32),
]);

static SPAN: Message = message(&[
    one(1, "traceId", &["trace_id"], Kind::Id),
    one(2, "spanId", &["span_id"], Kind::Id),
    one(3, "traceState", &["trace_state"], Kind::Text),
    one(4, "parentSpanId", &["parent_span_id"], Kind::Id),
    one(16, "flags", &[], Kind::Fixed32),
    one(5, "name", &[], Kind::Text),
    one(6, "kind", &[], Kind::Enum(SPAN_KINDS, "SPAN_KIND_")),
    one(7, "startTimeUnixNano", &["start_time_unix_nano"], Kind::Fixed64),
    one(8, "endTimeUnixNano", &["end_time_unix_nano"], Kind::Fixed64),
    many(9, "attributes", &[], Kind::Message(&KEY_VALUE)),
    one(10, "droppedAttributesCount", &["dropped_attributes_count"], Kind::Uint32),
    many(11, "events", &[], Kind::Message(&EVENT)),
    one(12, "droppedEventsCount", &["dropped_events_count"], Kind::Uint32),
    many(13, "links", &[], Kind::Message(&LINK)),
    one(14, "droppedLinksCount", &["dropped_links_count"], Kind::Uint32),
    one(15, "status", &[], Kind::Message(&STATUS)),
]);

const SPAN_KINDS: &[&str] = &["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];
const STATUS_CODES: &[&str] = &["UNSET", "OK", "ERROR"];

static EVENT: Message = message(&[
    one(1, "timeUnixNano", &["time_unix_nano"], Kind::Fixed64),
    one(2, "name", &[], Kind::Text),
    many(3, "attributes", &[], Kind::Message(&KEY_VALUE)),
    one(4, "droppedAttributesCount", &["dropped_attributes_count"], Kind::Uint32),
]);

static LINK: Message = message(&[
    one(1, "traceId", &["trace_id"], Kind::Id),
    one(2, "spanId", &["span_id"], Kind::Id),
    one(3, "traceState", &["trace_state"], Kind::Text),
    many(4, "attributes", &[], Kind::Message(&KEY_VALUE)),
    one(5, "droppedAttributesCount", &["dropped_attributes_count"], Kind::Uint32),
    one(6, "flags", &[], Kind::Fixed32),
]);

static STATUS: Message = message(&[
    one(2, "message", &[], Kind::Text),
    one(3, "code", &[], Kind::Enum(STATUS_CODES, "STATUS_CODE_")),
]);

static KEY_VALUE: Message =
    message(&[one(1, "key", &[], Kind::Text), one(2, "value", &[], Kind::Message(&ANY_VALUE))]);

static ANY_VALUE: Message = Message {
    any_value: true,
    fields: &[
        one(1, "stringValue", &["string_value"], Kind::Text),
        one(2, "boolValue", &["bool_value"], Kind::Bool),
        one(3, "intValue", &["int_value"], Kind::Int64),
        one(4, "doubleValue", &["double_value"], Kind::Double),
        one(5, "arrayValue", &["array_value"], Kind::Message(&ARRAY_VALUE)),
        one(6, "kvlistValue", &["kvlist_value"], Kind::Message(&KEY_VALUE_LIST)),
        one(7, "bytesValue", &["bytes_value"], Kind::Bytes),
    ],
};

static ARRAY_VALUE: Message = message(&[many(1, "values", &[], Kind::Message(&ANY_VALUE))]);
static KEY_VALUE_LIST: Message = message(&[many(1, "values", &[], Kind::Message(&KEY_VALUE))]);
