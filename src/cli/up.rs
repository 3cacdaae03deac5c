//! `m3a3 up`: everything in one process, with nothing to install.

use std::net::Ipv4Addr;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::composition::runtime::Runtime;
use super::game_server;
use super::output;
use super::serve::{self, Address};
use super::worker::{self, Work};
use crate::bus::embedded::{Broker, BrokerFile, discover};
use crate::config::{Config, Overrides};
use crate::db::Location;
use crate::events::Finished;

const EXAMPLES: &str = "\
Examples:
  m3a3 up
  m3a3 up --port 8080
  m3a3 up --redis-url redis://127.0.0.1:6379

Without a Redis of yours, a small broker inside of this process stands in for it. It is for this process and for other
m3a3 commands on the same data; what it forgets at the end costs time, never data.";

/// Run everything in this process: API server, game server, every worker, and Redis if there is none
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Up {
    #[command(flatten)]
    address: Address,
    /// The port of the leaderboard and orders, 0 for a free one [game.port]
    #[arg(long, value_name = "PORT")]
    game_port: Option<String>,
}

impl Up {
    pub(super) fn add_to(&self, overrides: &mut Overrides) {
        self.address.add_to(overrides);
        if let Some(port) = &self.game_port {
            overrides.set("game.port", port, "--game-port");
        }
    }
}

/// The broker inside of the process.
struct EmbeddedRedis {
    url: String,
    task: JoinHandle<()>,
    shutdown: CancellationToken,
    /// Other commands on the same data read the broker's address here.
    _file: BrokerFile,
}

pub(super) async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let listener = serve::listen(config)?;
    let game_listener = game_server::listen(config)?;
    let embedded = if needs_broker(config) { Some(start_broker(config).await?) } else { None };
    let mut runtime = Runtime::open(config, embedded.as_ref().map(|broker| broker.url.clone()))?;
    let images = runtime.images(config)?;
    let workers = worker::start(&mut runtime, config, &images, &Work::ALL)?;
    worker::start_bell::<Finished>(&mut runtime, "thumbnail news", &workers.wake);
    serve::start_image_intake(&mut runtime, config, images.clone(), workers.wake.clone())?;
    let api = serve::start(&mut runtime, config, images, listener)?;
    let game = game_server::start(&mut runtime, config, game_listener, workers.wake)?;
    runtime.try_redis().await;
    output::print(&greeting(config, &format!("http://{api}"), &format!("http://{game}")))?;
    let ended = runtime.run().await;
    if let Some(broker) = embedded {
        broker.shutdown.cancel();
        broker.task.await.context("the embedded broker panicked")?;
    }
    ended?;
    Ok(ExitCode::SUCCESS)
}

/// Whether no Redis is configured, and no other `m3a3 up` on the same data has a broker that serves us too.
fn needs_broker(config: &Config) -> bool {
    config.redis.url.is_none() && discover(Location::new(&config.database.path).folder()).is_none()
}

async fn start_broker(config: &Config) -> anyhow::Result<EmbeddedRedis> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot open a port for the broker")?;
    let password = uuid::Uuid::new_v4().simple().to_string();
    let url = format!("redis://:{password}@{}", listener.local_addr()?);
    let location = Location::new(&config.database.path);
    let folder = location.folder();
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let file = BrokerFile::publish(folder, &url)
        .with_context(|| format!("cannot write the broker's address below {}", folder.display()))?;
    let shutdown = CancellationToken::new();
    let task = Broker::start(listener, password, shutdown.clone());
    Ok(EmbeddedRedis { url, task, shutdown, _file: file })
}

fn greeting(config: &Config, url: &str, game_url: &str) -> String {
    let redis = if config.redis.url.is_some() { "yours" } else { "embedded" };
    let mail = match &config.email.smtp_url {
        Some(server) => format!("sent by {}", server.host),
        None => format!("in files below {}", config.images.root.join("outbox").display()),
    };
    format!(
        "listening on {url}\n\
         \n\
         m3a3 {version} is up; Ctrl-C stops it.\n\
         \n  API         {url}\
         \n  game        {game_url}\
         \n  thumbnails  {concurrency} at a time\
         \n  database    {database}\
         \n  pictures    below {root}\
         \n  mail        {mail}\
         \n  Redis       {redis}\n\
         \n\
         Open in a browser:\n\
         \n  {url}/     upload pictures\
         \n  {game_url}/     watch the leaderboard\n\
         \n\
         Or try:\n\
         \n  curl -F userId=1 -F image=@photo.jpg {url}/enqueue\
         \n  curl {url}/status-live/1\
         \n  curl --json '{{\"username\": \"ada\", \"score\": 42}}' {game_url}/score\n\n",
        version = env!("CARGO_PKG_VERSION"),
        concurrency = config.images.concurrency,
        database = config.database.path.display(),
        root = config.images.root.display(),
    )
}
