//! Watchers: Socket.IO clients over websockets, by hand, so that thousands of them cost little.

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

/// How many connections are opened at the same time.
const OPENING: usize = 128;
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

/// Connected watchers, each read by a task of its own until this is dropped.
pub struct Watchers {
    reading: JoinSet<anyhow::Result<()>>,
    /// Updates that have come, over all.
    updates: Arc<AtomicU64>,
    /// When the awaited mark came, once for each watcher.
    arrivals: mpsc::UnboundedReceiver<Instant>,
    mark: Arc<AtomicU64>,
    count: usize,
}

impl Watchers {
    /// Connects so many, and waits until each has got its first board.
    pub async fn connect(address: SocketAddr, count: usize) -> anyhow::Result<Self> {
        let opened = stream::iter(0..count).map(|_| Watcher::open(address)).buffer_unordered(OPENING).try_collect();
        Ok(Self::start(opened.await?))
    }

    /// Connects so many to something that sends updates at once and without being asked.
    pub async fn connect_bare(address: SocketAddr, count: usize) -> anyhow::Result<Self> {
        let opened = stream::iter(0..count).map(|_| Watcher::connect(address)).buffer_unordered(OPENING).try_collect();
        Ok(Self::start(opened.await?))
    }

    fn start(opened: Vec<Watcher>) -> Self {
        let (updates, mark) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let (mut reading, count) = (JoinSet::new(), opened.len());
        for watcher in opened {
            reading.spawn(watcher.watch(Arc::clone(&updates), Arc::clone(&mark), arrived.clone()));
        }
        Self { reading, updates, arrivals, mark, count }
    }

    /// Closes their sockets, which takes until the end of this: so many open files may be needed again.
    pub async fn close(mut self) {
        self.reading.shutdown().await;
    }

    /// How many updates have come, over all.
    pub fn updates(&self) -> u64 {
        self.updates.load(Ordering::Relaxed)
    }

    /// From now on, every watcher tells when it has got an update whose first score is this.
    pub fn look_for(&self, score: u64) {
        self.mark.store(score, Ordering::Relaxed);
    }

    /// Waits until every watcher has told, and returns how long after `since` each did.
    pub async fn arrivals(&mut self, since: Instant) -> anyhow::Result<Vec<Duration>> {
        let mut latencies = Vec::with_capacity(self.count);
        while latencies.len() < self.count {
            let arrival = tokio::time::timeout(DEADLINE, self.arrivals.recv()).await;
            let arrival = arrival.with_context(|| format!("{} of {} got it", latencies.len(), self.count))?;
            latencies.push(arrival.context("the watchers are gone")?.duration_since(since));
        }
        Ok(latencies)
    }
}

/// The frame that a new watcher gets when this has happened, as it comes.
pub async fn next_update(
    address: SocketAddr,
    happening: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Vec<u8>> {
    let mut watcher = Watcher::open(address).await?;
    happening.await?;
    loop {
        if let Some(payload) = whole_frame(&watcher.received)? {
            let frame: Vec<u8> = watcher.received.drain(..payload.end).collect();
            if frame[payload].starts_with(UPDATE) {
                return Ok(frame);
            }
        } else {
            watcher.read().await?;
        }
    }
}

struct Watcher {
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
    async fn open(address: SocketAddr) -> anyhow::Result<Self> {
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
        mark: Arc<AtomicU64>,
        arrived: mpsc::UnboundedSender<Instant>,
    ) -> anyhow::Result<()> {
        let mut told = 0;
        loop {
            self.read().await?;
            let (wanted, mut came, mut pinged, mut found) = (mark.load(Ordering::Relaxed), 0, false, false);
            self.frames(|payload| {
                came += u64::from(payload.starts_with(UPDATE));
                pinged |= payload == PING;
                found |= first_score(payload) == Some(wanted);
            })?;
            updates.fetch_add(came, Ordering::Relaxed);
            if found && told != wanted {
                told = wanted;
                let _ = arrived.send(Instant::now());
            }
            if pinged {
                self.stream.write_all(PONG).await?;
            }
        }
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        if self.stream.read_buf(&mut self.received).await? == 0 {
            bail!("the server closed the socket");
        }
        Ok(())
    }

    /// Takes the whole frames that have come.
    fn frames(&mut self, mut each: impl FnMut(&[u8])) -> anyhow::Result<()> {
        let mut at = 0;
        while let Some(frame) = whole_frame(&self.received[at..])? {
            each(&self.received[at + frame.start..at + frame.end]);
            at += frame.end;
        }
        self.received.drain(..at);
        Ok(())
    }
}

/// Where the first frame's payload is; `None` until all of it is there.
fn whole_frame(received: &[u8]) -> anyhow::Result<Option<Range<usize>>> {
    let (Some(first), Some(second)) = (received.first(), received.get(1)) else { return Ok(None) };
    ensure!(*first == 0x81 && *second < 127, "a frame {first:02x} {second:02x} that is no short text");
    let frame = match (second, received.get(2..4)) {
        (126, None) => return Ok(None),
        (126, Some(length)) => 4..4 + usize::from(u16::from_be_bytes([length[0], length[1]])),
        (length, _) => 2..2 + usize::from(*length),
    };
    Ok((received.len() >= frame.end).then_some(frame))
}

/// The first score on a board, if it is whole.
fn first_score(payload: &[u8]) -> Option<u64> {
    let board = payload.strip_prefix(UPDATE)?;
    std::str::from_utf8(&board[score_at(board)?]).ok()?.parse().ok()
}

/// Where the first score's digits are.
pub fn score_at(board: &[u8]) -> Option<Range<usize>> {
    let at = board.windows(8).position(|window| window == b"\"score\":")? + 8;
    let digits = board[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    Some(at..at + digits)
}
