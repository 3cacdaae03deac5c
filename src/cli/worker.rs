//! `m3a3 worker`: background jobs.

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::composition::runtime::{Runtime, disk_guard, job_policy, patient_job_policy, worker_lock};
use super::composition::{api_presence, thumbnails};
use super::output;
use crate::bus::Bus;
use crate::config::{Config, Overrides};
use crate::db::Location;
use crate::email::EmailWorker;
use crate::events::{Event, Finished, ImageUploaded, OrderPlaced};
use crate::images::{self, ThumbnailWorker};
use crate::jobs::{Handler, Policy, Runner, WakeSignal};
use crate::lifecycle::{RoleError, Running};
use crate::warehouse::WarehouseWorker;

const EXAMPLES: &str = "\
Examples:
  m3a3 worker thumbnail
  m3a3 worker thumbnail --concurrency 4
  m3a3 worker all
  m3a3 worker warehouse --once              do what is due and exit, for cron

Start as many as you like, on one database and image root. A worker that is killed loses nothing: another one, or the
next, takes over what it was doing. What came while no worker ran is done when one does.";

/// Run background jobs
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Worker {
    /// Which jobs
    #[arg(value_enum, value_name = "NAME")]
    name: Name,
    /// How many jobs at a time, 0 for one per core [images.concurrency, warehouse.concurrency,
    /// email.concurrency]
    #[arg(long, value_name = "N")]
    concurrency: Option<String>,
    /// Do what is due, then exit: retries that lie in the future are left to the next run
    #[arg(long)]
    once: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Make thumbnails
    Thumbnail,
    /// Keep pictures as assets, take orders on
    Warehouse,
    /// Tell users of their pictures and orders by mail
    Email,
    /// All of these in one process
    All,
}

impl Name {
    fn works(self) -> Vec<Work> {
        match self {
            Self::Thumbnail => vec![Work::Thumbnail],
            Self::Warehouse => vec![Work::Warehouse],
            Self::Email => vec![Work::Email],
            Self::All => Work::ALL.to_vec(),
        }
    }
}

/// One of the workers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Thumbnail,
    Warehouse,
    Email,
}

impl Work {
    /// In this order, so that what one leaves to the next is done in one go.
    pub(super) const ALL: [Self; 3] = [Self::Thumbnail, Self::Warehouse, Self::Email];

    fn concurrency_key(self) -> &'static str {
        match self {
            Self::Thumbnail => "images.concurrency",
            Self::Warehouse => "warehouse.concurrency",
            Self::Email => "email.concurrency",
        }
    }

    /// Sets this worker up in a process; it runs until the shutdown, or `once`: until nothing is due.
    fn prepare(
        self,
        runtime: &Runtime,
        config: &Config,
        images: &images::State,
        once: bool,
    ) -> anyhow::Result<Prepared> {
        let start = Start { runtime, config, once };
        match self {
            Self::Thumbnail => start.prepare(
                "thumbnail worker",
                ThumbnailWorker::new(images.clone(), thumbnails::wanted(&config.images)),
                job_policy(config, config.images.time_limit),
                config.images.concurrency.get(),
            ),
            Self::Warehouse => start.prepare(
                "warehouse worker",
                WarehouseWorker::new(images.files.clone(), images.limits.decoder(), images.limits.max_upload_bytes),
                job_policy(config, config.warehouse.time_limit),
                config.warehouse.concurrency.get(),
            ),
            Self::Email => start.prepare(
                "email worker",
                EmailWorker::new(&config.email, runtime.database.clone(), images.files.clone())?,
                patient_job_policy(config, config.email.time_limit),
                config.email.concurrency.get(),
            ),
        }
    }
}

/// A worker that is ready to run.
struct Prepared {
    name: &'static str,
    /// Under which it claims jobs.
    id: String,
    wake: WakeSignal,
    run: BoxFuture<'static, Result<(), RoleError>>,
}

struct Start<'a> {
    runtime: &'a Runtime,
    config: &'a Config,
    once: bool,
}

