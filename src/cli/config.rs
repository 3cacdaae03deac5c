//! `m3a3 config show`: the effective configuration.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::subcommand::{Launcher, Subcommand};
use super::{help, output};

/// Show the configuration
#[derive(clap::Subcommand)]
pub(super) enum ConfigCommand {
    Show(Show),
}

const EXAMPLES: &str = "\
Examples:
  m3a3 config show
  M3A3_ENV=production m3a3 config show --format json
  m3a3 config show --set serve.port=8080";

/// Print every setting and its origin, with secrets hidden
#[derive(Args)]
#[command(after_help = help::laid_out(EXAMPLES))]
pub(super) struct Show {
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Toml)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// TOML with the origins as comments
    Toml,
    /// JSON: {section: {key: {"value", "origin"}}}
    Json,
}

impl Subcommand for ConfigCommand {
    fn run(self, launcher: Launcher) -> anyhow::Result<ExitCode> {
        let Self::Show(show) = self;
        let config = launcher.load_config()?;
        match show.format {
            Format::Toml => output::print(&config.to_toml())?,
            Format::Json => output::print(&format!("{:#}\n", config.to_json()))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
