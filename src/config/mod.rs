//! The configuration: loaded and checked once at start.
//!
//! Owns the keys, their defaults (`config/default.toml`) and the order of the layers. Consumes the environment, `.env`
//! and `config/{M3A3_ENV}.toml` of the working directory, and flags. Publishes nothing. Never shows a secret, and never
//! changes the environment of the process.
//!
//! - `layers`, `toml_settings`, `legacy_env`: the layers and their merge
//! - `reader`: checked values from the merged settings
//! - `sections`, `servers`, `images`, `email`, `cors`, `limits`, `user_tokens`: the sections
//! - `secret`, `smtp`, `database_file`, `browser_client`, `log_filter`, `networks`, `variants`: values with a syntax of
//!   their own
//! - `show`: the effective configuration as text

mod browser_client;
mod cors;
mod database_file;
mod email;
mod error;
mod images;
mod layers;
mod legacy_env;
mod limits;
mod log_filter;
mod networks;
mod reader;
mod secret;
mod sections;
mod servers;
mod show;
mod smtp;
mod toml_settings;
mod user_tokens;
mod variants;

use std::io;
use std::net::IpAddr;
use std::path::Path;

pub(crate) use self::browser_client::BrowserClient;
pub(crate) use self::cors::Cors;
pub(crate) use self::email::Email;
pub(crate) use self::error::ConfigError;
pub(crate) use self::images::Images;
pub(crate) use self::layers::Overrides;
use self::layers::Variables;
pub(crate) use self::limits::{Limits, Rate};
pub(crate) use self::log_filter::LogFilter;
pub(crate) use self::reader::Entry;
use self::reader::Reader;
pub(crate) use self::secret::Secret;
pub(crate) use self::sections::{Auth, Database, Jobs, Log, LogFormat, Redis, Shutdown, Warehouse, Webhook};
pub(crate) use self::servers::{Game, Serve};
pub(crate) use self::smtp::{SmtpUrl, TlsMode};
pub(crate) use self::user_tokens::{TokenKeys, UserTokens};
pub(crate) use self::variants::Variant;

/// The shortest token on a public address, in characters, which are ASCII.
const MIN_TOKEN_CHARS: usize = 16;

/// The whole configuration.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// `[serve]`, the API server.
    pub(crate) serve: Serve,
    /// `[game]`, the game server.
    pub(crate) game: Game,
    /// `[redis]`.
    pub(crate) redis: Redis,
    /// `[database]`.
    pub(crate) database: Database,
    /// `[images]`, images and thumbnails.
    pub(crate) images: Images,
    /// `[webhook]`, the purchase webhook.
    pub(crate) webhook: Webhook,
    /// `[warehouse]`, assets and fulfilments.
    pub(crate) warehouse: Warehouse,
    /// `[email]`, outgoing mail.
    pub(crate) email: Email,
    /// `[jobs]`, the job engine.
    pub(crate) jobs: Jobs,
    /// `[auth]`, tokens.
    pub(crate) auth: Auth,
    /// `[cors]`, pages of other origins.
    pub(crate) cors: Cors,
    /// `[limits]`, of client addresses and users.
    pub(crate) limits: Limits,
    /// `[log]`.
    pub(crate) log: Log,
    /// `[shutdown]`.
    pub(crate) shutdown: Shutdown,
    entries: Vec<Entry>,
}

impl Config {
    /// Loads and merges all layers.
    ///
    /// # Errors
    /// When a layer cannot be read, sets an unknown key, or sets an invalid value, or when `DATABASE_URL` names a
    /// database that only Prisma would find.
    pub(crate) fn load(flags: &Overrides) -> Result<Self, ConfigError> {
        let config = Self::from_layers(&environment()?, &|path| std::fs::read_to_string(path), flags)?;
        let origin = config.entries.iter().find(|entry| entry.key == "database.url").map(|entry| entry.origin.as_str());
        legacy_env::check_prisma(origin.unwrap_or_default(), &config.database.path, Path::exists)?;
        Ok(config)
    }

    fn from_layers(
        environment: &Variables,
        read: &dyn Fn(&Path) -> io::Result<String>,
        flags: &Overrides,
    ) -> Result<Self, ConfigError> {
        Self::read(&mut Reader::new(layers::merge(environment, read, flags)?))
    }

    fn read(from: &mut Reader) -> Result<Self, ConfigError> {
        Ok(Self {
            serve: Serve::read(from)?,
            game: Game::read(from)?,
            redis: Redis::read(from)?,
            database: Database::read(from)?,
            images: Images::read(from)?,
            webhook: Webhook::read(from)?,
            warehouse: Warehouse::read(from)?,
            email: Email::read(from)?,
            jobs: Jobs::read(from)?,
            auth: Auth::read(from)?,
            cors: Cors::read(from)?,
            limits: Limits::read(from)?,
            log: Log::read(from)?,
            shutdown: Shutdown::read(from)?,
            entries: from.take_entries(),
        })
    }

    /// Every key with its effective value and origin, secrets hidden, in the order of the sections.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Checks that a listener may bind this address: a loopback address, or one protected by a token, or explicitly
    /// open.
    ///
    /// # Errors
    /// [`ConfigError::Anonymous`] for a public address without a token, [`ConfigError::ShortToken`] for one with a token
    /// of fewer than 16 characters.
    pub(crate) fn check_binding(&self, host: IpAddr) -> Result<(), ConfigError> {
        if host.to_canonical().is_loopback() {
            return Ok(());
        }
        for (key, token) in [("auth.token", &self.auth.token), ("auth.admin_token", &self.auth.admin_token)] {
            let chars = token.as_ref().map_or(MIN_TOKEN_CHARS, |token| token.expose().len());
            if chars < MIN_TOKEN_CHARS {
                return Err(ConfigError::ShortToken { host, key, chars, min_chars: MIN_TOKEN_CHARS });
            }
        }
        if self.is_open_or_guarded() { Ok(()) } else { Err(ConfigError::Anonymous { host }) }
    }

    /// Whether a listener on this address relies on being reachable from this machine only.
    pub(crate) fn relies_on_loopback(&self, host: IpAddr) -> bool {
        !self.is_open_or_guarded() && host.to_canonical().is_loopback()
    }

    fn is_open_or_guarded(&self) -> bool {
        self.auth.token.is_some() || self.auth.jwt.is_some() || self.auth.allow_anonymous
    }
}

/// The variables that belong to the configuration; others need not be UTF-8.
fn environment() -> Result<Variables, ConfigError> {
    let mut variables = Variables::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| layers::is_relevant(name)) else { continue };
        let value = value.into_string().map_err(|_| ConfigError::NotText { name: name.to_owned() })?;
        variables.insert(name.to_owned(), value);
    }
    Ok(variables)
}

#[cfg(test)]
mod tests;
