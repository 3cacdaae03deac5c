//! Bearer tokens (RFC 6750): the service token of the team's backend, the admin token of its operators, and user
//! tokens.
//!
//! - `server_tokens`: the service token and the admin token
//! - `caller`: the caller of a request, as the domains check it
//! - `readers`: access to the leaderboard
//! - `user_tokens`, `keys`, `key_source`, `token_cache`: JSON Web Tokens of users, and the keys that verify them
//! - `ring_provider`: ring as the cryptography of `jsonwebtoken`

mod caller;
mod key_source;
mod keys;
mod readers;
mod ring_provider;
mod server_tokens;
mod token_cache;
mod user_tokens;

use std::sync::Arc;

use actix_web::HttpMessage;
use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web;
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, ready};

pub(crate) use self::caller::{Caller, Scope, UserRoute};
pub(crate) use self::key_source::{KeyReloader, KeySource};
pub(crate) use self::keys::Expected;
pub(crate) use self::readers::{Admission, ReaderAuth, require_reader};
pub(crate) use self::server_tokens::Bearer;
pub use self::server_tokens::ServerTokens;
pub(crate) use self::server_tokens::bearer_text;
use self::user_tokens::TokenError;
pub(crate) use self::user_tokens::{Minted, Rules, UserTokens, mint};
use super::{Problem, metrics};

/// Access to the API: for everyone, or for requests with a token; a clone shares it.
#[derive(Clone)]
pub(crate) struct Auth(Arc<Access>);

struct Access {
    /// Whether requests need a token.
    is_required: bool,
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
    pub(crate) fn new(tokens: &ServerTokens, users: Option<UserTokens>, user_routes: Vec<UserRoute>) -> Self {
        Self(Arc::new(Access { is_required: tokens.has_service() || users.is_some(), users, user_routes }))
    }

    /// Admits nobody: for processes that serve no requests, so that none has been compared with a token.
    pub(crate) fn closed() -> Self {
        Self(Arc::new(Access { is_required: true, users: None, user_routes: Vec::new() }))
    }

    fn is_required(&self) -> bool {
        self.0.is_required
    }

    fn accepts_users(&self) -> bool {
        self.0.users.is_some()
    }

    /// The caller of a request with these headers, whose bearer token was compared with those of the server.
    fn identify(&self, headers: &HeaderMap, bearer: Option<Bearer>) -> Result<Caller, Refusal> {
        if !self.is_required() {
            return Ok(Caller::Trusted);
        }
        let (Some(bearer), Some(token)) = (bearer, bearer_text(headers)) else {
            return Err(Refusal::Final(missing_token()));
        };
        self.identify_token(token, bearer)
    }

    /// The holder of this token, which was compared with those of the server.
    fn identify_token(&self, token: &str, bearer: Bearer) -> Result<Caller, Refusal> {
        match &self.0.users {
            _ if bearer.is_service => Ok(Caller::Trusted),
            Some(users) if token.contains('.') => {
                users.verify(token, &bearer.hash).map(Caller::User).map_err(Refusal::from)
            }
            _ => Err(Refusal::Final(unauthorized("The bearer token is wrong.", INVALID_TOKEN))),
        }
    }

    /// Waits until the keys of user tokens were reloaded; `false` if they cannot be.
    async fn reloaded(&self) -> bool {
        match &self.0.users {
            Some(users) => users.reloaded().await,
            None => false,
        }
    }

