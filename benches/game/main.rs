//! Benchmark of the game server: `cargo bench --bench game`.
//!
//! Runs `m3a3 game-server` with a new database, on a core of its own if there are two, and sends it load from this
//! process over 127.0.0.1. Prints a Markdown table and a JSON object on stdout, and progress on stderr. A wrong
//! response fails the run; a missed target is only reported.
//!
//! Outside of `cargo bench` (`cargo test --benches`) it runs briefly, to check the responses.

mod bare_writes;
mod broadcast;
mod refill;
#[path = "../rig/mod.rs"]
mod rig;
mod rounds;
mod scores;
mod watchers;

use std::time::Duration;

use rig::Rig;
use rig::report::Report;
use rig::server::Server;

/// The rig and the sizes of the measurements.
struct Bench {
    rig: Rig,
    /// Connected sockets while scores are submitted.
    sockets: usize,
    /// Numbers of sockets for the broadcasts.
    broadcasts: [usize; 3],
    /// Deliveries for each number of sockets.
    deliveries: usize,
    /// Between two broadcasts.
    pause: Duration,
    /// Players of the refill of an empty Redis.
    players: i64,
}

impl Bench {
    /// For measurements: several minutes.
    fn full() -> anyhow::Result<Self> {
        let rig = Rig::new(Duration::from_secs(1), Duration::from_secs(5))?;
        let (broadcasts, pause) = ([1_000, 5_000, 10_000], Duration::from_millis(100));
        Ok(Self { rig, sockets: 200, broadcasts, deliveries: 300_000, pause, players: 1_000_000 })
    }

    /// To check the responses.
    fn brief() -> anyhow::Result<Self> {
        let rig = Rig::new(Duration::from_millis(50), Duration::from_millis(100))?;
        let (broadcasts, pause) = ([1, 10, 50], Duration::from_millis(1));
        Ok(Self { rig, sockets: 10, broadcasts, deliveries: 100, pause, players: 1_000 })
    }
}

fn main() -> anyhow::Result<()> {
    if let Some(result) = bare_writes::run_if_writer() {
        return result;
    }
    let bench = if rig::is_for_figures() { Bench::full()? } else { Bench::brief()? };
    let mut report = Report::new(&bench.rig.cores);
    scores::measure(&bench, &mut report)?;
    broadcast::measure(&bench, &mut report)?;
    refill::measure(&bench, &mut report)?;
    report.print()
}

/// Starts a game server on the installation `name`, which is created the first time.
fn game_server(bench: &Bench, name: &str) -> anyhow::Result<Server> {
    Server::start(&bench.rig, name, "game-server", &[])
}
