//! What the game server can do: `cargo bench --bench game`.
//!
//! Runs the binary's `game-server` alone, on a core of its own where there are two, with a new database, and loads it from
//! this process over 127.0.0.1. It prints one Markdown table and one JSON object on stdout, and what it is doing on stderr.
//! A wrong answer fails the run; a slow one is only told.
//!
//! Outside of `cargo bench` (`cargo test --benches`) it runs for a moment, to see that the answers are right.

mod bare_writes;
mod broadcast;
mod refill;
#[path = "../rig/mod.rs"]
mod rig;
mod scores;
mod watchers;

use std::time::Duration;

use rig::Rig;
use rig::report::Report;
use rig::server::Server;

/// What every measurement uses, and how much is measured.
struct Bench {
    rig: Rig,
    /// Sockets that are connected while scores are handed in.
    sockets: usize,
    /// Sockets that broadcasts go to, in turn.
    broadcasts: [usize; 3],
    /// How often a broadcast reaches a socket, over all broadcasts to one number of sockets.
    deliveries: usize,
    /// Between two of them.
    pause: Duration,
    /// Players that a Redis which came back empty is filled with.
    players: i64,
}

impl Bench {
    /// For figures: some minutes.
    fn full() -> anyhow::Result<Self> {
        let rig = Rig::new(Duration::from_secs(1), Duration::from_secs(5))?;
        let (broadcasts, pause) = ([1_000, 5_000, 10_000], Duration::from_millis(100));
        Ok(Self { rig, sockets: 200, broadcasts, deliveries: 300_000, pause, players: 1_000_000 })
    }

    /// To see that the answers are right.
    fn brief() -> anyhow::Result<Self> {
        let rig = Rig::new(Duration::from_millis(50), Duration::from_millis(100))?;
        let (broadcasts, pause) = ([1, 10, 50], Duration::from_millis(1));
        Ok(Self { rig, sockets: 10, broadcasts, deliveries: 100, pause, players: 1_000 })
    }
}

fn main() -> anyhow::Result<()> {
    if let Some(written) = bare_writes::run_if_told() {
        return written;
    }
    let bench = if rig::is_for_figures() { Bench::full()? } else { Bench::brief()? };
    let mut report = Report::new(&bench.rig.cores);
    scores::measure(&bench, &mut report)?;
    broadcast::measure(&bench, &mut report)?;
    refill::measure(&bench, &mut report)?;
    report.print()
}

/// Starts a game server on the installation called `name`, a new one the first time.
fn game_server(bench: &Bench, name: &str) -> anyhow::Result<Server> {
    Server::start(&bench.rig, name, "game-server", &[])
}
