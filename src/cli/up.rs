//! `m3a3 up`: all servers and workers in one process, without external services.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Args, ValueHint};

use super::composition::embedded_redis::EmbeddedRedis;
use super::composition::runtime::Runtime;
use super::composition::workers::{self, Kind};
use super::composition::{api_server, game_server, server_address};
use super::serve::Address;
use super::subcommand::{Launcher, Subcommand};
use super::{help, output};
use crate::address_file::Server;
use crate::config::{Config, Overrides};
use crate::events::Finished;

const EXAMPLES: &str = "\
Examples:
  m3a3 up
  m3a3 up --port 8080
  m3a3 up --redis-url redis://127.0.0.1:6379

Without a configured Redis it runs an embedded broker, for this process and for other m3a3 commands on the same \
data. The broker keeps nothing when it stops; no data depends on it.";

/// Run everything in one process: API server, game server, all workers, Redis if none is configured
#[derive(Args)]
#[command(after_help = help::laid_out(EXAMPLES))]
pub(super) struct Up {
    #[command(flatten)]
    address: Address,
    /// Port of the game server, 0 for any free port [game.port]
    #[arg(long, value_name = "PORT", value_hint = ValueHint::Other)]
    game_port: Option<String>,
}

impl Subcommand for Up {
    fn override_config(&self, overrides: &mut Overrides) {
        self.address.override_config(overrides);
        if let Some(port) = &self.game_port {
            overrides.set("game.port", port, "--game-port");
        }
    }

    fn run(self, launcher: Launcher) -> anyhow::Result<ExitCode> {
        launcher.run(up)
    }
}

async fn up(config: &Config) -> anyhow::Result<ExitCode> {
    let listener = api_server::listen(config)?;
    let game_listener = game_server::listen(config, "--game-port chooses another port")?;
    let embedded = EmbeddedRedis::start_if_needed(config).await?;
    let mut runtime = Runtime::open(config, embedded.as_ref().map(|broker| broker.url.clone()))?;
    runtime.open_access(config)?;
    runtime.open_tls(config)?;
    let images = runtime.images(config)?;
    let workers = workers::start(&mut runtime, config, &images, &Kind::ALL).await?;
    workers::start_doorbell::<Finished>(&mut runtime, "thumbnail events", &workers.wake);
    api_server::start_image_intake(&mut runtime, config, images.clone(), workers.wake.clone())?;
    let api = api_server::start(&mut runtime, config, images, listener)?;
    let game = game_server::start(&mut runtime, config, game_listener, workers.wake)?;
    runtime.try_redis().await;
    let _addresses = [(Server::Api, api), (Server::Game, game)]
        .map(|(server, address)| server_address::publish(config, server, address));
    output::print(&greeting(config, api, game))?;
    let ended = runtime.run().await;
    if let Some(broker) = embedded {
        broker.stop().await?;
    }
    ended?;
    Ok(ExitCode::SUCCESS)
}

fn greeting(config: &Config, api: SocketAddr, game: SocketAddr) -> String {
    let (url, game_url) = (server_address::local_url(config, api), server_address::local_url(config, game));
    let listener = server_address::listener_url(config, api);
    let redis = if config.redis.url.is_some() { "external" } else { "embedded" };
    let mail = match &config.email.smtp_url {
        Some(server) => format!("sent by {}", server.host),
        None => format!("in files below {}", config.images.root.join("outbox").display()),
    };
    // The token itself is a secret.
    let (with_token, header) = match config.auth.token {
        None if config.auth.jwt.is_some() => (", with a user token in $TOKEN", " -H \"Authorization: Bearer $TOKEN\""),
        Some(_) => (", with the token in $M3A3_AUTH__TOKEN", " -H \"Authorization: Bearer $M3A3_AUTH__TOKEN\""),
        None => ("", ""),
    };
    format!(
        "listening on {listener}\n\
         \n\
         m3a3 {version} is up; Ctrl-C stops it.\n\
         \n  API         {url}\
         \n  game        {game_url}\
         \n  thumbnails  {concurrency} at a time\
         \n  database    {database}\
         \n  images      below {root}\
         \n  mail        {mail}\
         \n  Redis       {redis}\n\
         \n\
         Open in a browser:\n\
         \n  {url}/     upload images\
         \n  {game_url}/     watch the leaderboard\n\
         \n\
         Or try{with_token}:\n\
         \n  curl{header} -F userId=1 -F image=@photo.jpg {url}/enqueue\
         \n  curl{header} {url}/status-live/1\
         \n  curl{header} --json '{{\"username\": \"ada\", \"score\": 42}}' {game_url}/score\n\n",
        version = env!("CARGO_PKG_VERSION"),
        concurrency = config.images.concurrency,
        database = config.database.path.display(),
        root = config.images.root.display(),
    )
}
