use std::fmt::Write as _;

/// What a variable's text is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Free text; empty counts as given.
    Text,
    /// A secret: never shown.
    Secret,
    /// An integer in Python's syntax, raised to the floor. Text that is none gives a warning and the default.
    Integer {
        /// The least value.
        floor: i64,
    },
    /// On, except for `0`, `false`, `no` and `off`.
    Flag,
    /// On as soon as it is present, whatever it holds.
    Presence,
}

/// An environment variable that endspan reads.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// How its text is read.
    pub kind: Kind,
    /// What holds without it, in words.
    pub default: &'static str,
    /// What it does.
    pub doc: &'static str,
}

macro_rules! variables {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:expr, $default:literal;)*) => {
        $(
            $(#[doc = $doc])+
            pub(crate) const $name: Variable = Variable {
                name: stringify!($name),
                kind: $kind,
                default: $default,
                doc: concat!($($doc),+),
            };
        )*

        /// Every variable that endspan reads.
        pub const VARIABLES: &[Variable] = &[$($name),*];
    };
}

variables! {
    /// Spans in a request. When it is set, requests do not grow beyond it under backlog.
    AGENTEX_SPAN_QUEUE_BATCH_SIZE: Kind::Integer { floor: 1 }, "200, up to 1000 under backlog";
    /// Milliseconds that the first span of a request waits for company. 0: none.
    AGENTEX_SPAN_QUEUE_LINGER_MS: Kind::Integer { floor: 0 }, "250";
    /// Spans that may wait for each destination; the newest beyond are dropped. 0: no limit in spans, only in bytes.
    AGENTEX_SPAN_QUEUE_MAX_SIZE: Kind::Integer { floor: 0 }, "0";
    /// Bytes of spans that each destination may have undelivered; the newest beyond are dropped. 0: no limit for each, only for all together.
    ENDSPAN_DESTINATION_MAX_BYTES: Kind::Integer { floor: 0 }, "0";
    /// Spans that may wait in all; the oldest beyond are dropped. A start that is written counts like an end. 0: no limit in spans, only in bytes.
    ENDSPAN_QUEUE_MAX_SPANS: Kind::Integer { floor: 0 }, "0";
    /// Attempts that a span gets. Without it, transient failures are retried until space or age forces a drop.
    AGENTEX_SPAN_QUEUE_MAX_RETRIES: Kind::Integer { floor: 1 }, "no limit";
    /// Requests in flight to each destination.
    AGENTEX_SPAN_QUEUE_CONCURRENCY: Kind::Integer { floor: 1 }, "3";
    /// On: the Agentex exporter writes a span once, at its end. Off: also at its start, if it is still open after ENDSPAN_START_DELAY_MS.
    AGENTEX_TRACING_SKIP_AGENTEX_SPAN_START: Kind::Flag, "1";
    /// The same for the SGP exporter.
    AGENTEX_TRACING_SKIP_SPAN_START: Kind::Flag, "1";
    /// Whether OpenTelemetry metrics are recorded (with the crate's feature `otel`).
    AGENTEX_TRACING_METRICS: Kind::Flag, "1";
    /// Address of the Agentex server.
    AGENTEX_BASE_URL: Kind::Text, "http://localhost:5003";
    /// Bearer key for the Agentex server, sent as Authorization.
    AGENTEX_SDK_API_KEY: Kind::Secret, "none";
    /// Further headers for the Agentex server, one `Name: value` in a line.
    AGENTEX_CUSTOM_HEADERS: Kind::Secret, "none";
    /// The agent's key, sent to the Agentex server as x-agent-api-key.
    AGENT_API_KEY: Kind::Secret, "none";
    /// The agent's name, written into SGP metadata as `__agent_name__`.
    AGENT_NAME: Kind::Text, "none";
    /// The agent's id, written into SGP metadata as `__agent_id__`.
    AGENT_ID: Kind::Text, "none";
    /// The agent's protocol type, written into SGP metadata as `__acp_type__`.
    ACP_TYPE: Kind::Text, "async";
    /// Key for SGP. Empty or absent: the SGP exporter is switched off.
    SGP_API_KEY: Kind::Secret, "none";
    /// Account at SGP. Empty or absent: the SGP exporter is switched off.
    SGP_ACCOUNT_ID: Kind::Text, "none";
    /// Address of SGP.
    SGP_CLIENT_BASE_URL: Kind::Text, "https://api.egp.scale.com";
    /// Further headers for SGP, one `Name: value` in a line.
    SGP_CLIENT_CUSTOM_HEADERS: Kind::Secret, "none";
    /// Address of an OTLP collector for all signals; the OTLP exporter adds `/v1/traces`.
    OTEL_EXPORTER_OTLP_ENDPOINT: Kind::Text, "http://localhost:4318";
    /// Address for traces, taken as it is, in place of OTEL_EXPORTER_OTLP_ENDPOINT.
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: Kind::Text, "none";
    /// Headers for the collector, `name=value` with commas between them, percent-encoded.
    OTEL_EXPORTER_OTLP_HEADERS: Kind::Secret, "none";
    /// The same for traces, in place of OTEL_EXPORTER_OTLP_HEADERS.
    OTEL_EXPORTER_OTLP_TRACES_HEADERS: Kind::Secret, "none";
    /// Milliseconds that a request of the OTLP exporter may take.
    OTEL_EXPORTER_OTLP_TIMEOUT: Kind::Integer { floor: 1 }, "ENDSPAN_EXPORT_TIMEOUT_MS";
    /// The same for traces, in place of OTEL_EXPORTER_OTLP_TIMEOUT.
    OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: Kind::Integer { floor: 1 }, "none";
    /// `gzip` or `none`: how the OTLP exporter compresses.
    OTEL_EXPORTER_OTLP_COMPRESSION: Kind::Text, "gzip";
    /// The same for traces, in place of OTEL_EXPORTER_OTLP_COMPRESSION.
    OTEL_EXPORTER_OTLP_TRACES_COMPRESSION: Kind::Text, "none given";
    /// `http/protobuf` or `http/json`: what the OTLP exporter sends. `grpc` switches it off.
    OTEL_EXPORTER_OTLP_PROTOCOL: Kind::Text, "http/protobuf";
    /// The same for traces, in place of OTEL_EXPORTER_OTLP_PROTOCOL.
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: Kind::Text, "none given";
    /// The resource's `service.name` in what the OTLP exporter sends.
    OTEL_SERVICE_NAME: Kind::Text, "none";
    /// Further attributes of the resource, `key=value` with commas between them, percent-encoded.
    OTEL_RESOURCE_ATTRIBUTES: Kind::Text, "none";
    /// Which observability context is written into spans: `dd_only`, `dual` or `lgtm` (the latter two read OpenTelemetry, with the feature `otel`).
    SGP_OBS_MODE: Kind::Text, "dd_only";
    /// Switches off tracers made by the older profile.
    DISABLE_SCALE_TRACING: Kind::Presence, "absent";
    /// Milliseconds that a span's start is held in start mode; a span that ends meanwhile is written once.
    ENDSPAN_START_DELAY_MS: Kind::Integer { floor: 0 }, "5000";
    /// Whether spans are kept in files until they are delivered, so that they survive the process.
    ENDSPAN_SPOOL: Kind::Flag, "1";
    /// Directory of the spool. It is private to the user and shared by all processes.
    ENDSPAN_SPOOL_DIR: Kind::Text, "$XDG_STATE_HOME/endspan/spool, ~/.local/state/endspan/spool, or a directory of the user under the temporary one";
    /// Bytes of a process's spool; beyond, the oldest spans are dropped.
    ENDSPAN_SPOOL_MAX_BYTES: Kind::Integer { floor: 1_048_576 }, "536870912 (512 MiB)";
    /// Bytes of spans in memory; without a spool, the oldest beyond are dropped.
    ENDSPAN_QUEUE_MAX_BYTES: Kind::Integer { floor: 1_048_576 }, "67108864 (64 MiB)";
    /// Milliseconds between writes of the spool through to the disk. 0: left to the system; spans then survive the process, not a power cut.
    ENDSPAN_SPOOL_SYNC_MS: Kind::Integer { floor: 0 }, "0";
    /// Bytes of spans in one request; a larger span goes alone.
    ENDSPAN_BATCH_BYTES: Kind::Integer { floor: 1 }, "4194304 (4 MiB)";
    /// Milliseconds that one request may take.
    ENDSPAN_EXPORT_TIMEOUT_MS: Kind::Integer { floor: 1 }, "60000";
    /// Seconds after which an undelivered span is dropped. 0: never.
    ENDSPAN_MAX_AGE_S: Kind::Integer { floor: 0 }, "86400 (a day)";
    /// Milliseconds that shutdown, also at exit, may take.
    ENDSPAN_SHUTDOWN_TIMEOUT_MS: Kind::Integer { floor: 0 }, "30000";
}

