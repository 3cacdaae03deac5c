//! The configuration: read once at start, checked, and never changed.
//!
//! Owns the keys, their defaults (`config/default.toml`) and the order of the layers. Consumes the environment, `.env`
//! and `config/{M3A3_ENV}.toml` of the working directory, and flags. Never shows a secret, and never changes the
//! environment of the process.

mod database_file;
mod email;
mod error;
mod images;
mod layers;
mod legacy_env;
mod reader;
mod secret;
mod sections;
mod show;
mod smtp;
mod variants;

use std::io;
use std::net::IpAddr;
use std::path::Path;

pub use self::email::Email;
pub use self::error::ConfigError;
pub use self::images::Images;
pub use self::layers::Overrides;
use self::layers::Variables;
pub use self::reader::Entry;
use self::reader::Reader;
pub use self::secret::{Secret, SecretUrl, SigningSecret};
pub use self::sections::{Auth, Database, Game, Jobs, Log, LogFormat, Redis, Serve, Shutdown, Warehouse, Webhook};
pub use self::smtp::{Login, SmtpUrl, TlsMode};
pub use self::variants::{Fit, Output, Variant};

/// The whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The API server.
    pub serve: Serve,
    /// The game server.
    pub game: Game,
    /// Redis.
    pub redis: Redis,
    /// The database.
    pub database: Database,
    /// Pictures and thumbnails.
    pub images: Images,
    /// Who is told of a purchase.
    pub webhook: Webhook,
    /// Assets and fulfilments.
    pub warehouse: Warehouse,
    /// Outgoing mail.
    pub email: Email,
    /// How jobs are run.
    pub jobs: Jobs,
    /// Who may do what.
    pub auth: Auth,
    /// What is logged.
    pub log: Log,
    /// The end of a process.
    pub shutdown: Shutdown,
    entries: Vec<Entry>,
}

impl Config {
    /// Reads all layers.
    ///
    /// # Errors
    /// When a layer cannot be read, sets an unknown key, or sets a value that is not allowed.
    pub fn load(flags: &Overrides) -> Result<Self, ConfigError> {
        Self::from_layers(&environment()?, &|path| std::fs::read_to_string(path), flags)
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
            log: Log::read(from)?,
            shutdown: Shutdown::read(from)?,
            entries: from.take_entries(),
        })
    }

    /// Every key with the value in force and its origin, secrets hidden, in the order of the sections.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether a listener may be bound to this address: loopback, or with a token, or expressly for anybody.
    ///
    /// # Errors
    /// [`ConfigError::Anonymous`] when others can reach the address and nothing keeps them out.
    pub fn check_binding(&self, host: IpAddr) -> Result<(), ConfigError> {
        let guarded = self.auth.token.is_some() || self.auth.allow_anonymous;
        if guarded || host.to_canonical().is_loopback() { Ok(()) } else { Err(ConfigError::Anonymous { host }) }
    }
}

/// The variables of the process that may matter here; others need not be UTF-8.
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
