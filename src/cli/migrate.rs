//! `m3a3 migrate`: updates the database schema.

use std::process::ExitCode;

use clap::Args;

use super::subcommand::{Launcher, Subcommand};
use super::{help, output};
use crate::db::{Location, migrate};

const EXAMPLES: &str = "\
Examples:
  m3a3 migrate
  m3a3 migrate --database-url file:./dev.db

Every server and worker does this at its start. An existing users table of the replaced Node service is kept with \
all its rows.";

/// Update the database schema
#[derive(Args)]
#[command(after_help = help::laid_out(EXAMPLES))]
pub(super) struct Migrate {}

impl Subcommand for Migrate {
    fn run(self, launcher: Launcher) -> anyhow::Result<ExitCode> {
        let config = launcher.start_logging()?;
        let location = Location::new(&config.database.path);
        let migrated = migrate(&location)?;
        let lines: String = migrated.applied.iter().map(|name| format!("applied {name}\n")).collect();
        let summary = format!("{} is up to date\n", location.path().display());
        output::print(&(lines + &summary))?;
        Ok(ExitCode::SUCCESS)
    }
}
