//! A private Redis: the embedded broker, or with `M3A3_TEST_REDIS=real` a `redis-server`.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use m3a3::bus::embedded::Broker;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::ports::{for_tokio, free_address, listen};

/// The kind of Redis that the tests run against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The embedded broker.
    Embedded,
    /// A private `redis-server`.
    Real,
}

impl Kind {
    /// The kind in `M3A3_TEST_REDIS`.
    ///
    /// # Panics
    /// With an unknown kind.
    pub fn asked_for() -> Self {
        match std::env::var("M3A3_TEST_REDIS").as_deref() {
            Err(_) | Ok("" | "embedded") => Self::Embedded,
            Ok("real") => Self::Real,
            Ok(other) => panic!("M3A3_TEST_REDIS is {other:?}; it may be \"embedded\" or \"real\""),
        }
    }
}

/// A Redis on a reserved port, which stops at the end of the test.
pub struct TestRedis {
    kind: Kind,
    address: SocketAddr,
    password: String,
    running: Option<Running>,
}

enum Running {
    /// On a thread of its own, since tests block their thread at times, such as while a process starts.
    Embedded { stop: DropGuard, thread: JoinHandle<()> },
    /// The directory is deleted after the server has stopped.
    Real { server: Server, _dir: TempDir },
}

/// A process that does not outlive the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl TestRedis {
    /// A running Redis of the configured kind, without a password.
    pub async fn start() -> Self {
        Self::with_password("").await
    }

    /// The same with a password.
    pub async fn with_password(password: &str) -> Self {
        Self::of_kind(Kind::asked_for(), password).await
    }

    /// A running Redis of this kind.
    pub async fn of_kind(kind: Kind, password: &str) -> Self {
        let mut redis = Self::down_of_kind(kind, password);
        redis.run().await;
        redis
    }

    /// A Redis that is down; [`TestRedis::restart_empty`] starts it.
    pub fn down() -> Self {
        Self::down_of_kind(Kind::asked_for(), "")
    }

    fn down_of_kind(kind: Kind, password: &str) -> Self {
        Self { kind, address: free_address(), password: password.to_owned(), running: None }
    }

    /// Its URL, with the password.
    pub fn url(&self) -> String {
        self.url_with(&self.password)
    }

    /// Its URL with another password.
    pub fn url_with(&self, password: &str) -> String {
        let credentials = if password.is_empty() { String::new() } else { format!(":{password}@") };
        format!("redis://{credentials}{}", self.address)
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Publishes a message as another program would, and returns the number of receivers.
    pub async fn publish(&self, channel: &str, payload: impl AsRef<[u8]>) -> u64 {
        let payload = payload.as_ref();
        let head = format!("*3\r\n$7\r\nPUBLISH\r\n${}\r\n{channel}\r\n${}\r\n", channel.len(), payload.len());
        let answer = self.nth_line(&[head.as_bytes(), payload, b"\r\n"].concat(), 1).await;
        answer.strip_prefix(':').unwrap_or_else(|| panic!("PUBLISH: {answer}")).parse().expect("a number")
    }

    /// Sends a command as another program would, its arguments separated by spaces and percent-encoded. Returns the raw
    /// reply.
    pub async fn ask(&self, command: &str) -> String {
        let mut wire = super::wire::Wire::connect(self.address).await;
        if !self.password.is_empty() {
            wire.ask(&format!("AUTH {}", self.password)).await;
        }
        wire.ask(command).await
    }

    /// The number of subscribers of a channel.
    pub async fn listeners(&self, channel: &str) -> u64 {
        let command = format!("*3\r\n$6\r\nPUBSUB\r\n$6\r\nNUMSUB\r\n${}\r\n{channel}\r\n", channel.len());
        self.nth_line(command.as_bytes(), 4).await.strip_prefix(':').expect("a number").parse().expect("a number")
    }

    /// Line number `line` (from 1) of the reply to a command.
    async fn nth_line(&self, command: &[u8], line: usize) -> String {
        let mut stream = BufReader::new(TcpStream::connect(self.address).await.expect("a connection to Redis"));
        stream.write_all(command).await.expect("a command is sent");
        let mut answer = String::new();
        for _ in 0..line {
            answer.clear();
            stream.read_line(&mut answer).await.expect("an answer");
        }
        answer.trim_end().to_owned()
    }

    /// Stops it immediately, with all its connections.
    pub async fn stop(&mut self) {
        match self.running.take() {
            None => {}
            Some(Running::Embedded { stop, thread }) => {
                drop(stop);
                thread.join().expect("the broker ends without a panic");
            }
            Some(Running::Real { server, .. }) => drop(server),
        }
    }

    /// Stops it as a crash would: SIGKILL, or the closing of all sockets.
    pub async fn kill(&mut self) {
        self.stop().await;
    }

    /// Restarts it empty, on the same port.
    pub async fn restart_empty(&mut self) {
        self.stop().await;
        self.run().await;
    }

    async fn run(&mut self) {
        self.running = Some(match self.kind {
            Kind::Embedded => self.embedded(),
            Kind::Real => self.real().await,
        });
    }

    fn embedded(&self) -> Running {
        let (listener, password, stop) = (listen(self.address), self.password.clone(), CancellationToken::new());
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let broker = async { Broker::start(for_tokio(listener), password, stopped).await };
            runtime.block_on(broker).expect("the broker ends without a panic");
        });
        Running::Embedded { stop: stop.drop_guard(), thread }
    }

    async fn real(&self) -> Running {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let port = self.address.port().to_string();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"]);
        command.arg(dir.path()).args(["--requirepass", &self.password]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("M3A3_TEST_REDIS=real needs a redis-server in the PATH, which could not be started: {error}")
        });
        let mut server = Server(child);
        while !answers(self.address).await {
            let ended = server.0.try_wait().expect("the server's state");
            assert!(ended.is_none(), "redis-server ended at once with {ended:?}, is the port {port} taken?");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Running::Real { server, _dir: dir }
    }
}

/// Whether a server replies to PING, also with an error such as NOAUTH.
async fn answers(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address).await else { return false };
    let mut answer = [0; 1];
    stream.write_all(b"PING\r\n").await.is_ok() && stream.read_exact(&mut answer).await.is_ok()
}
