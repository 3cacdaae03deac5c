//! What every long-running subcommand stands on: database, files, Redis, and the order in which they end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::FutureExt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::bus::embedded::discover;
use crate::bus::{Bus, BusTask};
use crate::config::Config;
use crate::db::{Database, DbError, Location, WriterThread};
use crate::files::{Files, free_bytes_below};
use crate::http::Auth;
use crate::images::{self, Limits, LongPolls};
use crate::job_payloads::{KINDS, THUMBNAIL, WEBHOOK};
use crate::jobs::{self, ClaimGuard, Policy, QueueLimit, SystemClock, WakeSignal, WorkerLock};
use crate::lifecycle::{RoleError, Running, Shutdown, Signals, supervise};
use crate::orders;

/// Where Redis is looked for when nothing says where it is.
const DEFAULT_REDIS: &str = "redis://127.0.0.1:6379";
/// The longest wait between two attempts of a job.
const RETRY_CAP: Duration = Duration::from_secs(60 * 60);
/// The same two for jobs that speak to somebody else's server.
const PATIENT_ATTEMPTS: i32 = 20;
const PATIENT_RETRY_CAP: Duration = Duration::from_secs(6 * 60 * 60);
/// How often a running process looks whether a newer m3a3 has migrated its database.
const SCHEMA_INTERVAL: Duration = Duration::from_secs(1);
/// How long the first attempt to connect to Redis may delay the start.
const FIRST_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the last messages and writes may take once every role has ended.
const CLOSING: Duration = Duration::from_secs(5);

/// The resources of a process, and what ends them.
pub(crate) struct Runtime {
    pub(crate) shutdown: Shutdown,
    pub(crate) database: Database,
    pub(crate) bus: Bus,
    signals: Signals,
    roles: Vec<Running>,
    grace: Duration,
    bus_task: BusTask,
    bus_shutdown: CancellationToken,
    writer: WriterThread,
}

impl Runtime {
    /// Opens everything. `redis_url` says where Redis is; without it, the configuration does, else it is looked up at
    /// each connect. Redis need not answer.
    pub(crate) fn open(config: &Config, redis_url: Option<String>) -> anyhow::Result<Self> {
        let signals = Signals::install()?;
        raise_open_files();
        let location = Location::new(&config.database.path);
        let (database, writer) = Database::open(&location)?;
        let bus_shutdown = CancellationToken::new();
        let configured = redis_url.or_else(|| config.redis.url.as_ref().map(|url| url.expose().to_owned()));
        let (bus, bus_task) = match configured {
            Some(url) => Bus::start(&url, bus_shutdown.clone())?,
            None => Bus::start_with_lookup(redis_lookup(location.folder().to_owned()), bus_shutdown.clone())?,
        };
        let shutdown = Shutdown::new();
        let writing = run_until_either(writer.ended(), shutdown.token());
        Ok(Self {
            shutdown,
            database,
            bus,
            signals,
            roles: vec![Running::spawn("database writer", writing.map(Ok))],
            grace: config.shutdown.grace,
            bus_task,
            bus_shutdown,
            writer,
        })
    }

    /// Waits for the first attempt to connect to Redis, so that what is asked of a process that says it is ready
    /// reaches Redis if it is there.
    pub(crate) async fn try_redis(&self) {
        // A Redis that does not answer is no reason not to start.
        let _ = timeout(FIRST_CONNECT_TIMEOUT, self.bus.tried()).await;
    }

    /// The state of the images' part of this process.
    pub(crate) fn images(&self, config: &Config) -> anyhow::Result<images::State> {
        let files = Files::open(&config.images.root)
            .with_context(|| format!("cannot use the image root {}", config.images.root.display()))?;
        let limits = Limits {
            max_upload_bytes: config.serve.max_upload_bytes,
            max_pixels: config.images.max_pixels,
            long_poll_timeout: config.serve.long_poll_timeout,
            min_free_bytes: config.serve.min_free_bytes,
        };
        Ok(images::State {
            database: self.database.clone(),
            bus: self.bus.clone(),
            files,
            limits,
            queue_limit: QueueLimit::new(self.database.clone(), THUMBNAIL, config.jobs.max_queued),
            mail: config.email.notify.clone(),
            long_polls: LongPolls::new(self.database.clone(), self.shutdown.token()),
            auth: auth(config),
        })
    }

