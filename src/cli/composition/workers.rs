//! The workers for thumbnails, the warehouse and mail.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::certificates::{self, Setting};
use super::runtime::Runtime;
use super::{api_presence, job_policy, thumbnails};
use crate::bus::Bus;
use crate::config::Config;
use crate::db::Location;
use crate::email::EmailWorker;
use crate::events::{Event, Finished, ImageUploaded, OrderPlaced};
use crate::images::{self, ThumbnailWorker};
use crate::jobs::{Handler, Policy, Runner, WakeSignal};
use crate::lifecycle::{RoleError, Running};
use crate::warehouse::WarehouseWorker;

/// One kind of worker.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Thumbnail,
    Warehouse,
    Email,
}

impl Kind {
    /// In pipeline order: `--once` then also runs the jobs that an earlier worker enqueues for a later one.
    pub(crate) const ALL: [Self; 3] = [Self::Thumbnail, Self::Warehouse, Self::Email];

    /// The configuration key of its concurrency.
    pub(crate) fn concurrency_key(self) -> &'static str {
        match self {
            Self::Thumbnail => "images.concurrency",
            Self::Warehouse => "warehouse.concurrency",
            Self::Email => "email.concurrency",
        }
    }

    /// Builds the worker. It runs until the shutdown, or with `once` until no job is due.
    async fn prepare(
        self,
        runtime: &Runtime,
        config: &Config,
        images: &images::State,
        once: bool,
    ) -> anyhow::Result<Prepared> {
        let builder = Builder { runtime, config, once };
        match self {
            Self::Thumbnail => builder.prepare(
                "thumbnail worker",
                ThumbnailWorker::open(images.clone(), thumbnails::wanted(&config.images)).await?,
                job_policy::local(config, config.images.time_limit),
                config.images.concurrency.get(),
            ),
            Self::Warehouse => builder.prepare(
                "warehouse worker",
                WarehouseWorker::new(images.files.clone(), images.limits.decoder(), images.limits.max_upload_bytes),
                job_policy::local(config, config.warehouse.time_limit),
                config.warehouse.concurrency.get(),
            ),
            Self::Email => {
                certificates::report_missing(config, Setting::Mail);
                builder.prepare(
                    "email worker",
                    EmailWorker::new(&config.email, runtime.database.clone(), images.files.clone())?,
                    job_policy::remote(config, config.email.time_limit),
                    config.email.concurrency.get(),
                )
            }
        }
    }
}

/// A worker that is ready to run.
struct Prepared {
    name: &'static str,
    /// The owner of its leases.
    id: String,
    wake: WakeSignal,
    run: BoxFuture<'static, Result<(), RoleError>>,
}

struct Builder<'a> {
    runtime: &'a Runtime,
    config: &'a Config,
    once: bool,
}

impl Builder<'_> {
    fn prepare<H: Handler>(
        &self,
        name: &'static str,
        handler: H,
        policy: Policy,
        concurrency: usize,
    ) -> anyhow::Result<Prepared> {
        let lock = job_policy::worker_lock(self.config)?;
        let (id, wake) = (lock.id().to_string(), WakeSignal::new());
        let (database, shutdown) = (self.runtime.database.clone(), self.runtime.shutdown.token());
        let folders =
            vec![self.config.images.root.clone(), Location::new(&self.config.database.path).folder().to_owned()];
        let runner = Runner::new(database, handler, policy, concurrency, lock, wake.clone(), shutdown)
            .with_guard(job_policy::disk_guard(self.config, folders));
        let run = match self.once {
            true => async { Ok(runner.run_until_idle().await?) }.boxed(),
            false => runner.run().map(Ok).boxed(),
        };
        Ok(Prepared { name, id, wake, run })
    }
}

/// Workers that were started.
pub(crate) struct Started {
    /// Wakes all of them.
    pub(crate) wake: WakeSignal,
    /// One line for each, with its id.
    pub(crate) ready: String,
}

/// Starts a role for each worker.
pub(crate) async fn start(
    runtime: &mut Runtime,
    config: &Config,
    images: &images::State,
    kinds: &[Kind],
) -> anyhow::Result<Started> {
    let (mut signals, mut ready) = (Vec::new(), String::new());
    for kind in kinds {
        let Prepared { name, id, wake, run } = kind.prepare(runtime, config, images, false).await?;
        runtime.run_role(Running::spawn(name, run));
        signals.push(wake);
        ready.push_str(&format!("{name} {id} is ready\n"));
    }
    Ok(Started { wake: WakeSignal::all(&signals), ready })
}

/// Starts one role that runs these workers one after another until no job is due, then requests the shutdown. It does
/// not subscribe to events: images and orders that arrive meanwhile are recorded by the servers.
pub(crate) async fn start_once(
    runtime: &mut Runtime,
    config: &Config,
    images: &images::State,
    kinds: &[Kind],
) -> anyhow::Result<()> {
    let mut workers = Vec::new();
    for kind in kinds {
        workers.push(kind.prepare(runtime, config, images, true).await?);
    }
    let shutdown = runtime.shutdown.clone();
    let all = async move {
        let mut outcome = Ok(());
        for worker in workers {
            // Every worker runs, also after one has failed.
            outcome = outcome.and(worker.run.await);
        }
        shutdown.request();
        outcome
    };
    runtime.run_role(Running::spawn("worker", all));
    Ok(())
}

/// Subscribes to new uploads and orders. Orders of other programs are recorded by game servers, and their images by API
/// servers; a thumbnail worker records images while no API server runs.
pub(crate) fn start_intake(
    runtime: &mut Runtime,
    config: &Config,
    images: images::State,
    wake: &WakeSignal,
    kinds: &[Kind],
) {
    start_doorbell::<OrderPlaced>(runtime, "order events", wake);
    start_doorbell::<Finished>(runtime, "thumbnail events", wake);
    if kinds.contains(&Kind::Thumbnail) {
        let folder = Location::new(&config.database.path).folder().to_owned();
        let role = images::Role::Fallback(Arc::new(move || api_presence::is_served(&folder)));
        let intake = images::listen(images, wake.clone(), role, runtime.shutdown.token());
        runtime.run_role(Running::spawn("image intake", intake.map(Ok)));
    } else {
        start_doorbell::<ImageUploaded>(runtime, "image events", wake);
    }
}

/// Starts a role that wakes the workers at every event.
pub(crate) fn start_doorbell<E: Event>(runtime: &mut Runtime, name: &'static str, wake: &WakeSignal) {
    let (bus, wake, shutdown) = (runtime.bus.clone(), wake.clone(), runtime.shutdown.token());
    runtime.run_role(Running::spawn(name, wake_for_each::<E>(bus, wake, shutdown).map(Ok)));
}

async fn wake_for_each<E: Event>(bus: Bus, wake: WakeSignal, shutdown: CancellationToken) {
    let mut messages = bus.subscribe::<E>();
    while let Some(Some(_)) = shutdown.run_until_cancelled(messages.next()).await {
        wake.notify();
    }
    shutdown.cancelled().await;
}
