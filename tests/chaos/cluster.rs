//! The processes: real ones of the built binary, each on a port of its own, started again whenever they end.

use std::fmt;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::harness::binary::Workdir;
use crate::harness::ports::free_address;

/// The lease of jobs; processes are stopped for longer.
pub const LEASE_SECONDS: u64 = 3;
const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;
/// How soon a process that has ended is started again, as by a service manager.
const RESTART_AFTER: Duration = Duration::from_millis(500);

/// What every process is started with.
pub struct Installation {
    pub dir: Workdir,
    pub logs: PathBuf,
    settings: Vec<String>,
    clock: Option<Clock>,
}

impl Installation {
    /// An installation with these settings.
    pub fn new(dir: Workdir, logs: PathBuf, settings: Vec<String>, clock: Option<Clock>) -> Self {
        Self { dir, logs, settings, clock }
    }

    /// A subcommand by the right clock.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.dir.command(args);
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        command
    }

    /// The clock that can jump.
    pub fn clock(&self) -> Option<&Clock> {
        self.clock.as_ref()
    }

    /// The database file.
    pub fn database(&self) -> PathBuf {
        self.dir.path().join("data/m3a3.db")
    }
}

/// An end that no fault explains.
#[derive(Debug)]
pub struct Crash {
    node: String,
    status: ExitStatus,
}

impl Crash {
    /// Whether no process may ever end like this: by a signal (abort, segmentation fault), or by a panic. SIGTERM ends a
    /// process that has not come to install its handlers yet.
    pub fn is_fatal(&self) -> bool {
        self.status.signal().is_some_and(|signal| signal != SIGTERM) || self.status.code() == Some(101)
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ended by itself: {}", self.node, self.status)
    }
}

/// A process that is started again whenever it ends.
struct Node {
    name: String,
    args: Vec<String>,
    child: Option<Child>,
    /// Whether its end was asked for.
    is_ending: bool,
    is_paused: bool,
    start_at: Instant,
}

/// All the processes.
pub struct Cluster {
    pub api: Vec<String>,
    pub game: Vec<String>,
    pub crashes: Vec<Crash>,
    pub kills: usize,
    nodes: Vec<Node>,
    /// The ids of all processes so far.
    started: Vec<u32>,
}

impl Cluster {
    /// Two API servers, two game servers, three workers.
    pub fn new() -> Self {
        let mut cluster = Self {
            api: Vec::new(),
            game: Vec::new(),
            crashes: Vec::new(),
            kills: 0,
            nodes: Vec::new(),
            started: Vec::new(),
        };
        for number in 1..=2 {
            let address = free_address();
            cluster.api.push(format!("http://{address}"));
            cluster.add(format!("serve-{number}"), &["serve", "--port", &address.port().to_string()]);
        }
        for number in 1..=2 {
            let address = free_address();
            cluster.game.push(format!("http://{address}"));
            cluster.add(format!("game-{number}"), &["game-server", "--port", &address.port().to_string()]);
        }
        cluster.add("thumbnail-1".to_owned(), &["worker", "thumbnail"]);
        cluster.add("thumbnail-2".to_owned(), &["worker", "thumbnail"]);
        cluster.add("worker-all".to_owned(), &["worker", "all"]);
        cluster
    }

    fn add(&mut self, name: String, args: &[&str]) {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let node = Node { name, args, child: None, is_ending: false, is_paused: false, start_at: Instant::now() };
        self.nodes.push(node);
    }

    /// How many processes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Starts whatever is to be started, and notes whatever has ended.
    pub fn supervise(&mut self, installation: &Installation) {
        for node in &mut self.nodes {
            if let Some(child) = &mut node.child
                && let Some(status) = child.try_wait().unwrap()
            {
                if !node.is_ending {
                    self.crashes.push(Crash { node: node.name.clone(), status });
                    node.start_at = Instant::now() + RESTART_AFTER;
                } else if !status.success() {
                    self.crashes.push(Crash { node: format!("{}, asked to end,", node.name), status });
                }
                node.child = None;
            }
            if node.child.is_none() && Instant::now() >= node.start_at {
                self.started.push(node.start(installation));
            }
        }
    }

    /// SIGKILL; it is started again at once.
    pub fn kill(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        if let Some(mut child) = node.child.take() {
            let _ = child.kill();
            let _ = child.wait();
            self.kills += 1;
        }
        node.is_paused = false;
    }

    /// SIGTERM; it is started again when it has ended.
    pub fn terminate(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        node.is_ending = true;
        node.signal("TERM");
    }

    /// SIGSTOP.
    pub fn pause(&mut self, node: usize) {
        self.nodes[node].is_paused = true;
        self.nodes[node].signal("STOP");
    }

    /// SIGCONT.
    pub fn resume(&mut self, node: usize) {
        if std::mem::take(&mut self.nodes[node].is_paused) {
            self.nodes[node].signal("CONT");
        }
    }

    /// Ends every process, and waits for the ends.
    pub fn stop(&mut self, installation: &Installation) {
        for node in 0..self.nodes.len() {
            self.resume(node);
            self.terminate(node);
        }
        for node in &mut self.nodes {
            let Some(mut child) = node.child.take() else { continue };
            let asked = Instant::now();
            while child.try_wait().unwrap().is_none() {
                if asked.elapsed() > Duration::from_secs(40) {
                    self.crashes.push(Crash { node: node.name.clone(), status: ExitStatus::from_raw(SIGKILL) });
                    let _ = child.kill();
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        for process in self.started.drain(..) {
            installation.clock().iter().for_each(|clock| clock.tidy(process));
        }
    }
}

impl Node {
    fn start(&mut self, installation: &Installation) -> u32 {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let mut command = installation.command(&args);
        if let Some(clock) = installation.clock() {
            clock.apply(&mut command);
        }
        let log = log(&installation.logs, &self.name);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.is_ending = false;
        self.child.insert(command.spawn().unwrap()).id()
    }

    fn signal(&self, name: &str) {
        if let Some(child) = &self.child {
            let _ = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn log(folder: &Path, name: &str) -> File {
    File::options().create(true).append(true).open(folder.join(format!("{name}.log"))).unwrap()
}
