//! What a response means for the events that were posted. Pure.

use std::time::{Duration, SystemTime};

use pgcdc_sdk::http::Response;
use pgcdc_sdk::{Error, Result};

/// A longer wait than this is not believed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// Delivered, or why not.
pub(crate) fn read(response: &Response) -> Result<()> {
    let status = response.status;
    let error = match status {
        200..=299 => return Ok(()),
        300..=399 => {
            Error::rejected(format!("status {status}: redirects are not followed; use the new address"))
        }
        401 => Error::denied("status 401: the endpoint wants other credentials"),
        403 => Error::denied("status 403: the endpoint forbids it"),
        408 => Error::timeout("status 408: the endpoint has waited too long"),
        429 => Error::throttled("status 429: too many requests"),
        500.. => Error::unavailable(format!("status {status}")),
        _ => Error::rejected(format!("status {status}")),
    };
    let error = error.with("status", status);
    Err(match retry_after(response) {
        Some(wait) => error.retry_after(wait),
        None => error,
    })
}

/// Is it what was posted that is refused, and not the request as such?
pub(crate) fn is_about_content(status: u16) -> bool {
    matches!(status, 400 | 413 | 422)
}

/// Is it the endpoint that wants a pause, whatever the event?
pub(crate) fn asks_for_a_pause(error: &Error) -> bool {
    error.code == "throttled" || error.retry_after_ms.is_some()
}

/// In seconds, or as a date: by the other side's own clock if it tells it, else by ours.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.header("retry-after")?.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        // More digits than a number holds.
        Err(_) if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => Duration::MAX,
        Err(_) => {
            let at = httpdate::parse_http_date(value).ok()?;
            let theirs = response.header("date").and_then(|date| httpdate::parse_http_date(date.trim()).ok());
            at.duration_since(theirs.unwrap_or_else(SystemTime::now)).unwrap_or_default()
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(status: u16) -> Option<String> {
        read(&Response { status, ..Response::default() }).err().map(|error| error.code)
    }

    #[test]
    fn statuses_are_sorted() {
        for status in [200, 202, 204, 299] {
            assert_eq!(code(status), None);
        }
        let sorted = [("rejected", [301, 400, 404, 410, 422]), ("unavailable", [500, 502, 503, 504, 599])];
        for (expected, statuses) in sorted {
            for status in statuses {
                assert_eq!(code(status).as_deref(), Some(expected), "{status}");
            }
        }
        assert_eq!(code(429).as_deref(), Some("throttled"));
        assert_eq!(code(401).as_deref(), Some("denied"));
        assert_eq!(code(403).as_deref(), Some("denied"));
    }

    #[test]
    fn a_wait_is_taken_over() {
        let answer = |value: &str| {
            let headers = vec![("Retry-After".to_owned(), value.to_owned())];
            read(&Response { status: 429, headers, body: Vec::new() }).unwrap_err().retry_after_ms
        };
        assert_eq!(answer("7"), Some(7_000));
        assert_eq!(answer("99999999"), Some(3_600_000));
        assert_eq!(answer("99999999999999999999999"), Some(3_600_000));
        assert_eq!(answer("Fri, 31 Dec 1999 23:59:59 GMT"), Some(0));
        for odd in ["", "-1", "1.5", "soon", "Fri, 31 Dec 1999", "2026-01-01T00:00:00Z"] {
            assert_eq!(answer(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_date_is_read_by_the_other_sides_clock() {
        let answer = |date: &str| {
            let at = "Fri, 31 Dec 1999 23:59:59 GMT".to_owned();
            let headers = vec![("Retry-After".to_owned(), at), ("Date".to_owned(), date.to_owned())];
            read(&Response { status: 503, headers, body: Vec::new() }).unwrap_err().retry_after_ms
        };
        assert_eq!(answer("Fri, 31 Dec 1999 23:59:49 GMT"), Some(10_000));
        assert_eq!(answer("Thu, 30 Dec 1999 23:59:49 GMT"), Some(3_600_000));
        assert_eq!(answer("Sat, 01 Jan 2000 00:00:49 GMT"), Some(0));
        assert_eq!(answer("no date"), Some(0), "our own clock");
    }
}