    /// The state of the orders' part of this process.
    pub(crate) fn orders(&self, config: &Config, wake: WakeSignal) -> orders::State {
        orders::State {
            database: self.database.clone(),
            bus: self.bus.clone(),
            wake,
            webhook: config.webhook.url.is_some(),
            queue_limit: QueueLimit::new(self.database.clone(), WEBHOOK, config.jobs.max_queued),
            mail: config.email.notify.clone(),
            auth: auth(config),
        }
    }

    /// Starts what removes old jobs.
    pub(crate) fn start_pruning(&mut self, config: &Config) {
        let (keep, clock) = (config.jobs.keep, Arc::new(SystemClock::default()));
        let pruning = jobs::keep_pruning(self.database.clone(), &KINDS, keep, clock, self.shutdown.token());
        self.run_role(Running::spawn("pruning", pruning.map(Ok)));
    }

    /// Adds a role that runs until the shutdown.
    pub(crate) fn run_role(&mut self, role: Running) {
        self.roles.push(role);
    }

    /// Runs until a signal or until a role fails; then drains the roles, sends the last messages, and makes the last
    /// writes durable, in this order, since each needs the next.
    pub(crate) async fn run(mut self) -> anyhow::Result<()> {
        let schema = watch_schema(self.database.clone(), self.shutdown.token());
        self.run_role(Running::spawn("the watch over the database's schema", schema));
        let ended = supervise(self.roles, self.signals, &self.shutdown, self.grace).await;
        self.bus_shutdown.cancel();
        let closed = timeout(CLOSING, async {
            self.bus_task.finished().await;
            self.writer.close().await
        })
        .await;
        ended?;
        match closed.context("the last writes were not finished in time")? {
            true => Ok(()),
            false => bail!("the database writer ended before the last writes"),
        }
    }
}

/// A role that ends at the shutdown, or when what it watches has ended, after which the process is of no use.
async fn run_until_either(ended: impl Future<Output = ()>, shutdown: CancellationToken) {
    shutdown.run_until_cancelled(ended).await;
}

/// Ends with an error, and the process with it, when a newer m3a3 has migrated the database.
async fn watch_schema(database: Database, shutdown: CancellationToken) -> Result<(), RoleError> {
    let mut ticks = interval(SCHEMA_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        // A database that cannot be read is reported by those that need it.
        if let Err(error @ DbError::Newer(_)) = database.check_schema() {
            tracing::error!(error = %error, "this m3a3 is too old for its database and stops");
            return Err(error.into());
        }
    }
    Ok(())
}

/// Opens the database for a command that looks at what is there: a new one would only hide that this is the wrong place.
pub(crate) fn open_existing(config: &Config) -> anyhow::Result<(Database, WriterThread)> {
    let location = Location::new(&config.database.path);
    if !location.path().exists() {
        bail!("{} is not there (check database.url and the working directory)", location.path().display());
    }
    Ok(Database::open(&location)?)
}

/// Where Redis is: where the configuration says, else the broker of an `m3a3 up` on the same data, else 127.0.0.1.
pub(crate) fn expected_redis(config: &Config) -> String {
    let configured = config.redis.url.as_ref().map(|url| url.expose().to_owned());
    let found = || discover(Location::new(&config.database.path).folder());
    configured.or_else(found).unwrap_or_else(|| DEFAULT_REDIS.to_owned())
}

/// Access to the API.
pub(crate) fn auth(config: &Config) -> Auth {
    Auth::new(config.auth.token.as_ref().map(|token| token.expose()))
}

