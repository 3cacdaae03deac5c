//! `m3a3 completions`: shell completions on stdout.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::subcommand::{Launcher, Subcommand};
use super::{Cli, help, output};

const EXAMPLES: &str = "\
Examples:
  m3a3 completions bash > ~/.local/share/bash-completion/completions/m3a3
  m3a3 completions zsh > ~/.zfunc/_m3a3
  m3a3 completions fish > ~/.config/fish/completions/m3a3.fish";

/// Generate shell completions
#[derive(Args)]
#[command(after_help = help::laid_out(EXAMPLES))]
pub(super) struct Completions {
    /// Shell to generate completions for
    shell: Shell,
}

impl Subcommand for Completions {
    fn run(self, _launcher: Launcher) -> anyhow::Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "m3a3", &mut script);
        let mut script = String::from_utf8(script)?;
        if self.shell == Shell::Bash {
            script = complete_uploads(&script);
        }
        output::print(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Completes the files of `m3a3 upload`: clap completes only its flags, even after a space.
fn complete_uploads(script: &str) -> String {
    const FILES: &str = "
            if [[ ${cur} != -* && ( ${prev} != --* || ${prev} == --wait ) ]] ; then
                compopt -o filenames 2>/dev/null
                local IFS=$'\\n'
                COMPREPLY=( $(compgen -f -- \"${cur}\") )
                return 0
            fi";
    let block = |line: &str| line.trim() == "m3a3__subcmd__upload)";
    script.lines().map(|line| format!("{line}{}\n", if block(line) { FILES } else { "" })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_completed_in_one_block_of_the_script() {
        let mut script = Vec::new();
        clap_complete::generate(Shell::Bash, &mut Cli::command(), "m3a3", &mut script);
        let script = complete_uploads(&String::from_utf8(script).unwrap());
        assert_eq!(script.matches("local IFS=$'\\n'").count(), 1);
    }
}
