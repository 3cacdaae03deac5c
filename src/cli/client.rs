//! `m3a3 client`: the leaderboard, live.
//!
//! Three things run side by side: the connection, what shows it, and the wait for a signal. The first that ends asks the
//! others to.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::output;
use super::subcommand::{Launcher, Subcommand};
use super::system::block_on;
use crate::client::{self, Address, Feed};
use crate::lifecycle::Signals;
use crate::telemetry::{self, panic_message};

/// How long what is being shown may take to end: a reader that has stopped reading holds nobody up.
const CLOSING: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "\
Examples:
  m3a3 client                                     a live table; q, Esc or Ctrl-C quits
  m3a3 client --url https://game.example.org
  m3a3 client | jq -r '.leaderboard[0].username // empty'

Without a terminal it prints one JSON object a line: \"connected\", \"current_leaderboard\" (at the
start of each connection), \"update_leaderboard\" (on every change) and \"disconnected\" as \"event\",
the players as \"leaderboard\". A server that cannot be reached at the start is an error; one that goes
away later is waited for, however long it takes.";

/// Watch the leaderboard live
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Client {
    /// The game server's address
    #[arg(long, value_name = "URL", default_value = "http://localhost:3011")]
    url: Address,
    /// The form of the output [default: table on a terminal, else json]
    #[arg(long, value_enum)]
    format: Option<Format>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// A live table; needs a terminal
    Table,
    /// A line for each event
    Json,
}

impl Subcommand for Client {
    fn run(self, launcher: Launcher) -> anyhow::Result<ExitCode> {
        let config = launcher.load_config()?;
        let is_terminal = io::stdout().is_terminal();
        match (self.format, is_terminal) {
            (Some(Format::Table), false) => {
                output::complain("--format table needs a terminal, and stdout is none; try --format json");
                Ok(ExitCode::from(2))
            }
            (Some(Format::Table) | None, true) => {
                // Logs would be drawn over the table, so there are none.
                let address = self.url.clone();
                block_on(watch(self.url, move |feed, stop| client::show(address, feed, stop)))
            }
            (Some(Format::Json), _) | (None, false) => {
                telemetry::init(&config.log)?;
                block_on(watch(self.url, |feed, _| client::print(feed, io::stdout())))
            }
        }
    }
}

/// Runs until the view ends, until a signal, or until there is no server to watch.
async fn watch(
    address: Address,
    view: impl FnOnce(&Feed, &CancellationToken) -> io::Result<()> + Send + 'static,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::install()?;
    let (feed, stop) = (Feed::default(), CancellationToken::new());
    let connection = tokio::spawn({
        let (feed, stop) = (feed.clone(), stop.clone());
        async move {
            let _ends_the_view = stop.clone().drop_guard();
            client::keep(address, feed, stop).await
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
    let (connected, viewed) = tokio::join!(connection, timeout(CLOSING, viewing));
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
