//! What the API server can do: `cargo bench --bench api`.
//!
//! Runs the binary's `serve` alone, on a core of its own where there are two, with a new database and image root, and
//! loads it from this process over 127.0.0.1. It prints one Markdown table and one JSON object on stdout, and what it is
//! doing on stderr. A wrong answer fails the run; a slow one is only told.
//!
//! Outside of `cargo bench` (`cargo test --benches`) it runs for a moment, to see that the answers are right.

mod disk;
mod doorbell;
mod enqueues;
mod held_polls;
mod load;
mod machine;
mod plan;
mod report;
mod rows;
mod server;
mod start;
mod statuses;

use anyhow::Context;
use doorbell::Doorbell;
use machine::Cores;
use plan::Plan;
use report::Report;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// What every measurement uses.
struct Bench {
    plan: Plan,
    cores: Cores,
    /// Where databases and pictures lie: below `target`, since `/tmp` may be no disk.
    folder: TempDir,
    doorbell: Doorbell,
    /// The load generator's one thread.
    generator: Runtime,
}

fn main() -> anyhow::Result<()> {
    let plan = if std::env::args().any(|arg| arg == "--bench") { Plan::full() } else { Plan::brief() };
    let cores = Cores::choose()?;
    machine::raise_open_files();
    let bench = Bench {
        plan,
        folder: TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).context("no folder for the measurements")?,
        doorbell: Doorbell::start()?,
        generator: Builder::new_current_thread().enable_all().build()?,
        cores,
    };
    let mut report = Report::new(&bench.cores);
    disk::measure(&bench, &mut report)?;
    start::measure(&bench, &mut report)?;
    statuses::measure(&bench, &mut report)?;
    enqueues::measure(&bench, &mut report)?;
    held_polls::measure(&bench, &mut report)?;
    report.print()
}
