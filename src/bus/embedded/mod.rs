//! The embedded broker: the subset of Redis that m3a3 uses, inside the process.
//!
//! Owns the listener, the connections, and, in memory only, the keys and subscriptions. It implements RESP2 and RESP3
//! like Redis 7.0, so that the bus uses it like any Redis. It rejects other commands with the errors of Redis. It never
//! writes to disk: when the process ends, the keys and undelivered messages are lost.
//!
//! - Connection: AUTH, CLIENT ID, CLIENT SETNAME, HELLO, PING, QUIT, SELECT
//! - Keys: DEL, FLUSHALL, GET, SET, TYPE
//! - Sorted sets: ZADD, ZCARD, ZINCRBY, ZRANGE, ZREM, ZREVRANGE, ZREVRANK, ZSCORE
//! - Channels: PSUBSCRIBE, PUBLISH, PUBSUB NUMPAT, PUBSUB NUMSUB, PUNSUBSCRIBE, SUBSCRIBE, UNSUBSCRIBE
//! - Transactions: DISCARD, EXEC, MULTI, UNWATCH, WATCH
//! - Server: INFO

mod command_error;
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

use commands::Store;
use subscribers::ClientId;

/// Each m3a3 process uses two connections, a game server three.
const MAX_CONNECTIONS: usize = 1000;

/// The embedded broker.
#[derive(Debug)]
pub struct Broker;

impl Broker {
    /// Serves the connections to `listener` until `shutdown`, and then closes them. Clients must authenticate with the
    /// `password`, unless it is empty. The task ends when the last connection is closed.
    pub fn start(listener: TcpListener, password: String, shutdown: CancellationToken) -> JoinHandle<()> {
        tokio::spawn(accept(listener, password, shutdown))
    }
}

async fn accept(listener: TcpListener, password: String, shutdown: CancellationToken) {
    let run_id = Alphanumeric.sample_string(&mut rand::rng(), 40);
    let store = Arc::new(Mutex::new(Store::new(password, run_id)));
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    let mut id: ClientId = 0;
    while let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await {
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                back_off(&error, &shutdown).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            reject(stream).await;
            continue;
        };
        id += 1;
        let served = connection::serve(stream, id, Arc::clone(&store), shutdown.clone());
        connections.spawn(async move {
            served.await;
            drop(permit);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Waits after a failed accept. The usual cause is a lack of file descriptors, so an immediate retry would spin.
async fn back_off(error: &io::Error, shutdown: &CancellationToken) {
    tracing::warn!(%error, "the embedded broker cannot accept a connection");
    shutdown.run_until_cancelled(tokio::time::sleep(Duration::from_millis(100))).await;
}

async fn reject(mut stream: TcpStream) {
    // The message fits the empty send buffer, so this does not wait for the client.
    let _ = stream.write_all(b"-ERR max number of clients reached\r\n").await;
}
