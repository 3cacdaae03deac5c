//! The resources of a long-running process: database, files, Redis, and the order in which they shut down.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::FutureExt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::certificates::{self, Setting, tls_files};
use super::clients::quotas;
use super::{access, redis_address};
use crate::bus::{Bus, BusTask};
use crate::config::{self, Config};
use crate::db::{Database, DbError, Location, WriterThread};
use crate::files::Files;
use crate::http::Auth;
use crate::http::draining::{self, Draining};
use crate::http::tls::Tls;
use crate::images::{self, Commits, Limits, Links, LongPolls};
use crate::job_payloads::{KINDS, THUMBNAIL, WEBHOOK};
use crate::jobs::{self, QueueLimit, SystemClock, WakeSignal};
use crate::lifecycle::{RoleError, Running, Shutdown, Signals, supervise};
use crate::orders;

/// How often a running process checks whether a newer m3a3 has migrated its database.
const SCHEMA_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How long the first attempt to connect to Redis may delay the start.
const FIRST_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the last messages and writes may take once every role has ended.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The resources of a process, its roles, and their shutdown.
pub(crate) struct Runtime {
    pub(crate) shutdown: Shutdown,
    pub(crate) database: Database,
    pub(crate) bus: Bus,
    /// Access to the API; closed until [`open_access`](Self::open_access).
    pub(crate) auth: Auth,
    /// The TLS of the servers; plain HTTP until [`open_tls`](Self::open_tls).
    pub(crate) tls: Option<Tls>,
    /// Notified at SIGHUP.
    reload: Option<Arc<Notify>>,
    signals: Signals,
    roles: Vec<Running>,
    grace: Duration,
    bus_task: BusTask,
    bus_shutdown: CancellationToken,
    writer: WriterThread,
}

impl Runtime {
    /// Opens the database and starts to connect to Redis, which need not answer. The URL is `redis_url`, else that of
    /// the configuration, else it is looked up at each connect.
    pub(crate) fn open(config: &Config, redis_url: Option<String>) -> anyhow::Result<Self> {
        let signals = Signals::install_for_service()?;
        raise_open_files();
        certificates::report_missing(config, Setting::Redis);
        let location = Location::new(&config.database.path);
        let (database, writer) = Database::open(&location)?;
        let bus_shutdown = CancellationToken::new();
        let configured = redis_url.or_else(|| config.redis.url.as_ref().map(|url| url.expose().to_owned()));
        let (bus, bus_task) = match configured {
            Some(url) => Bus::start(&url, bus_shutdown.clone())?,
            None => Bus::start_with_lookup(redis_address::lookup(location.folder().to_owned()), bus_shutdown.clone())?,
        };
        let shutdown = Shutdown::new();
        let writing = run_until_either(writer.ended(), shutdown.token());
        Ok(Self {
            shutdown,
            database,
            bus,
            auth: Auth::closed(),
            tls: None,
            reload: None,
            signals,
            roles: vec![Running::spawn("database writer", writing.map(Ok))],
            grace: config.shutdown.grace,
            bus_task,
            bus_shutdown,
            writer,
        })
    }

    /// Opens the API to those whom the configuration admits, for processes that serve it.
    pub(crate) fn open_access(&mut self, config: &Config) -> anyhow::Result<()> {
        let (auth, reloader) = access::open(config)?;
        self.auth = auth;
        if let Some(reloader) = reloader {
            let reloading = reloader.run(self.shutdown.token());
            self.run_role(Running::spawn("user token keys", reloading.map(Ok)));
        }
        Ok(())
    }

    /// Loads the certificate of `[serve.tls]`, if there is one, for processes that serve. It is loaded again at SIGHUP
    /// and once its files have changed.
    pub(crate) fn open_tls(&mut self, config: &Config) -> anyhow::Result<()> {
        let Some(files) = tls_files(config) else { return Ok(()) };
        let (tls, reloader) = Tls::load(files)?;
        let reload = Arc::new(Notify::new());
        let reloading = reloader.run(Arc::clone(&reload), self.shutdown.token());
        self.run_role(Running::spawn("certificate", reloading.map(Ok)));
        (self.tls, self.reload) = (Some(tls), Some(reload));
        Ok(())
    }

    /// Waits for the first attempt to connect to Redis: a process that has printed that it is ready then reaches Redis,
    /// if it is up.
    pub(crate) async fn try_redis(&self) {
        // Without Redis the process starts all the same.
        let _ = timeout(FIRST_CONNECT_TIMEOUT, self.bus.first_attempt_ended()).await;
    }

