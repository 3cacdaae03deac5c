//! The responses that many operations share.
#![allow(dead_code, reason = "the types only exist for the API description")]

use utoipa::{IntoResponses, ToResponse};

use super::schemas::ProblemBody;

/// The request is invalid; the problem names the wrong fields.
#[derive(ToResponse)]
#[response(content_type = "application/problem+json")]
pub(crate) struct BadRequest(ProblemBody);

/// The token is missing, wrong or expired.
#[derive(ToResponse)]
#[response(
    content_type = "application/problem+json",
    headers(("WWW-Authenticate", description = "`Bearer`, with an `error` if there was a token (RFC 6750)."))
)]
pub(crate) struct Unauthorized(ProblemBody);

/// The token is valid but has no access: a user token lacks the scope or is of another user, or an operator's route needs
/// the admin token. Or the server has no token, and the request names a foreign Host or comes from a page of another
/// origin.
#[derive(ToResponse)]
#[response(content_type = "application/problem+json")]
pub(crate) struct Forbidden(ProblemBody);

/// The resource does not exist.
#[derive(ToResponse)]
#[response(content_type = "application/problem+json")]
pub(crate) struct NotFound(ProblemBody);

/// The body stalled: no data for 30 seconds, or less than 1 KiB/s on average.
#[derive(ToResponse)]
#[response(content_type = "application/problem+json")]
pub(crate) struct Stalled(ProblemBody);

/// The body is too large.
#[derive(ToResponse)]
#[response(content_type = "application/problem+json")]
pub(crate) struct TooLarge(ProblemBody);

/// The media type of the body is not supported.
#[derive(ToResponse)]
#[response(content_type = "application/problem+json")]
pub(crate) struct UnsupportedType(ProblemBody);

/// A limit of the client address, or of the user, is exceeded; `RateLimit` and `RateLimit-Policy` name the limit.
/// `Retry-After` says when to retry; without it, waiting does not help.
#[derive(ToResponse)]
#[response(
    content_type = "application/problem+json",
    headers(
        ("Retry-After" = u32, description = "Seconds until the next request is accepted."),
        ("RateLimit", description = "The exceeded limit, as in `\"upload\";r=0;t=12`."),
        ("RateLimit-Policy", description = "Its quota, as in `\"upload\";q=30;w=60`.")
    )
)]
pub(crate) struct TooManyRequests(ProblemBody);

/// The service is temporarily unavailable; `Retry-After` says when to retry.
#[derive(ToResponse)]
#[response(
    content_type = "application/problem+json",
    headers(("Retry-After" = u32, description = "Seconds to wait before the next attempt."))
)]
pub(crate) struct Unavailable(ProblemBody);

/// The errors of operations that need the token.
#[derive(IntoResponses)]
pub(crate) enum TokenErrors {
    #[response(status = 400)]
    BadRequest(#[ref_response] BadRequest),
    #[response(status = 401)]
    Unauthorized(#[ref_response] Unauthorized),
    #[response(status = 403)]
    Forbidden(#[ref_response] Forbidden),
    #[response(status = 429)]
    TooManyRequests(#[ref_response] TooManyRequests),
    #[response(status = 503)]
    Unavailable(#[ref_response] Unavailable),
}

/// The errors of operations that need the token and read a body.
#[derive(IntoResponses)]
pub(crate) enum BodyErrors {
    #[response(status = 400)]
    BadRequest(#[ref_response] BadRequest),
    #[response(status = 401)]
    Unauthorized(#[ref_response] Unauthorized),
    #[response(status = 403)]
    Forbidden(#[ref_response] Forbidden),
    #[response(status = 408)]
    Stalled(#[ref_response] Stalled),
    #[response(status = 413)]
    TooLarge(#[ref_response] TooLarge),
    #[response(status = 415)]
    UnsupportedType(#[ref_response] UnsupportedType),
    #[response(status = 429)]
    TooManyRequests(#[ref_response] TooManyRequests),
    #[response(status = 503)]
    Unavailable(#[ref_response] Unavailable),
}

/// A page for browsers.
#[derive(ToResponse)]
#[response(content_type = "text/html")]
pub(crate) struct Page(String);
