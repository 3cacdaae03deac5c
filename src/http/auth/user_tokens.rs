//! User tokens: JSON Web Tokens (RFC 7519) that an application issues to its users.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::caller::{Scope, Scopes, UserToken};
use super::key_source::{KeyReloader, KeySource, Reloads, SourceError};
use super::keys::{Expected, Keys, LEEWAY_S};
use super::ring_provider;
use super::token_cache::{TokenCache, TokenHash};
use crate::ids::Username;

/// Longer tokens are refused before they are decoded; the head of a request may be larger.
const MAX_TOKEN_BYTES: usize = 8 << 10;
const MAX_SUBJECT_CHARS: usize = 255;
/// How long a request waits for keys that are being loaded.
const RELOAD_WAIT: Duration = Duration::from_secs(5);

/// The rules for user tokens.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// The values of `iss` and `aud`.
    pub(crate) expected: Expected,
    /// The claim with the user's id.
    pub(crate) user_claim: String,
}

/// Verifies user tokens; a clone shares its keys and its cache.
#[derive(Clone)]
pub(crate) struct UserTokens(Arc<Shared>);

struct Shared {
    rules: Rules,
    /// With their generation; none until the first successful load.
    keys: RwLock<Arc<(u64, Option<Keys>)>>,
    cache: TokenCache,
    reloads: Option<Reloads>,
}

/// The reason to refuse a token; completes the sentence "The user token …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    /// The keys were not loaded yet.
    #[error("cannot be checked, because the keys are not loaded")]
    NoKeys,
    /// No key has this id; reloading the keys may help.
    #[error("names the key {0:?}, which is not known")]
    UnknownKey(String),
    #[error("is malformed: {0}")]
    Malformed(&'static str),
    #[error("has the algorithm {got}, expected {expected}")]
    Algorithm { got: String, expected: String },
    #[error("has a wrong signature")]
    Signature,
    #[error("has expired; get a new one")]
    Expired,
    #[error("is not valid yet (\"nbf\")")]
    NotYetValid,
    #[error("is of another issuer (\"iss\")")]
    Issuer,
    #[error("is for another audience (\"aud\")")]
    Audience,
    #[error("has no claim {0:?}, or an invalid one")]
    Claim(String),
}

impl UserTokens {
    /// Loads the keys, except from a URL, which the returned reloader loads and keeps current.
    ///
    /// # Errors
    /// If a file with keys cannot be read, or has no usable key.
    pub(crate) fn new(rules: Rules, source: KeySource) -> Result<(Self, Option<KeyReloader>), SourceError> {
        ring_provider::install();
        let keys = source.first_keys(&rules.expected)?;
        let reloads = source.is_reloadable().then(Reloads::default);
        let keys = RwLock::new(Arc::new((0, keys)));
        let tokens = Self(Arc::new(Shared { rules, keys, cache: TokenCache::default(), reloads: reloads.clone() }));
        let reloader = reloads.map(|reloads| KeyReloader::new(source, reloads, tokens.clone()));
        Ok((tokens, reloader))
    }

    /// Verifies a token, whose hash is the key of the cache.
    pub(super) fn verify(&self, token: &str, hash: &TokenHash) -> Result<Arc<UserToken>, TokenError> {
        let keys = self.keys();
        let verified = match self.0.cache.get(hash, keys.0) {
            Some(verified) => verified,
            None => {
                let keys_loaded = keys.1.as_ref().ok_or(TokenError::NoKeys)?;
                let verified = Arc::new(verify(token, keys_loaded, &self.0.rules)?);
                self.0.cache.insert(*hash, keys.0, verified.clone());
                verified
            }
        };
        verified.check_time(now_s())?;
        Ok(verified)
    }

    /// Waits until the keys were reloaded, unless that was done a moment ago. `false` if they cannot be reloaded.
    pub(super) async fn reloaded(&self) -> bool {
        let Some(reloads) = &self.0.reloads else { return false };
        // Without new keys, the token is refused as before.
        let _ = timeout(RELOAD_WAIT, reloads.next()).await;
        true
    }

    pub(super) fn expected(&self) -> &Expected {
        &self.0.rules.expected
    }

    /// Replaces the keys, and with them the tokens that the old ones have verified.
    pub(super) fn replace_keys(&self, keys: Keys) {
        let mut current = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new((current.0 + 1, Some(keys)));
    }

