//! The server under test: a process of the release binary, with its own database and image root.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use rustix::process::{Pid, Signal, kill_process};

use super::machine::Usage;
use super::{DEADLINE, Rig};

/// The polling interval of conditions.
const PROBE_INTERVAL: Duration = Duration::from_millis(1);
/// A server that has used no CPU for this long is idle; several ticks of the CPU clock.
const QUIET: Duration = Duration::from_millis(300);

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    folder: PathBuf,
    pub address: SocketAddr,
    /// The time from its start until `listening on`.
    pub listening: Duration,
    /// The time from its start until the first response.
    pub answering: Duration,
}

impl Server {
    /// Starts a server by this subcommand on the installation `name`, which is created at the first start. `settings`
    /// are `key=value`.
    pub fn start(rig: &Rig, name: &str, subcommand: &str, settings: &[&str]) -> anyhow::Result<Self> {
        Self::start_on(rig, name, subcommand, 0, settings)
    }

    /// The same, on this port.
    pub fn start_on(rig: &Rig, name: &str, subcommand: &str, port: u16, settings: &[&str]) -> anyhow::Result<Self> {
        Self::start_binary(rig, Path::new(env!("CARGO_BIN_EXE_m3a3")), name, subcommand, port, settings)
    }

    /// The same, of another binary.
    pub fn start_binary(
        rig: &Rig,
        binary: &Path,
        name: &str,
        subcommand: &str,
        port: u16,
        settings: &[&str],
    ) -> anyhow::Result<Self> {
        let folder = rig.folder.path().join(name);
        std::fs::create_dir_all(&folder)?;
        let redis = format!("redis.url={}", rig.doorbell.url);
        let mut command = Command::new(binary);
        command.env_clear().current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::piped());
        command.args([subcommand, "--port", &port.to_string(), "--set", "log.level=warn", "--set", &redis]);
        // No worker runs, so that the queue must not be limited.
        command.args(["--set", "jobs.max_queued=1000000000"]);
        command.args(settings.iter().flat_map(|setting| ["--set", setting]));

        let begun = Instant::now();
        let mut child = rig.cores.on_servers(|| command.spawn())??;
        let stdout = child.stdout.take().context("its stdout is not a pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let listening = begun.elapsed();
        let address = line.trim_end().strip_prefix("listening on http://").context("it does not listen")?.parse()?;
        get(address, "/healthz")?;
        Ok(Self { child, folder, address, listening, answering: begun.elapsed() })
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("no process id")?;
        Ok(kill_process(pid, Signal::TERM)?)
    }

    /// Waits for its end, which must be successful.
    pub fn ended(mut self) -> anyhow::Result<()> {
        let status = self.child.wait()?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }

    pub fn usage(&self) -> Option<Usage> {
        Usage::of(self.child.id())
    }

    pub fn images(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Opens another connection to its database.
    pub fn database(&self) -> anyhow::Result<SqliteConnection> {
        let path = self.images().join("m3a3.db");
        let mut connection = SqliteConnection::establish(path.to_str().context("a path that is not UTF-8")?)?;
        diesel::sql_query("PRAGMA busy_timeout = 10000").execute(&mut connection)?;
        Ok(connection)
    }

    /// Waits until it is idle.
    pub fn settle(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut quiet = (Instant::now(), self.usage().map(|usage| usage.cpu));
        while quiet.0.elapsed() < QUIET {
            std::thread::sleep(PROBE_INTERVAL * 20);
            let cpu = self.usage().map(|usage| usage.cpu);
            if cpu != quiet.1 {
                quiet = (Instant::now(), cpu);
            }
            ensure!(begun.elapsed() < DEADLINE, "the server does not come to rest");
        }
        Ok(())
    }

    /// Waits until it is connected to Redis, and its start-up work is finished.
    pub fn ready(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !get(self.address, "/readyz")?.contains("\"ready\"") {
            ensure!(begun.elapsed() < DEADLINE, "the server does not find its Redis");
            std::thread::sleep(PROBE_INTERVAL);
        }
        self.settle()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a GET that must be answered with 200, and returns the raw response.
pub fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"))
}

/// The same with a POST of JSON.
pub fn post(address: SocketAddr, path: &str, json: &str) -> anyhow::Result<String> {
    let length = json.len();
    exchange(
        address,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{json}"
        ),
    )
}

fn exchange(address: SocketAddr, request: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if !answer.starts_with("HTTP/1.1 200 ") {
        bail!("{request} was answered {answer}");
    }
    Ok(answer)
}
