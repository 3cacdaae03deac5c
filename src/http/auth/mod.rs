//! Bearer tokens (RFC 6750): the service token of the team's backend, the admin token of its operators, and user tokens.
//!
//! - `caller`: the caller of a request, as the domains check it
//! - `user_tokens`, `keys`, `key_source`, `token_cache`: JSON Web Tokens of users, and the keys that verify them
//! - `ring_provider`: ring as the cryptography of `jsonwebtoken`

mod caller;
mod key_source;
mod keys;
mod ring_provider;
mod token_cache;
mod user_tokens;

use std::sync::Arc;

use actix_web::HttpMessage;
use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode, header};
use actix_web::middleware::Next;
use actix_web::web;
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, ready};
use sha2::{Digest, Sha256};

pub(crate) use self::caller::{Caller, Scope, UserRoute};
pub(crate) use self::key_source::{KeyReloader, KeySource};
pub(crate) use self::keys::Expected;
use self::token_cache::TokenHash;
use self::user_tokens::TokenError;
pub(crate) use self::user_tokens::{Minted, Rules, UserTokens, mint};
use super::Problem;

/// Access to the API: for everyone, or for requests with a token; a clone shares it.
#[derive(Clone)]
pub(crate) struct Auth(Arc<Access>);

struct Access {
    /// The service token's hash: comparing hashes of equal length reveals nothing about the token by its duration.
    service: Option<TokenHash>,
    users: Option<UserTokens>,
    user_routes: Vec<UserRoute>,
}

/// A failed check.
enum Refusal {
    /// The token may be valid once the keys were reloaded.
    UnknownKey(Problem),
    Final(Problem),
}

impl Auth {
    /// With neither a service token nor user tokens, every request is admitted.
    pub(crate) fn new(service: Option<&str>, users: Option<UserTokens>, user_routes: Vec<UserRoute>) -> Self {
        Self(Arc::new(Access { service: service.map(hash), users, user_routes }))
    }

    /// Admits nobody: for processes that serve no requests.
    pub(crate) fn closed() -> Self {
        // No token has this hash.
        Self(Arc::new(Access { service: Some([0; 32]), users: None, user_routes: Vec::new() }))
    }

    /// Whether requests need a token.
    fn is_required(&self) -> bool {
        self.0.service.is_some() || self.0.users.is_some()
    }

    fn accepts_users(&self) -> bool {
        self.0.users.is_some()
    }

    fn identify(&self, authorization: Option<&header::HeaderValue>) -> Result<Caller, Refusal> {
        if !self.is_required() {
            return Ok(Caller::Trusted);
        }
        let given = authorization.and_then(|value| bearer(value.to_str().ok()?));
        let Some(token) = given else {
            let detail = "This needs the header \"Authorization: Bearer TOKEN\".";
            return Err(Refusal::Final(unauthorized(detail, "Bearer")));
        };
        let hash = hash(token);
        match &self.0.users {
            _ if self.0.service == Some(hash) => Ok(Caller::Trusted),
            Some(users) if token.contains('.') => users.verify(token, &hash).map(Caller::User).map_err(Refusal::from),
            _ => Err(Refusal::Final(unauthorized("The bearer token is wrong.", INVALID_TOKEN))),
        }
    }

    /// Admits a request, and makes its caller known to its handler.
    fn admit(&self, request: &ServiceRequest) -> Result<(), Refusal> {
        let caller = self.identify(request.headers().get(header::AUTHORIZATION))?;
        if let Caller::User(token) = &caller {
            // The path as routes are matched.
            let path = request.resource_map().match_pattern(request.match_info().as_str()).unwrap_or_default();
            let route = self.0.user_routes.iter().find(|route| route.is(request.method(), &path));
            match route {
                None => return Err(Refusal::Final(caller::forbidden("this needs the service token"))),
                Some(route) if !token.scopes.contains(route.scope) => {
                    let reason = format!("it lacks the scope \"{}\"", route.scope.name());
                    return Err(Refusal::Final(caller::forbidden(&reason)));
                }
                Some(_) => {}
            }
        }
        if self.accepts_users() {
            request.extensions_mut().insert(caller);
        }
        Ok(())
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        let detail = format!("The user token {error}.");
        match error {
            TokenError::NoKeys => Self::UnknownKey(Problem::unavailable("the keys of user tokens are not loaded")),
            TokenError::UnknownKey(_) => Self::UnknownKey(unauthorized(&detail, INVALID_TOKEN)),
            _ => Self::Final(unauthorized(&detail, INVALID_TOKEN)),
        }
    }
}

/// Access to all users' jobs, to the reset of the board and to the metrics; a type of its own, so that it cannot be
/// swapped with [`Auth`].
#[derive(Clone)]
pub(crate) struct AdminAuth {
    token: Option<TokenHash>,
    auth: Auth,
}

impl AdminAuth {
    /// Without a token, every request is admitted, or none if `auth` requires tokens.
    pub(crate) fn new(token: Option<&str>, auth: Auth) -> Self {
        Self { token: token.map(hash), auth }
    }

