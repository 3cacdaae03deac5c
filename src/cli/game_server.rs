//! `m3a3 game-server`: the live leaderboard, and orders.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use actix_web::web;
use anyhow::Context;
use clap::Args;
use futures_util::FutureExt;

use super::composition::metrics::{admin_auth, redis_and_jobs};
use super::composition::readiness;
use super::composition::runtime::{Runtime, auth, disk_guard, drain, patient_job_policy, worker_lock};
use super::output;
use crate::config::{Config, Overrides};
use crate::db::Location;
use crate::http::health::{Check, Readiness};
use crate::http::metrics::{self, Kind, Metrics, Sample};
use crate::http::openapi::{self, OpenApi};
use crate::http::{Auth, health, server};
use crate::jobs::{Runner, WakeSignal};
use crate::leaderboard::{self, Broadcast, Scoring};
use crate::lifecycle::Running;
use crate::orders::{self, Receiver, WebhookWorker};
use crate::socketio::Sockets;

/// How many purchases are reported side by side: a receiver that hangs at one of them delays no other.
const WEBHOOKS_AT_ONCE: usize = 8;

/// How long requests may take to end at the shutdown. None takes longer by itself than Redis is waited for; what does is of
/// a client that sends or reads no more.
const HTTP_DRAIN: Duration = Duration::from_secs(3);

const EXAMPLES: &str = "\
Examples:
  m3a3 game-server                                on 127.0.0.1:3011
  m3a3 game-server --port 8081
  M3A3_AUTH__TOKEN=secret m3a3 game-server --host 0.0.0.0
  M3A3_WEBHOOK__URL=https://shop.example/hooks m3a3 game-server

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
    let mut runtime = Runtime::open(config, None)?;
    let address = start(&mut runtime, config, listener, WakeSignal::all(&[]))?;
    runtime.try_redis().await;
    output::print(&format!("listening on http://{address}\n"))?;
    runtime.run().await?;
    Ok(ExitCode::SUCCESS)
}

/// Opens the game server's listener, if others may reach it at all.
pub(super) fn listen(config: &Config) -> anyhow::Result<std::net::TcpListener> {
    config.check_binding(config.game.host)?;
    let address = config.game.address();
    server::listen(address).with_context(|| format!("cannot listen on {address} (is another m3a3 running?)"))
}

/// Starts the game server's roles, and says where it listens. `workers` wakes those who wait for orders in this process.
pub(super) fn start(
    runtime: &mut Runtime,
    config: &Config,
    listener: std::net::TcpListener,
    workers: WakeSignal,
) -> anyhow::Result<SocketAddr> {
    let address = listener.local_addr()?;
    let shutdown = runtime.shutdown.token();
    let sockets = Sockets::new();
    let board = start_leaderboard(runtime, config, auth(config), sockets.clone());
    let readiness = readiness(runtime, config, &board.scoring);
    let orders = start_orders(runtime, config, workers)?;
    let polled = sockets.clone();
    let metrics = metrics(runtime, &board, &sockets);
    let admin_auth = admin_auth(config);
    let description = OpenApi::new("m3a3 game server", &[leaderboard::OPENAPI, orders::OPENAPI])?;
    let routes = move |services: &mut web::ServiceConfig| {
        services
            .configure(health::routes(readiness.clone()))
            .configure(metrics::routes(metrics.clone(), admin_auth.clone()))
            .configure(openapi::routes(description.clone()))
            .configure(orders::routes(orders.clone()));
        leaderboard::routes(&board, services);
        polled.routes(services);
    };
    let drain = drain(config).min(HTTP_DRAIN);
    let settings = server::Settings { workers: config.game.workers, drain };
    let serving = server::start_with_websockets(listener, settings, shutdown, routes, sockets)?;
    runtime.run_role(Running::spawn("game server", async { Ok(serving.await?) }));
    Ok(address)
}

/// Whether the database answers, Redis is there, and takes scores.
fn readiness(runtime: &Runtime, config: &Config, scoring: &Scoring) -> Readiness {
    let scoring = scoring.clone();
    readiness::common(config, &runtime.database, &runtime.bus).with("leaderboard", move || {
        let refused = |reason| format!("Redis refuses scores, which reach it later: {reason}");
        let check = scoring.refusal().map_or(Check::Fine, |reason| Check::Degraded(refused(reason)));
        async { check }.boxed()
    })
}

fn metrics(runtime: &Runtime, board: &leaderboard::Api, sockets: &Sockets) -> Metrics {
    let (audience, sockets, board) = (board.audience.clone(), sockets.clone(), board.clone());
    redis_and_jobs(&runtime.database, &runtime.bus)
        .with_value("m3a3_feeds", "Open leaderboard feeds", Kind::Gauge, move || audience.feeds() as f64)
        .with_value("m3a3_sockets", "Connected sockets", Kind::Gauge, move || sockets.connected() as f64)
        .with("m3a3_players", "Players on the leaderboard", Kind::Gauge, move || {
            let board = board.clone();
            async move { board.players().await.ok().map(|players| Sample::from(players as f64)).into_iter().collect() }
                .boxed()
        })
}

/// Starts the tasks behind the leaderboard's routes.
fn start_leaderboard(runtime: &mut Runtime, config: &Config, auth: Auth, sockets: Sockets) -> leaderboard::Api {
    let (database, bus) = (runtime.database.clone(), runtime.bus.clone());
    let shutdown = runtime.shutdown.token();
    let (scoring, scores) = Scoring::new(database.clone(), &bus);
    let interval = config.game.broadcast_interval;
    let (broadcast, audience) = Broadcast::new(&bus, database.clone(), scoring.clone(), interval, sockets);
    runtime.run_role(Running::spawn("scores", scores.run().map(Ok)));
    runtime.run_role(Running::spawn("broadcast", broadcast.run(shutdown.clone()).map(Ok)));
    leaderboard::Api { scoring, bus, database, audience, auth, shutdown }
}

/// Starts what orders need beside their routes: the intake of other programs' orders and, where there is a webhook, its
/// job.
fn start_orders(runtime: &mut Runtime, config: &Config, workers: WakeSignal) -> anyhow::Result<orders::State> {
    let receiver = Receiver::new(&config.webhook)?;
    let shutdown = runtime.shutdown.token();
    let deliveries = WakeSignal::new();
    let orders = runtime.orders(config, WakeSignal::all(&[deliveries.clone(), workers]));
    match receiver {
        None => tracing::info!("webhook.url is not set: purchases are reported to nobody"),
        Some(receiver) => {
            let runner = Runner::new(
                runtime.database.clone(),
                WebhookWorker::new(runtime.database.clone(), receiver),
                patient_job_policy(config, config.webhook.time_limit),
                WEBHOOKS_AT_ONCE,
                worker_lock(config)?,
                deliveries,
                shutdown.clone(),
            )
            .with_guard(disk_guard(config, vec![Location::new(&config.database.path).folder().to_owned()]));
            runtime.run_role(Running::spawn("webhook", runner.run().map(Ok)));
        }
    }
    runtime.run_role(Running::spawn("order intake", orders::listen(orders.clone(), shutdown).map(Ok)));
    Ok(orders)
}
