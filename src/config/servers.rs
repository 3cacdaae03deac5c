//! `[serve]`, `[serve.tls]` and `[game]`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use config::ValueKind;
use ipnet::IpNet;
use reqwest::Url;

use super::browser_client::BrowserClient;
use super::error::ConfigError;
use super::networks;
use super::reader::Reader;
use super::sections::{or_one_per_core, required};

const PUBLIC_URL: &str = "an http or https URL without a query, such as \"https://example.org/images\"";

/// `[serve]`, the API server.
#[derive(Debug, Clone)]
pub(crate) struct Serve {
    /// The address to listen on.
    pub(crate) host: IpAddr,
    /// The port to listen on; 0 for any free port.
    pub(crate) port: u16,
    /// The timeout of a long poll, 1 to 60 seconds.
    pub(crate) long_poll_timeout: Duration,
    /// The maximum size of an upload in bytes, at least 1.
    pub(crate) max_upload_bytes: u64,
    /// Uploads are refused while fewer bytes are free on the disk of the image root.
    pub(crate) min_free_bytes: u64,
    /// Threads that handle requests.
    pub(crate) workers: NonZeroUsize,
    /// The URL of the API server for clients, without a slash at the end; `None` when links are paths.
    pub(crate) public_url: Option<String>,
    /// The proxies whose forwarding fields both servers believe.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Whether another process may take over the ports of both servers.
    pub(crate) reuse_port: bool,
    /// `[serve.tls]`, of both servers; `None` for plain HTTP.
    pub(crate) tls: Option<TlsFiles>,
}

/// `[serve.tls]`: files in PEM, absolute or relative to the working directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The certificate, followed by the intermediate certificates.
    pub(crate) cert: PathBuf,
    /// The private key.
    pub(crate) key: PathBuf,
}

impl TlsFiles {
    fn read(from: &mut Reader) -> Result<Option<Self>, ConfigError> {
        let path = |text: &str| Some(PathBuf::from(text));
        let cert = from.text("serve.tls.cert", "the path of a file", path)?;
        let key = from.text("serve.tls.key", "the path of a file", path)?;
        match (cert, key) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some(Self { cert, key })),
            (Some(_), None) => Err(ConfigError::HalfTls { set: "serve.tls.cert", unset: "serve.tls.key" }),
            (None, Some(_)) => Err(ConfigError::HalfTls { set: "serve.tls.key", unset: "serve.tls.cert" }),
        }
    }
}

impl Serve {
    pub(super) fn read(from: &mut Reader) -> Result<Self, ConfigError> {
        Ok(Self {
            host: host(from, "serve.host")?,
            port: from.integer("serve.port", 0..=65535)?,
            long_poll_timeout: from.seconds("serve.long_poll_timeout_s", 1.0..=60.0)?,
            max_upload_bytes: from.integer("serve.max_upload_bytes", 1..=1 << 40)?,
            min_free_bytes: from.integer("serve.min_free_bytes", 0..=1 << 60)?,
            workers: or_one_per_core(from, "serve.workers")?,
            public_url: from.text("serve.public_url", PUBLIC_URL, public_url)?,
            trusted_proxies: from.parts("serve.trusted_proxies", networks::EXPECTED, networks::networks)?,
            reuse_port: from.bool("serve.reuse_port")?,
            tls: TlsFiles::read(from)?,
        })
    }

    /// The address and port to listen on.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }
}

/// `[game]`, the game server.
#[derive(Debug, Clone)]
pub(crate) struct Game {
    /// The address to listen on.
    pub(crate) host: IpAddr,
    /// The port to listen on; 0 for any free port.
    pub(crate) port: u16,
    /// Leaderboard updates within this interval are merged into one broadcast; at least 1 ms.
    pub(crate) broadcast_interval: Duration,
    /// Threads that handle requests and sockets.
    pub(crate) workers: NonZeroUsize,
    /// The source of the Socket.IO client for browsers.
    pub(crate) socketio_client: BrowserClient,
}

impl Game {
    pub(super) fn read(from: &mut Reader) -> Result<Self, ConfigError> {
        Ok(Self {
            host: host(from, "game.host")?,
            port: from.integer("game.port", 0..=65535)?,
            broadcast_interval: from.milliseconds("game.broadcast_interval_ms", 1..=60_000)?,
            workers: or_one_per_core(from, "game.workers")?,
            socketio_client: from.value("game.socketio_client", BrowserClient::EXPECTED, |value| match value {
                ValueKind::String(text) => BrowserClient::parse(text),
                _ => None,
            })?,
        })
    }

    /// The address and port to listen on.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }
}

/// A URL for links, in its canonical form without a slash at the end.
fn public_url(text: &str) -> Option<String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let is_bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    (is_bare && url.fragment().is_none()).then(|| url.as_str().trim_end_matches('/').to_owned())
}

fn host(from: &mut Reader, key: &str) -> Result<IpAddr, ConfigError> {
    required(from, key, "an IP address, or \"localhost\"", |text| match text {
        "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        text => text.trim_start_matches('[').trim_end_matches(']').parse().ok(),
    })
}
