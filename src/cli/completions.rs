//! `m3a3 completions`: shell completions on stdout.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::subcommand::{Launcher, Subcommand};
use super::{Cli, output};

const EXAMPLES: &str = "\
Examples:
  m3a3 completions bash > ~/.local/share/bash-completion/completions/m3a3
  m3a3 completions zsh > ~/.zfunc/_m3a3
  m3a3 completions fish > ~/.config/fish/completions/m3a3.fish";

/// Generate shell completions
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Completions {
    /// Shell to generate completions for
    shell: Shell,
}

impl Subcommand for Completions {
    fn run(self, _launcher: Launcher) -> anyhow::Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "m3a3", &mut script);
        output::print(&String::from_utf8(script)?)?;
        Ok(ExitCode::SUCCESS)
    }
}
