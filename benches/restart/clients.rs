//! The clients of a restart: sockets and polls, which return when they are disconnected, and a load of requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, ensure};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::LAST_SCORE;
use super::record::Record;
use super::rig::load::Connection;
use super::watchers::Watcher;

/// Clients that connect at the same time in the beginning.
const CONNECTING: usize = 64;

pub struct Clients {
    pub api: SocketAddr,
    pub game: SocketAddr,
    pub sockets: usize,
    pub polls: usize,
    /// Connections that send requests, for each server.
    pub load: usize,
}

impl Clients {
    /// The number of connections that are held all the time.
    pub fn held(&self) -> usize {
        self.sockets + self.polls
    }

    /// Runs all clients until the end of the record.
    pub async fn run(&self, reconnect: Duration, record: Arc<Record>) {
        let mut clients = JoinSet::new();
        for number in 0..self.sockets.max(self.polls) {
            if number < self.sockets {
                clients.spawn(watch(self.game, reconnect, record.clone()));
            }
            if number < self.polls {
                clients.spawn(poll(self.api, number + 1, record.clone()));
            }
            while record.connected() + CONNECTING < clients.len() && record.failures().is_empty() {
                sleep(Duration::from_millis(1)).await;
            }
        }
        for number in 0..self.load {
            let score = format!(r#"{{"username":"p{number}","score":1,"mode":"add"}}"#);
            let length = score.len();
            let score = format!(
                "POST /score HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
                 Content-Length: {length}\r\n\r\n{score}"
            );
            clients.spawn(request(self.game, score, 200, record.clone()));
            let status = "GET /status/1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".to_owned();
            // There is no user 1.
            clients.spawn(request(self.api, status, 404, record.clone()));
        }
        record.finished().await;
        clients.shutdown().await;
    }
}

/// A socket that returns when it is closed, after a delay as in the official client.
async fn watch(game: SocketAddr, reconnect: Duration, record: Arc<Record>) {
    let mut has_last = false;
    loop {
        record.connect();
        match Watcher::open(game).await {
            Ok(watcher) => {
                record.add();
                watch_one(watcher, &mut has_last, &record).await;
                record.lose();
            }
            Err(error) => record.fail("a socket cannot connect", &error),
        }
        sleep(reconnect.mul_f64(0.5 + rand::random::<f64>())).await;
    }
}

/// Until the server closes the socket.
async fn watch_one(mut watcher: Watcher, has_last: &mut bool, record: &Record) {
    let last = format!("\"score\":{LAST_SCORE}");
    loop {
        let mut is_last = false;
        let seen = |payload: &[u8]| is_last |= payload.windows(last.len()).any(|window| window == last.as_bytes());
        if watcher.next(seen).await.is_err() {
            return;
        }
        if is_last && !std::mem::replace(has_last, true) {
            record.last_board();
        }
    }
}

/// A long poll that is sent again when it is answered, not before the time that the server names.
async fn poll(api: SocketAddr, user: usize, record: Arc<Record>) {
    let request = format!("GET /status-live/{user}?timeout=60 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    loop {
        record.connect();
        let held = async {
            let mut connection = Connection::open(api).await?;
            connection.send(request.as_bytes()).await?;
            record.add();
            let answer = connection.receive().await.map(|(status, _)| status);
            record.lose();
            ensure!(answer? == 408, "a final status");
            anyhow::Ok(connection.field("retry-after").and_then(|seconds| seconds.parse().ok()))
        };
        match held.await {
            Ok(seconds) => {
                record.answer();
                sleep(Duration::from_secs(seconds.unwrap_or_default())).await;
            }
            Err(error) => record.fail("a poll", &error),
        }
    }
}

/// Sends a request again and again on a connection, until the server asks to close it; then on a new one.
async fn request(address: SocketAddr, request: String, expected: u16, record: Arc<Record>) {
    loop {
        let conversation = async {
            let mut connection = Connection::open(address).await?;
            loop {
                connection.send(request.as_bytes()).await?;
                let status = connection.receive().await?.0;
                if status != expected {
                    bail!("the status {status}");
                }
                record.answer();
                if connection.field("connection") == Some("close") {
                    return anyhow::Ok(());
                }
            }
        };
        if let Err(error) = conversation.await {
            record.fail("a request", &error);
            sleep(Duration::from_millis(10)).await;
        }
    }
}