/// Returns the reference page of all variables, in Markdown.
pub fn reference_page() -> String {
    let mut page = String::from(
        "# Environment variables\n\n\
         <!-- Generated from the registry in crates/sdk/src/settings/registry.rs. A test holds them together: \
         after a change, run it with UPDATE_DOCS=1. -->\n\n\
         An argument given in code comes first, then the variable, then the default. Each variable is read once, when \
         the tracer or exporter is built.\n\n\
         | Variable | Read as | Default | Meaning |\n|---|---|---|---|\n",
    );
    for variable in VARIABLES {
        let kind = match variable.kind {
            Kind::Text => "text".to_owned(),
            Kind::Secret => "text, never shown".to_owned(),
            Kind::Integer { floor } => format!("integer, at least {floor}"),
            Kind::Flag => "flag".to_owned(),
            Kind::Presence => "presence".to_owned(),
        };
        let doc = variable.doc.trim();
        let _ = writeln!(page, "| `{}` | {kind} | {} | {doc} |", variable.name, variable.default);
    }
    page.push_str(
        "\nIntegers follow Python's syntax: white space around, a sign, `1_000`. Text that is no integer gives a warning \
         and the default; a smaller number is raised to the least one. A flag is off for `0`, `false`, `no` and `off` in \
         any case, with white space around, and on for everything else, the empty text too.\n",
    );
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_page_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/environment.md");
        let page = reference_page();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(kept == page, "docs/environment.md is stale: run this test with UPDATE_DOCS=1");
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::HashSet<_> = VARIABLES.iter().map(|variable| variable.name).collect();
        assert_eq!(names.len(), VARIABLES.len());
    }
}
