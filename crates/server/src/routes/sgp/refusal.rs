//! Problems in the words of the SGP API. Its error bodies are not documented; these follow the form that its
//! clients and FastAPI servers know: `{"detail": [...]}` for mistakes in fields, `{"detail": "..."}` otherwise.

use axum::response::Response;
use endspan_model::DropReason;
use endspan_store::Rejection;
use endspan_wire::{DecodeErrorKind, push_string};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::body::BodyError;
use crate::problem::{MAX_TOLD, Problem};
use crate::reply;

/// An error that concerns the request as a whole.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is written by hand")]
pub(super) struct ErrorDetail {
    /// What is wrong, for people.
    detail: String,
}

/// An error in fields of the request. At most 20 are told.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is written by hand")]
pub(super) struct FieldErrors {
    /// One entry a field.
    detail: Vec<FieldError>,
}

/// What is wrong with one field.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents a body that is written by hand")]
pub(super) struct FieldError {
    /// Where it stands, for example `["body", "items", 3, "end_timestamp"]`.
    loc: Vec<LocationPart>,
    /// What was expected and what was found, for people.
    msg: String,
    /// The kind of mistake, for programs.
    #[schema(example = "wrong_type")]
    r#type: String,
}

/// A key or a position.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "documents a body that is written by hand")]
pub(super) enum LocationPart {
    Key(String),
    Index(u64),
}

/// Returns the answer to a problem.
pub(super) fn refuse(problem: &Problem) -> Response {
    let status = status(problem);
    let body = match problem {
        Problem::Decode(errors) => {
            let mut list = List::default();
            for error in errors.iter().take(MAX_TOLD) {
                let message = error.to_string();
                let message = message.split_once(": ").map_or(message.as_str(), |(_, message)| message);
                list.push(|out| push_path(out, &error.path), message, kind(&error.kind));
            }
            list.finish()
        }
        Problem::Body(error @ BodyError::NotJson(_)) => {
            let mut list = List::default();
            let message = error.to_string();
            let message = message.split_once(": ").map_or(message.as_str(), |(_, message)| message);
            list.push(|out| out.extend_from_slice(b"\"header\",\"content-type\""), message, "invalid");
            list.finish()
        }
        Problem::Field { place, field, message } => {
            let mut list = List::default();
            let location = |out: &mut Vec<u8>| {
                push_string(out, place.as_str());
                out.push(b',');
                push_string(out, field);
            };
            list.push(location, message, "invalid");
            list.finish()
        }
        Problem::Rejected { batch, rejections } => {
            let mut list = List::default();
            for (index, rejection) in rejections.iter().take(MAX_TOLD) {
                let Rejection::Span { reason, field, message } = rejection else { continue };
                let location = |out: &mut Vec<u8>| push_item_path(out, batch.then_some(*index), field);
                list.push(location, message, reason.as_str());
            }
            list.finish()
        }
        Problem::NotFound { id } => reply::detail(&format!("span '{id}' not found")),
        _ => reply::detail(&problem.message()),
    };
    reply::problem(problem, status, body)
}

fn status(problem: &Problem) -> StatusCode {
    match problem {
        // A mistake that is 422 anywhere in the request outranks the 400 of an id's bytes.
        Problem::Decode(errors) if errors.iter().all(|error| error.kind.is_bad_request()) => {
            StatusCode::BAD_REQUEST
        }
        Problem::Field { field: "span_id", .. } => StatusCode::BAD_REQUEST,
        Problem::Rejected { rejections, .. } => {
            let is = |wanted| {
                let mut reasons = rejections.iter().map(|(_, rejection)| crate::ingest::reason_of(rejection));
                reasons.any(|reason| reason == wanted)
            };
            if is(DropReason::InvalidParent) || is(DropReason::Duplicate) {
                StatusCode::CONFLICT
            } else {
                problem.status()
            }
        }
        _ => problem.status(),
    }
}

/// Returns the API's name of a field of the model.
fn field_name(field: &'static str) -> &'static str {
    match field {
        "start_time" => "start_timestamp",
        "end_time" => "end_timestamp",
        field => field,
    }
}

#[derive(Default)]
struct List {
    body: Vec<u8>,
}

impl List {
    fn push(&mut self, location: impl FnOnce(&mut Vec<u8>), message: &str, kind: &str) {
        self.body.extend_from_slice(if self.body.is_empty() { b"{\"detail\":[" } else { b"," });
        self.body.extend_from_slice(b"{\"loc\":[");
        location(&mut self.body);
        self.body.extend_from_slice(b"],\"msg\":");
        push_string(&mut self.body, message);
        self.body.extend_from_slice(b",\"type\":");
        push_string(&mut self.body, kind);
        self.body.push(b'}');
    }

    fn finish(mut self) -> Vec<u8> {
        if self.body.is_empty() {
            return reply::detail("rejected");
        }
        self.body.extend_from_slice(b"]}");
        self.body
    }
}

/// Appends `items[3].input` as `"body","items",3,"input"`.
fn push_path(out: &mut Vec<u8>, path: &str) {
    push_string(out, "body");
    if path == "body" {
        return;
    }
    for part in path.split(['.', '[', ']']).filter(|part| !part.is_empty()) {
        out.push(b',');
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            out.extend_from_slice(part.as_bytes());
        } else {
            push_string(out, part);
        }
    }
}

fn push_item_path(out: &mut Vec<u8>, item: Option<usize>, field: &'static str) {
    push_string(out, "body");
    if let Some(index) = item {
        out.extend_from_slice(format!(",\"items\",{index}").as_bytes());
    }
    if field != "span" {
        out.push(b',');
        push_string(out, field_name(field));
    }
}

fn kind(kind: &DecodeErrorKind) -> &'static str {
    match kind {
        DecodeErrorKind::Syntax { .. } => "json_invalid",
        DecodeErrorKind::NotUtf8 => "not_utf8",
        DecodeErrorKind::Missing => "missing",
        DecodeErrorKind::WrongType { .. } => "wrong_type",
        DecodeErrorKind::TooManyCharacters { .. } | DecodeErrorKind::TooManyBytes { .. } => "too_long",
        DecodeErrorKind::Nul => "nul",
        DecodeErrorKind::LoneSurrogate => "lone_surrogate",
        DecodeErrorKind::NotFinite => "not_finite",
        DecodeErrorKind::NumberOverflow => "number_overflow",
        DecodeErrorKind::TooDeep => "too_deep",
        DecodeErrorKind::BadTime => "bad_time",
        DecodeErrorKind::UnknownName { .. } => "unknown_name",
        DecodeErrorKind::BadHex => "bad_hex",
        DecodeErrorKind::EndBeforeStart => "end_before_start",
        DecodeErrorKind::WithoutCompanion { .. } => "without_companion",
        DecodeErrorKind::TooManyItems => "too_many_items",
        _ => "invalid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_location() {
        for (path, location) in [
            ("body", r#""body""#),
            ("name", r#""body","name""#),
            ("items[3].input", r#""body","items",3,"input""#),
            ("items[12]", r#""body","items",12"#),
        ] {
            let mut out = Vec::new();
            push_path(&mut out, path);
            assert_eq!(String::from_utf8(out).unwrap(), location);
        }
    }
}
