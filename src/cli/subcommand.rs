//! The trait of all subcommands, and how they start.

use std::process::ExitCode;

use super::system::block_on;
use crate::config::{Config, ConfigError, Overrides};
use crate::telemetry;

/// A subcommand: arguments that clap has parsed, and the work they ask for.
pub(crate) trait Subcommand: Sized {
    /// Sets the configuration keys that the subcommand's own flags override.
    fn override_config(&self, _overrides: &mut Overrides) {}

    /// Runs the subcommand to its end.
    fn run(self, launcher: Launcher) -> anyhow::Result<ExitCode>;

    /// Applies the subcommand's flags to the configuration, and runs it.
    fn launch(self, mut overrides: Overrides) -> anyhow::Result<ExitCode> {
        self.override_config(&mut overrides);
        self.run(Launcher { overrides })
    }
}

/// Loads the configuration and sets up logging and the runtime, as far as a subcommand needs them.
pub(crate) struct Launcher {
    overrides: Overrides,
}

impl Launcher {
    /// Loads the configuration, without logging.
    pub(crate) fn load_config(&self) -> Result<Config, ConfigError> {
        Config::load(&self.overrides)
    }

    /// Loads the configuration and sets up logging.
    pub(crate) fn start_logging(&self) -> anyhow::Result<Config> {
        let config = self.load_config()?;
        telemetry::init(&config.log)?;
        Ok(config)
    }

    /// Loads the configuration, sets up logging, and runs `work` on an actix system.
    pub(crate) fn run(self, work: impl AsyncFnOnce(&Config) -> anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
        let config = self.start_logging()?;
        block_on(work(&config))
    }
}
