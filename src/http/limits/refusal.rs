//! The response to a request above a limit: 429 with `RateLimit` and `RateLimit-Policy` of
//! draft-ietf-httpapi-ratelimit-headers-10, and with `Retry-After` if waiting helps.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName};

use super::super::Problem;
use super::stored::StoredLimit;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The quota of a limit.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Quota {
    PerMinute(u32),
    PerDay(u32),
    AtOnce(u32),
    /// Waiting does not help.
    InAll(u64),
}

/// The response. `subject` is a plural, such as "uploads from this address".
pub(super) fn problem(name: &str, subject: &str, quota: Quota, wait: impl Into<Option<Duration>>) -> Problem {
    let (allowed, policy) = match quota {
        Quota::PerMinute(number) => (format!("{number} per minute"), format!("\"{name}\";q={number};w=60")),
        Quota::AtOnce(number) => {
            (format!("{number} at once"), format!("\"{name}\";q={number};qu=\"concurrent-requests\""))
        }
        Quota::PerDay(number) => (format!("{number} in 24 hours"), format!("\"{name}\";q={number};w=86400")),
        Quota::InAll(number) => (format!("{number} in all"), format!("\"{name}\";q={number}")),
    };
    let refused = format!("Too many {subject}: the limit \"{name}\" allows {allowed}.");
    let Some(wait) = wait.into() else {
        return Problem::new(StatusCode::TOO_MANY_REQUESTS, refused)
            .with_header(RATE_LIMIT, format!("\"{name}\";r=0"))
            .with_header(RATE_LIMIT_POLICY, policy);
    };
    let seconds = wait.as_nanos().div_ceil(1_000_000_000).max(1);
    let unit = if seconds == 1 { "second" } else { "seconds" };
    Problem::new(StatusCode::TOO_MANY_REQUESTS, format!("{refused} Please try again in {seconds} {unit}."))
        .with_header(header::RETRY_AFTER, seconds.to_string())
        .with_header(RATE_LIMIT, format!("\"{name}\";r=0;t={seconds}"))
        .with_header(RATE_LIMIT_POLICY, policy)
}

/// The response for a limit of stored data.
pub(crate) fn stored_data(
    limit: StoredLimit,
    subject: &str,
    quota: Quota,
    wait: impl Into<Option<Duration>>,
) -> Problem {
    problem(limit.name(), subject, quota, wait).above(limit)
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError;

    use super::*;

    #[test]
    fn the_wait_is_in_whole_seconds_rounded_up() {
        for (milliseconds, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (59_999, "60")] {
            let problem = problem("upload", "uploads", Quota::PerMinute(30), Duration::from_millis(milliseconds));
            let response = problem.error_response();
            assert_eq!(response.status(), 429);
            let header = |name: HeaderName| response.headers().get(name).unwrap().to_str().unwrap().to_owned();
            assert_eq!(header(header::RETRY_AFTER), seconds);
            assert_eq!(header(RATE_LIMIT), format!("\"upload\";r=0;t={seconds}"));
            assert_eq!(header(RATE_LIMIT_POLICY), "\"upload\";q=30;w=60");
        }
    }

    #[test]
    fn a_limit_that_time_does_not_free_asks_for_no_retry() {
        let response = problem("user_images", "images of this user", Quota::InAll(5), None).error_response();
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!((response.status().as_u16(), header("retry-after")), (429, None));
        assert_eq!(header("ratelimit"), Some("\"user_images\";r=0"));
        assert_eq!(header("ratelimit-policy"), Some("\"user_images\";q=5"));
    }
}
