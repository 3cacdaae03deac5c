//! `m3a3 token`: tokens for the configuration, and tokens of users for testing.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueHint};

use super::composition::access;
use super::subcommand::{Launcher, Subcommand};
use super::{help, output};
use crate::config::TokenKeys;
use crate::http::Scope;
use crate::http::auth::{Minted, mint};

/// As many as a SHA-256 has, so that guessing is no easier than finding a preimage.
const TOKEN_BYTES: usize = 32;
/// Larger lifetimes are mistakes: a user token cannot be revoked.
const MAX_TTL_S: u64 = 366 * 86_400;

/// Generate tokens
#[derive(clap::Subcommand)]
pub(super) enum TokenCommand {
    Generate(Generate),
    Mint(Mint),
}

const EXAMPLES: &str = "\
Examples:
  m3a3 token generate
  (umask 077 && echo \"M3A3_AUTH__TOKEN=$(m3a3 token generate)\" > .env)

The token has 256 random bits, as 64 digits of 0-9 and a-f. Nothing is stored.";

/// Print a random token for auth.token, auth.admin_token or auth.jwt.secret
#[derive(Args)]
#[command(after_help = help::laid_out(EXAMPLES))]
pub(super) struct Generate {}

const MINT_EXAMPLES: &str = "\
Examples:
  m3a3 token mint --user 7
  m3a3 token mint --user 7 --scope score --username ada --ttl 10m
  curl -H \"Authorization: Bearer $(m3a3 token mint --user 7)\" -F image=@photo.jpg localhost:3010/enqueue

The token is signed with auth.jwt.secret (HS256), and has the configured issuer and audience. In production, the \
application that knows the user issues such tokens itself.";

/// Print a token of a user, signed with auth.jwt.secret
#[derive(Args)]
#[command(after_help = help::laid_out(MINT_EXAMPLES))]
pub(super) struct Mint {
    /// Id of the user
    #[arg(long, value_name = "ID", value_hint = ValueHint::Other, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    user: String,
    /// Permission: upload, status, score or order; can be repeated, and is "upload" and "status" by default
    #[arg(long, value_name = "SCOPE", value_parser = ["upload", "status", "score", "order"])]
    scope: Vec<String>,
    /// Player name, which the scope "score" needs
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Other)]
    username: Option<String>,
    /// Lifetime, such as 90s, 10m, 1h or 7d
    #[arg(long, value_name = "TIME", default_value = "1h", value_hint = ValueHint::Other, value_parser = ttl)]
    ttl: Duration,
}

impl Subcommand for TokenCommand {
    fn run(self, launcher: Launcher) -> anyhow::Result<ExitCode> {
        let token = match self {
            Self::Generate(Generate {}) => generate(),
            Self::Mint(options) => options.token(&launcher)?,
        };
        output::print(&format!("{token}\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn generate() -> String {
    rand::random::<[u8; TOKEN_BYTES]>().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Mint {
    fn token(&self, launcher: &Launcher) -> anyhow::Result<String> {
        let config = launcher.load_config()?;
        let Some(jwt) = &config.auth.jwt else {
            bail!(
                "auth.jwt.secret is not set (M3A3_AUTH__JWT__SECRET=$(m3a3 token generate) sets it; the servers need \
                   the same)"
            );
        };
        let TokenKeys::Secret(secret) = &jwt.keys else {
            bail!("the keys in auth.jwt.jwks are public and cannot sign; the issuer of that key set issues the tokens");
        };
        let scopes: Vec<Scope> = match self.scope.as_slice() {
            [] => vec![Scope::Upload, Scope::Status],
            names => Scope::ALL.into_iter().filter(|scope| names.iter().any(|name| name == scope.name())).collect(),
        };
        if scopes.contains(&Scope::Score) && self.username.is_none() {
            bail!("a token with the scope \"score\" needs --username");
        }
        let minted =
            Minted { user: &self.user, username: self.username.as_deref(), scopes: &scopes, lifetime: self.ttl };
        mint(secret.expose().as_bytes(), &access::rules(jwt), &minted).context("the token cannot be signed")
    }
}

/// A number with a unit.
fn ttl(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number with a unit, such as 90s, 10m, 1h or 7d, up to 366d".to_owned();
    let unit_at = text.len().checked_sub(1).filter(|at| text.is_char_boundary(*at)).ok_or_else(expected)?;
    let (number, unit) = text.split_at(unit_at);
    let unit_s: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(expected()),
    };
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = number.parse::<u64>().ok().filter(|_| digits).and_then(|number| number.checked_mul(unit_s));
    let seconds = seconds.filter(|seconds| (1..=MAX_TTL_S).contains(seconds)).ok_or_else(expected)?;
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_a_number_with_a_unit() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("1h", 3600), ("366d", MAX_TTL_S)] {
            assert_eq!(ttl(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "s", "0s", "1", "-1h", "+1h", "1 h", "1.5h", "1w", "367d", "99999999999999999999d", "1é"] {
            assert!(ttl(bad).is_err(), "{bad}");
        }
    }
}
