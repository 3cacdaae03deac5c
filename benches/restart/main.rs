//! Benchmark of a rolling restart under load: `cargo bench --bench restart`.
//!
//! Runs `m3a3 serve` and `m3a3 game-server` with sockets, held polls and a load of requests, starts a second process of
//! each on the same ports, and stops the first ones: with `shutdown.spread_s = 0`, where all connections end at once, and
//! with the default, where a failed request fails the run. A missed board always does. The figures are how many clients
//! connect within the same tenth of a second and the same second.
//!
//! Outside of `cargo bench` (`cargo test --benches`) it runs briefly, to check the responses.

mod clients;
mod record;
#[path = "../rig/mod.rs"]
mod rig;
#[path = "../game/watchers.rs"]
mod watchers;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use clients::Clients;
use record::Record;
use rig::report::{Report, Target};
use rig::server::{Server, post};
use rig::{DEADLINE, Rig};

/// Above every other score.
const LAST_SCORE: u64 = 1_000_000_000;

struct Bench {
    rig: Rig,
    sockets: usize,
    polls: usize,
    /// Connections that send requests, for each server.
    load: usize,
    /// How long the load runs before the restart, and after it.
    around: Duration,
    /// The mean reconnection delay of sockets; as in the official client, it is random from half to one and a half.
    reconnect: Duration,
    /// The values of `shutdown.spread_s`.
    spreads: [u64; 2],
}

impl Bench {
    fn full() -> anyhow::Result<Self> {
        let rig = Rig::new(Duration::ZERO, Duration::ZERO)?;
        let (around, reconnect) = (Duration::from_secs(3), Duration::from_secs(1));
        Ok(Self { rig, sockets: 5_000, polls: 2_000, load: 8, around, reconnect, spreads: [0, 5] })
    }

    fn brief() -> anyhow::Result<Self> {
        let rig = Rig::new(Duration::ZERO, Duration::ZERO)?;
        let (around, reconnect) = (Duration::from_millis(50), Duration::from_millis(10));
        Ok(Self { rig, sockets: 20, polls: 20, load: 2, around, reconnect, spreads: [0, 1] })
    }
}

fn main() -> anyhow::Result<()> {
    let bench = if rig::is_for_figures() { Bench::full()? } else { Bench::brief()? };
    let mut report = Report::new(&bench.rig.cores);
    let [at_once, spread] = bench.spreads;
    let most = restart(&bench, at_once, None, &mut report)?;
    restart(&bench, spread, Some(Target::AtMost(most / 2.0)), &mut report)?;
    report.print()
}

/// One restart. Returns the most clients that connected within the same second.
fn restart(bench: &Bench, spread: u64, target: Option<Target>, report: &mut Report) -> anyhow::Result<f64> {
    let name = format!("restart-{spread}");
    let start = |subcommand: &str, port: u16| {
        let spread = format!("shutdown.spread_s={spread}");
        Server::start_on(&bench.rig, &name, subcommand, port, &["serve.reuse_port=true", &spread])
    };
    let first = [start("serve", 0)?, start("game-server", 0)?];
    first.iter().try_for_each(Server::ready)?;
    let [api, game] = [first[0].address, first[1].address];

    let record = Arc::new(Record::default());
    let clients = Clients { api, game, sockets: bench.sockets, polls: bench.polls, load: bench.load };
    let (stopped, _second) = thread::scope(|threads| {
        let running = threads.spawn(|| bench.rig.generator.block_on(clients.run(bench.reconnect, record.clone())));
        let outcome = (|| {
            until("all clients are connected", || record.connected() == clients.held())?;
            thread::sleep(bench.around);
            let second = [start("serve", api.port())?, start("game-server", game.port())?];
            let stopped = Instant::now();
            first.iter().try_for_each(Server::terminate)?;
            first.into_iter().try_for_each(Server::ended)?;
            report.add(
                &format!("spread {spread} s: until the old processes had ended"),
                "s",
                Some(stopped.elapsed().as_secs_f64()),
                None,
            );
            until("all clients have returned", || record.connected() == clients.held())?;
            thread::sleep(bench.around);
            post(game, "/score", &format!(r#"{{"username":"last","score":{LAST_SCORE}}}"#))?;
            until("every socket has the last board", || record.last_boards() == bench.sockets)?;
            anyhow::Ok((stopped, second))
        })();
        record.finish();
        running.join().map_err(|_| anyhow::anyhow!("the clients panicked"))?;
        outcome
    })?;
    let failures = record.failures();
    // Without a window, an idle connection may be closed while its client sends a request.
    if let (Some(first), 1..) = (failures.first(), spread) {
        bail!("{} requests failed; the first: {first}", failures.len());
    }
    report.add(&format!("spread {spread} s: answered requests"), "", Some(record.answered() as f64), None);
    report.add(&format!("spread {spread} s: failed requests"), "", Some(failures.len() as f64), None);
    let [tenth, second] =
        [Duration::from_millis(100), Duration::from_secs(1)].map(|within| record.most(stopped, within) as f64);
    report.add(&format!("spread {spread} s: most connections within 0.1 s"), "", Some(tenth), None);
    report.add(
        &format!("spread {spread} s: most connections within 1 s"),
        "",
        Some(second),
        target.filter(|_| rig::is_for_figures()),
    );
    Ok(second)
}

fn until(what: &str, condition: impl Fn() -> bool) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !condition() {
        ensure!(begun.elapsed() < DEADLINE, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