    fn check(&self, authorization: Option<&header::HeaderValue>) -> Result<(), Problem> {
        let given = authorization.and_then(|value| bearer(value.to_str().ok()?));
        match (self.token, given) {
            (None, _) if !self.auth.is_required() => Ok(()),
            (Some(expected), Some(token)) if hash(token) == expected => Ok(()),
            (_, Some(_)) if self.auth.is_required() && self.auth.identify(authorization).is_ok() => {
                let detail = match self.token {
                    Some(_) => "This needs the admin token; the given token is valid, but has no access.",
                    None => "This needs an admin token, and auth.admin_token is not set.",
                };
                Err(Problem::new(StatusCode::FORBIDDEN, detail))
            }
            (_, Some(_)) => Err(unauthorized("The bearer token is wrong.", INVALID_TOKEN)),
            (_, None) => Err(unauthorized("This needs the header \"Authorization: Bearer TOKEN\".", "Bearer")),
        }
    }
}

const INVALID_TOKEN: &str = "Bearer error=\"invalid_token\"";

type Response = LocalBoxFuture<'static, Result<ServiceResponse<BoxBody>, actix_web::Error>>;

/// Middleware for routes that need a token of the [`Auth`] in the application data. Only [`UserRoute`]s are open to user
/// tokens.
pub(crate) fn require(request: ServiceRequest, next: Next<BoxBody>) -> Response {
    let auth = request.app_data::<web::Data<Auth>>().cloned();
    let admitted = match &auth {
        // See `resource::options`.
        Some(_) if request.method() == Method::OPTIONS => Ok(()),
        Some(auth) => auth.admit(&request),
        None => Err(Refusal::Final(no_authentication())),
    };
    match (admitted, auth) {
        // Nothing is added to the route's own future, of which a long poll keeps one.
        (Ok(()), _) => next.call(request),
        (Err(Refusal::UnknownKey(problem)), Some(auth)) => retry(auth, problem, request, next).boxed_local(),
        (Err(Refusal::UnknownKey(problem) | Refusal::Final(problem)), _) => refuse(request, problem),
    }
}

/// Admits a request with the keys after a reload.
async fn retry(
    auth: web::Data<Auth>,
    problem: Problem,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let reloaded = match &auth.0.users {
        Some(users) => users.reloaded().await,
        None => false,
    };
    let admitted = if reloaded { auth.admit(&request) } else { Err(Refusal::Final(problem)) };
    match admitted {
        Ok(()) => next.call(request).await,
        Err(Refusal::UnknownKey(problem) | Refusal::Final(problem)) => Ok(request.error_response(problem)),
    }
}

/// Middleware for routes that need the token of the [`AdminAuth`] in the application data.
pub(crate) fn require_admin(request: ServiceRequest, next: Next<BoxBody>) -> Response {
    let admitted = match request.app_data::<web::Data<AdminAuth>>() {
        Some(_) if request.method() == Method::OPTIONS => Ok(()),
        Some(auth) => auth.check(request.headers().get(header::AUTHORIZATION)),
        None => Err(no_authentication()),
    };
    match admitted {
        Ok(()) => next.call(request),
        Err(problem) => refuse(request, problem),
    }
}

fn no_authentication() -> Problem {
    Problem::internal("the server has routes that need a token, but no authentication")
}

fn refuse(request: ServiceRequest, problem: Problem) -> Response {
    ready(Ok(request.error_response(problem))).boxed_local()
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn unauthorized(detail: &str, challenge: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, detail).with_header(header::WWW_AUTHENTICATE, challenge)
}

fn hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_token_is_accepted() {
        let auth = Auth::new(Some("s3cret"), None, Vec::new());
        let check = |value: &'static str| auth.identify(Some(&header::HeaderValue::from_static(value))).is_ok();
        assert!(check("Bearer s3cret"));
        assert!(check("bearer s3cret"));
        for bad in ["Bearer s3cre", "Bearer", "Basic s3cret", "s3cret", "Bearer s3cret s3cret"] {
            assert!(!check(bad), "{bad}");
        }
        assert!(auth.identify(None).is_err());
        assert!(Auth::new(None, None, Vec::new()).identify(None).is_ok());
    }

    #[test]
    fn operators_need_their_token_and_other_tokens_are_forbidden() {
        let open = Auth::new(None, None, Vec::new());
        assert!(AdminAuth::new(None, open).check(None).is_ok());
        let admin = AdminAuth::new(Some("admin"), Auth::new(Some("s3cret"), None, Vec::new()));
        let status = |value: &'static str| {
            let result = admin.check(Some(&header::HeaderValue::from_static(value)));
            result.map_err(|problem| actix_web::ResponseError::status_code(&problem).as_u16())
        };
        assert_eq!(status("Bearer admin"), Ok(()));
        assert_eq!(status("Bearer s3cret"), Err(403));
        assert_eq!(status("Bearer other"), Err(401));
        assert!(admin.check(None).is_err());
        let alone = AdminAuth::new(Some("admin"), Auth::new(None, None, Vec::new()));
        let other = alone.check(Some(&header::HeaderValue::from_static("Bearer other"))).unwrap_err();
        assert_eq!(actix_web::ResponseError::status_code(&other), 401, "without a service token, none is valid");
    }
}
