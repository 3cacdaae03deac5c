//! `m3a3 audit`: lists missing rows, files and scores.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use super::composition::data_access::{with_database, with_redis};
use super::help;
use super::output;
use super::output::table::table;
use super::subcommand::{Launcher, Subcommand};
use crate::audit::{self, Report, Sources};
use crate::config::Config;
use crate::db::{Location, is_up_to_date};
use crate::files::Inventory;

const EXAMPLES: &str = "\
Examples:
  m3a3 audit
  m3a3 audit --format json

Compares images with their files and thumbnails, files with their rows, jobs with their images and orders, and the \
scores in the database with the board in Redis. Changes nothing and reads in small batches, so it can run at any \
time, also beside running servers and workers.
Exit codes: 0 nothing is missing, 1 something is missing, 2 usage or configuration error.";

/// List missing rows, files and scores
#[derive(Args)]
#[command(after_help = help::laid_out(EXAMPLES))]
pub(super) struct Audit {
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned columns and a summary
    Table,
    /// JSON with every field
    Json,
}

impl Subcommand for Audit {
    fn run(self, launcher: Launcher) -> anyhow::Result<ExitCode> {
        launcher.run(async move |config| self.audit(config).await)
    }
}

impl Audit {
    async fn audit(&self, config: &Config) -> anyhow::Result<ExitCode> {
        let inventory = Inventory::open(&config.images.root)
            .with_context(|| format!("cannot read the image root {}", config.images.root.display()))?;
        let location = Location::new(&config.database.path);
        if location.path().exists() && !is_up_to_date(&location)? {
            bail!(
                "{} has the schema of another version of m3a3; use that version, or run `m3a3 migrate`",
                location.path().display()
            );
        }
        let report = with_database(config, async |database| {
            with_redis(config, async |bus| {
                let sources = Sources { database, inventory, bus, keep_jobs: config.jobs.keep, share: 1.0 };
                Ok(audit::audit(&sources).await?)
            })
            .await
        })
        .await?;
        output::print(&match self.format {
            Format::Json => format!("{}\n", serde_json::to_string_pretty(&report)?),
            Format::Table => described(&report),
        })?;
        Ok(if report.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn described(report: &Report) -> String {
    let mut text = String::new();
    if !report.missing.is_empty() {
        let row =
            |missing: &audit::Missing| [missing.check.name().to_owned(), missing.of.clone(), missing.detail.clone()];
        text = table(["MISSING", "OF", "DETAIL"], &report.missing.iter().map(row).collect::<Vec<_>>());
        text.push('\n');
    }
    let checked = &report.checked;
    text.push_str(&format!(
        "compared: {} images, {} thumbnails, {} jobs, {} orders, {} files, {} players\n",
        checked.images, checked.thumbnails, checked.jobs, checked.orders, checked.files, checked.players
    ));
    for reason in &report.not_compared {
        text.push_str(&format!("not compared: {reason}\n"));
    }
    let leftovers = &report.leftovers;
    if leftovers.originals + leftovers.thumbnails > 0 {
        text.push_str(&format!(
            "left over by interrupted uploads and jobs: {} originals, {} thumbnails\n",
            leftovers.originals, leftovers.thumbnails
        ));
    }
    text.push_str(&format!("missing: {}\n", report.missing_count));
    text
}
