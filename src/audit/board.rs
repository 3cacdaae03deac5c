//! Compares the scores in the database with those in Redis.
//!
//! A score reaches Redis shortly after its row is committed. A difference therefore counts only if it persists: players
//! that differ are read again, on both sides, until they agree or a timeout is over. Players that only other programs
//! have written are not compared.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::report::{Check, Report};
use super::{AuditError, BATCH, Sources};
use crate::bus::{BusError, SortedSet};
use crate::leaderboard::{KEY, scores_of, written_scores};

/// How long to wait for a connection to Redis.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A difference that persists for this long counts.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);
/// The time between two reads of players that differ.
const SETTLE_INTERVAL: Duration = Duration::from_millis(250);
/// With more players that differ than this, none is read again, and all count.
const MAX_REREAD: usize = 10_000;

/// A player with different scores.
#[derive(Debug, PartialEq)]
struct Difference {
    name: String,
    in_database: f64,
    in_redis: Option<f64>,
}

/// Compares every score, in batches. If Redis is unreachable, the report says so.
pub(super) async fn compare(sources: &Sources, report: &mut Report) -> Result<(), AuditError> {
    if timeout(CONNECT_TIMEOUT, sources.bus.connected()).await.is_err() {
        report.not_compared.push("the board: Redis is not connected".to_owned());
        return Ok(());
    }
    match differences(sources, report).await? {
        Ok(persistent) => {
            for Difference { name, in_database, in_redis } in persistent {
                let found = in_redis.map_or_else(|| "nothing".to_owned(), |score| score.to_string());
                let detail = format!("the database has {in_database}, Redis has {found}");
                report.add(Check::Board, format!("player {name}"), detail);
            }
        }
        Err(error) => {
            let checked = report.checked.players;
            report.not_compared.push(format!("the board after {checked} players: {error}"));
        }
    }
    Ok(())
}

async fn differences(sources: &Sources, report: &mut Report) -> Result<Result<Vec<Difference>, BusError>, AuditError> {
    let board = sources.bus.sorted_set(KEY);
    let (mut differing, mut after) = (Vec::new(), String::new());
    loop {
        let started = Instant::now();
        let from = after.clone();
        let rows = sources.database.read(move |connection| written_scores(connection, &from, BATCH)).await?;
        let Some((last, _)) = rows.last() else { break };
        after = last.clone();
        let players = rows.len() as u64;
        match compare_rows(&board, rows).await {
            Ok(found) => differing.extend(found),
            Err(error) => return Ok(Err(error)),
        }
        report.checked.players += players;
        sources.pause(started.elapsed()).await;
    }
    let deadline = Instant::now() + SETTLE_TIMEOUT;
    while !differing.is_empty() && differing.len() <= MAX_REREAD && Instant::now() < deadline {
        sleep(SETTLE_INTERVAL).await;
        let names: Vec<String> = differing.iter().map(|difference| difference.name.clone()).collect();
        let mut still = Vec::new();
        for names in names.chunks(BATCH as usize) {
            let names = names.to_vec();
            let wanted = names.clone();
            let scores = sources.database.read(move |connection| scores_of(connection, &wanted)).await?;
            let rows = names.into_iter().zip(scores).filter_map(|(name, score)| Some((name, score?)));
            match compare_rows(&board, rows.collect()).await {
                Ok(found) => still.extend(found),
                Err(error) => return Ok(Err(error)),
            }
        }
        differing = still;
    }
    Ok(Ok(differing))
}

async fn compare_rows(board: &SortedSet, rows: Vec<(String, f64)>) -> Result<Vec<Difference>, BusError> {
    let in_redis = board.scores(rows.iter().map(|(name, _)| name.clone()).collect()).await?;
    Ok(differing(rows, &in_redis))
}

/// Ignores the sign of zero, which a sorted set does not store.
fn differing(rows: Vec<(String, f64)>, in_redis: &[Option<f64>]) -> Vec<Difference> {
    let pairs = rows.into_iter().zip(in_redis.iter().copied().chain(std::iter::repeat(None)));
    let differs = |((name, in_database), in_redis): ((String, f64), Option<f64>)| {
        (in_redis != Some(in_database)).then_some(Difference { name, in_database, in_redis })
    };
    pairs.filter_map(differs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_score_or_a_missing_one_differs_but_the_sign_of_zero_does_not() {
        let rows = [("a", 1.0), ("b", 2.0), ("c", -0.0), ("d", 4.0)].map(|(name, score)| (name.to_owned(), score));
        let found = differing(rows.to_vec(), &[Some(1.0), Some(2.5), Some(0.0), None]);
        let names: Vec<_> = found.iter().map(|difference| difference.name.as_str()).collect();
        assert_eq!(names, ["b", "d"]);
    }
}
