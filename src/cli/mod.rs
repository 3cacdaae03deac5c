//! The command line: one file per subcommand, each the composition root of what it starts.
//!
//! Consumes the arguments and the configuration. Results go to stdout, everything else to stderr. Exit codes: 0 fine,
//! 1 failed, 2 usage or configuration.

mod audit;
#[cfg(feature = "client")]
mod client;
mod completions;
mod composition;
mod config;
mod doctor;
mod game_server;
mod jobs;
mod leaderboard;
mod migrate;
mod output;
mod remote;
mod serve;
mod status;
mod subcommand;
mod system;
mod up;
mod upload;
mod warehouse;
mod worker;

use std::process::ExitCode;

use clap::{Args, Parser};

use self::subcommand::Subcommand;
use crate::config::{ConfigError, Overrides};

const EXAMPLES: &str = "\
Examples:
  m3a3 up                                   everything in one process, nothing to install
  m3a3 serve                                the API server alone
  m3a3 game-server                          the leaderboard and orders alone
  m3a3 worker thumbnail                     a worker alone; start as many as you like
  m3a3 worker all                           every worker in one process
  m3a3 upload photo.jpg --user 1 --wait     upload a picture, print where its thumbnail is
  m3a3 status 1                             what became of user 1's picture
  m3a3 client                               the leaderboard, live
  m3a3 jobs list --state dead               what was given up, and why
  m3a3 leaderboard refill                   send every score to Redis again
  m3a3 warehouse report                     what the warehouse holds
  m3a3 doctor                               is everything well, and what to do if not
  m3a3 audit                                list missing rows, files and scores
  m3a3 config show                          every setting, and where it came from
  m3a3 completions bash > m3a3.bash         completions for a shell

Settings come from config/{M3A3_ENV}.toml, .env, the environment (M3A3_SERVE__PORT=8080 sets
serve.port) and flags; the later wins. Exit codes: 0 fine, 1 failed, 2 usage or configuration.";

/// The examples, without those of a subcommand that this binary was built without.
fn examples() -> String {
    let lines = EXAMPLES.lines().filter(|line| cfg!(feature = "client") || !line.contains("m3a3 client"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Pictures in, thumbnails out, leaderboards live: one binary that does the jobs and loses none.
#[derive(Parser)]
#[command(name = "m3a3", version, after_help = examples(), max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Up(up::Up),
    Serve(serve::Serve),
    GameServer(game_server::GameServer),
    Worker(worker::Worker),
    Upload(upload::Upload),
    Status(status::Status),
    #[cfg(feature = "client")]
    Client(client::Client),
    #[command(subcommand)]
    Jobs(jobs::Jobs),
    #[command(subcommand)]
    Leaderboard(leaderboard::Leaderboard),
    #[command(subcommand)]
    Warehouse(warehouse::Warehouse),
    Doctor(doctor::Doctor),
    Audit(audit::Audit),
    #[command(subcommand)]
    Config(config::ConfigCommand),
    Migrate(migrate::Migrate),
    Completions(completions::Completions),
}

/// Flags that set configuration, for every subcommand.
#[derive(Args)]
#[command(next_help_heading = "Configuration")]
struct Settings {
    /// The SQLite file [database.url]
    #[arg(long, global = true, value_name = "PATH")]
    database_url: Option<String>,
    /// Where Redis is [redis.url]
    #[arg(long, global = true, value_name = "URL")]
    redis_url: Option<String>,
    /// What is logged: error, warn, info, debug, trace, off, also per module [log.level]
    #[arg(long, global = true, value_name = "FILTER")]
    log_level: Option<String>,
    /// "text" or "json" [log.format]
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Any other key, such as serve.port=8080; may be given several times
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
}

fn key_and_value(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, such as serve.port=8080")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

impl Settings {
    fn overrides(&self) -> Overrides {
        let mut overrides = Overrides::default();
        for (key, value) in &self.set {
            overrides.set(key, value, "--set");
        }
        for (key, value, flag) in [
            ("database.url", &self.database_url, "--database-url"),
            ("redis.url", &self.redis_url, "--redis-url"),
            ("log.level", &self.log_level, "--log-level"),
            ("log.format", &self.log_format, "--log-format"),
        ] {
            if let Some(value) = value {
                overrides.set(key, value, flag);
            }
        }
        overrides
    }
}

impl Cli {
    /// Does what the command line asks, and says on stderr, in one line, why that failed.
    pub fn run(self) -> ExitCode {
        self.dispatch().unwrap_or_else(|error| {
            output::complain(&output::chain(&error));
            let configuration = error.chain().any(|cause| cause.is::<ConfigError>());
            ExitCode::from(if configuration { 2 } else { 1 })
        })
    }

    fn dispatch(self) -> anyhow::Result<ExitCode> {
        let overrides = self.settings.overrides();
        match self.command {
            Command::Up(command) => command.launch(overrides),
            Command::Serve(command) => command.launch(overrides),
            Command::GameServer(command) => command.launch(overrides),
            Command::Worker(command) => command.launch(overrides),
            Command::Upload(command) => command.launch(overrides),
            Command::Status(command) => command.launch(overrides),
            #[cfg(feature = "client")]
            Command::Client(command) => command.launch(overrides),
            Command::Jobs(command) => command.launch(overrides),
            Command::Leaderboard(command) => command.launch(overrides),
            Command::Warehouse(command) => command.launch(overrides),
            Command::Doctor(command) => command.launch(overrides),
            Command::Audit(command) => command.launch(overrides),
            Command::Config(command) => command.launch(overrides),
            Command::Migrate(command) => command.launch(overrides),
            Command::Completions(command) => command.launch(overrides),
        }
    }
}
