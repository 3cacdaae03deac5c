//! Bearer tokens (RFC 6750).

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode, header};
use actix_web::middleware::Next;
use actix_web::web;
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, ready};
use sha2::{Digest, Sha256};

use super::Problem;

/// Access to the API: for everyone, or for requests with the token.
#[derive(Clone)]
pub(crate) struct Auth {
    /// The token's hash: comparing hashes of equal length reveals nothing about the token by its duration.
    token: Option<[u8; 32]>,
}

impl Auth {
    /// With `None`, every request is admitted.
    pub(crate) fn new(token: Option<&str>) -> Self {
        Self { token: token.map(hash) }
    }

    fn check(&self, authorization: Option<&header::HeaderValue>) -> Result<(), Problem> {
        let Some(expected) = &self.token else { return Ok(()) };
        let given = authorization.and_then(|value| bearer(value.to_str().ok()?));
        match given {
            Some(token) if hash(token) == *expected => Ok(()),
            Some(_) => Err(refuse("The bearer token is wrong.", "Bearer error=\"invalid_token\"")),
            None => Err(refuse("This needs the header \"Authorization: Bearer TOKEN\".", "Bearer")),
        }
    }
}

/// Access to all users' jobs, to the reset of the board and to the metrics; a type of its own, so that it cannot be swapped with [`Auth`].
#[derive(Clone)]
pub(crate) struct AdminAuth(Auth);

impl AdminAuth {
    /// With `None`, every request is admitted.
    pub(crate) fn new(token: Option<&str>) -> Self {
        Self(Auth::new(token))
    }
}

type Response = LocalBoxFuture<'static, Result<ServiceResponse<BoxBody>, actix_web::Error>>;

/// Middleware for routes that need the token of the [`Auth`] in the application data.
pub(crate) fn require(request: ServiceRequest, next: Next<BoxBody>) -> Response {
    let admitted = admit(&request, request.app_data::<web::Data<Auth>>().map(|auth| auth.get_ref()));
    proceed(admitted, request, next)
}

/// Middleware for routes that need the token of the [`AdminAuth`] in the application data.
pub(crate) fn require_admin(request: ServiceRequest, next: Next<BoxBody>) -> Response {
    let admitted = admit(&request, request.app_data::<web::Data<AdminAuth>>().map(|auth| &auth.get_ref().0));
    proceed(admitted, request, next)
}

fn admit(request: &ServiceRequest, auth: Option<&Auth>) -> Result<(), Problem> {
    match auth {
        // See `resource::options`.
        Some(_) if request.method() == Method::OPTIONS => Ok(()),
        Some(auth) => auth.check(request.headers().get(header::AUTHORIZATION)),
        None => Err(Problem::internal("the server has routes that need a token, but no authentication")),
    }
}

fn proceed(admitted: Result<(), Problem>, request: ServiceRequest, next: Next<BoxBody>) -> Response {
    match admitted {
        // Nothing is added to the route's own future, of which a long poll keeps one.
        Ok(()) => next.call(request),
        Err(problem) => ready(Ok(request.error_response(problem))).boxed_local(),
    }
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn refuse(detail: &str, challenge: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, detail).with_header(header::WWW_AUTHENTICATE, challenge)
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_token_is_accepted() {
        let auth = Auth::new(Some("s3cret"));
        let check = |value: &'static str| auth.check(Some(&header::HeaderValue::from_static(value))).is_ok();
        assert!(check("Bearer s3cret"));
        assert!(check("bearer s3cret"));
        for bad in ["Bearer s3cre", "Bearer", "Basic s3cret", "s3cret", "Bearer s3cret s3cret"] {
            assert!(!check(bad), "{bad}");
        }
        assert!(auth.check(None).is_err());
        assert!(Auth::new(None).check(None).is_ok());
    }
}
