//! Who may use the servers: the service token, the admin token and user tokens.

use anyhow::Context;

use crate::config::{Config, TokenKeys, UserTokens};
use crate::http::auth::{self, Expected, KeyReloader, KeySource, Rules};
use crate::http::{AdminAuth, Auth, ReaderAuth, ServerTokens, UserRoute};
use crate::{images, leaderboard, orders, users};

/// Access to the API of both servers, and the task that keeps the keys of user tokens current.
pub(super) fn open(config: &Config) -> anyhow::Result<(Auth, Option<KeyReloader>)> {
    let (users, reloader) = match &config.auth.jwt {
        None => (None, None),
        Some(jwt) => {
            if jwt.audience.is_none() && !matches!(jwt.keys, TokenKeys::Secret(_)) {
                tracing::warn!(
                    "auth.jwt.audience is not set: tokens that this issuer made for other services are valid"
                );
            }
            let (tokens, reloader) =
                auth::UserTokens::new(rules(jwt), source(jwt)).context("user tokens cannot be verified")?;
            (Some(tokens), reloader)
        }
    };
    Ok((Auth::new(&tokens(config), users, user_routes()), reloader))
}

/// The routes of both servers for user tokens.
fn user_routes() -> Vec<UserRoute> {
    [&images::USER_ROUTES[..], &users::USER_ROUTES, &leaderboard::USER_ROUTES, &orders::USER_ROUTES].concat()
}

/// The admin token if it is set, otherwise the service token.
pub(super) fn admin(config: &Config, auth: &Auth) -> AdminAuth {
    AdminAuth::new(&tokens(config), auth.clone())
}

/// `auth.token` and `auth.admin_token`, for both servers.
pub(super) fn tokens(config: &Config) -> ServerTokens {
    let [service, admin] = [&config.auth.token, &config.auth.admin_token];
    ServerTokens::new(service.as_ref().map(|token| token.expose()), admin.as_ref().map(|token| token.expose()))
}

/// Everyone, unless the board is not public.
pub(super) fn readers(config: &Config, auth: &Auth) -> ReaderAuth {
    match config.auth.public_board {
        true => ReaderAuth::everyone(),
        false => ReaderAuth::with_token(tokens(config), auth.clone()),
    }
}

/// The rules for user tokens.
pub(crate) fn rules(jwt: &UserTokens) -> Rules {
    Rules {
        expected: Expected { issuer: jwt.issuer.clone(), audience: jwt.audience.clone() },
        user_claim: jwt.user_claim.clone(),
    }
}

fn source(jwt: &UserTokens) -> KeySource {
    match &jwt.keys {
        TokenKeys::Secret(secret) => KeySource::Secret(secret.expose().as_bytes().to_vec()),
        TokenKeys::File(path) => KeySource::File(path.clone()),
        TokenKeys::Url(url) => KeySource::Url(url.clone()),
    }
}
