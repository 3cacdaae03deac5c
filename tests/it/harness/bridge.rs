//! A server in this process that serves only Socket.IO.

use std::io;
use std::num::NonZeroUsize;
use std::time::Duration;

use m3a3::http::ServerTokens;
use m3a3::http::client_address::TrustedProxies;
use m3a3::http::cors::Cors;
use m3a3::http::draining::{self, Draining};
use m3a3::http::limits::{self, Limits};
use m3a3::http::listener::Listener;
use m3a3::http::server;
use m3a3::socketio::{Settings, Sockets};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::within;

/// The server. It sends every new socket `current_leaderboard` with `[]`.
pub struct Bridge {
    pub url: String,
    pub sockets: Sockets,
    shutdown: CancellationToken,
    serving: JoinHandle<io::Result<()>>,
}

impl Bridge {
    /// A server with the default settings.
    pub fn start() -> Self {
        Self::with(Settings::default())
    }

    /// A server with these settings.
    pub fn with(settings: Settings) -> Self {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
        let sockets = Sockets::with(settings);
        sockets.on_connect(|socket| socket.emit("current_leaderboard", &"[]".into()));
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), false).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let settings = server::Settings {
            workers: NonZeroUsize::new(2).unwrap(),
            drain: Duration::from_secs(10),
            access_log: false,
            cors: Cors { open_paths: &["/socket.io"], ..Cors::default() },
            guard: None,
            limits: Limits::new(&limits::Settings::default()),
            proxies: TrustedProxies::default(),
            draining: Draining::new(draining::Settings {
                requested: shutdown.clone(),
                ..draining::Settings::default()
            }),
            tokens: ServerTokens::default(),
            tls: None,
        };
        let routes = {
            let sockets = sockets.clone();
            move |services: &mut actix_web::web::ServiceConfig| sockets.routes(services)
        };
        let serving = server::start_with_websockets(listener, settings, routes, sockets.clone()).unwrap();
        Self { url, sockets, shutdown, serving: tokio::spawn(serving) }
    }

    /// Broadcasts an update.
    pub async fn update(&self, argument: &Value) {
        self.sockets.broadcast("update_leaderboard", argument.to_string().into()).await;
    }

    /// Requests the shutdown.
    pub fn stop(&self) {
        self.shutdown.cancel();
    }

    /// Waits until the server has stopped, after [`stop`](Self::stop).
    pub async fn ended(self) {
        within("the end of the server", self.serving).await.unwrap().unwrap();
    }
}
