//! The response to a request above a limit: 429 with `Retry-After`, and with `RateLimit` and `RateLimit-Policy` of
//! draft-ietf-httpapi-ratelimit-headers-10.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName};

use super::super::Problem;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The quota of a limit.
#[derive(Debug, Clone, Copy)]
pub(super) enum Quota {
    PerMinute(u32),
    PerDay(u32),
    AtOnce(u32),
}

/// The response. `subject` is a plural, such as "uploads from this address".
pub(super) fn problem(name: &str, subject: &str, quota: Quota, wait: Duration) -> Problem {
    let seconds = wait.as_nanos().div_ceil(1_000_000_000).max(1);
    let (allowed, policy) = match quota {
        Quota::PerMinute(number) => (format!("{number} per minute"), format!("\"{name}\";q={number};w=60")),
        Quota::PerDay(number) => (format!("{number} per day"), format!("\"{name}\";q={number};w=86400")),
        Quota::AtOnce(number) => {
            (format!("{number} at once"), format!("\"{name}\";q={number};qu=\"concurrent-requests\""))
        }
    };
    let unit = if seconds == 1 { "second" } else { "seconds" };
    let detail =
        format!("Too many {subject}: the limit \"{name}\" allows {allowed}. Please try again in {seconds} {unit}.");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, detail)
        .with_header(header::RETRY_AFTER, seconds.to_string())
        .with_header(RATE_LIMIT, format!("\"{name}\";r=0;t={seconds}"))
        .with_header(RATE_LIMIT_POLICY, policy)
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
}
