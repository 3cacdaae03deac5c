//! `m3a3 game-server`: the live leaderboard, and orders.

use std::net::SocketAddr;
use std::process::ExitCode;

use actix_web::web;
use anyhow::Context;
use clap::Args;
use futures_util::FutureExt;
use uuid::Uuid;

use super::output;
use super::process::{Process, drain};
use super::readiness::database_and_redis;
use crate::config::{Config, Overrides};
use crate::http::{Auth, health, server};
use crate::leaderboard::{self, Broadcast, Scoring};
use crate::lifecycle::Running;
use crate::socketio::Sockets;

const EXAMPLES: &str = "\
Examples:
  m3a3 game-server                                on 127.0.0.1:3011
  m3a3 game-server --port 8081
  M3A3_AUTH__TOKEN=secret m3a3 game-server --host 0.0.0.0

It prints `listening on URL` once it accepts connections. Start as many as you like on one database and one Redis: a
score that one accepts reaches the clients of all.";

/// Take scores and orders, push the leaderboard to everyone who watches
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct GameServer {
    /// The address to listen on [game.host]
    #[arg(long, value_name = "ADDRESS")]
    host: Option<String>,
    /// The port to listen on, 0 for a free one [game.port]
    #[arg(long, value_name = "PORT")]
    port: Option<String>,
}

impl GameServer {
    pub(super) fn add_to(&self, overrides: &mut Overrides) {
        for (key, value, flag) in [("game.host", &self.host, "--host"), ("game.port", &self.port, "--port")] {
            if let Some(value) = value {
                overrides.set(key, value, flag);
            }
        }
    }
}

pub(super) async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let listener = listen(config)?;
    let mut process = Process::open(config, None)?;
    let address = start(&mut process, config, listener)?;
    output::print(&format!("listening on http://{address}\n"))?;
    process.run().await?;
    Ok(ExitCode::SUCCESS)
}

/// Opens the game server's listener, if others may reach it at all.
pub(super) fn listen(config: &Config) -> anyhow::Result<std::net::TcpListener> {
    config.check_binding(config.game.host)?;
    let address = config.game.address();
    server::listen(address).with_context(|| format!("cannot listen on {address} (is another m3a3 running?)"))
}

/// Starts the game server's roles, and says where it listens.
pub(super) fn start(
    process: &mut Process,
    config: &Config,
    listener: std::net::TcpListener,
) -> anyhow::Result<SocketAddr> {
    let address = listener.local_addr()?;
    let shutdown = process.shutdown.token();
    let readiness = database_and_redis(&process.database, &process.bus);
    let sockets = Sockets::new();
    let board = start_leaderboard(process, config, sockets.clone());
    let polled = sockets.clone();
    let routes = move |services: &mut web::ServiceConfig| {
        services.app_data(web::Data::new(readiness.clone())).configure(health::routes);
        leaderboard::routes(&board, services);
        polled.routes(services);
    };
    let settings = server::Settings { workers: config.game.workers, drain: drain(config) };
    let serving = server::start_with_websockets(listener, settings, shutdown, routes, sockets)?;
    process.run_role(Running::spawn("game server", async { Ok(serving.await?) }));
    Ok(address)
}

/// Starts the tasks behind the leaderboard's routes.
fn start_leaderboard(process: &mut Process, config: &Config, sockets: Sockets) -> leaderboard::Api {
    let (database, bus) = (process.database.clone(), process.bus.clone());
    let shutdown = process.shutdown.token();
    let owner = Uuid::now_v7().to_string();
    let (scoring, scores) = Scoring::new(database, &bus, owner);
    let (broadcast, audience) = Broadcast::new(&bus, scoring.clone(), config.game.broadcast_interval, sockets);
    process.run_role(Running::spawn("scores", scores.run().map(Ok)));
    process.run_role(Running::spawn("broadcast", broadcast.run(shutdown.clone()).map(Ok)));
    let auth = Auth::new(config.auth.token.as_ref().map(|token| token.expose()));
    leaderboard::Api { scoring, bus, audience, auth, shutdown }
}
