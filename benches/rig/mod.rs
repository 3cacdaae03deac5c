//! What every benchmark is measured with: two cores, a Redis, servers of the release binary, load, and a report.

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

/// Connections of a load; each has one request under way.
pub const CONNECTIONS: usize = 64;
/// How long anything that is not itself measured may take before the run fails.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// What every measurement uses.
pub struct Rig {
    /// Who runs where.
    pub cores: Cores,
    /// Where databases and pictures lie: below `target`, since `/tmp` may be no disk.
    pub folder: TempDir,
    /// The Redis.
    pub doorbell: Doorbell,
    /// The load generator's one thread.
    pub generator: Runtime,
    /// Load before anything is counted.
    pub warm_up: Duration,
    /// Load that is counted.
    pub measured: Duration,
}

impl Rig {
    /// Everything set up; call it before there is a second thread.
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

/// Whether figures are wanted (`cargo bench`), or only to see that the answers are right (`cargo test --benches`).
pub fn is_for_figures() -> bool {
    std::env::args().any(|arg| arg == "--bench")
}
