//! `m3a3 client`: the live leaderboard.
//!
//! The connection, the view and the signal handler run concurrently. The first to end stops the others.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum, ValueHint};
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::composition::server_address;
use super::subcommand::{Launcher, Subcommand};
use super::system::block_on;
use super::{help, output};
use crate::address_file;
use crate::client::{self, Address, EventQueue, Server};
use crate::config::Overrides;
use crate::lifecycle::Signals;
use crate::telemetry::{self, panic_message};

/// How long the view may take to close: a blocked stdout must not block the exit.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "\
Examples:
  m3a3 client                                     a live table; q, Esc or Ctrl-C quits
  m3a3 client --url https://game.example.org
  M3A3_AUTH__TOKEN=$TOKEN m3a3 client              where auth.public_board is false
  m3a3 client | jq -r '.leaderboard[0].username // empty'

Without a terminal it prints one JSON object per line. \"event\" is \"connected\", \"current_leaderboard\" (at the \
start of each connection), \"update_leaderboard\" (on every change) or \"disconnected\"; \"leaderboard\" holds the \
players. Fails if the server is unreachable at the start; reconnects without a limit later.";

/// Watch the leaderboard live
#[derive(Args)]
#[command(after_help = help::laid_out(EXAMPLES))]
pub(super) struct Client {
    /// URL of the game server [default: the one that runs on the same data, else localhost and game.port]
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    url: Option<Address>,
    /// Token of the server, needed where the board is not public [auth.token]; flags are visible to other users, so
    /// prefer M3A3_AUTH__TOKEN
    #[arg(long, value_name = "TOKEN", value_hint = ValueHint::Other)]
    token: Option<String>,
    /// Output format [default: table on a terminal, otherwise json]
    #[arg(long, value_enum)]
    format: Option<Format>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Live table; requires a terminal
    Table,
    /// One JSON object per event
    Json,
}

impl Subcommand for Client {
    fn override_config(&self, overrides: &mut Overrides) {
        if let Some(token) = &self.token {
            overrides.set("auth.token", token, "--token");
        }
    }

    fn run(self, launcher: Launcher) -> anyhow::Result<ExitCode> {
        let config = launcher.load_config()?;
        let is_terminal = io::stdout().is_terminal();
        let address = match self.url {
            Some(url) => url,
            None => {
                server_address::current(&config, address_file::Server::Game)?.parse().map_err(anyhow::Error::msg)?
            }
        };
        let token = config.auth.token.as_ref().map(|token| token.expose().to_owned());
        let server = Server { address, token };
        match (self.format, is_terminal) {
            (Some(Format::Table), false) => {
                output::print_error("--format table requires a terminal, and stdout is not one; use --format json");
                Ok(ExitCode::from(2))
            }
            (Some(Format::Table) | None, true) => {
                // No logging: log lines would overwrite the table.
                let address = server.address.clone();
                block_on(watch(server, move |feed, stop| client::show_table(address, feed, stop)))
            }
            (Some(Format::Json), _) | (None, false) => {
                telemetry::init(&config.log)?;
                block_on(watch(server, |feed, _| client::print_json_lines(feed, io::stdout())))
            }
        }
    }
}

/// Runs until the view ends, a signal arrives, or the connection fails.
async fn watch(
    server: Server,
    view: impl FnOnce(&EventQueue, &CancellationToken) -> io::Result<()> + Send + 'static,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::install()?;
    let (feed, stop) = (EventQueue::default(), CancellationToken::new());
    let connection = tokio::spawn({
        let (feed, stop) = (feed.clone(), stop.clone());
        async move {
            let _ends_the_view = stop.clone().drop_guard();
            client::stay_connected(server, feed, stop).await
        }
    });
    let viewing = spawn_blocking({
        let stop = stop.clone();
        move || {
            let _ends_the_connection = stop.clone().drop_guard();
            view(&feed, &stop)
        }
    });
    tokio::select! {
        () = stop.cancelled() => {}
        _ = signals.next() => stop.cancel(),
    }
    let (connected, viewed) = tokio::join!(connection, timeout(CLOSE_TIMEOUT, viewing));
    connected.map_err(|error| panicked("the connection", error))??;
    if let Ok(viewed) = viewed {
        viewed.map_err(|error| panicked("the view", error))?.context("cannot show the leaderboard")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn panicked(what: &str, error: JoinError) -> anyhow::Error {
    match error.try_into_panic() {
        Ok(payload) => anyhow!("{what} panicked: {}", panic_message(&*payload)),
        Err(error) => anyhow!(error).context(format!("{what} ended")),
    }
}
