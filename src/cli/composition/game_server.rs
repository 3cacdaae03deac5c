//! The game server: its listener, its routes, and the roles beside them.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::web;
use anyhow::Context;
use futures_util::FutureExt;

use super::access;
use super::certificates::{self, Setting};
use super::clients::{limits, proxies};
use super::job_policy;
use super::metrics::{certificate, limited_requests, redis_and_jobs};
use super::origins::{cors, site_guard};
use super::readiness;
use super::runtime::{Runtime, drain};
use crate::config::{self, Config};
use crate::db::Location;
use crate::http::draining::Draining;
use crate::http::health::{Check, Readiness};
use crate::http::limits::Purpose;
use crate::http::listener::Listener;
use crate::http::metrics::{self, Kind, Metrics, Sample};
use crate::http::openapi::{self, OpenApi};
use crate::http::{health, server};
use crate::jobs::{Runner, WakeSignal};
use crate::leaderboard::{self, Broadcast, Scoring, View};
use crate::lifecycle::Running;
use crate::orders::{self, Receiver, WebhookWorker};
use crate::socketio::{self, BrowserClient, Sockets};

/// Webhook deliveries at the same time, so that a receiver that hangs delays only some of them.
const MAX_CONCURRENT_WEBHOOKS: usize = 8;

/// The longest drain of HTTP requests at the shutdown. No handler takes longer than its Redis timeout; a request that
/// does belongs to a client that has stopped sending or reading.
const MAX_HTTP_DRAIN: Duration = Duration::from_secs(3);

/// Opens the game server's listener; a public address requires a token or `auth.allow_anonymous`. `hint` names the
/// flags that choose another address.
pub(crate) fn listen(config: &Config, hint: &str) -> anyhow::Result<Listener> {
    config.check_binding(config.game.host)?;
    let address = config.game.address();
    Listener::bind(address, config.serve.reuse_port)
        .with_context(|| format!("cannot listen on {address} (is another m3a3 running? {hint})"))
}

/// Starts the game server's roles, and returns the address that it listens on. `workers` wakes the workers of this
/// process for new orders.
pub(crate) fn start(
    runtime: &mut Runtime,
    config: &Config,
    listener: Listener,
    workers: WakeSignal,
) -> anyhow::Result<SocketAddr> {
    let address = listener.local_addr()?;
    let draining = runtime.draining(config);
    let sockets = Sockets::with_access(socketio::Settings::default(), access::readers(config, &runtime.auth));
    let board = start_leaderboard(runtime, config, sockets.clone(), &draining);
    let readiness = readiness(runtime, config, &board.scoring, &draining);
    let orders = start_orders(runtime, config, workers)?;
    let polled = sockets.clone();
    let browser_client = browser_client(config)?;
    let limits = limits(config, &[("/score", Purpose::Score), ("/place_order", Purpose::Order)]);
    let metrics = certificate(limited_requests(metrics(runtime, &board, &sockets), &limits), runtime.tls.as_ref());
    let admin_auth = access::admin(config, &runtime.auth);
    let description = OpenApi::new("m3a3 game server", None, [leaderboard::openapi(), orders::openapi()])?;
    let routes = move |services: &mut web::ServiceConfig| {
        services
            .configure(health::routes(readiness.clone()))
            .configure(metrics::routes(metrics.clone(), admin_auth.clone()))
            .configure(openapi::routes(description.clone()))
            .configure(leaderboard::routes(board.clone()))
            .configure(orders::routes(orders.clone()));
        polled.routes(services);
        browser_client.routes(services);
    };
    let drain = drain(config).min(MAX_HTTP_DRAIN);
    let cors = cors(config, &[leaderboard::FEED_PATH, socketio::PATH]);
    let settings = server::Settings {
        workers: config.game.workers,
        drain,
        access_log: config.log.requests,
        guard: site_guard(config, config.game.host, &cors, &[leaderboard::SEED_PATH, metrics::PATH]),
        cors,
        proxies: proxies(config),
        tokens: access::tokens(config),
        limits,
        draining,
        tls: runtime.tls.clone(),
    };
    let serving = server::start_with_websockets(listener, settings, routes, sockets)?;
    runtime.run_role(Running::spawn("game server", async { Ok(serving.await?) }));
    Ok(address)
}

