use endspan_model::{Span, Status};
use serde_json::Value;

use super::ErrorReport;

/// The key under which Agentex keeps a span's error (`sdk-behaviour` section 4).
const AGENTEX_ERROR: &str = "__error__";

/// Returns the error of a span that has failed.
///
/// A span has failed if its status says so or it carries an Agentex error. An exception event alone is no
/// failure: the exception may have been handled.
pub(super) fn read(
    span: &Span,
    attributes: ErrorReport,
    status_message: Option<String>,
    exception: Option<ErrorReport>,
) -> Option<ErrorReport> {
    let agentex = span.metadata.as_ref().and_then(|metadata| metadata.get(AGENTEX_ERROR));
    let agentex = agentex.map(|error| error.to_value()).filter(Value::is_object).map(|error| {
        let text = |key: &str| error.get(key).and_then(Value::as_str).map(str::to_owned);
        ErrorReport { kind: text("type"), message: text("message"), stack_trace: None }
    });
    if span.status != Some(Status::Error) && agentex.is_none() {
        return None;
    }
    let exception = exception.unwrap_or_default();
    let agentex = agentex.unwrap_or_default();
    Some(ErrorReport {
        kind: exception.kind.or(attributes.kind).or(agentex.kind),
        message: exception.message.or(attributes.message).or(status_message).or(agentex.message),
        stack_trace: exception.stack_trace,
    })
}