/// Where Redis is when no configuration says it: the broker of an `m3a3 up` on the same data, else 127.0.0.1:6379. Once
/// there was a broker, its next one is waited for: another Redis would be a stranger.
fn redis_lookup(folder: PathBuf) -> impl Fn() -> Option<String> + Send + Sync {
    let had_broker = AtomicBool::new(false);
    move || match discover(&folder) {
        Some(url) => {
            had_broker.store(true, Ordering::Relaxed);
            Some(url)
        }
        None => (!had_broker.load(Ordering::Relaxed)).then(|| DEFAULT_REDIS.to_owned()),
    }
}

/// When jobs of this process are given up, repeated and taken for lost; an attempt may take as long as `time_limit`.
pub(crate) fn job_policy(config: &Config, time_limit: Duration) -> Policy {
    Policy {
        lease: config.jobs.lease,
        sweep_interval: config.jobs.sweep_interval,
        max_attempts: i32::try_from(config.jobs.max_attempts).unwrap_or(i32::MAX),
        retry_base: config.jobs.retry_base,
        retry_cap: RETRY_CAP,
        drain: drain(config),
        time_limit,
    }
}

/// The same for jobs that speak to somebody else's server, which may be away for long: twenty attempts, up to six hours
/// apart, are about a day.
pub(crate) fn patient_job_policy(config: &Config, time_limit: Duration) -> Policy {
    Policy { max_attempts: PATIENT_ATTEMPTS, retry_cap: PATIENT_RETRY_CAP, ..job_policy(config, time_limit) }
}

/// Keeps a worker from claiming jobs while one of the disks below these folders is full.
pub(crate) fn disk_guard(config: &Config, folders: Vec<PathBuf>) -> ClaimGuard {
    let wanted = config.jobs.min_free_bytes;
    Arc::new(move || {
        // A file system that says nothing is judged by what the jobs find.
        let is_full = |folder: &&PathBuf| free_bytes_below(folder).is_ok_and(|free| free < wanted);
        let full = folders.iter().find(is_full)?;
        Some(format!("the disk is full: less than {wanted} bytes are free below {}", full.display()))
    })
}

/// How long roles may take to end: a little less than the grace period, so that they can still tidy up.
pub(crate) fn drain(config: &Config) -> Duration {
    config.shutdown.grace.mul_f64(0.8)
}

/// This process's name among the workers on the database.
pub(crate) fn worker_lock(config: &Config) -> anyhow::Result<Arc<WorkerLock>> {
    let location = Location::new(&config.database.path);
    let lock = WorkerLock::acquire(location.folder())
        .with_context(|| format!("cannot lock a file below {}", location.folder().display()))?;
    Ok(Arc::new(lock))
}

/// Allows as many open files as the system lets us have: every held poll needs one.
fn raise_open_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(error = %error, ?current, "the limit of open files cannot be raised");
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;
    use crate::config::Overrides;

    /// Panics where it is dropped.
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }

    #[tokio::test]
    async fn the_process_ends_with_its_database_writer() {
        let folder = tempfile::tempdir().unwrap();
        let mut overrides = Overrides::default();
        overrides.set("database.url", folder.path().join("m3a3.db").to_str().unwrap(), "--database-url");
        let config = Config::load(&overrides).unwrap();
        let runtime = Runtime::open(&config, Some("redis://127.0.0.1:1".to_owned())).unwrap();

        // The writer drops the result, since nobody waits for it any more.
        let (abandoned, gate) = std::sync::mpsc::channel::<()>();
        let mut write = Box::pin(runtime.database.write(move |_| {
            let _ = gate.recv();
            Ok(Bomb)
        }));
        assert!(poll!(&mut write).is_pending());
        drop(write);
        drop(abandoned);

        let error = runtime.run().await.unwrap_err().to_string();
        assert_eq!(error, "database writer ended by itself");
    }
}
