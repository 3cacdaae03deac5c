//! `m3a3 worker`: runs background jobs.

use std::process::ExitCode;

use clap::{Args, ValueEnum, ValueHint};

use super::composition::runtime::Runtime;
use super::composition::workers::{self, Kind};
use super::subcommand::{Launcher, Subcommand};
use super::{help, output};
use crate::config::{Config, Overrides};

const EXAMPLES: &str = "\
Examples:
  m3a3 worker thumbnail
  m3a3 worker thumbnail --concurrency 4
  m3a3 worker all
  m3a3 worker warehouse --once              run the due jobs and exit, for cron

Any number of workers can share one database and image root. When a worker is killed, another worker, or the next \
one to start, takes over its jobs. Jobs that are enqueued while no worker runs wait for the next one.";

/// Run background jobs
#[derive(Args)]
#[command(after_help = help::laid_out(EXAMPLES))]
pub(super) struct Worker {
    /// Kind of jobs to run
    #[arg(value_enum, value_name = "NAME")]
    name: Name,
    /// Number of concurrent jobs, 0 for one per core [images.concurrency, warehouse.concurrency,
    /// email.concurrency]
    #[arg(long, value_name = "N", value_hint = ValueHint::Other)]
    concurrency: Option<String>,
    /// Run the due jobs, then exit; retries that are due later are left for the next run
    #[arg(long)]
    once: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Create thumbnails
    Thumbnail,
    /// Store images as assets, fulfil orders
    Warehouse,
    /// Send mail about images and orders
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
            workers::start_once(&mut runtime, config, &images, &kinds).await?;
        } else {
            let started = workers::start(&mut runtime, config, &images, &kinds).await?;
            workers::start_intake(&mut runtime, config, images, &started.wake, &kinds);
            runtime.start_pruning(config);
            output::print(&started.ready)?;
        }
        runtime.run().await?;
        Ok(ExitCode::SUCCESS)
    }
}
