//! What a response means for the events that were posted. Pure.

use std::time::Duration;

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
    Err(match response.header("retry-after").and_then(seconds) {
        Some(wait) => error.retry_after(wait),
        None => error,
    })
}

/// Is it what was posted that is refused, and not the request as such?
pub(crate) fn is_about_content(status: u16) -> bool {
    matches!(status, 400 | 413 | 422)
}

/// The form in seconds; the form of a date is passed over, since it needs the other side's clock.
fn seconds(value: &str) -> Option<Duration> {
    let wait = Duration::from_secs(value.trim().parse().ok()?);
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
        assert_eq!(answer("Fri, 31 Dec 1999 23:59:59 GMT"), None);
    }
}