fn browser_client(config: &Config) -> anyhow::Result<BrowserClient> {
    match &config.game.socketio_client {
        config::BrowserClient::None => Ok(BrowserClient::none()),
        config::BrowserClient::Redirect(url) => Ok(BrowserClient::redirect(url.clone())),
        config::BrowserClient::Folder(folder) => {
            BrowserClient::read(folder).context("game.socketio_client: cannot read the Socket.IO client")
        }
    }
}

/// The common checks, and whether Redis accepts scores.
fn readiness(runtime: &Runtime, config: &Config, scoring: &Scoring, draining: &Draining) -> Readiness {
    let scoring = scoring.clone();
    readiness::common(config, &runtime.database, &runtime.bus, draining).with("leaderboard", move || {
        let refused = |reason| format!("Redis refuses scores, which are sent again later: {reason}");
        let check = scoring.refusal().map_or(Check::Fine, |reason| Check::Degraded(refused(reason)));
        async { check }.boxed()
    })
}

fn metrics(runtime: &Runtime, board: &leaderboard::State, sockets: &Sockets) -> Metrics {
    let (feeds, sockets, board) = (board.feeds.clone(), sockets.clone(), board.clone());
    redis_and_jobs(&runtime.database, &runtime.bus)
        .with_value("m3a3_feeds", "Open leaderboard feeds", Kind::Gauge, move || feeds.open_count() as f64)
        .with_value("m3a3_sockets", "Connected sockets", Kind::Gauge, move || sockets.connected() as f64)
        .with("m3a3_players", "Players on the leaderboard", Kind::Gauge, move || {
            let board = board.clone();
            async move { board.players().await.ok().map(|players| Sample::from(players as f64)).into_iter().collect() }
                .boxed()
        })
}

/// Starts the roles behind the leaderboard's routes.
fn start_leaderboard(
    runtime: &mut Runtime,
    config: &Config,
    sockets: Sockets,
    draining: &Draining,
) -> leaderboard::State {
    let (database, bus) = (runtime.database.clone(), runtime.bus.clone());
    let (scoring, scores) = Scoring::new(database.clone(), &bus, config.limits.players);
    let interval = config.game.broadcast_interval;
    let view = View::new(&bus, database);
    let (broadcast, feeds) = Broadcast::new(&bus, view.clone(), scoring.clone(), interval, sockets);
    runtime.run_role(Running::spawn("scores", scores.run().map(Ok)));
    runtime.run_role(Running::spawn("broadcast", broadcast.run(draining.ended()).map(Ok)));
    leaderboard::State {
        scoring,
        view,
        feeds,
        auth: runtime.auth.clone(),
        admin_auth: access::admin(config, &runtime.auth),
        readers: access::readers(config, &runtime.auth),
    }
}

/// Starts the roles beside the order routes: the intake of orders from other programs and, if configured, the webhook.
fn start_orders(runtime: &mut Runtime, config: &Config, workers: WakeSignal) -> anyhow::Result<orders::State> {
    let receiver = Receiver::new(&config.webhook)?;
    let shutdown = runtime.shutdown.token();
    let deliveries = WakeSignal::new();
    let orders = runtime.orders(config, WakeSignal::all(&[deliveries.clone(), workers]));
    match receiver {
        None => tracing::info!("webhook.url is not set; purchases are not reported"),
        Some(receiver) => {
            certificates::report_missing(config, Setting::Webhook);
            let runner = Runner::new(
                runtime.database.clone(),
                WebhookWorker::new(runtime.database.clone(), receiver),
                job_policy::remote(config, config.webhook.time_limit),
                MAX_CONCURRENT_WEBHOOKS,
                job_policy::worker_lock(config)?,
                deliveries,
                shutdown.clone(),
            )
            .with_guard(job_policy::disk_guard(config, vec![Location::new(&config.database.path).folder().to_owned()]));
            runtime.run_role(Running::spawn("webhook", runner.run().map(Ok)));
        }
    }
    runtime.run_role(Running::spawn("order intake", orders::listen(orders.clone(), shutdown).map(Ok)));
    Ok(orders)
}
