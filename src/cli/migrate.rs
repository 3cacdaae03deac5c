//! `m3a3 migrate`: bring the database's schema up to date.

use std::process::ExitCode;

use clap::Args;

use super::output;
use super::subcommand::{Launcher, Subcommand};
use crate::db::{Location, migrate};

const EXAMPLES: &str = "\
Examples:
  m3a3 migrate
  m3a3 migrate --database-url file:./dev.db

Every server and worker does this at its start; run it by itself to see it done before. A users table of the service
that m3a3 replaces is taken over with all its rows.";

/// Bring the database's schema up to date
#[derive(Args)]
#[command(after_help = EXAMPLES)]
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
