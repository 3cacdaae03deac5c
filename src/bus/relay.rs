//! A fixed address for a broker whose address changes.
//!
//! The broker of `m3a3 up` has a new port and password after each start, but the client library cannot change the
//! address of a client. So the library connects to a port of this process, and each connection is forwarded to the
//! current address of the broker. Owns that port. Never inspects the forwarded bytes.

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

use super::connection;
use super::error::BusError;

/// This process needs a few; other programs have no reason to connect.
const MAX_CONNECTIONS: usize = 16;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After a failed accept, usually for lack of file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Looks up the current URL of the broker, which has an IP address. May block.
#[derive(Clone)]
pub(super) struct AddressLookup(Arc<dyn Fn() -> Option<String> + Send + Sync>);

impl AddressLookup {
    pub(super) fn new(find: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(find))
    }

    /// `None` if there is no broker.
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

/// The library fetches the credentials at each connect.
#[async_trait]
impl CredentialProvider for AddressLookup {
    async fn fetch(&self, _: Option<&Server>) -> Result<(Option<String>, Option<String>), Error> {
        let found = self.find().await.map_err(|error| Error::new(ErrorKind::Url, error.to_string()))?;
        Ok(found.map_or((None, None), |config| (config.username, config.password)))
    }
}

/// Forwards the connections to its port.
#[derive(Debug)]
pub(super) struct Relay {
    listener: TcpListener,
    lookup: AddressLookup,
}

impl Relay {
    pub(super) fn open(lookup: AddressLookup) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener: TcpListener::from_std(listener)?, lookup })
    }

    /// The address for the library.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Forwards connections until `stop`, and then closes them.
    pub(super) async fn run(self, stop: CancellationToken) {
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
                        tracing::warn!(%error, "cannot accept a connection to the broker");
                        stop.run_until_cancelled(sleep(ACCEPT_RETRY_DELAY)).await;
                    }
                }
            }
        }
        connections.shutdown().await;
    }
}

/// Forwards one connection. If there is no broker, the connection is closed, and the library retries later.
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
        tracing::debug!(%error, "connection to the broker failed");
    }
}
