//! Watchers: minimal Socket.IO clients over websockets, so that thousands of them cost little.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::rig::DEADLINE;

/// Connections that are opened concurrently.
const MAX_CONCURRENT: usize = 128;
const HANDSHAKE: &[u8] = b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\n\
    Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\n\r\n";
/// A masked text frame with the Socket.IO packet CONNECT; the mask is zero.
const CONNECT: &[u8] = b"\x81\x82\0\0\0\x0040";
const PING: &[u8] = b"2";
/// A masked text frame with the Engine.IO packet PONG.
const PONG: &[u8] = b"\x81\x81\0\0\0\x003";
const UPDATE: &[u8] = b"42[\"update_leaderboard\",";
const CURRENT: &[u8] = b"42[\"current_leaderboard\",";

/// Connected watchers. Each is read by a task until this is dropped.
pub struct Watchers {
    reading: JoinSet<anyhow::Result<()>>,
    /// The number of received updates.
    updates: Arc<AtomicU64>,
    /// The arrival of the expected score at each watcher.
    arrivals: mpsc::UnboundedReceiver<Instant>,
    expected: Arc<AtomicU64>,
    count: usize,
}

impl Watchers {
    /// Connects watchers, and waits for their first boards.
    pub async fn connect(address: SocketAddr, count: usize) -> anyhow::Result<Self> {
        let opened =
            stream::iter(0..count).map(|_| Watcher::open(address)).buffer_unordered(MAX_CONCURRENT).try_collect();
        Ok(Self::start(opened.await?))
    }

    /// Connects watchers to a server that sends updates without a handshake.
    pub async fn connect_bare(address: SocketAddr, count: usize) -> anyhow::Result<Self> {
        let opened =
            stream::iter(0..count).map(|_| Watcher::connect(address)).buffer_unordered(MAX_CONCURRENT).try_collect();
        Ok(Self::start(opened.await?))
    }

    fn start(opened: Vec<Watcher>) -> Self {
        let (updates, expected) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let (mut reading, count) = (JoinSet::new(), opened.len());
        for watcher in opened {
            reading.spawn(watcher.watch(Arc::clone(&updates), Arc::clone(&expected), arrived.clone()));
        }
        Self { reading, updates, arrivals, expected, count }
    }

    /// Closes all sockets before it returns, because the next measurement needs the open files.
    pub async fn close(mut self) {
        self.reading.shutdown().await;
    }

    /// The number of received updates.
    pub fn updates(&self) -> u64 {
        self.updates.load(Ordering::Relaxed)
    }

    /// Sets the expected first score. Each watcher reports its arrival once.
    pub fn expect(&self, score: u64) {
        self.expected.store(score, Ordering::Relaxed);
    }

    /// Waits for the arrival at every watcher. Returns the latencies since `since`.
    pub async fn arrivals(&mut self, since: Instant) -> anyhow::Result<Vec<Duration>> {
        let mut latencies = Vec::with_capacity(self.count);
        while latencies.len() < self.count {
            let arrival = tokio::time::timeout(DEADLINE, self.arrivals.recv()).await;
            let arrival =
                arrival.with_context(|| format!("{} of {} watchers received it", latencies.len(), self.count))?;
            latencies.push(arrival.context("the watchers have ended")?.duration_since(since));
        }
        Ok(latencies)
    }
}

