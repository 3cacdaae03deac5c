//! The sections of the configuration.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use config::ValueKind;

use super::database_file;
use super::error::ConfigError;
use super::log_filter::LogFilter;
use super::reader::Reader;
use super::secret::{Secret, SecretUrl, SigningSecret};
use super::user_tokens::UserTokens;

const DAY_S: f64 = 86_400.0;

/// `[redis]`.
#[derive(Debug, Clone)]
pub(crate) struct Redis {
    /// The URL of Redis; `None` when it is not configured.
    pub(crate) url: Option<SecretUrl>,
}

impl Redis {
    pub(super) const SCHEMES: &[&str] =
        &["redis", "rediss", "redis-cluster", "rediss-cluster", "redis-sentinel", "rediss-sentinel"];

    pub(super) fn read(from: &mut Reader) -> Result<Self, ConfigError> {
        Ok(Self { url: from.url("redis.url", Self::SCHEMES)? })
    }
}

/// `[database]`.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    /// The SQLite file, absolute or relative to the working directory; its folder need not exist.
    pub(crate) path: PathBuf,
}

impl Database {
    pub(super) fn read(from: &mut Reader) -> Result<Self, ConfigError> {
        let path = from.value("database.url", database_file::EXPECTED, |value| match value {
            ValueKind::String(url) => database_file::path(url),
            _ => None,
        })?;
        Ok(Self { path })
    }
}

/// `[warehouse]`, assets and fulfilments.
#[derive(Debug, Clone)]
pub(crate) struct Warehouse {
    /// Jobs that one worker process runs concurrently.
    pub(crate) concurrency: NonZeroUsize,
    /// The time limit of one job; more than 0.
    pub(crate) time_limit: Duration,
}

impl Warehouse {
    pub(super) fn read(from: &mut Reader) -> Result<Self, ConfigError> {
        Ok(Self {
            concurrency: or_one_per_core(from, "warehouse.concurrency")?,
            time_limit: time_limit(from, "warehouse.time_limit_s")?,
        })
    }
}

/// `[webhook]`, the purchase webhook.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    /// The URL that receives events, `http` or `https`; `None` disables the webhook.
    pub(crate) url: Option<SecretUrl>,
    /// The value of `X-Webhook-Secret`.
    pub(crate) secret: Option<Secret>,
    /// The key of the Standard Webhooks signature; `None` disables signing.
    pub(crate) signing_secret: Option<SigningSecret>,
    /// The time limit of one delivery, after which it counts as a crash; more than 0.
    pub(crate) time_limit: Duration,
}

impl Webhook {
    pub(super) fn read(from: &mut Reader) -> Result<Self, ConfigError> {
        Ok(Self {
            url: from.url("webhook.url", &["http", "https"])?,
            secret: from.secret("webhook.secret")?,
            signing_secret: from.signing_secret("webhook.signing_secret")?,
            time_limit: time_limit(from, "webhook.time_limit_s")?,
        })
    }
}

/// `[jobs]`, the job engine.
#[derive(Debug, Clone)]
pub(crate) struct Jobs {
    /// How long a worker owns a job without a heartbeat; more than 0.
    pub(crate) lease: Duration,
    /// How often a worker polls for jobs without a notification; more than 0.
    pub(crate) sweep_interval: Duration,
    /// Failed attempts after which a job is dead; at least 1.
    pub(crate) max_attempts: u32,
    /// The wait before the first retry; more than 0.
    pub(crate) retry_base: Duration,
    /// Queued jobs of a kind above which new ones are refused; at least 1.
    pub(crate) max_queued: u64,
    /// Workers claim no job while fewer bytes are free.
    pub(crate) min_free_bytes: u64,
    /// The retention of finished jobs; more than 0.
    pub(crate) keep: Duration,
}

