//! The command line: one file per subcommand.
//!
//! Consumes the arguments and the configuration. Results are printed to stdout, everything else to stderr. Exit codes:
//! 0 success, 1 failure, 2 usage or configuration error. Owns no table, and publishes only what an operator's command
//! causes. Never contains the logic of a domain: it starts domains and prints their results.
//!
//! - `subcommand`, `system`: the trait of all subcommands, the runtime
//! - `composition`: the servers, workers and resources that subcommands are built from
//! - `remote`: requests to an API server
//! - `arguments`, `help`: values that shells complete, examples below the help
//! - `output`: results, errors and tables

mod arguments;
mod audit;
#[cfg(feature = "client")]
mod client;
mod completions;
mod composition;
mod config;
mod doctor;
mod game_server;
mod healthcheck;
mod help;
mod jobs;
mod leaderboard;
mod migrate;
mod output;
mod remote;
mod serve;
mod status;
mod subcommand;
mod system;
mod token;
mod up;
mod upload;
mod warehouse;
mod worker;

use std::process::ExitCode;

use clap::{Args, Parser, ValueHint};

use self::arguments::{LOG_FORMATS, LOG_LEVELS};
use self::subcommand::Subcommand;
use crate::config::{ConfigError, Overrides};

const EXAMPLES: &str = "\
Examples:
  m3a3 up                                   run everything in one process
  m3a3 serve                                run the API server
  m3a3 game-server                          run the leaderboard and orders
  m3a3 worker thumbnail                     run one worker; start as many as needed
  m3a3 worker all                           run every worker in one process
  m3a3 upload photo.jpg --user 1 --wait     upload an image, print its thumbnail's URL
  m3a3 status 1                             print the thumbnail status of user 1
  m3a3 client                               watch the leaderboard
  m3a3 jobs list --state dead               list dead jobs and their errors
  m3a3 leaderboard refill                   send every score to Redis again
  m3a3 warehouse report                     print totals of the warehouse
  m3a3 healthcheck                          exit with 0 if the API server is ready
  m3a3 doctor                               find problems and how to fix them
  m3a3 audit                                list missing rows, files and scores
  m3a3 config show                          print every setting and its origin
  m3a3 token generate                       print a random token for auth.token
  m3a3 token mint --user 7                  print a token of user 7
  m3a3 completions bash > m3a3.bash         generate shell completions

Settings are read from config/{M3A3_ENV}.toml, .env, the environment (M3A3_SERVE__PORT=8080 sets serve.port) and \
flags; later ones override earlier ones.
Exit codes: 0 success, 1 failure, 2 usage or configuration error.";

/// The examples, without those of a subcommand that this build does not include.
fn examples() -> String {
    let lines = EXAMPLES.lines().filter(|line| cfg!(feature = "client") || !line.contains("m3a3 client"));
    help::laid_out(&lines.collect::<Vec<_>>().join("\n"))
}

/// Image uploads, thumbnails, leaderboards and orders, with durable background jobs
#[derive(Parser)]
#[command(name = "m3a3", version, after_help = examples(), max_term_width = help::MAX_WIDTH)]
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
    Healthcheck(healthcheck::Healthcheck),
    Doctor(doctor::Doctor),
    Audit(audit::Audit),
    #[command(subcommand)]
    Config(config::ConfigCommand),
    #[command(subcommand)]
    Token(token::TokenCommand),
    Migrate(migrate::Migrate),
    Completions(completions::Completions),
}

/// Flags of every subcommand that override the configuration.
#[derive(Args)]
#[command(next_help_heading = "Configuration")]
struct Settings {
    /// SQLite file [database.url]
    #[arg(long, global = true, value_name = "PATH", value_hint = ValueHint::FilePath)]
    database_url: Option<String>,
    /// URL of Redis [redis.url]
    #[arg(long, global = true, value_name = "URL", value_hint = ValueHint::Url)]
    redis_url: Option<String>,
    /// Log level, also per module, such as info,m3a3::jobs=debug [log.level]
    #[arg(long, global = true, value_name = "FILTER", value_parser = LOG_LEVELS)]
    log_level: Option<String>,
    /// Log format [log.format]
    #[arg(long, global = true, value_name = "FORMAT", value_parser = LOG_FORMATS)]
    log_format: Option<String>,
    /// Set any key, such as serve.port=8080; can be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE", value_hint = ValueHint::Other, value_parser = key_and_value)]
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
    /// Runs the subcommand; prints an error as one line to stderr.
    pub fn run(self) -> ExitCode {
        self.dispatch().unwrap_or_else(|error| {
            output::print_error(&output::chain(&error));
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
            Command::Healthcheck(command) => command.launch(overrides),
            Command::Doctor(command) => command.launch(overrides),
            Command::Audit(command) => command.launch(overrides),
            Command::Config(command) => command.launch(overrides),
            Command::Token(command) => command.launch(overrides),
            Command::Migrate(command) => command.launch(overrides),
            Command::Completions(command) => command.launch(overrides),
        }
    }
}