impl Start<'_> {
    fn prepare<H: Handler>(
        &self,
        name: &'static str,
        handler: H,
        policy: Policy,
        concurrency: usize,
    ) -> anyhow::Result<Prepared> {
        let lock = worker_lock(self.config)?;
        let (id, wake) = (lock.id().to_string(), WakeSignal::new());
        let (database, shutdown) = (self.runtime.database.clone(), self.runtime.shutdown.token());
        let folders =
            vec![self.config.images.root.clone(), Location::new(&self.config.database.path).folder().to_owned()];
        let runner = Runner::new(database, handler, policy, concurrency, lock, wake.clone(), shutdown)
            .with_guard(disk_guard(self.config, folders));
        let run = match self.once {
            true => async { Ok(runner.run_until_idle().await?) }.boxed(),
            false => runner.run().map(Ok).boxed(),
        };
        Ok(Prepared { name, id, wake, run })
    }
}

impl Worker {
    pub(super) fn add_to(&self, overrides: &mut Overrides) {
        let Some(concurrency) = &self.concurrency else { return };
        for work in self.name.works() {
            overrides.set(work.concurrency_key(), concurrency, "--concurrency");
        }
    }

    pub(super) async fn run(&self, config: &Config) -> anyhow::Result<ExitCode> {
        let mut runtime = Runtime::open(config, None)?;
        let images = runtime.images(config)?;
        if self.once {
            start_once(&mut runtime, config, &images, &self.name.works())?;
        } else {
            let started = start(&mut runtime, config, &images, &self.name.works())?;
            start_intake(&mut runtime, config, images, &started.wake, &self.name.works());
            runtime.start_pruning(config);
            output::print(&started.ready)?;
        }
        runtime.run().await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Workers that were started.
pub(super) struct Started {
    /// Wakes all of them.
    pub(super) wake: WakeSignal,
    /// A line for each, with its id.
    ready: String,
}

/// Starts these workers' roles.
pub(super) fn start(
    runtime: &mut Runtime,
    config: &Config,
    images: &images::State,
    works: &[Work],
) -> anyhow::Result<Started> {
    let (mut signals, mut ready) = (Vec::new(), String::new());
    for work in works {
        let Prepared { name, id, wake, run } = work.prepare(runtime, config, images, false)?;
        runtime.run_role(Running::spawn(name, run));
        signals.push(wake);
        ready.push_str(&format!("{name} {id} is ready\n"));
    }
    Ok(Started { wake: WakeSignal::all(&signals), ready })
}

/// Starts one role that lets these workers do what is due, one after another, and then ends the process. Nobody listens:
/// what is handed in meanwhile by a message alone is heard by the servers.
fn start_once(runtime: &mut Runtime, config: &Config, images: &images::State, works: &[Work]) -> anyhow::Result<()> {
    let workers =
        works.iter().map(|work| work.prepare(runtime, config, images, true)).collect::<anyhow::Result<Vec<_>>>()?;
    let shutdown = runtime.shutdown.clone();
    let all = async move {
        let mut outcome = Ok(());
        for worker in workers {
            // One that cannot go on keeps no other from its work.
            outcome = outcome.and(worker.run.await);
        }
        shutdown.request();
        outcome
    };
    runtime.run_role(Running::spawn("worker", all));
    Ok(())
}

/// Starts the roles that hear of work. Orders of other programs are recorded by game servers alone, and their images by
/// API servers; a thumbnail worker records images in place of API servers.
fn start_intake(runtime: &mut Runtime, config: &Config, images: images::State, wake: &WakeSignal, works: &[Work]) {
    start_bell::<OrderPlaced>(runtime, "order news", wake);
    start_bell::<Finished>(runtime, "thumbnail news", wake);
    if works.contains(&Work::Thumbnail) {
        let folder = Location::new(&config.database.path).folder().to_owned();
        let role = images::Role::Fallback(Arc::new(move || api_presence::is_served(&folder)));
        let intake = images::listen(images, wake.clone(), role, runtime.shutdown.token());
        runtime.run_role(Running::spawn("image intake", intake.map(Ok)));
    } else {
        start_bell::<ImageUploaded>(runtime, "image news", wake);
    }
}

/// Starts a role that rings for every message.
pub(super) fn start_bell<E: Event>(runtime: &mut Runtime, name: &'static str, wake: &WakeSignal) {
    let (bus, wake, shutdown) = (runtime.bus.clone(), wake.clone(), runtime.shutdown.token());
    runtime.run_role(Running::spawn(name, ring_for_each::<E>(bus, wake, shutdown).map(Ok)));
}

async fn ring_for_each<E: Event>(bus: Bus, wake: WakeSignal, shutdown: CancellationToken) {
    let mut messages = bus.subscribe::<E>();
    while let Some(Some(_)) = shutdown.run_until_cancelled(messages.next()).await {
        wake.notify();
    }
    shutdown.cancelled().await;
}
