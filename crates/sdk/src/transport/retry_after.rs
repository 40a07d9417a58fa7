use std::time::{Duration, SystemTime};

use http::HeaderMap;

/// Longest wait that a destination may ask for (`sdk-behaviour` 12.5). Longer ones are not followed.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Returns the wait that an answer asks for: `retry-after-ms`, else `retry-after` in seconds (fractions allowed),
/// else `retry-after` as an HTTP date; only if it is above 0 and at most 60 s.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    let seconds = match text("retry-after-ms").and_then(number) {
        Some(millis) => millis / 1000.0,
        None => {
            let value = text("retry-after")?;
            match number(value) {
                Some(seconds) => seconds,
                None => httpdate::parse_http_date(value).ok()?.duration_since(now).ok()?.as_secs_f64(),
            }
        }
    };
    let wait = Duration::try_from_secs_f64(seconds).ok()?;
    (wait > Duration::ZERO && wait <= MAX_WAIT).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(name: &'static str, value: &str) -> Option<f64> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        retry_after(&headers, SystemTime::UNIX_EPOCH).map(|wait| wait.as_secs_f64())
    }

    #[test]
    fn row_108_seconds_between_0_and_60() {
        assert_eq!(wait("retry-after", "7"), Some(7.0));
        assert_eq!(wait("retry-after", "2.5"), Some(2.5));
        assert_eq!(wait("retry-after", "60"), Some(60.0));
        for ignored in ["61", "0", "-10", "soon", "", "nan", "inf", "1e400"] {
            assert_eq!(wait("retry-after", ignored), None, "{ignored}");
        }
    }

    #[test]
    fn row_109_milliseconds_come_first() {
        assert_eq!(wait("retry-after-ms", "250"), Some(0.25));
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "7".parse().unwrap());
        headers.insert("retry-after-ms", "250".parse().unwrap());
        assert_eq!(retry_after(&headers, SystemTime::UNIX_EPOCH), Some(Duration::from_millis(250)));
    }

    #[test]
    fn dates_count_from_now() {
        assert_eq!(wait("retry-after", "Thu, 01 Jan 1970 00:00:30 GMT"), Some(30.0));
        assert_eq!(wait("retry-after", "Thu, 01 Jan 1970 00:02:00 GMT"), None);
    }
}
