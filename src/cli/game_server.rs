//! `m3a3 game-server`: the live leaderboard and orders.

use std::process::ExitCode;

use clap::{Args, ValueHint};

use super::composition::runtime::Runtime;
use super::composition::{game_server, server_address};
use super::subcommand::{Launcher, Subcommand};
use super::{help, output};
use crate::address_file::Server;
use crate::config::{Config, Overrides};
use crate::jobs::WakeSignal;

const EXAMPLES: &str = "\
Examples:
  m3a3 game-server                                on 127.0.0.1:3011
  m3a3 game-server --port 8081
  M3A3_AUTH__TOKEN=a-long-random-token m3a3 game-server --host 0.0.0.0
  M3A3_WEBHOOK__URL=https://shop.example/hooks m3a3 game-server

Prints `listening on URL` once it accepts connections. Any number of game servers can share one database and one \
Redis: a score that one of them accepts reaches the clients of all.";

/// Run the game server: scores, live leaderboard, orders
#[derive(Args)]
#[command(after_help = help::laid_out(EXAMPLES))]
pub(super) struct GameServer {
    /// Address to listen on [game.host]
    #[arg(long, value_name = "ADDRESS", value_hint = ValueHint::Hostname)]
    host: Option<String>,
    /// Port to listen on, 0 for any free port [game.port]
    #[arg(long, value_name = "PORT", value_hint = ValueHint::Other)]
    port: Option<String>,
}

impl Subcommand for GameServer {
    fn override_config(&self, overrides: &mut Overrides) {
        for (key, value, flag) in [("game.host", &self.host, "--host"), ("game.port", &self.port, "--port")] {
            if let Some(value) = value {
                overrides.set(key, value, flag);
            }
        }
    }

    fn run(self, launcher: Launcher) -> anyhow::Result<ExitCode> {
        launcher.run(serve)
    }
}

async fn serve(config: &Config) -> anyhow::Result<ExitCode> {
    let listener = game_server::listen(config, "--port and --host choose another address")?;
    let mut runtime = Runtime::open(config, None)?;
    runtime.open_access(config)?;
    runtime.open_tls(config)?;
    let address = game_server::start(&mut runtime, config, listener, WakeSignal::all(&[]))?;
    runtime.try_redis().await;
    let _address = server_address::publish(config, Server::Game, address);
    output::print(&format!("listening on {}\n", server_address::listener_url(config, address)))?;
    runtime.run().await?;
    Ok(ExitCode::SUCCESS)
}
