//! The Redis behind the proxy: a redis-server with a replica, or the embedded broker.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::harness::ports::free_address;
use crate::harness::redis::{Kind, TestRedis};
use crate::schedule::Family;

const DEADLINE: Duration = Duration::from_secs(30);

/// The Redis that m3a3 uses.
pub enum Redis {
    /// Two redis-servers.
    Pair(Pair),
    /// The embedded broker, on a thread of the test.
    Embedded(TestRedis),
}

impl Redis {
    /// Starts the Redis that `M3A3_TEST_REDIS` selects. The default is redis-server, if installed.
    pub async fn start(folder: &Path) -> Self {
        let installed = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_ok();
        match std::env::var("M3A3_TEST_REDIS").as_deref() {
            Ok("embedded") => Self::Embedded(TestRedis::of_kind(Kind::Embedded, "").await),
            Err(_) | Ok("") if !installed => {
                eprintln!("chaos: NO REDIS-SERVER IS INSTALLED: this run uses the embedded broker");
                Self::Embedded(TestRedis::of_kind(Kind::Embedded, "").await)
            }
            _ => Self::Pair(Pair::start(folder)),
        }
    }

    /// The supported faults.
    pub fn families(&self) -> Vec<Family> {
        let mut families = vec![Family::RedisEmpty, Family::ForeignWrite];
        if let Self::Pair(_) = self {
            families.extend([
                Family::RedisSnapshot,
                Family::RedisFailOver,
                Family::RedisLaggingFailOver,
                Family::RedisRefuses,
            ]);
        }
        families
    }

    /// The address of the active server.
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Pair(pair) => pair.servers[pair.active].address,
            Self::Embedded(redis) => redis.address(),
        }
    }

    /// Kills the active server.
    pub fn down(&mut self, runtime: &Handle) {
        match self {
            Self::Pair(pair) => pair.active().kill(),
            Self::Embedded(redis) => runtime.block_on(redis.kill()),
        }
    }

    /// Restarts the active server without data.
    pub fn up_empty(&mut self, runtime: &Handle) {
        match self {
            Self::Pair(pair) => pair.active().start(None),
            Self::Embedded(redis) => runtime.block_on(redis.restart_empty()),
        }
    }

    /// Sends an inline command to the active server; `None` if there is no reply.
    pub fn ask(&self, command: &str) -> Option<String> {
        ask(self.address(), command)
    }

    /// The two servers.
    ///
    /// # Panics
    /// With the embedded broker, for which the schedule has no such faults.
    pub fn pair(&mut self) -> &mut Pair {
        match self {
            Self::Pair(pair) => pair,
            Self::Embedded(_) => panic!("the embedded broker has no replica"),
        }
    }
}

/// Two redis-servers, one a replica of the other.
pub struct Pair {
    servers: [Server; 2],
    active: usize,
    snapshot: PathBuf,
}

impl Pair {
    fn start(folder: &Path) -> Self {
        let servers = ["redis-a", "redis-b"].map(|name| Server::new(folder.join(name)));
        let mut pair = Self { servers, active: 0, snapshot: folder.join("snapshot.rdb") };
        pair.active().start(None);
        pair.attach_replica();
        pair
    }

    fn active(&mut self) -> &mut Server {
        &mut self.servers[self.active]
    }

    /// Saves a snapshot of the active server.
    pub fn keep_snapshot(&mut self) {
        let server = &self.servers[self.active];
        // The server may be down because of another fault.
        if ask(server.address, "SAVE").is_some_and(|answer| answer.starts_with("+OK")) {
            std::fs::rename(server.folder.join("dump.rdb"), &self.snapshot).unwrap();
        }
    }

    /// Restarts the active server with the snapshot.
    pub fn up_from_snapshot(&mut self) {
        let snapshot = self.snapshot.clone();
        self.active().start(Some(&snapshot));
    }

    /// Stops the replication, without removing data of the replica.
    pub fn detach_replica(&mut self) {
        ask(self.servers[1 - self.active].address, "REPLICAOF NO ONE");
    }

    /// Kills the active server and promotes the replica.
    pub fn fail_over(&mut self) {
        self.active().kill();
        self.detach_replica();
        self.active = 1 - self.active;
    }

    /// Makes the inactive server a replica of the active one.
    pub fn attach_replica(&mut self) {
        let port = self.servers[self.active].address.port();
        let replica = &mut self.servers[1 - self.active];
        if replica.process.is_none() {
            replica.start(None);
        }
        ask(replica.address, &format!("REPLICAOF 127.0.0.1 {port}"));
    }

    /// Makes the active server reject writes (NOREPLICAS), or accept them again.
    pub fn reject_writes(&mut self, rejects: bool) {
        let wanted = if rejects { 7 } else { 0 };
        ask(self.servers[self.active].address, &format!("CONFIG SET min-replicas-to-write {wanted}"));
    }
}

struct Server {
    address: SocketAddr,
    folder: PathBuf,
    process: Option<Child>,
}

impl Server {
    fn new(folder: PathBuf) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        Self { address: free_address(), folder, process: None }
    }

    fn start(&mut self, snapshot: Option<&Path>) {
        self.kill();
        let dump = self.folder.join("dump.rdb");
        let _ = std::fs::remove_file(&dump);
        if let Some(snapshot) = snapshot.filter(|snapshot| snapshot.exists()) {
            std::fs::copy(snapshot, &dump).unwrap();
        }
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.address.port().to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--appendonly", "no", "--repl-diskless-sync-delay", "0", "--dir"]);
        command.arg(&self.folder).arg("--logfile").arg(self.folder.join("log"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.process = Some(child.expect("M3A3_TEST_REDIS=real needs a redis-server in the PATH"));
        let started = Instant::now();
        while ask(self.address, "PING").is_none_or(|answer| !answer.starts_with("+PONG")) {
            assert!(started.elapsed() < DEADLINE, "redis-server does not start; see {}", self.folder.display());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends an inline command. Returns the first line of the reply, or the content of a bulk string.
pub fn ask(address: SocketAddr, command: &str) -> Option<String> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    (&stream).write_all(format!("{command}\r\n").as_bytes()).ok()?;
    let (mut reader, mut line) = (BufReader::new(&stream), String::new());
    reader.read_line(&mut line).ok()?;
    if line.starts_with('$') && !line.starts_with("$-1") {
        line.clear();
        reader.read_line(&mut line).ok()?;
    }
    (!line.is_empty()).then(|| line.trim_end().to_owned())
}
