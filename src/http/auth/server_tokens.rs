//! The tokens of the server itself. A request is compared with them once, before it is routed; the limits and the
//! checks of the routes use the result.

use std::fmt;

use actix_web::http::header::{self, HeaderMap};
use sha2::{Digest, Sha256};

use super::token_cache::TokenHash;

/// The tokens of a server, by their hashes: comparing hashes of equal length reveals nothing about a token by its
/// duration.
#[derive(Clone, Default)]
pub struct ServerTokens {
    service: Option<TokenHash>,
    admin: Option<TokenHash>,
}

/// The bearer token of a request, which is in the request's extensions until a route has checked it.
#[derive(Clone, Copy)]
pub(crate) struct Bearer {
    pub(super) hash: TokenHash,
    pub(super) is_service: bool,
    pub(super) is_admin: bool,
}

impl Bearer {
    /// Whether it is a token of the server, which only backends and operators have.
    pub(crate) fn is_of_server(&self) -> bool {
        self.is_service || self.is_admin
    }
}

impl fmt::Debug for ServerTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTokens").finish_non_exhaustive()
    }
}

impl ServerTokens {
    /// Without an admin token, the service token is that of the operators too.
    #[must_use]
    pub fn new(service: Option<&str>, admin: Option<&str>) -> Self {
        Self { service: service.map(hash), admin: admin.or(service).map(hash) }
    }

    pub(super) fn has_service(&self) -> bool {
        self.service.is_some()
    }

    pub(super) fn has_admin(&self) -> bool {
        self.admin.is_some()
    }

    /// The bearer token of a request, if it has one.
    pub(crate) fn identify(&self, headers: &HeaderMap) -> Option<Bearer> {
        bearer_text(headers).map(|token| self.compare(token))
    }

    /// A token of a request, compared with those of the server.
    pub(super) fn compare(&self, token: &str) -> Bearer {
        let hash = hash(token);
        Bearer { hash, is_service: self.service == Some(hash), is_admin: self.admin == Some(hash) }
    }
}

/// The text of the bearer token of a request (RFC 6750, section 2.1).
pub(crate) fn bearer_text(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

pub(super) fn hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    /// Whether a request with this header has the service token and the admin token; `None` without a bearer token.
    fn identified(tokens: &ServerTokens, authorization: &'static str) -> Option<(bool, bool)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static(authorization));
        tokens.identify(&headers).map(|bearer| (bearer.is_service, bearer.is_admin))
    }

    #[test]
    fn only_the_exact_token_is_one_of_the_server() {
        let tokens = ServerTokens::new(Some("s3cret"), Some("admin"));
        for (authorization, expected) in [
            ("Bearer s3cret", Some((true, false))),
            ("bearer s3cret", Some((true, false))),
            ("Bearer admin", Some((false, true))),
            ("Bearer s3cre", Some((false, false))),
            ("Bearer s3cret s3cret", Some((false, false))),
            ("Bearer", None),
            ("Basic s3cret", None),
            ("s3cret", None),
        ] {
            assert_eq!(identified(&tokens, authorization), expected, "{authorization}");
        }
        assert!(tokens.identify(&HeaderMap::new()).is_none());
        assert_eq!(identified(&ServerTokens::new(Some("s3cret"), None), "Bearer s3cret"), Some((true, true)));
        assert_eq!(identified(&ServerTokens::default(), "Bearer s3cret"), Some((false, false)));
    }
}
