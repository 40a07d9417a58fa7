//! Ids out of a path.

use crate::problem::{Place, Problem};
use crate::text::decode_segment;

/// Returns the last segment of a path, decoded. An encoded slash is part of it.
pub(crate) fn last(path: &str, field: &'static str) -> Result<String, Problem> {
    let (_, segment) = path.rsplit_once('/').unwrap_or(("", path));
    decode(segment, field)
}

/// Returns the last but one segment of a path, decoded.
pub(crate) fn last_but_one(path: &str, field: &'static str) -> Result<String, Problem> {
    let (before, _) = path.rsplit_once('/').unwrap_or((path, ""));
    last(before, field)
}

/// Returns the last but two segment of a path, decoded.
pub(crate) fn last_but_two(path: &str, field: &'static str) -> Result<String, Problem> {
    let (before, _) = path.rsplit_once('/').unwrap_or((path, ""));
    last_but_one(before, field)
}

fn decode(segment: &str, field: &'static str) -> Result<String, Problem> {
    decode_segment(segment).map(Into::into).map_err(|error| Problem::Field {
        place: Place::Path,
        field,
        message: error.to_string(),
    })
}
