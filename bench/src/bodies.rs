//! The workload as request bodies of the two APIs.

use std::fmt::Write as _;

use crate::workload::{Span, iso, uuid_str};

/// Returns the SGP span type for a kind of the workload.
fn span_type(kind: &str) -> &'static str {
    match kind {
        "AGENT" => "AGENT_WORKFLOW",
        "LLM" => "COMPLETION",
        "RETRIEVAL" => "KB_RETRIEVAL",
        "HTTP" => "EXTERNAL_ENDPOINT",
        "TOOL" => "CODE_EXECUTION",
        _ => "CUSTOM",
    }
}

/// Appends a span as an SGP item; a start item has no end, output and status.
pub fn sgp_item(span: &Span, started_only: bool, out: &mut String) {
    let _ = write!(
        out,
        "{{\"name\":\"{}\",\"id\":\"{}\",\"trace_id\":\"{}\",\"start_timestamp\":\"{}\",\"input\":{}",
        span.name,
        uuid_str(&span.id),
        uuid_str(&span.trace_id),
        iso(span.start_us),
        span.input,
    );
    if !started_only {
        let status = if span.status == "ERROR" { "ERROR" } else { "SUCCESS" };
        let _ = write!(
            out,
            ",\"output\":{},\"end_timestamp\":\"{}\",\"status\":\"{status}\"",
            span.output,
            iso(span.end_us)
        );
    }
    let _ = write!(out, ",\"metadata\":{},\"type\":\"{}\"", span.metadata, span_type(span.kind));
    if let Some(parent) = &span.parent_id {
        let _ = write!(out, ",\"parent_id\":\"{}\"", uuid_str(parent));
    }
    out.push('}');
}

/// Appends a span as an Agentex body.
pub fn agentex(span: &Span, out: &mut String) {
    let parent = span.parent_id.as_ref().map_or("null".into(), |id| format!("\"{}\"", uuid_str(id)));
    let _ = write!(
        out,
        "{{\"id\":\"{}\",\"trace_id\":\"{}\",\"task_id\":null,\"parent_id\":{parent},\"name\":\"{}\",\
         \"start_time\":\"{}\",\"end_time\":\"{}\",\"input\":{},\"output\":{},\"data\":{}}}",
        uuid_str(&span.id),
        uuid_str(&span.trace_id),
        span.name,
        iso(span.start_us),
        iso(span.end_us),
        span.input,
        span.output,
        span.metadata,
    );
}
