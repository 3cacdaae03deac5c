//! `m3a3 worker`: background jobs.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::composition::runtime::Runtime;
use super::composition::workers::{self, Kind};
use super::output;
use super::subcommand::{Launcher, Subcommand};
use crate::config::{Config, Overrides};

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
    fn kinds(self) -> Vec<Kind> {
        match self {
            Self::Thumbnail => vec![Kind::Thumbnail],
            Self::Warehouse => vec![Kind::Warehouse],
            Self::Email => vec![Kind::Email],
            Self::All => Kind::ALL.to_vec(),
        }
    }
}

impl Subcommand for Worker {
    fn override_config(&self, overrides: &mut Overrides) {
        let Some(concurrency) = &self.concurrency else { return };
        for kind in self.name.kinds() {
            overrides.set(kind.concurrency_key(), concurrency, "--concurrency");
        }
    }

    fn run(self, launcher: Launcher) -> anyhow::Result<ExitCode> {
        launcher.run(async move |config| self.work(config).await)
    }
}

impl Worker {
    async fn work(&self, config: &Config) -> anyhow::Result<ExitCode> {
        let kinds = self.name.kinds();
        let mut runtime = Runtime::open(config, None)?;
        let images = runtime.images(config)?;
        if self.once {
            workers::start_once(&mut runtime, config, &images, &kinds)?;
        } else {
            let started = workers::start(&mut runtime, config, &images, &kinds)?;
            workers::start_intake(&mut runtime, config, images, &started.wake, &kinds);
            runtime.start_pruning(config);
            output::print(&started.ready)?;
        }
        runtime.run().await?;
        Ok(ExitCode::SUCCESS)
    }
}
