//! The workload's spans as the store takes them.

use anyhow::{Context, Result};
use bytes::Bytes;
use endspan_model::{Payload, Span, Status, Timestamp};

use crate::workload::{Span as Made, uuid_str};

/// Returns a span of the workload in the form of the model.
pub fn to_span(made: &Made) -> Result<Span> {
    let time = |micros| Timestamp::from_unix_micros(micros).context("time out of range");
    let payload = |text: &str| Payload::parse(Bytes::copy_from_slice(text.as_bytes()));
    let mut span =
        Span::new(uuid_str(&made.trace_id), uuid_str(&made.id), made.name.as_str(), time(made.start_us)?);
    span.parent_id = made.parent_id.as_ref().map(|id| uuid_str(id).into());
    span.end_time = Some(time(made.end_us)?);
    span.status = Some(if made.status == "ERROR" { Status::Error } else { Status::Success });
    span.input = Some(payload(&made.input)?);
    span.output = Some(payload(&made.output)?);
    span.metadata = Some(payload(&made.metadata)?);
    Ok(span)
}
