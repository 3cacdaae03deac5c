//! The load generator: keep-alive connections with one request in flight each.
//!
//! It must be cheaper than the server: requests are prepared, and responses are only parsed to find their end and to
//! check them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::machine::Usage;
use super::server::Server;
use super::{CONNECTIONS, Rig};

/// The requests of one connection, with a check of the responses.
pub trait Client: Send + 'static {
    /// The next request.
    fn request(&mut self) -> &[u8];

    /// Whether a 200 with this body is correct.
    fn is_right(&mut self, body: &[u8]) -> bool;
}

/// The result of a load.
#[derive(Debug)]
pub struct Measured {
    answers: u64,
    time: Duration,
    cpu: Option<Duration>,
    /// The part of it in kernel mode.
    kernel: Option<Duration>,
    /// Ascending.
    latencies: Vec<Duration>,
    /// All correct responses, including those of the warm-up.
    pub total: u64,
}

impl Measured {
    /// Responses per second.
    pub fn rate(&self) -> f64 {
        self.answers as f64 / self.time.as_secs_f64()
    }

    /// The latency at this percentile.
    pub fn percentile(&self, percent: usize) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get(last * percent / 100).copied().unwrap_or_default()
    }

    /// CPU time of the server in seconds.
    pub fn cpu_per_thousand(&self) -> Option<f64> {
        Some(self.cpu?.as_secs_f64() / self.answers as f64 * 1000.0)
    }

    /// The part of it in kernel mode.
    pub fn kernel_per_thousand(&self) -> Option<f64> {
        Some(self.kernel?.as_secs_f64() / self.answers as f64 * 1000.0)
    }
}

/// Loads the server with [`CONNECTIONS`]: a warm-up, then the measurement.
pub fn run<C: Client>(rig: &Rig, server: &Server, client: impl Fn(usize) -> C) -> anyhow::Result<Measured> {
    run_with(rig, server, CONNECTIONS, client)
}

/// The same with this number of connections.
pub fn run_with<C: Client>(
    rig: &Rig,
    server: &Server,
    connections: usize,
    client: impl Fn(usize) -> C,
) -> anyhow::Result<Measured> {
    let begin = Instant::now() + rig.warm_up;
    let end = begin + rig.measured;
    let answered = Arc::new(AtomicU64::new(0));
    rig.generator.block_on(async {
        let mut conversations = JoinSet::new();
        for number in 0..connections {
            let connection = Connection::open(server.address).await?;
            conversations.spawn(converse(connection, client(number), begin, end, Arc::clone(&answered)));
        }
        let sample = async |at: Instant| {
            tokio::time::sleep_until(at.into()).await;
            (Instant::now(), answered.load(Ordering::Relaxed), server.usage())
        };
        let (begun, answers_before, usage_before) = sample(begin).await;
        let (ended, answers_after, usage_after) = sample(end).await;
        let mut latencies = Vec::new();
        while let Some(conversation) = conversations.join_next().await {
            latencies.extend(conversation??);
        }
        latencies.sort_unstable();
        let usages = usage_before.zip(usage_after);
        Ok(Measured {
            answers: answers_after - answers_before,
            time: ended - begun,
            cpu: usages.map(|(before, after): (Usage, Usage)| after.cpu - before.cpu),
            kernel: usages.map(|(before, after)| after.kernel - before.kernel),
            latencies,
            total: answered.load(Ordering::Relaxed),
        })
    })
}

/// Sends requests in a loop; returns the latencies of those within the measurement.
async fn converse(
    mut connection: Connection,
    mut client: impl Client,
    begin: Instant,
    end: Instant,
    answered: Arc<AtomicU64>,
) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let mut asked = Instant::now();
    while asked < end {
        connection.send(client.request()).await?;
        let (status, body) = connection.receive().await?;
        ensure!(status == 200 && client.is_right(body), "{status} {}", String::from_utf8_lossy(body));
        answered.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        if asked >= begin {
            latencies.push(now - asked);
        }
        asked = now;
    }
    Ok(latencies)
}

/// A keep-alive connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(1024) })
    }

    pub async fn send(&mut self, request: &[u8]) -> anyhow::Result<()> {
        Ok(self.stream.write_all(request).await?)
    }

    /// Receives the status and the body of a response, which must have a content length.
    pub async fn receive(&mut self) -> anyhow::Result<(u16, &[u8])> {
        self.received.clear();
        let (status, body) = loop {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                bail!("the connection was closed before the answer's end");
            }
            match parse(&self.received)? {
                Some(answer) => break answer,
                None => continue,
            }
        };
        Ok((status, &self.received[body..]))
    }

    /// The value of a header field of the last response.
    pub fn field(&self, name: &str) -> Option<&str> {
        let head = self.received.windows(4).position(|window| window == b"\r\n\r\n")?;
        std::str::from_utf8(&self.received[..head]).ok()?.split("\r\n").find_map(|line| {
            let (field, value) = line.split_once(": ")?;
            field.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// The status and the offset of the body; `None` if the response is incomplete.
fn parse(received: &[u8]) -> anyhow::Result<Option<(u16, usize)>> {
    let Some(head) = received.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&received[..head])?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        if name.eq_ignore_ascii_case("content-length") { value.parse::<usize>().ok() } else { None }
    });
    let (Some(status), Some(length)) = (status, length) else { bail!("an answer that cannot be read: {text}") };
    let body = head + 4;
    ensure!(received.len() <= body + length, "more than one answer");
    Ok((received.len() == body + length).then_some((status, body)))
}
