//! A Redis of the test's own: the embedded broker, or with `M3A3_TEST_REDIS=real` a private `redis-server`.

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

/// Which kind of Redis the tests run against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The embedded broker.
    Embedded,
    /// A private `redis-server`.
    Real,
}

impl Kind {
    /// What `M3A3_TEST_REDIS` asks for.
    ///
    /// # Panics
    /// When it asks for something unknown.
    pub fn asked_for() -> Self {
        match std::env::var("M3A3_TEST_REDIS").as_deref() {
            Err(_) | Ok("" | "embedded") => Self::Embedded,
            Ok("real") => Self::Real,
            Ok(other) => panic!("M3A3_TEST_REDIS is {other:?}; it may be \"embedded\" or \"real\""),
        }
    }
}

/// A Redis on a port of its own; it ends with the test.
pub struct TestRedis {
    kind: Kind,
    address: SocketAddr,
    password: String,
    running: Option<Running>,
}

enum Running {
    /// On a thread of its own: a test's thread is busy with other things for a while now and then, such as waiting for a
    /// process to start.
    Embedded { stop: DropGuard, thread: JoinHandle<()> },
    /// The directory is removed after the server has ended.
    Real { server: Server, _dir: TempDir },
}

/// A process that does not outlive the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl TestRedis {
    /// A running Redis of the kind that the environment asks for, without a password.
    pub async fn start() -> Self {
        Self::with_password("").await
    }

    /// The same with a password.
    pub async fn with_password(password: &str) -> Self {
        Self::of_kind(Kind::asked_for(), password).await
    }

    /// A running Redis of that kind.
    pub async fn of_kind(kind: Kind, password: &str) -> Self {
        let mut redis = Self::down_of_kind(kind, password);
        redis.run().await;
        redis
    }

    /// A Redis that is not there yet; [`TestRedis::restart_empty`] starts it.
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

    /// Its URL with a password that may be another one.
    pub fn url_with(&self, password: &str) -> String {
        let credentials = if password.is_empty() { String::new() } else { format!(":{password}@") };
        format!("redis://{credentials}{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Publishes a message as another program would, and says how many have heard it.
    pub async fn publish(&self, channel: &str, payload: impl AsRef<[u8]>) -> u64 {
        let payload = payload.as_ref();
        let head = format!("*3\r\n$7\r\nPUBLISH\r\n${}\r\n{channel}\r\n${}\r\n", channel.len(), payload.len());
        let answer = self.nth_line(&[head.as_bytes(), payload, b"\r\n"].concat(), 1).await;
        answer.strip_prefix(':').unwrap_or_else(|| panic!("PUBLISH: {answer}")).parse().expect("a number")
    }

    /// Sends a command as another program would, its words separated by spaces and percent-encoded; the answer as it comes.
    pub async fn ask(&self, command: &str) -> String {
        let mut wire = super::wire::Wire::connect(self.address).await;
        if !self.password.is_empty() {
            wire.ask(&format!("AUTH {}", self.password)).await;
        }
        wire.ask(command).await
    }

    /// How many connections listen to a channel by its name.
    pub async fn listeners(&self, channel: &str) -> u64 {
        let command = format!("*3\r\n$6\r\nPUBSUB\r\n$6\r\nNUMSUB\r\n${}\r\n{channel}\r\n", channel.len());
        self.nth_line(command.as_bytes(), 4).await.strip_prefix(':').expect("a number").parse().expect("a number")
    }

    /// The n-th line, from 1, that a command is answered with.
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

    /// Ends it at once, with all its connections.
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

    /// Ends it as a crash would: SIGKILL, or the closing of all sockets.
    pub async fn kill(&mut self) {
        self.stop().await;
    }

    /// Ends it and starts it again on the same port, with nothing in it.
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

/// Whether something speaks RESP there; an error such as NOAUTH is an answer too.
async fn answers(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address).await else { return false };
    let mut answer = [0; 1];
    stream.write_all(b"PING\r\n").await.is_ok() && stream.read_exact(&mut answer).await.is_ok()
}
