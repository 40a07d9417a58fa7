use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::{TransportError, retry_after};
use crate::lane::{Failure, Outcome};

/// An answer as exporters look at it: the status, and what it means by the rules of `sdk-behaviour` 12.5.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status, `None` if there was no answer.
    pub status: Option<u16>,
    /// What it means.
    pub outcome: Outcome,
    /// The body of the answer.
    pub body: Bytes,
}

/// Judges the end of an exchange.
///
/// | answer | outcome |
/// |---|---|
/// | 2xx | delivered |
/// | `x-should-retry: true` / `false` | retryable / rejected, whatever the status |
/// | 429 | throttled |
/// | 408, 409, 5xx, a broken connection, a timeout | retryable |
/// | 401, 403, and what says "not here" (3xx, 404, 405, 407, 410, 421) | held |
/// | 413 | too large |
/// | other 4xx | rejected |
pub fn classify(exchange: Result<http::Response<Bytes>, TransportError>, now: SystemTime) -> Answer {
    let response = match exchange {
        Ok(response) => response,
        Err(error) => {
            let outcome = match error {
                TransportError::Timeout(_) => Outcome::Retryable { after: None, failure: Failure::TIMEOUT },
                TransportError::Invalid(_) => Outcome::Held(Failure::OTHER),
                _ => Outcome::Retryable { after: None, failure: Failure::NETWORK },
            };
            return Answer { status: None, outcome, body: Bytes::new() };
        }
    };
    let status = response.status().as_u16();
    let after = retry_after(response.headers(), now);
    let should_retry = response.headers().get("x-should-retry").map(http::HeaderValue::as_bytes);
    let outcome = judge(status, after, should_retry);
    Answer { status: Some(status), outcome, body: response.into_body() }
}

fn judge(status: u16, after: Option<Duration>, should_retry: Option<&[u8]>) -> Outcome {
    let failure = Failure::of_status(status);
    match (status, should_retry) {
        (200..=299, _) => Outcome::Delivered,
        (_, Some(b"true")) => Outcome::Retryable { after, failure },
        (_, Some(b"false")) => Outcome::Rejected(failure),
        (429, _) => Outcome::Throttled { after },
        (408 | 409 | 500.., _) => Outcome::Retryable { after, failure },
        (413, _) => Outcome::TooLarge,
        (401 | 403 | 404 | 405 | 407 | 410 | 421, _) => Outcome::Held(failure),
        (400..=499, _) => Outcome::Rejected(failure),
        _ => Outcome::Held(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, header: Option<(&'static str, &'static str)>) -> Outcome {
        let mut response = http::Response::builder().status(status);
        if let Some((name, value)) = header {
            response = response.header(name, value);
        }
        classify(Ok(response.body(Bytes::new()).unwrap()), SystemTime::UNIX_EPOCH).outcome
    }

    #[test]
    fn rows_89_and_111_what_may_pass_is_retried() {
        for status in [408, 409, 500, 501, 502, 503, 504, 599] {
            assert!(matches!(outcome(status, None), Outcome::Retryable { after: None, .. }), "{status}");
        }
        assert_eq!(outcome(429, None), Outcome::Throttled { after: None });
    }

    #[test]
    fn row_110_the_server_may_decide_outright() {
        assert!(matches!(outcome(503, Some(("x-should-retry", "false"))), Outcome::Rejected(_)));
        assert!(matches!(outcome(400, Some(("x-should-retry", "true"))), Outcome::Retryable { .. }));
    }

    #[test]
    fn row_112_refusals_of_the_content_are_final_and_those_of_the_key_are_held() {
        for status in [400, 402, 406, 411, 415, 422, 499] {
            assert!(matches!(outcome(status, None), Outcome::Rejected(_)), "{status}");
        }
        for status in [301, 307, 401, 403, 404, 405] {
            assert!(matches!(outcome(status, None), Outcome::Held(_)), "{status}");
        }
        assert_eq!(outcome(413, None), Outcome::TooLarge);
    }

    #[test]
    fn row_113_no_answer_is_retried_without_a_status() {
        let refused = classify(Err(TransportError::Connect(String::new())), SystemTime::UNIX_EPOCH);
        assert_eq!(refused.status, None);
        assert_eq!(refused.outcome, Outcome::Retryable { after: None, failure: Failure::NETWORK });
        let late = classify(Err(TransportError::Timeout(String::new())), SystemTime::UNIX_EPOCH);
        assert_eq!(late.outcome, Outcome::Retryable { after: None, failure: Failure::TIMEOUT });
    }

    #[test]
    fn a_wait_is_passed_on() {
        let wait = Some(Duration::from_secs(7));
        assert!(
            matches!(outcome(503, Some(("retry-after", "7"))), Outcome::Retryable { after, .. } if after == wait)
        );
        assert_eq!(outcome(429, Some(("retry-after", "7"))), Outcome::Throttled { after: wait });
    }

    #[test]
    fn rows_103_to_105_failures_have_the_reference_names() {
        let names = |status| (Failure::of_status(status).error_class, Failure::of_status(status).http_code);
        assert_eq!(names(401), ("authentication", "401"));
        assert_eq!(names(403), ("authentication", "403"));
        assert_eq!(names(429), ("rate_limit", "429"));
        assert_eq!(names(422), ("client_error", "4xx"));
        assert_eq!(names(503), ("server_error", "5xx"));
        assert_eq!(names(100), ("other_error", "other"));
        assert_eq!((Failure::TIMEOUT.error_class, Failure::TIMEOUT.http_code), ("timeout", "timeout"));
        assert_eq!((Failure::OTHER.error_class, Failure::OTHER.http_code), ("other_error", "unknown"));
    }
}
