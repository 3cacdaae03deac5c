//! `[auth.jwt]`: the tokens of users.

use std::net::IpAddr;
use std::path::PathBuf;

use reqwest::Url;

use super::error::ConfigError;
use super::reader::Reader;
use super::secret::Secret;
use super::sections::required;

/// The shortest key of HS256 (RFC 7518, section 3.2), in bytes.
const MIN_SECRET_BYTES: usize = 32;
const JWKS: &str = "an https URL without a password, an http URL of this machine, or a file";
const USER_CLAIM: &str = "the name of a claim that has no other meaning, such as \"sub\"";
/// Claims with another meaning.
const RESERVED: [&str; 7] = ["exp", "nbf", "iat", "iss", "aud", "scope", "username"];

/// `[auth.jwt]`, if user tokens are accepted.
#[derive(Debug, Clone)]
pub(crate) struct UserTokens {
    /// The keys that verify tokens.
    pub(crate) keys: TokenKeys,
    /// The required value of `iss`.
    pub(crate) issuer: Option<String>,
    /// The required value of `aud`.
    pub(crate) audience: Option<String>,
    /// The claim with the user's id.
    pub(crate) user_claim: String,
}

/// The keys that verify user tokens.
#[derive(Debug, Clone)]
pub(crate) enum TokenKeys {
    /// The secret of HS256.
    Secret(Secret),
    /// A file with a JSON Web Key Set.
    File(PathBuf),
    /// The URL of a JSON Web Key Set.
    Url(Url),
}

impl UserTokens {
    pub(super) fn read(from: &mut Reader) -> Result<Option<Self>, ConfigError> {
        let secret = from.token_secret("auth.jwt.secret", MIN_SECRET_BYTES)?;
        let set = from.text("auth.jwt.jwks", JWKS, key_set)?;
        let text = |text: &str| Some(text.to_owned());
        let issuer = from.text("auth.jwt.issuer", "a text", text)?;
        let audience = from.text("auth.jwt.audience", "a text", text)?;
        let user_claim = required(from, "auth.jwt.user_claim", USER_CLAIM, |name| {
            (!RESERVED.contains(&name)).then(|| name.to_owned())
        })?;
        let keys = match (secret, set) {
            (None, None) => return Ok(None),
            (Some(secret), None) => TokenKeys::Secret(secret),
            (None, Some(set)) => set,
            (Some(_), Some(_)) => return Err(ConfigError::TwoKeySources),
        };
        Ok(Some(Self { keys, issuer, audience, user_claim }))
    }
}

/// The place of a key set. Plain http is for servers on this machine: the response decides which tokens are valid.
fn key_set(text: &str) -> Option<TokenKeys> {
    let Some((scheme, _)) = text.split_once("://") else { return Some(TokenKeys::File(text.into())) };
    let url = Url::parse(text).ok()?;
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
    if !url.username().is_empty() || url.password().is_some() {
        // The URL is logged.
        return None;
    }
    let is_local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    (scheme == "https" || (scheme == "http" && is_local)).then_some(TokenKeys::Url(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_set_is_a_file_or_a_url_that_nobody_on_the_way_can_change() {
        let kind = |text| match key_set(text) {
            Some(TokenKeys::File(_)) => "file",
            Some(TokenKeys::Url(_)) => "url",
            _ => "none",
        };
        for (text, expected) in [
            ("keys.json", "file"),
            ("/etc/m3a3/keys.json", "file"),
            ("https://id.example/.well-known/jwks.json", "url"),
            ("http://localhost:8080/realms/m/certs", "url"),
            ("http://[::1]:8080/certs", "url"),
            ("http://id.example/jwks.json", "none"),
            ("ftp://id.example/jwks.json", "none"),
            ("https://me:hunter2@id.example/jwks.json", "none"),
            ("https://", "none"),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }
}
