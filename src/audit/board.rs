//! The scores in the database with those in Redis.
//!
//! A score reaches Redis shortly after its row is committed. A difference therefore counts only if it lasts: what differs
//! is read again, on both sides, until it agrees or the time is up. Players whom only other programs have written are not
//! compared.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::report::{Check, Report};
use super::{AuditError, PORTION, Sources};
use crate::bus::{BusError, SortedSet};
use crate::leaderboard::{KEY, scores_of, written_scores};

/// How long Redis may take to be connected.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a difference may last before it counts.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);
/// The wait between two looks at what differs.
const SETTLE_INTERVAL: Duration = Duration::from_millis(250);
/// How many players that differ are looked at again; more than these are counted as they are.
const MAX_REREAD: usize = 10_000;

/// A player whose score differs.
#[derive(Debug, PartialEq)]
struct Difference {
    name: String,
    in_database: f64,
    in_redis: Option<f64>,
}

/// Compares every score, in portions. When Redis is away, the report says so.
pub(super) async fn compare(sources: &Sources, report: &mut Report) -> Result<(), AuditError> {
    if timeout(CONNECT_TIMEOUT, sources.bus.connected()).await.is_err() {
        report.not_compared.push("the board: Redis is not connected".to_owned());
        return Ok(());
    }
    match differences(sources, report).await? {
        Ok(lasting) => {
            for Difference { name, in_database, in_redis } in lasting {
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
        let rows = sources.database.read(move |connection| written_scores(connection, &from, PORTION)).await?;
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
        for names in names.chunks(PORTION as usize) {
            let names = names.to_vec();
            let asked = names.clone();
            let scores = sources.database.read(move |connection| scores_of(connection, &asked)).await?;
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

/// The sign of zero does not count: a sorted set does not keep it.
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
    fn a_player_differs_by_another_score_or_by_none_but_not_by_the_sign_of_zero() {
        let rows = [("a", 1.0), ("b", 2.0), ("c", -0.0), ("d", 4.0)].map(|(name, score)| (name.to_owned(), score));
        let found = differing(rows.to_vec(), &[Some(1.0), Some(2.5), Some(0.0), None]);
        let names: Vec<_> = found.iter().map(|difference| difference.name.as_str()).collect();
        assert_eq!(names, ["b", "d"]);
    }
}
