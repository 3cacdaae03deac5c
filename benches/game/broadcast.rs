//! One score, told to everyone: how soon each socket has it, and what it takes.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::rig::load::Connection;
use super::rig::report::{Report, Target, millis};
use super::watchers::{self, Watchers};
use super::{Bench, bare_writes, game_server};

/// Above this, the machine that also plays the clients is what is measured.
const JUDGED: usize = 5_000;
/// Below this, what a server takes without any socket weighs too much.
const MANY: usize = 5_000;
/// CPU seconds that the server may take for 100,000 deliveries. This is of a machine where bare writes took 0.72 s.
const CPU: f64 = 1.25;
/// How many times a bare write's it may take on any machine: 1.25 / 0.72. Of few sockets all lies in the processor's cache,
/// where bare writes are cheaper than that.
const CPU_RATIO: f64 = 1.74;
/// Ten names of this length make a board of about 600 bytes.
const NAME: &str = "somebody with a name";
/// More than anybody scores in the other measurements, which use the same Redis.
const BEST: u64 = 1_000_000;

/// Broadcasts to sockets of a new server, one number of them after the other.
pub fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    for sockets in bench.broadcasts {
        let measured = run(bench, sockets)?;
        let name = format!("Broadcast of the top ten to {sockets} websockets");
        let percentile = |percent: usize| millis(measured.latencies[(measured.latencies.len() - 1) * percent / 100]);
        let target = (sockets == JUDGED).then_some(Target::Below(120.0));
        report.add(&format!("{name}: p50 from `POST /score`"), "ms", Some(percentile(50)), None);
        report.add(&format!("{name}: p99 from `POST /score`"), "ms", Some(percentile(99)), target);
        let cpu = measured.cpu.map(|cpu| per_hundred_thousand(cpu, measured.latencies.len()));
        report.add(&format!("{name}: CPU of the server per 100,000 deliveries"), "s", cpu, Some(Target::AtMost(CPU)));
        let bare = bare_writes::measure(bench, sockets, measured.frame)?;
        report.add(&format!("{name}: CPU of the same by bare write(2) per 100,000"), "s", Some(bare), None);
        let target = (sockets >= MANY).then_some(Target::AtMost(CPU_RATIO));
        report.add(&format!("{name}: CPU of the server : bare write(2)"), "", cpu.map(|cpu| cpu / bare), target);
        let target = (sockets >= MANY).then_some(Target::AtMost(40.0));
        report.add(&format!("{name}: memory of the server, each"), "KiB", measured.kib_each, target);
    }
    Ok(())
}

struct Measured {
    /// Ascending; one for each socket and score.
    latencies: Vec<Duration>,
    cpu: Option<Duration>,
    kib_each: Option<f64>,
    /// An update as it comes over a websocket.
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

/// Has every watcher told of a new highest score, again and again, and returns how long each delivery took.
pub async fn rounds(
    bench: &Bench,
    watchers: &mut Watchers,
    mut tell: impl AsyncFnMut(u64) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::with_capacity(bench.deliveries);
    for top in BEST + 10.. {
        if latencies.len() >= bench.deliveries {
            break;
        }
        watchers.look_for(top);
        let since = Instant::now();
        tell(top).await?;
        latencies.extend(watchers.arrivals(since).await?);
        // Longer than the interval within which updates become one, so that each round has one of its own.
        tokio::time::sleep(bench.pause).await;
    }
    Ok(latencies)
}

/// Seconds of 100,000 deliveries, when so many took this long.
pub fn per_hundred_thousand(cpu: Duration, deliveries: usize) -> f64 {
    cpu.as_secs_f64() / deliveries as f64 * 100_000.0
}

async fn score(connection: &mut Connection, player: u64, score: u64) -> anyhow::Result<()> {
    let body = format!("{{\"username\":\"{NAME} {player:03}\",\"score\":{score}}}");
    let request = format!(
        "POST /score HTTP/1.1\r\nHost: 127.0.0.1:3011\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.send(request.as_bytes()).await?;
    let (status, answer) = connection.receive().await.context("no answer to a score")?;
    ensure!(status == 200, "{status} {}", String::from_utf8_lossy(answer));
    Ok(())
}
