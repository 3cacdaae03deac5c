//! The sections of the configuration, with their fields checked.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use config::ValueKind;
use tracing_subscriber::EnvFilter;

use super::database_file;
use super::error::ConfigError;
use super::reader::Reader;
use super::secret::{Secret, SecretUrl, SigningSecret};

const DAY_S: f64 = 86_400.0;

/// The API server.
#[derive(Debug, Clone)]
pub struct Serve {
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; 0 means a free one.
    pub port: u16,
    /// How long a long poll is held, 1 to 60 seconds.
    pub long_poll_timeout: Duration,
    /// The largest picture that may be uploaded, in bytes, at least 1.
    pub max_upload_bytes: u64,
    /// Uploads are refused when fewer bytes than this are free on the image root's disk.
    pub min_free_bytes: u64,
    /// Threads that answer requests.
    pub workers: NonZeroUsize,
}

impl Serve {
    pub(super) fn read(from: &mut Reader) -> Result<Self, ConfigError> {
        Ok(Self {
            host: host(from, "serve.host")?,
            port: from.integer("serve.port", 0..=65535)?,
            long_poll_timeout: from.seconds("serve.long_poll_timeout_s", 1.0..=60.0)?,
            max_upload_bytes: from.integer("serve.max_upload_bytes", 1..=1 << 40)?,
            min_free_bytes: from.integer("serve.min_free_bytes", 0..=1 << 60)?,
            workers: or_one_per_core(from, "serve.workers")?,
        })
    }

    /// Where to listen.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }
}

/// The game server.
#[derive(Debug, Clone)]
pub struct Game {
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; 0 means a free one.
    pub port: u16,
    /// Leaderboard updates within this time become one broadcast; at least 1 ms.
    pub broadcast_interval: Duration,
    /// Threads that answer requests and feed sockets.
    pub workers: NonZeroUsize,
}

impl Game {
    pub(super) fn read(from: &mut Reader) -> Result<Self, ConfigError> {
        Ok(Self {
            host: host(from, "game.host")?,
            port: from.integer("game.port", 0..=65535)?,
            broadcast_interval: from.milliseconds("game.broadcast_interval_ms", 1..=60_000)?,
            workers: or_one_per_core(from, "game.workers")?,
        })
    }

    /// Where to listen.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }
}

/// Redis.
#[derive(Debug, Clone)]
pub struct Redis {
    /// Where Redis is; `None` when nothing says so, and the caller chooses.
    pub url: Option<SecretUrl>,
}

impl Redis {
    pub(super) const SCHEMES: &[&str] =
        &["redis", "rediss", "redis-cluster", "rediss-cluster", "redis-sentinel", "rediss-sentinel"];

    pub(super) fn read(from: &mut Reader) -> Result<Self, ConfigError> {
        Ok(Self { url: from.url("redis.url", Self::SCHEMES)? })
    }
}

/// The database.
#[derive(Debug, Clone)]
pub struct Database {
    /// The SQLite file, absolute or relative to the working directory; its folder need not exist.
    pub path: PathBuf,
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

/// Assets and fulfilments.
#[derive(Debug, Clone)]
pub struct Warehouse {
    /// Jobs that one worker process does at the same time.
    pub concurrency: NonZeroUsize,
    /// How long one job may take; more than 0.
    pub time_limit: Duration,
}

impl Warehouse {
    pub(super) fn read(from: &mut Reader) -> Result<Self, ConfigError> {
        Ok(Self {
            concurrency: or_one_per_core(from, "warehouse.concurrency")?,
            time_limit: time_limit(from, "warehouse.time_limit_s")?,
        })
    }
}

/// Who is told of a purchase.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Where events are posted, `http` or `https`; `None` means nowhere.
    pub url: Option<SecretUrl>,
    /// What `X-Webhook-Secret` says.
    pub secret: Option<Secret>,
    /// The key of the Standard Webhooks signature; `None` means that nothing is signed.
    pub signing_secret: Option<SigningSecret>,
    /// How long one delivery may take before it counts as a crash; more than 0.
    pub time_limit: Duration,
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

/// How jobs are run.
#[derive(Debug, Clone)]
pub struct Jobs {
    /// How long a worker owns a job without a sign of life; more than 0.
    pub lease: Duration,
    /// How often a worker looks for jobs that no message told it of; more than 0.
    pub sweep_interval: Duration,
    /// Errors after which a job is given up; at least 1.
    pub max_attempts: u32,
    /// The wait before the first retry; more than 0.
    pub retry_base: Duration,
    /// How many jobs of a kind may wait before no more are accepted; at least 1.
    pub max_queued: u64,
    /// Workers claim nothing when fewer bytes than this are free.
    pub min_free_bytes: u64,
    /// For how long a job is kept that has come to its end; more than 0.
    pub keep: Duration,
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

/// Who may do what.
#[derive(Debug, Clone)]
pub struct Auth {
    /// What clients must send; `None` means that nobody is asked.
    pub token: Option<Secret>,
    /// What clients must send to reach the jobs of others.
    pub admin_token: Option<Secret>,
    /// Whether a listener may be reached from elsewhere without a token.
    pub allow_anonymous: bool,
}

impl Auth {
    pub(super) fn read(from: &mut Reader) -> Result<Self, ConfigError> {
        Ok(Self {
            token: from.secret("auth.token")?,
            admin_token: from.secret("auth.admin_token")?,
            allow_anonymous: from.bool("auth.allow_anonymous")?,
        })
    }
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct Log {
    /// A filter in the syntax of [`EnvFilter`], known to be valid.
    pub level: String,
    /// The form of a line.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Log {
    pub(super) fn read(from: &mut Reader) -> Result<Self, ConfigError> {
        const LEVEL: &str = "error, warn, info, debug, trace or off, also per module such as \"info,m3a3::jobs=debug\"";
        let filter = |text: &str| EnvFilter::try_new(text).is_ok().then(|| text.to_owned());
        let format = |text: &str| match text {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        };
        Ok(Self {
            level: required(from, "log.level", LEVEL, filter)?,
            format: required(from, "log.format", "\"text\" or \"json\"", format)?,
        })
    }
}

/// The end of a process.
#[derive(Debug, Clone)]
pub struct Shutdown {
    /// How long work in progress may take to end.
    pub grace: Duration,
}

impl Shutdown {
    pub(super) fn read(from: &mut Reader) -> Result<Self, ConfigError> {
        Ok(Self { grace: from.seconds("shutdown.grace_s", 0.0..=DAY_S)? })
    }
}

/// A text that has a default, so that it is never unset.
pub(super) fn required<T>(
    from: &mut Reader,
    key: &str,
    expected: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, ConfigError> {
    from.text(key, expected, parse)?.ok_or_else(|| ConfigError::NoDefault { key: key.to_owned() })
}

fn host(from: &mut Reader, key: &str) -> Result<IpAddr, ConfigError> {
    required(from, key, "an IP address, or \"localhost\"", |text| match text {
        "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        text => text.trim_start_matches('[').trim_end_matches(']').parse().ok(),
    })
}

/// How long one job of a kind may take.
pub(super) fn time_limit(from: &mut Reader, key: &str) -> Result<Duration, ConfigError> {
    from.seconds(key, 0.1..=DAY_S)
}

pub(super) fn or_one_per_core(from: &mut Reader, key: &str) -> Result<NonZeroUsize, ConfigError> {
    let number: usize = from.integer(key, 0..=1024)?;
    let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    Ok(NonZeroUsize::new(number).unwrap_or_else(cores))
}
