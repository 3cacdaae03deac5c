//! `m3a3 token generate`: a token for the configuration.

use std::process::ExitCode;

use clap::Args;

use super::subcommand::{Launcher, Subcommand};
use super::{help, output};

/// As many as a SHA-256 has, so that guessing is no easier than finding a preimage.
const TOKEN_BYTES: usize = 32;

/// Generate tokens
#[derive(clap::Subcommand)]
pub(super) enum TokenCommand {
    Generate(Generate),
}

const EXAMPLES: &str = "\
Examples:
  m3a3 token generate
  (umask 077 && echo \"M3A3_AUTH__TOKEN=$(m3a3 token generate)\" > .env)

The token has 256 random bits, as 64 digits of 0-9 and a-f. Nothing is stored.";

/// Print a random token for auth.token or auth.admin_token
#[derive(Args)]
#[command(after_help = help::laid_out(EXAMPLES))]
pub(super) struct Generate {}

impl Subcommand for TokenCommand {
    fn run(self, _launcher: Launcher) -> anyhow::Result<ExitCode> {
        let Self::Generate(Generate {}) = self;
        let token: String = rand::random::<[u8; TOKEN_BYTES]>().iter().map(|byte| format!("{byte:02x}")).collect();
        output::print(&format!("{token}\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}
