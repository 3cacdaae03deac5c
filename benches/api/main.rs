//! Benchmark of the API server: `cargo bench --bench api`. `cargo bench --bench api -- claims` measures claims alone,
//! `-- checks` the checks of tokens and limits, and `-- uploads` uploads of 2 MB.
//!
//! Runs `m3a3 serve` alone, on its own core if there are two, with a new database and image root, and loads it from
//! this process over 127.0.0.1. Prints one Markdown table and one JSON object on stdout, and its progress on stderr. A
//! wrong response fails the run; a slow one is only reported.
//!
//! Outside of `cargo bench` (`cargo test --benches`), a short run checks that responses are correct.

mod busy_neighbour;
mod checks;
mod claims;
mod disk;
mod enqueues;
mod long_polls;
mod plan;
#[path = "../rig/mod.rs"]
mod rig;
mod rows;
mod start;
mod statuses;
mod uploads;

use std::time::Duration;

use plan::Plan;
use rig::Rig;
use rig::report::Report;
use rig::server::Server;

/// The environment of all measurements.
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
    let is_named = |name| std::env::args().any(|arg| arg == name);
    if is_named("claims") {
        claims::measure(&bench, &mut report)?;
        return report.print();
    }
    if is_named("checks") {
        checks::measure(&bench, &mut report)?;
        return report.print();
    }
    if is_named("uploads") {
        uploads::measure(&bench, &mut report)?;
        return report.print();
    }
    disk::measure(&bench, &mut report)?;
    start::measure(&bench, &mut report)?;
    statuses::measure(&bench, &mut report)?;
    checks::measure(&bench, &mut report)?;
    enqueues::measure(&bench, &mut report)?;
    uploads::measure(&bench, &mut report)?;
    claims::measure(&bench, &mut report)?;
    busy_neighbour::measure(&bench, &mut report)?;
    long_polls::measure(&bench, &mut report)?;
    report.print()
}

/// Starts an API server on the installation `name`, which is created at the first start.
fn serve(bench: &Bench, name: &str) -> anyhow::Result<Server> {
    Server::start(&bench.rig, name, "serve", &["serve.long_poll_timeout_s=60"])
}
