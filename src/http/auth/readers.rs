//! Access to the leaderboard: for everyone, or for requests with any valid token.

use std::time::Duration;

use actix_web::HttpMessage;
use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::web;
use futures_util::FutureExt;
use tokio::time::Instant;

use super::caller::Caller;
use super::{Auth, Refusal, Response, ServerTokens, bearer_text, missing_token, no_authentication, refuse};
use crate::http::Problem;

/// Access of readers; a clone shares it.
#[derive(Clone)]
pub(crate) struct ReaderAuth(Option<(ServerTokens, Auth)>);

/// An admitted reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Admission {
    /// When its user token expires, with the leeway; `None` for other tokens, and where none is needed.
    pub(crate) expires: Option<Instant>,
}

impl ReaderAuth {
    /// Admits everyone.
    pub(crate) fn everyone() -> Self {
        Self(None)
    }

    /// Admits requests with the admin token, the service token, or a user token with whatever scopes.
    pub(crate) fn with_token(tokens: ServerTokens, auth: Auth) -> Self {
        Self(Some((tokens, auth)))
    }

    /// Whether everyone is admitted.
    pub(crate) fn is_open(&self) -> bool {
        self.0.is_none()
    }

    /// Admits a reader by its token. Waits for the keys of user tokens if they must be loaded again. Cancel safe.
    ///
    /// # Errors
    /// 401 without a valid token; 503 while the keys of user tokens are not loaded.
    pub(crate) async fn admit(&self, token: Option<&str>) -> Result<Admission, Problem> {
        let Some((tokens, auth)) = &self.0 else { return Ok(Admission { expires: None }) };
        let token = token.ok_or_else(missing_token)?;
        match identify(tokens, auth, token) {
            Ok(caller) => Ok(Admission::of(&caller)),
            Err(Refusal::Final(problem)) => Err(problem),
            Err(Refusal::UnknownKey(problem)) if !auth.reloaded().await => Err(problem),
            Err(Refusal::UnknownKey(_)) => match identify(tokens, auth, token) {
                Ok(caller) => Ok(Admission::of(&caller)),
                Err(Refusal::UnknownKey(problem) | Refusal::Final(problem)) => Err(problem),
            },
        }
    }
}

/// The holder of the admin token, or of any other that is valid.
fn identify(tokens: &ServerTokens, auth: &Auth, token: &str) -> Result<Caller, Refusal> {
    let bearer = tokens.compare(token);
    if bearer.is_admin { Ok(Caller::Trusted) } else { auth.identify_token(token, bearer) }
}

impl Admission {
    fn of(caller: &Caller) -> Self {
        let left_s = match caller {
            Caller::Trusted => None,
            Caller::User(token) => Some(token.left_s()),
        };
        // A token that outlives the clock never expires.
        let left = left_s.and_then(|left_s| Duration::try_from_secs_f64(left_s.max(0.0)).ok());
        Self { expires: left.and_then(|left| Instant::now().checked_add(left)) }
    }
}

/// Middleware for routes that need the [`ReaderAuth`] in the application data. Their handlers get the [`Admission`] from
/// the extensions of the request, unless everyone is admitted.
pub(crate) fn require_reader(request: ServiceRequest, next: Next<BoxBody>) -> Response {
    match request.app_data::<web::Data<ReaderAuth>>().cloned() {
        // See `resource::options`.
        Some(readers) if readers.is_open() || request.method() == Method::OPTIONS => next.call(request),
        Some(readers) => admit(readers, request, next).boxed_local(),
        None => refuse(request, no_authentication()),
    }
}

async fn admit(
    readers: web::Data<ReaderAuth>,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    match readers.admit(bearer_text(request.headers())).await {
        Ok(admission) => {
            request.extensions_mut().insert(admission);
            next.call(request).await
        }
        Err(problem) => Ok(request.error_response(problem)),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError;

    use super::*;

    #[tokio::test]
    async fn a_closed_board_needs_one_of_the_tokens_and_an_open_one_none() {
        let status = async |readers: &ReaderAuth, token| {
            readers.admit(token).await.map_err(|problem| problem.status_code().as_u16())
        };
        let admitted = Ok(Admission { expires: None });
        assert_eq!(status(&ReaderAuth::everyone(), Some("wrong")).await, admitted);

        let readers = |service, admin| {
            let tokens = ServerTokens::new(service, admin);
            let auth = Auth::new(&tokens, None, Vec::new());
            ReaderAuth::with_token(tokens, auth)
        };
        let (both, admin_alone) = (readers(Some("s3cret"), Some("admin")), readers(None, Some("admin")));
        for token in ["admin", "s3cret"] {
            assert_eq!(status(&both, Some(token)).await, admitted, "{token}");
        }
        assert_eq!(status(&admin_alone, Some("admin")).await, admitted);
        for readers in [both, admin_alone] {
            for token in [None, Some(""), Some("wrong"), Some("a.b.c")] {
                assert_eq!(status(&readers, token).await, Err(401), "{token:?}");
            }
        }
    }
}
