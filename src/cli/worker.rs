//! `m3a3 worker`: background jobs.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use futures_util::FutureExt;

use super::output;
use super::process::{Process, job_policy, worker_lock};
use crate::config::{Config, Overrides};
use crate::images::{self, Resources, ThumbnailWorker};
use crate::jobs::{Runner, Wake};
use crate::lifecycle::Running;

const EXAMPLES: &str = "\
Examples:
  m3a3 worker thumbnail
  m3a3 worker thumbnail --concurrency 4

Start as many as you like, on one database and image root. A worker that is killed loses nothing: another one, or the
next, takes over what it was doing.";

/// Run background jobs
#[derive(Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum Worker {
    /// Make thumbnails
    Thumbnail(Thumbnail),
}

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Thumbnail {
    /// How many pictures at a time, 0 for one per core [images.concurrency]
    #[arg(long, value_name = "N")]
    concurrency: Option<String>,
}

impl Worker {
    pub(super) fn add_to(&self, overrides: &mut Overrides) {
        let Self::Thumbnail(Thumbnail { concurrency }) = self;
        if let Some(concurrency) = concurrency {
            overrides.set("images.concurrency", concurrency, "--concurrency");
        }
    }
}

pub(super) async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let mut process = Process::open(config, None)?;
    let images = process.images(config)?;
    let worker = start(&mut process, config, images)?;
    output::print(&format!("thumbnail worker {worker} is ready\n"))?;
    process.run().await?;
    Ok(ExitCode::SUCCESS)
}

/// Starts the thumbnail worker's roles, and says under which id it claims jobs.
pub(super) fn start(process: &mut Process, config: &Config, resources: Resources) -> anyhow::Result<String> {
    let lock = worker_lock(config)?;
    let id = lock.id().to_string();
    let shutdown = process.shutdown.token();
    let wake = Wake::new();
    let runner = Runner::new(
        resources.database.clone(),
        ThumbnailWorker::new(resources.clone()),
        job_policy(config),
        config.images.concurrency.get(),
        lock,
        wake.clone(),
        shutdown.clone(),
    );
    process.run_role(Running::spawn("thumbnail worker", runner.run().map(Ok)));
    process.run_role(Running::spawn("picture intake", images::listen(resources, wake, shutdown).map(Ok)));
    Ok(id)
}
