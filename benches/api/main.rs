//! What the API server can do: `cargo bench --bench api`.
//!
//! Runs the binary's `serve` alone, on a core of its own where there are two, with a new database and image root, and
//! loads it from this process over 127.0.0.1. It prints one Markdown table and one JSON object on stdout, and what it is
//! doing on stderr. A wrong answer fails the run; a slow one is only told.
//!
//! Outside of `cargo bench` (`cargo test --benches`) it runs for a moment, to see that the answers are right.

mod busy_neighbour;
mod disk;
mod enqueues;
mod held_polls;
mod plan;
#[path = "../rig/mod.rs"]
mod rig;
mod rows;
mod start;
mod statuses;

use std::time::Duration;

use plan::Plan;
use rig::Rig;
use rig::report::Report;
use rig::server::Server;

/// What every measurement uses.
struct Bench {
    plan: Plan,
    rig: Rig,
}

fn main() -> anyhow::Result<()> {
    if let Some(written) = busy_neighbour::run_if_told() {
        return written;
    }
    let (plan, warm_up, measured) = match rig::is_for_figures() {
        true => (Plan::full(), Duration::from_secs(1), Duration::from_secs(5)),
        false => (Plan::brief(), Duration::from_millis(50), Duration::from_millis(100)),
    };
    let bench = Bench { plan, rig: Rig::new(warm_up, measured)? };
    let mut report = Report::new(&bench.rig.cores);
    disk::measure(&bench, &mut report)?;
    start::measure(&bench, &mut report)?;
    statuses::measure(&bench, &mut report)?;
    enqueues::measure(&bench, &mut report)?;
    busy_neighbour::measure(&bench, &mut report)?;
    held_polls::measure(&bench, &mut report)?;
    report.print()
}

/// Starts an API server on the installation called `name`, a new one the first time.
fn serve(bench: &Bench, name: &str) -> anyhow::Result<Server> {
    Server::start(&bench.rig, name, "serve", &["serve.long_poll_timeout_s=60"])
}
