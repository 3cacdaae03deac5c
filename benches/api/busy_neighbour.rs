//! Latency of a single write while another process on the same database commits continuously.
//!
//! The other process is this binary, started with [`NEIGHBOUR`].

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use m3a3::db::schema::users;
use m3a3::db::{Database, DbError, Location};
use tokio::task::JoinSet;

use super::Bench;
use super::rig::CONNECTIONS;
use super::rig::report::{Report, Target, millis};

/// The argument that makes this binary the other process, followed by the path of the database.
const NEIGHBOUR: &str = "--busy-neighbour";
/// The pause between writes.
const PAUSE: Duration = Duration::from_millis(5);

/// Measures single writes of this process.
pub fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let path = bench.rig.folder.path().join("neighbours/m3a3.db");
    let mut neighbour = Neighbour::start(bench, &path)?;
    let mut waits = bench.rig.generator.block_on(async {
        let (database, writer) = Database::open(&Location::new(&path))?;
        let (begin, mut waits) = (Instant::now() + bench.rig.warm_up, Vec::new());
        let end = begin + bench.rig.measured;
        while Instant::now() < end {
            let requested = Instant::now();
            database.write(add_user).await?;
            if requested >= begin {
                waits.push(requested.elapsed());
            }
            tokio::time::sleep(PAUSE).await;
        }
        writer.close().await;
        anyhow::Ok(waits)
    })?;
    ensure!(neighbour.child.try_wait()?.is_none(), "the neighbour has ended");
    waits.sort_unstable();
    let percentile = |percent| waits.get(waits.len().saturating_sub(1) * percent / 100).copied().map(millis);
    let name = "One write beside a busy process";
    report.add(&format!("{name}: p50"), "ms", percentile(50), None);
    report.add(&format!("{name}: p99"), "ms", percentile(99), Some(Target::Below(50.0)));
    report.add(&format!("{name}: longest"), "ms", percentile(100), None);
    Ok(())
}

fn add_user(connection: &mut SqliteConnection) -> QueryResult<usize> {
    diesel::insert_into(users::table).default_values().execute(connection)
}

/// The process that commits continuously; killed when dropped.
struct Neighbour {
    child: Child,
}

impl Neighbour {
    /// Starts the process, and waits for its first commit.
    fn start(bench: &Bench, path: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(NEIGHBOUR).arg(path).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut neighbour = Self { child: bench.rig.cores.on_servers(|| command.spawn())?? };
        let stdout = neighbour.child.stdout.take().context("its stdout is not a pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(line.trim_end() == "writing", "the neighbour does not write");
        Ok(neighbour)
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In the other process, writes until it is killed; otherwise `None`.
pub fn run_if_told() -> Option<anyhow::Result<()>> {
    let mut args = std::env::args_os().skip(1);
    (args.next()? == NEIGHBOUR).then(|| write_continuously(args.next().context("no database")?.into()))
}

fn write_continuously(path: PathBuf) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (database, _writer) = Database::open(&Location::new(path))?;
        database.write(add_user).await?;
        println!("writing");
        let mut writes = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let database = database.clone();
            writes.spawn(async move {
                loop {
                    database.write(add_user).await?;
                }
            });
        }
        let ended: Option<Result<Result<(), DbError>, _>> = writes.join_next().await;
        Ok(ended.context("nobody writes")???)
    })
}
