//! The shared parts of all benchmarks: two cores, a Redis, servers of the release binary, load, and a report.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

pub mod doorbell;
pub mod load;
pub mod machine;
pub mod report;
pub mod server;

use std::time::Duration;

use anyhow::Context;
use doorbell::Doorbell;
use machine::Cores;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// Connections of a load, with one request in flight each.
pub const CONNECTIONS: usize = 64;
/// The time limit of everything that is not measured.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The environment of all measurements.
pub struct Rig {
    /// The cores of the server and this process.
    pub cores: Cores,
    /// The folder for databases and images: below `target`, since `/tmp` may not be on a disk.
    pub folder: TempDir,
    /// The Redis.
    pub doorbell: Doorbell,
    /// The load generator's one thread.
    pub generator: Runtime,
    /// The duration of the warm-up.
    pub warm_up: Duration,
    /// The duration of the measurement.
    pub measured: Duration,
}

impl Rig {
    /// Must be called while the process is single-threaded.
    pub fn new(warm_up: Duration, measured: Duration) -> anyhow::Result<Self> {
        let cores = Cores::choose()?;
        machine::raise_open_files();
        Ok(Self {
            folder: TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).context("no folder for the measurements")?,
            doorbell: Doorbell::start()?,
            generator: Builder::new_current_thread().enable_all().build()?,
            cores,
            warm_up,
            measured,
        })
    }
}

/// Whether to measure (`cargo bench`), or only to check responses (`cargo test --benches`).
pub fn is_for_figures() -> bool {
    std::env::args().any(|arg| arg == "--bench")
}