    /// Admits a request, and makes its caller known to its handler.
    fn admit(&self, request: &ServiceRequest) -> Result<(), Refusal> {
        let caller = self.identify(request.headers(), bearer(request))?;
        if let Caller::User(token) = &caller {
            // Of the resource that was matched; matching it again would cost more than all other checks.
            let path = request.app_data::<metrics::Route>().map_or("", metrics::Route::pattern);
            let route = self.0.user_routes.iter().find(|route| route.is(request.method(), path));
            match route {
                None => return Err(Refusal::Final(caller::forbidden("this needs the service token"))),
                Some(route) if !token.scopes.contains(route.scope) => {
                    let reason = format!("it lacks the scope \"{}\"", route.scope.name());
                    return Err(Refusal::Final(caller::forbidden(&reason)));
                }
                Some(_) => {}
            }
        }
        let mut extensions = request.extensions_mut();
        // A long poll would keep it.
        extensions.remove::<Bearer>();
        if self.accepts_users() {
            extensions.insert(caller);
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
    has_token: bool,
    auth: Auth,
}

impl AdminAuth {
    /// Without a token, every request is admitted, or none if `auth` requires tokens.
    pub(crate) fn new(tokens: &ServerTokens, auth: Auth) -> Self {
        Self { has_token: tokens.has_admin(), auth }
    }

    /// Checks a request with these headers, whose bearer token was compared with those of the server.
    fn check(&self, headers: &HeaderMap, bearer: Option<Bearer>) -> Result<(), Problem> {
        match bearer {
            _ if !self.has_token && !self.auth.is_required() => Ok(()),
            Some(bearer) if bearer.is_admin => Ok(()),
            Some(_) if self.auth.is_required() && self.auth.identify(headers, bearer).is_ok() => {
                let detail = match self.has_token {
                    true => "This needs the admin token; the given token is valid, but has no access.",
                    false => "This needs an admin token, and auth.admin_token is not set.",
                };
                Err(Problem::new(StatusCode::FORBIDDEN, detail))
            }
            Some(_) => Err(unauthorized("The bearer token is wrong.", INVALID_TOKEN)),
            None => Err(missing_token()),
        }
    }
}

const INVALID_TOKEN: &str = "Bearer error=\"invalid_token\"";

type Response = LocalBoxFuture<'static, Result<ServiceResponse<BoxBody>, actix_web::Error>>;

/// Middleware for routes that need a token of the [`Auth`] in the application data. Only [`UserRoute`]s are open to
/// user tokens.
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
    let admitted = if auth.reloaded().await { auth.admit(&request) } else { Err(Refusal::Final(problem)) };
    match admitted {
        Ok(()) => next.call(request).await,
        Err(Refusal::UnknownKey(problem) | Refusal::Final(problem)) => Ok(request.error_response(problem)),
    }
}

/// Middleware for routes that need the token of the [`AdminAuth`] in the application data.
pub(crate) fn require_admin(request: ServiceRequest, next: Next<BoxBody>) -> Response {
    let admitted = match request.app_data::<web::Data<AdminAuth>>() {
        Some(_) if request.method() == Method::OPTIONS => Ok(()),
        Some(auth) => auth.check(request.headers(), bearer(&request)),
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

/// The bearer token that the server has compared with its own.
fn bearer(request: &ServiceRequest) -> Option<Bearer> {
    request.extensions().get::<Bearer>().copied()
}

fn missing_token() -> Problem {
    unauthorized("This needs the header \"Authorization: Bearer TOKEN\".", "Bearer")
}

fn unauthorized(detail: &str, challenge: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, detail).with_header(header::WWW_AUTHENTICATE, challenge)
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError;

    use super::*;

    fn headers(token: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        headers
    }

    #[test]
    fn a_request_needs_the_service_token_where_there_is_one() {
        let tokens = ServerTokens::new(Some("s3cret"), Some("admin"));
        let auth = Auth::new(&tokens, None, Vec::new());
        let check = |headers: &HeaderMap| auth.identify(headers, tokens.identify(headers)).is_ok();
        assert!(check(&headers("s3cret")));
        for bad in ["s3cre", "admin", "a.b.c"] {
            assert!(!check(&headers(bad)), "{bad}");
        }
        assert!(!check(&HeaderMap::new()));
        assert!(auth.identify(&headers("s3cret"), None).is_err(), "a token that no server has compared");
        let open = Auth::new(&ServerTokens::default(), None, Vec::new());
        assert!(open.identify(&HeaderMap::new(), None).is_ok());
    }

    #[test]
    fn operators_need_their_token_and_other_tokens_are_forbidden() {
        let status = |service: Option<&str>, admin: Option<&str>, headers: &HeaderMap| {
            let tokens = ServerTokens::new(service, admin);
            let admin = AdminAuth::new(&tokens, Auth::new(&tokens, None, Vec::new()));
            admin.check(headers, tokens.identify(headers)).map_err(|problem| problem.status_code().as_u16())
        };
        assert_eq!(status(None, None, &HeaderMap::new()), Ok(()));
        for (token, expected) in [("admin", Ok(())), ("s3cret", Err(403)), ("other", Err(401))] {
            assert_eq!(status(Some("s3cret"), Some("admin"), &headers(token)), expected, "{token}");
        }
        assert_eq!(status(Some("s3cret"), None, &headers("s3cret")), Ok(()));
        assert_eq!(status(Some("s3cret"), Some("admin"), &HeaderMap::new()), Err(401));
        assert_eq!(status(None, Some("admin"), &headers("other")), Err(401), "without a service token, none is valid");
    }
}