    fn keys(&self) -> Arc<(u64, Option<Keys>)> {
        self.0.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl UserToken {
    /// How long it is still valid, with the leeway, in seconds.
    pub(super) fn left_s(&self) -> f64 {
        self.expires + LEEWAY_S as f64 - now_s()
    }

    fn check_time(&self, now: f64) -> Result<(), TokenError> {
        if self.expires + LEEWAY_S as f64 <= now {
            return Err(TokenError::Expired);
        }
        if self.not_before - LEEWAY_S as f64 > now { Err(TokenError::NotYetValid) } else { Ok(()) }
    }
}

fn verify(token: &str, keys: &Keys, rules: &Rules) -> Result<UserToken, TokenError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenError::Malformed("it is longer than 8192 bytes"));
    }
    let header = header(token)?;
    let key_id = header.kid.as_deref();
    let mut candidates = keys.candidates(key_id).peekable();
    if candidates.peek().is_none() {
        return Err(unknown_key(key_id));
    }
    let mut result = None;
    let mut algorithms = Vec::new();
    for key in candidates {
        if key.algorithm() != header.alg {
            algorithms.push(key.algorithm());
            continue;
        }
        match jsonwebtoken::decode::<Map<String, Value>>(token, &key.decoding, &key.validation) {
            Ok(verified) => return claims(&verified.claims, rules),
            Err(error) => {
                result = Some(match refusal(error.kind()) {
                    // A key without an id was tried, but another one may have this id by now.
                    TokenError::Signature if key_id.is_some_and(|id| !keys.has(id)) && keys.are_named() => {
                        unknown_key(key_id)
                    }
                    refusal => refusal,
                });
            }
        }
    }
    Err(result.unwrap_or_else(|| wrong_algorithm(header.alg, &algorithms)))
}

fn unknown_key(key_id: Option<&str>) -> TokenError {
    TokenError::UnknownKey(key_id.unwrap_or_default().chars().take(60).collect())
}

/// The header, with an error that says what is wrong with it.
fn header(token: &str) -> Result<Header, TokenError> {
    let header = jsonwebtoken::decode_header(token).map_err(|error| match error.kind() {
        ErrorKind::InvalidToken => TokenError::Malformed("it does not have three parts"),
        _ => TokenError::Malformed("its header is not that of a signed token with a known algorithm"),
    })?;
    // RFC 7515, section 4.1.11: none of these extensions is implemented.
    if header.crit.is_some() { Err(TokenError::Malformed("it needs extensions (\"crit\")")) } else { Ok(header) }
}

fn wrong_algorithm(got: Algorithm, expected: &[Algorithm]) -> TokenError {
    let mut names: Vec<String> = expected.iter().map(|algorithm| format!("{algorithm:?}")).collect();
    names.sort_unstable();
    names.dedup();
    TokenError::Algorithm { got: format!("{got:?}"), expected: names.join(" or ") }
}

fn refusal(kind: &ErrorKind) -> TokenError {
    match kind {
        ErrorKind::InvalidSignature => TokenError::Signature,
        ErrorKind::ExpiredSignature => TokenError::Expired,
        ErrorKind::ImmatureSignature => TokenError::NotYetValid,
        ErrorKind::InvalidIssuer => TokenError::Issuer,
        ErrorKind::InvalidAudience => TokenError::Audience,
        ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => {
            TokenError::Claim(claim.clone())
        }
        _ => TokenError::Malformed("its claims cannot be read"),
    }
}

/// The claims of a verified token.
fn claims(claims: &Map<String, Value>, rules: &Rules) -> Result<UserToken, TokenError> {
    let invalid = |claim: &str| TokenError::Claim(claim.to_owned());
    let subject = match claims.get(&rules.user_claim) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) if number.is_u64() => number.to_string(),
        _ => return Err(invalid(&rules.user_claim)),
    };
    if subject.is_empty() || subject.chars().count() > MAX_SUBJECT_CHARS {
        return Err(invalid(&rules.user_claim));
    }
    let username = match claims.get("username") {
        None | Some(Value::Null) => None,
        Some(name) => Some(Username::from_json(Some(name)).map_err(|_| invalid("username"))?),
    };
    let scopes = match claims.get("scope") {
        None | Some(Value::Null) => Scopes::default(),
        Some(Value::String(names)) => Scopes::known(names),
        Some(_) => return Err(invalid("scope")),
    };
    let not_before = match claims.get("nbf") {
        None | Some(Value::Null) => 0.0,
        Some(time) => time.as_f64().ok_or_else(|| invalid("nbf"))?,
    };
    let expires = claims.get("exp").and_then(Value::as_f64).ok_or_else(|| invalid("exp"))?;
    Ok(UserToken { subject, username, scopes, not_before, expires })
}

/// The claims of a token that [`mint`] signs.
pub(crate) struct Minted<'a> {
    pub(crate) user: &'a str,
    pub(crate) username: Option<&'a str>,
    pub(crate) scopes: &'a [Scope],
    pub(crate) lifetime: Duration,
}

/// Signs a user token with a secret (HS256).
///
/// # Errors
/// If the token cannot be encoded.
pub(crate) fn mint(secret: &[u8], rules: &Rules, minted: &Minted<'_>) -> Result<String, jsonwebtoken::errors::Error> {
    ring_provider::install();
    let now = now_s().floor();
    let scope = minted.scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(" ");
    let expires = now as u64 + minted.lifetime.as_secs();
    let mut claims = json!({ "iat": now as u64, "exp": expires, "scope": scope });
    claims[&rules.user_claim] = minted.user.into();
    for (claim, value) in [
        ("username", minted.username),
        ("iss", rules.expected.issuer.as_deref()),
        ("aud", rules.expected.audience.as_deref()),
    ] {
        if let Some(value) = value {
            claims[claim] = value.into();
        }
    }
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret))
}

fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests;
