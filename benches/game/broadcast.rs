//! The broadcast of a score: latency for each socket, CPU time and memory.

use std::time::Duration;

use anyhow::{Context, ensure};

use super::rig::load::Connection;
use super::rig::report::{Report, Target, millis};
use super::rounds::{BEST, per_hundred_thousand, rounds};
use super::watchers::{self, Watchers};
use super::{Bench, bare_writes, game_server};

/// The number with a latency target. Above this, the clients on the same machine dominate the latency.
const LATENCY_SOCKETS: usize = 5_000;
/// The least number with a target per delivery. Below this, the constant costs dominate.
const MIN_SOCKETS: usize = 5_000;
/// CPU seconds of 100,000 deliveries, on a machine where bare writes took 0.72 s.
const MAX_CPU: f64 = 1.25;
/// CPU time relative to bare writes, on any machine: 1.25 / 0.72. With few sockets everything is in the processor's
/// cache, where bare writes are cheaper.
const MAX_CPU_RATIO: f64 = 1.74;
/// Ten names of this length make a board of about 600 bytes.
const NAME: &str = "somebody with a name";

/// Measures broadcasts of a new server for each number of sockets.
pub fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    for sockets in bench.broadcasts {
        let measured = run(bench, sockets)?;
        let name = format!("Broadcast of the top ten to {sockets} websockets");
        let percentile = |percent: usize| millis(measured.latencies[(measured.latencies.len() - 1) * percent / 100]);
        let target = (sockets == LATENCY_SOCKETS).then_some(Target::Below(120.0));
        report.add(&format!("{name}: p50 from `POST /score`"), "ms", Some(percentile(50)), None);
        report.add(&format!("{name}: p99 from `POST /score`"), "ms", Some(percentile(99)), target);
        let cpu = measured.cpu.map(|cpu| per_hundred_thousand(cpu, measured.latencies.len()));
        report.add(
            &format!("{name}: CPU of the server per 100,000 deliveries"),
            "s",
            cpu,
            Some(Target::AtMost(MAX_CPU)),
        );
        let bare = bare_writes::measure(bench, sockets, measured.frame)?;
        report.add(&format!("{name}: CPU of the same by bare write(2) per 100,000"), "s", Some(bare), None);
        let target = (sockets >= MIN_SOCKETS).then_some(Target::AtMost(MAX_CPU_RATIO));
        report.add(&format!("{name}: CPU of the server : bare write(2)"), "", cpu.map(|cpu| cpu / bare), target);
        let target = (sockets >= MIN_SOCKETS).then_some(Target::AtMost(40.0));
        report.add(&format!("{name}: memory of the server, each"), "KiB", measured.kib_each, target);
    }
    Ok(())
}

struct Measured {
    /// Sorted, with one for each socket and score.
    latencies: Vec<Duration>,
    cpu: Option<Duration>,
    kib_each: Option<f64>,
    /// An update as received over a websocket.
    frame: Vec<u8>,
}

fn run(bench: &Bench, sockets: usize) -> anyhow::Result<Measured> {
    let server = game_server(bench, &format!("broadcast-{sockets}"))?;
    server.ready()?;
    bench.rig.generator.block_on(async {
        let mut scores = Connection::open(server.address).await?;
        for player in 0..10 {
            score(&mut scores, player, BEST + player).await?;
        }
        let mut watchers = Watchers::connect(server.address, sockets).await?;
        server.settle()?;
        let before = server.usage();
        let mut latencies = rounds(bench, &mut watchers, async |top| score(&mut scores, 0, top).await).await?;
        server.settle()?;
        let after = server.usage();
        latencies.sort_unstable();
        let update = async { score(&mut scores, 0, BEST + 10).await };
        let frame = watchers::next_update(server.address, update).await?;
        watchers.close().await;
        Ok(Measured {
            latencies,
            cpu: before.zip(after).map(|(before, after)| after.cpu - before.cpu),
            kib_each: after.map(|after| after.rss_kib as f64 / sockets as f64),
            frame,
        })
    })
}

async fn score(connection: &mut Connection, player: u64, score: u64) -> anyhow::Result<()> {
    let body = format!("{{\"username\":\"{NAME} {player:03}\",\"score\":{score}}}");
    let request = format!(
        "POST /score HTTP/1.1\r\nHost: 127.0.0.1:3011\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.send(request.as_bytes()).await?;
    let (status, response) = connection.receive().await.context("no response to a score")?;
    ensure!(status == 200, "{status} {}", String::from_utf8_lossy(response));
    Ok(())
}
