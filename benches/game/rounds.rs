//! Rounds of a broadcast: a new highest score, and its arrival at every watcher.

use std::time::{Duration, Instant};

use super::Bench;
use super::watchers::Watchers;

/// Higher than all scores of the other measurements, which use the same Redis.
pub const BEST: u64 = 1_000_000;

/// Broadcasts new highest scores. Returns the latency of each delivery.
pub async fn rounds(
    bench: &Bench,
    watchers: &mut Watchers,
    mut broadcast: impl AsyncFnMut(u64) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::with_capacity(bench.deliveries);
    for top in BEST + 10.. {
        if latencies.len() >= bench.deliveries {
            break;
        }
        watchers.expect(top);
        let since = Instant::now();
        broadcast(top).await?;
        latencies.extend(watchers.arrivals(since).await?);
        // Longer than the interval in which updates are merged, so that each round has an update of its own.
        tokio::time::sleep(bench.pause).await;
    }
    Ok(latencies)
}

/// The CPU seconds of 100,000 deliveries.
pub fn per_hundred_thousand(cpu: Duration, deliveries: usize) -> f64 {
    cpu.as_secs_f64() / deliveries as f64 * 100_000.0
}
