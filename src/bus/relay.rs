//! A lasting address for a broker that moves.
//!
//! The broker of an `m3a3 up` has another port and another password after each start, but the client library connects
//! to the address that it was made with for ever. Where the address is looked up, the library connects to a port of
//! this process instead, and each connection is passed on to wherever the broker is then. Owns that port; never looks
//! at what it passes on.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fred::error::{Error, ErrorKind};
use fred::types::config::{Config, CredentialProvider, Server};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{BusError, connection};

/// The most connections at once. This process takes a few; other programs have no business here.
const MAX_CONNECTIONS: usize = 16;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The wait after a connection could not be accepted, most likely for want of a file descriptor.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Says where Redis is now, as a URL with an IP address. It may block.
#[derive(Clone)]
pub struct AddressLookup(Arc<dyn Fn() -> Option<String> + Send + Sync>);

impl AddressLookup {
    pub fn new(find: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(find))
    }

    /// `None` when it is nowhere.
    async fn find(&self) -> Result<Option<Config>, BusError> {
        let find = Arc::clone(&self.0);
        let url = tokio::task::spawn_blocking(move || find()).await;
        url.ok().flatten().map(|url| connection::config(&url)).transpose()
    }
}

impl fmt::Debug for AddressLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddressLookup")
    }
}

/// The library asks for the credentials at each connect.
#[async_trait]
impl CredentialProvider for AddressLookup {
    async fn fetch(&self, _: Option<&Server>) -> Result<(Option<String>, Option<String>), Error> {
        let found = self.find().await.map_err(|error| Error::new(ErrorKind::Url, error.to_string()))?;
        Ok(found.map_or((None, None), |config| (config.username, config.password)))
    }
}

/// The port, and where its connections lead.
#[derive(Debug)]
pub struct Relay {
    listener: TcpListener,
    lookup: AddressLookup,
}

impl Relay {
    /// Opens the port.
    pub fn open(lookup: AddressLookup) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener: TcpListener::from_std(listener)?, lookup })
    }

    /// Where the library is to connect to.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Passes connections on until `stop`, and then closes them.
    pub async fn run(self, stop: CancellationToken) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                    Ok((client, _)) => {
                        connections.spawn(forward(client, self.lookup.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection to the broker could not be accepted");
                        stop.run_until_cancelled(sleep(ACCEPT_RETRY_DELAY)).await;
                    }
                }
            }
        }
        connections.shutdown().await;
    }
}

/// Passes one connection on. Where there is no broker it is closed, and the library tries again later.
async fn forward(mut client: TcpStream, lookup: AddressLookup) {
    let outcome = async {
        let Some(config) = lookup.find().await.map_err(io::Error::other)? else { return Ok(()) };
        let Some(Server { host, port, .. }) = config.server.hosts().into_iter().next() else { return Ok(()) };
        let mut broker = timeout(CONNECT_TIMEOUT, TcpStream::connect((&*host, port))).await??;
        client.set_nodelay(true)?;
        broker.set_nodelay(true)?;
        copy_bidirectional(&mut client, &mut broker).await.map(drop)
    };
    if let Err(error) = outcome.await {
        tracing::debug!(%error, "a connection to the broker ended");
    }
}