    /// The state of the image routes and the thumbnail worker.
    pub(crate) fn images(&self, config: &Config) -> anyhow::Result<images::State> {
        let files = Files::open(&config.images.root)
            .with_context(|| format!("cannot use the image root {}", config.images.root.display()))?;
        let limits = Limits {
            max_upload_bytes: config.serve.max_upload_bytes,
            max_pixels: config.images.max_pixels,
            long_poll_timeout: config.serve.long_poll_timeout,
            min_free_bytes: config.serve.min_free_bytes,
        };
        let links = Links::new(config.serve.public_url.as_deref());
        Ok(images::State {
            database: self.database.clone(),
            bus: self.bus.clone(),
            files,
            limits,
            quotas: quotas(&config.limits),
            queue_limit: QueueLimit::new(self.database.clone(), THUMBNAIL, config.jobs.max_queued),
            commits: Commits::on_this_runtime(),
            long_polls: LongPolls::new(self.database.clone(), links.clone()),
            links,
            auth: self.auth.clone(),
            mail: config.email.notify.clone(),
        })
    }

    /// The state of the order routes and the order intake.
    pub(crate) fn orders(&self, config: &Config, wake: WakeSignal) -> orders::State {
        orders::State {
            database: self.database.clone(),
            bus: self.bus.clone(),
            wake,
            webhook: config.webhook.url.is_some(),
            queue_limit: QueueLimit::new(self.database.clone(), WEBHOOK, config.jobs.max_queued),
            max_orders_per_day: config.limits.user_orders_per_day,
            auth: self.auth.clone(),
            mail: config.email.notify.clone(),
        }
    }

    /// The drain of one server at the shutdown.
    pub(crate) fn draining(&self, config: &Config) -> Draining {
        let config::Shutdown { delay, spread, .. } = config.shutdown;
        Draining::new(draining::Settings {
            requested: self.shutdown.token(),
            urgent: self.shutdown.urgent(),
            delay,
            spread,
        })
    }

    /// Starts the role that removes old jobs.
    pub(crate) fn start_pruning(&mut self, config: &Config) {
        let (keep, clock) = (config.jobs.keep, Arc::new(SystemClock::default()));
        let pruning = jobs::keep_pruning(self.database.clone(), &KINDS, keep, clock, self.shutdown.token());
        self.run_role(Running::spawn("pruning", pruning.map(Ok)));
    }

    /// Adds a role that runs until the shutdown.
    pub(crate) fn run_role(&mut self, role: Running) {
        self.roles.push(role);
    }

    /// Runs until a signal or until a role fails. Then drains the roles, sends the last messages, and makes the last
    /// writes durable, in this order, since each step needs the next one's resource.
    pub(crate) async fn run(mut self) -> anyhow::Result<()> {
        let schema = watch_schema(self.database.clone(), self.shutdown.token());
        self.run_role(Running::spawn("schema check", schema));
        let ended = supervise(self.roles, self.signals, self.reload.as_deref(), &self.shutdown, self.grace).await;
        self.bus_shutdown.cancel();
        let closed = timeout(CLOSE_TIMEOUT, async {
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

/// Ends at the shutdown, or with the future: the process cannot go on without it.
async fn run_until_either(ended: impl Future<Output = ()>, shutdown: CancellationToken) {
    shutdown.run_until_cancelled(ended).await;
}

/// Ends with an error, and stops the process, when a newer m3a3 has migrated the database.
async fn watch_schema(database: Database, shutdown: CancellationToken) -> Result<(), RoleError> {
    let mut ticks = interval(SCHEMA_CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        // An unreadable database is reported where it is used.
        if let Err(error @ DbError::Newer(_)) = database.check_schema() {
            tracing::error!(error = %error, "a newer m3a3 has migrated the database; stopping");
            return Err(error.into());
        }
    }
    Ok(())
}

/// How long requests in flight may take once the connections are closed: less than what is left of the grace period,
/// which leaves time to close the bus and the database.
pub(crate) fn drain(config: &Config) -> Duration {
    let config::Shutdown { grace, delay, spread } = config.shutdown;
    grace.saturating_sub(delay).saturating_sub(spread).mul_f64(0.8)
}

/// Raises the limit of open files to the maximum: every long poll and every socket needs one.
fn raise_open_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(error = %error, current, "cannot raise the limit of open files");
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
    async fn the_process_stops_when_its_database_writer_ends() {
        let folder = tempfile::tempdir().unwrap();
        let mut overrides = Overrides::default();
        overrides.set("database.url", folder.path().join("m3a3.db").to_str().unwrap(), "--database-url");
        let config = Config::load(&overrides).unwrap();
        let runtime = Runtime::open(&config, Some("redis://127.0.0.1:1".to_owned())).unwrap();

        // Nothing awaits the result, so the writer drops it.
        let (abandoned, gate) = std::sync::mpsc::channel::<()>();
        let mut write = Box::pin(runtime.database.write(move |_| {
            let _ = gate.recv();
            Ok(Bomb)
        }));
        assert!(poll!(&mut write).is_pending());
        drop(write);
        drop(abandoned);

        let error = runtime.run().await.unwrap_err().to_string();
        assert_eq!(error, "database writer ended unexpectedly");
    }
}
