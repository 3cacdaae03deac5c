//! The watchers: they record the last board from each server, by server-sent events and by Socket.IO.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::websocket::{TEXT, event, frame, request};

const RECONNECT: Duration = Duration::from_millis(200);

pub struct Watcher {
    pub name: String,
    pub url: String,
    last: Arc<Mutex<Option<Value>>>,
}

impl Watcher {
    /// Watches by server-sent events.
    pub fn of_feed(url: &str) -> Self {
        let watcher = Self { name: format!("feed of {url}"), url: url.to_owned(), last: Arc::default() };
        let (url, last) = (watcher.url.clone(), Arc::clone(&watcher.last));
        tokio::spawn(async move {
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            loop {
                let _ = follow_feed(&http, &url, &last).await;
                *last.lock().unwrap() = None;
                tokio::time::sleep(RECONNECT).await;
            }
        });
        watcher
    }

    /// Watches by Socket.IO over a websocket.
    pub fn of_socket(url: &str) -> Self {
        let watcher = Self { name: format!("socket of {url}"), url: url.to_owned(), last: Arc::default() };
        let (url, last) = (watcher.url.clone(), Arc::clone(&watcher.last));
        tokio::spawn(async move {
            loop {
                let _ = follow_socket(&url, &last).await;
                *last.lock().unwrap() = None;
                tokio::time::sleep(RECONNECT).await;
            }
        });
        watcher
    }

    /// The last board; `None` while disconnected.
    pub fn board(&self) -> Option<Value> {
        self.last.lock().unwrap().clone()
    }
}

async fn follow_feed(http: &reqwest::Client, url: &str, last: &Mutex<Option<Value>>) -> Option<()> {
    let mut response = http.get(format!("{url}/leaderboard-feed")).send().await.ok()?;
    let mut unread = String::new();
    loop {
        while let Some((block, rest)) = unread.split_once("\n\n") {
            let data = block.lines().find_map(|line| line.strip_prefix("data: "));
            if let Some(board) = data.and_then(|data| serde_json::from_str(data).ok()) {
                *last.lock().unwrap() = Some(board);
            }
            unread = rest.to_owned();
        }
        let chunk = response.chunk().await.ok()??;
        unread.push_str(std::str::from_utf8(&chunk).ok()?);
    }
}

async fn follow_socket(url: &str, last: &Mutex<Option<Value>>) -> Option<()> {
    let mut stream = TcpStream::connect(url.strip_prefix("http://")?).await.ok()?;
    stream.write_all(request("/socket.io/?EIO=4&transport=websocket", |head| head).as_bytes()).await.ok()?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    // The server opens the session with the first packet; then the client connects to the namespace.
    loop {
        let packet = packet(&mut stream).await?;
        match packet.as_str() {
            "2" => send(&mut stream, "3").await?,
            opened if opened.starts_with('0') => send(&mut stream, "40").await?,
            other => {
                if let Some((_, board)) = event(other) {
                    *last.lock().unwrap() = Some(board);
                }
            }
        }
    }
}

async fn send(stream: &mut TcpStream, text: &str) -> Option<()> {
    stream.write_all(&frame(true, TEXT, text.as_bytes())).await.ok()
}

/// The next text; `None` at the end of the connection.
async fn packet(stream: &mut TcpStream) -> Option<String> {
    let mut start = [0; 2];
    stream.read_exact(&mut start).await.ok()?;
    let length = match start[1] {
        126 => u64::from(stream.read_u16().await.ok()?),
        127 => stream.read_u64().await.ok()?,
        length => u64::from(length),
    };
    let mut payload = vec![0; usize::try_from(length).ok()?];
    stream.read_exact(&mut payload).await.ok()?;
    (start[0] & 0x0f == TEXT).then(|| String::from_utf8(payload).ok())?
}
