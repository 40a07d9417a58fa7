//! What can be wrong with a request, before an API puts it into its own words.

use endspan_model::DropReason;
use endspan_store::{Rejection, StoreError};
use endspan_wire::DecodeError;
use http::StatusCode;

use crate::account::{ACCOUNT_HEADER, AccountError};
use crate::body::BodyError;
use crate::ingest::reason_of;

/// Seconds after which a client may try again.
pub(crate) const RETRY_AFTER_SECONDS: u64 = 1;

/// The part of a request at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Header,
    Path,
    Query,
    Body,
}

impl Place {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Path => "path",
            Self::Query => "query",
            Self::Body => "body",
        }
    }
}

/// Why a request is not answered as asked.
#[derive(Debug)]
pub(crate) enum Problem {
    /// The body could not be read.
    Body(BodyError),
    /// Fields of the body are wrong. Never empty.
    Decode(Vec<DecodeError>),
    /// A header, path segment, query parameter or rule of the body is broken.
    Field { place: Place, field: &'static str, message: String },
    /// There is no span (or trace) with this id.
    NotFound { id: String },
    /// The store, or a rule of ours, refused spans: position in the request and reason. Never empty.
    Rejected { batch: bool, rejections: Vec<(usize, Rejection)> },
    /// The store failed.
    Store(StoreError),
    /// Too many of something are open.
    Overloaded,
}

impl Problem {
    pub(crate) fn query(field: &'static str, message: impl Into<String>) -> Self {
        Self::Field { place: Place::Query, field, message: message.into() }
    }

    pub(crate) fn rejected(rejection: Rejection) -> Self {
        Self::Rejected { batch: false, rejections: vec![(0, rejection)] }
    }

    /// Returns the status that APIs without a rule of their own answer.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Body(error) => match error {
                BodyError::NotJson(_) => StatusCode::UNPROCESSABLE_ENTITY,
                BodyError::UnknownEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
                BodyError::Corrupt(_) | BodyError::Incomplete => StatusCode::BAD_REQUEST,
                BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                BodyError::TimedOut => StatusCode::REQUEST_TIMEOUT,
                BodyError::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            },
            Self::Decode(_) | Self::Field { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::Rejected { rejections, .. } => match rejections.first().map(|(_, first)| first) {
                Some(Rejection::NotFound) => StatusCode::NOT_FOUND,
                Some(rejection) => match reason_of(rejection) {
                    DropReason::Duplicate => StatusCode::BAD_REQUEST,
                    DropReason::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                    DropReason::InvalidParent => StatusCode::CONFLICT,
                    _ => StatusCode::UNPROCESSABLE_ENTITY,
                },
                None => StatusCode::UNPROCESSABLE_ENTITY,
            },
            Self::Store(StoreError::InvalidQuery { .. }) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Store(_) | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Returns the reason under which spans count that a request with this problem held.
    pub(crate) fn drop_reason(&self) -> DropReason {
        match self {
            Self::Body(BodyError::Overloaded) | Self::Overloaded => DropReason::Overloaded,
            Self::Body(BodyError::TooLarge { .. }) => DropReason::TooLarge,
            Self::Store(_) => DropReason::StoreUnavailable,
            _ => DropReason::Malformed,
        }
    }

    /// Returns the problem's name for logs.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Body(_) => "body",
            Self::Decode(_) => "decode",
            Self::Field { .. } => "field",
            Self::NotFound { .. } => "not_found",
            Self::Rejected { .. } => "rejected",
            Self::Store(_) => "store",
            Self::Overloaded => "overloaded",
        }
    }

    /// Returns the problem in one line. Store failures and other internals are not told.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Body(error) => error.to_string(),
            Self::Decode(errors) => join(errors.iter().map(ToString::to_string)),
            Self::Field { field, message, .. } => format!("{field}: {message}"),
            Self::NotFound { id } => format!("Item with id '{id}' does not exist."),
            Self::Rejected { rejections, .. } => {
                join(rejections.iter().map(|(_, rejection)| match rejection {
                    Rejection::NotFound => "not found".to_owned(),
                    Rejection::Span { field, message, .. } => format!("{field}: {message}"),
                }))
            }
            Self::Store(error @ StoreError::InvalidQuery { .. }) => error.to_string(),
            Self::Store(StoreError::Overloaded(_)) | Self::Overloaded => "the server is busy".to_owned(),
            Self::Store(_) => "the store is not available".to_owned(),
        }
    }
}

/// Most mistakes told in one answer.
pub(crate) const MAX_TOLD: usize = 20;

fn join(messages: impl ExactSizeIterator<Item = String>) -> String {
    let count = messages.len();
    let mut text = messages.take(MAX_TOLD).collect::<Vec<_>>().join("; ");
    if count > MAX_TOLD {
        text.push_str(&format!("; and {} more", count - MAX_TOLD));
    }
    text
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl From<DecodeError> for Problem {
    fn from(error: DecodeError) -> Self {
        Self::Decode(vec![error])
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        Self::Field { place: Place::Header, field: ACCOUNT_HEADER, message: error.to_string() }
    }
}
