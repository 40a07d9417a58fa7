use std::time::Duration;

use endspan_model::DropReason;

/// What became of one request, as its exporter judges the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The destination has every span of the request.
    Delivered,
    /// The destination answered for each span on its own, in the order of the request.
    PerSpan(Vec<SpanOutcome>),
    /// It may work later: an overloaded or failing server, a broken connection, a timeout.
    Retryable {
        /// The wait that the destination asked for, already capped.
        after: Option<Duration>,
        /// What failed, for metrics and logs.
        failure: Failure,
    },
    /// The destination asks everyone to slow down.
    Throttled {
        /// The wait that it asked for, already capped.
        after: Option<Duration>,
    },
    /// Refused for the key, the account or the address, not for the spans: held until that is mended.
    Held(Failure),
    /// The request is too large as a whole.
    TooLarge,
    /// Refused for its content; repeating it changes nothing.
    Rejected(Failure),
}

/// What became of one span of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanOutcome {
    /// The destination has it.
    Delivered,
    /// It may work later.
    Retryable,
    /// It never will.
    Dropped(DropReason),
}

/// The class of a failure with the names of the reference's metrics (`sdk-behaviour` section 10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Failure {
    /// `timeout`, `network_error`, `authentication`, `rate_limit`, `client_error`, `server_error` or
    /// `other_error`.
    pub error_class: &'static str,
    /// `401`, `403`, `429`, `4xx`, `5xx`, `timeout`, `network`, `other` or `unknown`.
    pub http_code: &'static str,
    /// One bad span of the request could be the cause: the server answered, and with an error of its own.
    may_be_content: bool,
}

impl Failure {
    /// The deadline passed.
    pub const TIMEOUT: Self = Self::new("timeout", "timeout");
    /// The connection failed.
    pub const NETWORK: Self = Self::new("network_error", "network");
    /// Something without a status, in an exporter's own code.
    pub const OTHER: Self = Self::new("other_error", "unknown");

    const fn new(error_class: &'static str, http_code: &'static str) -> Self {
        Self { error_class, http_code, may_be_content: false }
    }

    /// Returns the class of an HTTP status.
    pub const fn of_status(status: u16) -> Self {
        let class = match status {
            401 => Self::new("authentication", "401"),
            403 => Self::new("authentication", "403"),
            429 => Self::new("rate_limit", "429"),
            400..=499 => Self::new("client_error", "4xx"),
            500..=599 => Self::new("server_error", "5xx"),
            _ => Self::new("other_error", "other"),
        };
        // A gateway's and an overloaded server's answers say nothing about the spans.
        let may_be_content = !matches!(status, 401 | 403 | 408 | 429 | 502 | 503 | 504);
        Self { may_be_content, ..class }
    }

    /// Returns whether one bad span of the request could be the cause.
    pub(crate) const fn may_be_content(self) -> bool {
        self.may_be_content
    }
}

impl Outcome {
    /// Returns the class of the failure, or `None` on success.
    pub const fn failure(&self) -> Option<Failure> {
        match self {
            Self::Delivered | Self::PerSpan(_) => None,
            Self::Retryable { failure, .. } | Self::Held(failure) | Self::Rejected(failure) => Some(*failure),
            Self::Throttled { .. } => Some(Failure::of_status(429)),
            Self::TooLarge => Some(Failure::of_status(413)),
        }
    }
}
