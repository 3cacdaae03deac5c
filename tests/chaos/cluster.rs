//! The processes: the built binary, each with a port of its own, restarted whenever they exit.

use std::fmt;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::harness::binary::Workdir;
use crate::harness::ports::free_address;

/// The lease of jobs. SIGSTOP lasts longer.
pub const LEASE_SECONDS: u64 = 3;
const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;
/// Like a service manager.
const RESTART_DELAY: Duration = Duration::from_millis(500);

/// The common settings of all processes.
pub struct Installation {
    pub dir: Workdir,
    pub logs: PathBuf,
    settings: Vec<String>,
    clock: Option<Clock>,
}

impl Installation {
    pub fn new(dir: Workdir, logs: PathBuf, settings: Vec<String>, clock: Option<Clock>) -> Self {
        Self { dir, logs, settings, clock }
    }

    /// A subcommand with the system clock.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.dir.command(args);
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        command
    }

    pub fn clock(&self) -> Option<&Clock> {
        self.clock.as_ref()
    }

    pub fn database(&self) -> PathBuf {
        self.dir.path().join("data/m3a3.db")
    }
}

/// An exit without a fault.
#[derive(Debug)]
pub struct Crash {
    node: String,
    status: ExitStatus,
}

impl Crash {
    /// Whether the exit is an error: by a signal (abort, segmentation fault), or by a panic. SIGTERM kills a process
    /// that has not installed its handlers yet.
    pub fn is_fatal(&self) -> bool {
        self.status.signal().is_some_and(|signal| signal != SIGTERM) || self.status.code() == Some(101)
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} exited unexpectedly: {}", self.node, self.status)
    }
}

/// A process that is restarted whenever it exits.
struct Node {
    name: String,
    args: Vec<String>,
    child: Option<Child>,
    /// SIGTERM was sent.
    is_terminating: bool,
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
    /// The process ids so far.
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
        let node = Node { name, args, child: None, is_terminating: false, is_paused: false, start_at: Instant::now() };
        self.nodes.push(node);
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Records exits, and restarts processes.
    pub fn supervise(&mut self, installation: &Installation) {
        for node in &mut self.nodes {
            if let Some(child) = &mut node.child
                && let Some(status) = child.try_wait().unwrap()
            {
                if !node.is_terminating {
                    self.crashes.push(Crash { node: node.name.clone(), status });
                    node.start_at = Instant::now() + RESTART_DELAY;
                } else if !status.success() {
                    self.crashes.push(Crash { node: format!("{} after SIGTERM", node.name), status });
                }
                node.child = None;
            }
            if node.child.is_none() && Instant::now() >= node.start_at {
                self.started.push(node.start(installation));
            }
        }
    }

    /// SIGKILL, with an immediate restart.
    pub fn kill(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        if let Some(mut child) = node.child.take() {
            let _ = child.kill();
            let _ = child.wait();
            self.kills += 1;
        }
        node.is_paused = false;
    }

    /// SIGTERM, with a restart after the exit.
    pub fn terminate(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        node.is_terminating = true;
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

    /// Terminates every process, and waits for the exits.
    pub fn stop(&mut self, installation: &Installation) {
        for node in 0..self.nodes.len() {
            self.resume(node);
            self.terminate(node);
        }
        for node in &mut self.nodes {
            let Some(mut child) = node.child.take() else { continue };
            let start = Instant::now();
            while child.try_wait().unwrap().is_none() {
                if start.elapsed() > Duration::from_secs(40) {
                    self.crashes.push(Crash { node: node.name.clone(), status: ExitStatus::from_raw(SIGKILL) });
                    let _ = child.kill();
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        for process in self.started.drain(..) {
            installation.clock().iter().for_each(|clock| clock.clean_up(process));
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
        self.is_terminating = false;
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
