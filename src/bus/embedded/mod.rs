//! The embedded broker: as much of Redis as m3a3 uses, inside the process.
//!
//! Owns the listener, the connections and, in memory only, the keys and subscriptions. It speaks RESP2 and RESP3 like
//! Redis 7.0, so that the bus talks to it like to any Redis; what it does not know it refuses in Redis' own args.
//! It never writes to disk (except that [`BrokerFile`] tells where it is) and never pretends to be more than it is:
//! losing it loses the keys and the messages on their way.

mod broker_file;
mod commands;
mod connection;
mod glob;
mod keyspace;
mod reply;
mod request;
mod score;
mod sorted_set;
mod subscribers;
mod watches;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::distr::{Alphanumeric, SampleString};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use broker_file::{BrokerFile, discover};
use commands::Store;
use keyspace::Keyspace;
use subscribers::{ClientId, Subscribers};

/// The most connections at once; each m3a3 process takes two, a game server three.
const MAX_CONNECTIONS: usize = 1000;

/// The embedded broker.
#[derive(Debug)]
pub struct Broker;

impl Broker {
    /// Serves connections to `listener` until `shutdown`, and then closes them all. Every client must give the
    /// `password`, unless it is empty. The task ends when the last connection is closed.
    pub fn start(listener: TcpListener, password: String, shutdown: CancellationToken) -> JoinHandle<()> {
        tokio::spawn(accept(listener, password, shutdown))
    }
}

async fn accept(listener: TcpListener, password: String, shutdown: CancellationToken) {
    let store = Arc::new(Mutex::new(new_store(password)));
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    let mut id: ClientId = 0;
    while let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await {
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                refused(&error, &shutdown).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            turn_away(stream).await;
            continue;
        };
        id += 1;
        let served = connection::serve(stream, id, Arc::clone(&store), shutdown.clone());
        connections.spawn(async move {
            served.await;
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

fn new_store(password: String) -> Store {
    let run_id = Alphanumeric.sample_string(&mut rand::rng(), 40);
    Store { keys: Keyspace::default(), subscribers: Subscribers::default(), password, run_id }
}

/// Accepting failed, most likely because the process has no file descriptor left: trying again at once would only spin.
async fn refused(error: &io::Error, shutdown: &CancellationToken) {
    tracing::warn!(%error, "the embedded broker could not accept a connection");
    shutdown.run_until_cancelled(tokio::time::sleep(Duration::from_millis(100))).await;
}

async fn turn_away(mut stream: TcpStream) {
    // The message fits the socket's empty buffer, so this does not wait; whether the client reads it is its affair.
    let _ = stream.write_all(b"-ERR max number of clients reached\r\n").await;
}