/// The frame of the next update after an action.
pub async fn next_update(
    address: SocketAddr,
    action: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Vec<u8>> {
    let mut watcher = Watcher::open(address).await?;
    action.await?;
    loop {
        if let Some(payload) = complete_frame(&watcher.received)? {
            let frame: Vec<u8> = watcher.received.drain(..payload.end).collect();
            if frame[payload].starts_with(UPDATE) {
                return Ok(frame);
            }
        } else {
            watcher.read().await?;
        }
    }
}

/// One watcher.
pub struct Watcher {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Watcher {
    async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(2048) })
    }

    /// Connects by websocket, and waits for the first board.
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let mut watcher = Self::connect(address).await?;
        watcher.stream.write_all(HANDSHAKE).await?;
        while !watcher.received.windows(4).any(|window| window == b"\r\n\r\n") {
            watcher.read().await?;
        }
        ensure!(watcher.received.starts_with(b"HTTP/1.1 101 "), "no websocket");
        let head = watcher.received.windows(4).position(|window| window == b"\r\n\r\n").context("no head")? + 4;
        watcher.received.drain(..head);
        watcher.stream.write_all(CONNECT).await?;
        loop {
            let (mut is_current, mut pinged) = (false, false);
            watcher.frames(|payload| {
                is_current |= payload.starts_with(CURRENT);
                pinged |= payload == PING;
            })?;
            if pinged {
                watcher.stream.write_all(PONG).await?;
            }
            if is_current {
                return Ok(watcher);
            }
            watcher.read().await?;
        }
    }

    async fn watch(
        mut self,
        updates: Arc<AtomicU64>,
        expected: Arc<AtomicU64>,
        arrived: mpsc::UnboundedSender<Instant>,
    ) -> anyhow::Result<()> {
        let mut reported = 0;
        loop {
            self.read().await?;
            let (wanted, mut received, mut pinged, mut found) = (expected.load(Ordering::Relaxed), 0, false, false);
            self.frames(|payload| {
                received += u64::from(payload.starts_with(UPDATE));
                pinged |= payload == PING;
                found |= first_score(payload) == Some(wanted);
            })?;
            updates.fetch_add(received, Ordering::Relaxed);
            if found && reported != wanted {
                reported = wanted;
                let _ = arrived.send(Instant::now());
            }
            if pinged {
                self.stream.write_all(PONG).await?;
            }
        }
    }

    /// Receives the next packets, and answers pings.
    ///
    /// # Errors
    /// At the end of the socket.
    pub async fn next(&mut self, mut each: impl FnMut(&[u8])) -> anyhow::Result<()> {
        self.read().await?;
        let mut pinged = false;
        self.frames(|payload| {
            pinged |= payload == PING;
            each(payload);
        })?;
        if pinged {
            self.stream.write_all(PONG).await?;
        }
        Ok(())
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        if self.stream.read_buf(&mut self.received).await? == 0 {
            bail!("the server closed the socket");
        }
        Ok(())
    }

    /// Takes the complete frames from the buffer.
    fn frames(&mut self, mut each: impl FnMut(&[u8])) -> anyhow::Result<()> {
        let mut at = 0;
        while let Some(frame) = complete_frame(&self.received[at..])? {
            each(&self.received[at + frame.start..at + frame.end]);
            at += frame.end;
        }
        self.received.drain(..at);
        Ok(())
    }
}

/// The range of the payload of the first frame; `None` while it is incomplete.
fn complete_frame(received: &[u8]) -> anyhow::Result<Option<Range<usize>>> {
    let (Some(first), Some(second)) = (received.first(), received.get(1)) else { return Ok(None) };
    ensure!(*first == 0x81 && *second < 127, "a frame {first:02x} {second:02x} is not a short text frame");
    let frame = match (second, received.get(2..4)) {
        (126, None) => return Ok(None),
        (126, Some(length)) => 4..4 + usize::from(u16::from_be_bytes([length[0], length[1]])),
        (length, _) => 2..2 + usize::from(*length),
    };
    Ok((received.len() >= frame.end).then_some(frame))
}

/// The first score of a board; `None` if it is not an integer.
fn first_score(payload: &[u8]) -> Option<u64> {
    let board = payload.strip_prefix(UPDATE)?;
    std::str::from_utf8(&board[score_at(board)?]).ok()?.parse().ok()
}

/// The range of the digits of the first score.
pub fn score_at(board: &[u8]) -> Option<Range<usize>> {
    let at = board.windows(8).position(|window| window == b"\"score\":")? + 8;
    let digits = board[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    Some(at..at + digits)
}