impl Jobs {
    pub(super) fn read(from: &mut Reader) -> Result<Self, ConfigError> {
        Ok(Self {
            lease: from.seconds("jobs.lease_s", 0.1..=DAY_S)?,
            sweep_interval: from.seconds("jobs.sweep_interval_s", 0.01..=3600.0)?,
            max_attempts: from.integer("jobs.max_attempts", 1..=1000)?,
            retry_base: from.seconds("jobs.retry_base_s", 0.001..=3600.0)?,
            max_queued: from.integer("jobs.max_queued", 1..=1 << 40)?,
            min_free_bytes: from.integer("jobs.min_free_bytes", 0..=1 << 60)?,
            keep: from.days("jobs.keep_days", 0.001..=36_500.0)?,
        })
    }
}

/// `[auth]`, the tokens of clients.
#[derive(Debug, Clone)]
pub(crate) struct Auth {
    /// The token of the API; `None` disables authentication.
    pub(crate) token: Option<Secret>,
    /// The token of `/admin` and `/metrics`.
    pub(crate) admin_token: Option<Secret>,
    /// Whether a public address may be used without a token.
    pub(crate) allow_anonymous: bool,
    /// Whether the board may be read without a token. If not, a token is configured.
    pub(crate) public_board: bool,
    /// The tokens of users; `None` when they are not accepted.
    pub(crate) jwt: Option<UserTokens>,
}

impl Auth {
    pub(super) fn read(from: &mut Reader) -> Result<Self, ConfigError> {
        let auth = Self {
            token: from.secret("auth.token")?,
            admin_token: from.secret("auth.admin_token")?,
            allow_anonymous: from.bool("auth.allow_anonymous")?,
            public_board: from.bool("auth.public_board")?,
            jwt: UserTokens::read(from)?,
        };
        // With an admin token alone, anyone may submit scores, and gets the rank in response.
        let has_token = auth.token.is_some() || auth.jwt.is_some();
        if auth.public_board || has_token { Ok(auth) } else { Err(ConfigError::BoardWithoutToken) }
    }
}

/// `[log]`.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    /// The events that are logged.
    pub(crate) level: LogFilter,
    /// The format of a line.
    pub(crate) format: LogFormat,
    /// Whether one line per request is logged.
    pub(crate) requests: bool,
}

/// The format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Human-readable text.
    Text,
    /// One JSON object per line.
    Json,
}

impl Log {
    pub(super) fn read(from: &mut Reader) -> Result<Self, ConfigError> {
        let format = |text: &str| match text {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        };
        Ok(Self {
            level: from.parts("log.level", LogFilter::EXPECTED, LogFilter::parse)?,
            format: required(from, "log.format", "\"text\" or \"json\"", format)?,
            requests: from.bool("log.requests")?,
        })
    }
}

/// `[shutdown]`.
#[derive(Debug, Clone)]
pub(crate) struct Shutdown {
    /// How long work in progress may take to finish.
    pub(crate) grace: Duration,
    /// How long servers accept connections after the request; at most half of the grace period.
    pub(crate) delay: Duration,
    /// How long servers take to close their connections, at most half of what is left of the grace period.
    pub(crate) spread: Duration,
}

impl Shutdown {
    pub(super) fn read(from: &mut Reader) -> Result<Self, ConfigError> {
        let grace = from.seconds("shutdown.grace_s", 0.0..=DAY_S)?;
        let delay = from.seconds("shutdown.delay_s", 0.0..=DAY_S)?.min(grace / 2);
        let spread = from.seconds("shutdown.spread_s", 0.0..=DAY_S)?.min((grace - delay) / 2);
        Ok(Self { grace, delay, spread })
    }
}

/// Reads a text with a default, which is never unset.
pub(super) fn required<T>(
    from: &mut Reader,
    key: &str,
    expected: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, ConfigError> {
    from.text(key, expected, parse)?.ok_or_else(|| ConfigError::NoDefault { key: key.to_owned() })
}

/// Reads the time limit of one job.
pub(super) fn time_limit(from: &mut Reader, key: &str) -> Result<Duration, ConfigError> {
    from.seconds(key, 0.1..=DAY_S)
}

pub(super) fn or_one_per_core(from: &mut Reader, key: &str) -> Result<NonZeroUsize, ConfigError> {
    let number: usize = from.integer(key, 0..=1024)?;
    let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    Ok(NonZeroUsize::new(number).unwrap_or_else(cores))
}
